/**
 * Which replica of a block to read next, which datanodes are suspect, and when to ask the namenode for
 * locations again. No sockets, no clock: the reader reports what happened and asks what to do.
 *
 *     choose() ──> read(replica) ──ok──────────────> (done with the block)
 *        ^             │ failed(replica, reason)
 *        └─────────────┘
 *     no replica left ──> refresh ──refreshed()──> choose() …       at most `refreshesMax` times a block
 *     no refresh left ──> give-up
 *
 * Invariants:
 *   C2. A replica found corrupt is not read again while the file stays open, refresh or not.
 *   C3. Every replica that the namenode named is tried before a refresh, suspects last.
 */

/** Why a replica could not be read. Only `corrupt` speaks about the bytes; the others about the node. */
export type ReplicaFailure = 'corrupt' | 'missing' | 'unreachable' | 'busy' | 'refused'

/** What to do next for one block. */
export type ReadStep =
  | { readonly kind: 'read'; readonly index: number }
  | { readonly kind: 'refresh'; readonly delayMs: number }
  | { readonly kind: 'give-up'; readonly failures: readonly ReplicaAttempt[] }

/** One failed attempt, for the message of the final error. */
export interface ReplicaAttempt {
  readonly datanode: string
  readonly failure: ReplicaFailure
}

/** Bounds of a plan. */
export interface ReadPlanLimits {
  /** Times the namenode is asked again for one block within one read. */
  readonly refreshesMax: number
  /** Pause before the second refresh; doubles with each further one. The first is immediate. */
  readonly refreshDelayMs: number
  /** How long a datanode that could not be reached is tried last. */
  readonly suspectMs: number
}

export const defaultReadPlanLimits: ReadPlanLimits = {
  refreshesMax: 4,
  refreshDelayMs: 500,
  suspectMs: 10_000,
}

/** Datanodes that failed lately, shared by all readers of a client. Bounded by forgetting the oldest. */
export class Suspects {
  readonly #untilByDatanode = new Map<string, number>()
  readonly #suspectMs: number

  constructor(suspectMs: number) {
    this.#suspectMs = suspectMs
  }

  /** Marks `datanode` until `suspectMs` after `now`. */
  add(datanode: string, now: number): void {
    this.#untilByDatanode.delete(datanode)
    this.#untilByDatanode.set(datanode, now + this.#suspectMs)
    if (this.#untilByDatanode.size <= suspectsMax) return
    for (const oldest of this.#untilByDatanode.keys()) {
      this.#untilByDatanode.delete(oldest)
      break
    }
  }

  /** A datanode that answered is not suspect any more. */
  clear(datanode: string): void {
    this.#untilByDatanode.delete(datanode)
  }

  has(datanode: string, now: number): boolean {
    const until = this.#untilByDatanode.get(datanode)
    if (until === undefined) return false
    if (until > now) return true
    this.#untilByDatanode.delete(datanode)
    return false
  }

  /** Suspects at `now`, for exclude lists of new blocks. */
  list(now: number): readonly string[] {
    return [...this.#untilByDatanode.keys()].filter((datanode) => this.has(datanode, now))
  }
}

const suspectsMax = 1024

/** Datanodes whose replica was found corrupt, by block; shared by all reads of one open file. */
export type CorruptReplicas = Map<string, Set<string>>

/** The plan of one read. Blocks are named by a string key of the reader's choice. */
export class ReadPlan {
  readonly #limits: ReadPlanLimits
  readonly #suspects: Suspects
  readonly #corruptByBlock: CorruptReplicas
  #block = ''
  #tried = new Set<string>()
  #failures: ReplicaAttempt[] = []
  #refreshes = 0

  constructor(
    suspects: Suspects,
    corrupt: CorruptReplicas = new Map(),
    limits: ReadPlanLimits = defaultReadPlanLimits,
  ) {
    this.#suspects = suspects
    this.#corruptByBlock = corrupt
    this.#limits = limits
  }

  /** Starts a read of `block`: every replica but the corrupt ones may be tried again. */
  start(block: string): void {
    this.#block = block
    this.#tried = new Set()
    this.#failures = []
    this.#refreshes = 0
  }

  /** Chooses among `datanodes`, the holders of the block in the namenode's order, nearest first. */
  choose(datanodes: readonly string[], now: number): ReadStep {
    const corrupt = this.#corruptByBlock.get(this.#block)
    let fallback = -1
    for (const [index, datanode] of datanodes.entries()) {
      if (this.#tried.has(datanode) || corrupt?.has(datanode) === true) continue
      if (!this.#suspects.has(datanode, now)) return { kind: 'read', index }
      if (fallback === -1) fallback = index
    }
    if (fallback !== -1) return { kind: 'read', index: fallback }
    return this.#refreshOrGiveUp()
  }

  /** Records that reading from `datanode` failed. */
  failed(datanode: string, failure: ReplicaFailure, now: number): void {
    this.#tried.add(datanode)
    this.#failures.push({ datanode, failure })
    if (failure === 'corrupt') {
      const corrupt = this.#corruptByBlock.get(this.#block) ?? new Set()
      this.#corruptByBlock.set(this.#block, corrupt.add(datanode))
    } else if (failure === 'unreachable') {
      this.#suspects.add(datanode, now)
    }
  }

  /** Records progress: bytes came from `datanode`, so earlier failures of the others may be over. */
  progressed(datanode: string): void {
    this.#suspects.clear(datanode)
    this.#refreshes = 0
  }

  /** New locations have arrived: every replica but the corrupt ones may be tried again. */
  refreshed(): void {
    this.#tried = new Set()
  }

  #refreshOrGiveUp(): ReadStep {
    if (this.#refreshes >= this.#limits.refreshesMax) {
      return { kind: 'give-up', failures: this.#failures }
    }
    this.#refreshes += 1
    const doublings = this.#refreshes - 2
    const delayMs = doublings < 0 ? 0 : this.#limits.refreshDelayMs * 2 ** doublings
    return { kind: 'refresh', delayMs }
  }
}
