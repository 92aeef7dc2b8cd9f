/**
 * What one writer of a chaos run does to one file through the SDK, everything noted in a ledger: written at once or in
 * steps, appended to, cut, renamed, deleted; and, when something went wrong, recovered and gone on with.
 */
import { finished } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Prng } from '../../../base/prng.ts'
import type { DfsClient, DfsWriteStream } from '../../../client/index.ts'
import { expectedBytes } from './content.ts'
import type { FilePromise, Ledger } from './ledger.ts'

/** Runs one operation within its time; false when it failed, which is noted. */
export type Attempt = (
  path: string,
  what: string,
  operation: (signal: AbortSignal) => Promise<unknown>,
) => Promise<boolean>

/** Who writes, and where it is noted. */
export interface Writing {
  readonly client: DfsClient
  /** Another client, which takes leases away. */
  readonly rival: DfsClient
  readonly ledger: Ledger
  readonly attempt: Attempt
  /** Files are opened again: appended to, cut, and recovered. */
  readonly reopens: boolean
  /** An operation that counts was acknowledged. */
  acknowledged(): void
}

/** A length as files of a run have it: most are small, some are empty, some have several blocks. */
export function drawLength(prng: Prng): number {
  if (prng.chance(1, 20)) return 0
  if (prng.chance(1, 7)) return prng.below(3 * 2 ** 20)
  if (prng.chance(1, 4)) return prng.below(200_000)
  return prng.below(20_000)
}

export function drawSeed(prng: Prng): number {
  return prng.below(2 ** 20)
}

/** One file from its creation on. */
export async function liveFile(writing: Writing, path: string, prng: Prng): Promise<void> {
  const { isClosed, acknowledgedLength } = prng.chance(1, 4)
    ? await writeInSteps(writing, { path, start: undefined }, prng)
    : await writeWhole(writing, path, prng)
  let length: number | undefined
  if (isClosed) {
    writing.acknowledged()
    length = acknowledgedLength
  } else if (writing.reopens && acknowledgedLength > 0 && prng.chance(1, 2)) {
    // A new file of which nothing was flushed, the SDK deletes when writing it fails.
    length = await recover(writing, { path, acknowledgedLength })
  }
  while (writing.reopens && length !== undefined && prng.chance(1, 3))
    length = await changeFile(writing, { path, length }, prng)
  if (length === undefined) return
  if (prng.chance(1, 12)) await renameFile(writing, path)
  else if (prng.chance(1, 12)) await deleteFile(writing, path)
}

/**
 * Recovers a file that a dead writer left open, and goes on with it.
 *
 * @param file what that writer's ledger says
 */
export async function inheritFile(writing: Writing, file: FilePromise, prng: Prng): Promise<void> {
  const { paths, truncation, isDeleting, flushedLength, syncedLength } = file
  const [path] = paths
  if (path === undefined || paths.length > 1 || truncation !== undefined || isDeleting) return
  const acknowledgedLength = Math.max(flushedLength, syncedLength)
  const length = await recover(writing, { path, acknowledgedLength })
  if (length !== undefined && prng.chance(1, 2)) await changeFile(writing, { path, length }, prng)
}

/** A file that is closed with this length. */
interface ClosedFile {
  readonly path: string
  readonly length: number
}

/** @returns its length, when it is known */
async function changeFile(
  writing: Writing,
  file: ClosedFile,
  prng: Prng,
): Promise<number | undefined> {
  if (prng.chance(1, 3)) return truncateFile(writing, file, prng)
  const { path, length } = file
  const { isClosed, acknowledgedLength } = await writeInSteps(
    writing,
    { path, start: length },
    prng,
  )
  if (!isClosed) return recover(writing, { path, acknowledgedLength })
  writing.acknowledged()
  return acknowledgedLength
}

/** How far a write came: to the end, or to what was flushed last. */
interface Written {
  readonly isClosed: boolean
  readonly acknowledgedLength: number
}

async function writeWhole(
  { client, ledger, attempt }: Writing,
  path: string,
  prng: Prng,
): Promise<Written> {
  const seed = drawSeed(prng)
  const length = drawLength(prng)
  ledger.note({ kind: 'begin', path, seed, lengthMax: length })
  const replication = prng.chance(1, 6) ? 2 : 3
  const isClosed = await attempt(path, 'write', (signal) =>
    client.writeFile(path, expectedBytes(seed, 0, length), {
      overwrite: false,
      replication,
      signal,
    }),
  )
  if (isClosed) ledger.note({ kind: 'closed', path, length })
  return { isClosed, acknowledgedLength: isClosed ? length : 0 }
}

/** A stream that is written in steps. */
interface SteppedStream {
  readonly path: string
  readonly seed: number
  /** How many bytes each step writes. */
  readonly steps: readonly number[]
  readonly pauseMsMax: number
  /** The step before which a rival takes the lease away; behind the last for none. */
  readonly rivalStep: number
  /** Where it has come to, and what of that was acknowledged. */
  readonly progress: { length: number; acknowledgedLength: number }
}

