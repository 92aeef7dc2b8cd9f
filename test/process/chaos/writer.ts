/**
 * One writing process of a chaos run: several files at a time, through the SDK or through the command line, everything
 * noted in a ledger. SIGTERM lets it finish the files it is at; when its parent is gone, it ends at once.
 */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Prng } from '../../../base/prng.ts'
import { DfsClient } from '../../../client/index.ts'
import { expectedBytes } from './content.ts'
import { drawLength, drawSeed, inheritFile, liveFile, type Writing } from './file-life.ts'
import { Ledger, promisesOf, readLedger } from './ledger.ts'

/** Given as the only argument, as JSON. */
export interface WriterTask {
  readonly name: string
  readonly uri: string
  readonly door: 'sdk' | 'cli'
  /** The bundled `dfs` command. */
  readonly dfs: string
  readonly ledger: string
  /** Of a writer that was killed: what it left open is recovered, and noted there. */
  readonly inherited?: string
  readonly seed: number
  readonly lanes: number
  /** Files are opened again: appended to, cut, and recovered. */
  readonly reopens: boolean
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
const rival = new DfsClient({ uri: task.uri, settings })
let isStopping = false
process.on('SIGTERM', () => {
  isStopping = true
})
process.on('disconnect', () => process.exit(1))

/** Runs one operation within its time; false when it failed, which is noted. */
async function attempt(
  ledger: Ledger,
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

const writing: Writing = {
  client,
  rival,
  ledger,
  reopens: task.reopens,
  attempt: (path, what, operation) => attempt(ledger, path, what, operation),
  acknowledged: () => process.send?.({ kind: 'acknowledged' }),
}

async function writeThroughCommand(path: string, prng: Prng): Promise<void> {
  const seed = drawSeed(prng)
  const length = drawLength(prng)
  ledger.note({ kind: 'begin', path, seed, lengthMax: length })
  const sets = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`])
  const direct = prng.chance(1, 2) ? ['--direct'] : []
  const args = ['put', '--quiet', '--fs', task.uri, ...sets, ...direct]
  const isDone = await writing.attempt(path, 'dfs put', (signal) =>
    runCommand([...args, '-', path], expectedBytes(seed, 0, length), signal),
  )
  if (!isDone) return
  ledger.note({ kind: 'closed', path, length })
  writing.acknowledged()
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
  const make = (): Promise<void> => client.mkdir(directory, { recursive: true })
  while (!(await writing.attempt(directory, 'mkdir', make))) await sleep(500)
  for (let index = 0; !isStopping; index += 1) {
    const path = `${directory}/file-${index}`
    if (task.door === 'cli') await writeThroughCommand(path, prng)
    else await liveFile(writing, path, prng)
    await sleep(prng.below(task.pauseMsMax))
  }
}

/** Goes on with what a killed writer left open, one file after the other. */
async function inherit(file: string): Promise<void> {
  const prng = new Prng(task.seed - 1)
  const left = promisesOf(readLedger(file)).filter(
    ({ isClosed, isAbsent }) => !isClosed && !isAbsent,
  )
  const theirs = new Ledger(file)
  const noting: Writing = {
    ...writing,
    ledger: theirs,
    attempt: (path, what, operation) => attempt(theirs, path, what, operation),
  }
  for (const promise of left) if (!isStopping) await inheritFile(noting, promise, prng)
  theirs.close()
}

const lanes = Array.from({ length: task.lanes }, (_, lane) => runLane(lane))
await Promise.all([...lanes, task.inherited === undefined ? undefined : inherit(task.inherited)])
await client.close()
await rival.close()
ledger.close()
process.exit(0)
