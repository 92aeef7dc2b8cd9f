/**
 * Steps that several operations share when they change the tree. Each keeps three things together: the
 * entry, the row it refers to (its `parent` and `name`), and the directory's `childCount` and `mtime`.
 */
import type { Millis } from '../../base/brand.ts'
import { millis } from '../../base/brand.ts'
import { orphanageInodeId } from '../../protocol/ids.ts'
import { inheritedAcl } from './acl-transformation.ts'
import type { InodeRow } from './changes.ts'
import type { Context } from './context.ts'
import type { Draft } from './draft.ts'

/** Files with at most this many blocks, all resident, are deleted at once; others through the orphanage. */
const blocksDroppedAtOnceMax = 100

/** Permission bits that exist; clients send more (gohdfs its directory bit). */
export const modeMask = 0o1777

/** Fields of a new inode that its kind does not fix. */
export type NewInode = Pick<InodeRow, 'kind' | 'name' | 'owner' | 'mode'> &
  Partial<Pick<InodeRow, 'replication' | 'blockSize' | 'lease'>> & {
    /** Permission bits before the creator's umask; absent: `mode`. They count where the parent has a default ACL. */
    readonly unmaskedMode?: number | undefined
  }

/** Creates an inode and its entry in `parent`, whose group and default ACL it takes. */
export function createChild(
  draft: Draft,
  parent: InodeRow,
  fields: NewInode,
  wall: Millis,
): InodeRow {
  const unmasked = (fields.unmaskedMode ?? fields.mode) & modeMask
  const inherited = inheritedAcl(draft.latest(parent), fields.kind, unmasked)
  const inode: InodeRow = {
    id: draft.allocateInodeId(),
    kind: fields.kind,
    parent: parent.id,
    name: fields.name,
    owner: fields.owner,
    group: parent.group,
    mode: inherited?.mode ?? fields.mode & modeMask,
    mtime: wall,
    atime: fields.kind === 'directory' ? millis(0) : wall,
    nlink: 1,
    childCount: 0,
    replication: fields.replication ?? 0,
    blockSize: fields.blockSize ?? 0,
    length: 0,
    ...(fields.lease !== undefined && { lease: fields.lease }),
    ...(inherited?.acl !== undefined && { acl: inherited.acl }),
  }
  draft.createInode(inode)
  link(draft, parent, inode, wall)
  return inode
}

/** Adds the entry of `child` to `parent`. */
export function link(draft: Draft, parent: InodeRow, child: InodeRow, wall: Millis): void {
  draft.putEntry(parent.id, child.name, child.id)
  const latest = draft.latest(parent)
  draft.putInode({ ...latest, childCount: latest.childCount + 1, mtime: wall })
}

/** Removes the entry of `child` from `parent`; the inode itself stays. */
export function unlink(draft: Draft, parent: InodeRow, child: InodeRow, wall: Millis): void {
  draft.deleteEntry(parent.id, child.name)
  const latest = draft.latest(parent)
  draft.putInode({ ...latest, childCount: latest.childCount - 1, mtime: wall })
}

/**
 * Gives up an inode whose entry is gone: at once when that is a small change, else by moving it under
 * the orphanage, one change whatever its size, where `tick` reaps it.
 */
export function discard(context: Pick<Context, 'rows'>, draft: Draft, row: InodeRow): void {
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
