/**
 * What a change of the write path is worth: two builds with a cluster each (three datanodes, three replicas), measured in turns by
 * their own SDK (ops/bench/client.ts), one JSON object a line with the medians and how `after` compares with `before`:
 *
 *     npm run bench:write -- --before DIR --after DIR [--rounds N] [--only NAME,NAME] [--mib N] [--files N]
 *
 * `cpu_s` is what namenode, datanodes and client used in a round, in this order. The names are those of ops/bench/client.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BenchCluster } from './bench-cluster.ts'
import { type Build, buildsOf } from './builds.ts'
import { medianOf, report, rounded } from './figures.ts'

const datanodes = ['dn1', 'dn2', 'dn3']
const defaultBenches = 'write-sequential,small-files-write-1,small-files-write-8,read-sequential'
const ticksPerSecond = 100

interface Run {
  readonly rate: number
  readonly unit: string
  readonly cpu: readonly [namenode: number, datanodes: number, client: number]
}

/** A build's cluster and what it did in each round. */
interface Contender {
  readonly build: Build
  readonly cluster: BenchCluster
  readonly runs: Map<string, Run[]>
}

/** CPU seconds a process has used. */
function cpuSeconds(pid: number | undefined): number {
  if (pid === undefined) return 0
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

async function start(build: Build): Promise<Contender> {
  const cluster = await BenchCluster.start(build.entry, [])
  for (const name of datanodes) await cluster.add(name)
  return { build, cluster, runs: new Map() }
}

/** One round of one benchmark by the SDK of the build, in a process of its own. */
async function run(
  { build, cluster }: Contender,
  bench: string,
  sizes: readonly string[],
): Promise<Run> {
  const before = daemonsCpu(cluster)
  const script = join(build.root, 'ops/bench/client.js')
  const args = [script, cluster.uri, '--only', bench, '--rounds', '1', ...sizes]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const output: Buffer[] = []
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes))
  const [status] = (await once(child, 'close')) as [number | null]
  if (status !== 0) throw new Error(`${bench} of the build "${build.name}" ended with ${status}`)
  const line: unknown = JSON.parse(Buffer.concat(output).toString('utf8'))
  if (!isClientLine(line)) throw new Error(`${script} printed something else than a figure`)
  const after = daemonsCpu(cluster)
  return {
    rate: line.median,
    unit: line.unit,
    cpu: [after[0] - before[0], after[1] - before[1], line.cpuSeconds],
  }
}

function daemonsCpu(cluster: BenchCluster): [namenode: number, datanodes: number] {
  const all = datanodes.map((name) => cpuSeconds(cluster.pidOf(name)))
  return [cpuSeconds(cluster.namenodePid), all.reduce((sum, seconds) => sum + seconds, 0)]
}

interface ClientLine {
  readonly median: number
  readonly unit: string
  readonly cpuSeconds: number
}

function isClientLine(line: unknown): line is ClientLine {
  return typeof line === 'object' && line !== null && 'median' in line && 'cpuSeconds' in line
}

function summarize(bench: string, contenders: readonly Contender[]): void {
  const rates: number[] = []
  for (const { build, runs } of contenders) {
    const all = runs.get(bench) ?? []
    const median = medianOf(all.map(({ rate }) => rate))
    rates.push(median)
    report({
      op: bench,
      build: build.name,
      unit: all[0]?.unit,
      median: rounded(median, 1),
      rounds: all.map(({ rate }) => rate),
      cpu_s: [0, 1, 2].map((part) => rounded(medianOf(all.map(({ cpu }) => cpu[part] ?? 0)))),
    })
  }
  const [before, after] = rates
  if (before === undefined || after === undefined) return
  report({ op: bench, after_to_before: rounded(after / before) })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      before: { type: 'string' },
      after: { type: 'string' },
      only: { type: 'string', default: defaultBenches },
      rounds: { type: 'string', default: '5' },
      mib: { type: 'string', default: '1024' },
      files: { type: 'string', default: '1000' },
    },
  })
  const sizes = ['--mib', values.mib, '--files', values.files]
  const contenders: Contender[] = []
  try {
    for (const build of buildsOf(values)) contenders.push(await start(build))
    for (const bench of values.only.split(',')) {
      for (let round = 0; round < Number(values.rounds); round += 1) {
        // Whoever is second finds the machine as the first one left it: they change places.
        const order = round % 2 === 0 ? contenders : contenders.toReversed()
        for (const contender of order) {
          const runs = contender.runs.get(bench) ?? []
          contender.runs.set(bench, [...runs, await run(contender, bench, sizes)])
        }
      }
      summarize(bench, contenders)
    }
  } finally {
    for (const { cluster } of contenders) await cluster.stop()
  }
  process.exit(0)
}

await main()
