/**
 * One replica being received through a pipeline: which bytes of a packet are new, what must be on
 * disk before an acknowledgement, and in which order acknowledgements go upstream. Bytes never come
 * here, only their lengths and whether their checksums were right.
 *
 *     upstream --packets--> [verify] --write--> disk
 *              <---acks---- [queue ] --forward--> downstream --acks--> [queue]
 *
 * 1. Packets are taken in the order of their offsets: a gap is refused, an overlap is skipped (D2).
 * 2. Acks leave in packet order; one leaves when the packet is as safe here as it asked to be and the
 *    downstream acknowledged it (D6).
 * 3. The last packet is finalized only after every earlier packet is acknowledged, and acknowledged
 *    only when finalized (D8).
 * 4. Once the downstream is lost nothing is forwarded and every further ack says so; the client rebuilds
 *    the pipeline.
 *
 * Rules from org.apache.hadoop.hdfs.server.datanode.BlockReceiver and its PacketResponder.
 */
import { assert } from '../../base/assert.ts'
import type { Status } from '../../protocol/messages/data-transfer.ts'

/** A packet without its bytes. */
export interface PacketShape {
  /** Offset in the block of the first byte. */
  readonly offset: number
  /** Bytes of data. */
  readonly length: number
  readonly seqno: number
  readonly isLast: boolean
  readonly isSync: boolean
}

/**
 * Where the data of a packet belongs.
 * - `append`: all of it follows what is here
 * - `overlap`: its first `skip` bytes are here already, the others follow
 * - `known`: all of it is here
 * - `empty`: it has none
 */
export type Placement =
  | { readonly kind: 'append' }
  | { readonly kind: 'overlap'; readonly skip: number }
  | { readonly kind: 'known' }
  | { readonly kind: 'empty' }
  | { readonly kind: 'refuse'; readonly reason: string }

/** How safe a packet must be before it is acknowledged. */
export type Persistence = 'flush' | 'sync' | 'finalize'

/** What the shell is to do, in order. */
export type ReceiverAction =
  /** Send the packet downstream, as it came. */
  | { readonly kind: 'forward' }
  /** Keep the packet's new bytes and checksums. */
  | { readonly kind: 'write' }
  /** Make everything received so far this safe, then call `persisted(ticket)`. */
  | { readonly kind: 'persist'; readonly how: Persistence; readonly ticket: number }
  /** Send an ack upstream. `length` bytes of the block are acknowledged by it, if any are. */
  | {
      readonly kind: 'ack'
      readonly seqno: number
      readonly statuses: readonly Status[]
      readonly length: number | undefined
    }
  /** The block is complete and acknowledged. */
  | { readonly kind: 'done' }
  /** Close the connections: nothing sensible can follow. */
  | { readonly kind: 'fail'; readonly reason: string }

export interface BlockReceiverOptions {
  /** Bytes of the block that are here at the start. */
  readonly length: number
  readonly bytesPerChecksum: number
  /** True when packets go on to another datanode. */
  readonly forwards: boolean
  /** True when that datanode acknowledges them: in a client's pipeline. */
  readonly awaitsDownstream: boolean
  /** A shorter packet is on its way to disk before it is acknowledged: it may end an hflush. */
  readonly flushedPacketBytesMax: number
}

interface PendingPacket {
  readonly ticket: number
  readonly seqno: number
  readonly length: number
  readonly isLast: boolean
  readonly own: Status
  isSafe: boolean
  downstream: readonly Status[] | undefined
}

const heartbeatSeqno = -1
const unsolicitedSeqno = -2
const nobody: readonly Status[] = []
const lost: readonly Status[] = ['ERROR']

/** See the head of this file. */
export class BlockReceiver {
  readonly #options: BlockReceiverOptions
  readonly #pending: PendingPacket[] = []
  #length: number
  #nextTicket = 1
  /** What the nodes further down are answered for since the downstream was lost. */
  #lostStatuses: readonly Status[] | undefined
  #hasFailedAck = false
  #isEnded = false
  #isFinalizing = false

  constructor(options: BlockReceiverOptions) {
    this.#options = options
    this.#length = options.length
  }

  /** Bytes of the block that were received and verified. */
  get length(): number {
    return this.#length
  }

  /** Packets not acknowledged upstream yet. */
  get pendingCount(): number {
    return this.#pending.length
  }

