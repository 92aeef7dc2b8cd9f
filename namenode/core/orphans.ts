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
import type { InodeRow } from './changes.ts'
import type { ChildrenPage } from './context.ts'
import type { Draft } from './draft.ts'
import { moveToOrphanage } from './inode-changes.ts'
import { listChildren } from './listing.ts'
import type { Loaded } from './requests.ts'
import type { Residency } from './residency.ts'
import type { MissCollector } from './row-miss.ts'

const pageEntries = 200
const blocksAtOnceMax = 1000
/** Orphans looked at per tick; each may miss rows, and misses are loaded together. */
const orphansPerTickMax = 64

export class Orphans {
  readonly #waiting = new Set<InodeId>()
  /** Name to go on after, per directory being emptied. */
  readonly #cursorById = new Map<InodeId, string>()
  readonly #pageById = new Map<InodeId, ChildrenPage>()
  /** After a restart the store may hold orphans that nobody has seen: scanned from here on. */
  #scanAfter: string | undefined = ''

  get size(): number {
    return this.#waiting.size
  }

  arrived(id: InodeId): void {
    this.#waiting.add(id)
  }

  left(id: InodeId): void {
    this.#waiting.delete(id)
    this.#cursorById.delete(id)
    this.#pageById.delete(id)
  }

  /** Takes a page that a tick asked for; false when it is not for here. */
  offer(rows: Residency, loaded: Loaded): boolean {
    if (loaded.kind !== 'children') return false
    if (loaded.parent !== orphanageInodeId && !this.#waiting.has(loaded.parent)) return false
    this.#pageById.set(loaded.parent, loaded)
    for (const { inode } of loaded.children) rows.inodes.provide(inode.id, inode)
    return true
  }

  /** Plans the next piece of reaping, about `budget` changes; notes rows to load in `collector`. */
  reap(rows: Residency, draft: Draft, collector: MissCollector, budget: number): void {
    this.#scan(rows, collector)
    let looked = 0
    for (const id of this.#waiting) {
      if (draft.size >= budget || looked >= orphansPerTickMax) break
      looked += 1
      collector.attempt(() => this.#reapOne(rows, draft, collector, id))
    }
  }

  #scan(rows: Residency, collector: MissCollector): void {
    if (this.#scanAfter === undefined || this.#waiting.size > orphansPerTickMax) return
    const page = this.#pageById.get(orphanageInodeId)
    if (page === undefined) {
      const startAfter = this.#scanAfter
      const limit = limits.listingEntriesMax
      collector.note({ kind: 'children', parent: orphanageInodeId, startAfter, limit })
      return
    }
    this.#pageById.delete(orphanageInodeId)
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
    const page = this.#pageById.get(directory.id)
    const slice = listChildren({ rows, page }, { directory, startAfter, limit: pageEntries })
    let isBlocked = false
    for (const { name, inode } of slice.children) {
      // Go on after the first gap only to learn what else to load.
      const child = collector.attempt(() => readyToGo(rows, inode.id))
      isBlocked ||= child === undefined
      if (isBlocked || child === undefined) continue
      draft.deleteEntry(directory.id, name)
      removeChild(rows, draft, child)
      this.#cursorById.set(directory.id, name)
    }
    if (!isBlocked) this.#pageById.delete(directory.id)
    return !isBlocked && slice.remaining === 0
  }
}

/** The row of a child whose blocks, if it is a small file, are at hand. */
function readyToGo(rows: Residency, id: InodeId): InodeRow | undefined {
  const row = rows.inode(id)
  if (row?.kind === 'file') rows.blocks(id)
  return row
}

function removeChild(rows: Residency, draft: Draft, child: InodeRow): void {
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
