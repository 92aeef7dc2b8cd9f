import type { HistoryView } from '../api/views.ts'

/** The stretch of the history that says how fast repair is now. */
const windowMs = 60_000

/** How fast repair was in the last minute, and how long the rest takes at that. */
export interface Pace {
  readonly blocksPerMinute: number
  readonly bytesPerMinute: number
  readonly etaMs: number | undefined
}

/** `undefined` while nothing is copied. @param blocksLeft what waits for a copy */
export function repairPace(history: HistoryView | undefined, blocksLeft: number): Pace | undefined {
  const samples = history?.samples ?? []
  const newestMs = samples.at(-1)?.atMs ?? 0
  const recent = samples.filter(({ atMs }) => atMs > newestMs - windowMs)
  const sum = (read: (sample: (typeof recent)[number]) => number): number =>
    recent.reduce((total, sample) => total + read(sample), 0)
  const blocks = sum(({ copiedBlocks }) => copiedBlocks)
  const spanMs = sum((sample) => sample.spanMs)
  if (blocks === 0 || spanMs === 0) return undefined
  return {
    blocksPerMinute: (blocks * 60_000) / spanMs,
    bytesPerMinute: (sum(({ copiedBytes }) => copiedBytes) * 60_000) / spanMs,
    etaMs: blocksLeft === 0 ? undefined : (blocksLeft * spanMs) / blocks,
  }
}
