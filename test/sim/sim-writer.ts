import { assert, defined, unreachable } from '../../base/assert.ts'
import {
  type PipelineEvent,
  type PipelinePacket,
  type RecoveryMode,
  WritePipeline,
} from '../../client/core/write-pipeline.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { DatanodeInfo, ExtendedBlock } from '../../protocol/messages/hdfs-blocks.ts'
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
  readonly onSafe: (length: number, safety: Safety) => void
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
  append: 'append',
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
  readonly #machine: WritePipeline<SimPacket>
  #block: ExtendedBlock | undefined
  #nodes: readonly Node[] = []
  #stream: Stream | undefined
  #lastSign = 0
  #settle: ((result: { readonly error?: DfsError }) => void) | undefined

  constructor(client: SimClient, file: SimOpenFile, previous: ExtendedBlock | undefined) {
    this.#client = client
    this.#file = file
    this.#previous = previous
    const packetsInFlightMax = limits.packetsInFlightMax
    this.#machine = new WritePipeline({ packetsInFlightMax, recoveriesPerPacketMax })
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
        this.#settle = resolve
        this.#start('new-block', undefined)
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
    let newStamp = 0
    if (mode === 'new-block') await this.#allocate()
    else newStamp = await this.#newStamp(recovery?.bytesAcked ?? 0)
    const failed = await this.#open(mode, newStamp, recovery)
    if (failed !== undefined) {
      this.#handle(this.#machine.broken(failed, this.#nodes.length))
      return
    }
    if (mode === 'new-block') return
    assert(oldBlock !== undefined, 'a block under recovery is allocated')
    await this.#updatePipeline(newStamp, recovery?.bytesAcked ?? 0)
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
      const first = defined(this.#nodes[0], 'first node')
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
      stage: stages[mode],
      blockId: blockId(block.blockId),
      generationStamp: generationStamp(block.generationStamp),
      newStamp: generationStamp(newStamp),
      targets: this.#nodes.slice(1).map(({ info }) => info.id.ipAddr),
      lengthMin: recovery?.bytesAcked ?? 0,
      lengthMax: recovery?.bytesSent ?? 0,
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
      stream.send({ kind: 'packet', shape, source, from })
    }
  }

  #handle(event: PipelineEvent<SimPacket>): void {
    switch (event.kind) {
      case 'none':
        return
      case 'acknowledged':
        if (event.packet.safety !== 'none') {
          this.#file.onSafe(this.#machine.bytesAcked, event.packet.safety)
        }
        this.#pump()
        return
      case 'closed':
        this.#settle?.({})
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
        this.#block = block.b
        this.#nodes = block.locs.map((info, index) => ({
          info,
          storageId: block.storageIDs[index] ?? '',
        }))
        return
      } catch (error) {
        if (!isDfsError(error, 'NO_DATANODES') || attempt === allocationsMax) throw error
        excluded.clear()
        await this.#client.pause(allocationPauseMs * attempt)
      }
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
