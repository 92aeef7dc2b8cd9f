/**
 * The faults of a chaos run. Drawing one decides everything about it from the generator; injecting it gives the way back.
 * A fault owns its targets while it lasts, so that two at a time never work on the same process or disk.
 */

import { unreachable } from '../../../base/assert.ts'
import { Prng } from '../../../base/prng.ts'
import { flipSomeBit } from './bit-flips.ts'
import type { LinkTrouble } from './network.ts'
import type { FaultKind } from './options.ts'
import type { Supervised } from './processes.ts'
import type { World } from './world.ts'

/** One fault, drawn and not yet injected. */
export interface Fault {
  readonly kind: FaultKind
  readonly description: string
  /** Names of the processes it works on. */
  readonly targets: readonly string[]
  readonly holdMs: number
  /** Bytes that were only flushed, not synced, may be gone after it. */
  readonly endangersFlushed: boolean
  /** Does it; what it returns undoes it. */
  inject(): Promise<() => Promise<void>>
}

/** Of the writer that takes a killed one's place. */
const writerLanes = 16

/** Most faults are short blips; some outlast the time after which a datanode counts as dead. */
function drawHoldMs(prng: Prng): number {
  if (prng.chance(1, 5)) return 8_000 + prng.below(10_000)
  return prng.chance(1, 3) ? prng.below(400) : prng.below(6_000)
}

function drawDaemons(prng: Prng, world: World): readonly Supervised[] {
  const datanodes = [...world.datanodes]
  if (prng.chance(1, 12)) return world.daemons
  if (prng.chance(1, 10)) return datanodes
  if (prng.chance(1, 6)) return prng.shuffle(datanodes).slice(0, 2)
  return [prng.chance(1, 4) ? world.namenode : prng.pick(datanodes)]
}

function namesOf(processes: readonly Supervised[]): string[] {
  return processes.map(({ plan }) => plan.name)
}

/** Draws a fault of a kind; undefined when this world has nothing for it now. */
export function drawFault(kind: FaultKind, prng: Prng, world: World): Fault | undefined {
  switch (kind) {
    case 'kill':
      return prng.chance(1, 3) ? drawWriterKill(prng, world) : drawKill(prng, world)
    case 'stop':
      return drawStop(prng, world)
    case 'partition':
      return drawPartition(prng, world)
    case 'slow':
      return drawSlowLink(prng, world)
    case 'full':
      return drawFullDisk(prng, world)
    case 'sluggish':
      return drawSluggishDisk(prng, world)
    case 'power':
      return drawPowerLoss(prng, world)
    case 'flip':
      return drawBitFlip(prng, world)
    default:
      return unreachable(kind)
  }
}

function drawKill(prng: Prng, world: World): Fault {
  const victims = drawDaemons(prng, world)
  const targets = namesOf(victims)
  return {
    kind: 'kill',
    description: `kill -9 of ${targets.join(', ')}`,
    targets,
    holdMs: drawHoldMs(prng),
    endangersFlushed: victims.length > 2,
    async inject() {
      await Promise.all(victims.map((victim) => victim.end('SIGKILL')))
      return async () => {
        for (const victim of victims) victim.start()
      }
    },
  }
}

function drawWriterKill(prng: Prng, world: World): Fault | undefined {
  const victims = world.writers.filter(({ plan }) => plan.name !== 'writer-1')
  if (victims.length === 0) return undefined
  const victim = prng.pick(victims)
  const { name } = victim.plan
  return {
    kind: 'kill',
    description: `kill -9 of ${name}, which another takes the place of`,
    targets: [name],
    holdMs: prng.below(2_000),
    endangersFlushed: false,
    async inject() {
      await world.killWriter(victim)
      return async () => world.startWriter('sdk', writerLanes, name)
    },
  }
}

function drawStop(prng: Prng, world: World): Fault {
  const victims = drawDaemons(prng, world)
  const targets = namesOf(victims)
  return {
    kind: 'stop',
    description: `SIGSTOP of ${targets.join(', ')}`,
    targets,
    holdMs: drawHoldMs(prng),
    endangersFlushed: false,
    async inject() {
      for (const victim of victims) victim.signal('SIGSTOP')
      return async () => {
        for (const victim of victims) victim.signal('SIGCONT')
      }
    },
  }
}

/** Two sets of machines, and whether only one of the two directions is cut. */
function drawSides(
  prng: Prng,
  world: World,
): { left: string[]; right: string[]; isOneWay: boolean } {
  const datanodes = prng.shuffle(namesOf(world.datanodes))
  const isOneWay = prng.chance(1, 3)
  const [first = ''] = datanodes
  const others = datanodes.slice(1)
  switch (prng.below(5)) {
    case 0:
      return { left: [first], right: ['namenode'], isOneWay }
    case 1:
      return { left: [first], right: ['writers', 'checker'], isOneWay }
    case 2:
      return { left: [first], right: others, isOneWay }
    case 3: {
      const half = Math.ceil(datanodes.length / 2)
      const right = ['namenode', 'writers', 'checker', ...datanodes.slice(half)]
      return { left: datanodes.slice(0, half), right, isOneWay: false }
    }
    default:
      return { left: [first], right: ['namenode', 'writers', 'checker', ...others], isOneWay }
  }
}

