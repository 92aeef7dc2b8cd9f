/**
 * The datanodes: who registered, what they report of themselves, and who may be used for what.
 *
 *     live ──connection closed──▶ disconnected ──silent 10 s──▶ stale ──silent 60 s──▶ dead
 *       ▲──────────── heartbeat ───────┴───────────────────────────┘                    │
 *       └──────────────────────────── registration ─────────────────────────────────────┘
 *
 * Disconnected and stale datanodes get no new blocks and are read from last; their replicas count. A
 * dead one's replicas do not count until it has registered again. Silence is measured on a clock that
 * stands still while the namenode itself did: a stall shows as a late tick, and its excess is no
 * datanode's fault.
 *
 * A datanode that comes and goes is *unsteady*: lost three times within ten minutes. Until it has been live
 * for two minutes without a break it gets new replicas only when no other datanode can take them, and
 * no replica elsewhere is deleted because of what it holds. So however often it goes and returns, each of its
 * blocks is copied once at most.
 *
 * A storage keeps its index for the life of the process, so that the block map can hold integers.
 */
import { assert, defined } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { DatanodeUuid, StorageUuid } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { AdminState, DatanodeLiveness } from '../../protocol/states.ts'
import { OrderQueue } from './orders.ts'
import { RecentReports } from './recent-reports.ts'
import { defaultRack, type Topology } from './topology.ts'

/** What a datanode says of itself when it registers; the address is the RPC peer's. */
export interface DatanodeDescriptor {
  readonly uuid: DatanodeUuid
  readonly ipAddress: string
  readonly hostName: string
  readonly transferPort: number
  readonly infoPort: number
  readonly ipcPort: number
  readonly softwareVersion: string
}

/** One data directory in a heartbeat; all sizes in bytes. */
export interface StorageReport {
  readonly storage: StorageUuid
  readonly isFailed: boolean
  readonly capacity: number
  readonly used: number
  readonly remaining: number
  readonly blockPoolUsed: number
  readonly nonDfsUsed: number
  /** Age of the byte that was not verified for longest; `undefined` when the datanode does not say. */
  readonly oldestUnverifiedMs?: number | undefined
}

export interface HeartbeatReport {
  readonly storages: readonly StorageReport[]
  /** Client transfers in progress (HDFS: xceiverCount). */
  readonly transfers: number
  /** Copies to other datanodes in progress (HDFS: xmitsInProgress). */
  readonly copies: number
  readonly failedVolumes: number
}

/** One data directory as reports and the status page show it. */
export interface StorageView extends StorageReport {
  readonly replicaCount: number
  /** A full report arrived since the datanode registered. */
  readonly isReported: boolean
}

/** A datanode as reports, located blocks and the status page show it. */
export interface DatanodeView extends DatanodeDescriptor {
  readonly rack: string
  readonly liveness: DatanodeLiveness
  /** False while it comes and goes. */
  readonly isSteady: boolean
  readonly adminState: AdminState
  readonly capacity: number
  readonly used: number
  readonly remaining: number
  readonly blockPoolUsed: number
  readonly nonDfsUsed: number
  readonly transfers: number
  readonly failedVolumes: number
  readonly replicaCount: number
  /** Monotonic time of the last sign of life. */
  readonly lastHeartbeatAt: Millis
  readonly lastBlockReportAt: Millis | undefined
  readonly storages: readonly StorageView[]
}

/** Mutable record of one storage; `index` is what the block map stores. */
export class StorageRecord {
  readonly index: number
  readonly uuid: StorageUuid
  readonly node: DatanodeRecord
  isFailed = false
  /** A full report arrived since the datanode registered; before, its replicas are hearsay. */
  isReported = false
  /** Counts the full reports begun, so that an earlier one ends when a later one begins. */
  reportCount = 0
  /** Buckets that differ and are still to be listed, while a report by differences is under way. */
  awaitedBuckets: Set<number> | undefined = undefined
  capacity = 0
  used = 0
  remaining = 0
  blockPoolUsed = 0
  nonDfsUsed = 0
  oldestUnverifiedMs: number | undefined
  replicaCount = 0
  /** Blocks under construction that were promised to this storage and not received yet. */
  scheduledCount = 0
  readonly recent = new RecentReports()

  constructor(index: number, uuid: StorageUuid, node: DatanodeRecord) {
    this.index = index
    this.uuid = uuid
    this.node = node
  }

  /** Replicas here count as existing. */
  get counts(): boolean {
    return !this.isFailed && this.node.liveness !== 'dead'
  }

