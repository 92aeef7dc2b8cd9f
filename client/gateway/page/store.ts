import { useEffect, useState } from 'preact/hooks'

/** A value that components follow, wherever it is changed. */
export interface Store<T> {
  readonly get: () => T
  readonly update: (change: Partial<T>) => void
  /** The value as it is now, rendered again with every change. */
  readonly use: () => T
}

export function createStore<T extends object>(initial: T): Store<T> {
  let value = initial
  const listeners = new Set<(value: T) => void>()
  return {
    get: () => value,
    update(change) {
      value = { ...value, ...change }
      for (const listener of listeners) listener(value)
    },
    use() {
      const [seen, setSeen] = useState(value)
      useEffect(() => {
        listeners.add(setSeen)
        setSeen(value)
        return () => {
          listeners.delete(setSeen)
        }
      }, [])
      return seen
    },
  }
}
