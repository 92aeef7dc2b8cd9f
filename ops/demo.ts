/**
 * `npm run demo`: the main job on real input. Copies a real tree and a large file into a fresh cluster, kills a
 * datanode in the middle, watches the repair, kills the namenode, corrupts a replica, and compares every byte.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { copyFile, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { DfsClient } from '../client/index.ts'
import { pickFreePort } from './cluster/processes.ts'
import { writeRandomFile } from './demo/random-file.ts'
import {
  countLocalFiles,
  DemoFailure,
  dfs,
  filesBelow,
  findReplica,
  flipByte,
  isEqualToLocal,
  killByPidFile,
  startDaemon,
  until,
} from './demo/steps.ts'

const { values: options } = parseArgs({
  options: {
    tree: { type: 'string', default: '/usr/share' },
    'big-bytes': { type: 'string', default: String(2 ** 31) },
    dir: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    keep: { type: 'boolean', default: false },
  },
})

const here = dirname(fileURLToPath(import.meta.url))
const bundled = join(here, '../bin/dfs.js')
const entry = existsSync(bundled) ? bundled : join(here, '../client/cli/main.js')
const directory = options.dir ?? mkdtempSync(join(tmpdir(), 'trefoil-demo-'))
const bigBytes = Number(options['big-bytes'])
const bigLocal = join(directory, 'big.local')
const sets = options.set.flatMap((assignment) => ['--set', assignment])
const repairTimeoutMs = 20 * 60_000

function say(step: number, text: string): void {
  process.stdout.write(`${step}. ${text}\n`)
}

/** Seconds since `startedMs`, as text. */
function seconds(startedMs: number): string {
  return `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
}

async function startCluster(): Promise<{ client: DfsClient; port: number; httpPort: number }> {
  const [port, httpPort] = [await pickFreePort('127.0.0.1'), await pickFreePort('127.0.0.1')]
  const ports = [
    ...['--namenode-port', String(port), '--http-port', String(httpPort)],
    ...['--gateway-port', '0'],
  ]
  const startedMs = performance.now()
  await dfs(entry, [
    'up',
    '--dir',
    directory,
    '--datanodes',
    '4',
    '--no-restart',
    '--detach',
    ...ports,
    ...sets,
  ])
  say(
    1,
    `a cluster with four datanodes is up after ${seconds(startedMs)}: hdfs://127.0.0.1:${port}, ${directory}`,
  )
  return { client: new DfsClient({ uri: `hdfs://127.0.0.1:${port}` }), port, httpPort }
}

/** Copies everything in; a datanode is killed once a good part has arrived. */
async function copyWithALoss(client: DfsClient): Promise<void> {
  await writeRandomFile(bigLocal, bigBytes)
  const files = countLocalFiles(options.tree)
  say(2, `copying ${files} files of ${options.tree} and one of ${bigBytes} bytes`)
  await client.mkdir('/demo')
  const startedMs = performance.now()
  const at = ['--fs', client.uri]
  const copies = Promise.all([
    dfs(entry, ['put', ...at, options.tree, '/demo/tree']),
    dfs(entry, ['put', ...at, bigLocal, '/demo/big']),
  ])
  const killing = until('a third of the files to arrive', repairTimeoutMs, async () => {
    const { fileCount } = await client.contentSummary('/demo')
    return fileCount > files / 3 ? fileCount : undefined
  }).then((fileCount) => {
    killByPidFile(directory, 'datanode-2')
    say(3, `kill -9 of datanode-2 after ${fileCount} files`)
  })
  const [[treeOutput]] = await Promise.all([copies, killing])
  const skipped = /[^\n]*skipped[^\n]*/.exec(treeOutput)?.[0].trim() ?? 'no symbolic links'
  say(3, `the copy finished without an error after ${seconds(startedMs)} (${skipped})`)
}

