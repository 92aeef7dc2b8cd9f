import type { Clock, Timers } from '../../base/clock.ts'
import { type CopyUrgency, type ForegroundUse, restAfterMs } from '../core/copy-pace.ts'

interface Turn {
  readonly urgency: CopyUrgency
  readonly action: () => void
}

/**
 * Turns of copies at the event loop: one for each of its rounds, in the order in which they were asked for. Sockets that are
 * never empty would otherwise be served one after the other, each with megabytes, before anything else is looked at. While
 * clients use this datanode, copies rest between turns, in proportion to how long the rounds took.
 */
export class LoopTurns {
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #foreground: ForegroundUse
  readonly #waiting: Turn[] = []
  #isArmed = false
  /** Rest that is due and too short for a timer. */
  #restMs = 0

  constructor(parts: {
    readonly clock: Clock
    readonly timers: Timers
    readonly foreground: ForegroundUse
  }) {
    this.#clock = parts.clock
    this.#timers = parts.timers
    this.#foreground = parts.foreground
  }

  /** Calls `action` when its turn comes: after everything else that is due in this round of the loop. */
  ask(urgency: CopyUrgency, action: () => void): void {
    this.#waiting.push({ urgency, action })
    this.#arm()
  }

  /** Resolves when its turn comes. */
  next(urgency: CopyUrgency): Promise<void> {
    return new Promise((resolve) => {
      this.ask(urgency, resolve)
    })
  }

  #arm(): void {
    if (this.#isArmed || this.#waiting.length === 0) return
    this.#isArmed = true
    setImmediate(() => {
      const turn = this.#waiting.shift()
      const startedAt = this.#clock.monotonic()
      turn?.action()
      // What the turn set off, such as reading a socket, is part of the round that ends here.
      setImmediate(() => this.#rest(turn?.urgency ?? 'usual', startedAt))
    })
  }

  #rest(urgency: CopyUrgency, startedAt: number): void {
    const now = this.#clock.monotonic()
    const goOn = (): void => {
      this.#isArmed = false
      this.#arm()
    }
    this.#restMs = this.#foreground.isBusy(now)
      ? this.#restMs + restAfterMs(urgency, now - startedAt)
      : 0
    if (this.#restMs < 1) {
      goOn()
      return
    }
    this.#timers.after(Math.floor(this.#restMs), goOn)
    this.#restMs %= 1
  }
}
