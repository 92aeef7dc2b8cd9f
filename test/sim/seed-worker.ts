/** A process that runs seeds for `run-seeds.ts`. */
import process from 'node:process'
import { drawConfig } from './config.ts'
import { withOverrides } from './overrides.ts'
import type { SeedReport, SeedTask } from './run-seeds.ts'
import { simulate } from './simulate.ts'

/** Rows that are not resident are thrown by the thousand; a stack for each is half the cost of a run. */
const quickStackFrames = 0
const fullStackFrames = 20

process.on('message', (task: SeedTask) => {
  void runTask(task)
})
process.on('disconnect', () => {
  process.exit()
})

async function runTask({ seeds, overrides, repeatOneIn }: SeedTask): Promise<void> {
  for (const seed of seeds) {
    const report = await runSeed(seed, overrides, repeatOneIn > 0 && seed % repeatOneIn === 0)
    process.send?.(report)
  }
}

async function runSeed(
  seed: number,
  overrides: readonly string[],
  isRepeated: boolean,
): Promise<SeedReport> {
  const config = withOverrides(drawConfig(seed), overrides)
  Error.stackTraceLimit = quickStackFrames
  let result = await simulate(config)
  const { digest } = result
  const hasFailed = result.violations.length > 0
  if (hasFailed) {
    Error.stackTraceLimit = fullStackFrames
    result = await simulate(config)
  } else if (isRepeated) result = await simulate(config)
  const violations = [...result.violations]
  if (result.digest !== digest) {
    violations.push(`one run gives digest ${digest}, the next one ${result.digest}`)
  }
  const counts: Record<string, number> = {}
  for (const line of result.trace) {
    const [, kind = ''] = /^\d+ (?:healed )?([a-z-]+)/.exec(line) ?? []
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  const { events, simulatedMs } = result
  return { seed, violations, wasRepeated: isRepeated || hasFailed, events, simulatedMs, counts }
}
