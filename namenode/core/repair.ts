/**
 * The chain of checks that every change of a block's replicas goes through.
 *
 *     examine: enough replicas? ─no─▶ queue by danger ──────▶ `repair-rounds` order copies
 *              enough without the copies not yet sent? ─────▶ withdraw their orders
 *              corrupt ones, and enough good? ──────────────▶ invalidate the corrupt ones
 *              more good ones than wanted? ─────────────────▶ invalidate the surplus
 *
 * Deleting relies on *trusted* replicas only: on a live datanode, on a storage whose full report
 * confirmed it. What looks like a surplus of hearsay is remembered and examined again later. A deletion
 * is checked once more when it is sent (`mayInvalidate`), because the replicas it relied on may be gone.
 */
import { assert } from '../../base/assert.ts'
import { type Millis, millis } from '../../base/brand.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Slot } from './block-map.ts'
import { isCondemned } from './corrupt-replicas.ts'
import type { DatanodeRecord, DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import type { DatanodeOrder } from './orders.ts'
import { PendingCopies, type PendingCopy } from './pending-copies.ts'
import {
  assess,
  type BlockHealth,
  chooseExcess,
  type Danger,
  dangerOf,
  dangers,
  RedundancyQueues,
  sourcesOf,
} from './redundancy.ts'
import type { ReplicaLedger } from './replica-ledger.ts'
import type { BlockReference } from './requests.ts'

export interface RepairOptions {
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
}

const noNodes: readonly DatanodeRecord[] = []

/** The chain of checks, the queues, and the copies on their way. */
export class Repair {
  readonly queues = new RedundancyQueues()
  readonly pending = new PendingCopies()
  /** Told of every complete block whose replicas were looked at. */
  onExamined: (at: Slot, health: BlockHealth) => void = () => undefined
  /** The replica that balancing wants to be rid of: its copy is no surplus, and it goes first. */
  movedFrom: (id: BlockId) => StorageRecord | undefined = () => undefined
  readonly #registry: DatanodeRegistry
  readonly #ledger: ReplicaLedger
  /** Blocks with a surplus or corrupt replicas that cannot be deleted on what is trusted now. */
  readonly #postponed = new Set<BlockId>()
  /** Blocks with a good replica and fewer than wanted, queued or with copies on their way. */
  readonly #short = new Set<BlockId>()
  readonly #lostSingles = new Set<BlockId>()
  /** Datanodes that failed to take a copy of a block; tried again last. */
  readonly #failedTargets = new Map<BlockId, readonly DatanodeRecord[]>()

  constructor({ registry, ledger }: RepairOptions) {
    this.#registry = registry
    this.#ledger = ledger
  }

  /** Blocks with a good replica and fewer than wanted. */
  get underReplicatedCount(): number {
    return this.#short.size
  }

  /** Blocks without a replica that want only one. */
  get lostSingleCount(): number {
    return this.#lostSingles.size
  }

  get postponedCount(): number {
    return this.#postponed.size
  }

  /** The block has something to delete once its other replicas are confirmed. */
  isPostponed(id: BlockId): boolean {
    return this.#postponed.has(id)
  }

  /** Runs the chain of checks over one block. */
  examine(now: Millis, id: BlockId): void {
    const at = this.#ledger.map.find(id)
    if (at === undefined || this.#ledger.map.kind(at) !== 'complete') {
      this.forget(now, id)
      return
    }
    const health = assess(this.#ledger, this.#registry, at)
    this.#withdrawUnneeded(now, id, health)
    const danger = dangerOf(health, this.pending.of(id), this.#registry.rackCount)
    this.#note(id, health, danger)
    this.onExamined(at, health)
    if (health.wanted === 0) return
    if (health.good.length >= health.needed) this.#failedTargets.delete(id)
    const isCleanPostponed = this.#disposeOfCorrupt(at, health)
    const isTrimPostponed = this.#trimExcess(at, health)
    if (isCleanPostponed || isTrimPostponed) this.#postponed.add(id)
    else this.#postponed.delete(id)
  }

  /** The block is gone or was reopened. */
  forget(now: Millis, id: BlockId): void {
    this.#note(id, undefined, undefined)
    for (const { source } of this.pending.of(id)) source?.orders.withdrawTransfers(id)
    this.pending.removeBlock(now, id)
    this.#postponed.delete(id)
    this.#failedTargets.delete(id)
  }

  /** A datanode has reported a replica of the block. */
  arrived(now: Millis, id: BlockId, node: DatanodeRecord): void {
    this.pending.arrived(now, id, node)
  }

  /** Orders are about to be given to a datanode: those that nobody needs any more are taken back. */
  beforeOrders(now: Millis, node: DatanodeRecord): void {
    for (const id of node.orders.transferredBlocks()) this.examine(now, id)
  }

  /** Orders were given to a datanode in the answer to its heartbeat. */
  ordersSent(now: Millis, node: DatanodeRecord, orders: readonly DatanodeOrder[]): void {
    for (const order of orders) {
      if (order.kind === 'transfer') this.pending.sent(now, order.block.id, node)
    }
  }

  /** Datanodes that failed to take a copy of a block. */
  failedTargetsOf(id: BlockId): readonly DatanodeRecord[] {
    return this.#failedTargets.get(id) ?? noNodes
  }

  /** The rest of a completed block's pipeline will report soon, or be counted as lost. */
  expectReports(now: Millis, id: BlockId, storages: readonly StorageRecord[]): void {
    const at = this.#ledger.map.find(id)
    if (at === undefined) return
    const deadline = millis(now + limits.pipelineReportMs)
    const known = sourcesOf(assess(this.#ledger, this.#registry, at))
    for (const target of storages) {
      const isKnown =
        known.some(({ node }) => node === target.node) ||
        this.pending.of(id).some((copy) => copy.target.node === target.node)
      if (isKnown || !target.counts) continue
      this.pending.add(id, { target, source: undefined, bytes: 0, since: now, deadline })
    }
  }

  /** Nothing may be expected from or of this datanode any more. */
  nodeLost(now: Millis, node: DatanodeRecord): void {
    const ids = this.pending.removeNode(now, node)
    this.pending.forgetSpeed(node)
    for (const id of ids) this.examine(now, id)
  }

  /** Gives up overdue copies and examines their blocks again. */
  expire(now: Millis): void {
    for (const { id, copy } of this.pending.expire(now)) {
      if (copy.source !== undefined) {
        copy.source.orders.withdrawTransfers(id)
        this.#failedTargets.set(id, [...this.failedTargetsOf(id), copy.target.node])
      }
      this.examine(now, id)
    }
  }

  /** Examines a bounded number of blocks again whose surplus could not be deleted on what was trusted. */
  reviewPostponed(now: Millis): void {
    let again = Math.min(this.#postponed.size, limits.repairBlocksPerTickMax)
    for (const id of this.#postponed) {
      if (again === 0) break
      again -= 1
      this.#postponed.delete(id)
      this.examine(now, id)
    }
  }

  /**
   * Whether a deletion that is about to be sent is still right. A replica whose block is gone may
   * always go; any other only while enough trusted replicas stay. Otherwise it is taken back.
   */
  mayInvalidate(now: Millis, node: DatanodeRecord, block: BlockReference): boolean {
    const at = this.#ledger.map.find(block.id)
    if (at === undefined) return true
    const { map, corrupt } = this.#ledger
    if (map.kind(at) !== 'complete') return false
    const health = assess(this.#ledger, this.#registry, at)
    const condemned = [...health.uncounted, ...corrupt.of(block.id).map(({ storage }) => storage)]
    const storage = condemned.find((other) => other.node === node)
    if (storage === undefined) return block.generationStamp !== map.generationStamp(at)
    const isCorrupt = corrupt.on(block.id, storage) !== undefined
    const neededCount = isCorrupt ? 1 : health.wanted
    const trustedCount = health.trusted.filter((other) => other.node !== node).length
    if (trustedCount >= neededCount) return true
    this.#ledger.setGoing(at, storage, false)
    this.examine(now, block.id)
    return false
  }

  /** Stops with an AssertionError when a queue holds what it should not. */
  invariants(): void {
    this.queues.invariants()
    for (const danger of dangers) {
      for (const id of this.queues.list(danger)) {
        const at = this.#ledger.map.find(id)
        assert(
          at !== undefined && this.#ledger.map.kind(at) === 'complete',
          `queued block ${id} must be complete`,
        )
      }
    }
  }

  /**
   * Takes back orders that have not left and would make more replicas than wanted: a datanode that was
   * lost came back. What is still missing then is ordered anew.
   */
  #withdrawUnneeded(now: Millis, id: BlockId, health: BlockHealth): void {
    const pending = this.pending.of(id)
    if (pending.length === 0 || health.good.length + pending.length <= health.wanted) return
    if (dangerOf(health, [], this.#registry.rackCount) === 'badly-distributed') return
    const isMoving = this.movedFrom(id) !== undefined && pending.length === 1
    if (isMoving && health.good.length === health.wanted) return
    for (const { source, sentAt } of pending) {
      if (source === undefined || sentAt !== undefined) continue
      source.orders.withdrawTransfers(id)
      this.pending.withdraw(now, id, source)
    }
  }

  #note(id: BlockId, health: BlockHealth | undefined, danger: Danger | undefined): void {
    this.queues.put(id, danger)
    const isReadable = health !== undefined && sourcesOf(health).length > 0
    const isShort = isReadable && health.good.length < health.needed
    if (isShort && !isAwaitingPipeline(this.pending.of(id))) this.#short.add(id)
    else this.#short.delete(id)
    if (danger === 'lost' && health?.wanted === 1) this.#lostSingles.add(id)
    else this.#lostSingles.delete(id)
  }

  /** Corrupt replicas go as soon as there are enough good ones. Returns whether that must wait. */
  #disposeOfCorrupt(at: Slot, health: BlockHealth): boolean {
    const condemned = health.corrupt.filter(isCondemned)
    if (condemned.length === 0 || health.good.length < health.wanted) return false
    if (health.trusted.length < health.wanted) return true
    for (const replica of condemned) this.condemnCorrupt(at, replica.storage)
    return false
  }

  /** Has a corrupt replica deleted; whoever calls has checked that it may go. */
  condemnCorrupt(at: Slot, storage: StorageRecord): void {
    const id = this.#ledger.map.id(at)
    const replica = this.#ledger.corrupt.on(id, storage)
    if (replica === undefined || replica.isGoing || storage.node.liveness === 'dead') return
    this.#ledger.setGoing(at, storage, true)
    const { generationStamp, length } = replica
    storage.node.orders.invalidate({ id, generationStamp, length })
  }

  /** Returns whether there is a surplus that cannot be deleted on what is trusted now. */
  #trimExcess(at: Slot, health: BlockHealth): boolean {
    if (health.good.length <= health.wanted) return false
    const id = this.#ledger.map.id(at)
    const generationStamp = this.#ledger.map.generationStamp(at)
    const length = this.#ledger.map.length(at)
    if (health.trusted.length <= health.wanted) return true
    const moved = this.movedFrom(id)
    for (const storage of chooseExcess(health.trusted, health.wanted, moved)) {
      this.#ledger.setGoing(at, storage, true)
      storage.node.orders.invalidate({ id, generationStamp, length })
    }
    return health.good.length > health.trusted.length
  }
}

/** The block was completed just now and its datanodes are about to report. */
function isAwaitingPipeline(pending: readonly PendingCopy[]): boolean {
  return pending.length > 0 && pending.every(({ source }) => source === undefined)
}
