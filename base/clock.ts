import type { Millis } from './brand.ts'

/** Source of time. The two methods differ on purpose: only `monotonic` may measure a duration. */
export interface Clock {
  /** Wall-clock milliseconds since the epoch; may jump. For timestamps that people or files see. */
  wall(): Millis
  /** Milliseconds of a clock that never goes back. For time-outs, leases and rates. */
  monotonic(): Millis
}

/** Handle of a pending timer. */
export interface TimerHandle {
  /** Cancels the timer; does nothing once it has fired. */
  cancel(): void
}

/** Source of delayed calls, so that a simulation can own them. */
export interface Timers {
  /** Calls `action` once, `delayMs` from now. A pending timer does not keep the process alive. */
  after(delayMs: number, action: () => void): TimerHandle
  /** Calls `action` every `periodMs` until cancelled. */
  every(periodMs: number, action: () => void): TimerHandle
}
