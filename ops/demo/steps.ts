import { type ChildProcess, spawn } from 'node:child_process'
import { createReadStream, readdirSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BlockLocation, DfsClient, FileStatus } from '../../client/index.ts'

/** A failed expectation of the demonstration; its message is the whole story. */
export class DemoFailure extends Error {
  override readonly name = 'DemoFailure'
}

/** Runs the `dfs` command as a user would; resolves with its output, rejects when it fails. */
export async function dfs(entry: string, args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const output: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const text = Buffer.concat(output).toString('utf8')
  if (status !== 0)
    throw new DemoFailure(`dfs ${args.join(' ')} ended with ${status ?? 'a signal'}:\n${text}`)
  return text
}

const daemons = new Set<ChildProcess>()

function killDaemons(): void {
  for (const daemon of daemons) daemon.kill('SIGKILL')
}

/** Starts a daemon that outlives nobody: it is killed with this process. */
export function startDaemon(
  entry: string,
  args: readonly string[],
  { ioThreads }: { readonly ioThreads?: number } = {},
): ChildProcess {
  const threads = ioThreads === undefined ? {} : { UV_THREADPOOL_SIZE: String(ioThreads) }
  const env = { ...process.env, ...threads }
  const child = spawn(process.execPath, [entry, ...args], { stdio: 'ignore', env })
  if (daemons.size === 0) process.once('exit', killDaemons)
  daemons.add(child)
  return child
}

/** Kills the process that a pid file of the cluster names, with -9. */
export function killByPidFile(directory: string, daemon: string): void {
  process.kill(Number(readFileSync(join(directory, 'run', `${daemon}.pid`), 'utf8')), 'SIGKILL')
}

/** Asks `question` every 100 ms until it answers something; a failing question counts as no answer. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  question: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await question().catch(() => undefined)
    if (answer !== undefined) return answer
    if (performance.now() > deadline)
      throw new DemoFailure(`${what}: not within ${timeoutMs / 1000} s`)
    await sleep(100)
  }
}

/** Every regular file below `path` of the cluster. */
export async function* filesBelow(client: DfsClient, path: string): AsyncGenerator<FileStatus> {
  for await (const entry of client.opendir(path)) {
    if (entry.isDirectory()) yield* filesBelow(client, entry.path)
    else yield entry
  }
}

/** Number of regular files below a local directory; symbolic links do not count. */
export function countLocalFiles(root: string): number {
  return readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  ).length
}

/** True when a file of the cluster and a local file have the same bytes. */
export async function isEqualToLocal(
  client: DfsClient,
  path: string,
  local: string,
): Promise<boolean> {
  const left = client.createReadStream(path)[Symbol.asyncIterator]()
  const right = createReadStream(local, { highWaterMark: 1 << 20 })[Symbol.asyncIterator]()
  let [ours, theirs] = [Buffer.alloc(0), Buffer.alloc(0)]
  for (;;) {
    if (ours.length === 0) ours = await nextChunk(left)
    if (theirs.length === 0) theirs = await nextChunk(right)
    const common = Math.min(ours.length, theirs.length)
    if (common === 0) return ours.length === theirs.length
    if (!ours.subarray(0, common).equals(theirs.subarray(0, common))) return false
    ours = ours.subarray(common)
    theirs = theirs.subarray(common)
  }
}

async function nextChunk(source: AsyncIterator<unknown>): Promise<Buffer<ArrayBuffer>> {
  const result = await source.next()
  return result.done === true ? Buffer.alloc(0) : (result.value as Buffer<ArrayBuffer>)
}

/** Path of one replica of a block below a cluster's directory. */
export function findReplica(directory: string, { blockId }: BlockLocation): string {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name === `blk_${blockId}`) return join(entry.parentPath, entry.name)
  }
  throw new DemoFailure(`no replica of block ${blockId} below ${directory}`)
}

/** Inverts one byte of a file. */
export async function flipByte(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, position)
    await file.write(Buffer.of(~(byte[0] ?? 0) & 0xff), 0, 1, position)
    await file.sync()
  } finally {
    await file.close()
  }
}
