import type {
  BlockStats,
  ClusterSpace,
  DatanodeStatus,
  NodeStatus,
  RepairGuard,
  SafeModeReport,
} from '../../index.ts'
import { defineCommand } from '../command.ts'
import { duration, humanSize } from '../format.ts'
import { guardLines, progressOf, safeModeLines, stateOf } from '../node-report.ts'
import { optionalAnswer } from '../operator-answers.ts'
import { flag } from '../options.ts'

const options = {
  live: flag('live', 'only the live datanodes'),
  dead: flag('dead', 'only the dead datanodes'),
  json: flag('json', 'a JSON object'),
} as const

export const command = defineCommand({
  name: 'report',
  usage: 'report [-live] [-dead] [--json]',
  description:
    'Shows the capacity of the cluster, the health of its blocks, and each datanode as the namenode sees it.',
  examples: ['dfs report', 'dfs report --json'],
  options,
  async run(context, { live: onlyLive, dead: onlyDead, json }) {
    const fs = await context.session.fs()
    const { signal } = context
    const { operator } = fs
    const [space, blocks, isSafeMode, live, dead, safeMode, guard, nodes] = await Promise.all([
      fs.statfs('/', { signal }),
      fs.blockStats({ signal }),
      fs.safeMode('get', { signal }),
      fs.datanodes('live', { signal }),
      fs.datanodes('dead', { signal }),
      optionalAnswer(operator.safeMode({ signal })),
      optionalAnswer(operator.repairGuard({ signal })),
      optionalAnswer(operator.nodes({ signal })),
    ])
    if (json) {
      const { capacity, used, remaining } = space
      const cluster = await context.session.uri()
      const answers = { safeMode, repairGuard: guard, nodes }
      context.out.json({
        ...{ cluster, isSafeMode, capacity, used, remaining, blocks, live, dead },
        ...answers,
      })
      return
    }
    const { out } = context
    if (isSafeMode) out.line('Safe mode is ON')
    out.lines(conditionLines({ safeMode, guard, nodes }))
    out.lines(spaceLines(space))
    out.lines(blockLines(blocks))
    out.line('-------------------------------------------------')
    if (!onlyDead) out.lines(nodeLines('Live', live))
    if (!onlyLive && (dead.length > 0 || onlyDead)) out.lines(nodeLines('Dead', dead))
  },
})

/** What is out of the ordinary: nothing on a cluster that is well and that nobody works on. */
function conditionLines({
  safeMode,
  guard,
  nodes = [],
}: {
  readonly safeMode: SafeModeReport | undefined
  readonly guard: RepairGuard | undefined
  readonly nodes: readonly NodeStatus[] | undefined
}): string[] {
  const lines = safeMode === undefined ? [] : safeModeLines(safeMode)
  if (guard?.isPaused === true) lines.push(...guardLines(guard))
  const asked = nodes.filter(({ adminState }) => adminState !== 'NORMAL')
  if (asked.length > 0)
    lines.push('Out of service, or about to be (`dfs node show NODE` says more):')
  for (const node of asked) {
    const progress = progressOf(node)
    lines.push(`  ${node.name}: ${stateOf(node)}${progress === '' ? '' : `; ${progress}`}`)
  }
  const unsteady = nodes.filter(({ isUnsteady }) => isUnsteady).map(({ name }) => name)
  if (unsteady.length > 0) lines.push(`Datanodes that come and go: ${unsteady.join(', ')}`)
  return lines
}

function bytes(count: number): string {
  return `${count} (${humanSize(count)}B)`
}

function percent(part: number, whole: number): string {
  return `${whole === 0 ? '0.00' : ((part / whole) * 100).toFixed(2)}%`
}

function spaceLines({ capacity, used, remaining }: ClusterSpace): string[] {
  return [
    `Configured Capacity: ${bytes(capacity)}`,
    `Present Capacity: ${bytes(used + remaining)}`,
    `DFS Remaining: ${bytes(remaining)}`,
    `DFS Used: ${bytes(used)}`,
    `DFS Used%: ${percent(used, used + remaining)}`,
  ]
}

function blockLines(blocks: BlockStats): string[] {
  const highest = blocks.highestPriorityLowRedundancy
  return [
    'Replicated Blocks:',
    `\tUnder replicated blocks: ${blocks.lowRedundancy}`,
    `\tBlocks with corrupt replicas: ${blocks.corrupt}`,
    `\tMissing blocks: ${blocks.missing}`,
    `\tMissing blocks (with replication factor 1): ${blocks.missingWithReplicationOne}`,
    ...(highest === undefined
      ? []
      : [`\tLow redundancy blocks with highest priority to recover: ${highest}`]),
    `\tPending deletion blocks: ${blocks.pendingDeletion}`,
  ]
}

function nodeLines(title: string, nodes: readonly DatanodeStatus[]): string[] {
  return [`${title} datanodes (${nodes.length}):`, '', ...nodes.flatMap(describeNode)]
}

function describeNode(node: DatanodeStatus): string[] {
  const silentMs = Math.max(Date.now() - node.lastContactMs, 0)
  return [
    `Name: ${node.ipAddress}:${node.transferPort} (${node.host})`,
    `Uuid: ${node.uuid}`,
    `Rack: ${node.rack}`,
    `Decommission Status : ${node.adminState.toLowerCase().replaceAll('_', ' ')}`,
    `Configured Capacity: ${bytes(node.capacity)}`,
    `DFS Used: ${bytes(node.used)}`,
    `Non DFS Used: ${bytes(node.nonDfsUsed)}`,
    `DFS Remaining: ${bytes(node.remaining)}`,
    `DFS Used%: ${percent(node.used, node.capacity)}`,
    `Active transfers: ${node.activeTransfers}`,
    `Last contact: ${new Date(node.lastContactMs).toISOString()} (${duration(silentMs)} ago)`,
    `Num of Blocks: ${node.blocks}`,
    `Failed volumes: ${node.failedVolumes} of ${node.volumes}`,
    ...(node.oldestUnverifiedMs === undefined
      ? []
      : [`Oldest unverified byte: ${duration(node.oldestUnverifiedMs)} ago`]),
    '',
  ]
}
