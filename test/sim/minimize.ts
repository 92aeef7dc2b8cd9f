import { faultKinds, operationKinds, type SimConfig } from './config.ts'
import { type SimResult, simulate } from './simulate.ts'

const seedsPerAttempt = 6

/** A smaller configuration to try, and what is smaller about it. */
interface Attempt {
  readonly what: string
  readonly config: SimConfig
}

/** A configuration as small as attempts get that still fails, and how. */
export interface Minimized {
  readonly config: SimConfig
  readonly violations: readonly string[]
}

/** Runs one configuration. */
type Run = (config: SimConfig) => Promise<Pick<SimResult, 'violations' | 'trace'>>

/**
 * Takes away faults, clients, operations and delays for as long as a run still fails in the same way. What is taken away
 * moves everything that is drawn afterwards, so a few other seeds get a chance, too.
 * Undefined when it does not fail at all.
 */
export async function minimize(
  start: SimConfig,
  onProgress: (line: string) => void,
  run: Run = simulate,
): Promise<Minimized | undefined> {
  const first = await run(start)
  if (first.violations.length === 0) return undefined
  const wanted = kindOf(first.violations)
  // More than there were need not be taken away one by one.
  const faultsMax = Math.min(start.faultsMax, first.trace.length)
  let best: Minimized = { config: { ...start, faultsMax }, violations: first.violations }
  for (let hasShrunk = true; hasShrunk; ) {
    hasShrunk = false
    for (const shrink of shrinks) {
      for (const { what, config } of shrink(best.config)) {
        if (JSON.stringify(config) === JSON.stringify(best.config)) continue
        const found = await firstFailing(config, wanted, run)
        if (found === undefined) continue
        best = found
        hasShrunk = true
        onProgress(`still fails with ${what} (seed ${found.config.seed})`)
        break
      }
    }
  }
  return best
}

/** The run of `config`, or of a neighbouring seed with everything else the same, that fails as is `wanted`. */
async function firstFailing(
  config: SimConfig,
  wanted: string,
  run: Run,
): Promise<Minimized | undefined> {
  for (let step = 0; step < seedsPerAttempt; step += 1) {
    const candidate = { ...config, seed: config.seed + step }
    const { violations } = await run(candidate)
    if (violations.length > 0 && kindOf(violations) === wanted) {
      return { config: candidate, violations }
    }
  }
  return undefined
}

/** Failures are of one kind when their first messages differ in numbers and paths only. */
function kindOf(violations: readonly string[]): string {
  const [first = ''] = violations
  return (first.split('\n')[0] ?? '').replace(/^\d+ ms: /, '').replace(/[\d/]\S*/g, '#')
}

/** Ways to make a configuration smaller; each proposes the boldest first. */
const shrinks: readonly ((config: SimConfig) => readonly Attempt[])[] = [
  (config) => [{ what: 'no faults', config: { ...config, faultEveryMs: 0 } }],
  (config) => [{ what: 'no drains', config: { ...config, drainEveryMs: 0 } }],
  (config) => {
    const network = { ...config.network, lossOneIn: 0, lateOneIn: 0 }
    return [{ what: 'a network that loses and delays nothing', config: { ...config, network } }]
  },
  ...(['clients', 'operationsPerClient', 'faultsMax', 'blocksMax'] as const).map(
    (name) => (config: SimConfig) =>
      smallerThan(config[name]).map((value) => ({
        what: `${name} ${value}`,
        config: { ...config, [name]: value },
      })),
  ),
  ...faultKinds.map((kind) => (config: SimConfig) => {
    const faults = { ...config.faults, [kind]: 0 }
    return [{ what: `no ${kind}`, config: { ...config, faults } }]
  }),
  ...operationKinds.map((kind) => (config: SimConfig) => {
    const operations = { ...config.operations, [kind]: 0 }
    return [{ what: `no ${kind}`, config: { ...config, operations } }]
  }),
  (config) => {
    const datanodes = Math.max(3, config.datanodes - 1)
    return [{ what: 'fewer datanodes', config: { ...config, datanodes } }]
  },
  (config) => {
    const network = { ...config.network, delayMsMax: 1 }
    return [{ what: 'quick messages', config: { ...config, network } }]
  },
  (config) => [{ what: 'messages as objects', config: { ...config, encodes: false } }],
]

/** Numbers to try instead of `value`, from the smallest on. */
function smallerThan(value: number): readonly number[] {
  const found = new Set<number>()
  for (const candidate of [1, 2, 4, 8, 16, 32, Math.floor(value / 2), value - 1]) {
    if (candidate >= 1 && candidate < value) found.add(candidate)
  }
  return [...found].sort((left, right) => left - right)
}
