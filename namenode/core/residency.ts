/**
 * The rows in memory: inodes, entries and blocks, as of the last applied transaction, over a store that
 * lags behind. Memory wins over anything loaded; what memory does not hold is a miss.
 *
 * A row may leave when its last change is folded (the store has it) and is not newer than the start of
 * the oldest load under way. Otherwise a page read before the change could arrive after the row left,
 * and bring the old row back:
 *
 *     load starts (sees tx 7) · tx 8 changes row · fold to 8 · evict row · load provides row of tx 7
 */
import type { BlockId, InodeId, TxId } from '../../protocol/ids.ts'
import { orphanageInodeId, rootInodeId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { BlockTable } from './block-table.ts'
import type { BlockRow, InodeRow, NamespaceChange } from './changes.ts'
import { EntryTable } from './entry-table.ts'
import { InodeTable, loadedTxId } from './inode-table.ts'
import type { Loaded } from './requests.ts'
import { RowMiss } from './row-miss.ts'

/** Rows of files only: ids are the namesystem's, and the few rows of datanodes the block side's. */
export type RowChange = Exclude<
  NamespaceChange,
  { kind: 'ids.allocated' | 'datanode.put' | 'datanode.delete' }
>

export class Residency {
  readonly inodes = new InodeTable()
  readonly entries = new EntryTable()
  readonly blocksByInode = new BlockTable()
  #foldedThrough = loadedTxId

  /** @throws {@link RowMiss} when memory cannot tell. */
  inode(id: InodeId): InodeRow | undefined {
    const slot = this.inodes.find(id)
    if (slot === undefined) throw new RowMiss([{ kind: 'inode', id }])
    return slot.row
  }

  /**
   * The inode that `name` in `parent` refers to.
   * @throws {@link RowMiss} when memory cannot tell.
   */
  child(parent: InodeId, name: string): InodeRow | undefined {
    const found = this.entries.find(parent, name)
    if (found === 'absent') return undefined
    if (found === undefined) throw new RowMiss([{ kind: 'entry', parent, name }])
    return this.inode(found)
  }

  /**
   * The blocks of a file, in order; borrowed until the next change.
   * @throws {@link RowMiss} when memory cannot tell.
   */
  blocks(inode: InodeId): readonly BlockRow[] {
    const rows = this.blocksByInode.find(inode)
    if (rows === undefined) throw new RowMiss([{ kind: 'blocks-of-inode', inode }])
    return rows
  }

  /**
   * A block with its file.
   * @throws {@link RowMiss} when memory cannot tell.
   */
  block(id: BlockId): { readonly block: BlockRow; readonly file: InodeRow } | undefined {
    const owner = this.blocksByInode.inodeOf(id)
    if (owner === undefined) throw new RowMiss([{ kind: 'block', id }])
    if (owner === 'absent') return undefined
    const file = this.inode(owner)
    if (file === undefined) return undefined
    const block = this.blocks(owner).findLast((row) => row.id === id)
    return block === undefined ? undefined : { block, file }
  }

  /** Makes one change, as of transaction `at`. */
  apply(change: RowChange, at: TxId): void {
    switch (change.kind) {
      case 'inode.put': {
        const { inode, created } = change
        this.inodes.set(inode.id, inode, at)
        if (created && inode.kind === 'directory') this.entries.created(inode.id)
        if (created && inode.kind === 'file') this.blocksByInode.created(inode.id, at)
        break
      }
      case 'inode.delete':
        this.inodes.set(change.id, undefined, at)
        this.blocksByInode.forsaken(change.id, at)
        break
      case 'entry.put':
        this.entries.set(change.parent, change.name, change.inode, at)
        break
      case 'entry.delete':
        this.entries.set(change.parent, change.name, undefined, at)
        break
      case 'block.put':
        this.blocksByInode.put(change.block, at)
        break
      case 'block.delete':
        this.blocksByInode.delete(change.inode, change.index, change.id, at)
        break
    }
  }

  /** Takes rows from the store; whatever is resident already is newer and stays. */
  provide(loaded: Loaded): void {
    switch (loaded.kind) {
      case 'inode':
        this.inodes.provide(loaded.id, loaded.inode)
        break
      case 'entry':
        this.entries.provide(loaded.parent, loaded.name, loaded.inode?.id)
        if (loaded.inode !== undefined) this.inodes.provide(loaded.inode.id, loaded.inode)
        break
      case 'blocks-of-inode':
        this.blocksByInode.provide(loaded.inode, loaded.blocks)
        break
      case 'block':
        this.blocksByInode.provideOwner(loaded.id, loaded.block)
        break
      case 'children':
        this.#provideChildren(loaded)
        break
    }
  }

  /** Rows changed up to `through` are in the store. */
  folded(through: TxId): void {
    this.#foldedThrough = through
  }

  /**
   * Drops rows above `inodesMax` (and twice as many entries) that may leave, least recently used first.
   * Pages being loaded may be as old as `oldestLoadStartedAt`.
   */
  evict(inodesMax: number, oldestLoadStartedAt: TxId): void {
    const through =
      oldestLoadStartedAt < this.#foldedThrough ? oldestLoadStartedAt : this.#foldedThrough
    this.inodes.evict(inodesMax, through, (row) => {
      this.entries.drop(row.parent, row.name, through)
      for (const entry of row.otherEntries ?? []) {
        this.entries.drop(entry.parent, entry.name, through)
      }
      if (row.kind === 'file') this.blocksByInode.drop(row.id, through)
    })
    this.entries.evict(2 * inodesMax, through)
    this.blocksByInode.evict(inodesMax, through)
  }

  /**
   * Ancestors of `row` from the root down, without itself; undefined when it is deleted, that is when
   * the way up ends in the orphanage.
   * @throws {@link RowMiss} when memory cannot tell.
   */
  ancestors(row: InodeRow): InodeRow[] | undefined {
    return this.place(row)?.ancestors
  }

  /**
   * Where `row` is: {@link ancestors} and its name in the last of them, of the first entry that leads to it. A deleted
   * tree keeps its entries until they are reaped, so the primary one may be dead while another lives.
   * @throws {@link RowMiss} when memory cannot tell.
   */
  place(row: InodeRow): { readonly ancestors: InodeRow[]; readonly name: string } | undefined {
    if (row.id === rootInodeId) return { ancestors: [], name: '' }
    for (const { parent, name } of [row, ...(row.otherEntries ?? [])]) {
      const ancestors = this.#chainTo(parent)
      if (ancestors !== undefined) return { ancestors, name }
    }
    return undefined
  }

  /** Directories from the root down to `id`; undefined when that is deleted. */
  #chainTo(id: InodeId): InodeRow[] | undefined {
    const upward: InodeRow[] = []
    for (let at = id; ; ) {
      const row = at === orphanageInodeId ? undefined : this.inode(at)
      if (row === undefined) return undefined
      upward.push(row)
      if (at === rootInodeId) return upward.reverse()
      at = row.parent
    }
  }

  /** Small directories become resident as a whole; pages of large ones only serve their request. */
  #provideChildren(page: Loaded & { kind: 'children' }): void {
    const isWhole = page.startAfter === '' && page.isEnd
    if (!isWhole || page.children.length > limits.listingEntriesMax) return
    this.entries.provideAll(
      page.parent,
      page.children.map(({ name, inode }) => ({ name, inode: inode.id })),
    )
    for (const { inode } of page.children) this.inodes.provide(inode.id, inode)
  }
}
