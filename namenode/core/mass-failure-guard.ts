/**
 * Stops repair when a large share of the datanodes vanishes at once. That is a switch, a power feed or
 * an operator, not broken disks: copying a third of the cluster's data would fill what is left and
 * hurt more than the outage. Repair goes on when enough of them return, or when an operator says that
 * they will not.
 *
 * "At once" is within one dead interval: datanodes that break one after the other are repaired.
 */
import type { Millis } from '../../base/brand.ts'
import type { DatanodeUuid } from '../../protocol/ids.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { DatanodeRegistry } from './datanode-registry.ts'

/** One datanode of a small cluster is a large share of it, and still an ordinary failure. */
const lossesMin = 2

/** A datanode held against the threshold. */
export interface LostNode {
  readonly uuid: DatanodeUuid
  /** `host:port`. */
  readonly name: string
  readonly lostAt: Millis
}

/** The guard as reports show it. */
export interface GuardView {
  readonly pausedAt: Millis | undefined
  readonly lost: readonly LostNode[]
  /** Datanodes that are not dead. */
  readonly remainingCount: number
}

/** Counts recent losses and says whether repair must pause. */
export class MassFailureGuard {
  readonly #percentMax: number
  readonly #windowMs: number
  readonly #lostAt = new Map<DatanodeUuid, Millis>()
  #pausedAt: Millis | undefined

  constructor(settings: Settings) {
    this.#percentMax = settings['dfs.namenode.mass-failure.percent']
    this.#windowMs = settings['dfs.namenode.dead.datanode.interval']
  }

  /** Repair must pause. */
  get isActive(): boolean {
    return this.#pausedAt !== undefined
  }

  /** Since when repair pauses; `undefined` while it runs. */
  get pausedAt(): Millis | undefined {
    return this.#pausedAt
  }

  /** Recent losses with their times, oldest first: what is held against the threshold. */
  losses(): ReadonlyMap<DatanodeUuid, Millis> {
    return this.#lostAt
  }

  lost(now: Millis, uuid: DatanodeUuid): void {
    this.#lostAt.set(uuid, now)
  }

  returned(uuid: DatanodeUuid): void {
    this.#lostAt.delete(uuid)
  }

  /** An operator accepts the losses so far. */
  resume(): void {
    this.#lostAt.clear()
    this.#pausedAt = undefined
  }

  /** `remainingCount`: datanodes that are not dead. */
  tick(now: Millis, remainingCount: number): void {
    if (!this.isActive) {
      for (const [uuid, at] of this.#lostAt) {
        if (now - at >= this.#windowMs) this.#lostAt.delete(uuid)
      }
    }
    const lostCount = this.#lostAt.size
    const totalCount = lostCount + remainingCount
    const mustPause = lostCount >= lossesMin && lostCount * 100 > totalCount * this.#percentMax
    this.#pausedAt = mustPause ? (this.#pausedAt ?? now) : undefined
  }
}

/** Names what the guard counts. */
export function guardView(guard: MassFailureGuard, registry: DatanodeRegistry): GuardView {
  const lost = [...guard.losses()].map(([uuid, lostAt]) => ({
    uuid,
    name: registry.find(uuid)?.name ?? uuid,
    lostAt,
  }))
  return { pausedAt: guard.pausedAt, lost, remainingCount: registry.remainingCount() }
}
