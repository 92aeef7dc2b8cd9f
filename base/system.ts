import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { millis } from './brand.ts'
import type { Clock, Timers } from './clock.ts'
import { Prng } from './prng.ts'

/** The machine's clock. */
export const systemClock: Clock = {
  wall: () => millis(Date.now()),
  monotonic: () => millis(Math.floor(performance.now())),
}

/** The event loop's timers; none of them keeps the process alive. */
export const systemTimers: Timers = {
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs)
    timer.unref()
    return {
      cancel() {
        clearTimeout(timer)
      },
    }
  },
  every(periodMs, action) {
    const timer = setInterval(action, periodMs)
    timer.unref()
    return {
      cancel() {
        clearInterval(timer)
      },
    }
  },
}

/** `length` bytes of the operating system's randomness. */
export function systemRandomBytes(length: number): Uint8Array {
  return randomBytes(length)
}

/** A generator seeded from the operating system; for choices that need not be repeatable. */
export function systemPrng(): Prng {
  return new Prng(randomBytes(4).readUInt32LE(0))
}
