/** Replays simulations: `npm run sim -- --seed N [--seeds COUNT] [--trace]`. */
import { parseArgs } from 'node:util'
import { drawConfig } from './config.ts'
import { type SimResult, simulate } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
  },
})
const first = Number(values.seed)
const count = Number(values.seeds)

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Ends with the command that repeats the run. */
function fail(seed: number): void {
  process.exitCode = 1
  print(`npm run sim -- --seed ${seed} --trace`)
}

/** Runs a seed twice; true when nothing was wrong and both runs were the same. */
async function runSeed(seed: number): Promise<boolean> {
  const config = drawConfig(seed)
  if (count === 1) print(JSON.stringify(config, undefined, 2))
  const result = await simulate(config, values.trace ? print : undefined)
  const again = await simulate(config)
  report(seed, result)
  const isRepeatable = again.digest === result.digest
  if (!isRepeatable) print(`VIOLATION a second run gives digest ${again.digest}`)
  return isRepeatable && result.violations.length === 0
}

function report(seed: number, { digest, simulatedMs, events, violations }: SimResult): void {
  print(`seed ${seed}: digest ${digest}, ${simulatedMs} ms simulated, ${events} events`)
  for (const violation of violations) print(`VIOLATION ${violation}`)
}

let seed = first
// An assertion of the code under test ends the run wherever it is.
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error: unknown) => {
    print(error instanceof Error ? (error.stack ?? error.message) : String(error))
    fail(seed)
    process.exit()
  })
}
for (; seed < first + count; seed += 1) {
  if (await runSeed(seed)) continue
  fail(seed)
  break
}
