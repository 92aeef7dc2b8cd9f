/**
 * The namenode's beans under the names and fields of HDFS's, for tools that were made for it. What has no counterpart here
 * (snapshots, caches, erasure coding) is zero or empty, as it is with an HDFS that does not use it; what is not known is left out.
 */
import { hostname } from 'node:os'
import { productVersion } from '../../protocol/product.ts'
import { type JmxBean, type JmxValue, processBeans } from '../../transport/jmx.ts'
import type { ClusterStats } from '../core/cluster-stats.ts'
import type { DatanodeView } from '../core/datanode-registry.ts'
import type { Namenode } from './namenode.ts'
import { hdfsVersion } from './wire-views.ts'

export interface NamenodeBeansOptions {
  readonly namenode: Namenode
  readonly directory: string
  /** `host:port` of the RPC port. */
  readonly rpcAddress: () => string
  /** Syncs of the journal since the start. */
  readonly syncs: () => { readonly count: number; readonly seconds: number }
}

type Fields = Readonly<Record<string, JmxValue>>

/** The beans of a namenode, read when they are asked for. */
export function namenodeBeans(options: NamenodeBeansOptions): JmxBean[] {
  const bean = (name: string, modelerType: string, read: () => Fields): JmxBean => {
    return { name: `Hadoop:service=NameNode,name=${name}`, modelerType, read }
  }
  const namespace = 'org.apache.hadoop.hdfs.server.namenode.FSNamesystem'
  return [
    bean('FSNamesystem', 'FSNamesystem', () => fsNamesystem(options)),
    bean('FSNamesystemState', namespace, () => fsNamesystemState(options)),
    bean('NameNodeInfo', namespace, () => nameNodeInfo(options)),
    bean('NameNodeStatus', 'org.apache.hadoop.hdfs.server.namenode.NameNode', () => ({
      ...{ State: 'active', NNRole: 'NameNode', HostAndPort: options.rpcAddress() },
      ...{ SecurityEnabled: false, LastHATransitionTime: 0, BytesWithFutureGenerationStamps: 0 },
      ...{ SlowPeersReport: null, SlowDisksReport: null },
    })),
    ...processBeans(),
  ]
}

function fsNamesystem({ namenode, syncs }: NamenodeBeansOptions): Fields {
  const { journal, checkpointer, namesystem } = namenode
  const stats = namenode.blocks.stats()
  const { totals } = namesystem.status()
  return {
    ...{ 'tag.Context': 'dfs', 'tag.HAState': 'active', 'tag.Hostname': hostname() },
    'tag.TotalSyncTimes': syncTimes(syncs().seconds),
    MissingBlocks: stats.missingBlocks,
    MissingReplOneBlocks: stats.missingBlocksWithReplicationOne,
    BadlyDistributedBlocks: stats.badlyDistributedBlocks,
    TransactionsSinceLastCheckpoint: journal.nextTxid - 1 - checkpointer.foldedTxid,
    TransactionsSinceLastLogRoll: transactionsInSegment(namenode),
    LastWrittenTransactionId: journal.nextTxid - 1,
    LastCheckpointTime: Math.round(checkpointer.foldedAt),
    ...blockCounts(stats),
    ...capacities(stats),
    CapacityTotalGB: inGigabytes(stats.capacity),
    CapacityUsedGB: inGigabytes(stats.used),
    CapacityRemainingGB: inGigabytes(stats.remaining),
    CapacityUsedNonDFS: stats.nonDfsUsed,
    ...{ SnapshottableDirectories: 0, Snapshots: 0, LockQueueLength: 0 },
    BlocksTotal: totals.blocks,
    NumFilesUnderConstruction: namesystem.status().openFiles,
    FilesTotal: totals.files + totals.directories,
    TotalFiles: totals.files + totals.directories,
    PostponedMisreplicatedBlocks: stats.postponedBlocks,
    ExcessBlocks: stats.pendingDeletionReplicas,
    NumTimedOutPendingReconstructions: stats.copies.expired,
    StaleDataNodes: stats.datanodes.stale,
    ...datanodeCounts(namenode),
    TotalSyncCount: syncs().count,
  }
}

function fsNamesystemState({ namenode, syncs }: NamenodeBeansOptions): Fields {
  const stats = namenode.blocks.stats()
  const { totals } = namenode.namesystem.status()
  return {
    FSState: namenode.blocks.safeMode === 'off' ? 'Operational' : 'safeMode',
    ...capacities(stats),
    FilesTotal: totals.files + totals.directories,
    BlocksTotal: totals.blocks,
    ...blockCounts(stats),
    ...datanodeCounts(namenode),
    NumStaleDataNodes: stats.datanodes.stale,
    ...{ BlockDeletionStartTime: 0, FsLockQueueLength: 0, MaxObjects: 0 },
    SnapshotStats: '{"SnapshottableDirectories":0,"Snapshots":0}',
    TotalSyncCount: syncs().count,
    TotalSyncTimes: syncTimes(syncs().seconds),
  }
}

