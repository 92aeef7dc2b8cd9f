import { faultKinds, operationKinds, type SimConfig } from './config.ts'
import { simulate } from './simulate.ts'

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

/**
 * Takes away faults, clients, operations and delays for as long as the run still fails in the same way.
 * Undefined when it does not fail at all.
 */
export async function minimize(
  start: SimConfig,
  onProgress: (line: string) => void,
): Promise<Minimized | undefined> {
  const first = await simulate(start)
  if (first.violations.length === 0) return undefined
  const wanted = kindOf(first.violations)
  let best: Minimized = { config: start, violations: first.violations }
  for (let hasShrunk = true; hasShrunk; ) {
    hasShrunk = false
    for (const { what, config } of attempts(best.config)) {
      if (JSON.stringify(config) === JSON.stringify(best.config)) continue
      const { violations } = await simulate(config)
      if (violations.length === 0 || kindOf(violations) !== wanted) continue
      best = { config, violations }
      hasShrunk = true
      onProgress(`still fails with ${what}`)
      break
    }
  }
  return best
}

/** Failures are of one kind when their first messages differ in numbers and paths only. */
function kindOf(violations: readonly string[]): string {
  const [first = ''] = violations
  return (first.split('\n')[0] ?? '').replace(/^\d+ ms: /, '').replace(/[\d/]\S*/g, '#')
}

/** Boldest first. */
function* attempts(config: SimConfig): Generator<Attempt, void, void> {
  const { faults, operations, network } = config
  yield { what: 'no faults', config: { ...config, faultEveryMs: 0 } }
  for (const kind of faultKinds) {
    const without = { ...faults, [kind]: 0 }
    yield { what: `no ${kind}`, config: { ...config, faults: without } }
  }
  yield {
    what: 'a network that loses and delays nothing',
    config: { ...config, network: { ...network, lossOneIn: 0, lateOneIn: 0 } },
  }
  for (const name of ['clients', 'operationsPerClient', 'faultsMax', 'blocksMax'] as const) {
    for (const value of smallerThan(config[name])) {
      yield { what: `${name} ${value}`, config: { ...config, [name]: value } }
    }
  }
  for (const kind of operationKinds) {
    const without = { ...operations, [kind]: 0 }
    yield { what: `no ${kind}`, config: { ...config, operations: without } }
  }
  if (config.datanodes > 3) {
    yield { what: 'fewer datanodes', config: { ...config, datanodes: config.datanodes - 1 } }
  }
  yield { what: 'quick messages', config: { ...config, network: { ...network, delayMsMax: 1 } } }
  yield { what: 'messages as objects', config: { ...config, encodes: false } }
}

/** Numbers to try instead of `value`, from the smallest on. */
function smallerThan(value: number): readonly number[] {
  const found = new Set<number>()
  for (const candidate of [1, 2, 4, 8, 16, 32, Math.floor(value / 2), value - 1]) {
    if (candidate >= 1 && candidate < value) found.add(candidate)
  }
  return [...found].sort((left, right) => left - right)
}
