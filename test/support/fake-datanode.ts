import net from 'node:net'
import { assert, defined } from '../../base/assert.ts'
import { crc32c } from '../../base/checksum.ts'
import { silentLogger } from '../../base/log.ts'
import { systemClock, systemTimers } from '../../base/system.ts'
import {
  encodePacketHeader,
  type Packet,
  packetPrefixBytes,
  tryDecodeDelimited,
  tryDecodeOperation,
  tryDecodePacket,
} from '../../protocol/data-transfer.ts'
import { DfsError } from '../../protocol/errors.ts'
import { encodeDelimited } from '../../protocol/message.ts'
import { clientDatanodeProtocol } from '../../protocol/messages/client-datanode.ts'
import {
  blockOpResponse,
  clientReadStatus,
  type OpReadBlock,
  type OpTransferBlock,
  type OpWriteBlock,
  pipelineAck,
} from '../../protocol/messages/data-transfer.ts'
import type { DatanodeInfo } from '../../protocol/messages/hdfs.ts'
import { ackFlag } from '../../protocol/pipeline-ack.ts'
import { RpcServer } from '../../transport/rpc-server.ts'

const chunkBytes = 512
const packetDataBytes = 64 * 1024

/** A replica as the fake keeps it: all of it in memory. */
export interface FakeReplica {
  generationStamp: number
  data: Buffer
  length: number
  isFinalized: boolean
}

/** What a fake datanode does wrong. Changed by tests while it runs. */
export interface DatanodeFaults {
  /** Refuses the next set-up, blaming the node at this position of the pipeline. */
  refuseSetup: number | undefined
  /** Drops every connection and stops listening once it received this many packets. */
  dieAfterPackets: number | undefined
  /** Reports the node at `index` as bad in the acknowledgement of packet `seqno`, once. */
  badAck: { readonly seqno: number; readonly index: number } | undefined
  /** Holds acknowledgements back until the gate opens. */
  holdAcks: Promise<void> | undefined
  /** Offset in the block of a byte to flip in what is read. */
  corruptByte: number | undefined
  /** Closes connections in the middle of a read after this many bytes of data. */
  cutReadAfterBytes: number | undefined
  /** Answers reads with this error text. */
  refuseRead: string | undefined
  /** Answers to how much of an open replica may be read wait for this. */
  holdVisible: Promise<void> | undefined
  /** Refuses to send replicas to others. */
  refuseTransfer: boolean
  /** Position in the pipeline of a node that every acknowledgement calls slow. */
  slowIndex: number | undefined
}

/**
 * A datanode that speaks the real wire and keeps its replicas in memory. Of a pipeline the first node plays all: it
 * stores what it receives at every target and acknowledges for all of them.
 */