function nameNodeInfo({ namenode, directory }: NamenodeBeansOptions): Fields {
  const { store, journal, checkpointer } = namenode
  const stats = namenode.blocks.stats()
  const { totals } = namenode.namesystem.status()
  const views = namenode.blocks.datanodes('all')
  const versions = countByVersion(views.filter(({ liveness }) => liveness !== 'dead'))
  const startedAt = Math.round(Date.now() - process.uptime() * 1000)
  return {
    ...{ Version: `${hdfsVersion}, rtrefoil-${productVersion}`, SoftwareVersion: hdfsVersion },
    ...{ Used: stats.used, Free: stats.remaining, Total: stats.capacity },
    ...{ Safemode: safeModeText(namenode), UpgradeFinalized: true, RollingUpgradeStatus: null },
    ...{ NonDfsUsedSpace: stats.nonDfsUsed, BlockPoolUsedSpace: stats.blockPoolUsed },
    PercentUsed: percent(stats.used, stats.capacity),
    PercentRemaining: percent(stats.remaining, stats.capacity),
    PercentBlockPoolUsed: percent(stats.blockPoolUsed, stats.capacity),
    ...{ CacheUsed: 0, CacheCapacity: 0, TotalBlocks: totals.blocks },
    TotalFiles: totals.files + totals.directories,
    NumberOfMissingBlocks: stats.missingBlocks,
    NumberOfMissingBlocksWithReplicationFactorOne: stats.missingBlocksWithReplicationOne,
    Threads: 1,
    ...nodeTexts(namenode, views),
    ...{ ClusterId: store.identity.clusterId, BlockPoolId: store.identity.blockPoolId },
    NameDirStatuses: JSON.stringify({ active: { [directory]: 'IMAGE_AND_EDITS' }, failed: {} }),
    NodeUsage: JSON.stringify({ nodeUsage: usageSpread(views) }),
    NameJournalStatus: JSON.stringify([
      {
        ...{ manager: `FileJournalManager(root=${directory})`, required: 'true' },
        ...{ stream: `EditLogFileOutputStream(${directory}/journal)`, disabled: 'false' },
      },
    ]),
    JournalTransactionInfo: JSON.stringify({
      LastAppliedOrWrittenTxId: String(journal.nextTxid - 1),
      MostRecentCheckpointTxId: String(checkpointer.foldedTxid),
    }),
    ...{ NNStarted: new Date(startedAt).toUTCString(), NNStartedTimeInMillis: startedAt },
    ...{ CompileInfo: `trefoil ${productVersion}`, CorruptFiles: '[]' },
    DistinctVersionCount: versions.size,
    DistinctVersions: [...versions].map(([key, value]) => ({ key, value })),
  }
}

function capacities(stats: ClusterStats): Fields {
  return {
    ...{ CapacityTotal: stats.capacity, CapacityUsed: stats.used },
    ...{ CapacityRemaining: stats.remaining, ProvidedCapacityTotal: 0 },
  }
}

function blockCounts(stats: ClusterStats): Fields {
  return {
    PendingReplicationBlocks: stats.pendingReplicationBlocks,
    PendingReconstructionBlocks: stats.pendingReplicationBlocks,
    UnderReplicatedBlocks: stats.underReplicatedBlocks,
    LowRedundancyBlocks: stats.underReplicatedBlocks,
    CorruptBlocks: stats.corruptBlocks,
    ScheduledReplicationBlocks: stats.pendingCopies,
    PendingDeletionBlocks: stats.pendingDeletionReplicas,
    NumEncryptionZones: 0,
  }
}

/** HDFS knows nodes that live, possibly stale or without a connection for a moment, and nodes that are dead. */
function datanodeCounts(namenode: Namenode): Fields {
  const views = namenode.blocks.datanodes('all')
  const count = (isDead: boolean, states?: readonly DatanodeView['adminState'][]): number =>
    views.filter(({ liveness, adminState }) => {
      return (liveness === 'dead') === isDead && states?.includes(adminState) !== false
    }).length
  return {
    TotalLoad: views.reduce((sum, { transfers }) => sum + transfers, 0),
    NumLiveDataNodes: count(false),
    NumDeadDataNodes: count(true),
    NumDecomLiveDataNodes: count(false, ['decommissioned']),
    NumDecomDeadDataNodes: count(true, ['decommissioned']),
    NumDecommissioningDataNodes: count(false, ['decommission-in-progress']),
    NumInMaintenanceLiveDataNodes: count(false, ['in-maintenance']),
    NumInMaintenanceDeadDataNodes: count(true, ['in-maintenance']),
    NumEnteringMaintenanceDataNodes: count(false, ['entering-maintenance']),
    VolumeFailuresTotal: views.reduce((sum, { failedVolumes }) => sum + failedVolumes, 0),
    NumStaleStorages: 0,
  }
}

