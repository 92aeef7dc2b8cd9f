import { setTimeout as delay } from 'node:timers/promises'

/** Requests whose handlers are not done: also those whose clients are gone and whose files are being given back. */
export class WorkInFlight {
  readonly #pending = new Set<Promise<void>>()

  get count(): number {
    return this.#pending.size
  }

  /** Counts `work`, whose failures are its own, until it is done. */
  track(work: Promise<void>): void {
    const counted = work.finally(() => this.#pending.delete(counted))
    this.#pending.add(counted)
  }

  /** Returns when everything is done, or after `limitMs`. */
  async settled(limitMs: number): Promise<void> {
    const controller = new AbortController()
    const { signal } = controller
    const limit = delay(limitMs, undefined, { signal }).catch(() => undefined)
    await Promise.race([Promise.all(this.#pending), limit])
    controller.abort()
  }
}
