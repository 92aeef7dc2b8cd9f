/**
 * The writer's half of a pipeline, one block long: data queue, ack queue, bound on packets in flight,
 * and what to do when a datanode fails. No sockets: the owner sends what `nextToSend` gives, reports
 * acknowledgements and failures, and obeys the event it gets back. Recovery is a value, not an exception.
 *
 *                 established()               last packet acknowledged
 *     connecting ──────────────> streaming ────────────────────────────> closed
 *         ^  │ broken()             │ acked(bad status), broken()
 *         │  └──────────┬───────────┘
 *         │             v
 *         └──────── (recover: the owner connects again) ──too many, or no node left──> failed
 *
 *     enqueue() ─> dataQueue ─nextToSend()─> ackQueue ─acked()─> done
 *                     ^                         │
 *                     └────── broken() ─────────┘   unacknowledged packets go back in front, in order
 *
 * How a broken pipeline goes on depends on what was acknowledged (HDFS: DataStreamer, PIPELINE_SETUP stages):
 *   - `new-block`: nothing was; no reader has seen a byte of it, every byte is still here, so the block
 *     is abandoned and written anew with a full set of datanodes
 *   - `streaming`: some; the nodes left go on from there under a new generation stamp
 *   - `close`: all but the closing packet; the nodes left finalize, no packet follows
 *
 * Invariants:
 *   C4. Packets are sent and acknowledged in the order of their sequence numbers, without gaps.
 *   C5. A packet is held until all datanodes of the pipeline acknowledged it.
 *   C6. The closing packet is sent when all data is acknowledged, or right behind the only data packet
 *       of the block: then a failure finds either nothing acknowledged or everything, and no node
 *       that is finalized already has to be reopened.
 *   C7. At most `recoveriesPerPacketMax` recoveries find the same packet the oldest unacknowledged one.
 */
import { assert } from '../../base/assert.ts'
import { heartbeatSeqno, unsolicitedSeqno } from '../../protocol/data-transfer.ts'

/** What the machine knows of a packet; the owner's type adds the bytes. */
export interface PipelinePacket {
  readonly seqno: number
  /** Of the first data byte in the block; for the closing packet the length of the block. */
  readonly offsetInBlock: number
  readonly dataBytes: number
  readonly isLast: boolean
}

/** Bounds of a pipeline. */
export interface WritePipelineLimits {
  /** Packets queued and unacknowledged together; `hasRoom` is false at this many. */
  readonly packetsInFlightMax: number
  readonly recoveriesPerPacketMax: number
}

/** How the next set-up continues the block. */
export type RecoveryMode = 'new-block' | 'streaming' | 'close'

/** What an acknowledgement or a failure means for the owner. */
export type PipelineEvent<P> =
  | { readonly kind: 'none' }
  | { readonly kind: 'acknowledged'; readonly packet: P }
  | { readonly kind: 'closed'; readonly packet: P }
  | {
      readonly kind: 'recover'
      readonly mode: RecoveryMode
      /** Positions in the pipeline of the nodes to leave out. */
      readonly failed: readonly number[]
      /** Oldest first; already back in the data queue. */
      readonly unacked: readonly P[]
      readonly bytesAcked: number
      readonly bytesSent: number
    }
  | { readonly kind: 'failed'; readonly reason: 'too-many-recoveries' | 'no-datanode-left' }

/** An acknowledgement as the wire carries it, statuses reduced to their verdict. */
export interface PipelineAcknowledgement {
  readonly seqno: number
  /** One per node of the pipeline, first the node we talk to. */
  readonly isGood: readonly boolean[]
}

type State = 'connecting' | 'streaming' | 'closed' | 'failed'

const none = { kind: 'none' } as const

export class WritePipeline<P extends PipelinePacket> {
  readonly #limits: WritePipelineLimits
  #dataQueue: P[] = []
  #ackQueue: P[] = []
  #state: State = 'connecting'
  #nodeCount = 0
  #bytesAcked = 0
  #bytesSent = 0
  #dataPackets = 0
  #hasAcknowledged = false
  #recoveriesOfPacket = 0
  #recoveringSeqno = -1
  #nextSeqno: number

  /** @param firstSeqno sequence number of the first packet that will be queued */
  constructor(limits: WritePipelineLimits, firstSeqno = 0) {
    this.#limits = limits
    this.#nextSeqno = firstSeqno
  }

  get state(): State {
    return this.#state
  }

  /** Bytes of the block that every datanode of the pipeline has. */
  get bytesAcked(): number {
    return this.#bytesAcked
  }

  /** Queued and unacknowledged packets. */
  get packetsInFlight(): number {
    return this.#dataQueue.length + this.#ackQueue.length
  }

  /** False while the bound on packets in flight is reached: the writer must wait for acknowledgements. */
  get hasRoom(): boolean {
    return this.packetsInFlight < this.#limits.packetsInFlightMax
  }