const adminStateTexts: Readonly<Record<DatanodeView['adminState'], string>> = {
  normal: 'In Service',
  'decommission-in-progress': 'Decommission In Progress',
  decommissioned: 'Decommissioned',
  'entering-maintenance': 'Entering Maintenance',
  'in-maintenance': 'In Maintenance',
}

/** Nodes as texts with JSON in them, by `hostName:transferPort`. */
function nodeTexts(namenode: Namenode, views: readonly DatanodeView[]): Fields {
  const now = namenode.now()
  const text = (
    isListed: (view: DatanodeView) => boolean,
    show: (view: DatanodeView) => Fields,
  ): string =>
    JSON.stringify(
      Object.fromEntries(
        views
          .filter(isListed)
          .map((view) => [`${view.hostName}:${view.transferPort}`, show(view)] as const),
      ),
    )
  const lastContact = ({ lastHeartbeatAt }: DatanodeView): number =>
    Math.floor((now - lastHeartbeatAt) / 1000)
  return {
    LiveNodes: text(
      ({ liveness }) => liveness !== 'dead',
      (view) => liveNode(view, lastContact(view), now),
    ),
    DeadNodes: text(
      ({ liveness }) => liveness === 'dead',
      (view) => ({
        ...{ lastContact: lastContact(view), decommissioned: view.adminState === 'decommissioned' },
        adminState: adminStateTexts[view.adminState],
        xferaddr: `${view.ipAddress}:${view.transferPort}`,
      }),
    ),
    DecomNodes: text(
      ({ adminState }) => adminState === 'decommission-in-progress',
      (view) => ({ xferaddr: `${view.ipAddress}:${view.transferPort}` }),
    ),
    EnteringMaintenanceNodes: text(
      ({ adminState }) => adminState === 'entering-maintenance',
      (view) => ({ xferaddr: `${view.ipAddress}:${view.transferPort}` }),
    ),
  }
}

function liveNode(view: DatanodeView, lastContact: number, now: number): Fields {
  const { lastBlockReportAt } = view
  const blockReport =
    lastBlockReportAt === undefined
      ? {}
      : { lastBlockReport: Math.floor((now - lastBlockReportAt) / 60_000) }
  return {
    infoAddr: `${view.ipAddress}:${view.infoPort}`,
    infoSecureAddr: `${view.ipAddress}:0`,
    xferaddr: `${view.ipAddress}:${view.transferPort}`,
    location: view.rack,
    ...{ lastContact, uuid: view.uuid, usedSpace: view.used, used: view.used },
    adminState: adminStateTexts[view.adminState],
    ...{ nonDfsUsedSpace: view.nonDfsUsed, capacity: view.capacity, remaining: view.remaining },
    ...{ numBlocks: view.replicaCount, version: view.softwareVersion, blockScheduled: 0 },
    blockPoolUsed: view.blockPoolUsed,
    blockPoolUsedPercent: percent(view.blockPoolUsed, view.capacity),
    volfails: view.failedVolumes,
    ...blockReport,
  }
}

function usageSpread(views: readonly DatanodeView[]): Fields {
  const shares = views
    .filter(({ liveness, capacity }) => liveness !== 'dead' && capacity > 0)
    .map(({ used, capacity }) => percent(used, capacity))
    .sort((left, right) => left - right)
  const mean = shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length)
  const variance = shares.reduce((sum, share) => sum + (share - mean) ** 2, 0)
  const text = (share = 0): string => `${share.toFixed(2)}%`
  return {
    ...{ min: text(shares[0]), median: text(shares[Math.floor(shares.length / 2)]) },
    ...{ max: text(shares.at(-1)) },
    stdDev: text(Math.sqrt(variance / Math.max(1, shares.length))),
  }
}

function countByVersion(views: readonly DatanodeView[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { softwareVersion } of views) {
    counts.set(softwareVersion, (counts.get(softwareVersion) ?? 0) + 1)
  }
  return counts
}

function safeModeText({ blocks }: Namenode): string {
  if (blocks.safeMode === 'off') return ''
  if (blocks.safeMode === 'manual') return 'Safe mode is ON. It was turned on manually.'
  const { safeBlocks, safeModeNeededBlocks } = blocks.stats()
  return (
    `Safe mode is ON. The reported blocks ${safeBlocks} has not reached the threshold: ` +
    `${safeModeNeededBlocks} are needed.`
  )
}

function transactionsInSegment({ journal }: Namenode): number {
  const open = journal.segments.at(-1)
  return open === undefined ? 0 : journal.nextTxid - open.firstTxid
}

/** One number for each journal, in milliseconds, each followed by a space. */
function syncTimes(seconds: number): string {
  return `${Math.round(seconds * 1000)} `
}

function inGigabytes(bytes: number): number {
  return Math.round(bytes / 2 ** 30)
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : (part * 100) / whole
}
