import { connect, type Socket } from 'node:net'
import { crc32, crc32c } from '../../base/checksum.ts'
import type { Clock } from '../../base/clock.ts'
import { type Logger, silentLogger } from '../../base/log.ts'
import { systemClock, systemTimers } from '../../base/system.ts'
import type { FileSystem } from '../../datanode/shell/files.ts'
import { openReplicaStore, type ReplicaStore } from '../../datanode/shell/replica-store.ts'
import { startTransferServer, type TransferServer } from '../../datanode/shell/transfer-server.ts'
import {
  encodeOperation,
  encodePacketHeader,
  opcodes,
  type Packet,
  packetPrefixBytes,
  tryDecodeDelimited,
  tryDecodePacket,
} from '../../protocol/data-transfer.ts'
import {
  type EncodableOf,
  encodeDelimited,
  type Fields,
  type MessageOf,
  type MessageType,
} from '../../protocol/message.ts'
import {
  type BlockOpResponse,
  blockOpResponse,
  clientReadStatus,
  opBlockChecksum,
  opReadBlock,
  opTransferBlock,
  opWriteBlock,
  type PipelineAck,
  pipelineAck,
} from '../../protocol/messages/data-transfer.ts'
import type { DatanodeInfo } from '../../protocol/messages/hdfs-blocks.ts'
import { type Settings, withSettings } from '../../protocol/settings.ts'

export const testPool = 'BP-1-127.0.0.1-1'
export const testIdentity = { clusterId: 'CID-test', namespaceId: 1, blockPoolId: testPool }

/** A replica store with its transfer server, bound to {@link testPool}. */
export interface DataServer {
  readonly store: ReplicaStore
  readonly server: TransferServer
  readonly info: DatanodeInfo
  close(): Promise<void>
}

/** What a test puts in the place of the real parts. */
export interface DataServerParts {
  readonly logger?: Logger
  readonly clock?: Clock
  readonly files?: FileSystem
  readonly identity?: typeof testIdentity
}

export async function startDataServer(
  directories: readonly string[],
  settings: Partial<Settings> = {},
  {
    logger = silentLogger,
    clock = systemClock,
    files,
    identity = testIdentity,
  }: DataServerParts = {},
): Promise<DataServer> {
  const all = withSettings({ 'dfs.datanode.reserved-bytes': 0, ...settings })
  const parts = { settings: all, logger, clock, timers: systemTimers }
  const store = await openReplicaStore({ directories, files, ...parts })
  await store.bindTo(identity)
  const id = { ...nobodyId }
  const server = await startTransferServer({
    store,
    host: '127.0.0.1',
    port: 0,
    self: () => ({ ...id, infoSecurePort: 0 }),
    ...parts,
  })
  let isClosed = false
  return {
    store,
    server,
    info: datanodeInfoAt(server.port),
    async close() {
      if (isClosed) return
      isClosed = true
      await server.close()
      await store.close()
    },
  }
}

const nobodyId = {
  ipAddr: '127.0.0.1',
  hostName: 'localhost',
  datanodeUuid: 'test',
  xferPort: 0,
  infoPort: 0,
  ipcPort: 0,
  infoSecurePort: 0,
}

/** A datanode as operations name it. */
export function datanodeInfoAt(port: number): DatanodeInfo {
  return {
    id: { ...nobodyId, xferPort: port },
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

/** The first `length` bytes of java.util.Random(seed).nextBytes, as the recorded conversations use them. */
export function javaRandomBytes(seed: number, length: number): Buffer {
  const mask = (1n << 48n) - 1n
  let state = (BigInt(seed) ^ 0x5deece66dn) & mask
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 4)
  for (let at = 0; at < length; at += 4) {
    state = (state * 0x5deece66dn + 0xbn) & mask
    bytes.writeInt32LE(Number(BigInt.asIntN(32, state >> 16n)), at)
  }
  return bytes.subarray(0, length)
}

/** Bytes that differ everywhere: position and seed mixed. */
export function patternBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at + 4 <= length; at += 4) {
    bytes.writeUInt32LE(Math.imul(at + seed, 2654435761) >>> 0, at)
  }
  for (let at = length - (length % 4); at < length; at += 1) bytes[at] = (at * seed) & 255
  return bytes
}

export function chunkChecksums(
  data: Uint8Array,
  bytesPerChecksum: number,
  type = 'crc32c',
): Buffer {
  const count = Math.ceil(data.length / bytesPerChecksum)
  const checksums = Buffer.alloc(4 * count)
  const crc = type === 'crc32c' ? crc32c : crc32
  for (let chunk = 0; chunk < count; chunk += 1) {
    const bytes = data.subarray(chunk * bytesPerChecksum, (chunk + 1) * bytesPerChecksum)
    checksums.writeUInt32BE(crc(bytes), 4 * chunk)
  }
  return checksums
}

