/**
 * `npm run bench:repair`: how fast a cluster of real processes on this machine notices a lost datanode and makes its
 * blocks safe again, one JSON object a line with what was asked beside what was reached:
 *
 *     unused-after-crash   from kill -9 until the last new block was given to the dead datanode
 *     single-replicas      100 blocks of 1 MiB left with one replica: from detection until all have two again
 *     copy-speed           200 blocks of 8 MiB copied, against a plain synced write of as many bytes in the same run
 *     foreground           p99 of small reads before and during that repair
 *     half-partition       half of the datanodes stopped for 30 s: copies made because of it
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { DfsClient } from '../../client/index.ts'
import { pickFreePort } from '../cluster/processes.ts'
import { startDaemon, until } from '../demo/steps.ts'

const here = dirname(fileURLToPath(import.meta.url))
const bundled = join(here, '../../bin/dfs.js')
const entry = existsSync(bundled) ? bundled : join(here, '../../client/cli/main.js')
const mebibyte = 1024 * 1024
const patienceMs = 180_000
const content = Buffer.alloc(8 * mebibyte, 'how fast is it safe again? ')

function report(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}

/** A cluster whose datanodes come and go as a measurement needs it. */
class BenchCluster {
  readonly client: DfsClient
  readonly #directory: string
  readonly #port: number
  readonly #settings: readonly string[]
  readonly #datanodes = new Map<string, ChildProcess>()
  #namenode: ChildProcess | undefined

  private constructor(directory: string, port: number, settings: readonly string[]) {
    this.#directory = directory
    this.#port = port
    this.#settings = settings.flatMap((setting) => ['--set', setting])
    this.client = new DfsClient({ uri: `hdfs://127.0.0.1:${port}` })
  }

