/**
 * The writer's half of a pipeline, one block long: data queue, ack queue, bound on packets in flight,
 * and what to do when a datanode fails. No sockets: the owner sends what `nextToSend` gives, reports
 * acknowledgements and failures, and obeys the event it gets back. Recovery is a value, not an exception.
 *
 *                 established()               last packet acknowledged
 *     connecting ──────────────> streaming ────────────────────────────> closed
 *         ^  │ broken()             │ acked(bad status, stays slow), broken()
 *         │  └──────────┬───────────┘
 *         │             v
 *         └──────── (recover: the owner connects again) ────────too many in a row────> failed
 *
 *     enqueue() ─> dataQueue ─nextToSend()─> ackQueue ─acked()─> done
 *                     ^                         │
 *                     └────── broken() ─────────┘   unacknowledged packets go back in front, in order
 *
 * How a broken pipeline goes on depends on what was acknowledged (HDFS: DataStreamer, PIPELINE_SETUP stages):
 *   - `new-block`: nothing was; no reader has seen a byte of it, every byte is still here, so the block
 *     is abandoned and written anew with a full set of datanodes
 *   - `append`: an existing block could not be opened on all its datanodes; no packet was sent
 *   - `streaming`: some; the nodes left go on from there under a new generation stamp
 *   - `close`: all but the closing packet; the nodes left finalize, no packet follows
 *
 * Invariants:
 *   C4. Packets are sent and acknowledged in the order of their sequence numbers, without gaps.
 *   C5. A packet is held until all datanodes of the pipeline acknowledged it.
 *   C6. The closing packet is sent when all data is acknowledged, or right behind the only data packet
 *       of a new block: then a failure finds either nothing acknowledged or everything, and no node
 *       that is finalized already has to be reopened.
 *   C7. At most `recoveriesPerPacketMax` recoveries find the same packet the oldest unacknowledged one.
 */
import { assert } from '../../base/assert.ts'
import { heartbeatSeqno, unsolicitedSeqno } from '../../protocol/data-transfer.ts'
import { SlowNodes } from './replace-datanode.ts'

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
  /** Signs of slowness in a row before a datanode is left for another; 0 leaves none, as without it. */
  readonly slowSignsMax?: number | undefined
}

/** Where a block begins. */
export interface WritePipelineStart {
  /** Sequence number of the first packet that will be queued. */
  readonly firstSeqno?: number | undefined
  /** Bytes that the block has already, for one that is appended to. */
  readonly appendTo?: number | undefined
}

/** How the next set-up continues the block. */
export type RecoveryMode = 'new-block' | 'append' | 'streaming' | 'close'

/** Why a pipeline is set up again: a datanode failed, the slow one should make room for another, or one more may join. */
export type RecoveryCause = 'failed' | 'slow' | 'weak'

/** What an acknowledgement or a failure means for the owner. */
export type PipelineEvent<P> =
  | { readonly kind: 'none' }
  | { readonly kind: 'acknowledged'; readonly packet: P }
  | { readonly kind: 'closed'; readonly packet: P }
  | {
      readonly kind: 'recover'
      readonly mode: RecoveryMode
      readonly cause: RecoveryCause
      /** Positions in the pipeline of the nodes to leave out; none when the last one is tried again, or it grows. */
      readonly failed: readonly number[]
      /** Recoveries in a row, this one included, that find the same packet the oldest. */
      readonly attempt: number
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
  readonly #slowNodes: SlowNodes
  readonly #isAppend: boolean
  #dataQueue: P[] = []
  #ackQueue: P[] = []
  #state: State = 'connecting'
  #nodeCount = 0
  #bytesAcked = 0
  #bytesSent = 0
  #dataPackets = 0
  #hasAcknowledged = false
  #wasEstablished = false
  #recoveriesOfPacket = 0
  #recoveringSeqno = -1
  #nextSeqno: number

  constructor(limits: WritePipelineLimits, { firstSeqno = 0, appendTo }: WritePipelineStart = {}) {
    this.#limits = limits
    this.#nextSeqno = firstSeqno
    this.#isAppend = appendTo !== undefined
    this.#bytesAcked = this.#bytesSent = appendTo ?? 0
    this.#slowNodes = new SlowNodes(limits.slowSignsMax ?? 0)
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
    this.#wasEstablished = true
    this.#slowNodes.reset()
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
   * Handles what an acknowledgement says about speed, after {@link acked} took it in: which datanodes are
   * called slow. One that stays slow is answered with a recovery that puts another in its place, once.
   */
  judgeSpeed(isSlow: readonly boolean[], now: number): PipelineEvent<P> {
    if (this.#state !== 'streaming') return none
    const slow = this.#slowNodes.acked(isSlow, now)
    // With only the closing packet under way all is on disk but for a moment.
    if (slow === -1 || this.#mode() !== 'streaming') return none
    return this.#recover([slow], 'slow')
  }

  /**
   * Handles the loss of the node at `failed`: a bad status, a closed connection, or, while connecting,
   * a set-up that was refused. `nodeCount` names the pipeline of a set-up that never was established.
   * The last node that has the block is tried again: maybe only the connection was lost.
   */
  broken(failed: number, nodeCount: number = this.#nodeCount): PipelineEvent<P> {
    if (this.#state === 'closed' || this.#state === 'failed') return none
    const isLastNode = this.#mode() !== 'new-block' && nodeCount <= 1
    const event = this.#recover(isLastNode ? [] : [failed], 'failed')
    return event.kind === 'failed' && isLastNode ? { ...event, reason: 'no-datanode-left' } : event
  }

  /** Sets the pipeline up again with one more datanode: it lost one that nobody could replace at the time. */
  grow(): PipelineEvent<P> {
    if (this.#state !== 'streaming' || this.#mode() !== 'streaming') return none
    return this.#recover([], 'weak')
  }

  /** A new block takes the place of one of which nothing was acknowledged; its nodes have nothing yet. */
  restarted(): void {
    assert(this.#state === 'connecting' && !this.#hasAcknowledged, 'acknowledged bytes must stay')
    this.#bytesSent = 0
  }

  #recover(failed: readonly number[], cause: RecoveryCause): PipelineEvent<P> {
    const unacked = this.#ackQueue
    this.#dataQueue = [...unacked, ...this.#dataQueue]
    this.#ackQueue = []
    this.#state = 'connecting'
    const oldest = this.#dataQueue[0]?.seqno ?? this.#nextSeqno
    this.#recoveriesOfPacket = oldest === this.#recoveringSeqno ? this.#recoveriesOfPacket + 1 : 1
    this.#recoveringSeqno = oldest
    if (this.#recoveriesOfPacket > this.#limits.recoveriesPerPacketMax) {
      this.#state = 'failed'
      return { kind: 'failed', reason: 'too-many-recoveries' }
    }
    return {
      kind: 'recover',
      mode: this.#mode(),
      cause,
      failed,
      attempt: this.#recoveriesOfPacket,
      unacked,
      bytesAcked: this.#bytesAcked,
      bytesSent: this.#bytesSent,
    }
  }

  #mayClose(): boolean {
    const isBehindOnlyPacket = this.#dataPackets <= 1 && !this.#hasAcknowledged && !this.#isAppend
    return this.#ackQueue.length === 0 || isBehindOnlyPacket
  }

  #mode(): RecoveryMode {
    if (this.#isAppend && !this.#wasEstablished) return 'append'
    if (!this.#hasAcknowledged && !this.#isAppend) return 'new-block'
    const oldest = this.#ackQueue[0] ?? this.#dataQueue[0]
    return oldest?.isLast === true ? 'close' : 'streaming'
  }
}
