/**
 * Pages of a directory in name order, merged from a page of the store and the resident rows. A directory
 * whose entries are all resident needs no page; any other one is never held as a whole.
 *
 *     store page   b  d  e ]            (as of some transaction, names up to e)
 *     memory       b  c+ d-    f+       (c created since, d deleted since; f is behind the page)
 *     result       b  c  e ]
 */
import type { InodeId } from '../../protocol/ids.ts'
import type { InodeRow } from './changes.ts'
import type { ChildrenPage, Context } from './context.ts'
import { compareNames } from './names.ts'
import type { Residency } from './residency.ts'
import { RowMiss } from './row-miss.ts'

export interface Child {
  readonly name: string
  readonly inode: InodeRow
}

export interface ChildrenSlice {
  readonly children: readonly Child[]
  /** Entries behind the last child here; exact for resident directories, else at least 1 when there are any. */
  readonly remaining: number
}

interface Wanted {
  readonly directory: InodeRow
  /** Names strictly after this one. */
  readonly startAfter: string
  readonly limit: number
}

/**
 * Up to `limit` children of a directory, in order. Never empty while entries remain.
 * @throws {@link RowMiss} for the page of the store it needs.
 */
export function listChildren(
  { rows, page }: Pick<Context, 'rows' | 'page'>,
  wanted: Wanted,
): ChildrenSlice {
  const { directory, startAfter, limit } = wanted
  const isUsable = page?.parent === directory.id && compareNames(page.startAfter, startAfter) >= 0
  if (rows.entries.isComplete(directory.id)) {
    const children = residentChildren(rows, wanted)
    if (children !== undefined) {
      const end = children.at(-1)?.name ?? startAfter
      return { children, remaining: rows.entries.countAfter(directory.id, end) }
    }
  }
  if (!isUsable) throw childrenMiss(directory.id, startAfter, limit)
  const children = merge(rows, wanted, page)
  const last = page.children.at(-1)?.name
  if (children.length === 0 && !page.isEnd && last !== undefined) {
    // Everything on the page is deleted: an empty answer would end the caller's loop too early.
    throw childrenMiss(directory.id, last, limit)
  }
  const isCut = children.length > limit
  const remaining =
    isCut || !page.isEnd ? Math.max(1, directory.childCount - Math.min(children.length, limit)) : 0
  return { children: isCut ? children.slice(0, limit) : children, remaining }
}

function childrenMiss(parent: InodeId, startAfter: string, limit: number): RowMiss {
  return new RowMiss([{ kind: 'children', parent, startAfter, limit }])
}

/** Children of a complete directory; undefined when an inode among them has left memory. */
function residentChildren(rows: Residency, wanted: Wanted): Child[] | undefined {
  const children: Child[] = []
  const { directory, startAfter, limit } = wanted
  for (const name of rows.entries.namesAfter(directory.id, startAfter)) {
    if (children.length === limit) break
    const id = rows.entries.find(directory.id, name)
    const inode = typeof id === 'number' ? rows.inodes.find(id)?.row : undefined
    if (inode === undefined) return undefined
    children.push({ name, inode })
  }
  return children
}

/** Merges the page with resident entries of its range; may hold more than the limit. */
function merge(rows: Residency, wanted: Wanted, page: ChildrenPage): Child[] {
  const { directory, startAfter, limit } = wanted
  const isComplete = rows.entries.isComplete(directory.id)
  const end = page.isEnd ? undefined : (page.children.at(-1)?.name ?? page.startAfter)
  const children: Child[] = []
  let position = 0
  const takeStoredBefore = (name: string | undefined): void => {
    for (; position < page.children.length; position += 1) {
      const stored = page.children[position]
      if (stored === undefined || (name !== undefined && compareNames(stored.name, name) >= 0))
        break
      const child = newest(rows, directory.id, stored, isComplete)
      if (child !== undefined) children.push(child)
    }
  }
  for (const name of rows.entries.namesAfter(directory.id, startAfter)) {
    if (end !== undefined && compareNames(name, end) > 0) break
    if (children.length > limit) return children
    takeStoredBefore(name)
    const stored = page.children[position]
    const loaded = stored?.name === name ? stored.inode : undefined
    if (loaded !== undefined) position += 1
    const id = rows.entries.find(directory.id, name)
    if (typeof id !== 'number') continue
    const slot = rows.inodes.find(id)
    if (slot === undefined && loaded?.id !== id) throw new RowMiss([{ kind: 'inode', id }])
    const inode = slot === undefined ? loaded : slot.row
    if (inode !== undefined) children.push({ name, inode })
  }
  takeStoredBefore(undefined)
  return children
}

/** A child of the page as of now: undefined when it is deleted since. */
function newest(
  rows: Residency,
  parent: InodeId,
  child: Child,
  isComplete: boolean,
): Child | undefined {
  // Present entries are met in the walk over memory; here only absence can be known.
  if (isComplete || rows.entries.find(parent, child.name) === 'absent') return undefined
  const slot = rows.inodes.find(child.inode.id)
  if (slot === undefined) return child
  return slot.row === undefined ? undefined : { name: child.name, inode: slot.row }
}
