import { millis } from '../../base/brand.ts'
import type { DatanodeUuid } from '../../protocol/ids.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type {
  blockLeft,
  DatanodeGoal,
  operatorDatanode,
  repairGuardResponse,
  safeModeStatus,
} from '../../protocol/messages/operator-nodes.ts'
import type { DatanodeLiveness, SafeModeState } from '../../protocol/states.ts'
import type { RpcCall, RpcHandlers } from '../../transport/rpc-server.ts'
import type { DatanodeView } from '../core/datanode-registry.ts'
import type { BlockLeft, DrainView } from '../core/drain-view.ts'
import type { Request } from '../core/requests.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { adminStateNames } from './wire-views.ts'

type WireDatanode = EncodableOf<typeof operatorDatanode>

const livenessNames = {
  live: 'LIVE',
  disconnected: 'DISCONNECTED',
  stale: 'STALE',
  dead: 'DEAD',
} as const satisfies Record<DatanodeLiveness, string>

const safeModeNames = {
  off: 'OFF',
  'pending-threshold': 'PENDING_THRESHOLD',
  manual: 'MANUAL',
} as const satisfies Record<SafeModeState, string>

const goals = {
  NORMAL: 'normal',
  DECOMMISSIONED: 'decommissioned',
  IN_MAINTENANCE: 'in-maintenance',
} as const satisfies Record<DatanodeGoal, (Request & { kind: 'setDatanodeGoal' })['goal']>

const goalWords = {
  NORMAL: 'to be in service',
  DECOMMISSIONED: 'to be drained',
  IN_MAINTENANCE: 'to go into maintenance',
} as const satisfies Record<DatanodeGoal, string>

/** Blocks whose paths are looked up for one call; each costs a few reads of the database. */
const blocksLeftMaxMax = 100

/** Methods about the pause of repair after a mass failure. */
export function repairGuardHandlers(context: ClientContext): RpcHandlers<typeof operatorProtocol> {
  const { blocks } = context.namenode
  return {
    getRepairGuard: () => repairGuard(context),
    getSafeMode: () => safeMode(context),
    resumeRepair: (_request, call) =>
      mapReply(context.requireSuperuser(call), () => {
        const before = repairGuard(context)
        blocks.resumeRepair()
        context.noteOperator(call, 'Had repair go on without the datanodes that vanished')
        return before
      }),
  }
}

/** Methods about single datanodes: what they are, and what is asked of them. */
export function datanodeGoalHandlers(context: ClientContext): RpcHandlers<typeof operatorProtocol> {
  const { namenode } = context
  return {
    listDatanodes: async ({ node, blocksLeftMax }, call) => {
      const only = node === undefined ? undefined : namenode.blocks.datanodeNamed(node).uuid
      const found = await datanodes(context, call, {
        only,
        blocksLeftMax: Math.min(blocksLeftMax, blocksLeftMaxMax),
      })
      return namenode.release({ datanodes: found })
    },
    setDatanodeGoal: async ({ node, goal, durationMs }, call) => {
      const { uuid } = namenode.blocks.datanodeNamed(node)
      const expiresAt = durationMs === undefined ? undefined : millis(namenode.wall() + durationMs)
      const request = {
        kind: 'setDatanodeGoal',
        datanode: uuid,
        goal: goals[goal],
        expiresAt,
      } as const
      await context.execute(call, request)
      const [found] = await datanodes(context, call, { only: uuid, blocksLeftMax: 0 })
      const datanode = found ?? awayDatanode(uuid, node)
      context.noteOperator(call, `Asked for datanode ${datanode.name} ${goalWords[goal]}`)
      return { datanode }
    },
  }
}

/** Every datanode that registered, and those that something is asked of and that did not. */
async function datanodes(
  context: ClientContext,
  call: RpcCall,
  {
    blocksLeftMax,
    only,
  }: { readonly blocksLeftMax: number; readonly only: DatanodeUuid | undefined },
): Promise<WireDatanode[]> {
  const { blocks } = context.namenode
  const drains = new Map(blocks.drains(blocksLeftMax).map((view) => [view.row.uuid, view]))
  const found: WireDatanode[] = []
  for (const view of blocks.datanodes('all')) {
    if (only !== undefined && view.uuid !== only) continue
    const drain = drains.get(view.uuid)
    drains.delete(view.uuid)
    found.push({
      ...registeredDatanode(context, view),
      ...(await drainFields(context, call, drain)),
    })
  }
  for (const drain of drains.values()) {
    const { uuid, name } = drain.row
    if (only !== undefined && uuid !== only) continue
    found.push({ ...awayDatanode(uuid, name), ...(await drainFields(context, call, drain)) })
  }
  return found
}

