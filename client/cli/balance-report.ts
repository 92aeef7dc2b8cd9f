/** What `dfs balance` prints. */
import type { BalanceStatus } from '../index.ts'
import { counted, duration, humanSize, table } from './format.ts'

/** Each datanode in service: how full, and how far from the average. */
export function balanceTable({ datanodes, thresholdPercent }: BalanceStatus): string[] {
  const capacity = datanodes.reduce((sum, node) => sum + node.capacity, 0)
  const used = datanodes.reduce((sum, node) => sum + node.used, 0)
  const average = percentOf(used, capacity)
  const rows = datanodes.map((node) => {
    const use = percentOf(node.used, node.capacity)
    const off = use - average
    const verdict = Math.abs(off) <= thresholdPercent ? '' : off > 0 ? 'too full' : 'too empty'
    return [
      node.name,
      `${humanSize(node.used)}B`,
      `${humanSize(node.capacity)}B`,
      `${use.toFixed(1)} %`,
      `${off < 0 ? '' : '+'}${off.toFixed(1)}`,
      verdict,
    ]
  })
  const head = ['Datanode', 'Used', 'Capacity', 'Use', 'From average', '']
  return table([head, ...rows], ['left', 'right', 'right', 'right', 'right', 'left']).map((line) =>
    line.trimEnd(),
  )
}

/** What balancing is doing, in one sentence. */
export function summaryLine(status: BalanceStatus): string {
  const { isEnabled, thresholdPercent, bytesPerSecond, waitsFor, flows } = status
  const left = bytesOf(status)
  const moved = `${counted(status.movedBlocks, 'block')} (${humanSize(status.movedBytes)}B) moved since the namenode started`
  if (!isEnabled) {
    const waiting = left === 0 ? '' : `, ${humanSize(left)}B would be moved`
    return `Balancing is off (\`dfs balance start\`)${waiting}; ${moved}`
  }
  if (flows.length === 0 && status.movingBlocks === 0) {
    return `Balanced: no datanode is more than ${thresholdPercent} % from the average; ${moved}`
  }
  const moving = `${counted(status.movingBlocks, 'block')} (${humanSize(status.movingBytes)}B) being moved`
  if (waitsFor === 'repair')
    return `Balancing waits until no block needs repair; ${moving}, ${moved}`
  return `Balancing: ${moving}, ${humanSize(left)}B left, about ${eta(left, bytesPerSecond)} at ${humanSize(bytesPerSecond)}B/s; ${moved}`
}

/** The moves a plan consists of. */
export function flowLines(status: BalanceStatus): string[] {
  const { flows, bytesPerSecond, thresholdPercent } = status
  if (flows.length === 0) {
    return [`Nothing to move: no datanode is more than ${thresholdPercent} % from the average`]
  }
  const left = bytesOf(status)
  return [
    ...flows.map(
      ({ source, target, bytes }) => `move ${humanSize(bytes)}B from ${source} to ${target}`,
    ),
    `${humanSize(left)}B in all, about ${eta(left, bytesPerSecond)} at ${humanSize(bytesPerSecond)}B/s`,
  ]
}

function bytesOf({ flows }: BalanceStatus): number {
  return flows.reduce((sum, { bytes }) => sum + bytes, 0)
}

function eta(bytes: number, bytesPerSecond: number): string {
  return duration((bytes / Math.max(1, bytesPerSecond)) * 1000)
}

function percentOf(part: number, whole: number): number {
  return whole === 0 ? 0 : (part / whole) * 100
}