/** A packet for {@link DataConnection.sendPacket}; checksums are computed unless given. */
export interface TestPacket {
  readonly seqno: number
  readonly offset: number
  readonly data?: Buffer
  readonly last?: boolean
  readonly sync?: boolean
  readonly checksums?: Buffer
  readonly bytesPerChecksum?: number
}

export function encodePacket(packet: TestPacket): Buffer {
  const data = packet.data ?? Buffer.alloc(0)
  const checksums = packet.checksums ?? chunkChecksums(data, packet.bytesPerChecksum ?? 512)
  const prefix = Buffer.alloc(packetPrefixBytes(packet.sync === true))
  encodePacketHeader(
    prefix,
    0,
    {
      offsetInBlock: packet.offset,
      seqno: packet.seqno,
      lastPacketInBlock: packet.last === true,
      dataLen: data.length,
      syncBlock: packet.sync,
    },
    checksums.length,
  )
  return Buffer.concat([prefix, checksums, data])
}

/** Fields of a write operation that tests vary. */
export interface TestWrite {
  readonly blockId: number
  readonly stamp?: number
  readonly targets?: readonly DatanodeInfo[]
  readonly stage?: EncodableOf<typeof opWriteBlock>['stage']
  readonly clientName?: string
  readonly min?: number
  readonly max?: number
  readonly newStamp?: number
  readonly bytesPerChecksum?: number
  readonly checksumType?: 'CHECKSUM_CRC32' | 'CHECKSUM_CRC32C' | 'CHECKSUM_NULL'
  readonly poolId?: string
  /** Digest that the block must end with. */
  readonly blockDigest?: bigint
  /** Bytes that the block may come to. */
  readonly expectedBytes?: number
}

