/**
 * A row that an operation needs is not in memory. Thrown below `propose` only, which turns it into the
 * outcome 'miss'; the path on which every row is resident throws nothing.
 */
import type { Miss } from './requests.ts'

/** Carries the rows to load before the operation is proposed again. */
export class RowMiss extends Error {
  override readonly name = 'RowMiss'
  readonly misses: readonly Miss[]

  constructor(misses: readonly Miss[]) {
    super('Rows are not resident')
    this.misses = misses
  }
}

/** Gathers the misses of several look-ups, so that they are loaded together. */
export class MissCollector {
  readonly #misses: Miss[] = []

  get misses(): readonly Miss[] {
    return this.#misses
  }

  note(miss: Miss): void {
    this.#misses.push(miss)
  }

  /** Returns what `look` returns, or undefined after noting what it missed. */
  attempt<T>(look: () => T): T | undefined {
    try {
      return look()
    } catch (error) {
      if (!(error instanceof RowMiss)) throw error
      this.#misses.push(...error.misses)
      return undefined
    }
  }

  /** @throws {@link RowMiss} when anything was missed. */
  raise(): void {
    if (this.#misses.length > 0) throw new RowMiss(this.#misses)
  }
}
