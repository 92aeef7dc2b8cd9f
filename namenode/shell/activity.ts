import type { Timers } from '../../base/clock.ts'
import { changesBetween, lookAt } from './cluster-changes.ts'
import { DatanodeTraffic } from './datanode-traffic.ts'
import { EventLog } from './event-log.ts'
import { History, historyPeriodMs } from './history.ts'
import type { NamenodeMetrics } from './metrics.ts'
import type { Namenode } from './namenode.ts'

/** How soon a change of the cluster is an event. */
const lookPeriodMs = 1_000

/** What the namenode remembers of what it and its cluster did, in memory and bounded. */
export class Activity {
  readonly events: EventLog
  readonly history: History
  readonly traffic = new DatanodeTraffic()
  readonly #stops: (() => void)[]

  constructor(namenode: Namenode, metrics: NamenodeMetrics, timers: Timers) {
    const wall = (): number => namenode.wall()
    this.events = new EventLog(wall)
    this.history = new History({
      wall,
      now: () => namenode.now(),
      stats: () => namenode.blocks.stats(),
      calls: metrics.callDigest,
      syncs: metrics.syncDigest,
      traffic: this.traffic,
    })
    this.events.add({ kind: 'cluster', level: 'info', text: 'The namenode started' })
    let before = lookAt(namenode)
    const look = (): void => {
      const now = lookAt(namenode)
      for (const change of changesBetween(before, now)) {
        this.events.add({ kind: 'cluster', ...change })
      }
      before = now
    }
    const sampling = timers.every(historyPeriodMs, () => {
      this.history.sample()
    })
    const looking = timers.every(lookPeriodMs, look)
    this.#stops = [() => sampling.cancel(), () => looking.cancel()]
  }

  stop(): void {
    for (const stop of this.#stops) stop()
  }
}