function drawPartition(prng: Prng, world: World): Fault | undefined {
  const { network } = world
  if (network === undefined) return undefined
  const { left, right, isOneWay } = drawSides(prng, world)
  const how = prng.chance(1, 4) ? 'reset' : 'drop'
  const pairs = left.flatMap((from) => right.map((to) => ({ from, to })))
  const cuts = isOneWay
    ? pairs
    : pairs.flatMap(({ from, to }) => [
        { from, to },
        { from: to, to: from },
      ])
  const arrow = isOneWay ? 'to' : 'and'
  return {
    kind: 'partition',
    description: `${how} between ${left.join(', ')} ${arrow} ${right.join(', ')}`,
    targets: left.map((machine) => `link of ${machine}`),
    holdMs: drawHoldMs(prng),
    endangersFlushed: false,
    async inject() {
      for (const { from, to } of cuts) network.block(from, to, how)
      return async () => {
        for (const { from, to } of cuts) network.unblock(from, to, how)
      }
    },
  }
}

function drawSlowLink(prng: Prng, world: World): Fault | undefined {
  const { network } = world
  if (network === undefined) return undefined
  const machine = prng.pick(['namenode', ...namesOf(world.datanodes), 'writers'])
  const trouble: LinkTrouble = {
    lossPercent: prng.pick([0, 0, 1, 5, 20]),
    delayMs: prng.pick([5, 50, 300, 1000]),
    rateKbit: prng.pick([256, 2_000, 50_000]),
  }
  const { lossPercent, delayMs, rateKbit } = trouble
  return {
    kind: 'slow',
    description: `link of ${machine}: ${rateKbit} kbit/s, ${delayMs} ms, ${lossPercent} % lost`,
    targets: [`link of ${machine}`],
    holdMs: drawHoldMs(prng),
    endangersFlushed: false,
    async inject() {
      network.trouble(machine, trouble)
      return async () => network.heal(machine, trouble)
    },
  }
}

function drawFullDisk(prng: Prng, world: World): Fault | undefined {
  const victim = prng.chance(1, 3) ? world.namenode : prng.pick(world.datanodes)
  const { name } = victim.plan
  const disk = world.disk(name)
  if (disk.kind === 'plain') return undefined
  const leaveBytes = 2 ** 20 + prng.below(8 * 2 ** 20)
  return {
    kind: 'full',
    description: `disk of ${name} full but for ${leaveBytes} bytes`,
    targets: [name],
    holdMs: drawHoldMs(prng),
    endangersFlushed: false,
    async inject() {
      const free = disk.fill(leaveBytes)
      // A namenode that cannot write its journal must end.
      if (victim === world.namenode) victim.expectExit()
      return async () => {
        free()
        victim.start()
      }
    },
  }
}

function drawSluggishDisk(prng: Prng, world: World): Fault | undefined {
  const { name } = prng.pick(world.daemons).plan
  const disk = world.disk(name)
  if (disk.kind !== 'volatile') return undefined
  const delayMs = prng.pick([20, 200, 1500])
  return {
    kind: 'sluggish',
    description: `disk of ${name}: every write and sync takes ${delayMs} ms more`,
    targets: [name],
    holdMs: drawHoldMs(prng),
    endangersFlushed: false,
    async inject() {
      disk.slow(delayMs)
      return async () => disk.slow(0)
    },
  }
}

function drawPowerLoss(prng: Prng, world: World): Fault | undefined {
  const victims = drawDaemons(prng, world)
  const disks = victims.map(({ plan }) => ({ disk: world.disk(plan.name), seed: prng.next() }))
  if (disks.some(({ disk }) => disk.kind !== 'volatile')) return undefined
  const targets = namesOf(victims)
  return {
    kind: 'power',
    description: `power loss of ${targets.join(', ')}`,
    targets,
    holdMs: drawHoldMs(prng),
    endangersFlushed: true,
    async inject() {
      // Held first, so that no process sees its disk vanish: both go in the same moment.
      for (const victim of victims) victim.signal('SIGSTOP')
      await Promise.all(disks.map(({ disk, seed }) => disk.losePower(seed)))
      await Promise.all(victims.map((victim) => victim.end('SIGKILL')))
      return async () => {
        for (const { disk } of disks) disk.unmount()
        await Promise.all(disks.map(({ disk }) => disk.start()))
        for (const victim of victims) victim.start()
      }
    },
  }
}

function drawBitFlip(prng: Prng, world: World): Fault {
  const victim = prng.pick(world.datanodes).plan.name
  const seed = prng.next()
  return {
    kind: 'flip',
    description: `a bit of a replica on ${victim}`,
    targets: [`bits of ${victim}`],
    holdMs: 0,
    endangersFlushed: false,
    inject() {
      const others = namesOf(world.datanodes).filter((name) => name !== victim)
      const disks = {
        victim: world.dataDirectory(victim),
        others: others.map((name) => world.dataDirectory(name)),
      }
      world.say(flipSomeBit(new Prng(seed), disks, world.rottenBlocks))
      return Promise.resolve(() => Promise.resolve())
    },
  }
}
