/**
 * `npm run sim:mutants [-- PATTERN]`: compiles each deliberate bug of `mutant-list.ts` into a copy of the built tree and
 * hunts it with the simulator until a checker notices. One that survives, or no longer applies, fails the run.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { transformSync } from 'esbuild'
import { repositoryRoot } from '../support/repository.ts'
import { type Mutant, mutants } from './mutant-list.ts'
import { huntSeeds, type SeedReport } from './run-seeds.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '2000' },
    jobs: { type: 'string', default: `${availableParallelism()}` },
  },
})
const seedsMax = Number(values.seeds)
const dist = join(repositoryRoot, 'dist')
const copiedFolders = [
  'base',
  'protocol',
  'transport',
  'namenode',
  'datanode',
  'client',
  'test/sim',
  'test/support',
]

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** What became of one mutant. */
interface Verdict {
  readonly mutant: Mutant
  readonly outcome: 'caught' | 'survives' | 'does not apply'
  readonly report?: SeedReport | undefined
  readonly seeds: number
}

/** Compiles the mutant into a tree of its own. False when its place is not in the source, or not once. */
function build(mutant: Mutant, folder: string): boolean {
  const source = readFileSync(join(repositoryRoot, mutant.file), 'utf8')
  if (source.split(mutant.search).length !== 2) return false
  rmSync(folder, { recursive: true, force: true })
  for (const name of copiedFolders) {
    mkdirSync(join(folder, name), { recursive: true })
    cpSync(join(dist, name), join(folder, name), {
      recursive: true,
      filter: (path) => !/\.(map|d\.ts)$/.test(path),
    })
  }
  const { code } = transformSync(
    source.replace(mutant.search, () => mutant.replace),
    {
      loader: 'ts',
      format: 'esm',
      target: 'es2022',
      tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    },
  )
  const output = join(folder, mutant.file.replace(/\.ts$/, '.js'))
  writeFileSync(output, code.replace(/(from\s*"\.{1,2}\/[^"]*)\.ts"/g, '$1.js"'))
  return true
}

async function hunt(mutant: Mutant, slot: number): Promise<Verdict> {
  // Below the built tree, so that packages are found from it.
  const folder = join(dist, `mutant-${slot}`)
  try {
    if (!build(mutant, folder)) return { mutant, outcome: 'does not apply', seeds: 0 }
    const { failures, seeds } = await huntSeeds({
      seeds: Array.from({ length: seedsMax }, (_, index) => index + 1),
      jobs: 1,
      failuresMax: 1,
      workerPath: join(folder, 'test/sim/seed-worker.js'),
    })
    const [report] = failures
    return { mutant, outcome: report === undefined ? 'survives' : 'caught', report, seeds }
  } finally {
    if (existsSync(folder)) rmSync(folder, { recursive: true, force: true })
  }
}

function describe({ mutant, outcome, report, seeds }: Verdict): string {
  const { name, file } = mutant
  const [first = ''] = report?.violations ?? []
  const checker = /\[([a-z-]+)\]/.exec(first)?.[1] ?? 'progress'
  const [noticed, seed] =
    report === undefined ? [`**${outcome}** (${seeds} seeds)`, ''] : [checker, report.seed]
  return `| ${name} | \`${file}\` | ${noticed} | ${seed} |`
}

const chosen = mutants.filter(({ name }) => positionals.every((pattern) => name.includes(pattern)))
const queue = chosen[Symbol.iterator]()
const verdicts: Verdict[] = []
await Promise.all(
  Array.from({ length: Number(values.jobs) }, async (_, slot) => {
    for (const mutant of queue) {
      const verdict = await hunt(mutant, slot)
      verdicts.push(verdict)
      print(describe(verdict))
    }
  }),
)
const caughtCount = verdicts.filter(({ outcome }) => outcome === 'caught').length
print(`${verdicts.length} mutants, ${caughtCount} caught, ${verdicts.length - caughtCount} not`)
if (caughtCount < verdicts.length) process.exitCode = 1
