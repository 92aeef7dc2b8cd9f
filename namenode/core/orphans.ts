/**
 * Deleted trees, waiting in the orphanage to be reaped a bounded piece at a time. An orphan directory is
 * emptied page by page: files go with their blocks, subdirectories become orphans of their own, and when
 * nothing is left the directory goes. So no step needs to know the depth or the size of a tree.
 *
 *     orphanage/17        ⇒ reap 17: a, b gone; c and d moved      orphanage/17 (gone), /21, /22
 *        17/{a, b, c/, d/}
 */
import { type InodeId, orphanageInodeId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { EntryReference, InodeRow } from './changes.ts'
import type { ChildrenPage } from './context.ts'
import type { Draft } from './draft.ts'
import { moveToOrphanage, withoutEntry } from './inode-changes.ts'
import { type ChildrenSlice, listChildren } from './listing.ts'
import { compareNames } from './names.ts'
import type { Loaded, Miss } from './requests.ts'
import type { Residency } from './residency.ts'
import { type MissCollector, RowMiss } from './row-miss.ts'

const pageEntries = 200
const blocksAtOnceMax = 1000
/** Orphans looked at per tick; each may miss rows, and misses are loaded together. */
const orphansPerTickMax = 64

export class Orphans {
  readonly #waiting = new Set<InodeId>()
  /** Name to go on after, per directory being emptied. */
  readonly #cursorById = new Map<InodeId, string>()
  /** Children to go next, merged when their page arrived: nothing but reaping changes an orphan. */
  readonly #sliceById = new Map<InodeId, ChildrenSlice>()
  #orphanagePage: ChildrenPage | undefined
  readonly #misses: Miss[] = []
  /** After a restart the store may hold orphans that nobody has seen: scanned from here on. */
  #scanAfter: string | undefined = ''

  /** False when there is nothing to do until something else is deleted. */
  get isReaping(): boolean {
    return this.#waiting.size > 0 || this.#scanAfter !== undefined
  }

  arrived(id: InodeId): void {
    this.#waiting.add(id)
  }

  left(id: InodeId): void {
    this.#waiting.delete(id)
    this.#cursorById.delete(id)
    this.#sliceById.delete(id)
  }

  /** Takes a page that a tick asked for; false when it is not for here. */
  offer(rows: Residency, loaded: Loaded): boolean {
    if (loaded.kind !== 'children') return false
    if (loaded.parent === orphanageInodeId) {
      this.#orphanagePage = loaded
      return true
    }
    if (!this.#waiting.has(loaded.parent)) return false
    const directory = rows.inodes.peek(loaded.parent)?.row
    const cursor = this.#cursorById.get(loaded.parent) ?? ''
    if (directory === undefined || loaded.startAfter !== cursor) return true
    for (const { inode } of loaded.children) rows.inodes.provide(inode.id, inode)
    const wanted = { directory, startAfter: cursor, limit: pageEntries }
    try {
      this.#sliceById.set(directory.id, listChildren({ rows, page: loaded }, wanted))
    } catch (error) {
      if (!(error instanceof RowMiss)) throw error
      this.#passOver(directory.id, error.misses)
    }
    return true
  }

  /** Plans the next piece of reaping, about `budget` changes; notes rows to load in `collector`. */
  reap(rows: Residency, draft: Draft, collector: MissCollector, budget: number): void {
    this.#scan(rows, collector)
    for (const miss of this.#misses.splice(0)) collector.note(miss)
    let looked = 0
    for (const id of this.#waiting) {
      if (draft.size >= budget || looked >= orphansPerTickMax) break
      looked += 1
      collector.attempt(() => this.#reapOne(rows, draft, collector, id))
    }
  }

  #scan(rows: Residency, collector: MissCollector): void {
    if (this.#scanAfter === undefined || this.#waiting.size > orphansPerTickMax) return
    const page = this.#orphanagePage
    if (page === undefined) {
      const startAfter = this.#scanAfter
      const limit = limits.listingEntriesMax
      collector.note({ kind: 'children', parent: orphanageInodeId, startAfter, limit })
      return
    }
    this.#orphanagePage = undefined
    for (const { name, inode } of page.children) {
      if (rows.entries.find(orphanageInodeId, name) !== 'absent') this.#waiting.add(inode.id)
    }
    this.#scanAfter = page.isEnd ? undefined : page.children.at(-1)?.name
  }

  #reapOne(rows: Residency, draft: Draft, collector: MissCollector, id: InodeId): void {
    const row = rows.inode(id)
    if (row?.parent !== orphanageInodeId) {
      this.left(id)
      return
    }
    const isEmptied =
      row.kind === 'file'
        ? dropBlocks(rows, draft, row, blocksAtOnceMax)
        : this.#empty(rows, draft, collector, row)
    if (!isEmptied) return
    draft.deleteEntry(orphanageInodeId, row.name)
    draft.deleteInode(row)
  }

  /** Plans to remove a page of children; true when none is left. */
  #empty(rows: Residency, draft: Draft, collector: MissCollector, directory: InodeRow): boolean {
    if (directory.kind !== 'directory') return true
    const startAfter = this.#cursorById.get(directory.id) ?? ''
    const wanted = { directory, startAfter, limit: pageEntries }
    const slice =
      this.#sliceById.get(directory.id) ?? listChildren({ rows, page: undefined }, wanted)
    let isBlocked = false
    for (const { name, inode } of slice.children) {
      if (compareNames(name, startAfter) <= 0) continue
      // Go on after the first gap only to learn what else to load.
      const child = collector.attempt(() => readyToGo(rows, inode.id))
      isBlocked ||= child === undefined
      if (isBlocked || child === undefined) continue
      draft.deleteEntry(directory.id, name)
      removeChild(rows, draft, child, { parent: directory.id, name })
      this.#cursorById.set(directory.id, name)
    }
    if (isBlocked) return false
    this.#sliceById.delete(directory.id)
    return slice.remaining === 0
  }

  /** A page that could not be merged: go on behind it when all of it is deleted, else load what it lacks. */
  #passOver(id: InodeId, misses: readonly Miss[]): void {
    for (const miss of misses) {
      if (miss.kind === 'children') this.#cursorById.set(id, miss.startAfter)
      else this.#misses.push(miss)
    }
  }
}

/** The row of a child whose blocks, if it is a small file, are at hand. */
function readyToGo(rows: Residency, id: InodeId): InodeRow | undefined {
  const row = rows.inode(id)
  if (row?.kind === 'file') rows.blocks(id)
  return row
}

function removeChild(rows: Residency, draft: Draft, child: InodeRow, entry: EntryReference): void {
  const left = withoutEntry(draft.latest(child), entry)
  if (left !== undefined) {
    draft.putInode(left)
    return
  }
  const isLarge =
    child.kind === 'directory'
      ? child.childCount > 0
      : child.kind === 'file' && rows.blocks(child.id).length > blocksAtOnceMax
  if (isLarge) {
    moveToOrphanage(draft, child)
    return
  }
  if (child.kind === 'file') dropBlocks(rows, draft, child, blocksAtOnceMax)
  draft.deleteInode(child)
}

/** Plans to remove up to `limit` blocks from the end of a file; true when none is left. */
function dropBlocks(rows: Residency, draft: Draft, file: InodeRow, limit: number): boolean {
  const blocks = rows.blocks(file.id)
  for (const block of blocks.slice(-limit).reverse()) draft.deleteBlock(block)
  return blocks.length <= limit
}
