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
  /** Of the current pass: 1 at the index of each storage of interest. */
  #isWanted = new Uint8Array()
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

  /**
   * Looks at up to `entriesMax` entries and calls `visit` for those of interest, up to `visitsMax`.
   */
  run(entriesMax: number, visitsMax: number, visit: (at: Slot) => void): void {
    let rest = entriesMax
    let visits = 0
    while (rest > 0 && visits < visitsMax && !this.isIdle) {
      if (this.#current === undefined) {
        this.#current = this.#next
        this.#next = undefined
        this.#cursor = 0
        this.#isWanted = markedIndexes(this.#current)
      }
      const end = Math.min(this.#map.slotLimit, this.#cursor + rest)
      const start = this.#cursor
      while (this.#cursor < end && visits < visitsMax) {
        const at = this.#map.usedSlot(this.#cursor)
        this.#cursor += 1
        if (at === undefined || !this.#isOfInterest(at)) continue
        visits += 1
        visit(at)
      }
      rest -= Math.max(1, this.#cursor - start)
      if (this.#cursor >= this.#map.slotLimit) this.#current = undefined
    }
  }

  #isOfInterest(at: Slot): boolean {
    const interest = this.#current
    if (interest === undefined) return false
    if (interest.kind === 'all') return true
    return this.#map.isOnAny(at, this.#isWanted)
  }
}

function markedIndexes(interest: Interest | undefined): Uint8Array<ArrayBuffer> {
  if (interest?.kind !== 'storages') return new Uint8Array()
  const marks = new Uint8Array(Math.max(0, ...interest.indexes) + 1)
  for (const index of interest.indexes) marks[index] = 1
  return marks
}
