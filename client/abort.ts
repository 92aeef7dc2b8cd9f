import { setTimeout as delay } from 'node:timers/promises'
import { DfsError } from '../protocol/errors.ts'

/** The error an aborted operation ends with. */
export function abortError(signal: AbortSignal): DfsError {
  return new DfsError('ABORTED', 'The operation was aborted', { cause: signal.reason })
}

/** @throws {@link DfsError} ABORTED when `signal` is aborted already */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal)
}

/**
 * Waits `delayMs`; keeps the process alive meanwhile, because a caller waits.
 *
 * @throws {@link DfsError} ABORTED when `signal` aborts
 */
export async function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal === undefined) return delay(delayMs)
  try {
    await delay(delayMs, undefined, { signal })
  } catch (error) {
    if (signal.aborted) throw abortError(signal)
    throw error
  }
}

/** Calls `action` once if `signal` aborts, at once if it has; the result removes the listener. */
export function onAbort(
  signal: AbortSignal | undefined,
  action: (error: DfsError) => void,
): () => void {
  if (signal === undefined) return () => undefined
  const listener = (): void => {
    action(abortError(signal))
  }
  if (signal.aborted) listener()
  else signal.addEventListener('abort', listener, { once: true })
  return () => {
    signal.removeEventListener('abort', listener)
  }
}

/**
 * Settles like `promise`, or with ABORTED as soon as `signal` aborts; a result that comes after that goes to `discard`,
 * because nobody else will give it back.
 */
export async function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  discard: (result: T, error: DfsError) => void,
): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    let aborted: DfsError | undefined
    const removeAbort = onAbort(signal, (error) => {
      aborted = error
      reject(error)
    })
    promise.then((result) => {
      removeAbort()
      if (aborted === undefined) resolve(result)
      else discard(result, aborted)
    }, reject)
  })
}
