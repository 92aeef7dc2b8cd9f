import { assert, defined, unreachable } from '../../base/assert.ts'
import { copySources, newcomersOf, wantsReplacement } from '../../client/core/replace-datanode.ts'
import {
  type PipelineEvent,
  type PipelinePacket,
  type RecoveryMode,
  WritePipeline,
} from '../../client/core/write-pipeline.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type {
  DatanodeInfo,
  ExtendedBlock,
  LocatedBlock,
} from '../../protocol/messages/hdfs-blocks.ts'
import type { DrawnPacket, Safety } from './content.ts'
import type { StreamEnd } from './network.ts'
import type { PipelineMessage, WriteOperation } from './pipeline-messages.ts'
import { lengthOf } from './replica-disk.ts'
import type { SimClient } from './sim-client.ts'

/** The open file a block belongs to. */
export interface SimOpenFile {
  readonly path: string
  readonly fileId: number
  /** Datanodes that failed this file. */
  readonly excluded: Map<string, DatanodeInfo>
  /** Everything up to `length` of the present block is as safe as that on every datanode of the pipeline. */
  readonly onSafe: (length: number, safety: Safety, sentAt: number) => void
}

interface SimPacket extends PipelinePacket {
  readonly source: number
  readonly from: number
  readonly safety: Safety
}

type Recovery = Extract<PipelineEvent<SimPacket>, { kind: 'recover' }>
type Stream = StreamEnd<PipelineMessage>
interface Node {
  readonly info: DatanodeInfo
  readonly storageId: string
}

const recoveriesPerPacketMax = 5
const allocationsMax = 5
const allocationPauseMs = 1000
/** A pipeline that says nothing for this long counts as broken at its first node. */
const silenceMs = 20_000
const stages = {
  'new-block': 'create',
  append: 'reappend',
  streaming: 'resume',
  close: 'close',
} as const

/**
 * Writes one block from a simulated client: does with streams of messages what the real block writer does
 * with sockets, as the real {@link WritePipeline} decides.
 */
export class SimBlockWriter {
  readonly #client: SimClient
  readonly #file: SimOpenFile
  readonly #previous: ExtendedBlock | undefined
  readonly #appendTo: number | undefined
  readonly #machine: WritePipeline<SimPacket>
  readonly #sentAt = new Map<number, number>()
  #isFlushed = false
  /** What was flushed is told one after the other, so that the file's safe length only grows. */
  #telling: Promise<void> = Promise.resolve()
  #toldStamp = 0
  #isOver = false
  #block: ExtendedBlock | undefined
  #nodes: readonly Node[] = []
  #stream: Stream | undefined
  #lastSign = 0
  #settle: ((result: { readonly error?: DfsError }) => void) | undefined

