/**
 * Resident inodes by id. A slot without a row says that the inode is known not to exist. Each slot
 * remembers the transaction that changed it last (0: as loaded), because a row may leave memory only
 * when SQLite has it, and a bit for the clock that picks what leaves.
 */
import type { InodeId, TxId } from '../../protocol/ids.ts'
import type { InodeRow } from './changes.ts'

/** Last change of rows that are as SQLite holds them. */
export const loadedTxId = 0 as TxId

/** Slots one call looks at: bounds the pause while a large unfolded tail keeps everything pinned. */
export const evictionStepsMax = 100_000

export interface InodeSlot {
  row: InodeRow | undefined
  changedAt: TxId
  isUsed: boolean
}

export class InodeTable {
  readonly #slotById = new Map<InodeId, InodeSlot>()
  #hand: IterableIterator<[InodeId, InodeSlot]> | undefined

  get size(): number {
    return this.#slotById.size
  }

  /** The slot of an inode, marked as used; undefined when it is not resident. */
  find(id: InodeId): InodeSlot | undefined {
    const slot = this.#slotById.get(id)
    if (slot !== undefined) slot.isUsed = true
    return slot
  }

  /** As {@link find} without marking. */
  peek(id: InodeId): InodeSlot | undefined {
    return this.#slotById.get(id)
  }

  /** Sets a row, or its absence, as of transaction `at`. */
  set(id: InodeId, row: InodeRow | undefined, at: TxId): void {
    const slot = this.#slotById.get(id)
    if (slot === undefined) {
      this.#slotById.set(id, { row, changedAt: at, isUsed: true })
    } else {
      slot.row = row
      slot.changedAt = at
      slot.isUsed = true
    }
  }

  /** Takes a loaded row unless the inode is resident. */
  provide(id: InodeId, row: InodeRow | undefined): void {
    if (!this.#slotById.has(id)) {
      this.#slotById.set(id, { row, changedAt: loadedTxId, isUsed: true })
    }
  }

  /**
   * Drops slots that were not used since the hand passed last and not changed after `through`, until
   * `target` are left, the hand went round twice or a bound is reached. `dropped` sees each row that leaves.
   */
  evict(target: number, through: TxId, dropped: (row: InodeRow) => void): void {
    let steps = Math.min(2 * this.#slotById.size, evictionStepsMax)
    while (this.#slotById.size > target && steps > 0) {
      steps -= 1
      this.#hand ??= this.#slotById.entries()
      const next = this.#hand.next()
      if (next.done === true) {
        this.#hand = undefined
        continue
      }
      const [id, slot] = next.value
      if (slot.changedAt > through) continue
      if (slot.isUsed) {
        slot.isUsed = false
        continue
      }
      this.#slotById.delete(id)
      if (slot.row !== undefined) dropped(slot.row)
    }
  }

  /** Every resident row, for checks. */
  *rows(): Generator<InodeRow, undefined> {
    for (const { row } of this.#slotById.values()) if (row !== undefined) yield row
  }
}