/**
 * Writes in steps, flushing some of them, slowly enough for faults to come in between.
 *
 * @param file a new one, or an existing one from `start`, its length, on
 */
async function writeInSteps(
  writing: Writing,
  { path, start }: { readonly path: string; readonly start: number | undefined },
  prng: Prng,
): Promise<Written> {
  const { client, ledger, attempt } = writing
  const seed = drawSeed(prng)
  const steps = Array.from({ length: 1 + prng.below(12) }, () => drawLength(prng) >> 2)
  const lengthMax = steps.reduce((sum, step) => sum + step, start ?? 0)
  const pauseMsMax = prng.chance(1, 3) ? 1500 : 60
  const rivalStep = writing.reopens && prng.chance(1, 12) ? prng.below(steps.length) : steps.length
  const progress = { length: start ?? 0, acknowledgedLength: start ?? 0 }
  if (start === undefined) ledger.note({ kind: 'begin', path, seed, lengthMax })
  else ledger.note({ kind: 'appending', path, start, seed, lengthMax })
  const what = start === undefined ? 'stream' : 'append'
  const isClosed = await attempt(path, what, async (signal) => {
    const mode = start === undefined ? { overwrite: false } : { flags: 'a' as const }
    const stream = client.createWriteStream(path, { ...mode, signal })
    const ended = finished(stream)
    ended.catch(() => undefined)
    await writeSteps(writing, stream, { path, seed, steps, pauseMsMax, rivalStep, progress }, prng)
    stream.end()
    await ended
    ledger.note({ kind: 'closed', path, length: lengthMax })
  })
  return { isClosed, acknowledgedLength: isClosed ? lengthMax : progress.acknowledgedLength }
}

async function writeSteps(
  { rival, ledger, attempt }: Writing,
  stream: DfsWriteStream,
  { path, seed, steps, pauseMsMax, rivalStep, progress }: SteppedStream,
  prng: Prng,
): Promise<void> {
  for (const [index, step] of steps.entries()) {
    if (index === rivalStep) void attempt(path, 'rival', () => rival.recoverLease(path))
    const { length: start } = progress
    const length = start + step
    await new Promise<void>((resolve, reject) => {
      stream.write(expectedBytes(seed, start, length), (error) => {
        if (error === null || error === undefined) resolve()
        else reject(error)
      })
    })
    progress.length = length
    if (prng.chance(1, 2)) {
      await stream.hsync()
      ledger.note({ kind: 'synced', path, length })
      progress.acknowledgedLength = length
    } else if (prng.chance(2, 3)) {
      await stream.hflush()
      ledger.note({ kind: 'flushed', path, length })
      progress.acknowledgedLength = length
    }
    await sleep(prng.below(pauseMsMax))
  }
}

/** Cuts a file, at the border of a block now and then, or a little, or anywhere. */
async function truncateFile(
  { client, ledger, attempt }: Writing,
  { path, length: from }: ClosedFile,
  prng: Prng,
): Promise<number | undefined> {
  if (from === 0) return from
  const drawn = prng.chance(1, 2) ? prng.below(from) : from - prng.below(Math.min(from, 2_000))
  const length = prng.chance(1, 6) ? drawn - (drawn % 2 ** 20) : drawn
  ledger.note({ kind: 'truncating', path, from, length })
  const isDone = await attempt(path, 'truncate', (signal) =>
    client.truncate(path, length, { signal }),
  )
  if (!isDone) return undefined
  ledger.note({ kind: 'truncated', path, length })
  return length
}

/**
 * Has a file closed that a writer failed to close.
 *
 * @returns its length; undefined when there is no such file, or when it cannot be gone on with: it is not closed in time,
 *   or it has fewer bytes than were acknowledged, which the check at the end judges
 */
async function recover(
  { rival, ledger, attempt }: Writing,
  { path, acknowledgedLength }: { readonly path: string; readonly acknowledgedLength: number },
): Promise<number | undefined> {
  let length: number | undefined
  await attempt(path, 'recover', async (signal) => {
    await rival.recoverLease(path, { wait: true, signal })
    const { size } = await rival.stat(path, { signal })
    ledger.note({ kind: 'recovered', path, length: size })
    length = size
  })
  return length !== undefined && length >= acknowledgedLength ? length : undefined
}

async function renameFile({ client, ledger, attempt }: Writing, path: string): Promise<void> {
  const target = `${path}-renamed`
  ledger.note({ kind: 'renaming', path, target })
  if (await attempt(path, 'rename', (signal) => client.rename(path, target, { signal })))
    ledger.note({ kind: 'renamed', path, target })
}

async function deleteFile({ client, ledger, attempt }: Writing, path: string): Promise<void> {
  ledger.note({ kind: 'deleting', path })
  if (await attempt(path, 'delete', (signal) => client.rm(path, { signal })))
    ledger.note({ kind: 'deleted', path })
}
