/**
 * Steps that several operations share when they change the tree. Each keeps three things together: the
 * entry, the row it refers to (its primary entry or one of its others), and the directory's `childCount` and `mtime`.
 */
import { assert } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import { millis } from '../../base/brand.ts'
import { orphanageInodeId } from '../../protocol/ids.ts'
import { inheritedAcl } from './acl-transformation.ts'
import type { EntryReference, InodeRow } from './changes.ts'
import type { Context } from './context.ts'
import type { Draft } from './draft.ts'

/** Files with at most this many blocks, all resident, are deleted at once; others through the orphanage. */
const blocksDroppedAtOnceMax = 100

/** Permission bits that HDFS keeps; its clients send more (gohdfs its directory bit). */
export const modeMask = 0o1777

/** `nlink` of a directory whose subdirectories nobody has counted. */
const uncounted = 1

/** Fields of a new inode that its kind does not fix. */
export type NewInode = Pick<InodeRow, 'kind' | 'name' | 'owner' | 'mode'> &
  Partial<
    Pick<InodeRow, 'group' | 'replication' | 'blockSize' | 'lease' | 'target' | 'device' | 'atime'>
  > & {
    /** Permission bits before the creator's umask; absent: `mode`. They count where the parent has a default ACL. */
    readonly unmaskedMode?: number | undefined
  }

/** Creates an inode and its entry in `parent`, whose default ACL it takes, and its group unless it is given one. */
export function createChild(
  draft: Draft,
  parent: InodeRow,
  fields: NewInode,
  wall: Millis,
): InodeRow {
  const { kind, lease, target, device } = fields
  const unmasked = fields.unmaskedMode ?? fields.mode
  const inherited = inheritedAcl(draft.latest(parent), kind, unmasked)
  const inode: InodeRow = {
    id: draft.allocateInodeId(),
    kind,
    parent: parent.id,
    name: fields.name,
    owner: fields.owner,
    group: fields.group ?? parent.group,
    mode: inherited?.mode ?? fields.mode,
    mtime: wall,
    atime: fields.atime ?? (kind === 'directory' ? millis(0) : wall),
    nlink: kind === 'directory' ? uncounted + 1 : 1,
    childCount: 0,
    replication: fields.replication ?? 0,
    blockSize: fields.blockSize ?? 0,
    length: 0,
    ...(lease !== undefined && { lease }),
    ...(target !== undefined && { target }),
    ...(device !== undefined && { device }),
    ...(inherited?.acl !== undefined && { acl: inherited.acl }),
  }
  draft.createInode(inode)
  link(draft, parent, inode, wall)
  return inode
}

/** Times of an inode whose content changed now. */
export function contentTimes(wall: Millis): Pick<InodeRow, 'mtime' | 'mtimeNanos' | 'ctime'> {
  return { mtime: wall, mtimeNanos: undefined, ctime: undefined }
}

/** Adds an entry of `parent`: by default the primary one of `child`. */
export function link(
  draft: Draft,
  parent: InodeRow,
  child: Pick<InodeRow, 'id' | 'name' | 'kind'>,
  wall: Millis,
): void {
  draft.putEntry(parent.id, child.name, child.id)
  const latest = draft.latest(parent)
  draft.putInode({
    ...latest,
    childCount: latest.childCount + 1,
    nlink: nlinkWith(latest, child.kind, 1),
    ...contentTimes(wall),
  })
}

/** `nlink` of a directory after an entry for an inode of this kind came or went. */
export function nlinkWith({ nlink }: InodeRow, kind: InodeRow['kind'], growth: -1 | 0 | 1): number {
  return kind === 'directory' && nlink !== uncounted ? nlink + growth : nlink
}

/** Removes an entry of `parent`; the inode it refers to, of `kind`, stays as it is. */
export function unlink(
  draft: Draft,
  parent: InodeRow,
  { name, kind }: Pick<InodeRow, 'name' | 'kind'>,
  wall: Millis,
): void {
  draft.deleteEntry(parent.id, name)
  const latest = draft.latest(parent)
  draft.putInode({
    ...latest,
    childCount: latest.childCount - 1,
    nlink: nlinkWith(latest, kind, -1),
    ...contentTimes(wall),
  })
}

/** `row` without one of its entries; the next one becomes its primary. Undefined when it was the last. */
export function withoutEntry(
  row: InodeRow,
  { parent, name }: EntryReference,
): InodeRow | undefined {
  const others = row.otherEntries ?? []
  const isPrimary = row.parent === parent && row.name === name
  const left = isPrimary
    ? others.slice(1)
    : others.filter((entry) => entry.parent !== parent || entry.name !== name)
  const primary = isPrimary ? others[0] : row
  if (primary === undefined) return undefined
  assert(isPrimary || left.length < others.length, `inode ${row.id} has the entry "${name}"`)
  return {
    ...row,
    parent: primary.parent,
    name: primary.name,
    nlink: left.length + 1,
    otherEntries: left.length === 0 ? undefined : left,
  }
}

/** `row` with one of its entries in the place of another. */
export function withEntryMoved(
  row: InodeRow,
  from: EntryReference,
  { parent, name }: EntryReference,
): InodeRow {
  if (row.parent === from.parent && row.name === from.name) return { ...row, parent, name }
  const otherEntries = (row.otherEntries ?? []).map((entry) => {
    return entry.parent === from.parent && entry.name === from.name ? { parent, name } : entry
  })
  return { ...row, otherEntries }
}

/**
 * Gives up `row` for an entry of it that is gone. The last one takes the inode along: at once when that is a small
 * change, else by moving it under the orphanage, one change whatever its size, where `tick` reaps it.
 */
export function discard(
  context: Pick<Context, 'rows' | 'wall'>,
  draft: Draft,
  row: InodeRow,
  entry: EntryReference,
): void {
  const left = withoutEntry(draft.latest(row), entry)
  if (left !== undefined) {
    draft.putInode({ ...left, ctime: context.wall })
    return
  }
  if (row.kind === 'file') {
    const blocks = context.rows.blocksByInode.find(row.id)
    if (blocks !== undefined && blocks.length <= blocksDroppedAtOnceMax) {
      for (const block of blocks.toReversed()) draft.deleteBlock(block)
      draft.deleteInode(row)
      return
    }
  } else if (row.childCount === 0) {
    draft.deleteInode(row)
    return
  }
  moveToOrphanage(draft, row)
}

/** Puts an inode without an entry into the orphanage, under its id. Its lease ends there. */
export function moveToOrphanage(draft: Draft, row: InodeRow): void {
  const name = String(row.id)
  draft.putEntry(orphanageInodeId, name, row.id)
  draft.putInode({ ...draft.latest(row), parent: orphanageInodeId, name, lease: undefined })
}
