/**
 * What the block side knows, and does not know yet, after a start.
 *
 *     loading ──every row put──▶ (safe mode over?) ──▶ settled ─── repair may begin
 *        └────── grace: one dead interval from the first tick ──────┘
 *
 * While rows are loading, a replica without a block may only be early. Until it is settled what exists,
 * nothing can be said to be missing. During the grace a block from before the start is not copied before
 * all its replicas were accounted for: a datanode that has not come back yet is treated like one that
 * has been silent since the start.
 */
import { type Millis, millis } from '../../base/brand.ts'
import type { BlockId } from '../../protocol/ids.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { BlockHealth } from './redundancy.ts'

/** Block ids from `from` up to `below`, without it. */
export interface BlockIdRange {
  readonly from: number
  readonly below: number
}

/** What the block side does not know yet, as reports show it. */
export interface StartView {
  /** Blocks of the namespace; `undefined` while nobody knows. */
  readonly totalCount: number | undefined
  readonly isLoading: boolean
  /** Start-up safe mode ends then in any case. */
  readonly safeModeEndsInMs: number | undefined
  /** Blocks from before the start are left alone for so long. */
  readonly graceMs: number | undefined
}

function hasAccounted(health: BlockHealth): boolean {
  const { good, leaving, maintained, uncounted, corrupt, wanted } = health
  const away = leaving.length + maintained.length + uncounted.length + corrupt.length
  return good.length + away >= wanted
}

/** Loading, settling and the grace of a start. */
export class StartPhase {
  readonly #graceMs: number
  #isLoading = true
  #isSettled = false
  #totalCount: number | undefined
  /** Blocks from here on were never handed out, as far as is known. */
  #nextBlockId = 0
  #leftOut: readonly BlockIdRange[] = []
  #graceUntil: Millis | undefined
  /** Blocks all of whose replicas were accounted for during the grace: what they lack since is lost. */
  readonly #accounted = new Set<BlockId>()
  #graceIdLimit = 0

  constructor(settings: Settings) {
    this.#graceMs = settings['dfs.namenode.dead.datanode.interval']
  }

  /** Rows are still missing: a replica without a block may only be early. */
  get isLoading(): boolean {
    return this.#isLoading
  }

  /** Every row was put and start-up safe mode is over. */
  get isSettled(): boolean {
    return this.#isSettled
  }

  /** Until then blocks from before the start are left alone; `undefined` before the first tick. */
  get graceUntil(): Millis | undefined {
    return this.#graceUntil
  }

  /** Blocks the namespace has, until they are all loaded. */
  set totalCount(count: number) {
    this.#totalCount = count
  }

  /** Number of blocks to judge safe mode by; `rowCount` is what is loaded. */
  blockCount(rowCount: number): number | undefined {
    return this.#isLoading ? this.#totalCount : rowCount
  }

  rowPut(id: BlockId): void {
    this.#nextBlockId = Math.max(this.#nextBlockId, id + 1)
  }

  /**
   * Every row was put; `idLimit` is above each of their ids.
   * @param leftOut ids below `nextBlockId` that this namespace never handed out
   */
  finishedLoading(
    idLimit: number,
    nextBlockId?: BlockId,
    leftOut: readonly BlockIdRange[] = [],
  ): void {
    this.#isLoading = false
    this.#leftOut = leftOut
    this.#nextBlockId = Math.max(this.#nextBlockId, nextBlockId ?? Infinity)
    this.#graceIdLimit = idLimit
  }

  settle(): void {
    this.#isSettled = true
  }

  tick(now: Millis): void {
    this.#graceUntil ??= millis(now + this.#graceMs)
    if (this.#isGraceOver(now)) this.#accounted.clear()
  }

  /** The row may still be loaded, or the block is from a future this namespace does not know. */
  readonly mayBeEarly = (id: BlockId): boolean =>
    this.#isLoading ||
    id >= this.#nextBlockId ||
    this.#leftOut.some(({ from, below }) => id >= from && id < below)

  /** A block from before the start, until every datanode that is going to come back has had its time. */
  mayBeReportedLater(now: Millis, id: BlockId): boolean {
    return !this.#isGraceOver(now) && (this.#isLoading || id < this.#graceIdLimit)
  }

  /** A block from before the start, not all of whose replicas are accounted for, may still be reported. */
  isInGrace(now: Millis, id: BlockId, health: BlockHealth): boolean {
    if (this.#graceUntil === undefined || this.#isGraceOver(now)) return false
    if (id >= this.#graceIdLimit || this.#accounted.has(id)) return false
    if (!hasAccounted(health)) return true
    this.#accounted.add(id)
    return false
  }

  #isGraceOver(now: Millis): boolean {
    return this.#graceUntil !== undefined && now >= this.#graceUntil
  }
}
