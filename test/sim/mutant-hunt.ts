/** Compiles a deliberate bug into a copy of the built tree and lets the simulator look for it. */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { transformSync } from 'esbuild'
import { repositoryRoot } from '../support/repository.ts'
import type { Mutant } from './mutant-list.ts'
import { huntSeeds, type SeedReport } from './run-seeds.ts'

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

/** Without what came later the recorded seeds are what they were. */
const beforeTheseCame = ['drainEveryMs=0', 'followEveryMs=0', 'clockDriftPpm=0']

/** What became of one mutant. */
export interface Verdict {
  readonly mutant: Mutant
  readonly outcome: 'caught' | 'survives' | 'does not apply' | 'does not run'
  readonly report?: SeedReport | undefined
  readonly seeds: number
}

/** Compiles the mutant into a tree of its own. False when a place of it is not in the source, or not once. */
function build(mutant: Mutant, folder: string): boolean {
  const sourceByFile = new Map<string, string>()
  for (const { file, search, replace } of [mutant, ...(mutant.also ?? [])]) {
    const source = sourceByFile.get(file) ?? readFileSync(join(repositoryRoot, file), 'utf8')
    if (source.split(search).length !== 2) return false
    sourceByFile.set(
      file,
      source.replace(search, () => replace),
    )
  }
  rmSync(folder, { recursive: true, force: true })
  for (const name of copiedFolders) {
    mkdirSync(join(folder, name), { recursive: true })
    cpSync(join(dist, name), join(folder, name), {
      recursive: true,
      filter: (path) => !/\.(map|d\.ts)$/.test(path),
    })
  }
  for (const [file, source] of sourceByFile) compile(source, join(folder, file))
  return true
}

function compile(source: string, path: string): void {
  const { code } = transformSync(source, {
    loader: 'ts',
    format: 'esm',
    target: 'es2022',
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  })
  const output = code.replace(/(from\s*"\.{1,2}\/[^"]*)\.ts"/g, '$1.js"')
  writeFileSync(path.replace(/\.ts$/, '.js'), output)
}

/** Runs seeds until one fails, with the mutant's tree or, without `workerPath`, the sound one. */
async function firstFailure(
  seeds: readonly number[],
  overrides: readonly string[],
  workerPath?: string,
): Promise<{ readonly report: SeedReport | undefined; readonly seeds: number }> {
  const { failures, seeds: count } = await huntSeeds({
    ...{ seeds, jobs: 1, failuresMax: 1, overrides },
    ...(workerPath === undefined ? {} : { workerPath }),
  })
  return { report: failures[0], seeds: count }
}

/** How a mutant is looked for. */
export interface MutantHunt {
  /** Seeds to try when the recorded one does not show it. */
  readonly seedsMax: number
  /** Tries the recorded one first. */
  readonly usesRecorded: boolean
  /** Besides the mutant's own, as for `--set`. */
  readonly overrides: readonly string[]
  /** Name of the tree it is compiled into; hunts at the same time need different ones. */
  readonly folderName: string
}

/** Looks for a seed that passes without the bug and fails with it. */
export async function huntMutant(mutant: Mutant, options: MutantHunt): Promise<Verdict> {
  const { seedsMax, usesRecorded, folderName } = options
  const overrides = [...beforeTheseCame, ...(mutant.set ?? []), ...options.overrides]
  // Below the built tree, so that packages are found from it.
  const folder = join(dist, folderName)
  try {
    if (!build(mutant, folder)) return { mutant, outcome: 'does not apply', seeds: 0 }
    const workerPath = join(folder, 'test/sim/seed-worker.js')
    const known = usesRecorded
      ? await firstFailure([mutant.seed], overrides, workerPath)
      : undefined
    if (outcomeOf(known?.report) === 'caught' && known !== undefined) {
      const sound = await firstFailure([mutant.seed], overrides)
      if (sound.report === undefined) return { mutant, outcome: 'caught', ...known }
    }
    let rest = Array.from({ length: seedsMax }, (_, index) => index + 1)
    for (let tried = 0; ; ) {
      const { report, seeds } = await firstFailure(rest, overrides, workerPath)
      tried += seeds
      const verdict = { mutant, outcome: outcomeOf(report), report, seeds: tried }
      const seed = report?.seed
      if (verdict.outcome !== 'caught' || seed === undefined) return verdict
      // What the sound tree fails at, too, says nothing of the bug.
      const sound = await firstFailure([seed], overrides)
      if (sound.report === undefined) return verdict
      rest = rest.filter((other) => other > seed)
    }
  } finally {
    if (existsSync(folder)) rmSync(folder, { recursive: true, force: true })
  }
}

/** Of a program that does not even load nothing is known. */
function outcomeOf(report: SeedReport | undefined): Verdict['outcome'] {
  if (report === undefined) return 'survives'
  return report.violations[0]?.includes('worker process ended') === true ? 'does not run' : 'caught'
}
