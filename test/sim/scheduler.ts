import process from 'node:process'
import { millis } from '../../base/brand.ts'
import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import type { Prng } from '../../base/prng.ts'

/** Wall-clock time at which every simulation starts; any constant does. */
const epochMs = 1_800_000_000_000
const skewMsMax = 600_000
const million = 1_000_000

/** How far the clocks of a machine are off. The wall clock may jump while it runs. */
export interface ClockSkew {
  wallMs: number
  readonly monotonicMs: number
  /** How much faster than the world both run, parts per million. */
  readonly ratePpm: number
}

interface ScheduledEvent {
  readonly time: number
  readonly sequence: number
  action: (() => void) | undefined
}

/** A simulated process's life: what it scheduled does not happen once it is dead. */
export class Lifetime {
  #isAlive = true
  /** The process is stopped until then: what reaches it waits. */
  frozenUntil = 0
  /** What reached it meanwhile, in order. */
  readonly waiting: (() => void)[] = []
  readonly #mourners = new Set<() => void>()

  get isAlive(): boolean {
    return this.#isAlive
  }

  /** Ends the process in the middle of whatever it does. */
  kill(): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    for (const mourn of [...this.#mourners]) mourn()
    this.#mourners.clear()
  }

  /** Calls `action` when the process dies. Returns how to forget that. */
  onDeath(action: () => void): () => void {
    this.#mourners.add(action)
    return () => this.#mourners.delete(action)
  }
}

const trueRate = { ratePpm: 0 }

/** Clocks that were set by hand, and machines that were started at different times. */
export function drawSkew(prng: Prng, driftPpm: number): ClockSkew {
  return {
    wallMs: prng.below(2 * skewMsMax) - skewMsMax,
    monotonicMs: 1 + prng.below(skewMsMax),
    ratePpm: driftPpm === 0 ? 0 : prng.below(2 * driftPpm + 1) - driftPpm,
  }
}

/**
 * The simulated world's only clock and only source of progress: a heap of events keyed (time, sequence).
 * Between two events all promises settle, so asynchronous code under test runs as between two turns of
 * the event loop, in an order that depends on nothing but the seed.
 */
export class Scheduler {
  readonly #heap: ScheduledEvent[] = []
  #now = 0
  #sequence = 0
  #eventCount = 0
  #isHalted = false

  get now(): number {
    return this.#now
  }

  /** Events that have happened. */
  get eventCount(): number {
    return this.#eventCount
  }

  /**
   * Does `action` after `delayMs` of simulated time, rounded up to whole milliseconds as clocks tell them; with 0,
   * after everything due at this moment already.
   */
  after(delayMs: number, action: () => void): TimerHandle {
    const event: ScheduledEvent = {
      time: this.#now + Math.max(0, Math.ceil(delayMs)),
      sequence: this.#sequence,
      action,
    }
    this.#sequence += 1
    this.#push(event)
    return {
      cancel() {
        event.action = undefined
      },
    }
  }

  /** Resolves after `delayMs`. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve)
    })
  }

  /** The clocks of one machine. */
  clockOf(skew: ClockSkew): Clock {
    const { ratePpm } = skew
    const elapsed = (): number => this.#now + Math.floor((this.#now * ratePpm) / million)
    return {
      wall: () => millis(epochMs + elapsed() + skew.wallMs),
      monotonic: () => millis(elapsed() + skew.monotonicMs),
    }
  }

  /**
   * Does `action` of a process: at once, when the process runs again, or, when it is dead, never. What has waited goes
   * before what comes later, in the order in which it came.
   */
  within(life: Lifetime, action: () => void): void {
    if (!life.isAlive) return
    if (life.frozenUntil <= this.#now && life.waiting.length === 0) {
      action()
      return
    }
    life.waiting.push(action)
    if (life.waiting.length === 1) this.#goOn(life)
  }

  #goOn(life: Lifetime): void {
    this.after(life.frozenUntil - this.#now, () => {
      if (!life.isAlive) return
      if (life.frozenUntil <= this.#now) life.waiting.shift()?.()
      if (life.waiting.length > 0) this.#goOn(life)
    })
  }

  /** Timers of a process, by its machine's clock; they die with it. One that is due while it stands still may be cancelled before it goes on. */
  timersOf(life: Lifetime, { ratePpm }: Pick<ClockSkew, 'ratePpm'> = trueRate): Timers {
    const after = (delayMs: number, action: () => void): TimerHandle => {
      let isCancelled = false
      const worldMs = ratePpm === 0 ? delayMs : Math.ceil((delayMs * million) / (million + ratePpm))
      const handle = this.after(worldMs, () => {
        this.within(life, () => {
          if (!isCancelled) action()
        })
      })
      return {
        cancel() {
          isCancelled = true
          handle.cancel()
        },
      }
    }
    return {
      after,
      every: (periodMs, action) => {
        let handle = after(periodMs, tick)
        function tick(): void {
          handle = after(periodMs, tick)
          action()
        }
        return { cancel: () => handle.cancel() }
      },
    }
  }

  get isHalted(): boolean {
    return this.#isHalted
  }

  /** Stops the run: nothing happens any more. */
  halt(): void {
    this.#isHalted = true
  }

  /**
   * Lets events happen until `isDone`, at most until `deadline` of simulated time. False when that came
   * first, or the run was halted. Call it from a callback of the event loop, not from a promise's.
   */
  run(isDone: () => boolean, deadline: number): boolean {
    settlePromises()
    while (!isDone()) {
      const next = this.#heap[0]
      if (this.#isHalted || next === undefined || next.time > deadline) return false
      this.#pop()
      if (next.action === undefined) continue
      this.#now = next.time
      this.#eventCount += 1
      next.action()
      settlePromises()
    }
    return true
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = heap[parentIndex] as ScheduledEvent
      if (!isBefore(event, parent)) break
      heap[index] = parent
      index = parentIndex
    }
    heap[index] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      const right = child + 1
      if (
        right < heap.length &&
        isBefore(heap[right] as ScheduledEvent, heap[child] as ScheduledEvent)
      ) {
        child = right
      }
      const candidate = heap[child] as ScheduledEvent
      if (!isBefore(candidate, last)) break
      heap[index] = candidate
      index = child
    }
    heap[index] = last
  }
}

function isBefore(left: ScheduledEvent, right: ScheduledEvent): boolean {
  return left.time < right.time || (left.time === right.time && left.sequence < right.sequence)
}

/**
 * Lets every promise callback that is ready run, and those they make ready, as Node does between two turns
 * of its event loop, and with the same function: a turn of the real loop would cost seven times as much.
 */
function settlePromises(): void {
  tickCallback.call(process)
}

const { _tickCallback: tickCallback } = process as unknown as { _tickCallback: () => void }