  static async start(settings: readonly string[]): Promise<BenchCluster> {
    const directory = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'trefoil-repair-'))
    const [port, httpPort] = [await pickFreePort('127.0.0.1'), await pickFreePort('127.0.0.1')]
    const cluster = new BenchCluster(directory, port, settings)
    cluster.#namenode = startDaemon(entry, [
      ...['namenode', '--dir', join(directory, 'namenode')],
      ...['--set', `dfs.namenode.rpc-port=${port}`, '--set', `dfs.namenode.http-port=${httpPort}`],
      ...cluster.#settings,
    ])
    return cluster
  }

  /** Starts a datanode and returns its `ip:port` once it is live. */
  async add(name: string): Promise<string> {
    const before = new Set((await this.#live()).map(({ uuid }) => uuid))
    const child = startDaemon(entry, [
      ...['datanode', '--dir', join(this.#directory, name)],
      ...['--namenode', `127.0.0.1:${this.#port}`, ...this.#settings],
    ])
    this.#datanodes.set(name, child)
    const node = await until(`datanode ${name} registers`, patienceMs, async () =>
      (await this.#live()).find(({ uuid }) => !before.has(uuid)),
    )
    return `${node.ipAddress}:${node.transferPort}`
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.#datanodes.get(name)?.kill(signal)
  }

  /** Resolves with the time at which the namenode has taken so many datanodes for dead. */
  async detected(count: number): Promise<number> {
    return await until('the loss is detected', patienceMs, async () => {
      const dead = await this.client.datanodes('dead')
      return dead.length >= count ? performance.now() : undefined
    })
  }

  /** Resolves when no block has fewer replicas than it should. */
  async safe(): Promise<number> {
    return await until('every block is safe again', patienceMs, async () => {
      const { lowRedundancy, missing } = await this.client.blockStats()
      return lowRedundancy + missing === 0 ? performance.now() : undefined
    })
  }

  /** Replicas on all datanodes together. */
  async replicas(): Promise<number> {
    return (await this.client.datanodes('all')).reduce((sum, { blocks }) => sum + blocks, 0)
  }

  async stop(): Promise<void> {
    await this.client.close()
    for (const child of [...this.#datanodes.values(), this.#namenode]) child?.kill('SIGKILL')
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }

  async #live(): ReturnType<DfsClient['datanodes']> {
    return await until('the namenode answers', patienceMs, () => this.client.datanodes('live'))
  }
}

async function writeFiles(client: DfsClient, count: number, bytes: number): Promise<void> {
  await client.mkdir('/bench', { recursive: true })
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const data = content.subarray(0, bytes)
      await client.writeFile(`/bench/${index}`, data, { replication: 2 })
    }
  }
  await Promise.all([worker(), worker(), worker(), worker()])
}

async function unusedAfterCrash(): Promise<void> {
  const cluster = await BenchCluster.start([])
  try {
    const victim = await cluster.add('dn1')
    for (const name of ['dn2', 'dn3', 'dn4']) await cluster.add(name)
    const { client } = cluster
    await client.writeFile('/warm', 'x')
    cluster.signal('dn1', 'SIGKILL')
    const killedMs = performance.now()
    let lastUsedMs = 0
    let writes = 0
    for (let index = 0; performance.now() - killedMs < 5000; index += 1) {
      const stream = client.createWriteStream(`/probe${index}`, { replication: 3 })
      stream.write('x')
      const startedMs = performance.now()
      await new Promise((resolve, reject) => {
        stream.once('error', reject)
        stream.end(resolve)
      })
      writes += 1
      const [block] = await client.blockLocations(`/probe${index}`)
      const isUsed = block?.datanodes.some(({ address }) => address === victim) === true
      if (isUsed) lastUsedMs = startedMs - killedMs
    }
    report({ op: 'unused-after-crash', asked_s: 2, reached_s: lastUsedMs / 1000, writes })
  } finally {
    await cluster.stop()
  }
}

/** Kills one of two datanodes that hold everything, with others waiting to take its place. */
async function repairRun(files: number, bytes: number): Promise<void> {
  const cluster = await BenchCluster.start([
    'dfs.namenode.dead.datanode.interval=5000',
    'dfs.namenode.stale.datanode.interval=2000',
    'dfs.namenode.mass-failure.percent=100',
    'dfs.namenode.balance.enabled=false',
  ])
  try {
    await cluster.add('dn1')
    await cluster.add('dn2')
    await writeFiles(cluster.client, files, bytes)
    for (const name of ['dn3', 'dn4']) await cluster.add(name)
    const isLarge = bytes > mebibyte
    const before = isLarge ? await readLatencies(cluster.client, files, 5000) : []
    const killedMs = performance.now()
    cluster.signal('dn1', 'SIGKILL')
    const detectedMs = await cluster.detected(1)
    const repairing = cluster.safe()
    const during = isLarge ? await readLatencies(cluster.client, files, repairing) : []
    const seconds = ((await repairing) - detectedMs) / 1000
    const noticed_s = (detectedMs - killedMs) / 1000
    if (!isLarge) {
      report({ op: 'single-replicas', blocks: files, asked_s: 10, reached_s: seconds, noticed_s })
      return
    }
    const mibPerSecond = (files * bytes) / mebibyte / seconds
    const raw = await rawWriteSpeed(files * bytes)
    report({
      op: 'copy-speed',
      ...{
        blocks: files,
        seconds,
        mib_per_s: Math.round(mibPerSecond),
        raw_mib_per_s: Math.round(raw),
      },
      ...{ asked_ratio: 0.5, reached_ratio: Number((mibPerSecond / raw).toFixed(2)) },
    })
    const [calm, busy] = [percentile99(before), percentile99(during)]
    report({
      op: 'foreground',
      ...{ reads_before: before.length, reads_during: during.length },
      ...{ p99_before_ms: calm, p99_during_ms: busy },
      ...{ asked_ratio: 2, reached_ratio: Number((busy / calm).toFixed(2)) },
    })
  } finally {
    await cluster.stop()
  }
}

/** Latencies of 4 KiB reads at a steady pace, for so long or until `end` resolves; milliseconds. */
async function readLatencies(
  client: DfsClient,
  files: number,
  end: number | Promise<unknown>,
): Promise<number[]> {
  const ended = { isOver: false }
  const waiting = typeof end === 'number' ? sleep(end) : end
  const stop = waiting.then(() => {
    ended.isOver = true
  })
  const latencies: number[] = []
  for (let index = 0; !ended.isOver; index += 1) {
    const startedMs = performance.now()
    const start = (index * 4096) % (4 * mebibyte)
    await client.readFile(`/bench/${index % files}`, { start, end: start + 4095 })
    latencies.push(performance.now() - startedMs)
    await sleep(5)
  }
  await stop
  return latencies
}

function percentile99(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return Number((sorted[Math.floor(sorted.length * 0.99)] ?? 0).toFixed(2))
}

/** MiB/s of writing so many bytes to one file and syncing it. */
async function rawWriteSpeed(bytes: number): Promise<number> {
  const directory = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'trefoil-raw-'))
  try {
    const startedMs = performance.now()
    const file = await open(join(directory, 'raw'), 'w')
    for (let written = 0; written < bytes; written += content.length) await file.write(content)
    await file.sync()
    await file.close()
    return bytes / mebibyte / ((performance.now() - startedMs) / 1000)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function halfPartition(): Promise<void> {
  const cluster = await BenchCluster.start(['dfs.namenode.balance.enabled=false'])
  try {
    const names = ['dn1', 'dn2', 'dn3', 'dn4']
    for (const name of names) await cluster.add(name)
    await writeFiles(cluster.client, 100, mebibyte)
    await sleep(3000)
    const before = await cluster.replicas()
    for (const name of ['dn1', 'dn2']) cluster.signal(name, 'SIGSTOP')
    await sleep(30_000)
    const during = await cluster.replicas()
    for (const name of ['dn1', 'dn2']) cluster.signal(name, 'SIGCONT')
    await sleep(5000)
    await cluster.safe()
    const after = await cluster.replicas()
    const copies = Math.max(0, during - before, after - before)
    report({
      op: 'half-partition',
      seconds: 30,
      asked_copies: 0,
      reached_copies: copies,
      replicas: before,
    })
  } finally {
    await cluster.stop()
  }
}

const measurements: Readonly<Record<string, () => Promise<void>>> = {
  'unused-after-crash': unusedAfterCrash,
  'single-replicas': () => repairRun(100, mebibyte),
  'copy-speed': () => repairRun(200, 8 * mebibyte),
  'half-partition': halfPartition,
}

const { values } = parseArgs({ options: { only: { type: 'string' } } })
for (const [name, measure] of Object.entries(measurements)) {
  if (values.only === undefined || values.only.split(',').includes(name)) await measure()
}
process.exit(0)
