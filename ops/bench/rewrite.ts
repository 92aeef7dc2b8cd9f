/**
 * Changes in the middle of a file, in one run against what there was before: the whole file written anew and renamed over the old one. One JSON
 * object per line, medians over the rounds:
 *
 *     npm run bench:rewrite -- [hdfs://HOST:PORT] [--mib N] [--changes N] [--rounds N]
 *
 * Without an address it runs on a cluster of its own, of three datanodes, so that every change is made on three replicas.
 * Every change of 4 KiB at a place by chance is durable on every replica before the next one begins; in `batch` 256 of them are. A
 * file of `--mib` is used for all of a round, so that the first change of each of its blocks is in the figures.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Prng } from '../../base/prng.ts'
import { DfsClient } from '../../client/index.ts'
import { BenchCluster } from './bench-cluster.ts'

const mebibyte = 1024 * 1024
const changeBytes = 4096
const batchChanges = 256
const datanodes = ['dn1', 'dn2', 'dn3']

const here = dirname(fileURLToPath(import.meta.url))
const bundled = join(here, '../../bin/dfs.js')
const entry = existsSync(bundled) ? bundled : join(here, '../../client/cli/main.js')

interface Options {
  readonly mib: number
  readonly changes: number
}

type Bench = (client: DfsClient, path: string, options: Options, prng: Prng) => Promise<number>

const bytes = Buffer.alloc(mebibyte, 'trefoil ')

/** Places for changes, in order and without overlap. */
function places({ mib }: Options, count: number, prng: Prng): number[] {
  const pages = (mib * mebibyte) / changeBytes
  const chosen = new Set<number>()
  while (chosen.size < Math.min(count, pages)) chosen.add(prng.below(pages) * changeBytes)
  return [...chosen].sort((left, right) => left - right)
}

async function change(
  client: DfsClient,
  path: string,
  options: Options,
  starts: readonly number[],
): Promise<void> {
  await client.rewrite(path, {
    length: options.mib * mebibyte,
    changed: starts.map((start) => ({ start, end: start + changeBytes })),
    async *content(start, end) {
      yield await Promise.resolve(bytes.subarray(0, end - start))
    },
  })
}

const benches: Readonly<Record<string, Bench>> = {
  async rewrite(client, path, options, prng) {
    for (let done = 0; done < options.changes; done += 1) {
      await change(client, path, options, places(options, 1, prng))
    }
    return options.changes
  },
  async batch(client, path, options, prng) {
    for (let done = 0; done < options.changes; done += batchChanges) {
      await change(client, path, options, places(options, batchChanges, prng))
    }
    return Math.ceil(options.changes / batchChanges) * batchChanges
  },
  async replace(client, path, options) {
    const count = Math.max(1, Math.floor(options.changes / 50))
    for (let done = 0; done < count; done += 1) {
      await writeFile(client, `${path}.new`, options)
      await client.rename(`${path}.new`, path, { overwrite: true })
    }
    return count
  },
}

async function writeFile(client: DfsClient, path: string, { mib }: Options): Promise<void> {
  const pieces = Array.from({ length: mib }, () => bytes)
  await client.writeFile(path, pieces, { replication: 3 })
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

async function measure(
  client: DfsClient,
  options: Options,
  rounds: number,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const directory = `/benchmarks/rewrite-${process.pid}`
  await client.mkdir(directory, { recursive: true })
  const speeds = new Map<string, number[]>()
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, bench] of Object.entries(benches)) {
      const path = `${directory}/${name}-${round}`
      await writeFile(client, path, options)
      const startedAt = performance.now()
      const count = await bench(client, path, options, new Prng(round))
      const seconds = (performance.now() - startedAt) / 1000
      speeds.set(name, [...(speeds.get(name) ?? []), count / seconds])
      await client.rm(path)
    }
  }
  await client.rm(directory, { recursive: true })
  return speeds
}

/** Runs `action` on the cluster at `uri`, or on one that is there only meanwhile. */
async function withClient<T>(
  uri: string | undefined,
  action: (client: DfsClient) => Promise<T>,
): Promise<T> {
  if (uri !== undefined) {
    await using client = new DfsClient({ uri })
    return await action(client)
  }
  const cluster = await BenchCluster.start(entry, [])
  try {
    for (const name of datanodes) await cluster.add(name)
    return await action(cluster.client)
  } finally {
    await cluster.stop()
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      mib: { type: 'string', default: '64' },
      changes: { type: 'string', default: '256' },
      rounds: { type: 'string', default: '3' },
    },
  })
  const options = { mib: Number(values.mib), changes: Number(values.changes) }
  const speeds = await withClient(positionals[0], (client) =>
    measure(client, options, Number(values.rounds)),
  )
  for (const [name, found] of speeds) {
    const result = { bench: name, unit: 'changes/s', ...options, rounds: found.length }
    process.stdout.write(
      `${JSON.stringify({ ...result, median: Number(median(found).toFixed(1)) })}\n`,
    )
  }
}

await main()
