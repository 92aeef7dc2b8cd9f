import { Prng } from '../../base/prng.ts'
import { type SettingName, type Settings, settings } from '../../protocol/settings.ts'
import type { NetworkFaults } from './network.ts'

/** Everything about one simulation, drawn from its seed. */
export interface SimConfig {
  readonly seed: number
  readonly datanodes: number
  readonly clients: number
  readonly operationsPerClient: number
  readonly replication: number
  readonly blockBytes: number
  readonly blocksMax: number
  /** Mean pause between two faults; 0 for none. */
  readonly faultEveryMs: number
  readonly network: NetworkFaults
  readonly segmentBytesMax: number
  readonly settings: Partial<Readonly<Record<SettingName, number>>>
}

const mebibyte = 1024 * 1024

/** Draws the configuration of `seed`. */
export function drawConfig(seed: number): SimConfig {
  const prng = new Prng(seed)
  const datanodes = 3 + prng.below(3)
  const between = (low: number, high: number): number => low + prng.below(high - low + 1)
  return {
    seed,
    datanodes,
    clients: between(1, 3),
    operationsPerClient: between(10, 30),
    replication: between(2, 3),
    blockBytes: mebibyte,
    blocksMax: between(1, 3),
    faultEveryMs: prng.chance(1, 8) ? 0 : between(1500, 8000),
    network: {
      delayMsMax: between(1, 30),
      lateOneIn: prng.chance(1, 2) ? between(50, 500) : 0,
      lateMsMax: between(100, 3000),
      lossOneIn: prng.chance(1, 2) ? between(40, 600) : 0,
    },
    segmentBytesMax: between(1, 16) * 1024,
    settings: {
      'dfs.heartbeat.interval': between(500, 1500),
      'dfs.blockreport.interval': between(20_000, 120_000),
      'dfs.namenode.stale.datanode.interval': between(3000, 6000),
      'dfs.namenode.dead.datanode.interval': between(10_000, 20_000),
      'dfs.namenode.reports.wait': between(0, 1500),
      'dfs.namenode.lease.soft-limit': between(10_000, 15_000),
      'dfs.namenode.lease.hard-limit': between(20_000, 40_000),
      'dfs.namenode.safemode.wait': between(10_000, 30_000),
      'dfs.namenode.resident-inodes': between(12, 40),
      'dfs.namenode.mass-failure.percent': prng.chance(1, 2) ? 34 : 100,
    },
  }
}

/** The settings every simulated process runs with. */
export function settingsOf(config: SimConfig): Settings {
  const defaults = Object.fromEntries(
    Object.entries(settings).map(([name, setting]) => [name, setting.default]),
  )
  return { ...(defaults as Settings), ...config.settings } as unknown as Settings
}
