import { assert } from './assert.ts'

/** The newest values of a sequence without an end: what is beyond the capacity pushes the oldest out. */
export class Ring<T> {
  readonly #capacity: number
  readonly #values: T[] = []
  /** Where the oldest is, once the ring is full. */
  #head = 0

  constructor(capacity: number) {
    assert(capacity > 0, 'a ring has room for something')
    this.#capacity = capacity
  }

  get length(): number {
    return this.#values.length
  }

  push(value: T): void {
    if (this.#values.length < this.#capacity) {
      this.#values.push(value)
      return
    }
    this.#values[this.#head] = value
    this.#head = (this.#head + 1) % this.#capacity
  }

  /** The oldest first. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let index = 0; index < this.#values.length; index += 1) {
      yield this.#values[(this.#head + index) % this.#values.length] as T
    }
  }

  /** The newest first. */
  *reversed(): IterableIterator<T> {
    for (let index = this.#values.length - 1; index >= 0; index -= 1) {
      yield this.#values[(this.#head + index) % this.#values.length] as T
    }
  }
}
