/**
 * Resident blocks, by file. A file's list is either whole, or only the rows that transactions changed
 * while the rest was not in memory (replay at start); loading the rest makes it whole. Blocks can be found
 * by id while they are not complete (at most two per open file, so these stay) and until the store has
 * them as complete.
 */
import { assert } from '../../base/assert.ts'
import type { BlockId, InodeId, TxId } from '../../protocol/ids.ts'
import type { BlockRow } from './changes.ts'
import { evictionStepsMax, loadedTxId } from './inode-table.ts'

/** Blocks looked up by id that turned out complete or unknown; only for the retry of the same request. */
const lookedUpMax = 1024

interface BlockList {
  whole: BlockRow[] | undefined
  /** While not whole: rows by index as changed since, undefined for a deleted one. */
  changed: Map<number, BlockRow | undefined> | undefined
  changedAt: TxId
  isUsed: boolean
}

export class BlockTable {
  readonly #listByInode = new Map<InodeId, BlockList>()
  readonly #inodeByOpenBlock = new Map<BlockId, InodeId>()
  /** Completed blocks that can still be found, with the change that completed them, oldest first. */
  readonly #completedAt = new Map<BlockId, TxId>()
  readonly #lookedUp = new Map<BlockId, InodeId | undefined>()
  #hand: IterableIterator<[InodeId, BlockList]> | undefined

  /** The blocks of a file in order; undefined when not all are resident. Borrowed until the next change. */
  find(inode: InodeId): readonly BlockRow[] | undefined {
    const list = this.#listByInode.get(inode)
    if (list?.whole === undefined) return undefined
    list.isUsed = true
    return list.whole
  }

  /** The file of a block: 'absent' when it has none, undefined when memory cannot tell. */
  inodeOf(block: BlockId): InodeId | 'absent' | undefined {
    const open = this.#inodeByOpenBlock.get(block)
    if (open !== undefined) return open
    if (!this.#lookedUp.has(block)) return undefined
    return this.#lookedUp.get(block) ?? 'absent'
  }

  /** Notes a file that was just made: it has no blocks. */
  created(inode: InodeId, at: TxId): void {
    this.#listByInode.set(inode, { whole: [], changed: undefined, changedAt: at, isUsed: true })
  }

  put(row: BlockRow, at: TxId): void {
    const list = this.#list(row.inode)
    list.changedAt = at
    list.isUsed = true
    if (list.whole === undefined) changedOf(list).set(row.index, row)
    else {
      assert(row.index <= list.whole.length, `block ${row.id} leaves a gap in its file`)
      // Most files have one block: an exact array, where a grown one would keep room for 16 more.
      if (row.index === 0) list.whole = [row, ...list.whole.slice(1)]
      else list.whole[row.index] = row
    }
    this.#completedAt.delete(row.id)
    if (row.state === 'complete') this.#completedAt.set(row.id, at)
    this.#inodeByOpenBlock.set(row.id, row.inode)
    this.#lookedUp.delete(row.id)
  }

  /** Block `id` is gone, and place `index` with it, unless it is behind the end: then another block stands there by now. */
  delete(inode: InodeId, index: number, id: BlockId, at: TxId): void {
    const list = this.#list(inode)
    list.changedAt = at
    if (list.whole === undefined) changedOf(list).set(index, undefined)
    else if (index < list.whole.length) {
      assert(index === list.whole.length - 1, `block ${id} is not the last of its file`)
      list.whole.pop()
    }
    this.#inodeByOpenBlock.delete(id)
    this.#completedAt.delete(id)
    this.#lookedUp.delete(id)
  }

  /** The inode is gone; what it had was deleted, or belongs to another one (concat). */
  forsaken(inode: InodeId, at: TxId): void {
    const list = this.#listByInode.get(inode)
    if (list === undefined) return
    list.whole = []
    list.changed = undefined
    list.changedAt = at
  }

  /** Takes the loaded blocks of a file; rows changed since stay as they are. */
  provide(inode: InodeId, rows: readonly BlockRow[]): void {
    const list = this.#list(inode)
    if (list.whole !== undefined) return
    const byIndex = new Map<number, BlockRow | undefined>(rows.map((row) => [row.index, row]))
    for (const [index, row] of list.changed ?? []) byIndex.set(index, row)
    const whole = [...byIndex.values()]
      .filter((row) => row !== undefined)
      .sort((left, right) => left.index - right.index)
    whole.forEach((row, index) => {
      assert(row.index === index, `file ${inode} lacks its block ${index}`)
      if (row.state !== 'complete') this.#inodeByOpenBlock.set(row.id, inode)
    })
    list.whole = whole
    list.isUsed = true
    list.changed = undefined
  }

  /** Takes a block loaded by id, for {@link inodeOf}. */
  provideOwner(id: BlockId, row: BlockRow | undefined): void {
    if (this.#inodeByOpenBlock.has(id)) return
    this.#lookedUp.delete(id)
    this.#lookedUp.set(id, row?.inode)
    for (const oldest of this.#lookedUp.keys()) {
      if (this.#lookedUp.size <= lookedUpMax) break
      this.#lookedUp.delete(oldest)
    }
  }

  /** Forgets the list of an inode that left memory, if it is not newer than `through`. */
  drop(inode: InodeId, through: TxId): void {
    const list = this.#listByInode.get(inode)
    if (list !== undefined && list.changedAt <= through) this.#listByInode.delete(inode)
  }

  /** As the inodes' eviction. */
  evict(target: number, through: TxId): void {
    for (const [id, at] of this.#completedAt) {
      if (at > through) break
      this.#completedAt.delete(id)
      this.#inodeByOpenBlock.delete(id)
    }
    let steps = Math.min(2 * this.#listByInode.size, evictionStepsMax)
    while (this.#listByInode.size > target && steps > 0) {
      steps -= 1
      this.#hand ??= this.#listByInode.entries()
      const next = this.#hand.next()
      if (next.done === true) {
        this.#hand = undefined
        continue
      }
      const [inode, list] = next.value
      if (list.changedAt > through) continue
      if (list.isUsed) list.isUsed = false
      else this.#listByInode.delete(inode)
    }
  }

  /** Every whole list, for checks. */
  *wholeLists(): Generator<{ inode: InodeId; blocks: readonly BlockRow[] }, undefined> {
    for (const [inode, { whole }] of this.#listByInode) {
      if (whole !== undefined) yield { inode, blocks: whole }
    }
  }

  #list(inode: InodeId): BlockList {
    let list = this.#listByInode.get(inode)
    if (list === undefined) {
      list = { whole: undefined, changed: undefined, changedAt: loadedTxId, isUsed: true }
      this.#listByInode.set(inode, list)
    }
    return list
  }
}

function changedOf(list: BlockList): Map<number, BlockRow | undefined> {
  list.changed ??= new Map()
  return list.changed
}
