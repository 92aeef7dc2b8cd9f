import { Prng } from '../../base/prng.ts'
import { type SettingName, type Settings, settings } from '../../protocol/settings.ts'
import type { NetworkFaults } from './network.ts'

/** What may go wrong, besides the network; see `faults.ts`. */
export const faultKinds = [
  'kill-datanode',
  'power-datanode',
  'freeze-datanode',
  'slow-datanode',
  'disk-error',
  'disk-full',
  'lose-disk',
  'rot',
  'misdirect',
  'kill-namenode',
  'power-namenode',
  'freeze-namenode',
  'kill-all',
  'power-all',
  'partition-namenode',
  'partition-peers',
  'jump-clock',
  'crash-client',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** What clients do; see `workload.ts`. */
export const operationKinds = [
  'write',
  'append',
  'truncate',
  'concat',
  'splice',
  'fight',
  'read',
  'delete',
  'delete-directory',
  'rename',
  'rename-directory',
  'mkdir',
] as const
export type OperationKind = (typeof operationKinds)[number]

/** How often each kind is chosen, relative to the others. */
export type Weights<Kind extends string> = Readonly<Record<Kind, number>>

/** Everything about one simulation, drawn from its seed. */
export interface SimConfig {
  readonly seed: number
  readonly datanodes: number
  readonly clients: number
  readonly operationsPerClient: number
  readonly operations: Weights<OperationKind>
  readonly thinkMsMax: number
  readonly replication: number
  readonly blockBytes: number
  readonly blocksMax: number
  /** Bytes of all packets but the last of a block. */
  readonly packetBytes: number
  /** Of a hundred packets so many end an hflush or an hsync. */
  readonly safetyPercent: number
  /** Mean pause between two looks of a reader at a file that is being written; 0 for none. */
  readonly followEveryMs: number
  /** Mean pause between two faults; 0 for none. */
  readonly faultEveryMs: number
  /** The first so many faults happen. */
  readonly faultsMax: number
  readonly faults: Weights<FaultKind>
  /** Mean pause between two drains of a datanode; 0 for none. */
  readonly drainEveryMs: number
  /** Clocks of the namenode and of datanodes run too fast or too slow by up to so many parts per million. */
  readonly clockDriftPpm: number
  /** Datanodes read all they hold within this; 0: what is damaged at the end is told them. */
  readonly scrubPeriodMs: number
  /** Of each storage; every other datanode has twice as much, so that balancing has something to do. */
  readonly capacityBytes: number
  readonly network: NetworkFaults
  readonly segmentBytesMax: number
  /** Longest time that the namenode's disk and its store take for one operation. */
  readonly journalDelayMsMax: number
  readonly storeDelayMsMax: number
  /** Messages travel as their bytes; otherwise as what those would be read as, which is cheaper. */
  readonly encodes: boolean
  readonly settings: Partial<Readonly<Record<SettingName, number>>>
}

const mebibyte = 1024 * 1024
/** Keeps the draw of drains apart from the others. */
const drainSalt = 3
const spliceSalt = 0x5b11ce
const balanceSalt = 11
const damageSalt = 17
const followSalt = 23
const driftSalt = 29
/** So much that no datanode ever differs from the average. */
const endlessBytes = 2 ** 40
/** So that `faultsMax` can be given on a command line. */
const unlimited = 1_000_000

const faultWeights: Weights<FaultKind> = {
  'kill-datanode': 12,
  'power-datanode': 12,
  'freeze-datanode': 6,
  'slow-datanode': 5,
  'disk-error': 4,
  'disk-full': 3,
  'lose-disk': 2,
  rot: 5,
  misdirect: 2,
  'kill-namenode': 9,
  'power-namenode': 12,
  'freeze-namenode': 4,
  'kill-all': 2,
  'power-all': 3,
  'partition-namenode': 10,
  'partition-peers': 12,
  'jump-clock': 3,
  'crash-client': 8,
}
const operationWeights: Weights<Exclude<OperationKind, 'splice'>> = {
  write: 30,
  append: 12,
  truncate: 6,
  concat: 3,
  fight: 4,
  read: 25,
  delete: 10,
  'delete-directory': 5,
  rename: 10,
  'rename-directory': 5,
  mkdir: 5,
}

const noDamage = { rot: 0, misdirect: 0, 'lose-disk': 0 } as const

/** Draws the configuration of `seed`: three of four clusters are small and live short. */
export function drawConfig(seed: number): SimConfig {
  return withSmallDisks(drawWithEndlessDisks(seed))
}

function drawWithEndlessDisks(seed: number): SimConfig {
  const prng = new Prng(seed)
  const damage = new Prng(seed + damageSalt)
  const drift = new Prng(seed + driftSalt)
  const follow = new Prng(seed + followSalt)
  const between = (low: number, high: number): number => low + prng.below(high - low + 1)
  const isBig = prng.chance(1, 4)
  const isDamaging = prng.chance(1, 3)
  const datanodes = isBig ? between(3, 6) : between(3, 4)
  const heartbeatMs = between(800, 2500)
  const staleMs = 3 * heartbeatMs + between(500, 3000)
  return {
    seed,
    datanodes,
    clients: between(1, isBig ? 3 : 2),
    operationsPerClient: isBig ? between(10, 30) : between(4, 12),
    operations: { ...varied(prng, operationWeights), splice: drawSplices(seed) },
    thinkMsMax: between(1, 600),
    replication: between(2, 3),
    blockBytes: mebibyte,
    blocksMax: between(1, isBig ? 3 : 2),
    packetBytes: mebibyte / (isBig ? 4 : 2),
    safetyPercent: prng.pick([0, 10, 30]),
    followEveryMs: follow.chance(1, 4) ? follow.pick([20, 100, 400]) : 0,
    faultEveryMs: prng.chance(1, 10) ? 0 : between(600, isBig ? 6000 : 3000),
    faultsMax: unlimited,
    faults: { ...varied(prng, faultWeights), ...(isDamaging ? {} : noDamage) },
    drainEveryMs: isDamaging ? 0 : drawDrains(seed),
    clockDriftPpm: drift.pick([0, 0, 100, 10_000]),
    scrubPeriodMs: isDamaging && damage.chance(1, 2) ? 15_000 + damage.below(60_000) : 0,
    capacityBytes: endlessBytes,
    network: {
      delayMsMax: between(1, 30),
      lateOneIn: prng.chance(1, 2) ? between(50, 500) : 0,
      lateMsMax: between(100, 3000),
      lossOneIn: prng.chance(1, 2) ? between(40, 600) : 0,
    },
    segmentBytesMax: prng.pick([400, 1024, 4096, 16_384]),
    journalDelayMsMax: prng.pick([3, 3, 30, 150]),
    storeDelayMsMax: prng.pick([5, 5, 100, 1000]),
    encodes: prng.chance(1, 4),
    settings: {
      'dfs.heartbeat.interval': heartbeatMs,
      'dfs.blockreport.interval': between(20_000, 120_000),
      'dfs.namenode.stale.datanode.interval': staleMs,
      'dfs.namenode.dead.datanode.interval': staleMs + between(3000, 12_000),
      'dfs.namenode.reports.wait': between(0, 1500),
      'dfs.namenode.lease.soft-limit': between(5000, 15_000),
      'dfs.namenode.lease.hard-limit': between(16_000, 30_000),
      'dfs.namenode.safemode.wait': between(5000, 30_000),
      'dfs.namenode.resident-inodes': prng.pick([3, 6, 12, 40]),
      'dfs.namenode.mass-failure.percent': prng.chance(1, 2) ? 34 : 100,
    },
  }
}

/**
 * Every fourth cluster is drained. Drawn apart, so that the others are what they were before. Not where disks are
 * damaged: what is safe to leave behind depends on what nobody has found out yet.
 */
function drawDrains(seed: number): number {
  const prng = new Prng(seed + drainSalt)
  return prng.chance(1, 4) ? 2_000 + prng.below(10_000) : 0
}

/** In every fourth cluster blocks are exchanged. Drawn apart, too. */
function drawSplices(seed: number): number {
  const prng = new Prng(seed + spliceSalt)
  return prng.chance(1, 4) ? 4 + prng.below(20) : 0
}

/** In every fourth cluster a few blocks more than elsewhere are too many for a datanode. Drawn apart, too. */
function withSmallDisks(config: SimConfig): SimConfig {
  const prng = new Prng(config.seed + balanceSalt)
  if (!prng.chance(1, 4)) return config
  return {
    ...config,
    capacityBytes: (32 + prng.below(64)) * mebibyte,
    settings: {
      ...config.settings,
      'dfs.namenode.balance.threshold': 1,
      'dfs.namenode.balance.bandwidth': prng.pick([mebibyte / 4, mebibyte, 16 * mebibyte]),
    },
  }
}

/** Every run stresses something else: some kinds do not happen at all, others three times as often. */
function varied<Kind extends string>(prng: Prng, weights: Weights<Kind>): Weights<Kind> {
  const drawn: [string, number][] = Object.entries<number>(weights).map(([kind, weight]) => {
    const factor = prng.pick([0, 1, 1, 1, 3])
    return [kind, weight * factor]
  })
  return drawn.some(([, weight]) => weight > 0)
    ? (Object.fromEntries(drawn) as Weights<Kind>)
    : weights
}

/** Draws a kind by its weight; nothing when none has any. */
export function pickKind<Kind extends string>(
  prng: Prng,
  kinds: readonly Kind[],
  weights: Weights<Kind>,
): Kind | undefined {
  const total = kinds.reduce((sum, kind) => sum + weights[kind], 0)
  if (total === 0) return undefined
  let left = prng.below(total)
  for (const kind of kinds) {
    if (left < weights[kind]) return kind
    left -= weights[kind]
  }
  return undefined
}

/** The settings every simulated process runs with. */
export function settingsOf(config: SimConfig): Settings {
  const defaults = Object.fromEntries(
    Object.entries(settings).map(([name, setting]) => [name, setting.default]),
  )
  return { ...(defaults as Settings), ...config.settings } as unknown as Settings
}
