import type { DatanodeInfo, StorageReport } from '../protocol/messages/hdfs.ts'
import type { ClientContext } from './context.ts'
import type { VerbOptions } from './namespace.ts'

/** Capacity of the cluster and health of its blocks. Bytes, unless the name says blocks. */
export interface ClusterSpace {
  readonly capacity: number
  readonly used: number
  readonly remaining: number
  readonly underReplicatedBlocks: number
  readonly corruptBlocks: number
  readonly missingBlocks: number
}

/** Blocks that need attention. */
export interface BlockStats {
  readonly lowRedundancy: number
  readonly corrupt: number
  readonly missing: number
  /** Missing, and of files that only ever wanted one replica. */
  readonly missingWithReplicationOne: number
  readonly pendingDeletion: number
  /** With a single live replica, or worse. `undefined` when the server does not say. */
  readonly highestPriorityLowRedundancy: number | undefined
}

/** Which datanodes to list. */
export type DatanodeKind =
  | 'all'
  | 'live'
  | 'dead'
  | 'decommissioning'
  | 'entering-maintenance'
  | 'in-maintenance'

/** A datanode as the namenode sees it. Bytes and milliseconds since the epoch. */
export interface DatanodeStatus {
  readonly uuid: string
  readonly host: string
  readonly ipAddress: string
  readonly transferPort: number
  readonly ipcPort: number
  readonly httpPort: number
  readonly rack: string
  readonly capacity: number
  readonly used: number
  readonly nonDfsUsed: number
  readonly remaining: number
  readonly lastContactMs: number
  readonly lastBlockReportMs: number
  readonly blocks: number
  readonly activeTransfers: number
  readonly adminState: DatanodeInfo['adminState']
  readonly softwareVersion: string | undefined
  readonly volumes: number
  readonly failedVolumes: number
  /** Age of the stored byte that was not verified for longest; `undefined` when the datanode does not say. */
  readonly oldestUnverifiedMs: number | undefined
}

/** What may be done to safe mode; `get` only asks. */
export type SafeModeAction = 'get' | 'enter' | 'leave' | 'force-exit'

const reportTypes = {
  all: 'ALL',
  live: 'LIVE',
  dead: 'DEAD',
  decommissioning: 'DECOMMISSIONING',
  'entering-maintenance': 'ENTERING_MAINTENANCE',
  'in-maintenance': 'IN_MAINTENANCE',
} as const satisfies Record<DatanodeKind, string>

const safeModeActions = {
  get: 'SAFEMODE_GET',
  enter: 'SAFEMODE_ENTER',
  leave: 'SAFEMODE_LEAVE',
  'force-exit': 'SAFEMODE_FORCE_EXIT',
} as const satisfies Record<SafeModeAction, string>

export async function statfs(
  { namenode }: ClientContext,
  { signal }: VerbOptions = {},
): Promise<ClusterSpace> {
  const stats = await namenode.call('getFsStats', {}, { signal })
  return {
    capacity: stats.capacity,
    used: stats.used,
    remaining: stats.remaining,
    underReplicatedBlocks: stats.under_replicated,
    corruptBlocks: stats.corrupt_blocks,
    missingBlocks: stats.missing_blocks,
  }
}

export async function blockStats(
  { namenode }: ClientContext,
  { signal }: VerbOptions = {},
): Promise<BlockStats> {
  const stats = await namenode.call('getFsReplicatedBlockStats', {}, { signal })
  return {
    lowRedundancy: stats.low_redundancy,
    corrupt: stats.corrupt_blocks,
    missing: stats.missing_blocks,
    missingWithReplicationOne: stats.missing_repl_one_blocks,
    pendingDeletion: stats.pending_deletion_blocks,
    highestPriorityLowRedundancy: stats.highest_prio_low_redundancy_blocks,
  }
}

export async function datanodes(
  { namenode }: ClientContext,
  kind: DatanodeKind,
  { signal }: VerbOptions = {},
): Promise<DatanodeStatus[]> {
  const { datanodeStorageReports } = await namenode.call(
    'getDatanodeStorageReport',
    { type: reportTypes[kind] },
    { signal },
  )
  return datanodeStorageReports.map(({ datanodeInfo, storageReports }) =>
    toDatanodeStatus(datanodeInfo, storageReports),
  )
}

/** State of safe mode after `action`. */
export async function safeMode(
  { namenode }: ClientContext,
  action: SafeModeAction,
  { signal }: VerbOptions = {},
): Promise<boolean> {
  const { result } = await namenode.call(
    'setSafeMode',
    { action: safeModeActions[action] },
    { signal },
  )
  return result
}

function toDatanodeStatus(info: DatanodeInfo, storages: readonly StorageReport[]): DatanodeStatus {
  const { id } = info
  const ages = storages.flatMap(({ failed, oldestUnverifiedMs: age }) =>
    failed || age === undefined ? [] : [age],
  )
  return {
    uuid: id.datanodeUuid,
    host: id.hostName,
    ipAddress: id.ipAddr,
    transferPort: id.xferPort,
    ipcPort: id.ipcPort,
    httpPort: id.infoPort,
    rack: info.location ?? '/default-rack',
    capacity: info.capacity,
    used: info.dfsUsed,
    nonDfsUsed: info.nonDfsUsed ?? 0,
    remaining: info.remaining,
    lastContactMs: info.lastUpdate,
    lastBlockReportMs: info.lastBlockReportTime,
    blocks: info.numBlocks,
    activeTransfers: info.xceiverCount,
    adminState: info.adminState,
    softwareVersion: info.softwareVersion,
    volumes: storages.length,
    failedVolumes: storages.filter(({ failed }) => failed).length,
    oldestUnverifiedMs: ages.length === 0 ? undefined : Math.max(...ages),
  }
}
