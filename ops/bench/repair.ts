/**
 * `npm run bench:repair`: how fast a cluster of real processes on this machine notices a lost datanode and makes its
 * blocks safe again, one JSON object a line with what was asked beside what was reached:
 *
 *     unused-after-crash   from kill -9 until the last new block was given to the dead datanode
 *     single-replicas      100 blocks of 1 MiB left with one replica: from detection until all have two again
 *     copy-speed           200 blocks of 8 MiB copied, against a plain synced write of as many bytes in the same run
 *     foreground           the same, while somebody reads and writes 4 KiB: p99 without the repair and during it
 *     half-partition       half of the datanodes stopped for 30 s: copies made because of it
 *
 * `--before DIR --after DIR` measures two builds in turns, `--rounds N` gives medians, `--only NAME,NAME` chooses.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { DfsClient } from '../../client/index.ts'
import { BenchCluster } from './bench-cluster.ts'
import { type Build, buildsOf } from './builds.ts'
import { medianOf, percentileOf, report, rounded } from './figures.ts'

const mebibyte = 1024 * 1024
const content = Buffer.alloc(8 * mebibyte, 'how fast is it safe again? ')
const smallBytes = 4096
/** Time between two operations of the foreground. */
const foregroundPauseMs = 5
/** How long the foreground is measured without a repair. */
const calmMs = 8000

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

type Figures = Readonly<Record<string, number>>

/** One measurement of one build: figures by name. */
type Measure = (build: Build) => Promise<Figures>

async function unusedAfterCrash({ entry }: Build): Promise<Figures> {
  const cluster = await BenchCluster.start(entry, [])
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
    return { last_used_s: lastUsedMs / 1000, writes }
  } finally {
    await cluster.stop()
  }
}

const repairSettings = [
  'dfs.namenode.dead.datanode.interval=5000',
  'dfs.namenode.stale.datanode.interval=2000',
  'dfs.namenode.mass-failure.percent=100',
  'dfs.namenode.balance.enabled=false',
]

/** Two datanodes that hold everything, two that wait; then one of the first two is killed. */
async function repairRun(
  { entry }: Build,
  { files, bytes, isUsed }: { files: number; bytes: number; isUsed: boolean },
): Promise<Figures> {
  const cluster = await BenchCluster.start(entry, repairSettings)
  try {
    await cluster.add('dn1')
    await cluster.add('dn2')
    const { client } = cluster
    await writeFiles(client, files, bytes)
    for (const name of ['dn3', 'dn4']) await cluster.add(name)
    const user = new Foreground(client, files, bytes)
    const calm = isUsed ? await user.use(sleep(calmMs)) : noLatencies
    const killedMs = performance.now()
    cluster.signal('dn1', 'SIGKILL')
    const detectedMs = await cluster.detected(1)
    const repairing = cluster.safe()
    const busy = isUsed ? await user.use(repairing) : noLatencies
    const seconds = ((await repairing) - detectedMs) / 1000
    const noticed_s = (detectedMs - killedMs) / 1000
    const mib_per_s = (files * bytes) / mebibyte / seconds
    const raw_mib_per_s = await rawWriteSpeed(files * bytes)
    const speed = {
      seconds,
      noticed_s,
      mib_per_s,
      raw_mib_per_s,
      speed_ratio: mib_per_s / raw_mib_per_s,
    }
    return isUsed
      ? { ...speed, ...compared('read', calm, busy), ...compared('write', calm, busy) }
      : speed
  } finally {
    await cluster.stop()
  }
}

/** Latencies of the foreground, in milliseconds. */
interface Latencies {
  readonly read: number[]
  readonly write: number[]
}

const noLatencies: Latencies = { read: [], write: [] }

/** p50 and p99 without a repair and during it, and how much worse the latter is. */
function compared(
  what: keyof Latencies,
  { [what]: calm }: Latencies,
  { [what]: busy }: Latencies,
): Figures {
  const [before, during] = [percentileOf(calm, 0.99), percentileOf(busy, 0.99)]
  return {
    [`${what}s_during`]: busy.length,
    [`${what}_p50_calm_ms`]: medianOf(calm),
    [`${what}_p50_ms`]: medianOf(busy),
    [`${what}_p99_calm_ms`]: before,
    [`${what}_p99_ms`]: during,
    [`${what}_p99_ratio`]: during / before,
  }
}

