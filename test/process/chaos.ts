/**
 * `npm run chaos`: a cluster of real processes under faults drawn from a seed, and every acknowledged byte read back. The
 * last line is the summary; the exit code says whether everything held. See docs/CHAOS.md.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { repositoryRoot } from '../support/repository.ts'
import { canRun, HostResources, sweepDeadRuns } from './chaos/host.ts'
import { type ChaosOptions, chaosOptions, rootFaultKinds } from './chaos/options.ts'
import { type ChaosReport, ChaosRun } from './chaos/run.ts'

const rootTools = [
  ['ip', '-V'],
  ['tc', '-V'],
  ['iptables', '-V'],
  ['nsenter', '-V'],
  ['mkfs.ext4', '-V'],
  ['fallocate', '-V'],
] as const

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Leaves out what this machine does not let us do; says so, and in CI refuses to go on. */
function withoutImpossible(options: ChaosOptions): { options: ChaosOptions; skipped: string[] } {
  const missing = rootTools.filter(([tool, flag]) => !canRun(tool, flag)).map(([tool]) => tool)
  const reasons = [
    ...(process.getuid?.() === 0 ? [] : ['needs root']),
    ...(missing.length === 0 ? [] : [`needs ${missing.join(', ')}`]),
  ]
  if (reasons.length === 0) return { options, skipped: [] }
  const skipped = options.kinds
    .filter((kind) => rootFaultKinds.has(kind))
    .map((kind) => `${kind}: ${reasons.join(', ')}`)
  for (const line of skipped) print(`SKIPPED ${line}`)
  if (process.env['CI'] === 'true') throw new Error('CI must not skip any fault')
  const kinds = options.kinds.filter((kind) => !rootFaultKinds.has(kind))
  if (kinds.length === 0) throw new Error('no kind of fault is left')
  return { options: { ...options, kinds, disks: 'plain' }, skipped }
}

function summary({
  acknowledged,
  faults,
  refused,
  lost,
  corrupt,
  problems,
  seed,
}: ChaosReport): string {
  const kinds = Object.entries(faults).map(([kind, count]) => `${count} ${kind}`)
  const total = Object.values(faults).reduce((sum, count) => sum + count, 0)
  return (
    `chaos: ${acknowledged} files acknowledged, ${refused} refused, ${total} faults (${kinds.join(', ')}), ` +
    `${lost.length} lost, ${corrupt.length} corrupt, ${problems.length} problems (seed ${seed})`
  )
}

function writeReport(file: string, report: ChaosReport): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`)
}

async function main(): Promise<boolean> {
  const { options, skipped } = withoutImpossible(chaosOptions(process.argv.slice(2)))
  for (const directory of await sweepDeadRuns()) print(`took back what ${directory} had left`)
  const resources = new HostResources()
  print(
    `chaos: seed ${options.seed}, ${options.minutes} minutes, faults: ${options.kinds.join(', ')}`,
  )
  print(`directory: ${resources.directory}`)
  let keep = options.keep
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      print(`chaos: ${signal}, taking everything back`)
      void resources.release(keep).then(() => process.exit(130))
    })
  }
  let isPassed = false
  try {
    const report = await new ChaosRun(options, { resources, skipped, print }).run()
    isPassed = report.passed
    const file = options.report ?? join(repositoryRoot, 'dist/chaos-report.json')
    writeReport(file, report)
    print(`report: ${file}`)
    for (const { reason, count } of report.refusals) print(`refused ${count} times: ${reason}`)
    keep ||= !isPassed
    if (keep) print(`kept: ${resources.directory}`)
    print(summary(report))
  } catch (error) {
    keep = true
    print(`kept: ${resources.directory}`)
    print(
      `chaos: given up: ${error instanceof Error ? error.message : String(error)} (seed ${options.seed})`,
    )
  } finally {
    await resources.release(keep)
  }
  return isPassed
}

process.exit((await main()) ? 0 : 1)
