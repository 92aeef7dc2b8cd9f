/** Answers of `/healthz` (should this process be restarted?) and `/readyz` (can it serve now?), with every reason against it. */
import type { Clock, TimerHandle, Timers } from '../base/clock.ts'

/** What may speak against a process. */
export interface HealthCheck {
  readonly name: string
  /** A sentence, or nothing when all is well. */
  readonly reason: () => string | undefined
}

export interface HealthAnswer {
  readonly status: 200 | 503
  readonly body: {
    readonly status: 'ok' | 'failed'
    readonly checks: Readonly<Record<string, 'ok' | 'failed'>>
    readonly reasons: readonly string[]
  }
}

/** Makes every check; 503 when one of them fails. */
export function answerHealth(checks: readonly HealthCheck[]): HealthAnswer {
  const findings = checks.map(({ name, reason }) => ({ name, reason: reason() }))
  const reasons = findings.flatMap(({ reason }) => (reason === undefined ? [] : [reason]))
  const isOk = reasons.length === 0
  return {
    status: isOk ? 200 : 503,
    body: {
      status: isOk ? 'ok' : 'failed',
      checks: Object.fromEntries(
        findings.map(({ name, reason }) => [name, reason === undefined ? 'ok' : 'failed']),
      ),
      reasons,
    },
  }
}

const beatMs = 1000
/** How long the event loop may have stood still within the last minute. */
const stallMsMax = 10_000
const stallMemoryMs = 60_000

/** Notices when the event loop stands still, and work of others that makes no progress. */
export class Watchdog {
  readonly #clock: Clock
  readonly #timer: TimerHandle
  readonly #works: { readonly pending: () => number | undefined; last: number; since: number }[] =
    []
  #expectedAt: number
  #stall = { ms: 0, at: 0 }

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock
    this.#expectedAt = clock.monotonic() + beatMs
    this.#timer = timers.every(beatMs, () => {
      this.#beat()
    })
  }

  /** Fails while the event loop stood still for long within the last minute. */
  eventLoop(): HealthCheck {
    return {
      name: 'event-loop',
      reason: () => {
        const { ms, at } = this.#stall
        const agoMs = this.#clock.monotonic() - at
        if (ms < stallMsMax || agoMs > stallMemoryMs) return undefined
        return `The event loop stood still for ${Math.round(ms)} ms, ${Math.round(agoMs / 1000)} s ago`
      },
    }
  }

  /**
   * Watches work that comes to an end sooner or later.
   * @param position changes as work is done; `undefined` while there is none
   * @returns milliseconds for which there was work and none was done
   */
  progressOf(position: () => number | undefined): () => number {
    const work = { pending: position, last: Number.NaN, since: 0 }
    this.#works.push(work)
    return () => {
      const now = position()
      return now === undefined || now !== work.last ? 0 : this.#clock.monotonic() - work.since
    }
  }

  stop(): void {
    this.#timer.cancel()
  }

  #beat(): void {
    const now = this.#clock.monotonic()
    const late = now - this.#expectedAt
    const isOld = now - this.#stall.at > stallMemoryMs
    if (isOld || late >= this.#stall.ms) this.#stall = { ms: late, at: now }
    this.#expectedAt = now + beatMs
    for (const work of this.#works) {
      const position = work.pending() ?? Number.NaN
      if (position === work.last) continue
      work.last = position
      work.since = now
    }
  }
}
