/**
 * Figures of the datanode's data path alone: three datanode processes on one machine, no namenode, one
 * pipeline; one JSON object a line. CPU seconds are those of one datanode, the first of the pipeline.
 *
 *     node dist/ops/bench/data-path.js [GiB per stream] [directory]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { currentDirectoryName, versionFileName } from '../../datanode/format/block-file.ts'
import { encodeVersionFile } from '../../datanode/format/version-file.ts'
import { datanodeUuid, storageUuid } from '../../protocol/ids.ts'
import {
  type BlockName,
  benchSource,
  type MeasuredDatanode,
  readBlock,
  type StreamShape,
  writeBlock,
} from './block-transfer.ts'

const here = dirname(fileURLToPath(import.meta.url))
const bundled = join(here, '../../bin/dfs.js')
const entry = existsSync(bundled) ? bundled : join(here, '../../client/cli/main.js')
const poolId = 'BP-1-127.0.0.1-1'
const nodes = 3
const rounds = 3
const smallWriters = 8
const smallBlocks = 2000
/** Threads for file operations, as the launcher gives a datanode. */
const fileThreads = '8'
const ticksPerSecond = 100

interface BenchDatanode extends MeasuredDatanode {
  readonly pid: number
}

const shapes: readonly StreamShape[] = [
  { packetBytes: 64_512, bytesPerChecksum: 512 },
  { packetBytes: 65_536, bytesPerChecksum: 512 },
  { packetBytes: 65_536, bytesPerChecksum: 4096 },
]

function report(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0
}

/** Starts a datanode on a directory that says it belongs to a cluster whose namenode is away. */
async function startDatanode(root: string, index: number): Promise<BenchDatanode> {
  const directory = join(root, `datanode-${index}`)
  mkdirSync(join(directory, currentDirectoryName), { recursive: true })
  const version = encodeVersionFile({
    storage: storageUuid(`DS-bench-${index}`),
    datanodeUuid: datanodeUuid(`bench-${index}`),
    clusterId: 'CID-bench',
    namespaceId: 1,
    blockPoolId: poolId,
  })
  writeFileSync(join(directory, currentDirectoryName, versionFileName), version)
  const args = ['datanode', '--dir', directory, '--namenode', '127.0.0.1:1', '--exit-with-parent']
  const child = spawn(process.execPath, [entry, ...args], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, UV_THREADPOOL_SIZE: fileThreads },
  })
  const [ready] = (await once(child, 'message')) as [{ addresses: { transfer?: string } }]
  const port = Number(ready.addresses.transfer?.split(':').at(-1))
  child.channel?.unref()
  child.unref()
  return { port, pid: child.pid ?? 0 }
}

/** CPU seconds a process has used. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** Runs `action` and returns its wall and CPU seconds. */
async function timed(
  { pid }: BenchDatanode,
  action: () => Promise<void>,
): Promise<{ seconds: number; cpu: number }> {
  const cpuBefore = cpuSeconds(pid)
  const startedMs = performance.now()
  await action()
  return { seconds: (performance.now() - startedMs) / 1000, cpu: cpuSeconds(pid) - cpuBefore }
}

let nextBlockId = 1_073_741_825

function newBlock(): BlockName {
  nextBlockId += 1
  return { poolId, blockId: nextBlockId, generationStamp: 1001 }
}

async function measureStreams(
  pipeline: readonly BenchDatanode[],
  first: BenchDatanode,
  gibibytes: number,
): Promise<void> {
  const bytes = gibibytes * 1024 ** 3
  for (const shape of shapes) {
    const writes: { seconds: number; cpu: number }[] = []
    let block = newBlock()
    for (let round = 0; round < rounds; round += 1) {
      block = newBlock()
      writes.push(await timed(first, () => writeBlock(pipeline, block, bytes, shape)))
    }
    report({ op: 'write', ...shape, ...summary(writes, gibibytes) })
    // The first read brings the block into the page cache.
    await readBlock(first, block, bytes)
    const reads: { seconds: number; cpu: number }[] = []
    for (let round = 0; round < rounds; round += 1) {
      reads.push(await timed(first, () => readBlock(first, block, bytes)))
    }
    report({ op: 'read-warm', ...shape, ...summary(reads, gibibytes) })
  }
}

function summary(
  runs: readonly { seconds: number; cpu: number }[],
  gibibytes: number,
): Record<string, number> {
  const seconds = medianOf(runs.map((run) => run.seconds))
  const cpu = medianOf(runs.map((run) => run.cpu))
  return {
    mib_per_s: Math.round((gibibytes * 1024) / seconds),
    cpu_s_per_gib: Number((cpu / gibibytes).toFixed(2)),
  }
}

async function measureSmallBlocks(
  pipeline: readonly BenchDatanode[],
  first: BenchDatanode,
): Promise<void> {
  const [shape] = shapes
  if (shape === undefined) return
  const rates: number[] = []
  const cpus: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    let left = smallBlocks
    const writer = async (turn: number): Promise<void> => {
      // Every datanode is first in a third of the pipelines.
      const rotated = [...pipeline.slice(turn % nodes), ...pipeline.slice(0, turn % nodes)]
      while (left > 0) {
        left -= 1
        await writeBlock(rotated, newBlock(), 4096, shape)
      }
    }
    const run = await timed(first, async () => {
      await Promise.all(Array.from({ length: smallWriters }, (_, turn) => writer(turn)))
    })
    rates.push(smallBlocks / run.seconds)
    cpus.push((1000 * run.cpu) / smallBlocks)
  }
  report({
    op: 'write-4k-blocks',
    writers: smallWriters,
    blocks_per_s: Math.round(medianOf(rates)),
    cpu_ms_per_block: Number(medianOf(cpus).toFixed(2)),
  })
}

const gibibytes = Number(process.argv[2] ?? 1)
const root = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'trefoil-data-path-'))
try {
  benchSource()
  const pipeline: BenchDatanode[] = []
  for (let index = 1; index <= nodes; index += 1) pipeline.push(await startDatanode(root, index))
  const [first] = pipeline
  if (first === undefined) throw new Error('a pipeline needs a datanode')
  await measureStreams(pipeline, first, gibibytes)
  await measureSmallBlocks(pipeline, first)
  for (const { pid } of pipeline) process.kill(pid)
} finally {
  rmSync(root, { recursive: true, force: true })
}