  /** What a good replica here is worth. */
  get standing(): 'good' | 'leaving' | 'maintained' | 'gone' {
    const { adminState, liveness } = this.node
    if (this.isFailed) return 'gone'
    // A datanode in maintenance may be switched off: that is what it is for.
    if (adminState === 'in-maintenance') return 'maintained'
    if (liveness === 'dead') return 'gone'
    if (adminState === 'normal') return 'good'
    return adminState === 'entering-maintenance' ? 'maintained' : 'leaving'
  }

  /** Replicas here are certain enough to delete others because of them. */
  get isTrusted(): boolean {
    const { liveness, isSteady } = this.node
    return !this.isFailed && this.isReported && liveness === 'live' && isSteady
  }
}

/** Mutable record of one datanode. */
export class DatanodeRecord {
  descriptor: DatanodeDescriptor
  rack: string
  liveness: DatanodeLiveness = 'live'
  adminState: AdminState = 'normal'
  isConnected = true
  /** In the registry's own time, which leaves out the namenode's stalls. */
  lastSeen: number
  lastHeartbeatAt: Millis
  lastBlockReportAt: Millis | undefined = undefined
  transfers = 0
  copies = 0
  failedVolumes = 0
  hasHeartbeat = false
  /** Registry times of recent losses of contact, oldest first. */
  readonly losses: number[] = []
  /** Registry time since when it has been live without a break. */
  liveSince: number
  isSteady = true
  readonly storages = new Map<StorageUuid, StorageRecord>()
  readonly orders = new OrderQueue()

  constructor(descriptor: DatanodeDescriptor, rack: string, now: Millis) {
    this.descriptor = descriptor
    this.rack = rack
    this.lastSeen = now
    this.liveSince = now
    this.lastHeartbeatAt = now
  }

  get uuid(): DatanodeUuid {
    return this.descriptor.uuid
  }

  /** `host:port` as messages name it. */
  get name(): string {
    return `${this.descriptor.hostName}:${this.descriptor.transferPort}`
  }

  /** Names under which a client on the same machine may appear. */
  get hosts(): readonly string[] {
    return [this.descriptor.hostName, this.descriptor.ipAddress]
  }

  /** Bytes free over all working storages. */
  get remaining(): number {
    let total = 0
    for (const storage of this.storages.values()) if (!storage.isFailed) total += storage.remaining
    return total
  }

  get capacity(): number {
    let total = 0
    for (const storage of this.storages.values()) if (!storage.isFailed) total += storage.capacity
    return total
  }
}

export interface RegistryOptions {
  readonly settings: Settings
  readonly topology: Topology
}

/** All datanodes that ever registered, and the failure detector over them. */
export class DatanodeRegistry {
  /** Good replicas elsewhere that let a datanode go into maintenance. */
  readonly maintenanceReplicationMin: number
  readonly #staleMs: number
  readonly #deadMs: number
  readonly #topology: Topology
  readonly #nodes = new Map<DatanodeUuid, DatanodeRecord>()
  /** Index 0 is never used. */
  readonly #storages: (StorageRecord | undefined)[] = [undefined]
  #stalledMs = 0
  #lastTickAt: Millis | undefined
  #rackCount = 0

  constructor({ settings, topology }: RegistryOptions) {
    this.maintenanceReplicationMin = settings['dfs.namenode.maintenance.replication.min']
    this.#staleMs = settings['dfs.namenode.stale.datanode.interval']
    this.#deadMs = settings['dfs.namenode.dead.datanode.interval']
    this.#topology = topology
  }

  get count(): number {
    return this.#nodes.size
  }

  /** Racks with a datanode that is not dead and not being or to be drained. */
  get rackCount(): number {
    return this.#rackCount
  }

  /** Brings `rackCount` up to date after an admin state changed. */
  countRacks(): void {
    const racks = new Set<string>()
    for (const { liveness, adminState, rack } of this.#nodes.values()) {
      if (liveness !== 'dead' && adminState === 'normal') racks.add(rack)
    }
    this.#rackCount = racks.size
  }