export class FakeDatanode {
  readonly uuid: string
  readonly replicas = new Map<number, FakeReplica>()
  readonly faults: DatanodeFaults = {
    refuseSetup: undefined,
    dieAfterPackets: undefined,
    badAck: undefined,
    holdAcks: undefined,
    corruptByte: undefined,
    cutReadAfterBytes: undefined,
    refuseRead: undefined,
    holdVisible: undefined,
    refuseTransfer: false,
    slowIndex: undefined,
  }
  /** Set-ups and reads in order, for tests to look at. */
  readonly operations: string[] = []
  readonly #peers: ReadonlyMap<string, FakeDatanode>
  readonly #sockets = new Set<net.Socket>()
  readonly #rpc = new RpcServer({
    host: '127.0.0.1',
    port: 0,
    logger: silentLogger,
    clock: systemClock,
    timers: systemTimers,
  })
  readonly #server = net.createServer((socket) => {
    this.#serve(socket)
  })
  #info: DatanodeInfo | undefined
  connectionsAccepted = 0
  isAlive = true
  statuses: string[] = []
  bytesSent = 0

  constructor(uuid: string, peers: ReadonlyMap<string, FakeDatanode>) {
    this.uuid = uuid
    this.#peers = peers
  }

  get info(): DatanodeInfo {
    return defined(this.#info, 'address of a started fake')
  }

  async start(): Promise<void> {
    this.#rpc.register(clientDatanodeProtocol, {
      getReplicaVisibleLength: ({ block }) => {
        const replica = this.replicas.get(block.blockId)
        if (replica === undefined) throw new DfsError('REPLICA_NOT_FOUND', 'Replica not found')
        const answer = { length: BigInt(replica.length) }
        const { holdVisible } = this.faults
        return holdVisible === undefined ? answer : holdVisible.then(() => answer)
      },
    })
    const ipcPort = (await this.#rpc.listen()).port
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve)
    })
    const address = this.#server.address()
    const xferPort = address !== null && typeof address === 'object' ? address.port : 0
    this.#info = {
      id: {
        ipAddr: '127.0.0.1',
        hostName: 'localhost',
        datanodeUuid: this.uuid,
        xferPort,
        infoPort: 0,
        ipcPort,
        infoSecurePort: 0,
      },
      capacity: 0,
      dfsUsed: 0,
      remaining: 0,
      blockPoolUsed: 0,
      lastUpdate: 0,
      xceiverCount: 0,
      adminState: 'NORMAL',
      cacheCapacity: 0,
      cacheUsed: 0,
      lastUpdateMonotonic: 0,
      lastBlockReportTime: 0,
      lastBlockReportMonotonic: 0,
      numBlocks: 0,
    }
  }

  /** Dies: connections break, nobody listens any more; the replicas stay on its disk. */
  die(): void {
    this.isAlive = false
    this.#server.close()
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Closes what is open, as after a keep-alive time-out; goes on listening. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    this.die()
    await this.#rpc.close()
  }

  #serve(socket: net.Socket): void {
    this.connectionsAccepted += 1
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined)
    let pending = Buffer.alloc(0)
    let session: WriteSession | undefined
    let isReading = false
    socket.on('data', (bytes) => {
      pending = Buffer.concat([pending, bytes])
      for (;;) {
        if (session !== undefined) {
          const packet = tryDecodePacket(pending, 0, pending.length)
          if (packet === undefined) return
          pending = pending.subarray(packet.next)
          if (!session.take(packet.value)) return
        } else if (isReading) {
          const status = tryDecodeDelimited(clientReadStatus, pending, 0, pending.length)
          if (status === undefined) return
          pending = pending.subarray(status.next)
          this.statuses.push(status.value.status)
          isReading = false
        } else {
          const operation = tryDecodeOperation(pending, 0, pending.length)
          if (operation === undefined) return
          pending = pending.subarray(operation.next)
          if (operation.value.kind === 'writeBlock') {
            session = this.#setUp(socket, operation.value.message)
            if (session === undefined) {
              socket.removeAllListeners('data').resume()
              return
            }
          } else if (operation.value.kind === 'readBlock') {
            isReading = true
            this.#read(socket, operation.value.message)
          } else if (operation.value.kind === 'transferBlock') {
            this.#transfer(socket, operation.value.message)
          }
        }
      }
    })
  }

  #setUp(socket: net.Socket, operation: OpWriteBlock): WriteSession | undefined {
    const { block } = operation.header.baseHeader
    const nodes = [this.info, ...operation.targets].map((info) =>
      this.#peers.get(info.id.datanodeUuid),
    )
    this.operations.push(`${operation.stage} ${block.blockId} x${nodes.length}`)
    const { refuseSetup } = this.faults
    const blamed = refuseSetup === undefined ? undefined : [this, ...nodes.slice(1)][refuseSetup]
    if (blamed !== undefined) {
      this.faults.refuseSetup = undefined
      const { id } = blamed.info
      const firstBadLink = `${id.ipAddr}:${id.xferPort}`
      socket.end(encodeDelimited(blockOpResponse, { status: 'ERROR', firstBadLink }))
      return undefined
    }
    const isNew = operation.stage === 'PIPELINE_SETUP_CREATE'
    const replicas = nodes.map((node) => {
      const known = node?.replicas.get(block.blockId)
      const replica =
        isNew || known === undefined
          ? { generationStamp: 0, data: Buffer.alloc(0), length: 0, isFinalized: false }
          : known
      if (!isNew && replica.length < operation.minBytesRcvd) {
        throw new Error(`replica has ${replica.length} of ${operation.minBytesRcvd} bytes`)
      }
      if (!isNew && replica.generationStamp < block.generationStamp) {
        throw new Error(
          `replica has stamp ${replica.generationStamp}, not ${block.generationStamp}`,
        )
      }
      replica.isFinalized = false
      replica.generationStamp = isNew ? block.generationStamp : operation.latestGenerationStamp
      if (operation.stage === 'PIPELINE_CLOSE_RECOVERY') replica.isFinalized = true
      node?.replicas.set(block.blockId, replica)
      return replica
    })
    socket.write(encodeDelimited(blockOpResponse, { status: 'SUCCESS', firstBadLink: '' }))
    return new WriteSession(this, socket, replicas)
  }

  /** Gives the replica to the targets at once, under the stamp it has. */
  #transfer(socket: net.Socket, { header, targets }: OpTransferBlock): void {
    const { block } = header.baseHeader
    const replica = this.replicas.get(block.blockId)
    this.operations.push(
      `TRANSFER ${block.blockId} to ${targets.map(({ id }) => id.datanodeUuid).join()}`,
    )
    const isRefused = replica === undefined || this.faults.refuseTransfer
    if (isRefused || replica.generationStamp !== block.generationStamp) {
      socket.write(
        encodeDelimited(blockOpResponse, { status: 'ERROR', message: 'no such replica' }),
      )
      return
    }
    for (const { id } of targets) {
      const data = Buffer.from(replica.data.subarray(0, replica.length))
      this.#peers
        .get(id.datanodeUuid)
        ?.replicas.set(block.blockId, { ...replica, data, isFinalized: false })
    }
    socket.write(encodeDelimited(blockOpResponse, { status: 'SUCCESS' }))
  }

  #read(socket: net.Socket, { header, offset, len }: OpReadBlock): void {
    const { block } = header.baseHeader
    const replica = this.replicas.get(block.blockId)
    this.operations.push(`READ ${block.blockId} ${offset}+${len}`)
    if (this.faults.refuseRead !== undefined || replica === undefined) {
      const message = this.faults.refuseRead ?? 'ReplicaNotFoundException: Replica not found'
      socket.end(encodeDelimited(blockOpResponse, { status: 'ERROR', message }))
      return
    }
    const chunkOffset = offset - (offset % chunkBytes)
    const end = Math.min(replica.length, Math.ceil((offset + len) / chunkBytes) * chunkBytes)
    socket.write(
      encodeDelimited(blockOpResponse, {
        status: 'SUCCESS',
        readOpChecksumInfo: {
          checksum: { type: 'CHECKSUM_CRC32C', bytesPerChecksum: chunkBytes },
          chunkOffset,
        },
      }),
    )
    void this.#sendPackets(socket, replica, chunkOffset, end)
  }

  async #sendPackets(
    socket: net.Socket,
    replica: FakeReplica,
    start: number,
    end: number,
  ): Promise<void> {
    let seqno = 0
    let sent = 0
    for (let position = start; position < end; position += packetDataBytes) {
      const data = Buffer.from(
        replica.data.subarray(position, Math.min(end, position + packetDataBytes)),
      )
      const checksums = chunkChecksums(data)
      const bad = (this.faults.corruptByte ?? -1) - position
      if (bad >= 0 && bad < data.length) data[bad] = (data[bad] ?? 0) ^ 1
      const { cutReadAfterBytes } = this.faults
      if (cutReadAfterBytes !== undefined && sent >= cutReadAfterBytes) {
        socket.destroy()
        return
      }
      socket.write(packetBytes({ offsetInBlock: position, seqno, data, checksums }))
      seqno += 1
      sent += data.length
      this.bytesSent += data.length
      if (socket.writableNeedDrain) {
        await new Promise((resolve) => {
          socket.once('drain', resolve)
          socket.once('close', resolve)
        })
      }
      if (socket.destroyed) return
    }
    socket.write(
      packetBytes({ offsetInBlock: end, seqno, data: Buffer.alloc(0), checksums: Buffer.alloc(0) }),
    )
  }
}