  /** @param start the block written before, or the one to append to */
  constructor(
    client: SimClient,
    file: SimOpenFile,
    start: { readonly previous?: ExtendedBlock | undefined; readonly appendTo?: LocatedBlock },
  ) {
    this.#client = client
    this.#file = file
    this.#previous = start.previous
    this.#appendTo = start.appendTo?.b.numBytes
    if (start.appendTo !== undefined) this.#adopt(start.appendTo)
    const packetsInFlightMax = limits.packetsInFlightMax
    const appendTo = this.#appendTo
    this.#machine = new WritePipeline(
      { packetsInFlightMax, recoveriesPerPacketMax },
      appendTo === undefined ? {} : { appendTo },
    )
  }

  /** Writes the block and returns it as it is finalized on every datanode left. @throws {@link DfsError} */
  async write(packets: readonly DrawnPacket[]): Promise<ExtendedBlock> {
    for (const [seqno, packet] of packets.entries()) {
      const { offset: offsetInBlock, length: dataBytes, source, from, safety } = packet
      const origin = { source, from, safety }
      this.#machine.enqueue({ seqno, offsetInBlock, dataBytes, isLast: false, ...origin })
    }
    const end = { offsetInBlock: lengthOf(packets), dataBytes: 0, isLast: true }
    const origin = { source: 0, from: 0, safety: 'none' } as const
    this.#machine.enqueue({ seqno: packets.length, ...end, ...origin })
    const watch = this.#client.world.scheduler.timersOf(this.#client.life).every(silenceMs, () => {
      if (this.#client.now - this.#lastSign >= silenceMs && this.#machine.state === 'streaming') {
        this.#handle(this.#machine.broken(0))
      }
    })
    try {
      const { error } = await new Promise<{ readonly error?: DfsError }>((resolve) => {
        this.#settle = (result) => {
          this.#isOver = true
          resolve(result)
        }
        this.#start(this.#appendTo === undefined ? 'new-block' : 'append', undefined)
      })
      if (error !== undefined) throw error
    } finally {
      watch.cancel()
      this.#stream?.close()
    }
    return { ...defined(this.#block, 'block'), numBytes: this.#machine.bytesAcked }
  }

  #start(mode: RecoveryMode, recovery: Recovery | undefined): void {
    this.#connect(mode, recovery).catch((error: unknown) => {
      if (!isDfsError(error)) throw error
      this.#settle?.({ error })
    })
  }

  async #connect(mode: RecoveryMode, recovery: Recovery | undefined): Promise<void> {
    const oldBlock = this.#block
    const bytesAcked = this.#bytesAcked(recovery)
    let newStamp = 0
    if (mode === 'new-block') await this.#allocate()
    else {
      if (recovery !== undefined) await this.#replaceLost(mode, bytesAcked)
      newStamp = await this.#newStamp(bytesAcked)
    }
    const failed = await this.#open(mode, newStamp, recovery)
    if (failed !== undefined) {
      this.#handle(this.#machine.broken(failed, this.#nodes.length))
      return
    }
    if (mode === 'new-block') return
    assert(oldBlock !== undefined, 'a block under recovery is allocated')
    await this.#updatePipeline(newStamp, bytesAcked)
    if (mode === 'close') this.#handle(this.#machine.establishedClosed())
    else this.#machine.established(this.#nodes.length)
    this.#pump()
  }

  /** Connects and sends the operation; a new block streams at once, a recovery waits for the answer. */
  #open(
    mode: RecoveryMode,
    newStamp: number,
    recovery: Recovery | undefined,
  ): Promise<number | undefined> {
    return new Promise((answered) => {
      const first = this.#nodes[0]
      if (first === undefined) {
        // The answer of a repeated append, when the namenode has restarted since and knows no replica yet.
        throw new DfsError('NO_DATANODES', `No datanode for "${this.#file.path}"`)
      }
      const stream = this.#client.connect(this.#client.world.datanode(first.info.id.ipAddr))
      this.#stream = stream
      const lost = (failed: number): void => {
        if (this.#stream !== stream) return
        if (this.#machine.state === 'streaming') this.#handle(this.#machine.broken(failed))
        else answered(failed)
      }
      stream.onMessage = (message) => {
        if (this.#stream !== stream) return
        this.#lastSign = this.#client.now
        if (message.kind === 'ack') {
          const isGood = message.statuses.map((status) => status === 'SUCCESS')
          this.#handle(this.#machine.acked({ seqno: message.seqno, isGood }))
        } else if (message.kind === 'answer') {
          const failed = this.#nodes.findIndex(({ info }) => info.id.ipAddr === message.badNode)
          if (message.badNode === undefined) answered(undefined)
          else lost(Math.max(0, failed))
        }
      }
      stream.onClose = () => {
        lost(0)
      }
      stream.send({ kind: 'operation', operation: this.#operation(mode, newStamp, recovery) })
      this.#lastSign = this.#client.now
      if (mode !== 'new-block') return
      this.#machine.established(this.#nodes.length)
      this.#pump()
      answered(undefined)
    })
  }

  #operation(mode: RecoveryMode, newStamp: number, recovery: Recovery | undefined): WriteOperation {
    const block = defined(this.#block, 'block')
    return {
      stage: mode === 'append' && recovery === undefined ? 'append' : stages[mode],
      blockId: blockId(block.blockId),
      generationStamp: generationStamp(block.generationStamp),
      newStamp: generationStamp(newStamp),
      targets: this.#nodes.slice(1).map(({ info }) => info.id.ipAddr),
      lengthMin: this.#bytesAcked(recovery),
      lengthMax: recovery?.bytesSent ?? this.#appendTo ?? 0,
    }
  }

  #pump(): void {
    const stream = this.#stream
    if (stream === undefined) return
    for (;;) {
      const packet = this.#machine.nextToSend()
      if (packet === undefined) return
      const { seqno, offsetInBlock: offset, dataBytes: length, isLast, source, from } = packet
      const shape = { seqno, offset, length, isLast, isSync: packet.safety === 'hsync' }
      this.#sentAt.set(seqno, this.#client.now)
      stream.send({ kind: 'packet', shape, source, from })
    }
  }

  #handle(event: PipelineEvent<SimPacket>): void {
    switch (event.kind) {
      case 'none':
        return
      case 'acknowledged':
        if (event.packet.safety !== 'none') {
          this.#isFlushed = true
          this.#tellSafe(event.packet)
        }
        this.#pump()
        return
      case 'closed':
        void this.#telling.then(() => this.#settle?.({}))
        return
      case 'failed':
        this.#settle?.({ error: new DfsError('IO_ERROR', event.reason) })
        return
      case 'recover':
        this.#leaveOut(event).then(
          () => this.#start(event.mode, event),
          (error: unknown) => {
            if (!isDfsError(error)) throw error
            this.#settle?.({ error })
          },
        )
        return
      default:
        unreachable(event)
    }
  }

  /** A flush ends, for its caller, when the namenode knows of it: only then does the file count as safe so far. */
  #tellSafe({ seqno, safety }: SimPacket): void {
    const length = this.#machine.bytesAcked
    const sentAt = this.#sentAt.get(seqno) ?? 0
    this.#telling = this.#telling.then(async () => {
      try {
        await this.#tellLength(length)
        if (!this.#isOver) this.#file.onSafe(length, safety, sentAt)
      } catch (error) {
        if (!isDfsError(error)) throw error
        this.#settle?.({ error })
      }
    })
  }

  /** As the real writer: once per block, and again when a recovery gave it a new stamp. */
  async #tellLength(lastBlockLength: number): Promise<void> {
    const stamp = this.#block?.generationStamp ?? 0
    if (this.#isOver || stamp === this.#toldStamp) return
    const { path: src, fileId } = this.#file
    const { clientName: client } = this.#client
    await this.#client.call('fsync', { src, client, lastBlockLength, fileId })
    this.#toldStamp = stamp
  }

  async #leaveOut({ failed, mode }: Recovery): Promise<void> {
    this.#stream?.close()
    this.#stream = undefined
    for (const index of failed) {
      const node = this.#nodes[index]
      if (node !== undefined) this.#file.excluded.set(node.info.id.datanodeUuid, node.info)
    }
    if (mode !== 'new-block') {
      this.#nodes = this.#nodes.filter((_node, index) => !failed.includes(index))
      return
    }
    this.#machine.restarted()
    const block = this.#block
    if (block === undefined) return
    this.#block = undefined
    const { path: src, fileId } = this.#file
    const holder = this.#client.clientName
    await this.#client.call('abandonBlock', { b: block, src, holder, fileId })
  }

  async #allocate(): Promise<void> {
    const { path: src, fileId, excluded } = this.#file
    const { clientName } = this.#client
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { block } = await this.#client.call('addBlock', {
          ...{ src, clientName, fileId, excludeNodes: [...excluded.values()] },
          ...(this.#previous === undefined ? {} : { previous: this.#previous }),
        })
        this.#adopt(block)
        return
      } catch (error) {
        if (!isDfsError(error, 'NO_DATANODES') || attempt === allocationsMax) throw error
        excluded.clear()
        await this.#client.pause(allocationPauseMs * attempt)
      }
    }
  }

  #adopt({ b, locs, storageIDs }: Pick<LocatedBlock, 'b' | 'locs' | 'storageIDs'>): void {
    this.#block = b
    this.#nodes = nodesOf({ locs, storageIDs })
  }

  #bytesAcked(recovery: Recovery | undefined): number {
    return recovery?.bytesAcked ?? this.#appendTo ?? 0
  }

  /** As the real writer: another datanode gets a copy of what was acknowledged, and joins, if HDFS's rule wants it. */
  async #replaceLost(mode: RecoveryMode, bytesAcked: number): Promise<void> {
    const { replication } = this.#client.world.config
    const [nodeCount, isAppend] = [this.#nodes.length, this.#appendTo !== undefined]
    const reduced = { mode, replication, nodeCount, isAppend, isFlushed: this.#isFlushed }
    if (!wantsReplacement('DEFAULT', reduced)) return
    const block = { ...defined(this.#block, 'block'), numBytes: bytesAcked }
    const answer = await this.#client.call('getAdditionalDatanode', {
      ...{ src: this.#file.path, fileId: this.#file.fileId, blk: block, numAdditionalNodes: 1 },
      existings: this.#nodes.map(({ info }) => info),
      existingStorageUuids: this.#nodes.map(({ storageId }) => storageId),
      excludes: [...this.#file.excluded.values()],
      clientName: this.#client.clientName,
    })
    const nodes = nodesOf(answer.block)
    const uuidOf = ({ info }: Node): string => info.id.datanodeUuid
    const [position] = newcomersOf(this.#nodes.map(uuidOf), nodes.map(uuidOf))
    const newcomer = position === undefined ? undefined : nodes[position]
    if (position === undefined || newcomer === undefined) return
    for (const index of copySources(position, nodes.length)) {
      const source = nodes[index]
      if (source !== undefined && (await this.#copy(source, newcomer, block))) {
        this.#nodes = nodes
        return
      }
    }
    this.#file.excluded.set(newcomer.info.id.datanodeUuid, newcomer.info)
  }

  /** False when the copy did not arrive. */
  async #copy(source: Node, target: Node, block: ExtendedBlock): Promise<boolean> {
    const { world, peer } = this.#client
    const datanode = world.datanode(source.info.id.ipAddr)
    const [id, stamp] = [blockId(block.blockId), generationStamp(block.generationStamp)]
    try {
      await world.network.call(peer, datanode.peer, () =>
        datanode.sendOpenReplica({ id, stamp, length: block.numBytes }, target.info.id.ipAddr),
      )
      return true
    } catch (error) {
      if (isDfsError(error)) return false
      throw error
    }
  }

  async #newStamp(bytesAcked: number): Promise<number> {
    const { block } = await this.#client.call('updateBlockForPipeline', {
      block: { ...defined(this.#block, 'block'), numBytes: bytesAcked },
      clientName: this.#client.clientName,
    })
    return block.b.generationStamp
  }

  async #updatePipeline(newStamp: number, numBytes: number): Promise<void> {
    const oldBlock = { ...defined(this.#block, 'block'), numBytes }
    const newBlock = { ...oldBlock, generationStamp: newStamp }
    await this.#client.call('updatePipeline', {
      ...{ clientName: this.#client.clientName, oldBlock, newBlock },
      newNodes: this.#nodes.map(({ info }) => info.id),
      storageIDs: this.#nodes.map(({ storageId }) => storageId),
    })
    this.#block = newBlock
  }
}

function nodesOf({ locs, storageIDs }: Pick<LocatedBlock, 'locs' | 'storageIDs'>): readonly Node[] {
  return locs.map((info, index) => ({ info, storageId: storageIDs[index] ?? '' }))
}