/** A plain client of one datanode: sends what it is told, reads one thing at a time. */
export class DataConnection {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #isClosed = false
  #wake: (() => void) | undefined

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes])
      this.#wake?.()
    })
    this.socket.on('error', () => undefined)
    for (const event of ['close', 'end']) {
      this.socket.on(event, () => {
        this.#isClosed = true
        this.#wake?.()
      })
    }
  }

  /** Sends OP_WRITE_BLOCK. */
  startWrite(write: TestWrite): void {
    const { blockId, stamp = 1001, stage = 'PIPELINE_SETUP_CREATE' } = write
    this.socket.write(
      encodeOperation(opcodes.writeBlock, opWriteBlock, {
        header: {
          baseHeader: {
            block: {
              poolId: write.poolId ?? testPool,
              blockId,
              generationStamp: stamp,
              numBytes: write.expectedBytes ?? 0,
            },
          },
          clientName: write.clientName ?? 'client',
        },
        targets: write.targets ?? [],
        stage,
        pipelineSize: 1 + (write.targets?.length ?? 0),
        minBytesRcvd: write.min ?? 0,
        maxBytesRcvd: write.max ?? 0,
        latestGenerationStamp: write.newStamp ?? 0,
        requestedChecksum: {
          type: write.checksumType ?? 'CHECKSUM_CRC32C',
          bytesPerChecksum: write.bytesPerChecksum ?? 512,
        },
        targetStorageTypes: [],
        targetPinnings: [],
        targetStorageIds: [],
        ...(write.blockDigest === undefined ? {} : { blockDigest: write.blockDigest }),
      }),
    )
  }

  sendPacket(packet: TestPacket): void {
    this.socket.write(encodePacket(packet))
  }

  /** Reads the next delimited message; `undefined` when the connection ends first. */
  async message<F extends Fields>(
    type: MessageType<F>,
  ): Promise<MessageOf<MessageType<F>> | undefined> {
    return this.#next(() => tryDecodeDelimited(type, this.#received, 0, this.#received.length))
  }

  response(): Promise<BlockOpResponse | undefined> {
    return this.message(blockOpResponse)
  }

  ack(): Promise<PipelineAck | undefined> {
    return this.message(pipelineAck)
  }

  packet(): Promise<Packet | undefined> {
    return this.#next(() => tryDecodePacket(this.#received, 0, this.#received.length))
  }

  /** Resolves when the peer has closed. */
  async closed(): Promise<void> {
    while (!this.#isClosed) await this.#more()
  }

  /** Sends OP_READ_BLOCK and collects answer, packets and data. */
  async read(read: {
    readonly blockId: number
    readonly stamp?: number
    readonly offset?: number
    readonly length: number
    readonly sendChecksums?: boolean
    /** What the client says of the bytes. */
    readonly verdict?: 'CHECKSUM_OK' | 'ERROR_CHECKSUM'
  }): Promise<{ response: BlockOpResponse; packets: Packet[]; data: Buffer }> {
    const { blockId, stamp = 1001, offset = 0, length, sendChecksums = true } = read
    const block = { poolId: testPool, blockId, generationStamp: stamp, numBytes: 0 }
    this.socket.write(
      encodeOperation(opcodes.readBlock, opReadBlock, {
        header: { baseHeader: { block }, clientName: 'client' },
        offset,
        len: length,
        sendChecksums,
      }),
    )
    const response = await this.response()
    if (response === undefined) throw new Error('the datanode closed the connection')
    const packets: Packet[] = []
    if (response.status !== 'SUCCESS') return { response, packets, data: Buffer.alloc(0) }
    for (;;) {
      const packet = await this.packet()
      if (packet === undefined) throw new Error('the stream ended before its last packet')
      packets.push(packet)
      if (packet.header.lastPacketInBlock) break
    }
    const { verdict: status = 'CHECKSUM_OK' } = read
    this.socket.write(encodeDelimited(clientReadStatus, { status }))
    const start = response.readOpChecksumInfo?.chunkOffset ?? 0
    const sent = Buffer.concat(packets.map(({ data }) => data))
    return { response, packets, data: sent.subarray(offset - start, offset - start + length) }
  }

  /** Sends OP_BLOCK_CHECKSUM. */
  async checksum(request: {
    readonly blockId: number
    readonly stamp?: number
    readonly length: number
    readonly kind?: 'MD5CRC' | 'COMPOSITE_CRC'
  }): Promise<BlockOpResponse | undefined> {
    const { blockId, stamp = 1001, length, kind } = request
    const block = { poolId: testPool, blockId, generationStamp: stamp, numBytes: length }
    this.socket.write(
      encodeOperation(opcodes.blockChecksum, opBlockChecksum, {
        header: { block },
        ...(kind === undefined
          ? {}
          : { blockChecksumOptions: { blockChecksumType: kind, stripeLength: 0 } }),
      }),
    )
    return this.response()
  }

  /** Sends OP_TRANSFER_BLOCK. */
  startTransfer(transfer: {
    readonly blockId: number
    readonly stamp?: number
    readonly target: DatanodeInfo
  }): void {
    const { blockId, target, stamp = 1001 } = transfer
    const block = { poolId: testPool, blockId, generationStamp: stamp }
    this.socket.write(
      encodeOperation(opcodes.transferBlock, opTransferBlock, {
        header: { baseHeader: { block }, clientName: 'client' },
        targets: [target],
        targetStorageTypes: ['DISK'],
        targetStorageIds: [],
      }),
    )
  }

  close(): void {
    this.socket.destroy()
  }

  async #next<T>(take: () => { value: T; next: number } | undefined): Promise<T | undefined> {
    for (;;) {
      const taken = take()
      if (taken !== undefined) {
        this.#received = this.#received.subarray(taken.next)
        return taken.value
      }
      if (this.#isClosed) return undefined
      await this.#more()
    }
  }

  #more(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

/** Writes a whole block through `servers`, waits for every ack, and returns them. */
export async function writeWholeBlock(
  servers: readonly DataServer[],
  write: TestWrite & { readonly data: Buffer; readonly packetBytes?: number },
): Promise<PipelineAck[]> {
  const [first, ...others] = servers
  if (first === undefined) throw new Error('a pipeline needs a datanode')
  const connection = new DataConnection(first.server.port)
  connection.startWrite({ targets: others.map(({ info }) => info), ...write })
  const response = await connection.response()
  if (response?.status !== 'SUCCESS') throw new Error(`set-up failed: ${JSON.stringify(response)}`)
  const { data, packetBytes = 64512, bytesPerChecksum = 512 } = write
  let seqno = 0
  for (let offset = 0; offset < data.length; offset += packetBytes) {
    const bytes = data.subarray(offset, offset + packetBytes)
    const checksums =
      write.checksumType === 'CHECKSUM_NULL'
        ? Buffer.alloc(0)
        : chunkChecksums(
            bytes,
            bytesPerChecksum,
            write.checksumType === 'CHECKSUM_CRC32' ? 'crc32' : 'crc32c',
          )
    connection.sendPacket({ seqno, offset, data: bytes, checksums })
    seqno += 1
  }
  connection.sendPacket({ seqno, offset: data.length, last: true })
  const acks: PipelineAck[] = []
  while (acks.length <= seqno) {
    const ack = await connection.ack()
    if (ack === undefined) break
    acks.push(ack)
  }
  connection.close()
  return acks
}
