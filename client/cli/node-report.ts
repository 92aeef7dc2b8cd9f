/** Datanodes and what is asked of them, as people read them. */
import type { NodeStatus, RepairGuard, SafeModeReport } from '../index.ts'
import { counted, duration, humanSize, localMinute, table } from './format.ts'

const livenessWords = {
  LIVE: 'live',
  DISCONNECTED: 'disconnected',
  STALE: 'stale',
  DEAD: 'dead',
  UNKNOWN: 'not heard of',
} as const satisfies Record<NodeStatus['liveness'], string>

const adminWords = {
  NORMAL: '',
  DECOMMISSION_INPROGRESS: 'draining',
  DECOMMISSIONED: 'drained',
  ENTERING_MAINTENANCE: 'entering maintenance',
  IN_MAINTENANCE: 'in maintenance',
} as const satisfies Record<NodeStatus['adminState'], string>

const alignments = ['left', 'left', 'right', 'right', 'right', 'left'] as const

/** `live`, `live, draining`, `dead, in maintenance until 2026-11-25 18:00`. */
export function stateOf({ liveness, adminState, expiresAtMs, isUnsteady }: NodeStatus): string {
  const asked = adminWords[adminState]
  const end = expiresAtMs === undefined ? '' : ` until ${localMinute(expiresAtMs)}`
  const parts: string[] = [livenessWords[liveness]]
  if (isUnsteady) parts.push('unsteady')
  if (asked !== '') parts.push(`${asked}${end}`)
  return parts.join(', ')
}

/** One row per datanode. */
export function nodeTable(nodes: readonly NodeStatus[]): string[] {
  const rows = nodes.map((node) => [
    node.name,
    stateOf(node),
    `${humanSize(node.capacity)}B`,
    node.capacity === 0 ? '-' : `${((100 * node.used) / node.capacity).toFixed(1)}%`,
    String(node.replicas),
    progressOf(node),
  ])
  return table([['NODE', 'STATE', 'CAPACITY', 'USED', 'REPLICAS', ''], ...rows], alignments).map(
    (line) => line.trimEnd(),
  )
}

/** `12 blocks left (1.5 GB) of 90, 100 MB/s, about 15.0 s`; empty when nothing is under way. */
export function progressOf({ left, obstacle, adminState }: NodeStatus): string {
  const isUnderWay =
    adminState === 'DECOMMISSION_INPROGRESS' || adminState === 'ENTERING_MAINTENANCE'
  if (!isUnderWay) return ''
  if (left === undefined) return obstacle ?? 'counting its blocks'
  const parts = [
    `${counted(left.blocks, 'block')} left (${humanSize(left.bytes)}B) of ${Math.max(left.blocksAtStart, left.blocks)}`,
  ]
  if (left.openBlocks > 0) parts.push(`${left.openBlocks} being written`)
  if (left.bytesPerSecond > 0) parts.push(`${humanSize(left.bytesPerSecond)}B/s`)
  if (left.etaMs !== undefined && left.blocks > 0) parts.push(`about ${duration(left.etaMs)}`)
  else if (left.blocks > 0) parts.push('not moving')
  if (obstacle !== undefined) parts.push(obstacle)
  return parts.join(', ')
}

/** Everything about one datanode. */
export function nodeDetails(node: NodeStatus): string[] {
  const lines = [
    `Node: ${node.name}${node.ipAddress === undefined ? '' : ` (${node.ipAddress})`}`,
    `Uuid: ${node.uuid}`,
    `State: ${stateOf(node)}`,
  ]
  if (node.isUnsteady) {
    lines.push(
      'Unsteady: it comes and goes, and gets new replicas only when no other can take them',
    )
  }
  if (node.rack !== undefined) lines.push(`Rack: ${node.rack}`)
  if (node.silentMs !== undefined) lines.push(`Last heartbeat: ${duration(node.silentMs)} ago`)
  if (node.capacity > 0) {
    lines.push(
      `Space: ${humanSize(node.used)}B used, ${humanSize(node.remaining)}B free of ${humanSize(node.capacity)}B`,
    )
  }
  lines.push(`Replicas: ${node.replicas}`)
  if (node.failedStorages > 0) lines.push(`Failed storages: ${node.failedStorages}`)
  if (node.unreportedStorages > 0) {
    lines.push(`Storages not reported yet: ${node.unreportedStorages}`)
  }
  if (node.requestedAtMs !== undefined) {
    lines.push(`Asked for: ${localMinute(node.requestedAtMs)}`)
  }
  const progress = progressOf(node)
  if (progress !== '') lines.push(`Progress: ${progress}`)
  for (const { blockId, path, reason } of node.blocksLeft) {
    lines.push(`  block ${blockId}${path === undefined ? '' : ` of ${path}`}: ${reason}`)
  }
  const more = (node.left?.blocks ?? 0) - node.blocksLeft.length
  if (node.blocksLeft.length > 0 && more > 0) lines.push(`  and ${counted(more, 'block')} more`)
  return lines
}

/** Why repair waits, since when, and what to do. */
export function guardLines(guard: RepairGuard): string[] {
  const total = guard.lost.length + guard.remaining
  const since = guard.pausedAtMs ?? Date.now()
  return [
    `Repair waits since ${localMinute(since)} (${duration(Math.max(0, Date.now() - since))}): ` +
      `${guard.lost.length} of ${total} datanodes vanished together`,
    `  lost: ${lostNames(guard)}`,
    '  It goes on by itself when enough of them return.',
    '  If they will not, `dfs node repair --now` copies what they held from the others.',
  ]
}

/** `host:port` of the datanodes that vanished. */
export function lostNames({ lost }: RepairGuard): string {
  return lost.map(({ name }) => name).join(', ')
}

/** Why changes are refused and what the namenode still waits for after its start; empty when all is known. */
export function safeModeLines(report: SafeModeReport): string[] {
  const { state, totalBlocks, safeBlocks, neededBlocks, isLoading, unreported } = report
  const lines: string[] = []
  if (state === 'MANUAL')
    lines.push('It was turned on by an operator: `dfs safemode leave` ends it.')
  if (state === 'PENDING_THRESHOLD') {
    const end = report.endsInMs === undefined ? '' : `, or in ${duration(report.endsInMs)}`
    lines.push(`It ends by itself when ${neededBlocks} blocks are reported${end}.`)
  }
  if (report.isLowOnSpace) lines.push('The disk of the namenode is nearly full: free space there.')
  if (isLoading) lines.push('Block rows are still being loaded.')
  const left = (totalBlocks ?? 0) - safeBlocks
  if (left > 0 && (state === 'PENDING_THRESHOLD' || report.graceMs !== undefined)) {
    lines.push(
      `${counted(left, 'block')} of ${totalBlocks ?? 0} not reported by any datanode so far.`,
    )
  }
  if (unreported.length > 0) {
    lines.push(`Registered and still to report all of their blocks: ${unreported.join(', ')}.`)
  }
  if (report.graceMs !== undefined && left > 0) {
    lines.push(`Blocks from before the start are not copied for ${duration(report.graceMs)} yet.`)
  }
  return lines
}
