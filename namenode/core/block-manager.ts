/**
 * The block side of the namenode: where replicas are, how many are good, what to do about it. Soft
 * state only: nothing here is journaled, everything can be rebuilt from rows and reports.
 *
 *     rows ───────▶ ┌──────────────────────────────┐ ◀── registrations, heartbeats, reports
 *                   │ ledger   registry   repair   │
 *     operations ◀─▶│ scan     safe mode  guard    │ ──▶ orders, in answers to heartbeats
 *                   └──────────────────────────────┘
 *                          ▲ tick(now): detector, scans, time-outs, copies
 *
 * Repair begins when all rows are loaded and start-up safe mode is over, and for blocks from before
 * the start one dead interval later: a datanode that has not come back since the start is treated like
 * one that has been silent since. Invariants B1 to B12 are in docs/INVARIANTS.md.
 */
import { unreachable } from '../../base/assert.ts'
import { type Millis, millis } from '../../base/brand.ts'
import type { Prng } from '../../base/prng.ts'
import type { ListedReplica } from '../../protocol/block-list.ts'
import type { BlockId, DatanodeUuid, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { DatanodeLiveness, SafeModeState } from '../../protocol/states.ts'
import { isBeingWritten, isGoing, storageOf } from './block-map.ts'
import { BlockScan } from './block-scan.ts'
import type { BlockLocations, BlockSide, TargetChoice, TargetRequest } from './block-side.ts'
import type { BlockRow } from './changes.ts'
import {
  type ClusterStats,
  clusterStats,
  type ReplicaCounts,
  replicaCounts,
} from './cluster-stats.ts'
import {
  type DatanodeDescriptor,
  type DatanodeRecord,
  DatanodeRegistry,
  type DatanodeView,
  type HeartbeatReport,
  type StorageRecord,
} from './datanode-registry.ts'
import { locateBlock } from './locations.ts'
import { MassFailureGuard } from './mass-failure-guard.ts'
import type { DatanodeOrder } from './orders.ts'
import { choosePlacement } from './placement.ts'
import type { BlockHealth } from './redundancy.ts'
import { Repair } from './repair.ts'
import { ReplicaLedger } from './replica-ledger.ts'
import type { ReplicaLocation } from './requests.ts'
import { SafeMode } from './safe-mode.ts'
import type { Topology } from './topology.ts'

export interface BlockManagerOptions {
  readonly settings: Settings
  /** Owned by the block side; placement, sources and reading orders draw from it. */
  readonly prng: Prng
  readonly topology: Topology
}

/** One line of an incremental report. */
export interface ReplicaEvent {
  readonly kind: 'receiving' | 'received' | 'deleted'
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
}

/** Which datanodes a report is about; `live` is everything that is not dead. */
export type DatanodeFilter = 'all' | 'live' | 'dead' | 'stale' | 'decommissioning'

const hasAccounted = ({ good, uncounted, corrupt, wanted }: BlockHealth): boolean =>
  good.length + uncounted.length + corrupt.length >= wanted

/** Replicas, datanodes and repair, as one synchronous machine. */
export class BlockManager implements BlockSide {
  readonly #prng: Prng
  readonly #deadMs: number
  readonly #registry: DatanodeRegistry
  readonly #ledger: ReplicaLedger
  readonly #repair: Repair
  readonly #scan: BlockScan
  readonly #guard: MassFailureGuard
  readonly #safeMode: SafeMode
  /** Rows are still missing: a replica without a block may only be early. */
  #isLoading = true
  /** Blocks from here on were never handed out, as far as is known. */
  #nextBlockId = 0
  #totalCount: number | undefined
  #isSettled = false
  #graceUntil: Millis | undefined
  /** Blocks all of whose replicas were accounted for during the grace: what they lack since is lost. */
  readonly #accounted = new Set<BlockId>()
  #graceIdLimit = 0
  #now = millis(0)

  constructor({ settings, prng, topology }: BlockManagerOptions) {
    this.#prng = prng
    this.#deadMs = settings['dfs.namenode.dead.datanode.interval']
    this.#registry = new DatanodeRegistry({ settings, topology })
    this.#ledger = new ReplicaLedger(this.#registry)
    const [registry, ledger] = [this.#registry, this.#ledger]
    this.#repair = new Repair({ settings, prng, registry, ledger })
    this.#scan = new BlockScan(this.#ledger.map)
    this.#guard = new MassFailureGuard(settings)
    this.#safeMode = new SafeMode(settings)
  }

  // Rows.

  blockPut(row: BlockRow, replication: number): void {
    this.#nextBlockId = Math.max(this.#nextBlockId, row.id + 1)
    const { before, expected, reprieved } = this.#ledger.putRow(row, replication)
    for (const { node } of reprieved) node.orders.invalidationSettled(row.id)
    if (row.state !== 'complete') {
      if (before === 'complete') this.#repair.forget(row.id)
      return
    }
    if (before === 'open') {
      for (const { node } of expected) node.orders.withdrawRecovery(row.id)
      this.#repair.expectReports(this.#now, row.id, expected)
    }
    this.#examine(row.id)
  }

  blockDeleted(id: BlockId): void {
    this.#repair.forget(id)
    for (const { storage, block } of this.#ledger.removeRow(id)) {
      storage.node.orders.withdrawRecovery(id)
      if (storage.counts) storage.node.orders.invalidate(block)
    }
  }

  replicationChanged(ids: readonly BlockId[], replication: number): void {
    for (const id of ids) {
      const at = this.#ledger.map.find(id)
      if (at === undefined || replication === 0) continue
      this.#ledger.map.setReplication(at, replication)
      this.#examine(id)
    }
  }

  /** Blocks the namespace has, for the safe-mode threshold while rows are still being loaded. */
  totalBlocks(count: number): void {
    this.#totalCount = count
    this.#checkSafeMode()
  }

  /**
   * Every row was put: replicas of other blocks are garbage from now on. `nextBlockId` is the next one
   * the namespace will hand out; a replica of that or a later block shows that the namespace is older
   * than the data, and is kept.
   */
  finishedLoading(nextBlockId?: BlockId): void {
    this.#isLoading = false
    this.#nextBlockId = Math.max(this.#nextBlockId, nextBlockId ?? Infinity)
    this.#graceIdLimit = this.#ledger.map.idLimit
    this.#checkSafeMode()
  }

  // Operations of the namespace.

  chooseTargets(request: TargetRequest): TargetChoice {
    const existing: DatanodeRecord[] = []
    for (const { datanode } of request.existing) {
      const node = this.#registry.find(datanode)
      if (node !== undefined) existing.push(node)
    }
    const { targets, refusals } = choosePlacement(
      this.#registry.nodes(),
      { ...request, existing },
      {
        prng: this.#prng,
        rackCount: this.#registry.rackCount,
        silenceMs: (node) => this.#registry.silenceMs(this.#now, node),
        incomingBytes: (node) => this.#repair.pending.load(node).inBytes,
      },
    )
    return { targets: targets.map(locationOf), refusals }
  }

  /**
   * Sets the pipeline of an open block; of a complete one, says who is about to report. Ignored when
   * the block has been deleted or changed meanwhile.
   */
  expectLocations(
    id: BlockId,
    generationStamp: GenerationStamp,
    locations: readonly ReplicaLocation[],
  ): void {
    const at = this.#ledger.map.find(id)
    if (at === undefined) return
    const storages: StorageRecord[] = []
    for (const { datanode, storage } of locations) {
      const node = this.#registry.find(datanode)
      if (node !== undefined) storages.push(this.#registry.ensureStorage(node, storage))
    }
    if (this.#ledger.map.kind(at) !== 'complete') {
      this.#ledger.open.expect(id, storages)
      return
    }
    if (this.#ledger.map.generationStamp(at) !== generationStamp) return
    this.#repair.expectReports(this.#now, id, storages)
    this.#examine(id)
  }

  expectedLocations(id: BlockId): readonly ReplicaLocation[] {
    const at = this.#ledger.map.find(id)
    if (at === undefined) return []
    return this.#pipeline(id).map(locationOf)
  }

  locate(row: BlockRow, callerHost: string): BlockLocations {
    return locateBlock(row, callerHost, {
      ledger: this.#ledger,
      registry: this.#registry,
      pending: this.#repair.pending.of(row.id),
      pipeline: this.#pipeline(row.id),
      prng: this.#prng,
    })
  }

  finalizedReplicaCount(id: BlockId, generationStamp: GenerationStamp, length: number): number {
    const at = this.#ledger.map.find(id)
    if (at === undefined) return 0
    const { map, open } = this.#ledger
    if (map.kind(at) !== 'complete') {
      return (open.find(id)?.replicas ?? []).filter(
        (replica) =>
          replica.state === 'finalized' &&
          replica.generationStamp === generationStamp &&
          replica.length === length &&
          !replica.isCorrupt &&
          replica.storage.counts,
      ).length
    }
    if (map.generationStamp(at) !== generationStamp || map.length(at) !== length) return 0
    return map
      .replicas(at)
      .filter(
        (word) =>
          !isGoing(word) && !isBeingWritten(word) && this.#registry.storage(storageOf(word)).counts,
      ).length
  }

  orderRecovery(block: BlockRow, recoveryStamp: GenerationStamp): boolean {
    const storages = this.#pipeline(block.id).filter((storage) => storage.counts)
    for (const { orders } of this.#registry.nodes()) orders.withdrawRecovery(block.id)
    let primary: DatanodeRecord | undefined
    for (const { node } of storages) {
      if (node.liveness !== 'live') continue
      if (primary === undefined || node.lastSeen > primary.lastSeen) primary = node
    }
    primary?.orders.recover({
      kind: 'recover',
      block: { id: block.id, generationStamp: block.generationStamp, length: block.length },
      recoveryStamp,
      locations: storages.map(locationOf),
    })
    return primary !== undefined
  }

  // Datanodes.

  /** Records a datanode that starts, or starts over: it has no orders and must report everything. */
  register(now: Millis, descriptor: DatanodeDescriptor): void {
    this.#now = now
    const rackCountBefore = this.#registry.rackCount
    const { node, replaced } = this.#registry.register(now, descriptor)
    // With a second rack, blocks that had no choice so far are badly distributed.
    const hasMoreRacks = rackCountBefore < 2 && this.#registry.rackCount >= 2
    if (hasMoreRacks && this.#isSettled) this.#scan.requestAll()
    for (const other of replaced) this.#nodeDied(now, other)
    node.orders.clear()
    this.#repair.nodeLost(node)
    this.#guard.returned(node.uuid)
  }

  /** Takes a heartbeat and returns what the datanode shall do; `register` when it is not known alive. */
  heartbeat(now: Millis, uuid: DatanodeUuid, report: HeartbeatReport): readonly DatanodeOrder[] {
    this.#now = now
    const node = this.#registry.find(uuid)
    if (node === undefined || node.liveness === 'dead') return [{ kind: 'register' }]
    const lost = this.#registry.heartbeat(now, node, report)
    if (lost.length > 0) this.#scan.requestStorages(lost.map(({ index }) => index))
    this.#repair.paced(node)
    if (this.#safeMode.state !== 'off') return []
    return node.orders.take(now, (block) => this.#repair.mayInvalidate(node, block))
  }

  /** The datanode's connection closed: no new blocks for it until it is heard of again. */
  disconnected(now: Millis, uuid: DatanodeUuid): void {
    this.#now = now
    const node = this.#registry.find(uuid)
    if (node !== undefined) this.#registry.disconnected(node)
  }

  /**
   * Takes the full content of one storage.
   *
   * @returns the blocks whose replicas changed.
   * @throws {@link DfsError} UNREGISTERED_NODE when the datanode is not known alive.
   */
  blockReport(
    now: Millis,
    uuid: DatanodeUuid,
    storageUuid: StorageUuid,
    replicas: Iterable<ListedReplica>,
  ): readonly BlockId[] {
    this.#now = now
    const node = this.#registry.registered(uuid)
    const storage = this.#registry.ensureStorage(node, storageUuid)
    const report = this.#ledger.fullReport(now, storage, replicas, this.#mayBeEarly)
    const isFirst = !storage.isReported
    storage.isReported = true
    node.lastBlockReportAt = now
    for (const block of report.garbage) node.orders.invalidate(block)
    for (const block of report.undeleted) {
      if (!node.orders.isInvalidating(block.id)) node.orders.invalidate(block)
    }
    for (const id of report.changed) {
      this.#repair.arrived(id, node)
      this.#examine(id)
    }
    if (isFirst) this.#storageConfirmed(storage)
    this.#checkSafeMode()
    return report.changed
  }

  /**
   * Takes what changed on one storage since its last report.
   *
   * @returns the blocks whose replicas changed.
   * @throws {@link DfsError} UNREGISTERED_NODE when the datanode is not known alive.
   */
  incrementalReport(
    now: Millis,
    uuid: DatanodeUuid,
    storageUuid: StorageUuid,
    events: Iterable<ReplicaEvent>,
  ): readonly BlockId[] {
    this.#now = now
    const node = this.#registry.registered(uuid)
    const storage = this.#registry.ensureStorage(node, storageUuid)
    const changed = new Set<BlockId>()
    for (const event of events) {
      if (this.#replicaEvent(now, storage, event)) changed.add(event.blockId)
    }
    for (const id of changed) this.#examine(id)
    this.#checkSafeMode()
    return [...changed]
  }

  /**
   * Somebody read a replica whose bytes do not match their checksums. Reports about another generation
   * stamp, or about replicas that nobody knows, are ignored.
   */
  reportBadReplica(
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
      if (this.#ledger.markCorrupt(id, storage)) this.#examine(id)
    }
  }

  /** What time alone causes: silence, overdue copies and deletions, repair. Bounded work. */
  tick(now: Millis): void {
    this.#now = now
    this.#graceUntil ??= millis(now + this.#deadMs)
    for (const node of this.#registry.tick(now)) this.#nodeDied(now, node)
    this.#guard.tick(now, this.#remainingCount())
    this.#safeMode.tick(now)
    this.#checkSafeMode()
    this.#scan.run(limits.scannedBlocksPerTickMax, limits.visitedBlocksPerTickMax, (at) => {
      const id = this.#ledger.map.id(at)
      if (this.#ledger.map.kind(at) !== 'unverified') this.#examine(id)
      else if (!this.#mayBeEarly(id)) this.blockDeleted(id)
    })
    this.#repair.expire(now)
    for (const { orders } of this.#registry.nodes()) orders.retryInvalidations(now)
    if (now >= this.#graceUntil) this.#accounted.clear()
    if (!this.#isSettled || this.#safeMode.state !== 'off' || this.#guard.isActive) return
    this.#repair.run(now, (id, health) => this.#isInGrace(id, health))
  }

  /** A block from before the start, until every datanode that is going to come back has had its time. */
  mayBeReportedLater(id: BlockId): boolean {
    const isGraceOver = this.#graceUntil !== undefined && this.#now >= this.#graceUntil
    return !isGraceOver && (this.#isLoading || id < this.#graceIdLimit)
  }

  datanode(uuid: DatanodeUuid): DatanodeView | undefined {
    const node = this.#registry.find(uuid)
    return node === undefined ? undefined : this.#registry.view(node)
  }

  /** The datanodes a report asks for, in order of their first registration. */
  datanodes(filter: DatanodeFilter): readonly DatanodeView[] {
    const views: DatanodeView[] = []
    for (const node of this.#registry.nodes()) {
      if (matches(node, filter)) views.push(this.#registry.view(node))
    }
    return views
  }

  /** Milliseconds since a datanode was heard of, without the namenode's own stalls. */
  silenceMs(uuid: DatanodeUuid): number | undefined {
    const node = this.#registry.find(uuid)
    return node === undefined ? undefined : this.#registry.silenceMs(this.#now, node)
  }

  stats(): ClusterStats {
    return clusterStats({
      registry: this.#registry,
      ledger: this.#ledger,
      repair: this.#repair,
      isRepairPaused: this.#guard.isActive,
      isScanning: !this.#scan.isIdle || !this.#isSettled,
      safeModeNeededCount: this.#safeMode.neededCount(this.#blockCount() ?? 0),
    })
  }

  /** Replicas of one block by their worth, for fsck and the status page. */
  replicaCounts(id: BlockId): ReplicaCounts | undefined {
    return replicaCounts(id, {
      ledger: this.#ledger,
      registry: this.#registry,
      repair: this.#repair,
    })
  }

  /** Blocks without a good replica, oldest first. */
  missingBlocks(countMax: number): readonly BlockId[] {
    const found: BlockId[] = []
    for (const id of this.#repair.queues.list('lost')) {
      if (found.length === countMax) break
      found.push(id)
    }
    return found
  }

  get safeMode(): SafeModeState {
    return this.#safeMode.state
  }

  /** An operator's wish. Returns the state after it. */
  setSafeMode(action: 'enter' | 'leave'): SafeModeState {
    this.#safeMode.send(action)
    this.#checkSafeMode()
    return this.#safeMode.state
  }

  /** An operator accepts a mass failure: repair goes on without the datanodes lost. */
  resumeRepair(): void {
    this.#guard.resume()
  }

  /** Stops with an AssertionError when the parts disagree. Reads everything; for tests. */
  invariants(): void {
    this.#registry.invariants()
    this.#ledger.invariants()
    this.#repair.invariants()
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
          this.#mayBeEarly,
        )
        if (outcome === 'garbage') orders.invalidate({ id: blockId, generationStamp, length })
        if (isFinal) this.#repair.arrived(blockId, storage.node)
        return outcome === 'changed'
      }
      default:
        return unreachable(event.kind)
    }
  }

  /** The pipeline of an open block: as ordered, then what was reported with its stamp or a later one. */
  #pipeline(id: BlockId): readonly StorageRecord[] {
    const { map, open } = this.#ledger
    const at = map.find(id)
    const block = open.find(id)
    if (at === undefined) return []
    const found = new Map<DatanodeRecord, StorageRecord>()
    for (const storage of block?.expected ?? []) found.set(storage.node, storage)
    for (const replica of block?.replicas ?? []) {
      if (replica.generationStamp < map.generationStamp(at) || replica.isCorrupt) continue
      if (!found.has(replica.storage.node)) found.set(replica.storage.node, replica.storage)
    }
    for (const word of map.replicas(at)) {
      const storage = this.#registry.storage(storageOf(word))
      if (!isGoing(word)) found.set(storage.node, storage)
    }
    return [...found.values()]
  }

  /** What a storage holds is certain now: surplus and corrupt replicas may go because of it. */
  #storageConfirmed(storage: StorageRecord): void {
    if (!this.#isSettled) return
    this.#scan.requestStorages([storage.index])
    for (const [id, replicas] of this.#ledger.corrupt.entries()) {
      if (replicas.some((replica) => replica.storage === storage)) this.#examine(id)
    }
  }

  #nodeDied(now: Millis, node: DatanodeRecord): void {
    node.orders.clear()
    this.#guard.lost(now, node.uuid)
    this.#repair.nodeLost(node)
    this.#scan.requestStorages([...node.storages.values()].map(({ index }) => index))
  }

  #remainingCount(): number {
    let count = 0
    for (const node of this.#registry.nodes()) if (node.liveness !== 'dead') count += 1
    return count
  }

  #blockCount(): number | undefined {
    return this.#isLoading ? this.#totalCount : this.#ledger.map.rowCount
  }

  #checkSafeMode(): void {
    if (this.#safeMode.state === 'pending-threshold') {
      const { safeCount } = this.#ledger
      this.#safeMode.check({ totalCount: this.#blockCount(), safeCount })
    }
    const isOver = this.#safeMode.state !== 'pending-threshold'
    if (this.#isSettled || !isOver || this.#isLoading) return
    this.#isSettled = true
    this.#scan.requestAll()
  }

  /** The row may still be loaded, or the block is from a future this namespace does not know. */
  readonly #mayBeEarly = (id: BlockId): boolean => this.#isLoading || id >= this.#nextBlockId

  /** Before it is settled what exists, nothing can be said to be missing. */
  #examine(id: BlockId): void {
    if (this.#isSettled) this.#repair.examine(id)
  }

  /** A block from before the start, not all of whose replicas are accounted for, may still be reported. */
  #isInGrace(id: BlockId, health: BlockHealth): boolean {
    if (this.#graceUntil === undefined || this.#now >= this.#graceUntil) return false
    if (id >= this.#graceIdLimit || this.#accounted.has(id)) return false
    if (!hasAccounted(health)) return true
    this.#accounted.add(id)
    return false
  }
}

function locationOf({ node, uuid }: StorageRecord): ReplicaLocation {
  return { datanode: node.uuid, storage: uuid }
}

function matches({ liveness, adminState }: DatanodeRecord, filter: DatanodeFilter): boolean {
  switch (filter) {
    case 'all':
      return true
    case 'live':
      return liveness !== 'dead'
    case 'dead':
      return liveness === 'dead'
    case 'stale':
      return liveness === ('stale' satisfies DatanodeLiveness)
    case 'decommissioning':
      return adminState === 'decommission-in-progress'
  }
}
