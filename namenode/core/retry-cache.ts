/**
 * Answers of at-most-once calls, so that a call repeated after a lost connection gets the first answer
 * and is not executed again (hdfs-wire §1.7). Filled by `apply`, hence equal after a restart.
 *
 * Two generations instead of an expiry per entry: an answer lives between one and two lifetimes, and
 * less only when more calls than `entriesMax` arrive within one.
 */
import { type Millis, millis } from '../../base/brand.ts'
import type { RequestId } from './changes.ts'
import type { CachedReply } from './requests.ts'

type Generation = Map<string, Map<number, CachedReply>>

export class RetryCache {
  readonly #lifetimeMs: number
  readonly #entriesMax: number
  #young: Generation = new Map()
  #old: Generation = new Map()
  #youngCount = 0
  #turnedAt = millis(0)

  constructor(options: { lifetimeMs: number; entriesMax: number }) {
    this.#lifetimeMs = options.lifetimeMs
    // Each generation may hold half.
    this.#entriesMax = Math.max(1, Math.floor(options.entriesMax / 2))
  }

  /** Starts counting lifetimes at `now`. */
  restart(now: Millis): void {
    this.#turnedAt = now
  }

  find({ clientId, callId }: RequestId): CachedReply | undefined {
    return this.#young.get(clientId)?.get(callId) ?? this.#old.get(clientId)?.get(callId)
  }

  put({ clientId, callId }: RequestId, reply: CachedReply): void {
    if (this.#youngCount >= this.#entriesMax) this.#turn()
    let replies = this.#young.get(clientId)
    if (replies === undefined) {
      replies = new Map()
      this.#young.set(clientId, replies)
    }
    if (!replies.has(callId)) this.#youngCount += 1
    replies.set(callId, reply)
  }

  /** Forgets what is older than its lifetime. */
  tick(now: Millis): void {
    if (now - this.#turnedAt < this.#lifetimeMs) return
    this.#turn()
    this.#turnedAt = now
  }

  #turn(): void {
    this.#old = this.#young
    this.#young = new Map()
    this.#youngCount = 0
  }
}
