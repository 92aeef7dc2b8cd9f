import { assert } from './assert.ts'

/**
 * First-in first-out ring buffer with a fixed capacity. `push` on a full queue is a programmer error:
 * callers ask `isFull` first and turn it into back-pressure.
 */
export class BoundedQueue<T> {
  readonly #slots: (T | undefined)[]
  #head = 0
  #count = 0

  readonly capacity: number

  constructor(capacity: number) {
    this.capacity = capacity
    assert(Number.isInteger(capacity) && capacity > 0, `capacity must be positive, got ${capacity}`)
    this.#slots = new Array<T | undefined>(capacity)
  }

  get count(): number {
    return this.#count
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  get isFull(): boolean {
    return this.#count === this.capacity
  }

  push(item: T): void {
    assert(!this.isFull, `queue of ${this.capacity} is full`)
    this.#slots[(this.#head + this.#count) % this.capacity] = item
    this.#count += 1
  }

  /** Returns the oldest item without removing it, or `undefined` when empty. */
  peek(): T | undefined {
    return this.isEmpty ? undefined : this.#slots[this.#head]
  }

  /** Removes and returns the oldest item, or `undefined` when empty. */
  shift(): T | undefined {
    if (this.isEmpty) return undefined
    const item = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) % this.capacity
    this.#count -= 1
    return item
  }

  /** Iterates from oldest to newest without removing. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let index = 0; index < this.#count; index += 1) {
      yield this.#slots[(this.#head + index) % this.capacity] as T
    }
  }
}