/** Somebody who reads and writes 4 KiB at a steady pace, one after the other. */
class Foreground {
  readonly #client: DfsClient
  readonly #files: number
  readonly #bytes: number
  #turn = 0

  constructor(client: DfsClient, files: number, bytes: number) {
    this.#client = client
    this.#files = files
    this.#bytes = bytes
  }

  /** Goes on until `end` resolves. */
  async use(end: Promise<unknown>): Promise<Latencies> {
    let isOver = false
    const stop = end.then(() => {
      isOver = true
    })
    const latencies: Latencies = { read: [], write: [] }
    const goesOn = (): boolean => !isOver
    while (goesOn()) {
      this.#turn += 1
      latencies.read.push(await timed(() => this.#read(this.#turn)))
      await sleep(foregroundPauseMs)
      latencies.write.push(await timed(() => this.#write(this.#turn)))
      await sleep(foregroundPauseMs)
    }
    await stop
    return latencies
  }

  async #read(turn: number): Promise<void> {
    const start = (turn * smallBytes) % this.#bytes
    const read = await this.#client.readFile(`/bench/${turn % this.#files}`, {
      start,
      end: start + smallBytes - 1,
    })
    if (read.length !== smallBytes) throw new Error(`a read of ${read.length} bytes`)
  }

  async #write(turn: number): Promise<void> {
    await this.#client.writeFile(`/bench/small${turn}`, content.subarray(0, smallBytes), {
      replication: 2,
    })
  }
}

async function timed(action: () => Promise<void>): Promise<number> {
  const startedMs = performance.now()
  await action()
  return performance.now() - startedMs
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

async function halfPartition({ entry }: Build): Promise<Figures> {
  const cluster = await BenchCluster.start(entry, ['dfs.namenode.balance.enabled=false'])
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
    return { copies: Math.max(0, during - before, after - before), replicas: before }
  } finally {
    await cluster.stop()
  }
}

const measurements: Readonly<
  Record<string, { readonly measure: Measure; readonly asked: Figures }>
> = {
  'unused-after-crash': { measure: unusedAfterCrash, asked: { last_used_s: 2 } },
  'single-replicas': {
    measure: (build) => repairRun(build, { files: 100, bytes: mebibyte, isUsed: false }),
    asked: { seconds: 10 },
  },
  'copy-speed': {
    measure: (build) => repairRun(build, { files: 200, bytes: 8 * mebibyte, isUsed: false }),
    asked: { speed_ratio: 0.5 },
  },
  foreground: {
    measure: (build) => repairRun(build, { files: 200, bytes: 8 * mebibyte, isUsed: true }),
    asked: { read_p99_ratio: 2, write_p99_ratio: 2, speed_ratio: 0.5 },
  },
  'half-partition': { measure: halfPartition, asked: { copies: 0 } },
}

/** Medians over the rounds, figure by figure. */
function medians(runs: readonly Figures[]): Figures {
  const names = Object.keys(runs[0] ?? {})
  const middle = (name: string): number => medianOf(runs.flatMap((run) => run[name] ?? []))
  return Object.fromEntries(names.map((name) => [name, rounded(middle(name))]))
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      before: { type: 'string' },
      after: { type: 'string' },
    },
  })
  const builds = buildsOf(values)
  for (const [op, { measure, asked }] of Object.entries(measurements)) {
    if (values.only !== undefined && !values.only.split(',').includes(op)) continue
    const runs = new Map<Build, Figures[]>(builds.map((build) => [build, []]))
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const build of builds) runs.get(build)?.push(await measure(build))
    }
    for (const [{ name }, figures] of runs) {
      report({ op, build: name, rounds: figures.length, asked, ...medians(figures) })
    }
  }
  process.exit(0)
}

await main()
