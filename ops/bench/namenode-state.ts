/**
 * `npm run bench:state -- [FILES [ENTRY]]`: what a namenode's state costs at FILES files (default a million) of
 * one block each, one JSON object a line: start after kill -9 with an unfolded tail, a full backup of the running
 * namenode with the latency of calls beside it, an incremental one, and a restore. ENTRY is the compiled
 * `dfs` to measure, by default this one.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DfsClient } from '../../client/index.ts'
import { Connection } from '../../namenode/shell/sqlite-connection.ts'
import { restore } from '../backup/restore.ts'
import { backUp } from '../backup/run.ts'
import { onlineSource } from '../backup/source.ts'
import { pickFreePort } from '../cluster/processes.ts'
import { startDaemon } from '../demo/steps.ts'

const here = dirname(fileURLToPath(import.meta.url))
const fileCount = Number(process.argv[2] ?? 1_000_000)
const entry = process.argv[3] ?? join(here, '../../client/cli/main.js')
const filesPerDirectory = 1000
const firstInode = 100_000
const firstBlock = 1_073_741_825
const tailCount = 20_000
const restarts = 3

function report(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}

/** Directories /d0, /d1, … of files f0, f1, …, by statements that SQLite runs alone. */
function fillStatements(): string {
  const directories = Math.ceil(fileCount / filesPerDirectory)
  const firstFile = firstInode + directories
  const columns = `id, kind, parent, name, owner, "group", mode, mtime, atime, nlink, child_count, replication,
    block_size, length`
  const numbers = (count: number): string =>
    `WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < ${count})`
  const parent = `${firstInode} + n / ${filesPerDirectory}`
  const name = `'f' || (n % ${filesPerDirectory})`
  return `BEGIN;
    ${numbers(directories)} INSERT INTO inode (${columns}) SELECT ${firstInode} + n, 2, 16385, 'd' || n,
      'root', 'supergroup', 493, 1700000000000, 0, 1, ${filesPerDirectory}, 0, 0, 0 FROM n;
    ${numbers(directories)} INSERT INTO entry SELECT 16385, 'd' || n, ${firstInode} + n FROM n;
    ${numbers(fileCount)} INSERT INTO inode (${columns}) SELECT ${firstFile} + n, 1, ${parent}, ${name},
      'root', 'supergroup', 420, 1700000000000, 1700000000000, 1, 0, 3, 134217728, 1000 FROM n;
    ${numbers(fileCount)} INSERT INTO entry SELECT ${parent}, ${name}, ${firstFile} + n FROM n;
    ${numbers(fileCount)} INSERT INTO block (inode, idx, id, generation_stamp, length, state)
      SELECT ${firstFile} + n, 0, ${firstBlock} + n, 1001 + n, 1000, 4 FROM n;
    UPDATE inode SET child_count = ${directories} WHERE id = 16385;
    UPDATE meta SET value = ${firstFile + fileCount} WHERE key = 'nextInodeId';
    UPDATE meta SET value = ${firstBlock + fileCount} WHERE key = 'nextBlockId';
    UPDATE meta SET value = ${1001 + fileCount} WHERE key = 'nextGenerationStamp';
    UPDATE meta SET value = ${fileCount} WHERE key IN ('files', 'blocks');
    UPDATE meta SET value = ${directories + 1} WHERE key = 'directories';
    COMMIT`
}

/** One namenode's directory and the process that serves it. */
class Bench {
  readonly directory = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'trefoil-bench-'))
  readonly namenode = join(this.directory, 'namenode')
  readonly #ports: { readonly rpc: number; readonly http: number }
  #daemon: ChildProcess | undefined

  constructor(ports: { readonly rpc: number; readonly http: number }) {
    this.#ports = ports
  }

  client(): DfsClient {
    return new DfsClient({
      uri: `hdfs://127.0.0.1:${this.#ports.rpc}`,
      retry: { firstDelayMs: 5, delayMsMax: 5 },
    })
  }

  /** Starts and measures until the first answers. */
  async start(): Promise<{ answerMs: number; writeMs: number }> {
    const startedMs = performance.now()
    const sets = {
      'dfs.namenode.rpc-port': this.#ports.rpc,
      'dfs.namenode.http-port': this.#ports.http,
      // No datanode reports these blocks; start-up safe mode would wait for them.
      'dfs.namenode.safemode.threshold-permille': 0,
    }
    const settings = Object.entries(sets).flatMap(([key, value]) => ['--set', `${key}=${value}`])
    this.#daemon = startDaemon(entry, ['namenode', '--dir', this.namenode, ...settings])
    const client = this.client()
    await client.stat('/')
    const answerMs = Math.round(performance.now() - startedMs)
    await client.mkdir('/written', { recursive: true })
    const writeMs = Math.round(performance.now() - startedMs)
    await client.close()
    return { answerMs, writeMs }
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const gone = new Promise((resolve) => this.#daemon?.once('exit', resolve))
    this.#daemon?.kill(signal)
    await gone
  }

  residentMib(): number {
    const text = readFileSync(`/proc/${this.#daemon?.pid ?? 'self'}/status`, 'utf8')
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024)
  }
}

