import type { DatanodeStatus, DfsClient, NodeStatus } from '../../index.ts'
import { healthOf } from './health.ts'
import { balanceOf, historyView, workOf } from './jobs.ts'
import { optionalAnswer } from './optional-answer.ts'
import type {
  AdminState,
  BalanceView,
  HistoryView,
  Liveness,
  NodeCounts,
  NodeDetailView,
  NodeView,
  OverviewView,
  RepairView,
  RepairWorkView,
} from './views.ts'

/** A cluster at one moment. */
export interface Observation {
  readonly overview: OverviewView
  readonly nodes: readonly NodeView[]
  /** null, like the rest, where the namenode does not know the operator protocol. */
  readonly balance: BalanceView | null
  readonly work: RepairWorkView | null
  /** Samples taken since the time asked for. */
  readonly history: HistoryView | null
  readonly newestEvent: number | null
}

/** Asks the namenode for all that a page shows of the cluster. @param historyAfterMs later samples only */
export async function observe(
  client: DfsClient,
  cluster: string,
  historyAfterMs: number,
): Promise<Observation> {
  const [{ overview, nodes }, balance, work, history] = await Promise.all([
    overviewOf(client, cluster),
    optionalAnswer(balanceOf(client)),
    optionalAnswer(workOf(client)),
    optionalAnswer(client.operator.history(historyAfterMs)),
  ])
  return {
    ...{ overview, nodes, balance: balance ?? null, work: work ?? null },
    history: history === undefined ? null : historyView(history, historyAfterMs === 0),
    newestEvent: history?.newestEvent ?? null,
  }
}

/** How the cluster is, and its datanodes. */
export async function overviewOf(
  client: DfsClient,
  cluster: string,
): Promise<Pick<Observation, 'overview' | 'nodes'>> {
  const [space, blocks, isSafeMode, repair, nodes] = await Promise.all([
    client.statfs(),
    client.blockStats(),
    client.safeMode(),
    repairOf(client),
    nodesOf(client),
  ])
  const { capacity, used, remaining } = space
  const { missing, corrupt, lowRedundancy, pendingDeletion } = blocks
  const lastReplica = blocks.highestPriorityLowRedundancy ?? null
  const facts = {
    ...{ cluster, user: client.user, isSafeMode, repair },
    space: { capacity, used, remaining },
    blocks: { missing, corrupt, lowRedundancy, lastReplica, pendingDeletion },
    nodes: countNodes(nodes),
  }
  return { overview: { ...facts, health: healthOf(facts) }, nodes }
}

/** Whether repair goes on; where the namenode has no guard it always does. */
export async function repairOf({ operator }: DfsClient): Promise<RepairView> {
  const guard = await optionalAnswer(operator.repairGuard())
  return {
    isPaused: guard?.isPaused ?? false,
    pausedAtMs: guard?.pausedAtMs ?? null,
    lost: (guard?.lost ?? []).map(({ name, lostAtMs }) => ({ name, lostAtMs })),
  }
}

/** Every datanode, as HDFS's protocol and ours tell. */
export async function nodesOf(client: DfsClient): Promise<NodeView[]> {
  const [statuses, reports, dead] = await Promise.all([
    client.datanodes('all'),
    optionalAnswer(client.operator.nodes()),
    client.datanodes('dead'),
  ])
  const deadUuids = new Set(dead.map(({ uuid }) => uuid))
  if (reports === undefined) {
    return statuses.map((status) => plainView(status, deadUuids.has(status.uuid)))
  }
  const byUuid = new Map(statuses.map((status) => [status.uuid, status]))
  return reports.map((report) => nodeView(report, byUuid.get(report.uuid)))
}

