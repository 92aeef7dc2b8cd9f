/**
 * A reader that stays at the end of a file while it grows: what to do after each look at the file.
 *
 *     look ──> gone, another file ──> ended
 *       │
 *       ├─> longer ──────────> read up to there, look again at once
 *       ├─> the same ────────> wait, longer each time
 *       ├─> shorter, closed ─> truncated: go on from the new end
 *       └─> shorter, open ───> wait: replicas that are away say less than there is
 *
 * The file is the one that was found first: a file that comes under the same name later is another one, and a
 * rename is not followed.
 */

/** What a look at the path found. */
export type FollowedLook =
  | { readonly kind: 'missing' }
  /** No replica of the last block said how much of it may be read. */
  | { readonly kind: 'unreadable' }
  | {
      readonly kind: 'file'
      readonly inodeId: number
      /** Bytes that may be read. */
      readonly length: number
      /** Somebody writes it, or its last block is being recovered. */
      readonly isOpen: boolean
    }

/** What to do next. */
export type FollowStep =
  | { readonly kind: 'read'; readonly end: number }
  | { readonly kind: 'wait'; readonly delayMs: number }
  | { readonly kind: 'truncated'; readonly length: number }
  | { readonly kind: 'ended'; readonly reason: 'deleted' | 'replaced' | 'unreadable' }

/** Pauses between two looks: the first after something new, doubling, up to the last. */
const firstPauseMs = 50
const pauseMsMax = 1_000
/** Looks in a row that find no readable replica, about half a minute, before it is an error. */
const unreadableLooksMax = 30

export class Follower {
  #inodeId: number | undefined
  #position: number
  #pauseMs = firstPauseMs
  #unreadableLooks = 0

  /** @param position first byte that is wanted */
  constructor(position: number) {
    this.#position = position
  }

  /** First byte that was not read. */
  get position(): number {
    return this.#position
  }

  /** Decides after a look. */
  looked(look: FollowedLook): FollowStep {
    if (look.kind === 'missing') return { kind: 'ended', reason: 'deleted' }
    if (look.kind === 'unreadable') {
      this.#unreadableLooks += 1
      if (this.#unreadableLooks < unreadableLooksMax) return this.#wait()
      return { kind: 'ended', reason: 'unreadable' }
    }
    this.#unreadableLooks = 0
    this.#inodeId ??= look.inodeId
    if (look.inodeId !== this.#inodeId) return { kind: 'ended', reason: 'replaced' }
    if (look.length > this.#position) return { kind: 'read', end: look.length }
    if (look.length === this.#position || look.isOpen) return this.#wait()
    this.#position = look.length
    this.#pauseMs = firstPauseMs
    return { kind: 'truncated', length: look.length }
  }

  /** Everything up to `position` was read. */
  readTo(position: number): void {
    this.#position = position
    this.#pauseMs = firstPauseMs
  }

  #wait(): FollowStep {
    const delayMs = this.#pauseMs
    this.#pauseMs = Math.min(2 * delayMs, pauseMsMax)
    return { kind: 'wait', delayMs }
  }
}