async function fill(bench: Bench): Promise<void> {
  await bench.start()
  await bench.stop('SIGTERM')
  const startedMs = performance.now()
  const connection = await Connection.open(join(bench.namenode, 'namespace.sqlite'))
  await connection.exec('PRAGMA synchronous = OFF')
  await connection.exec(fillStatements())
  await connection.close()
  const bytes = statSync(join(bench.namenode, 'namespace.sqlite')).size
  const fillMs = Math.round(performance.now() - startedMs)
  report({ op: 'fill', files: fileCount, databaseBytes: bytes, fillMs })
}

/** Directories that the kill finds in the journal only, for the most part. */
async function makeTail(client: DfsClient, round: number): Promise<void> {
  await client.mkdir(`/tail-${round}`)
  let next = 0
  const work = async (): Promise<void> => {
    while (next < tailCount) await client.mkdir(`/tail-${round}/${next++}`)
  }
  await Promise.all(Array.from({ length: 64 }, work))
}

async function measureRestarts(bench: Bench): Promise<void> {
  for (let round = 0; round < restarts; round += 1) {
    const client = bench.client()
    await makeTail(client, round)
    await client.close()
    await bench.stop('SIGKILL')
    const figures = await bench.start()
    await sleep(500)
    report({ op: 'restart-after-kill', files: fileCount, ...figures, rssMib: bench.residentMib() })
  }
}

/** Milliseconds of calls, one after the other, until told to stop. */
async function latencies(client: DfsClient, signal: AbortSignal): Promise<number[]> {
  const found: number[] = []
  for (let index = 0; !signal.aborted; index += 1) {
    const startedMs = performance.now()
    const at = (index * 7919) % fileCount
    await client.stat(`/d${Math.floor(at / filesPerDirectory)}/f${at % filesPerDirectory}`)
    await client.utimes('/written', index, index)
    found.push(performance.now() - startedMs)
  }
  return found.sort((left, right) => left - right)
}

async function beside(name: string, bench: Bench, work: () => Promise<object>): Promise<void> {
  const client = bench.client()
  const controller = new AbortController()
  const measuring = latencies(client, controller.signal)
  const startedMs = performance.now()
  const figures = await work()
  const durationMs = Math.round(performance.now() - startedMs)
  controller.abort()
  const found = await measuring
  const at = (part: number): number =>
    Math.round((found[Math.floor(part * (found.length - 1))] ?? 0) * 100) / 100
  const calls = { calls: found.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
  report({ op: name, durationMs, ...calls, ...figures })
  await client.close()
}

async function measureBackup(bench: Bench): Promise<void> {
  const client = bench.client()
  const source = onlineSource(client.operator)
  const backup = join(bench.directory, 'backup')
  await beside('calls-alone', bench, () => sleep(3000, {}))
  await beside('backup-full', bench, () => backUp(source, backup, { isFull: true }))
  await beside('backup-incremental', bench, () => backUp(source, backup, { isFull: false }))
  await client.close()
  await bench.stop('SIGTERM')
  const startedMs = performance.now()
  const { files, txid } = await restore(backup, join(bench.directory, 'restored'), {
    kind: 'latest',
  })
  report({ op: 'restore', durationMs: Math.round(performance.now() - startedMs), files, txid })
}

const bench = new Bench({
  rpc: await pickFreePort('127.0.0.1'),
  http: await pickFreePort('127.0.0.1'),
})
try {
  await fill(bench)
  await bench.start()
  await measureRestarts(bench)
  if (process.argv[3] === undefined) await measureBackup(bench)
} finally {
  rmSync(bench.directory, { recursive: true, force: true })
}
process.exit(0)
