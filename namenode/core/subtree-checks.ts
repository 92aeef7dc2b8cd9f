/**
 * The right to delete a tree. As in HDFS, a caller who is not a superuser needs every right on each
 * directory below that is not empty, and the sticky bit of each counts. The tree need not fit in memory:
 * a walk keeps its place between two proposals of the same request and asks for one page at a time. It
 * is soft state; a walk that is not continued is forgotten.
 *
 * Unlike HDFS the check is not atomic with the deletion when pages had to be loaded: a directory that is
 * made, or closed, behind the walk goes with the tree.
 */
import type { Millis } from '../../base/brand.ts'
import type { InodeId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { InodeRow } from './changes.ts'
import type { Context } from './context.ts'
import { listChildren } from './listing.ts'
import { access, isSticky, requireAccess, requireNotSticky } from './permissions.ts'
import { ifResident, livingPath } from './resolve.ts'
import { RowMiss } from './row-miss.ts'

const walksMax = 64
const walkIdleMs = 60_000

/** A directory being looked at, and the name to go on after. */
interface Frame {
  readonly directory: InodeId
  startAfter: string
}

interface Walk {
  /** Deepest last. */
  readonly frames: Frame[]
  usedAt: Millis
}

export class SubtreeChecks {
  readonly #walkByKey = new Map<string, Walk>()

  /**
   * Returns once the whole tree below `root` is checked.
   * @throws DfsError PERMISSION_DENIED; {@link RowMiss} for the next page.
   */
  requireDeletable(context: Context, root: InodeRow, path: string): void {
    if (context.caller.isSuperuser || root.kind !== 'directory') return
    const key = `${root.id} ${context.caller.user}`
    const kept = this.#walkByKey.get(key)
    const isFresh = kept !== undefined && context.now - kept.usedAt <= walkIdleMs
    const walk = isFresh
      ? kept
      : { frames: [{ directory: root.id, startAfter: '' }], usedAt: context.now }
    this.#walkByKey.delete(key)
    try {
      while (walk.frames.length > 0) step(context, walk.frames, path)
    } catch (error) {
      if (error instanceof RowMiss) this.#keep(key, walk, context.now)
      throw error
    }
  }

  #keep(key: string, walk: Walk, now: Millis): void {
    walk.usedAt = now
    this.#walkByKey.set(key, walk)
    for (const oldest of this.#walkByKey.keys()) {
      if (this.#walkByKey.size <= walksMax) break
      this.#walkByKey.delete(oldest)
    }
  }
}

/** Checks the next page of the deepest directory. */
function step(context: Context, frames: Frame[], rootPath: string): void {
  const frame = frames.at(-1)
  const row = frame && context.rows.inode(frame.directory)
  if (frame === undefined || row === undefined || row.childCount === 0) {
    frames.pop()
    return
  }
  const path = (): string => knownPath(context, row) ?? rootPath
  requireAccess(context.caller, row, access.all, path)
  const { startAfter } = frame
  const slice = listChildren(context, {
    directory: row,
    startAfter,
    limit: limits.listingEntriesMax,
  })
  for (const { name, inode } of slice.children) {
    if (isSticky(context.caller, row, inode)) {
      requireNotSticky(context.caller, row, inode, () => `${path()}/${name}`)
    }
  }
  const last = slice.children.at(-1)
  if (slice.remaining > 0 && last !== undefined) frame.startAfter = last.name
  else frames.pop()
  for (const { inode } of slice.children) {
    if (inode.kind === 'directory' && inode.childCount > 0) {
      frames.push({ directory: inode.id, startAfter: '' })
    }
  }
}

function knownPath({ rows }: Context, row: InodeRow): string | undefined {
  return ifResident(() => livingPath(rows, row))
}
