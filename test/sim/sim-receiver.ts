import { unreachable } from '../../base/assert.ts'
import { BlockReceiver, type ReceiverAction } from '../../datanode/core/block-receiver.ts'
import { isDfsError } from '../../protocol/errors.ts'
import type { StreamEnd } from './network.ts'
import type { PipelineMessage, WriteOperation } from './pipeline-messages.ts'
import type { SimReplicaStore, SimWriter } from './sim-replica-store.ts'

const chunkBytes = 512
/** As the real datanode: a shorter packet is with the kernel before it is acknowledged. */
const flushedPacketBytesMax = 32 * 1024

type Stream = StreamEnd<PipelineMessage>
type Packet = Extract<PipelineMessage, { kind: 'packet' }>

export interface SimReceiverParts {
  readonly name: string
  readonly store: SimReplicaStore
  /** Opens a stream to another datanode's transfer port. */
  readonly connect: (target: string) => Stream
}

/**
 * One write operation at a simulated datanode: the real {@link BlockReceiver} decides, streams of messages take the
 * place of sockets.
 */
export class SimReceiver {
  readonly #parts: SimReceiverParts
  readonly #up: Stream
  readonly #operation: WriteOperation
  readonly #waiting: Packet[] = []
  #down: Stream | undefined
  #writer: SimWriter | undefined
  #core: BlockReceiver | undefined
  #isOver = false

  constructor(parts: SimReceiverParts, up: Stream, operation: WriteOperation) {
    this.#parts = parts
    this.#up = up
    this.#operation = operation
  }

  /** Takes over the stream. */
  start(): void {
    this.#up.onMessage = (message) => {
      if (message.kind === 'packet') this.#packet(message)
    }
    this.#up.onClose = () => {
      this.#end(false)
    }
    void this.#open()
  }

  get #isCopy(): boolean {
    return this.#operation.stage === 'copy' || this.#operation.stage === 'join'
  }

  async #open(): Promise<void> {
    const { store } = this.#parts
    const { stage, blockId, generationStamp } = this.#operation
    try {
      if (stage === 'create' || stage === 'copy' || stage === 'join') {
        this.#writer = store.create(blockId, generationStamp, stage !== 'create')
      } else {
        this.#writer = await store.reopen({ ...this.#operation, event: stage })
      }
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#up.close()
      this.#isOver = true
      return
    }
    if (this.#isOver) {
      if (this.#writer !== undefined) await store.release(this.#writer)
      return
    }
    if (this.#writer !== undefined) {
      this.#writer.onAbandoned = () => {
        this.#end(false)
      }
    }
    this.#connectDown()
  }

  #connectDown(): void {
    const [next, ...rest] = this.#operation.targets
    if (next === undefined) {
      this.#opened()
      return
    }
    const down = this.#parts.connect(next)
    this.#down = down
    down.onMessage = (message) => {
      if (message.kind === 'answer') this.#answered(message.badNode)
      else if (message.kind === 'ack') {
        this.#run(this.#core?.downstreamAck(message.seqno, message.statuses) ?? [])
      }
    }
    down.onClose = () => {
      if (this.#core === undefined) this.#answered(next)
      else this.#run(this.#core.downstreamLost())
    }
    down.send({ kind: 'operation', operation: { ...this.#operation, targets: rest } })
    if (this.#isCopy) this.#opened()
  }

  /** The next node, or one behind it, is ready or has failed. */
  #answered(badNode: string | undefined): void {
    if (this.#isOver || this.#core !== undefined) return
    if (badNode === undefined) {
      this.#opened()
      return
    }
    this.#up.send({ kind: 'answer', badNode })
    this.#end(false)
  }

  #opened(): void {
    if (this.#isOver) return
    const { store } = this.#parts
    if (!this.#isCopy) this.#up.send({ kind: 'answer', badNode: undefined })
    const writer = this.#writer
    if (writer === undefined) {
      this.#end(true)
      return
    }
    this.#core = new BlockReceiver({
      length: store.find(writer.blockId)?.length ?? 0,
      bytesPerChecksum: chunkBytes,
      forwards: this.#down !== undefined,
      awaitsDownstream: this.#down !== undefined && !this.#isCopy,
      flushedPacketBytesMax: this.#isCopy ? 0 : flushedPacketBytesMax,
    })
    for (const packet of this.#waiting.splice(0)) this.#packet(packet)
  }

  #packet(packet: Packet): void {
    if (this.#isOver) return
    if (this.#core === undefined) {
      this.#waiting.push(packet)
      return
    }
    const placement = this.#core.place(packet.shape)
    if (placement.kind === 'refuse') {
      this.#end(false)
      return
    }
    this.#run(this.#core.packet(packet.shape, true), packet)
  }

  #run(actions: readonly ReceiverAction[], packet?: Packet): void {
    const { store } = this.#parts
    const writer = this.#writer
    if (writer === undefined) return
    for (const action of actions) {
      if (this.#isOver) return
      switch (action.kind) {
        case 'write':
          if (packet !== undefined && !this.#write(writer, packet)) return
          break
        case 'forward':
          if (packet !== undefined) this.#down?.send(packet)
          break
        case 'persist':
          void this.#persist(writer, action.how, action.ticket)
          break
        case 'ack':
          if (action.length !== undefined) store.acknowledge(writer, action.length)
          if (this.#isCopy) break
          this.#up.send({ kind: 'ack', seqno: action.seqno, statuses: action.statuses })
          break
        case 'done':
          if (this.#operation.stage === 'join') {
            this.#up.send({ kind: 'answer', badNode: undefined })
          }
          this.#end(true)
          break
        case 'fail':
          this.#end(false)
          break
        default:
          unreachable(action)
      }
    }
  }

  /** False when the disk failed, and the operation with it. */
  #write(writer: SimWriter, { shape, source, from }: Packet): boolean {
    const { offset, length } = shape
    try {
      this.#parts.store.write(writer, { offset, length, source, from, isRotten: false })
      return true
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#end(false)
      return false
    }
  }

  async #persist(
    writer: SimWriter,
    how: 'flush' | 'sync' | 'finalize',
    ticket: number,
  ): Promise<void> {
    const { store } = this.#parts
    try {
      const isJoining = this.#operation.stage === 'join'
      if (how === 'finalize') await store.finalize(writer, isJoining ? 'rbw' : 'finalized')
      else if (how === 'sync') await store.sync(writer)
      else await store.flush(writer)
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#end(false)
      return
    }
    if (!this.#isOver) this.#run(this.#core?.persisted(ticket) ?? [])
  }

  #end(isComplete: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#down?.close()
    this.#up.close()
    if (!isComplete && this.#writer !== undefined) void this.#parts.store.release(this.#writer)
  }
}
