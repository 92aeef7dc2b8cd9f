/**
 * Takes in what datanodes report of their replicas: whole storages, single changes, wrong bytes.
 * Judging a replica is the ledger's business; here it is decided what follows from the judgement.
 */
import { unreachable } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import type { ListedReplica } from '../../protocol/block-list.ts'
import type { BlockId, DatanodeUuid, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import type { BlockScan } from './block-scan.ts'
import type { DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import type { Repair } from './repair.ts'
import type { ReplicaLedger } from './replica-ledger.ts'
import {
  differingBuckets,
  type ListingStep,
  type ReportedBucket,
  takeListing,
} from './replica-listing.ts'
import type { StartPhase } from './start-phase.ts'

/** One line of an incremental report. */
export interface ReplicaEvent {
  readonly kind: 'receiving' | 'received' | 'deleted'
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
  /** Of a received replica, when its datanode tells. */
  readonly digest?: bigint | undefined
}

/** Whose report it is. `now` is asked for at every step. */
interface ReportOrigin {
  readonly now: () => Millis
  readonly uuid: DatanodeUuid
  readonly storageUuid: StorageUuid
}

/** What a storage holds, or what some of its buckets do. */
export interface ListingReport extends ReportOrigin {
  readonly replicas: Iterable<ListedReplica>
  readonly buckets?: ReadonlySet<number> | undefined
}

/** Digests of all buckets of a storage that are not empty. */
export interface BucketReport extends ReportOrigin {
  readonly buckets: readonly ReportedBucket[]
}

export interface ReportIntakeOptions {
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
  readonly repair: Repair
  readonly scan: BlockScan
  readonly start: StartPhase
}

/** Reports of every kind. */
export class ReportIntake {
  readonly #registry: DatanodeRegistry
  readonly #ledger: ReplicaLedger
  readonly #repair: Repair
  readonly #scan: BlockScan
  readonly #start: StartPhase

  constructor({ registry, ledger, repair, scan, start }: ReportIntakeOptions) {
    this.#registry = registry
    this.#ledger = ledger
    this.#repair = repair
    this.#scan = scan
    this.#start = start
  }

  /**
   * Takes the content of one storage, or of some buckets of it, in steps; yields the blocks whose
   * replicas changed. Ends early when the datanode registers anew or begins another report meanwhile.
   */
  *listing(report: ListingReport): Generator<readonly BlockId[], void> {
    const { now, uuid, storageUuid, replicas, buckets } = report
    const node = this.#registry.registered(uuid)
    const storage = this.#registry.ensureStorage(node, storageUuid)
    if (buckets === undefined) {
      storage.reportCount += 1
      storage.awaitedBuckets = undefined
    }
    const { reportCount } = storage
    const { mayBeEarly } = this.#start
    const steps = takeListing(now, { storage, replicas, buckets }, this.#ledger, mayBeEarly)
    for (const step of steps) {
      this.#follow(now(), storage, step)
      yield step.changed
      if (storage.reportCount !== reportCount || node.liveness === 'dead') return
    }
    for (const bucket of buckets ?? []) storage.awaitedBuckets?.delete(bucket)
    if ((storage.awaitedBuckets?.size ?? 0) === 0) this.#reported(now(), storage)
  }

  /** Compares a storage with digests of its buckets, in steps. Returns the buckets that must be listed. */
  *buckets(report: BucketReport): Generator<readonly BlockId[], readonly number[]> {
    const { now, uuid, storageUuid, buckets } = report
    const node = this.#registry.registered(uuid)
    const storage = this.#registry.ensureStorage(node, storageUuid)
    storage.reportCount += 1
    // Who reports by differences makes one report at a time: what came incrementally is older, whatever it said.
    storage.recent.clear()
    const { reportCount } = storage
    const steps = differingBuckets(storage, buckets, this.#ledger)
    let step = steps.next()
    while (step.done !== true) {
      yield []
      if (storage.reportCount !== reportCount || node.liveness === 'dead') return []
      step = steps.next()
    }
    const reportedBuckets = new Set(buckets.map(({ bucket }) => bucket))
    const wanted = step.value.filter((bucket) => reportedBuckets.has(bucket))
    const emptied = new Set(step.value.filter((bucket) => !reportedBuckets.has(bucket)))
    // Of what the datanode does not have nothing will be listed.
    storage.awaitedBuckets = new Set(wanted)
    if (emptied.size > 0) {
      storage.awaitedBuckets.add(-1)
      yield* this.listing({ now, uuid, storageUuid, replicas: [], buckets: emptied })
      if (storage.reportCount !== reportCount) return []
      storage.awaitedBuckets.delete(-1)
    }
    if (storage.awaitedBuckets.size === 0) this.#reported(now(), storage)
    return wanted
  }

  /** Takes what changed on one storage. Returns the blocks whose replicas changed. */
  incremental(
    now: Millis,
    uuid: DatanodeUuid,
    storageUuid: StorageUuid,
    events: Iterable<ReplicaEvent>,
  ): readonly BlockId[] {
    const node = this.#registry.registered(uuid)
    const storage = this.#registry.ensureStorage(node, storageUuid)
    const changed = new Set<BlockId>()
    for (const event of events) {
      if (this.#replicaEvent(now, storage, event)) changed.add(event.blockId)
    }
    for (const id of changed) this.#examine(now, id)
    return [...changed]
  }

  /** Somebody read wrong bytes. See `BlockManager.reportBadReplica`. */
  badReplica(
    now: Millis,
    id: BlockId,
    generationStamp: GenerationStamp | undefined,
    location: { readonly datanode: DatanodeUuid; readonly storage?: StorageUuid | undefined },
  ): void {
    const node = this.#registry.find(location.datanode)
    const at = this.#ledger.map.find(id)
    if (node === undefined || at === undefined) return
    const isOther =
      generationStamp !== undefined && generationStamp !== this.#ledger.map.generationStamp(at)
    if (isOther) return
    // A datanode has at most one replica of a block, whatever storage the reader believes it is on.
    for (const storage of node.storages.values()) {
      if (this.#ledger.markCorrupt(id, storage)) this.#examine(now, id)
    }
  }

  /** Does what follows from a step of a listing. */
  #follow(now: Millis, { node }: StorageRecord, step: ListingStep): void {
    for (const block of step.garbage) node.orders.invalidate(block)
    for (const block of step.undeleted) {
      if (!node.orders.isInvalidating(block.id)) node.orders.invalidate(block)
    }
    for (const id of step.changed) {
      this.#repair.arrived(now, id, node)
      this.#examine(now, id)
    }
  }

  #reported(now: Millis, storage: StorageRecord): void {
    const isFirst = !storage.isReported
    storage.isReported = true
    storage.awaitedBuckets = undefined
    storage.node.lastBlockReportAt = now
    if (isFirst) this.#storageConfirmed(now, storage)
  }

  #replicaEvent(now: Millis, storage: StorageRecord, event: ReplicaEvent): boolean {
    const { blockId, generationStamp, length, digest } = event
    const { orders } = storage.node
    switch (event.kind) {
      case 'deleted':
        storage.recent.deleted(now, blockId, generationStamp)
        orders.invalidationSettled(blockId)
        return this.#ledger.removed(blockId, storage, generationStamp)
      case 'received':
      case 'receiving': {
        const isFinal = event.kind === 'received'
        if (isFinal) storage.recent.received(now, blockId, generationStamp)
        const state = isFinal ? 'finalized' : 'rbw'
        const isCopy =
          isFinal &&
          this.#repair.pending
            .of(blockId)
            .some(({ source, target }) => source !== undefined && target.node === storage.node)
        const outcome = this.#ledger.received(
          storage,
          { blockId, generationStamp, length, state, digest, isCopy },
          this.#start.mayBeEarly,
        )
        if (outcome === 'garbage') orders.invalidate({ id: blockId, generationStamp, length })
        if (isFinal) this.#repair.arrived(now, blockId, storage.node)
        return outcome === 'changed'
      }
      default:
        return unreachable(event.kind)
    }
  }

  /** What a storage holds is certain now: surplus and corrupt replicas may go because of it. */
  #storageConfirmed(now: Millis, storage: StorageRecord): void {
    if (!this.#start.isSettled) return
    this.#scan.requestStorages([storage.index])
    for (const [id, replicas] of this.#ledger.corrupt.entries()) {
      if (replicas.some((replica) => replica.storage === storage)) this.#examine(now, id)
    }
  }

  #examine(now: Millis, id: BlockId): void {
    if (this.#start.isSettled) this.#repair.examine(now, id)
  }
}
