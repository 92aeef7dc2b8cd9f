import { assert } from './assert.ts'

/**
 * Seeded integer generator (xorshift128 seeded by splitmix32). Integers only, so that every platform
 * draws the same sequence; the caller owns the instance and drawing is its only state.
 */
export class Prng {
  readonly #state = new Uint32Array(4)

  constructor(seed: number) {
    let mixed = seed >>> 0
    for (let index = 0; index < 4; index += 1) {
      mixed = (mixed + 0x9e3779b9) >>> 0
      let word = mixed
      word = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
      word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
      this.#state[index] = (word ^ (word >>> 16)) >>> 0
    }
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1
  }

  /** Draws a uniformly distributed 32-bit unsigned integer. */
  next(): number {
    const state = this.#state
    let mixed = state[3] ?? 0
    const first = state[0] ?? 0
    state[3] = state[2] ?? 0
    state[2] = state[1] ?? 0
    state[1] = first
    mixed ^= mixed << 11
    mixed ^= mixed >>> 8
    state[0] = (mixed ^ first ^ (first >>> 19)) >>> 0
    return state[0]
  }

  /** Draws an integer in `[0, limit)`; `limit` is at most 2³². */
  below(limit: number): number {
    assert(Number.isInteger(limit) && limit > 0, `limit must be a positive integer, got ${limit}`)
    const span = 2 ** 32
    const fair = span - (span % limit)
    let drawn = this.next()
    while (drawn >= fair) drawn = this.next()
    return drawn % limit
  }

  /** True with probability `numerator / denominator`. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator
  }

  /** Returns one element of a non-empty list. */
  pick<T>(items: readonly T[]): T {
    const index = this.below(items.length)
    return items[index] as T
  }

  /** Shuffles `items` in place (Fisher–Yates) and returns it. */
  shuffle<T>(items: T[]): T[] {
    for (let index = items.length - 1; index > 0; index -= 1) {
      const other = this.below(index + 1)
      const held = items[index] as T
      items[index] = items[other] as T
      items[other] = held
    }
    return items
  }
}
