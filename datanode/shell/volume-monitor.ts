import type { TimerHandle, Timers } from '../../base/clock.ts'
import type { Volume } from './volume.ts'

/** Least time between two looks at one volume: a burst of failed operations makes one look. */
const checkGapMs = 1000

export interface VolumeMonitorOptions {
  readonly volumes: readonly Volume[]
  readonly timers: Timers
  /** Milliseconds between looks at a volume of which nothing bad is known. */
  readonly intervalMs: number
  /** A disk that does not answer for this long counts as failed. */
  readonly timeoutMs: number
}

/** Has every volume look whether its disk still works: from time to time, and soon after an error. */
export class VolumeMonitor {
  readonly #options: VolumeMonitorOptions
  readonly #checks = new Map<Volume, Promise<void>>()
  readonly #soon = new Map<Volume, TimerHandle>()
  readonly #period: TimerHandle

  constructor(options: VolumeMonitorOptions) {
    this.#options = options
    this.#period = options.timers.every(options.intervalMs, () => {
      for (const volume of options.volumes) void this.check(volume)
    })
  }

  /** An operation on `volume` failed: looks at it soon. */
  suspect(volume: Volume): void {
    if (this.#soon.has(volume)) return
    const handle = this.#options.timers.after(checkGapMs, () => {
      this.#soon.delete(volume)
      void this.check(volume)
    })
    this.#soon.set(volume, handle)
  }

  /** Looks at `volume` now, or joins a look under way. Never rejects. */
  check(volume: Volume): Promise<void> {
    const running = this.#checks.get(volume)
    if (running !== undefined) return running
    const { timers, timeoutMs } = this.#options
    const late = timers.after(timeoutMs, () => {
      volume.fail(`it did not answer for ${timeoutMs} ms`)
    })
    const check = volume.check().finally(() => {
      late.cancel()
      this.#checks.delete(volume)
    })
    this.#checks.set(volume, check)
    return check
  }

  /** Ends all looks, waiting for those under way unless their disk does not answer. */
  async close(): Promise<void> {
    this.#period.cancel()
    for (const handle of this.#soon.values()) handle.cancel()
    this.#soon.clear()
    const answering = [...this.#checks].filter(([volume]) => !volume.isFailed)
    await Promise.all(answering.map(([, check]) => check))
  }
}
