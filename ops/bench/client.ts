/**
 * Benchmarks of the SDK against any HDFS cluster. One JSON object per line, medians over the rounds:
 *
 *     node dist/ops/bench/client.js [hdfs://HOST:PORT] [--only NAME,NAME] [--rounds N] [--mib N] [--files N] [--calls N]
 *
 * `cpuSeconds` is this process's share; the daemons' is not in it. The files go to /benchmarks/client-PID, which is
 * deleted at the end.
 */
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { DfsClient } from '../../client/index.ts'

const mebibyte = 1024 * 1024
const smallFileBytes = 4096
const inFlight = 64

interface Options {
  readonly rounds: number
  readonly mib: number
  readonly files: number
  readonly calls: number
}

interface Bench {
  readonly unit: string
  /** One round; returns how much of `unit × seconds` was done. */
  run(client: DfsClient, directory: string, options: Options, round: number): Promise<number>
}

const source = Buffer.alloc(8 * mebibyte)
for (let offset = 0; offset < source.length; offset += 4) {
  source.writeUInt32LE(Math.imul(offset, 2654435761) >>> 0, offset)
}

const benches: Readonly<Record<string, Bench>> = {
  'write-sequential': {
    unit: 'MiB/s',
    async run(client, directory, { mib }) {
      await writeLarge(client, `${directory}/large`, mib)
      return mib
    },
  },
  'read-sequential': {
    unit: 'MiB/s',
    async run(client, directory, { mib }) {
      const path = `${directory}/large`
      if (!(await client.exists(path))) await writeLarge(client, path, mib)
      let bytes = 0
      for await (const chunk of client.createReadStream(path)) bytes += (chunk as Buffer).length
      return bytes / mebibyte
    },
  },
  'small-files-write-1': { unit: 'files/s', run: (...args) => writeSmall(1, ...args) },
  'small-files-write-8': { unit: 'files/s', run: (...args) => writeSmall(8, ...args) },
  'small-files-read-1': { unit: 'files/s', run: (...args) => readSmall(1, ...args) },
  'small-files-read-8': { unit: 'files/s', run: (...args) => readSmall(8, ...args) },
  'create-complete-64': {
    unit: 'files/s',
    async run(client, directory, { calls }, round) {
      const files = Math.ceil(calls / 10)
      const at = `${directory}/empty-${round}`
      await client.mkdir(at)
      await inParallel(inFlight, files, (index) => client.writeFile(`${at}/${index}`, ''))
      return files
    },
  },
  'get-file-info-64': {
    unit: 'calls/s',
    async run(client, directory, { calls }) {
      await inParallel(inFlight, calls, async () => {
        await client.stat(directory)
      })
      return calls
    },
  },
}

async function writeLarge(client: DfsClient, path: string, mib: number): Promise<void> {
  const stream = client.createWriteStream(path, { replication: 3, givesChunksAway: true })
  const chunkBytes = mebibyte
  for (let index = 0; index < mib; index += 1) {
    const start = (index * chunkBytes) % source.length
    if (stream.write(source.subarray(start, start + chunkBytes))) continue
    await once(stream, 'drain')
  }
  stream.end()
  await once(stream, 'close')
}

async function writeSmall(
  workers: number,
  ...[client, directory, { files }, round]: Parameters<Bench['run']>
): Promise<number> {
  const at = `${directory}/small-${workers}-${round}`
  await client.mkdir(at)
  const count = workers === 1 ? Math.ceil(files / 4) : files
  await inParallel(workers, count, (index) =>
    client.writeFile(`${at}/${index}`, source.subarray(index, index + smallFileBytes)),
  )
  return count
}

async function readSmall(
  workers: number,
  ...[client, directory, options, round]: Parameters<Bench['run']>
): Promise<number> {
  const at = `${directory}/read`
  if (!(await client.exists(at))) {
    await client.mkdir(at)
    await inParallel(8, 200, (index) =>
      client.writeFile(`${at}/${index}`, source.subarray(index, index + smallFileBytes)),
    )
  }
  const count = workers === 1 ? Math.ceil(options.files / 2) : options.files * 2
  await inParallel(workers, count, async (index) => {
    const content = await client.readFile(`${at}/${(index + round) % 200}`)
    if (content.length !== smallFileBytes) throw new Error(`short file of ${content.length} bytes`)
  })
  return count
}

/** Runs `action` for `0 … count - 1`, `workers` at a time. */
async function inParallel(
  workers: number,
  count: number,
  action: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) {
      const index = next
      next += 1
      await action(index)
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2
}

async function measure(
  name: string,
  bench: Bench,
  client: DfsClient,
  directory: string,
  options: Options,
): Promise<void> {
  const rates: number[] = []
  const cpu: number[] = []
  for (let round = 0; round < options.rounds; round += 1) {
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    const done = await bench.run(client, directory, options, round)
    rates.push(done / ((performance.now() - startedAt) / 1000))
    const { user, system } = process.cpuUsage(cpuBefore)
    cpu.push((user + system) / 1e6)
  }
  const line = {
    bench: name,
    unit: bench.unit,
    median: Math.round(median(rates)),
    rounds: rates.map(Math.round),
    cpuSeconds: Number(median(cpu).toFixed(2)),
    rssMiB: Math.round(process.memoryUsage().rss / mebibyte),
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      mib: { type: 'string', default: '1024' },
      files: { type: 'string', default: '1000' },
      calls: { type: 'string', default: '40000' },
    },
  })
  const options = {
    rounds: Number(values.rounds),
    mib: Number(values.mib),
    files: Number(values.files),
    calls: Number(values.calls),
  }
  const only = values.only?.split(',')
  const unknown = only?.filter((name) => !(name in benches)) ?? []
  if (unknown.length > 0) {
    throw new Error(
      `no bench "${unknown.join(', ')}"; there are ${Object.keys(benches).join(', ')}`,
    )
  }
  await using client = new DfsClient({ uri: positionals[0] })
  const directory = `/benchmarks/client-${process.pid}`
  await client.mkdir(directory, { recursive: true })
  try {
    for (const [name, bench] of Object.entries(benches)) {
      if (only !== undefined && !only.includes(name)) continue
      await measure(name, bench, client, directory, options)
    }
  } finally {
    await client.rm(directory, { recursive: true, force: true })
  }
}

await main()
