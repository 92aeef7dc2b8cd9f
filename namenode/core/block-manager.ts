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
 * Each operation is in a file of its own: reports in `report-intake`, open blocks in `open-pipelines`,
 * what is not known yet after a start in `start-phase`. Invariants B1 to B12 are in docs/INVARIANTS.md.
 */
import { type Millis, millis } from '../../base/brand.ts'
import type { Prng } from '../../base/prng.ts'
import type { ListedReplica } from '../../protocol/block-list.ts'
import type { BlockId, DatanodeUuid, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { DatanodeLiveness, SafeModeState } from '../../protocol/states.ts'
import { Balancer, type BalanceView, type BalanceWish } from './balancer.ts'
import { BlockScan } from './block-scan.ts'
import type { BlockLocations, BlockSide, TargetChoice, TargetRequest } from './block-side.ts'
import type { BlockRow, DatanodeRow } from './changes.ts'
import {
  type ClusterStats,
  clusterStats,
  type ReplicaCounts,
  replicaCounts,
} from './cluster-stats.ts'
import { type CopyUnderWay, copiesUnderWay } from './copies-under-way.ts'
import { DatanodeGoals, mayLeave, type NamedDatanode } from './datanode-goals.ts'
import {
  type DatanodeDescriptor,
  type DatanodeRecord,
  DatanodeRegistry,
  type DatanodeView,
  type HeartbeatReport,
} from './datanode-registry.ts'
import { type DrainView, drainView } from './drain-view.ts'
import { Drains } from './drains.ts'
import { type ExplainedBlock, type ExplainedNode, explainBlock, explainNode } from './explain.ts'
import { locateBlock } from './locations.ts'
import { type GuardView, guardView, MassFailureGuard } from './mass-failure-guard.ts'
import {
  countFinalized,
  expectPipeline,
  isRecoveryLed,
  locationOf,
  openDigest,
  orderBlockRecovery,
  type PipelineParts,
  pipelineOf,
  recoverySources,
} from './open-pipelines.ts'
import type { DatanodeOrder } from './orders.ts'
import { choosePlacement } from './placement.ts'
import { Repair } from './repair.ts'
import { RepairRounds } from './repair-rounds.ts'
import { type AgreedDigest, ReplicaLedger } from './replica-ledger.ts'
import {
  type BucketReport,
  type ListingReport,
  type ReplicaEvent,
  ReportIntake,
} from './report-intake.ts'
import type { BlockReference, ReplicaLocation } from './requests.ts'
import { SafeMode } from './safe-mode.ts'
import { type BlockIdRange, StartPhase, type StartView } from './start-phase.ts'
import type { Topology } from './topology.ts'

export interface BlockManagerOptions {
  readonly settings: Settings
  /** Owned by the block side; placement, sources and reading orders draw from it. */
  readonly prng: Prng
  readonly topology: Topology
}

/** Which datanodes a report is about; `live` is everything that is not dead. */
export type DatanodeFilter = 'all' | 'live' | 'dead' | 'stale' | 'decommissioning'

/** Replicas, datanodes and repair, as one synchronous machine. */
export class BlockManager implements BlockSide {
  readonly #prng: Prng
  readonly #registry: DatanodeRegistry
  readonly #ledger: ReplicaLedger
  readonly #repair: Repair
  readonly #rounds: RepairRounds
  readonly #balancer: Balancer
  readonly #scan: BlockScan
  readonly #guard: MassFailureGuard
  readonly #safeMode: SafeMode
  readonly #goals: DatanodeGoals
  readonly #drains: Drains
  readonly #start: StartPhase
  readonly #reports: ReportIntake
  #now = millis(0)
  #rackCount = 0

  constructor({ settings, prng, topology }: BlockManagerOptions) {
    this.#prng = prng
    this.#registry = new DatanodeRegistry({ settings, topology })
    this.#ledger = new ReplicaLedger(this.#registry)
    const [registry, ledger] = [this.#registry, this.#ledger]
    this.#repair = new Repair({ registry, ledger })
    this.#rounds = new RepairRounds({ settings, prng, registry, ledger, repair: this.#repair })
    this.#balancer = new Balancer({ settings, ...this.#parts, rounds: this.#rounds })
    this.#scan = new BlockScan(this.#ledger.map)
    this.#guard = new MassFailureGuard(settings)
    this.#safeMode = new SafeMode(settings)
    this.#start = new StartPhase(settings)
    this.#goals = new DatanodeGoals(registry)
    const { pending } = this.#repair
    this.#drains = new Drains({ registry, ledger, goals: this.#goals, pending })
    this.#repair.onExamined = (at, health) => {
      this.#drains.examined(at, health)
    }
    this.#reports = new ReportIntake({
      ...this.#parts,
      scan: this.#scan,
      start: this.#start,
    })
  }

  // Rows.

  blockPut(row: BlockRow, replication: number): void {
    this.#start.rowPut(row.id)
    const { before, expected, reprieved } = this.#ledger.putRow(row, replication)
    for (const { node } of reprieved) node.orders.invalidationSettled(row.id)
    if (row.state !== 'complete') {
      if (before === 'complete') this.#repair.forget(this.#now, row.id)
      return
    }
    if (before === 'open') {
      for (const { node } of expected) node.orders.withdrawRecovery(row.id)
      this.#repair.expectReports(this.#now, row.id, expected)
    }
    this.#examine(row.id)
  }

  blockDeleted(id: BlockId): void {
    this.#repair.forget(this.#now, id)
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
    this.#start.totalCount = count
    this.#checkSafeMode()
  }

  /**
   * Every row was put: replicas of other blocks are garbage from now on. `nextBlockId` is the next one
   * the namespace will hand out; a replica of that or a later block shows that the namespace is older
   * than the data, and is kept.
   */
  finishedLoading(nextBlockId?: BlockId, leftOut: readonly BlockIdRange[] = []): void {
    this.#start.finishedLoading(this.#ledger.map.idLimit, nextBlockId, leftOut)
    this.#checkSafeMode()
  }

  datanodePut(row: DatanodeRow): void {
    if (this.#goals.row(row.uuid)?.goal !== row.goal) this.#drains.forget(row.uuid)
    this.#goals.put(row)
    this.#goalChanged(row.uuid)
  }

  datanodeDeleted(uuid: DatanodeUuid): void {
    this.#drains.forget(uuid)
    this.#goals.delete(uuid)
    this.#goalChanged(uuid)
  }

  // Operations of the namespace.

  datanodeRow(uuid: DatanodeUuid): DatanodeRow | undefined {
    return this.#goals.row(uuid)
  }

  datanodeNamed(text: string): NamedDatanode {
    return this.#goals.named(text)
  }

  reachedGoals(): readonly DatanodeRow[] {
    return this.#drains.reachedGoals()
  }

  datanodeRows(): Iterable<DatanodeRow> {
    return this.#goals.rows()
  }

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

  expectLocations(
    id: BlockId,
    generationStamp: GenerationStamp,
    locations: readonly ReplicaLocation[],
  ): void {
    const version = { id, generationStamp }
    if (expectPipeline(this.#now, version, locations, this.#parts)) this.#examine(id)
  }

  expectedLocations(id: BlockId): readonly ReplicaLocation[] {
    return pipelineOf(id, this.#parts).map(locationOf)
  }

  locate(row: BlockRow, callerHost: string): BlockLocations {
    return locateBlock(row, callerHost, {
      ledger: this.#ledger,
      registry: this.#registry,
      pending: this.#repair.pending.of(row.id),
      pipeline: pipelineOf(row.id, this.#parts),
      prng: this.#prng,
    })
  }

  reopenLocations(row: BlockRow, callerHost: string): readonly ReplicaLocation[] {
    const { locations, isCorrupt } = this.locate(row, callerHost)
    if (isCorrupt) return []
    const answering = locations.filter(
      ({ datanode }) => this.#registry.find(datanode)?.liveness === 'live',
    )
    const staying = answering.filter(
      ({ datanode }) => this.#goals.row(datanode)?.isReached !== true,
    )
    return [staying, answering].find(({ length }) => length > 0) ?? locations
  }

  finalizedReplicaCount(id: BlockId, generationStamp: GenerationStamp, length: number): number {
    return countFinalized({ id, generationStamp, length }, this.#parts)
  }

  orderRecovery(block: BlockRow, recoveryStamp: GenerationStamp): boolean {
    const sources = recoverySources(block.id, this.mayBeReportedLater(block.id), this.#parts)
    return orderBlockRecovery(block, recoveryStamp, { ...this.#parts, sources })
  }

  isRecoverable(id: BlockId): boolean {
    const { storages } = recoverySources(id, this.mayBeReportedLater(id), this.#parts)
    return storages.some(({ counts }) => counts)
  }

  isRecoveryLed(id: BlockId): boolean {
    return isRecoveryLed(id, this.#parts)
  }

  agreedDigest(id: BlockId, generationStamp: GenerationStamp, length: number): bigint | undefined {
    return openDigest({ id, generationStamp, length }, this.#parts)
  }

  /** Removes and returns digests that rows of complete blocks should have; see `storeDigests`. */
  takeAgreedDigests(countMax: number): readonly AgreedDigest[] {
    return this.#ledger.takeAgreed(countMax)
  }

  // Datanodes.

  /** Records a datanode that starts, or starts over: it has no orders and must report everything. */
  register(now: Millis, descriptor: DatanodeDescriptor): void {
    this.#now = now
    const { node, replaced } = this.#registry.register(now, descriptor)
    this.#goals.settle(node.uuid)
    this.#drains.disturb()
    this.#countRacks()
    for (const other of replaced) this.#nodeDied(now, other)
    node.orders.clear()
    this.#ledger.open.primaryLost(node)
    this.#repair.nodeLost(now, node)
    this.#guard.returned(node.uuid)
  }

  /** Takes a heartbeat and returns what the datanode shall do; `register` when it is not known alive. */
  heartbeat(now: Millis, uuid: DatanodeUuid, report: HeartbeatReport): readonly DatanodeOrder[] {
    this.#now = now
    const node = this.#registry.find(uuid)
    if (node === undefined || node.liveness === 'dead') return [{ kind: 'register' }]
    const lost = this.#registry.heartbeat(now, node, report)
    if (lost.length > 0) {
      this.#scan.requestStorages(lost.map(({ index }) => index))
      this.#drains.disturb()
    }
    this.#repair.pending.sample(now, node)
    if (this.#safeMode.state !== 'off') return []
    const mayInvalidate = (block: BlockReference): boolean =>
      this.#repair.mayInvalidate(now, node, block)
    this.#repair.beforeOrders(now, node)
    const orders = node.orders.take(now, mayInvalidate)
    this.#repair.ordersSent(now, node, orders)
    return orders
  }

  /** The datanode's connection closed: no new blocks for it until it is heard of again. */
  disconnected(now: Millis, uuid: DatanodeUuid): void {
    this.#now = now
    const node = this.#registry.find(uuid)
    if (node !== undefined) this.#registry.disconnected(now, node)
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
    const changed: BlockId[] = []
    const report = { now: () => now, uuid, storageUuid, replicas }
    for (const ids of this.listingInSteps(report)) changed.push(...ids)
    return changed
  }

  /**
   * Takes the content of a storage, or of some of its buckets, in steps of a few milliseconds; yields the
   * blocks whose replicas changed.
   *
   * @throws {@link DfsError} UNREGISTERED_NODE when the datanode is not known alive.
   */
  *listingInSteps(report: ListingReport): Generator<readonly BlockId[], void> {
    for (const changed of this.#reports.listing(report)) {
      this.#now = report.now()
      yield changed
    }
    this.#checkSafeMode()
  }

  /**
   * Compares a storage with digests of its buckets, in steps like {@link listingInSteps}. Returns the
   * buckets that differ: the datanode must list those, and nothing else.
   *
   * @throws {@link DfsError} UNREGISTERED_NODE when the datanode is not known alive.
   */
  *bucketsInSteps(report: BucketReport): Generator<readonly BlockId[], readonly number[]> {
    const wanted = yield* this.#reports.buckets(report)
    this.#now = report.now()
    this.#checkSafeMode()
    return wanted
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
    const changed = this.#reports.incremental(now, uuid, storageUuid, events)
    this.#checkSafeMode()
    return changed
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
    this.#reports.badReplica(this.#now, id, generationStamp, location)
  }

  /** What time alone causes: silence, overdue copies and deletions, repair. Bounded work. */
  tick(now: Millis): void {
    this.#now = now
    this.#start.tick(now)
    for (const node of this.#registry.tick(now)) this.#nodeDied(now, node)
    this.#guard.tick(now, this.#registry.remainingCount())
    this.#safeMode.tick(now)
    this.#checkSafeMode()
    this.#scan.run(limits.scannedBlocksPerTickMax, limits.visitedBlocksPerTickMax, (at) => {
      const id = this.#ledger.map.id(at)
      if (this.#ledger.map.kind(at) !== 'unverified') this.#examine(id)
      else if (!this.#start.mayBeEarly(id)) this.blockDeleted(id)
    })
    this.#repair.expire(now)
    for (const { orders } of this.#registry.nodes()) orders.retryInvalidations(now)
    this.#drains.tick(now, this.#start.isSettled)
    if (!this.#start.isSettled || this.#safeMode.state !== 'off' || this.#guard.isActive) return
    this.#rounds.run(now, (id, health) => this.#start.isInGrace(now, id, health))
    this.#repair.reviewPostponed(now)
    this.#balancer.tick(now)
  }

  /** How evenly the datanodes are filled, and what is being moved. */
  balance(): BalanceView {
    return this.#balancer.view()
  }

  /** Turns balancing on or off, or changes its measure. */
  setBalance(wish: BalanceWish): void {
    this.#balancer.set(wish)
  }

  /** A block from before the start, until every datanode that is going to come back has had its time. */
  mayBeReportedLater(id: BlockId): boolean {
    return this.#start.mayBeReportedLater(this.#now, id)
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
      isScanning: !this.#scan.isIdle || !this.#start.isSettled,
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

  /** Why a block is as it is; `undefined` when nothing is known of it. */
  explainBlock(id: BlockId): ExplainedBlock | undefined {
    return explainBlock(id, { ...this.#parts, rounds: this.#rounds })
  }

  /** What a datanode does for repair; `undefined` when it never registered. */
  explainNode(uuid: DatanodeUuid): ExplainedNode | undefined {
    const node = this.#registry.find(uuid)
    return node === undefined ? undefined : explainNode(this.#now, node, this.#parts)
  }

  /** The first ordered copies that have not arrived, in the order in which they were decided. */
  copiesUnderWay(countMax: number): readonly CopyUnderWay[] {
    return copiesUnderWay(this.#repair.pending, countMax)
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

  /** Whether and since when repair waits for datanodes that vanished together. */
  repairGuard(): GuardView {
    return guardView(this.#guard, this.#registry)
  }

  /** What an operator asked of each datanode, how far it has got, and what is in the way. */
  drains(samplesMax: number): readonly DrainView[] {
    return drainView({
      ...{ registry: this.#registry, ledger: this.#ledger, repair: this.#repair },
      ...{ goals: this.#goals, drains: this.#drains, rounds: this.#rounds, samplesMax },
      pause: this.#repairPause(),
    })
  }

  /** What is not known yet since the start, and until when that matters. */
  startView(): StartView {
    const now = this.#now
    const left = (until: Millis | undefined): number | undefined =>
      until === undefined || until <= now ? undefined : until - now
    const isPending = this.#safeMode.state === 'pending-threshold'
    return {
      totalCount: this.#blockCount(),
      isLoading: this.#start.isLoading,
      safeModeEndsInMs: isPending ? left(this.#safeMode.endsAt) : undefined,
      graceMs: left(this.#start.graceUntil),
    }
  }

  /** Open blocks that hold up the draining of a datanode. */
  openBlocksOnDrains(): readonly BlockId[] {
    return this.#drains.openBlocks()
  }

  /** Stops with an AssertionError when the parts disagree. Reads everything; for tests. */
  invariants(): void {
    this.#registry.invariants()
    this.#ledger.invariants()
    this.#repair.invariants()
  }

  #nodeDied(now: Millis, node: DatanodeRecord): void {
    node.orders.clear()
    // A datanode that was drained before may go without anybody being alarmed.
    if (!mayLeave(node.adminState)) this.#guard.lost(now, node.uuid)
    this.#drains.disturb()
    this.#repair.nodeLost(now, node)
    this.#scan.requestStorages([...node.storages.values()].map(({ index }) => index))
  }

  #goalChanged(uuid: DatanodeUuid): void {
    this.#drains.disturb()
    this.#countRacks()
    const node = this.#registry.find(uuid)
    if (node === undefined) return
    this.#scan.requestStorages([...node.storages.values()].map(({ index }) => index))
  }

  /** With a second rack, blocks that had no choice so far are badly distributed. */
  #countRacks(): void {
    const hadChoice = this.#rackCount >= 2
    this.#registry.countRacks()
    this.#rackCount = this.#registry.rackCount
    if (!hadChoice && this.#rackCount >= 2 && this.#start.isSettled) this.#scan.requestAll()
  }

  #blockCount(): number | undefined {
    return this.#start.blockCount(this.#ledger.map.rowCount)
  }

  #checkSafeMode(): void {
    if (this.#safeMode.state === 'pending-threshold') {
      const { safeCount } = this.#ledger
      this.#safeMode.check({ totalCount: this.#blockCount(), safeCount })
    }
    const isOver = this.#safeMode.state !== 'pending-threshold'
    if (this.#start.isSettled || !isOver || this.#start.isLoading) return
    this.#start.settle()
    this.#scan.requestAll()
  }

  /** Why nothing is copied now. */
  #repairPause(): string | undefined {
    if (!this.#start.isSettled) return 'the namenode has just started and waits for reports'
    if (this.#safeMode.state !== 'off') return 'the namenode is in safe mode'
    return this.#guard.isActive
      ? 'repair waits, because many datanodes vanished together'
      : undefined
  }

  /** Before it is settled what exists, nothing can be said to be missing. */
  #examine(id: BlockId): void {
    if (this.#start.isSettled) this.#repair.examine(this.#now, id)
  }

  get #parts(): PipelineParts {
    return { registry: this.#registry, ledger: this.#ledger, repair: this.#repair }
  }
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
