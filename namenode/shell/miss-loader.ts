import type { TxId } from '../../protocol/ids.ts'
import type { Loaded, Miss } from '../core/requests.ts'
import type { NamespaceStore } from './namespace-store.ts'

/** Rows asked for in one go; bounds how long a load keeps its connection. */
const missesPerLoadMax = 256
/** As many as the store has reading connections. */
const loadsInFlightMax = 2

export interface MissLoaderOptions {
  readonly store: NamespaceStore
  /** Takes rows into memory. */
  readonly provide: (loaded: Loaded) => void
}

interface Waiter {
  remaining: number
  page: Loaded | undefined
  readonly onReady: (page: Loaded | undefined) => void
  readonly onError: (error: unknown) => void
}

interface Wanted {
  readonly miss: Miss
  readonly waiters: Waiter[]
}

interface Load {
  /** What the store held when the load began; its rows may be as old as that. */
  readonly startedAt: TxId
}

/**
 * Loads missing rows in batches: everything that misses while the connections are busy goes into the
 * next load, and requests that miss the same row share it.
 *
 * A load counts as under way until those who waited for it have proposed again, which happens
 * synchronously. So a page of a listing meets the unfolded changes it has to be merged with.
 */
export class MissLoader {
  readonly #options: MissLoaderOptions
  readonly #queue = new Map<string, Wanted>()
  readonly #inFlight = new Set<Load>()
  #isScheduled = false
  #loadCount = 0
  #pageCount = 0

  constructor(options: MissLoaderOptions) {
    this.#options = options
  }

  /** Loads done so far. */
  get loadCount(): number {
    return this.#loadCount
  }

  /** Rows that wait to be asked for. */
  get queueLength(): number {
    return this.#queue.size
  }

  /** The oldest state of the store that a load under way may answer with. */
  oldestLoadStartedAt(): TxId {
    let oldest = this.#options.store.position.appliedTxid
    for (const { startedAt } of this.#inFlight) if (startedAt < oldest) oldest = startedAt
    return oldest
  }

  /** Calls `onReady` once all `misses` are provided; with the page when one of them asked for children. */
  request(
    misses: readonly Miss[],
    onReady: (page: Loaded | undefined) => void,
    onError: (error: unknown) => void,
  ): void {
    const waiter: Waiter = { remaining: misses.length, page: undefined, onReady, onError }
    for (const miss of misses) {
      const key = this.#keyOf(miss)
      const wanted = this.#queue.get(key)
      if (wanted === undefined) this.#queue.set(key, { miss, waiters: [waiter] })
      else wanted.waiters.push(waiter)
    }
    this.#schedule()
  }

  #keyOf(miss: Miss): string {
    switch (miss.kind) {
      case 'inode':
        return `i${miss.id}`
      case 'entry':
        return `e${miss.parent}/${miss.name}`
      case 'blocks-of-inode':
        return `f${miss.inode}`
      case 'block':
        return `b${miss.id}`
      case 'children':
        this.#pageCount += 1
        return `c${this.#pageCount}`
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#inFlight.size >= loadsInFlightMax) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      while (this.#queue.size > 0 && this.#inFlight.size < loadsInFlightMax) this.#start()
    })
  }

  #start(): void {
    const wanted: Wanted[] = []
    for (const [key, row] of this.#queue) {
      if (wanted.length === missesPerLoadMax) break
      this.#queue.delete(key)
      wanted.push(row)
    }
    const load: Load = { startedAt: this.#options.store.position.appliedTxid }
    this.#inFlight.add(load)
    this.#loadCount += 1
    this.#options.store.load(wanted.map(({ miss }) => miss)).then(
      (rows) => {
        this.#finish(load, () => {
          this.#deliver(wanted, rows)
        })
      },
      (error: unknown) => {
        this.#finish(load, () => {
          for (const { waiters } of wanted) for (const { onError } of waiters) onError(error)
        })
      },
    )
  }

  #finish(load: Load, deliver: () => void): void {
    try {
      deliver()
    } finally {
      this.#inFlight.delete(load)
      if (this.#queue.size > 0) this.#schedule()
    }
  }

  #deliver(wanted: readonly Wanted[], rows: readonly Loaded[]): void {
    for (const row of rows) this.#options.provide(row)
    for (const [index, { waiters }] of wanted.entries()) {
      const row = rows[index]
      for (const waiter of waiters) {
        if (row?.kind === 'children') waiter.page = row
        waiter.remaining -= 1
        if (waiter.remaining === 0) waiter.onReady(waiter.page)
      }
    }
  }
}