  /** Says where a packet's data belongs, before it is read. */
  place(packet: PacketShape): Placement {
    const { offset, length, seqno, isLast } = packet
    const { bytesPerChecksum } = this.#options
    if (this.#isEnded) return refuse(`packet ${seqno} follows the last one`)
    if (seqno === heartbeatSeqno) {
      return length === 0 ? { kind: 'empty' } : refuse('a heartbeat carries data')
    }
    if (offset > this.#length || (isLast && offset !== this.#length)) {
      return refuse(`packet ${seqno} is at offset ${offset}, expected ${this.#length}`)
    }
    if (length === 0) return { kind: 'empty' }
    const used = offset % bytesPerChecksum
    if (used > 0 && length > bytesPerChecksum - used) {
      return refuse(
        `packet ${seqno} at offset ${offset} has ${length} bytes, ` +
          `at most ${bytesPerChecksum - used} are left of its first chunk`,
      )
    }
    if (offset + length <= this.#length) return { kind: 'known' }
    if (offset === this.#length) return { kind: 'append' }
    return { kind: 'overlap', skip: this.#length - offset }
  }

  /** Takes in a packet that {@link place} did not refuse; `isIntact` says what its checksums did. */
  packet(packet: PacketShape, isIntact: boolean): ReceiverAction[] {
    const { offset, length, seqno, isLast } = packet
    const placement = this.place(packet)
    assert(placement.kind !== 'refuse', `refused packet ${seqno} must not be taken in`)
    const actions: ReceiverAction[] = []
    if (!isIntact) {
      this.#isEnded = true
      this.#add(packet, { own: 'ERROR_CHECKSUM', isSafe: true })
      return this.#release(actions)
    }
    const isNew = placement.kind === 'append' || placement.kind === 'overlap'
    if (this.#options.forwards && this.#lostStatuses === undefined)
      actions.push({ kind: 'forward' })
    if (isNew) {
      this.#length = offset + length
      actions.push({ kind: 'write' })
    }
    if (isLast) this.#isEnded = true
    const how = this.#persistence(packet, isNew)
    const entry = this.#add(packet, { own: 'SUCCESS', isSafe: how === undefined && !isLast })
    if (how !== undefined) actions.push({ kind: 'persist', how, ticket: entry.ticket })
    return this.#release(actions)
  }

  /** Notes that a `persist` action is done. */
  persisted(ticket: number): ReceiverAction[] {
    const entry = this.#pending.find((pending) => pending.ticket === ticket)
    if (entry !== undefined) entry.isSafe = true
    return this.#release([])
  }

  /** Takes in an ack from downstream. */
  downstreamAck(seqno: number, statuses: readonly Status[]): ReceiverAction[] {
    if (this.#lostStatuses !== undefined) return []
    if (statuses.includes('ERROR_CHECKSUM')) {
      return [{ kind: 'fail', reason: 'the downstream found data from here corrupt' }]
    }
    if (seqno === unsolicitedSeqno) return this.#unsolicited(statuses)
    const entry = this.#pending.find(({ downstream }) => downstream === undefined)
    if (entry?.seqno !== seqno) return this.downstreamLost()
    entry.downstream = statuses
    return this.#release([])
  }

  /** Takes in that the downstream connection is gone. */
  downstreamLost(): ReceiverAction[] {
    if (this.#lostStatuses !== undefined || !this.#options.forwards) return []
    if (this.#options.awaitsDownstream) return this.#loseDownstream(lost)
    this.#lostStatuses = nobody
    return []
  }

  #unsolicited(statuses: readonly Status[]): ReceiverAction[] {
    // A restart of a node is announced before it happens: the pipeline goes on until it is gone.
    const isRestart = statuses.includes('OOB_RESTART')
    if (!isRestart) return this.#loseDownstream(statuses)
    return [ack(unsolicitedSeqno, ['SUCCESS', ...statuses], undefined)]
  }

  #loseDownstream(statuses: readonly Status[]): ReceiverAction[] {
    this.#lostStatuses = statuses
    const wasIdle = this.#pending.length === 0
    for (const entry of this.#pending) entry.downstream ??= statuses
    if (!wasIdle || this.#isEnded) return this.#release([])
    return [ack(unsolicitedSeqno, ['SUCCESS', ...statuses], undefined)]
  }

  #persistence(packet: PacketShape, isNew: boolean): 'flush' | 'sync' | undefined {
    if (packet.isLast || packet.seqno === heartbeatSeqno) return undefined
    if (packet.isSync) return 'sync'
    return isNew && packet.length < this.#options.flushedPacketBytesMax ? 'flush' : undefined
  }

  #add(
    packet: PacketShape,
    { own, isSafe }: { readonly own: Status; readonly isSafe: boolean },
  ): PendingPacket {
    const isAwaited = this.#options.awaitsDownstream && own === 'SUCCESS'
    const downstream = isAwaited ? this.#lostStatuses : nobody
    const entry: PendingPacket = {
      ticket: this.#nextTicket,
      seqno: packet.seqno,
      length: this.#length,
      isLast: packet.isLast,
      own,
      isSafe,
      downstream,
    }
    this.#nextTicket += 1
    this.#pending.push(entry)
    return entry
  }

  /** Adds what has become due at the head of the queue. */
  #release(actions: ReceiverAction[]): ReceiverAction[] {
    for (let head = this.#pending[0]; head !== undefined; head = this.#pending[0]) {
      if (head.isLast && !head.isSafe && !this.#startFinalizing(head, actions)) return actions
      if (!head.isSafe || head.downstream === undefined) return actions
      this.#pending.shift()
      const statuses = [head.own, ...head.downstream]
      const isClean = statuses.every((status) => status === 'SUCCESS')
      if (!isClean) this.#hasFailedAck = true
      actions.push(ack(head.seqno, statuses, isClean ? head.length : undefined))
      if (head.own !== 'SUCCESS') {
        actions.push({ kind: 'fail', reason: `packet ${head.seqno} does not match its checksums` })
      }
      if (head.isLast && isClean) actions.push({ kind: 'done' })
    }
    return actions
  }

  /**
   * Begins to finalize once, when the last packet is at the head. After a failure downstream it is not:
   * the client will rebuild the pipeline and close it under a new stamp. What counts is what the nodes further down
   * answered for this packet: one that is lost after that, or behind a copy, changes nothing. Returns true when
   * the packet need not wait for it.
   */
  #startFinalizing(head: PendingPacket, actions: ReceiverAction[]): boolean {
    if (this.#isFinalizing) return false
    const isFailed = head.downstream?.some((status) => status !== 'SUCCESS') === true
    if (isFailed || this.#hasFailedAck) {
      head.isSafe = true
      return true
    }
    this.#isFinalizing = true
    actions.push({ kind: 'persist', how: 'finalize', ticket: head.ticket })
    return false
  }
}

function ack(
  seqno: number,
  statuses: readonly Status[],
  length: number | undefined,
): ReceiverAction {
  return { kind: 'ack', seqno, statuses, length }
}

function refuse(reason: string): Placement {
  return { kind: 'refuse', reason }
}