/** One block coming in over one connection. */
class WriteSession {
  readonly #datanode: FakeDatanode
  readonly #socket: net.Socket
  readonly #replicas: readonly FakeReplica[]
  #packets = 0

  constructor(datanode: FakeDatanode, socket: net.Socket, replicas: readonly FakeReplica[]) {
    this.#datanode = datanode
    this.#socket = socket
    this.#replicas = replicas
  }

  /** False when the datanode died. */
  take({ header, checksums, data }: Packet): boolean {
    const { faults } = this.#datanode
    this.#packets += 1
    if (faults.dieAfterPackets !== undefined && this.#packets > faults.dieAfterPackets) {
      this.#datanode.die()
      return false
    }
    assert(chunkChecksums(data).equals(checksums), 'a writer must send the checksums of its data')
    for (const replica of this.#replicas) store(replica, header.offsetInBlock, data)
    if (header.lastPacketInBlock) {
      for (const replica of this.#replicas) replica.isFinalized = true
    }
    const { badAck, holdAcks, slowIndex } = faults
    const reply = this.#replicas.map((_replica, index) => {
      return badAck?.seqno === header.seqno && badAck.index === index ? 'ERROR' : 'SUCCESS'
    })
    if (reply.includes('ERROR')) faults.badAck = undefined
    const flag = reply.map((status, index) => ackFlag(status, index === slowIndex))
    const ack = encodeDelimited(pipelineAck, {
      seqno: header.seqno,
      reply,
      flag: slowIndex === undefined ? [] : flag,
    })
    if (holdAcks === undefined) this.#socket.write(ack)
    else void holdAcks.then(() => this.#socket.write(ack))
    return true
  }
}

function store(replica: FakeReplica, offset: number, data: Buffer): void {
  assert(offset <= replica.length, 'a packet must not leave a gap')
  const end = offset + data.length
  if (end > replica.data.length) {
    const larger = Buffer.alloc(Math.max(end, 2 * replica.data.length))
    replica.data.copy(larger, 0, 0, replica.length)
    replica.data = larger
  }
  data.copy(replica.data, offset)
  replica.length = Math.max(replica.length, end)
}

function chunkChecksums(data: Buffer): Buffer {
  const checksums = Buffer.alloc(4 * Math.ceil(data.length / chunkBytes))
  for (let start = 0; start < data.length; start += chunkBytes) {
    checksums.writeUInt32BE(
      crc32c(data.subarray(start, start + chunkBytes)),
      (start / chunkBytes) * 4,
    )
  }
  return checksums
}

function packetBytes(packet: {
  readonly offsetInBlock: number
  readonly seqno: number
  readonly data: Buffer
  readonly checksums: Buffer
}): Buffer {
  const { offsetInBlock, seqno, data, checksums } = packet
  const prefix = Buffer.alloc(packetPrefixBytes(false))
  const isLast = data.length === 0
  encodePacketHeader(
    prefix,
    0,
    { offsetInBlock, seqno, lastPacketInBlock: isLast, dataLen: data.length },
    checksums.length,
  )
  return Buffer.concat([prefix, checksums, data])
}
