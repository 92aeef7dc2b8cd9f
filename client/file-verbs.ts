import { DfsError } from '../protocol/errors.ts'
import { pause } from './abort.ts'
import type { ClientContext } from './context.ts'
import type { VerbOptions } from './namespace.ts'

/** Options of `truncate` and `recoverLease`. */
export interface WaitOptions extends VerbOptions {
  /** Wait until the file is closed; otherwise return when the work is begun. */
  readonly wait?: boolean | undefined
}

/** A recovery that takes longer goes on without us. */
const waitMs = 120_000
/** Pauses between two looks at a file that is being closed: from the first, doubling, to the last. */
const firstLookMs = 20
const lookMsMax = 1_000

/**
 * Cuts a file to `length` bytes.
 *
 * @returns true when the file is closed at that length; false when its last block is still being recovered
 * @throws {@link DfsError} INVALID_ARGUMENT when it is shorter, TIMED_OUT when waiting takes too long
 */
export async function truncate(
  context: ClientContext,
  path: string,
  length: number,
  { wait = true, signal }: WaitOptions = {},
): Promise<boolean> {
  const { result } = await context.namenode.call(
    'truncate',
    { src: path, newLength: length, clientName: context.clientName },
    { signal },
  )
  if (result || !wait) return result
  await whenClosed(context, path, signal)
  return true
}

/**
 * Moves the blocks of `sources`, in order, to the end of `target`; the sources are gone then.
 *
 * @throws {@link DfsError} INVALID_ARGUMENT when HDFS's rules forbid it
 */
export async function concat(
  { namenode }: ClientContext,
  target: string,
  sources: readonly string[],
  { signal }: VerbOptions = {},
): Promise<void> {
  await namenode.call('concat', { trg: target, srcs: sources }, { signal })
}

/**
 * Has a file closed whose writer is gone, at the length its datanodes agree on.
 *
 * @returns true when it is closed, false when the recovery is under way
 */
export async function recoverLease(
  context: ClientContext,
  path: string,
  { wait = false, signal }: WaitOptions = {},
): Promise<boolean> {
  const { namenode, clientName } = context
  const { result } = await namenode.call('recoverLease', { src: path, clientName }, { signal })
  if (result || !wait) return result
  await whenClosed(context, path, signal)
  return true
}

/** Whether nobody writes the file and all its blocks are complete. */
export async function isFileClosed(
  { namenode }: ClientContext,
  path: string,
  { signal }: VerbOptions = {},
): Promise<boolean> {
  const { result } = await namenode.call('isFileClosed', { src: path }, { signal })
  return result
}

async function whenClosed(
  context: ClientContext,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const startedAt = context.clock.monotonic()
  for (let delayMs = firstLookMs; ; delayMs = Math.min(2 * delayMs, lookMsMax)) {
    if (await isFileClosed(context, path, { signal })) return
    if (context.clock.monotonic() - startedAt + delayMs > waitMs) {
      throw new DfsError(
        'TIMED_OUT',
        `File "${path}" is not closed after ${waitMs / 1000} s; its recovery goes on`,
        { path },
      )
    }
    await pause(delayMs, signal)
  }
}
