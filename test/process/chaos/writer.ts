/**
 * One writing process of a chaos run: several files at a time, through the SDK or through the command line, everything
 * noted in a ledger. SIGTERM lets it finish the files it is at; when its parent is gone, it ends at once.
 */
import { spawn } from 'node:child_process'
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Prng } from '../../../base/prng.ts'
import { DfsClient, type DfsWriteStream } from '../../../client/index.ts'
import { expectedBytes } from './content.ts'
import { Ledger } from './ledger.ts'

/** Given as the only argument, as JSON. */
export interface WriterTask {
  readonly name: string
  readonly uri: string
  readonly door: 'sdk' | 'cli'
  /** The bundled `dfs` command. */
  readonly dfs: string
  readonly ledger: string
  readonly seed: number
  readonly lanes: number
  /** Longest pause between two files of a lane. */
  readonly pauseMsMax: number
}

/** An operation that takes longer is given up; one that does not settle even then is reported as stuck. */
const operationMsMax = 100_000
const stuckMs = 60_000

const task = JSON.parse(process.argv[2] ?? '') as WriterTask
const ledger = new Ledger(task.ledger)
/** The lease limit is that of the cluster, so that leases are renewed in time. */
const settings = { 'dfs.client.socket-timeout': 8_000, 'dfs.namenode.lease.soft-limit': 10_000 }
const client = new DfsClient({ uri: task.uri, settings })
let isStopping = false
process.on('SIGTERM', () => {
  isStopping = true
})
process.on('disconnect', () => process.exit(1))

/** Runs one operation within its time; false when it failed, which is noted. */
async function attempt(
  path: string,
  what: string,
  operation: (signal: AbortSignal) => Promise<unknown>,
): Promise<boolean> {
  const aborter = new AbortController()
  const timer = setTimeout(() => aborter.abort(), operationMsMax)
  const stuck = setTimeout(() => {
    process.send?.({ kind: 'stuck', path, what })
  }, operationMsMax + stuckMs)
  try {
    await operation(aborter.signal)
    return true
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    ledger.note({ kind: 'refused', path, reason: `${what}: ${reason}` })
    process.send?.({ kind: 'refused', path, what, reason })
    return false
  } finally {
    clearTimeout(timer)
    clearTimeout(stuck)
  }
}

function acknowledged(): void {
  process.send?.({ kind: 'acknowledged' })
}

function drawLength(prng: Prng): number {
  if (prng.chance(1, 20)) return 0
  if (prng.chance(1, 7)) return prng.below(3 * 2 ** 20)
  if (prng.chance(1, 4)) return prng.below(200_000)
  return prng.below(20_000)
}

async function writeWhole(path: string, prng: Prng): Promise<boolean> {
  const seed = prng.below(2 ** 20)
  const length = drawLength(prng)
  ledger.note({ kind: 'begin', path, seed, lengthMax: length })
  const replication = prng.chance(1, 6) ? 2 : 3
  const isDone = await attempt(path, 'write', (signal) =>
    client.writeFile(path, expectedBytes(seed, 0, length), {
      overwrite: false,
      replication,
      signal,
    }),
  )
  if (isDone) ledger.note({ kind: 'closed', path, length })
  return isDone
}

/** Writes in steps, flushing some of them, slowly enough for faults to come in between. */
async function writeInSteps(path: string, prng: Prng): Promise<boolean> {
  const seed = prng.below(2 ** 20)
  const steps = Array.from({ length: 2 + prng.below(12) }, () => drawLength(prng) >> 2)
  const total = steps.reduce((sum, step) => sum + step, 0)
  const pauseMsMax = prng.chance(1, 3) ? 1500 : 60
  ledger.note({ kind: 'begin', path, seed, lengthMax: total })
  return attempt(path, 'stream', async (signal) => {
    const stream = client.createWriteStream(path, { overwrite: false, signal })
    const ended = finished(stream)
    ended.catch(() => undefined)
    await writeSteps(stream, { path, seed, steps, pauseMsMax }, prng)
    stream.end()
    await ended
    ledger.note({ kind: 'closed', path, length: total })
  })
}

async function writeSteps(
  stream: DfsWriteStream,
  plan: {
    readonly path: string
    readonly seed: number
    readonly steps: readonly number[]
    readonly pauseMsMax: number
  },
  prng: Prng,
): Promise<void> {
  const { path, seed, steps, pauseMsMax } = plan
  let length = 0
  for (const step of steps) {
    await new Promise<void>((resolve, reject) => {
      stream.write(expectedBytes(seed, length, length + step), (error) => {
        if (error === null || error === undefined) resolve()
        else reject(error)
      })
    })
    length += step
    if (prng.chance(1, 2)) {
      await stream.hsync()
      ledger.note({ kind: 'synced', path, length })
    } else if (prng.chance(2, 3)) {
      await stream.hflush()
      ledger.note({ kind: 'flushed', path, length })
    }
    await sleep(prng.below(pauseMsMax))
  }
}

async function renameFile(path: string): Promise<void> {
  const target = `${path}-renamed`
  ledger.note({ kind: 'renaming', path, target })
  if (await attempt(path, 'rename', (signal) => client.rename(path, target, { signal })))
    ledger.note({ kind: 'renamed', path, target })
}

async function deleteFile(path: string): Promise<void> {
  ledger.note({ kind: 'deleting', path })
  if (await attempt(path, 'delete', (signal) => client.rm(path, { signal })))
    ledger.note({ kind: 'deleted', path })
}

async function writeThroughSdk(path: string, prng: Prng): Promise<void> {
  const isDone = prng.chance(1, 4) ? await writeInSteps(path, prng) : await writeWhole(path, prng)
  if (!isDone) return
  acknowledged()
  if (prng.chance(1, 12)) await renameFile(path)
  else if (prng.chance(1, 12)) await deleteFile(path)
}

async function writeThroughCommand(path: string, prng: Prng): Promise<void> {
  const seed = prng.below(2 ** 20)
  const length = drawLength(prng)
  ledger.note({ kind: 'begin', path, seed, lengthMax: length })
  const sets = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`])
  const direct = prng.chance(1, 2) ? ['--direct'] : []
  const args = ['put', '--quiet', '--fs', task.uri, ...sets, ...direct]
  const isDone = await attempt(path, 'dfs put', (signal) =>
    runCommand([...args, '-', path], expectedBytes(seed, 0, length), signal),
  )
  if (!isDone) return
  ledger.note({ kind: 'closed', path, length })
  acknowledged()
}

function runCommand(args: readonly string[], input: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [task.dfs, ...args], {
      stdio: ['pipe', 'ignore', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    })
    let stderr = ''
    child.stderr.on('data', (bytes: Buffer) => {
      stderr = (stderr + bytes.toString()).slice(-500)
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`exit status ${code}: ${stderr.trim()}`))
    })
  })
}

async function runLane(lane: number): Promise<void> {
  const prng = new Prng(task.seed + lane * 7919)
  const directory = `/${task.name}/lane-${lane}`
  while (!(await attempt(directory, 'mkdir', () => client.mkdir(directory, { recursive: true }))))
    await sleep(500)
  for (let index = 0; !isStopping; index += 1) {
    const path = `${directory}/file-${index}`
    if (task.door === 'cli') await writeThroughCommand(path, prng)
    else await writeThroughSdk(path, prng)
    await sleep(prng.below(task.pauseMsMax))
  }
}

await Promise.all(Array.from({ length: task.lanes }, (_, lane) => runLane(lane)))
await client.close()
ledger.close()
process.exit(0)
