/**
 * Recent answers of at-most-once calls, so that a call repeated after a lost connection gets the first
 * answer and is not executed again (hdfs-wire §1.7). Filled by `apply`, in live traffic and in replay.
 *
 * The store has every answer that is folded, so memory holds only the young ones and those that are not
 * folded yet: {@link RetryCache.find} never misses one that the store lacks. Whether an answer that is
 * not here may be in the store is what {@link RetryCache.isWhole} tells.
 *
 * Two generations instead of an expiry per entry. The old one goes when it is a lifetime old, or when the
 * young one is full and the old one is folded:
 *
 *     old ─ ─ ─ folded ─ ─┤ young ─ ─ ─ folded ─ ─ ┊ ─ ─ unfolded ─ ─▶
 */
import { type Millis, millis } from '../../base/brand.ts'
import { type TxId, txId } from '../../protocol/ids.ts'
import type { RequestId } from './changes.ts'
import type { CachedReply } from './requests.ts'

interface Generation {
  readonly replies: Map<string, Map<number, CachedReply>>
  count: number
  /** Transaction of its youngest answer. */
  through: TxId
}

const done: CachedReply = { kind: 'void' }
const yes: CachedReply = { kind: 'boolean', value: true }
const no: CachedReply = { kind: 'boolean', value: false }

export class RetryCache {
  readonly #lifetimeMs: number
  readonly #entriesMax: number
  #young = emptyGeneration()
  #old = emptyGeneration()
  #foldedThrough = txId(0)
  #turnedAt = millis(0)
  /** An answer that is younger than its lifetime may have left memory until then. */
  #partialUntil = millis(0)
  #hasDropped = false

  constructor(options: { lifetimeMs: number; entriesMax: number }) {
    this.#lifetimeMs = options.lifetimeMs
    // Each generation may hold half.
    this.#entriesMax = Math.max(1, Math.floor(options.entriesMax / 2))
  }

  /** Starts counting lifetimes at `now`; answers from before may be in the store. */
  restart(now: Millis): void {
    this.#turnedAt = now
    this.#partialUntil = millis(now + this.#lifetimeMs)
  }

  /** True when an answer that is not here was never given, or expired. */
  isWhole(now: Millis): boolean {
    return !this.#hasDropped && now >= this.#partialUntil
  }

  find({ clientId, callId }: RequestId): CachedReply | undefined {
    return (
      this.#young.replies.get(clientId)?.get(callId) ?? this.#old.replies.get(clientId)?.get(callId)
    )
  }

  /** Takes the answer that transaction `at` gave. */
  put({ clientId, callId }: RequestId, reply: CachedReply, at: TxId): void {
    if (this.#young.count >= this.#entriesMax && this.#old.through <= this.#foldedThrough) {
      this.#hasDropped ||= this.#old.count > 0
      this.#turn()
    }
    const young = this.#young
    let replies = young.replies.get(clientId)
    if (replies === undefined) {
      replies = new Map()
      young.replies.set(clientId, replies)
    }
    if (!replies.has(callId)) young.count += 1
    replies.set(callId, shared(reply))
    young.through = at
  }

  /** The store has the answers of every transaction up to `through`. */
  folded(through: TxId): void {
    this.#foldedThrough = through
  }

  /** Forgets what is older than its lifetime. */
  tick(now: Millis): void {
    if (this.#hasDropped) {
      this.#hasDropped = false
      this.#partialUntil = millis(now + this.#lifetimeMs)
    }
    if (now - this.#turnedAt < this.#lifetimeMs) return
    this.#turn()
    this.#turnedAt = now
  }

  #turn(): void {
    this.#old = this.#young
    this.#young = emptyGeneration()
  }
}

function emptyGeneration(): Generation {
  return { replies: new Map(), count: 0, through: txId(0) }
}

/** Most answers are one of three, which need no object each. */
function shared(reply: CachedReply): CachedReply {
  if (reply.kind === 'void') return done
  if (reply.kind === 'boolean') return reply.value ? yes : no
  return reply
}
