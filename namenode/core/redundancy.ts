/**
 * How endangered a block is, and queues of the endangered ones, most dangerous first:
 *
 *     last-replica        one replica left of several wanted: the next failure loses it
 *     missing-three/-two/-one   so many replicas short of the wanted number
 *     leaving             enough replicas, but some on datanodes that are being drained
 *     badly-distributed   enough replicas, but one rack holds them all
 *     lost                none left: nothing to copy from, waits for a datanode to return
 *
 * A block is in at most one queue. Queues hold what needs an order; a block whose missing replicas are
 * all on their way is in none. They can be rebuilt from the ledger at any time.
 */
import { assert } from '../../base/assert.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { isBeingWritten, isGoing, type Slot, storageOf } from './block-map.ts'
import type { CorruptReplica } from './corrupt-replicas.ts'
import type { DatanodeRecord, DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import type { PendingCopy } from './pending-copies.ts'
import type { ReplicaLedger } from './replica-ledger.ts'

/** Queue names in the order in which they are served; `lost` cannot be. */
export const dangers = [
  'last-replica',
  'missing-three',
  'missing-two',
  'missing-one',
  'leaving',
  'badly-distributed',
  'lost',
] as const
export type Danger = (typeof dangers)[number]

const noNodes: readonly DatanodeRecord[] = []

/** Everything known about the replicas of one complete block. */
export interface BlockHealth {
  readonly wanted: number
  /** Good replicas that are enough: fewer than wanted while some are in maintenance. */
  readonly needed: number
  /** Finalized, not told to go, on datanodes that are not dead and not being or to be drained. */
  readonly good: readonly StorageRecord[]
  /** The part of `good` that is certain enough to delete others because of it. */
  readonly trusted: readonly StorageRecord[]
  /** As good, but on datanodes that are drained or being drained: sources, and readable. */
  readonly leaving: readonly StorageRecord[]
  /** On datanodes in maintenance or about to be: not lost, so fewer others are needed. */
  readonly maintained: readonly StorageRecord[]
  /** Not finalized yet, or told to go; they occupy their datanode. */
  readonly uncounted: readonly StorageRecord[]
  readonly corrupt: readonly CorruptReplica[]
}

/** Collects the replicas of a complete block by their worth. */
export function assess(ledger: ReplicaLedger, registry: DatanodeRegistry, at: Slot): BlockHealth {
  const good: StorageRecord[] = []
  const trusted: StorageRecord[] = []
  const leaving: StorageRecord[] = []
  const maintained: StorageRecord[] = []
  const uncounted: StorageRecord[] = []
  for (const word of ledger.map.replicas(at)) {
    const storage = registry.storage(storageOf(word))
    if (isGoing(word) || isBeingWritten(word)) uncounted.push(storage)
    else if (storage.standing === 'maintained') maintained.push(storage)
    else if (storage.standing === 'leaving') leaving.push(storage)
    else if (storage.standing === 'good') {
      good.push(storage)
      if (storage.isTrusted) trusted.push(storage)
    }
  }
  const corrupt = ledger.corrupt.of(ledger.map.id(at))
  const wanted = ledger.map.replication(at)
  const neededMin = Math.min(registry.maintenanceReplicationMin, wanted)
  const needed = Math.max(wanted - maintained.length, neededMin)
  return { wanted, needed, good, trusted, leaving, maintained, uncounted, corrupt }
}

/** Replicas that can be copied from or read. */
export function sourcesOf({ good, leaving, maintained }: BlockHealth): readonly StorageRecord[] {
  if (leaving.length === 0 && maintained.length === 0) return good
  return [...good, ...leaving, ...maintained.filter((storage) => storage.counts)]
}

/** Replicas that must still be ordered. */
export function missingCount(health: BlockHealth, pending: readonly PendingCopy[]): number {
  return health.needed - health.good.length - newNodes(health, pending).length
}

/** The queue a block belongs to; `undefined` when it needs nothing. */
export function dangerOf(
  health: BlockHealth,
  pending: readonly PendingCopy[],
  rackCount: number,
): Danger | undefined {
  const { wanted, needed, good } = health
  if (wanted === 0) return undefined
  const coming = newNodes(health, pending)
  const existing = sourcesOf(health).length
  if (existing === 0) return coming.length === 0 ? 'lost' : undefined
  if (good.length + coming.length < needed) {
    if (existing === 1 && wanted > 1) return 'last-replica'
    const short = needed - good.length - health.leaving.length
    if (short <= 0) return 'leaving'
    if (short >= 3) return 'missing-three'
    return short === 2 ? 'missing-two' : 'missing-one'
  }
  if (rackCount < 2 || wanted < 2) return undefined
  const rack = good[0]?.node.rack
  const isCrowded =
    good.every(({ node }) => node.rack === rack) && coming.every((node) => node.rack === rack)
  return isCrowded ? 'badly-distributed' : undefined
}

function newNodes(health: BlockHealth, pending: readonly PendingCopy[]): readonly DatanodeRecord[] {
  if (pending.length === 0) return noNodes
  return pending
    .map(({ target }) => target.node)
    .filter(
      (node) =>
        node.adminState === 'normal' && !health.good.some((storage) => storage.node === node),
    )
}

/**
 * Chooses which surplus replicas to delete: never so that a rack is lost that can be kept, and among
 * the rest from the datanode with the smallest share of free space.
 */
export function chooseExcess(
  trusted: readonly StorageRecord[],
  wanted: number,
  moved?: StorageRecord,
): StorageRecord[] {
  assert(wanted > 0, 'a block must want a replica')
  const kept = [...trusted]
  const excess: StorageRecord[] = []
  while (kept.length > wanted) {
    const crowded = kept.filter(({ node }) => {
      const onRack = kept.filter((other) => other.node.rack === node.rack)
      return onRack.length > 1
    })
    const pool = crowded.length > 0 ? crowded : kept
    let fullest = moved !== undefined && pool.includes(moved) ? moved : undefined
    const others = fullest === undefined ? pool : []
    for (const storage of others) {
      if (fullest === undefined || freeShare(storage) < freeShare(fullest)) fullest = storage
    }
    assert(fullest !== undefined, 'a surplus must have a member')
    excess.push(fullest)
    kept.splice(kept.indexOf(fullest), 1)
  }
  return excess
}

function freeShare({ node }: StorageRecord): number {
  return node.remaining / Math.max(1, node.capacity)
}

/** Which blocks need an order, by danger. */
export class RedundancyQueues {
  readonly #dangerById = new Map<BlockId, Danger>()
  readonly #queues: Readonly<Record<Danger, Set<BlockId>>> = {
    'last-replica': new Set(),
    'missing-three': new Set(),
    'missing-two': new Set(),
    'missing-one': new Set(),
    leaving: new Set(),
    'badly-distributed': new Set(),
    lost: new Set(),
  }

  length(danger: Danger): number {
    return this.#queues[danger].size
  }

  dangerOf(id: BlockId): Danger | undefined {
    return this.#dangerById.get(id)
  }

  /** Moves a block to a queue, at its end unless it is there already, or to none. Returns whether it moved. */
  put(id: BlockId, danger: Danger | undefined): boolean {
    const before = this.#dangerById.get(id)
    if (before === danger) return false
    if (before !== undefined) this.#queues[before].delete(id)
    if (danger === undefined) this.#dangerById.delete(id)
    else {
      this.#dangerById.set(id, danger)
      this.#queues[danger].add(id)
    }
    return true
  }

  /** Oldest block of a queue; it stays there. */
  first(danger: Danger): BlockId | undefined {
    return this.#queues[danger].values().next().value
  }

  /** Moves a block behind all others of its queue, because nothing can be done for it now. */
  postpone(id: BlockId): void {
    const danger = this.#dangerById.get(id)
    if (danger === undefined) return
    this.#queues[danger].delete(id)
    this.#queues[danger].add(id)
  }

  *list(danger: Danger): IterableIterator<BlockId> {
    yield* this.#queues[danger]
  }

  /** Stops with an AssertionError when a block is in two queues or in none that it claims. */
  invariants(): void {
    let count = 0
    for (const danger of dangers) {
      for (const id of this.#queues[danger]) {
        count += 1
        assert(this.#dangerById.get(id) === danger, `block ${id} must be in one queue`)
      }
    }
    assert(count === this.#dangerById.size, 'every endangered block must be queued')
  }
}
