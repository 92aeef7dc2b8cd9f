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
import type { StartPhase } from './start-phase.ts'

/** One line of an incremental report. */
export interface ReplicaEvent {
  readonly kind: 'receiving' | 'received' | 'deleted'
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
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

  /** Takes the full content of one storage. Returns the blocks whose replicas changed. */
  full(
    now: Millis,
    uuid: DatanodeUuid,
    storageUuid: StorageUuid,
    replicas: Iterable<ListedReplica>,
  ): readonly BlockId[] {
    const node = this.#registry.registered(uuid)
    const storage = this.#registry.ensureStorage(node, storageUuid)
    const report = this.#ledger.fullReport(now, storage, replicas, this.#start.mayBeEarly)
    const isFirst = !storage.isReported
    storage.isReported = true
    node.lastBlockReportAt = now
    for (const block of report.garbage) node.orders.invalidate(block)
    for (const block of report.undeleted) {
      if (!node.orders.isInvalidating(block.id)) node.orders.invalidate(block)
    }
    for (const id of report.changed) {
      this.#repair.arrived(now, id, node)
      this.#examine(now, id)
    }
    if (isFirst) this.#storageConfirmed(now, storage)
    return report.changed
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

  #replicaEvent(now: Millis, storage: StorageRecord, event: ReplicaEvent): boolean {
    const { blockId, generationStamp, length } = event
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
        const outcome = this.#ledger.received(
          storage,
          { blockId, generationStamp, length, state },
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
