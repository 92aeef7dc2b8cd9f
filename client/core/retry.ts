/**
 * What a client does after an error: a pure function of the error, of how often and for how long it
 * has tried, and of what it talks to. A switch over the retry class of the error table, so that a new
 * class does not compile until its reaction is decided.
 *
 *     retry class        namenode call              reading a replica
 *     never              give up                    next replica, but ABORTED and INTERNAL: give up
 *     after-backoff      retry after a pause        next replica
 *     other-replica      retry after a pause (*)    next replica
 *     refresh-locations  give up                    next replica, new locations after the last
 *     same-request-id    retry after a pause        next replica
 *
 * (*) A namenode has no other replica; of this class it only ever causes TIMED_OUT, which says that
 * nothing came back, and every call is safe to repeat under its own call id.
 *
 * Invariant C1: a namenode call is repeated only under the call id of its first attempt, so the retry
 * cache of the namenode makes at-most-once methods happen at most once.
 */
import { unreachable } from '../../base/assert.ts'
import { type ErrorCode, errorTable, type RetryClass } from '../../protocol/errors.ts'

/** How long and how patiently to go on. */
export interface RetryPolicy {
  /** Time after the first attempt at which the caller is told, whatever the error. */
  readonly totalMs: number
  /** Pause before the second attempt; doubles with each further one. */
  readonly firstDelayMs: number
  /** Longest pause. */
  readonly delayMsMax: number
}

/** A restart of the namenode is a pause of the caller, not an error: a minute covers it. */
export const defaultRetryPolicy: RetryPolicy = {
  totalMs: 60_000,
  firstDelayMs: 50,
  delayMsMax: 2_000,
}

/** The verdict on one failed attempt. */
export type RetryDecision =
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'refresh' }
  | { readonly kind: 'give-up' }

/** One failed attempt. */
export interface FailedAttempt {
  readonly code: ErrorCode
  /** 1 for the first attempt. */
  readonly attempt: number
  /** Since the first attempt was made. */
  readonly elapsedMs: number
  /** In `[0, 1000)`: spreads clients that failed together. */
  readonly jitterPermille: number
}

/**
 * Decides after a failed namenode call.
 *
 * A call that was lost on the way (CONNECTION_LOST, OUTCOME_UNKNOWN, TIMED_OUT) and one that the server
 * put off (SAFE_MODE, RETRIABLE, STANDBY, NOT_REPLICATED_YET) are repeated after a pause until
 * `policy.totalMs` have passed. Errors that other clients cause and that the caller must see at once
 * (another's lease, full datanodes) are final although their class says that time may heal them.
 */
export function decideCallRetry(failed: FailedAttempt, policy: RetryPolicy): RetryDecision {
  if (isForTheCaller(failed.code)) return { kind: 'give-up' }
  const retryClass: RetryClass = errorTable[failed.code].retry
  switch (retryClass) {
    case 'never':
    case 'refresh-locations':
      return { kind: 'give-up' }
    case 'after-backoff':
    case 'same-request-id':
      return afterPause(failed, policy)
    case 'other-replica':
      return failed.code === 'TIMED_OUT' ? afterPause(failed, policy) : { kind: 'give-up' }
    default:
      return unreachable(retryClass)
  }
}

/**
 * Decides after a failed attempt to read from one replica. Whatever is wrong with it, another may do; the namenode is
 * asked for new locations when none is left (read-plan.ts).
 */
export function decideReadRetry(code: ErrorCode): 'next-replica' | 'give-up' {
  return code === 'ABORTED' || code === 'INTERNAL' ? 'give-up' : 'next-replica'
}

/** Pause before attempt `attempt + 1`: doubling, bounded, the last fifth of it spread by jitter. */
export function backoffMs(attempt: number, jitterPermille: number, policy: RetryPolicy): number {
  const doubled = policy.firstDelayMs * 2 ** Math.min(attempt - 1, 20)
  const bounded = Math.min(doubled, policy.delayMsMax)
  return Math.floor(bounded * (0.8 + (0.2 * jitterPermille) / 1000))
}

function afterPause(failed: FailedAttempt, policy: RetryPolicy): RetryDecision {
  const delayMs = backoffMs(failed.attempt, failed.jitterPermille, policy)
  if (failed.elapsedMs + delayMs > policy.totalMs) return { kind: 'give-up' }
  return { kind: 'retry', delayMs }
}

function isForTheCaller(code: ErrorCode): boolean {
  return (
    code === 'ALREADY_BEING_CREATED' || code === 'RECOVERY_IN_PROGRESS' || code === 'NO_DATANODES'
  )
}