  /** Datanodes that are not dead. */
  remainingCount(): number {
    let count = 0
    for (const { liveness } of this.#nodes.values()) if (liveness !== 'dead') count += 1
    return count
  }

  /** Rack of a client's host. */
  rackOfHost(host: string): string {
    return this.#topology(host)
  }

  /** Time the namenode itself stood still so far, in milliseconds. */
  get stalledMs(): number {
    return this.#stalledMs
  }

  nodes(): IterableIterator<DatanodeRecord> {
    return this.#nodes.values()
  }

  find(uuid: DatanodeUuid): DatanodeRecord | undefined {
    return this.#nodes.get(uuid)
  }

  storage(index: number): StorageRecord {
    return defined(this.#storages[index], `storage ${index}`)
  }

  /** The record behind a location, if that datanode and storage ever reported. */
  findStorage(uuid: DatanodeUuid, storage: StorageUuid): StorageRecord | undefined {
    return this.#nodes.get(uuid)?.storages.get(storage)
  }

  /** The record of a storage, made at its first mention. */
  ensureStorage(node: DatanodeRecord, uuid: StorageUuid): StorageRecord {
    const known = node.storages.get(uuid)
    if (known !== undefined) return known
    const storage = new StorageRecord(this.#storages.length, uuid, node)
    this.#storages.push(storage)
    node.storages.set(uuid, storage)
    return storage
  }

  /** A known, registered datanode; dead ones must register before they may report. */
  registered(uuid: DatanodeUuid): DatanodeRecord {
    const node = this.#nodes.get(uuid)
    if (node === undefined || node.liveness === 'dead') {
      throw new DfsError(
        'UNREGISTERED_NODE',
        `Datanode ${uuid} is ${node === undefined ? 'unknown' : 'dead'} and must register first`,
      )
    }
    return node
  }

  /**
   * Records a datanode, again or for the first time. Another identity at the same address can only be
   * the same machine with new directories: the old one is returned as `replaced`, dead.
   */
  register(
    now: Millis,
    descriptor: DatanodeDescriptor,
  ): { readonly node: DatanodeRecord; readonly replaced: readonly DatanodeRecord[] } {
    const replaced: DatanodeRecord[] = []
    for (const other of this.#nodes.values()) {
      if (other.uuid !== descriptor.uuid && isSameAddress(other.descriptor, descriptor)) {
        if (other.liveness !== 'dead') replaced.push(other)
        other.liveness = 'dead'
        other.isConnected = false
      }
    }
    let node = this.#nodes.get(descriptor.uuid)
    if (node === undefined) {
      node = new DatanodeRecord(descriptor, this.#rackOf(descriptor), now)
      this.#nodes.set(descriptor.uuid, node)
    } else {
      node.descriptor = descriptor
      node.rack = this.#rackOf(descriptor)
      for (const storage of node.storages.values()) {
        storage.isReported = false
        storage.reportCount += 1
        storage.awaitedBuckets = undefined
        // The reports that follow were put together after the registration; nothing overtakes them.
        storage.recent.clear()
      }
    }
    this.#seen(now, node)
    this.countRacks()
    return { node, replaced }
  }

  /**
   * Records a sign of life and what it says.
   *
   * @returns the storages that failed or vanished since the last one.
   */
  heartbeat(now: Millis, node: DatanodeRecord, report: HeartbeatReport): readonly StorageRecord[] {
    this.#seen(now, node)
    node.hasHeartbeat = true
    node.transfers = report.transfers
    node.copies = report.copies
    node.failedVolumes = report.failedVolumes
    const lost: StorageRecord[] = []
    const mentioned = new Set<StorageUuid>()
    for (const row of report.storages) {
      mentioned.add(row.storage)
      const storage = this.ensureStorage(node, row.storage)
      if (row.isFailed && !storage.isFailed) lost.push(storage)
      if (storage.isFailed !== row.isFailed) storage.isReported = false
      storage.isFailed = row.isFailed
      storage.capacity = row.capacity
      storage.used = row.used
      storage.remaining = row.remaining
      storage.blockPoolUsed = row.blockPoolUsed
      storage.nonDfsUsed = row.nonDfsUsed
      storage.oldestUnverifiedMs = row.oldestUnverifiedMs
    }
    for (const storage of node.storages.values()) {
      if (mentioned.has(storage.uuid) || storage.isFailed) continue
      storage.isFailed = true
      storage.isReported = false
      lost.push(storage)
    }
    return lost
  }

  disconnected(now: Millis, node: DatanodeRecord): void {
    node.isConnected = false
    if (node.liveness !== 'live') return
    node.liveness = 'disconnected'
    this.#contactLost(now, node)
  }

  /**
   * Moves time on. A tick that comes late shows that the namenode was stalled; datanodes are not
   * blamed for that part of their silence.
   *
   * @returns the datanodes that became dead.
   */
  tick(now: Millis): readonly DatanodeRecord[] {
    this.#stalledMs += this.#stallSinceTick(now)
    this.#lastTickAt = now
    const died: DatanodeRecord[] = []
    for (const node of this.#nodes.values()) {
      if (node.liveness === 'dead') continue
      const silentMs = this.silenceMs(now, node)
      if (node.liveness === 'live' && silentMs >= this.#staleMs) this.#contactLost(now, node)
      if (silentMs >= this.#deadMs) {
        node.liveness = 'dead'
        node.isConnected = false
        died.push(node)
      } else if (silentMs >= this.#staleMs) {
        node.liveness = 'stale'
      } else if (!node.isSteady && node.liveness === 'live') {
        node.isSteady = this.#ownTime(now) - node.liveSince >= limits.steadyAgainMs
      }
    }
    if (died.length > 0) this.countRacks()
    return died
  }

  /** Milliseconds since the last sign of life, without the namenode's own stalls. */
  silenceMs(now: Millis, node: DatanodeRecord): number {
    return Math.max(0, this.#ownTime(now) - node.lastSeen)
  }

  view(node: DatanodeRecord): DatanodeView {
    const storages: StorageView[] = []
    const total = { used: 0, blockPoolUsed: 0, nonDfsUsed: 0, replicaCount: 0 }
    for (const storage of node.storages.values()) {
      storages.push(storageView(storage))
      total.replicaCount += storage.replicaCount
      if (storage.isFailed) continue
      total.used += storage.used
      total.blockPoolUsed += storage.blockPoolUsed
      total.nonDfsUsed += storage.nonDfsUsed
    }
    return {
      ...node.descriptor,
      ...total,
      rack: node.rack,
      liveness: node.liveness,
      isSteady: node.isSteady,
      adminState: node.adminState,
      capacity: node.capacity,
      remaining: node.remaining,
      transfers: node.transfers,
      failedVolumes: node.failedVolumes,
      lastHeartbeatAt: node.lastHeartbeatAt,
      lastBlockReportAt: node.lastBlockReportAt,
      storages,
    }
  }

  /** Stops with an AssertionError when the indexes disagree. */
  invariants(): void {
    for (const [index, storage] of this.#storages.entries()) {
      if (storage === undefined) continue
      assert(storage.index === index, `storage ${storage.uuid} must be at its index`)
      assert(
        storage.node.storages.get(storage.uuid) === storage,
        `storage ${storage.uuid} must belong to its datanode`,
      )
      assert(storage.replicaCount >= 0, `storage ${storage.uuid} must not count below zero`)
      assert(storage.scheduledCount >= 0, `storage ${storage.uuid} must not promise below zero`)
    }
  }

  #seen(now: Millis, node: DatanodeRecord): void {
    node.lastSeen = this.#ownTime(now)
    if (node.liveness !== 'live') node.liveSince = node.lastSeen
    node.lastHeartbeatAt = now
    node.isConnected = true
    node.liveness = 'live'
  }

  #contactLost(now: Millis, node: DatanodeRecord): void {
    const at = this.#ownTime(now)
    node.losses.push(at)
    while ((node.losses[0] ?? at) <= at - limits.unsteadyWindowMs) node.losses.shift()
    if (node.losses.length >= limits.unsteadyLossesMin) node.isSteady = false
  }

  /** A clock that stands still while the namenode does, also between the stall and the tick that shows it. */
  #ownTime(now: Millis): number {
    return now - this.#stalledMs - this.#stallSinceTick(now)
  }

  #stallSinceTick(now: Millis): number {
    const gapMs = this.#lastTickAt === undefined ? 0 : now - this.#lastTickAt
    return Math.max(0, gapMs - limits.namenodeTickGapMsMax)
  }

  #rackOf(descriptor: DatanodeDescriptor): string {
    const byName = this.#topology(descriptor.hostName)
    return byName === defaultRack ? this.#topology(descriptor.ipAddress) : byName
  }
}

function isSameAddress(one: DatanodeDescriptor, other: DatanodeDescriptor): boolean {
  return one.ipAddress === other.ipAddress && one.transferPort === other.transferPort
}

function storageView(storage: StorageRecord): StorageView {
  return {
    storage: storage.uuid,
    isFailed: storage.isFailed,
    capacity: storage.capacity,
    used: storage.used,
    remaining: storage.remaining,
    blockPoolUsed: storage.blockPoolUsed,
    nonDfsUsed: storage.nonDfsUsed,
    oldestUnverifiedMs: storage.oldestUnverifiedMs,
    replicaCount: storage.replicaCount,
    isReported: storage.isReported,
  }
}
