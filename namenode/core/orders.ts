/**
 * What the namenode tells datanodes to do, and one queue of it per datanode, emptied by its heartbeats.
 *
 *     redundancy ──transfer──▶ ┌──────────────┐
 *     excess, corrupt,         │ order queues │ ──heartbeat──▶ datanode
 *     deleted ───invalidate──▶ │ (one a node) │
 *     namesystem ──recover───▶ └──────────────┘
 *
 * Orders are hints that may be lost: whoever gives one watches for its effect in reports and gives it
 * again. A deletion that was sent is remembered until the datanode reports it, so that a lost answer
 * to a heartbeat does not leave the replica behind until the next full report.
 */
import { type Millis, millis } from '../../base/brand.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { BlockReference, ReplicaLocation } from './requests.ts'

/** One instruction in the answer to a heartbeat. */
export type DatanodeOrder =
  /** Copy the finalized replica on `source` to the first target, which forwards it to the next. */
  | {
      readonly kind: 'transfer'
      readonly block: BlockReference
      readonly source: StorageUuid
      readonly targets: readonly ReplicaLocation[]
      /** It is the last replica: the copy may take more from clients than others. */
      readonly isUrgent: boolean
    }
  /** Delete these replicas, each only if it has this generation stamp, and report them deleted. */
  | { readonly kind: 'invalidate'; readonly blocks: readonly BlockReference[] }
  /** Lead the recovery of a block whose writer is gone. */
  | {
      readonly kind: 'recover'
      readonly block: BlockReference
      readonly recoveryStamp: GenerationStamp
      readonly locations: readonly ReplicaLocation[]
      /** A truncate, or a block that was committed, wants exactly this length. */
      readonly truncateLength?: number | undefined
    }
  /** The namenode does not know the datanode (any more): register and report everything. */
  | { readonly kind: 'register' }

export type TransferOrder = Extract<DatanodeOrder, { kind: 'transfer' }>
export type RecoverOrder = Extract<DatanodeOrder, { kind: 'recover' }>

interface SentInvalidation {
  readonly block: BlockReference
  readonly sentAt: Millis
  readonly attempts: number
}

/** Orders waiting for one datanode's next heartbeat. */
export class OrderQueue {
  #transfers: TransferOrder[] = []
  readonly #recoveries = new Map<BlockId, RecoverOrder>()
  readonly #invalidations = new Map<BlockId, BlockReference & { readonly attempts: number }>()
  /** Oldest first, because every entry is inserted anew when it is sent. */
  readonly #sentInvalidations = new Map<BlockId, SentInvalidation>()

  get invalidationCount(): number {
    return this.#invalidations.size
  }

  get sentInvalidationCount(): number {
    return this.#sentInvalidations.size
  }

  get transferCount(): number {
    return this.#transfers.length
  }

  /** Blocks whose copying was ordered and not sent. */
  transferredBlocks(): readonly BlockId[] {
    return this.#transfers.map(({ block }) => block.id)
  }

  transfer(order: TransferOrder): void {
    this.#transfers.push(order)
  }

  /** A later order for the same block replaces an earlier one. */
  recover(order: RecoverOrder): void {
    this.#recoveries.delete(order.block.id)
    this.#recoveries.set(order.block.id, order)
  }

  withdrawRecovery(id: BlockId): void {
    this.#recoveries.delete(id)
  }

  /** Removes the transfers of a block that were not sent yet. */
  withdrawTransfers(id: BlockId): void {
    if (this.#transfers.some((order) => order.block.id === id)) {
      this.#transfers = this.#transfers.filter((order) => order.block.id !== id)
    }
  }

  invalidate(block: BlockReference): void {
    this.#sentInvalidations.delete(block.id)
    this.#invalidations.set(block.id, { ...block, attempts: 0 })
  }

  /** True while the datanode was told, or is about to be told, to delete its replica of `id`. */
  isInvalidating(id: BlockId): boolean {
    return this.#invalidations.has(id) || this.#sentInvalidations.has(id)
  }

  /** The replica is gone, or shall stay after all. */
  invalidationSettled(id: BlockId): void {
    this.#invalidations.delete(id)
    this.#sentInvalidations.delete(id)
  }

  /** The datanode lost its memory of orders: it registered anew or is dead. */
  clear(): void {
    this.#transfers = []
    this.#recoveries.clear()
    this.#invalidations.clear()
    this.#sentInvalidations.clear()
  }

  /** Queues again what was sent long ago without an effect. */
  retryInvalidations(now: Millis): void {
    for (const [id, { block, sentAt, attempts }] of this.#sentInvalidations) {
      if (now - sentAt < limits.invalidationRetryMs) return
      this.#sentInvalidations.delete(id)
      if (attempts < limits.invalidationAttemptsMax) {
        this.#invalidations.set(id, { ...block, attempts })
      }
    }
  }

  /**
   * Removes and returns what one heartbeat's answer carries. `mayInvalidate` is asked for every
   * deletion at the last moment, because the replicas it relied on may be gone meanwhile.
   */
  take(now: Millis, mayInvalidate: (block: BlockReference) => boolean): readonly DatanodeOrder[] {
    const orders: DatanodeOrder[] = []
    let recoveries = 0
    for (const [id, order] of this.#recoveries) {
      if (recoveries === limits.recoveriesPerHeartbeatMax) break
      recoveries += 1
      this.#recoveries.delete(id)
      orders.push(order)
    }
    for (const order of this.#transfers) orders.push(order)
    this.#transfers = []
    const blocks = this.#takeInvalidations(now, mayInvalidate)
    if (blocks.length > 0) orders.push({ kind: 'invalidate', blocks })
    return orders
  }

  #takeInvalidations(
    now: Millis,
    mayInvalidate: (block: BlockReference) => boolean,
  ): readonly BlockReference[] {
    const blocks: BlockReference[] = []
    for (const [id, { generationStamp, length, attempts }] of this.#invalidations) {
      if (blocks.length === limits.invalidationsPerHeartbeatMax) break
      this.#invalidations.delete(id)
      const block = { id, generationStamp, length }
      if (!mayInvalidate(block)) continue
      blocks.push(block)
      this.#sentInvalidations.set(id, { block, sentAt: millis(now), attempts: attempts + 1 })
    }
    return blocks
  }
}
