import type { DatanodeStatus, DfsClient, NodeStatus } from '../../index.ts'
import { healthOf } from './health.ts'
import { optionalAnswer } from './optional-answer.ts'
import type {
  AdminState,
  Liveness,
  NodeCounts,
  NodeDetailView,
  NodeView,
  OverviewView,
  RepairView,
} from './views.ts'

/** A cluster at one moment. */
export interface Observation {
  readonly overview: OverviewView
  readonly nodes: readonly NodeView[]
}

/** Asks the namenode for all that the overview and the list of datanodes show. */
export async function observe(client: DfsClient, cluster: string): Promise<Observation> {
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
    expiresAtMs: null,
    drain: null,
    obstacle: null,
  }
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
