/**
 * Decides which replica of a volume is verified next, so that every byte is verified within the period:
 *
 *     verified or written          half of the period               the whole period
 *           |---- left alone --------------|---- due, oldest first --------|---- late: faster
 *
 * 1. Oldest unverified first; a replica that somebody suspects goes before all others.
 * 2. The rate follows from what the volume holds: everything fits into half of what is left after it
 *    became due. It is bounded on both sides, a quarter of it while others need the disk, and four times
 *    as much when something is late.
 * 3. The queue holds one entry per replica as it was verified; an entry whose replica is gone, is being
 *    written or was verified since is skipped when its turn comes. Times only grow along the queue.
 * 4. Progress is each replica's own time, kept by the shell (D22): there is no cursor to lose.
 * 5. A time in the future says nothing: the replica is due.
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'

export const scrubLimits = {
  /** Bounds of the rate of one volume. */
  bytesPerSecondMin: 1024 * 1024,
  bytesPerSecondMax: 256 * 1024 * 1024,
  /** What even the smallest replica counts as, for its opens and seeks. */
  bytesPerReplicaMin: 64 * 1024,
  suspectsMax: 10_000,
  /** Entries the queue may hold beyond twice those of use. */
  uselessEntriesMin: 10_000,
  /** Share of the period after which a replica is due. */
  dueShare: 0.5,
  busyDivisor: 4,
  lateFactor: 4,
} as const

/** A finalized replica as the plan sees it. */
export interface ScrubSubject {
  readonly generationStamp: GenerationStamp
  readonly length: number
  /** When its bytes were last known to be right, by the wall clock. */
  readonly verifiedAt: Millis
}

/** What to verify now. */
export interface ScrubOrder {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
  /** How fast. */
  readonly bytesPerSecond: number
  readonly isSuspect: boolean
}

export interface ScrubberOptions {
  readonly periodMs: number
  /** The finalized replica of a block on this volume. */
  readonly find: (blockId: BlockId) => ScrubSubject | undefined
  /** Bytes of replicas on this volume. */
  readonly usedBytes: () => number
}

export class Scrubber {
  readonly #options: ScrubberOptions
  readonly #suspects = new Set<BlockId>()
  #blocks: BlockId[] = []
  #times: Millis[] = []
  #head = 0
  /** Entries that were of use when the queue was last cleared of the others. */
  #usefulCount = 0

  constructor(options: ScrubberOptions) {
    this.#options = options
  }

  /** Takes in the replicas found at the start, with the times at which they were verified; in any order. */
  load(found: readonly { readonly blockId: BlockId; readonly verifiedAt: Millis }[]): void {
    const sorted = [...found].sort((one, other) => one.verifiedAt - other.verifiedAt)
    this.#blocks = sorted.map(({ blockId }) => blockId)
    this.#times = sorted.map(({ verifiedAt }) => verifiedAt)
    this.#head = 0
  }

  /** A replica was written or verified just now. */
  add(blockId: BlockId, verifiedAt: Millis): void {
    this.#blocks.push(blockId)
    // A wall clock that was set back must not break the order.
    const last = this.#times.at(-1)
    this.#times.push(last !== undefined && last > verifiedAt ? last : verifiedAt)
    if (this.#blocks.length > 2 * this.#usefulCount + scrubLimits.uselessEntriesMin) this.#clear()
  }

  /** A reader or a copy found something wrong with the replica: it is verified first. */
  suspect(blockId: BlockId): void {
    if (this.#suspects.size < scrubLimits.suspectsMax) this.#suspects.add(blockId)
  }

  /** Age of the byte that was not verified for longest. */
  oldestAgeMs(now: Millis): number {
    const head = this.#peek()
    return head === undefined ? 0 : Math.max(0, now - head.subject.verifiedAt)
  }

  /** When something becomes due; `undefined` when there is nothing. */
  get dueAt(): number | undefined {
    if (this.#suspects.size > 0) return 0
    const head = this.#peek()
    if (head === undefined) return undefined
    return head.subject.verifiedAt + this.#options.periodMs * scrubLimits.dueShare
  }

  /**
   * Removes and returns what is to be verified at `now`, by the wall clock, or `undefined` when nothing is due.
   * The caller ends it with {@link add} when the replica was right, and leaves it out when it was not.
   */
  tick(now: Millis, isBusy: boolean): ScrubOrder | undefined {
    return this.#takeSuspect() ?? this.#takeOldest(now, isBusy)
  }

  /** Bytes per second that keep the promise for what the volume holds now. */
  rate(): number {
    const { periodMs, usedBytes } = this.#options
    const { bytesPerSecondMin, bytesPerSecondMax, dueShare } = scrubLimits
    const windowSeconds = (periodMs * (1 - dueShare)) / 2 / 1000
    return Math.min(bytesPerSecondMax, Math.max(bytesPerSecondMin, usedBytes() / windowSeconds))
  }

  #takeSuspect(): ScrubOrder | undefined {
    for (const blockId of this.#suspects) {
      this.#suspects.delete(blockId)
      const subject = this.#options.find(blockId)
      if (subject === undefined) continue
      const { generationStamp, length } = subject
      const bytesPerSecond = scrubLimits.bytesPerSecondMax
      return { blockId, generationStamp, length, bytesPerSecond, isSuspect: true }
    }
    return undefined
  }

  #takeOldest(now: Millis, isBusy: boolean): ScrubOrder | undefined {
    const { periodMs } = this.#options
    const { bytesPerSecondMax, busyDivisor, lateFactor, dueShare } = scrubLimits
    const head = this.#peek()
    if (head === undefined) return undefined
    const ageMs = now - head.subject.verifiedAt
    // Of a time in the future, from before the clock was set back, nobody knows how long ago it was.
    if (ageMs >= 0 && ageMs < periodMs * dueShare) return undefined
    this.#head += 1
    const isLate = ageMs > periodMs
    const factor = isLate ? lateFactor : isBusy ? 1 / busyDivisor : 1
    const bytesPerSecond = Math.min(bytesPerSecondMax, this.rate() * factor)
    const { generationStamp, length } = head.subject
    return { blockId: head.blockId, generationStamp, length, bytesPerSecond, isSuspect: false }
  }

  /** The first entry that still speaks of a replica as it is; those before it are dropped. */
  #peek(): { readonly blockId: BlockId; readonly subject: ScrubSubject } | undefined {
    for (; this.#head < this.#blocks.length; this.#head += 1) {
      const blockId = this.#blocks[this.#head]
      const time = this.#times[this.#head]
      if (blockId === undefined || time === undefined) break
      const subject = this.#options.find(blockId)
      if (subject !== undefined && subject.verifiedAt <= time) return { blockId, subject }
    }
    return undefined
  }

  /** Drops entries of replicas that are gone, so that short-lived blocks do not fill the queue. */
  #clear(): void {
    const blocks: BlockId[] = []
    const times: Millis[] = []
    for (let index = this.#head; index < this.#blocks.length; index += 1) {
      const blockId = this.#blocks[index]
      const time = this.#times[index]
      if (blockId === undefined || time === undefined) continue
      const subject = this.#options.find(blockId)
      if (subject === undefined || subject.verifiedAt > time) continue
      blocks.push(blockId)
      times.push(time)
    }
    this.#blocks = blocks
    this.#times = times
    this.#head = 0
    this.#usefulCount = blocks.length
  }
}