function registeredDatanode(context: ClientContext, view: DatanodeView): WireDatanode {
  return {
    uuid: view.uuid,
    name: `${view.hostName}:${view.transferPort}`,
    ipAddress: view.ipAddress,
    rack: view.rack,
    liveness: livenessNames[view.liveness],
    adminState: adminStateNames[view.adminState],
    capacity: view.capacity,
    used: view.used,
    remaining: view.remaining,
    replicas: view.replicaCount,
    isUnsteady: !view.isSteady,
    silentMs: Math.round(context.namenode.blocks.silenceMs(view.uuid) ?? 0),
    failedStorages: view.storages.filter(({ isFailed }) => isFailed).length,
    unreportedStorages: view.storages.filter(({ isFailed, isReported }) => !isFailed && !isReported)
      .length,
  }
}

function awayDatanode(uuid: DatanodeUuid, name: string): WireDatanode {
  return {
    ...{ uuid, name, liveness: 'UNKNOWN', adminState: 'NORMAL' },
    ...{ capacity: 0, used: 0, remaining: 0, replicas: 0 },
  }
}

async function drainFields(
  context: ClientContext,
  call: RpcCall,
  drain: DrainView | undefined,
): Promise<Partial<WireDatanode>> {
  if (drain === undefined) return {}
  const { row, adminState, progress, obstacle } = drain
  const blocksLeft: EncodableOf<typeof blockLeft>[] = []
  for (const block of drain.blocksLeft) blocksLeft.push(await wireBlockLeft(context, call, block))
  return {
    adminState: adminStateNames[adminState],
    requestedAtMs: row.requestedAt,
    expiresAtMs: row.expiresAt,
    left: progress,
    obstacle,
    blocksLeft,
  }
}

/** Paths are told to superusers alone: a block says nothing about who may see its file's name. */
async function wireBlockLeft(
  context: ClientContext,
  call: RpcCall,
  { id, reason }: BlockLeft,
): Promise<EncodableOf<typeof blockLeft>> {
  const { isSuperuser } = await context.caller(call)
  if (!isSuperuser) return { blockId: id, reason }
  return {
    blockId: id,
    reason,
    path: await context.execute(call, { kind: 'getBlockPath', block: id }),
  }
}

function safeMode({ namenode }: ClientContext): EncodableOf<typeof safeModeStatus> {
  const { blocks } = namenode
  const { safeBlocks, safeModeNeededBlocks } = blocks.stats()
  const { totalCount, isLoading, safeModeEndsInMs, graceMs } = blocks.startView()
  const unreported = blocks
    .datanodes('live')
    .filter(({ storages }) => storages.some((one) => !one.isFailed && !one.isReported))
    .map(({ hostName, transferPort }) => `${hostName}:${transferPort}`)
  return {
    state: safeModeNames[blocks.safeMode],
    totalBlocks: totalCount,
    safeBlocks,
    neededBlocks: safeModeNeededBlocks,
    endsInMs: roundedUp(safeModeEndsInMs),
    isLoading,
    graceMs: roundedUp(graceMs),
    unreported,
    isLowOnSpace: namenode.isLowOnSpace,
  }
}

function roundedUp(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.ceil(value)
}

function repairGuard(context: ClientContext): EncodableOf<typeof repairGuardResponse> {
  const { blocks } = context.namenode
  const toWall = (at: number): number => Math.max(0, Math.round(at + context.wallOffsetMs))
  const { pausedAt, lost, remainingCount } = blocks.repairGuard()
  return {
    isPaused: pausedAt !== undefined,
    pausedAtMs: pausedAt === undefined ? undefined : toWall(pausedAt),
    lost: lost.map(({ uuid, name, lostAt }) => ({ uuid, name, lostAtMs: toWall(lostAt) })),
    remaining: remainingCount,
  }
}
