/**
 * `npm run bench`: figures of a whole cluster on this machine, one JSON object a line: start-up, cold command,
 * memory of every daemon idle and after the load, the client's figures (ops/bench/client.ts), namenode restart.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DfsClient } from '../../client/index.ts'
import { pickFreePort } from '../cluster/processes.ts'
import { dfs, killByPidFile, startDaemon } from '../demo/steps.ts'

const here = dirname(fileURLToPath(import.meta.url))
const bundled = join(here, '../../bin/dfs.js')
const entry = existsSync(bundled) ? bundled : join(here, '../../client/cli/main.js')
const coldRuns = 15

function report(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Resident memory of a process in MiB. */
function residentMib(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Math.round(Number(match?.[1] ?? 0) / 1024)
}

function reportMemory(directory: string, when: string): void {
  for (const daemon of ['namenode', 'datanode-1', 'datanode-2', 'datanode-3']) {
    const pid = Number(readFileSync(join(directory, 'run', `${daemon}.pid`), 'utf8'))
    report({ op: 'rss', daemon, when, mib: residentMib(pid) })
  }
}

async function coldListing(uri: string): Promise<void> {
  const runs: number[] = []
  for (let run = 0; run < coldRuns; run += 1) {
    const startedMs = performance.now()
    await dfs(entry, ['ls', '--fs', uri, '/'])
    runs.push(performance.now() - startedMs)
  }
  report({
    op: 'cold-ls',
    runs: coldRuns,
    median_ms: Math.round(medianOf(runs)),
    min_ms: Math.round(Math.min(...runs)),
  })
}

/** Runs the client's benchmark in its own process and passes its lines through. */
async function clientFigures(uri: string): Promise<void> {
  const child = spawn(process.execPath, [join(here, 'client.js'), uri], { stdio: 'inherit' })
  const status = await new Promise((resolve) => child.once('exit', resolve))
  if (status !== 0) throw new Error(`ops/bench/client ended with ${String(status)}`)
}

async function namenodeRestart(directory: string, port: number, httpPort: number): Promise<void> {
  const client = new DfsClient({ uri: `hdfs://127.0.0.1:${port}` })
  await client.writeFile('/restart', 'x')
  const { fileCount } = await client.contentSummary('/')
  killByPidFile(directory, 'namenode')
  const startedMs = performance.now()
  startDaemon(entry, [
    ...['namenode', '--dir', join(directory, 'namenode')],
    ...['--set', `dfs.namenode.rpc-port=${port}`, '--set', `dfs.namenode.http-port=${httpPort}`],
  ])
  await client.stat('/restart')
  const answerMs = performance.now() - startedMs
  await client.readFile('/restart')
  const readMs = performance.now() - startedMs
  await client.writeFile('/restart', 'y')
  const writeMs = performance.now() - startedMs
  report({
    op: 'namenode-restart',
    files: fileCount,
    first_answer_ms: answerMs,
    first_read_ms: readMs,
    first_write_ms: writeMs,
  })
  await client.close()
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'trefoil-bench-'))
  const [port, httpPort] = [await pickFreePort('127.0.0.1'), await pickFreePort('127.0.0.1')]
  const uri = `hdfs://127.0.0.1:${port}`
  try {
    const startedMs = performance.now()
    const ports = [
      ...['--namenode-port', String(port), '--http-port', String(httpPort)],
      ...['--gateway-port', '0'],
    ]
    await dfs(entry, ['up', '--dir', directory, '--no-restart', '--detach', ...ports])
    const upMs = performance.now() - startedMs
    const client = new DfsClient({ uri })
    await client.writeFile('/first', 'first')
    report({
      op: 'start',
      up_ms: Math.round(upMs),
      first_write_ms: Math.round(performance.now() - startedMs),
    })
    await client.close()
    reportMemory(directory, 'idle')
    await coldListing(uri)
    await clientFigures(uri)
    reportMemory(directory, 'after the load')
    await namenodeRestart(directory, port, httpPort)
  } finally {
    await dfs(entry, ['down', '--dir', directory]).catch(() => undefined)
    rmSync(directory, { recursive: true, force: true })
  }
}

await main()
process.exit(0)
