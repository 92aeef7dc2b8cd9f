/**
 * Runs simulations:
 *
 *     npm run sim -- --seeds 1000 [--from 1]    many seeds; --hours H for as long as that; --jobs N processes
 *     npm run sim -- --seed 8123 [--trace]      one seed, twice, with its configuration and its dialogue
 *     npm run sim -- --seed 8123 --minimize     the smallest configuration of it that still fails
 *
 * `--set NAME=VALUE`, as often as wanted, replaces a value of the configuration that a seed draws.
 */
import { parseArgs } from 'node:util'
import { drawConfig, type SimConfig } from './config.ts'
import { minimize } from './minimize.ts'
import { overridesBetween, withOverrides } from './overrides.ts'
import { type HuntSummary, huntSeeds } from './run-seeds.ts'
import { simulate } from './simulate.ts'

const progressMs = 60_000
/** A broken build fails everywhere: that is said often enough then. */
const failuresMax = 50
const msPerHour = 3_600_000

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    hours: { type: 'string' },
    jobs: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    trace: { type: 'boolean', default: false },
    minimize: { type: 'boolean', default: false },
  },
})

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Reads a whole number, or ends with how to give one. */
function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  print(`--${name} ${text}: give a whole number, for example --${name} 100`)
  process.exit(2)
}

function hoursToMs(text: string): number {
  const hours = Number(text)
  if (hours > 0) return hours * msPerHour
  print(`--hours ${text}: give a number above 0, for example --hours 0.5`)
  process.exit(2)
}

/** The command that repeats a seed. */
function command(seed: number, overrides: readonly string[], rest: string): string {
  const settings = overrides.map((override) => ` --set ${override}`).join('')
  return `npm run sim -- --seed ${seed}${settings} ${rest}`
}

function configOf(seed: number): SimConfig {
  try {
    return withOverrides(drawConfig(seed), values.set)
  } catch (error) {
    print(error instanceof Error ? error.message : String(error))
    process.exit(2)
  }
}

/** Runs one seed twice; the last line repeats a failure. */
async function runOne(seed: number): Promise<boolean> {
  const config = configOf(seed)
  print(JSON.stringify(config, undefined, 2))
  const { digest, simulatedMs, events, violations } = await simulate(
    config,
    values.trace ? print : undefined,
  )
  const again = await simulate(config)
  print(`seed ${seed}: digest ${digest}, ${simulatedMs} ms simulated, ${events} events`)
  const found = [...violations]
  if (again.digest !== digest) found.push(`a second run gives digest ${again.digest}`)
  for (const violation of found) print(`VIOLATION ${violation}`)
  print(`1 seed run, ${found.length === 0 ? 0 : 1} failures`)
  if (found.length > 0) print(command(seed, values.set, '--trace'))
  return found.length === 0
}

async function runMinimized(seed: number): Promise<boolean> {
  const start = configOf(seed)
  const smallest = await minimize(start, print)
  if (smallest === undefined) {
    print(`seed ${seed} does not fail`)
    return true
  }
  print(JSON.stringify(smallest.config, undefined, 2))
  for (const violation of smallest.violations) print(`VIOLATION ${violation}`)
  const { config } = smallest
  print(command(config.seed, overridesBetween(drawConfig(config.seed), config), '--trace'))
  return false
}

/** Runs many seeds; the last line says how many, and how many failed. */
async function runMany(): Promise<boolean> {
  const first = wholeNumber('from', values.from)
  const count =
    values.seeds === undefined
      ? values.hours === undefined
        ? 1000
        : Number.MAX_SAFE_INTEGER
      : wholeNumber('seeds', values.seeds)
  configOf(first)
  let printedAt = performance.now()
  const summary = await huntSeeds({
    seeds: rangeOf(first, count),
    overrides: values.set,
    repeatOneIn: 20,
    failuresMax,
    ...(values.hours === undefined ? {} : { limitMs: hoursToMs(values.hours) }),
    ...(values.jobs === undefined ? {} : { jobs: wholeNumber('jobs', values.jobs) }),
    onFailure: ({ seed, violations }) => {
      for (const violation of violations) print(`VIOLATION seed ${seed}: ${violation}`)
      print(command(seed, values.set, '--trace'))
    },
    onProgress: (soFar) => {
      if (performance.now() - printedAt < progressMs) return
      printedAt = performance.now()
      print(verdict(soFar))
    },
  })
  const counts = Object.entries(summary.counts).sort(([left], [right]) => (left < right ? -1 : 1))
  print(counts.map(([kind, times]) => `${kind} ${times}`).join(', '))
  print(verdict(summary))
  return summary.failures.length === 0
}

function verdict({ seeds, repeated, failures, events, simulatedMs }: HuntSummary): string {
  const hours = (simulatedMs / msPerHour).toFixed(1)
  return `${seeds} seeds run (${repeated} of them twice, ${events} events, ${hours} simulated hours), ${failures.length} failures`
}

function* rangeOf(first: number, count: number): Generator<number, void, void> {
  for (let seed = first; seed < first + count; seed += 1) yield seed
}

const isGood =
  values.seed === undefined
    ? await runMany()
    : await (values.minimize ? runMinimized : runOne)(wholeNumber('seed', values.seed))
if (!isGood) process.exitCode = 1
