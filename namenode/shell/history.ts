/**
 * What the cluster did in the last hour, one sample every few seconds, for the charts of the operators' page. It lives
 * in memory: where the namenode did not run there are no samples, and nothing is made up for the time.
 */
import { Ring } from '../../base/ring.ts'
import type { ClusterStats } from '../core/cluster-stats.ts'
import type { DatanodeTraffic } from './datanode-traffic.ts'
import type { LatencyDigest } from './latency-digest.ts'

export const historyPeriodMs = 5_000
export const historySpanMs = 3_600_000

/** Counts are of the `spanMs` up to `atMs`, by the wall clock; the rest is as it was then. Sizes in bytes. */
export interface HistorySample {
  readonly atMs: number
  readonly spanMs: number
  readonly calls: number
  /** Absent when there were no calls. */
  readonly callP50Micros: number | undefined
  readonly callP99Micros: number | undefined
  /** fdatasync of the journal; absent when there was none. */
  readonly syncP99Micros: number | undefined
  readonly receivedBytes: number
  readonly sentBytes: number
  readonly copiedBlocks: number
  readonly copiedBytes: number
  /** Without a good replica, or with one left of several. */
  readonly endangeredBlocks: number
  readonly lowRedundancyBlocks: number
  readonly usedBytes: number
  readonly liveDatanodes: number
}

/** The part of the statistics that samples show. */
export type HistoryStats = Pick<
  ClusterStats,
  'missingBlocks' | 'lastReplicaBlocks' | 'underReplicatedBlocks' | 'used' | 'datanodes' | 'copies'
>

/** Where samples come from. */
export interface HistorySources {
  /** Milliseconds since the epoch, and of a clock that never goes back. */
  readonly wall: () => number
  readonly now: () => number
  readonly stats: () => HistoryStats
  /** Of the calls of clients, and of the journal's syncs. */
  readonly calls: LatencyDigest
  readonly syncs: LatencyDigest
  readonly traffic: DatanodeTraffic
}

interface Totals {
  readonly now: number
  readonly receivedBytes: number
  readonly sentBytes: number
  readonly copiedBlocks: number
  readonly copiedBytes: number
}

export class History {
  readonly #sources: HistorySources
  readonly #samples = new Ring<HistorySample>(historySpanMs / historyPeriodMs)
  #totals: Totals

  constructor(sources: HistorySources) {
    this.#sources = sources
    this.#totals = totalsOf(sources, sources.stats())
  }

  /** Takes a sample; whoever owns the timer calls it every {@link historyPeriodMs}. */
  sample(): void {
    const { wall, calls, syncs, stats } = this.#sources
    const state = stats()
    const totals = totalsOf(this.#sources, state)
    const before = this.#totals
    const spanMs = Math.round(totals.now - before.now)
    // Twice in the same millisecond says nothing.
    if (spanMs <= 0) return
    this.#totals = totals
    const { count, p50Micros, p99Micros } = calls.take()
    this.#samples.push({
      atMs: wall(),
      spanMs,
      calls: count,
      callP50Micros: p50Micros,
      callP99Micros: p99Micros,
      syncP99Micros: syncs.take().p99Micros,
      receivedBytes: totals.receivedBytes - before.receivedBytes,
      sentBytes: totals.sentBytes - before.sentBytes,
      copiedBlocks: totals.copiedBlocks - before.copiedBlocks,
      copiedBytes: totals.copiedBytes - before.copiedBytes,
      endangeredBlocks: state.missingBlocks + state.lastReplicaBlocks,
      lowRedundancyBlocks: state.underReplicatedBlocks,
      usedBytes: state.used,
      liveDatanodes: state.datanodes.live,
    })
  }

  /** Samples taken after `ms`, oldest first. */
  after(ms: number): HistorySample[] {
    return [...this.#samples].filter(({ atMs }) => atMs > ms)
  }
}

function totalsOf({ now, traffic }: HistorySources, { copies }: HistoryStats): Totals {
  const { done, doneBytes } = copies
  return { now: now(), ...traffic.totals, copiedBlocks: done, copiedBytes: doneBytes }
}
