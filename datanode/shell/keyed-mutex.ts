/** Runs actions on one key one after the other; different keys do not wait for each other. */
export class KeyedMutex<Key> {
  readonly #lastByKey = new Map<Key, Promise<unknown>>()

  /** True while an action on `key` runs or waits. */
  isHeld(key: Key): boolean {
    return this.#lastByKey.has(key)
  }

  /** Resolves when all actions known now have ended. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#lastByKey.values()])
  }

  run<T>(key: Key, action: () => Promise<T>): Promise<T> {
    const last = this.#lastByKey.get(key)
    const result = last === undefined ? action() : last.then(action, action)
    this.#lastByKey.set(key, result)
    const forget = (): void => {
      if (this.#lastByKey.get(key) === result) this.#lastByKey.delete(key)
    }
    result.then(forget, forget)
    return result
  }
}