  /** Queues a packet. The closing packet may be queued without room: it carries no data. */
  enqueue(packet: P): void {
    assert(packet.seqno === this.#nextSeqno, `packet ${this.#nextSeqno} must come next`)
    assert(this.hasRoom || packet.isLast, 'the pipeline must have room')
    this.#nextSeqno += 1
    if (!packet.isLast) this.#dataPackets += 1
    this.#dataQueue.push(packet)
  }

  /** A connection through `nodeCount` datanodes is up; unacknowledged packets will be sent again. */
  established(nodeCount: number): void {
    assert(this.#state === 'connecting', `a pipeline that is ${this.#state} cannot be established`)
    assert(nodeCount > 0, 'a pipeline needs a datanode')
    this.#nodeCount = nodeCount
    this.#state = 'streaming'
  }

  /** The datanodes finalized the block during set-up (mode `close`): no packet follows. */
  establishedClosed(): PipelineEvent<P> {
    assert(this.#state === 'connecting', `a pipeline that is ${this.#state} cannot be established`)
    const packet = this.#dataQueue[0]
    assert(packet?.isLast, 'only the closing packet may be missing')
    this.#dataQueue = []
    this.#state = 'closed'
    return { kind: 'closed', packet }
  }

  /** Moves the next packet to the ack queue and returns it, or `undefined` when none may be sent now. */
  nextToSend(): P | undefined {
    if (this.#state !== 'streaming') return undefined
    const packet = this.#dataQueue[0]
    if (packet === undefined || (packet.isLast && !this.#mayClose())) return undefined
    this.#dataQueue.shift()
    this.#ackQueue.push(packet)
    this.#bytesSent = Math.max(this.#bytesSent, packet.offsetInBlock + packet.dataBytes)
    return packet
  }

  /** Handles an acknowledgement. One that does not fit the order counts as a failure of the first node. */
  acked(ack: PipelineAcknowledgement): PipelineEvent<P> {
    if (this.#state !== 'streaming') return none
    const failed = ack.isGood.lastIndexOf(false)
    if (failed !== -1) return this.broken(failed)
    if (ack.seqno === heartbeatSeqno || ack.seqno === unsolicitedSeqno) return none
    const packet = this.#ackQueue[0]
    if (packet?.seqno !== ack.seqno) return this.broken(0)
    this.#ackQueue.shift()
    this.#hasAcknowledged = true
    if (packet.isLast) {
      this.#state = 'closed'
      return { kind: 'closed', packet }
    }
    this.#bytesAcked = Math.max(this.#bytesAcked, packet.offsetInBlock + packet.dataBytes)
    return { kind: 'acknowledged', packet }
  }

  /**
   * Handles the loss of the node at `failed`: a bad status, a closed connection, or, while connecting,
   * a set-up that was refused. `nodeCount` names the pipeline of a set-up that never was established.
   */
  broken(failed: number, nodeCount: number = this.#nodeCount): PipelineEvent<P> {
    if (this.#state === 'closed' || this.#state === 'failed') return none
    const unacked = this.#ackQueue
    this.#dataQueue = [...unacked, ...this.#dataQueue]
    this.#ackQueue = []
    this.#state = 'connecting'
    const oldest = this.#dataQueue[0]?.seqno ?? this.#nextSeqno
    this.#recoveriesOfPacket = oldest === this.#recoveringSeqno ? this.#recoveriesOfPacket + 1 : 1
    this.#recoveringSeqno = oldest
    if (this.#recoveriesOfPacket > this.#limits.recoveriesPerPacketMax) {
      return this.#fail('too-many-recoveries')
    }
    const mode = this.#mode()
    if (mode !== 'new-block' && nodeCount <= 1) return this.#fail('no-datanode-left')
    return {
      kind: 'recover',
      mode,
      failed: [failed],
      unacked,
      bytesAcked: this.#bytesAcked,
      bytesSent: this.#bytesSent,
    }
  }

  /** A new block takes the place of one of which nothing was acknowledged; its nodes have nothing yet. */
  restarted(): void {
    assert(this.#state === 'connecting' && !this.#hasAcknowledged, 'acknowledged bytes must stay')
    this.#bytesSent = 0
  }

  #mayClose(): boolean {
    const isBehindOnlyPacket = this.#dataPackets <= 1 && !this.#hasAcknowledged
    return this.#ackQueue.length === 0 || isBehindOnlyPacket
  }

  #mode(): RecoveryMode {
    if (!this.#hasAcknowledged) return 'new-block'
    const oldest = this.#dataQueue[0]
    return oldest?.isLast === true ? 'close' : 'streaming'
  }

  #fail(reason: 'too-many-recoveries' | 'no-datanode-left'): PipelineEvent<P> {
    this.#state = 'failed'
    return { kind: 'failed', reason }
  }
}