async function awaitRepair(client: DfsClient): Promise<void> {
  const startedMs = performance.now()
  await until('the killed datanode counts as dead', repairTimeoutMs, async () => {
    const dead = await client.datanodes('dead')
    return dead.length > 0 ? dead : undefined
  })
  say(4, `the killed datanode counts as dead, ${seconds(startedMs)} after the copy`)
  await until('every block has three live replicas', repairTimeoutMs, async () => {
    const { lowRedundancy, missing } = await client.blockStats()
    if (lowRedundancy > 0 || missing > 0) return undefined
    const verdict = await dfs(entry, ['fsck', '--fs', client.uri, '--json', '/'])
    const { underReplicatedBlocks, missingBlocks } = JSON.parse(verdict) as Record<string, number>
    return underReplicatedBlocks === 0 && missingBlocks === 0 ? true : undefined
  })
  say(4, `fsck finds three live replicas of every block, ${seconds(startedMs)} after the copy`)
}

async function restartNamenode(
  client: DfsClient,
  ports: { port: number; httpPort: number },
): Promise<void> {
  killByPidFile(directory, 'namenode')
  const startedMs = performance.now()
  startDaemon(entry, [
    ...['namenode', '--dir', join(directory, 'namenode'), ...sets],
    ...[
      '--set',
      `dfs.namenode.rpc-port=${ports.port}`,
      '--set',
      `dfs.namenode.http-port=${ports.httpPort}`,
    ],
  ])
  await client.stat('/demo/big')
  const statusAfter = seconds(startedMs)
  const first = await client.readFile('/demo/big', { start: 0, end: 65_535 })
  if (first.length !== 65_536) throw new DemoFailure(`read ${first.length} bytes instead of 65536`)
  say(
    5,
    `kill -9 of the namenode; started again, first answer after ${statusAfter}, first bytes after ${seconds(startedMs)}`,
  )
}

async function corruptAReplica(client: DfsClient): Promise<void> {
  const [block] = await client.blockLocations('/demo/big')
  if (block === undefined) throw new DemoFailure('the large file has no blocks')
  const path = findReplica(directory, block)
  await flipByte(path, Math.floor(block.length / 2))
  const kept = join(directory, 'corrupt.local')
  await copyFile(path, kept)
  const startedMs = performance.now()
  let reads = 0
  await until('the corrupt replica is noticed and replaced', repairTimeoutMs, async () => {
    reads += 1
    if (!(await isEqualToLocal(client, '/demo/big', bigLocal)))
      throw new DemoFailure('corrupt bytes were served')
    const [located] = await client.blockLocations('/demo/big')
    const isReplaced = !existsSync(path) || (await isDifferent(path, kept))
    return isReplaced && located?.datanodes.length === 3 ? true : undefined
  })
  say(
    6,
    `flipped a byte of ${path}: never served in ${reads} reads, replaced after ${seconds(startedMs)}`,
  )
}

async function isDifferent(left: string, right: string): Promise<boolean> {
  return !(await readFile(left)).equals(await readFile(right))
}

async function compareEverything(client: DfsClient): Promise<void> {
  const startedMs = performance.now()
  let [files, bytes] = [0, 0]
  const waiting = new Set<Promise<void>>()
  for await (const { path, size } of filesBelow(client, '/demo')) {
    const local =
      path === '/demo/big' ? bigLocal : join(options.tree, path.slice('/demo/tree/'.length))
    const comparing = isEqualToLocal(client, path, local).then((isEqual) => {
      if (!isEqual) throw new DemoFailure(`${path} differs from ${local}`)
      files += 1
      bytes += size
      waiting.delete(comparing)
    })
    waiting.add(comparing)
    if (waiting.size >= 8) await Promise.race(waiting)
  }
  await Promise.all(waiting)
  const expected = countLocalFiles(options.tree) + 1
  if (files !== expected) throw new DemoFailure(`${files} files came back of ${expected}`)
  say(
    7,
    `${files} files, ${bytes} bytes: all equal to their sources, read in ${seconds(startedMs)}`,
  )
}

async function main(): Promise<void> {
  mkdirSync(directory, { recursive: true })
  const { client, port, httpPort } = await startCluster()
  try {
    await copyWithALoss(client)
    await awaitRepair(client)
    await restartNamenode(client, { port, httpPort })
    await corruptAReplica(client)
    await compareEverything(client)
  } finally {
    await client.close()
    await dfs(entry, ['down', '--dir', directory]).catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
    })
    if (!options.keep) rmSync(directory, { recursive: true, force: true })
  }
}

await main()
process.exit(0)
