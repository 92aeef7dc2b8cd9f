/**
 * `npm run sim:mutants [-- PATTERN]`: compiles each deliberate bug of `mutant-list.ts` into a copy of the built tree and
 * runs the seed that is known to show it, with the bug and without. Seeds move when the code does: a bug that is not
 * seen there is hunted from seed 1 on, and the new seed said. One that survives, or no longer applies, fails the run.
 * `--hunt` hunts all of them; `--set NAME=VALUE` as for the simulator.
 */
import { availableParallelism } from 'node:os'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { huntMutant, type Verdict } from './mutant-hunt.ts'
import { mutants } from './mutant-list.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '2000' },
    jobs: { type: 'string', default: `${availableParallelism()}` },
    hunt: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
  },
})
const seedsMax = Number(values.seeds)
function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function describe({ mutant, outcome, report, seeds }: Verdict): string {
  const { name, file } = mutant
  const [first = ''] = report?.violations ?? []
  const checker = /\[([a-z-]+)\]/.exec(first)?.[1] ?? 'progress'
  const [noticed, seed] =
    report === undefined || outcome !== 'caught'
      ? [`**${outcome}** (${seeds} seeds)`, '']
      : [checker, report.seed]
  const isNew = report !== undefined && report.seed !== mutant.seed
  return `| ${name} | \`${file}\` | ${noticed} | ${seed} |${isNew ? ' (not the recorded seed)' : ''}`
}

const chosen = mutants.filter(({ name }) => positionals.every((pattern) => name.includes(pattern)))
const queue = chosen[Symbol.iterator]()
const verdicts: Verdict[] = []
await Promise.all(
  Array.from({ length: Number(values.jobs) }, async (_, slot) => {
    for (const mutant of queue) {
      const verdict = await huntMutant(mutant, {
        seedsMax,
        usesRecorded: !values.hunt,
        overrides: values.set,
        folderName: `mutant-${slot}`,
      })
      verdicts.push(verdict)
      print(describe(verdict))
    }
  }),
)
const caughtCount = verdicts.filter(({ outcome }) => outcome === 'caught').length
print(`${verdicts.length} mutants, ${caughtCount} caught, ${verdicts.length - caughtCount} not`)
if (caughtCount < verdicts.length) process.exitCode = 1
