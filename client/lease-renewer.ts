import type { TimerHandle, Timers } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'

/** Parts of a {@link LeaseRenewer}. */
export interface LeaseRenewerOptions {
  /** Sends one renewLease for this client's name. */
  readonly renew: () => Promise<void>
  /** Half of the namenode's soft limit, so that one lost renewal does not cost the lease. */
  readonly periodMs: number
  readonly timers: Timers
  readonly logger: Logger
}

/** Renews the lease of this client while it has files open for writing, and only then. */
export class LeaseRenewer {
  readonly #options: LeaseRenewerOptions
  readonly #files = new Set<object>()
  #timer: TimerHandle | undefined
  #isRenewing = false

  constructor(options: LeaseRenewerOptions) {
    this.#options = options
  }

  /** Files open for writing. */
  get openFiles(): number {
    return this.#files.size
  }

  /** Keeps the lease alive until `file` is removed. */
  add(file: object): void {
    this.#files.add(file)
    this.#timer ??= this.#options.timers.every(this.#options.periodMs, () => {
      void this.#renew()
    })
  }

  /** `file` needs the lease no more. */
  remove(file: object): void {
    this.#files.delete(file)
    if (this.#files.size > 0) return
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** A renewal that fails is repeated by the next beat; a lease that is lost meanwhile shows in the write. */
  async #renew(): Promise<void> {
    if (this.#isRenewing) return
    this.#isRenewing = true
    try {
      await this.#options.renew()
    } catch (error) {
      this.#options.logger.warn('lease-renewal-failed', { error, openFiles: this.#files.size })
    } finally {
      this.#isRenewing = false
    }
  }
}
