import { type Millis, millis } from '../../base/brand.ts'
import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'

interface Pending {
  at: number
  readonly action: () => void
  readonly periodMs: number | undefined
}

/** A clock and timers that only move when told to. */
export class ManualTime implements Clock, Timers {
  readonly #pending = new Set<Pending>()
  #now = 1000

  monotonic(): Millis {
    return millis(this.#now)
  }

  wall(): Millis {
    return millis(1_700_000_000_000 + this.#now)
  }

  after(delayMs: number, action: () => void): TimerHandle {
    return this.#add({ at: this.#now + delayMs, action, periodMs: undefined })
  }

  every(periodMs: number, action: () => void): TimerHandle {
    return this.#add({ at: this.#now + periodMs, action, periodMs })
  }

  /** Moves time, fires what is due in its order, and lets promises run after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const [next] = [...this.#pending].sort((left, right) => left.at - right.at)
      if (next === undefined || next.at > end) break
      this.#now = Math.max(this.#now, next.at)
      if (next.periodMs === undefined) this.#pending.delete(next)
      else next.at += next.periodMs
      next.action()
      await settled()
    }
    this.#now = end
    await settled()
  }

  /** The process whose timers these were is gone. */
  cancelAll(): void {
    this.#pending.clear()
  }

  #add(pending: Pending): TimerHandle {
    this.#pending.add(pending)
    return {
      cancel: () => {
        this.#pending.delete(pending)
      },
    }
  }
}

/** Lets every promise that can go on do so; nothing here waits for real I/O. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await new Promise((resolve) => {
      setImmediate(resolve)
    })
  }
}
