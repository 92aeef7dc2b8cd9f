import t from 'tap'
import { backoffMs, decideCallRetry, decideReadRetry } from '../../../client/core/retry.ts'
import { type ErrorCode, errorTable } from '../../../protocol/errors.ts'

const policy = { totalMs: 10_000, firstDelayMs: 100, delayMsMax: 1_000 }

function decide(code: ErrorCode, attempt = 1, elapsedMs = 0): string {
  return decideCallRetry({ code, attempt, elapsedMs, jitterPermille: 0 }, policy).kind
}

const codes = Object.keys(errorTable) as ErrorCode[]

t.test('decideCallRetry() repeats what got lost or was put off, and nothing else', (t) => {
  const repeated = codes.filter((code) => decide(code) === 'retry')
  t.same(repeated.sort(), [
    'CONNECTION_LOST',
    'NOT_REPLICATED_YET',
    'OUTCOME_UNKNOWN',
    'RETRIABLE',
    'SAFE_MODE',
    'STANDBY',
    'TIMED_OUT',
  ])
  t.end()
})

t.test('decideCallRetry() tells the caller when the next pause would pass the total time', (t) => {
  t.equal(decide('CONNECTION_LOST', 9, 9_000), 'retry')
  t.equal(decide('CONNECTION_LOST', 9, 9_201), 'give-up')
  t.equal(decide('SAFE_MODE', 9, 10_000), 'give-up')
  t.end()
})

t.test('backoffMs() doubles up to the bound and spreads the last fifth', (t) => {
  const pauses = [1, 2, 3, 4, 5, 60].map((attempt) => backoffMs(attempt, 0, policy))
  t.same(pauses, [80, 160, 320, 640, 800, 800])
  t.equal(backoffMs(1, 500, policy), 90)
  t.ok(backoffMs(1, 999, policy) < 100)
  t.end()
})

t.test('decideReadRetry() gives up only on the caller and on our own bugs', (t) => {
  t.same(codes.filter((code) => decideReadRetry(code) === 'give-up').sort(), [
    'ABORTED',
    'INTERNAL',
  ])
  t.end()
})
