/**
 * Passes over the whole block map in small steps: after a datanode died or a storage failed (which
 * blocks had a replica there?), and once after start (which blocks lack replicas, which replicas lack
 * a block?). There is no list of blocks per storage, because it would cost more memory than the
 * replicas themselves; looking at a million entries takes some ten milliseconds.
 *
 * Requests that come during a pass wait for the next one and are then served together.
 */
import type { BlockMap, Slot } from './block-map.ts'

/** What a pass looks for: replicas on some storages, or every entry. */
type Interest = { readonly kind: 'storages'; readonly indexes: Set<number> } | { kind: 'all' }

/** The pass under way and the one to come. */
export class BlockScan {
  readonly #map: BlockMap
  #current: Interest | undefined
  #next: Interest | undefined
  #cursor = 0

  constructor(map: BlockMap) {
    this.#map = map
  }

  get isIdle(): boolean {
    return this.#current === undefined && this.#next === undefined
  }

  requestAll(): void {
    this.#next = { kind: 'all' }
  }

  requestStorages(indexes: Iterable<number>): void {
    if (this.#next?.kind === 'all') return
    this.#next ??= { kind: 'storages', indexes: new Set() }
    for (const index of indexes) this.#next.indexes.add(index)
  }

  /** Looks at up to `entriesMax` entries and calls `visit` for those of interest. */
  run(entriesMax: number, visit: (at: Slot) => void): void {
    let rest = entriesMax
    while (rest > 0 && !this.isIdle) {
      if (this.#current === undefined) {
        this.#current = this.#next
        this.#next = undefined
        this.#cursor = 0
      }
      const end = Math.min(this.#map.slotLimit, this.#cursor + rest)
      rest -= Math.max(1, end - this.#cursor)
      for (; this.#cursor < end; this.#cursor += 1) {
        const at = this.#map.usedSlot(this.#cursor)
        if (at !== undefined && this.#isOfInterest(at)) visit(at)
      }
      if (this.#cursor >= this.#map.slotLimit) this.#current = undefined
    }
  }

  #isOfInterest(at: Slot): boolean {
    const interest = this.#current
    if (interest === undefined) return false
    if (interest.kind === 'all') return true
    return this.#map.isOnAny(at, interest.indexes)
  }
}