/** One datanode with the first blocks that keep its drain from being done; `undefined` when nobody knows it. */
export async function nodeOf(
  client: DfsClient,
  uuid: string,
  blocksLeftMax: number,
): Promise<NodeDetailView | undefined> {
  const [statuses, [report]] = await Promise.all([
    client.datanodes('all'),
    client.operator.nodes({ node: uuid, blocksLeftMax }),
  ])
  if (report === undefined) return undefined
  const status = statuses.find((candidate) => candidate.uuid === report.uuid)
  return {
    ...nodeView(report, status),
    blocksLeft: report.blocksLeft.map(({ blockId, path, reason }) => ({
      ...{ blockId, reason },
      path: path ?? null,
    })),
  }
}

const livenessOf = {
  LIVE: 'live',
  DISCONNECTED: 'disconnected',
  STALE: 'stale',
  DEAD: 'dead',
  UNKNOWN: 'unknown',
} as const satisfies Record<NodeStatus['liveness'], Liveness>

const adminStateOf = {
  NORMAL: 'normal',
  DECOMMISSION_INPROGRESS: 'draining',
  DECOMMISSIONED: 'drained',
  ENTERING_MAINTENANCE: 'entering-maintenance',
  IN_MAINTENANCE: 'in-maintenance',
} as const satisfies Record<NodeStatus['adminState'], AdminState>

/** @param status absent for a datanode that has not been heard of since the namenode started */
export function nodeView(report: NodeStatus, status: DatanodeStatus | undefined): NodeView {
  const { uuid, name, isUnsteady, capacity, used, remaining, replicas, silentMs, left } = report
  return {
    ...{ uuid, name, isUnsteady, capacity, used, remaining, replicas },
    rack: report.rack ?? '/default-rack',
    liveness: livenessOf[report.liveness],
    adminState: adminStateOf[report.adminState],
    activeTransfers: status?.activeTransfers ?? 0,
    disks: status?.volumes ?? 0,
    failedDisks: Math.max(report.failedStorages, status?.failedVolumes ?? 0),
    lastHeartbeatMs: silentMs === undefined ? null : Date.now() - silentMs,
    softwareVersion: status?.softwareVersion ?? null,
    unverifiedHours: hoursOf(status?.oldestUnverifiedMs),
    expiresAtMs: report.expiresAtMs ?? null,
    drain:
      left === undefined
        ? null
        : {
            blocks: left.blocks,
            bytes: left.bytes,
            blocksAtStart: Math.max(left.blocksAtStart, left.blocks),
            bytesPerSecond: left.bytesPerSecond,
            etaMs: left.etaMs ?? null,
          },
    obstacle: report.obstacle ?? null,
  }
}

/** What a namenode without the operator protocol tells of a datanode. */
export function plainView(status: DatanodeStatus, isDead: boolean): NodeView {
  const { uuid, rack, capacity, used, remaining, activeTransfers } = status
  return {
    ...{ uuid, rack, capacity, used, remaining, activeTransfers },
    name: `${status.host}:${status.transferPort}`,
    liveness: isDead ? 'dead' : 'live',
    adminState: adminStateOf[status.adminState],
    isUnsteady: false,
    replicas: status.blocks,
    disks: status.volumes,
    failedDisks: status.failedVolumes,
    lastHeartbeatMs: status.lastContactMs,
    softwareVersion: status.softwareVersion ?? null,
    unverifiedHours: hoursOf(status.oldestUnverifiedMs),
    expiresAtMs: null,
    drain: null,
    obstacle: null,
  }
}

function hoursOf(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.floor(ms / 3_600_000)
}

function countNodes(nodes: readonly NodeView[]): NodeCounts {
  const count = (test: (node: NodeView) => boolean): number => nodes.filter(test).length
  return {
    live: count(({ liveness }) => liveness === 'live'),
    stale: count(({ liveness }) => liveness === 'stale' || liveness === 'disconnected'),
    dead: count(({ liveness }) => liveness === 'dead' || liveness === 'unknown'),
    outOfService: count(({ adminState }) => adminState !== 'normal'),
  }
}
