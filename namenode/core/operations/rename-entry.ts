/**
 * renameEntry: rename(2) and renameat2(2). A file takes the place of anything that is no directory, a directory that of
 * an empty one, at once. Two names of one inode stay as they are. Exchanging needs two entries and keeps both inodes.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { contentTimes, discard, nlinkWith, unlink, withEntryMoved } from '../inode-changes.ts'
import { answer, type Plan } from '../outcome.ts'
import { checkNewEntry } from '../paths.ts'
import { access, requireAccess } from '../permissions.ts'
import {
  type EntryPlace,
  entryPlace,
  isADirectory,
  requireFree,
  requireRemovableEntry,
  requireRow,
} from '../posix-rules.ts'
import { requireUnprotected } from '../protected-directories.ts'
import type { Request } from '../requests.ts'
import { move } from './rename.ts'

type RenameEntry = Request & { readonly kind: 'renameEntry' }

/** @throws {@link DfsError} FILE_NOT_FOUND, FILE_EXISTS, NOT_A_DIRECTORY, IS_A_DIRECTORY, DIRECTORY_NOT_EMPTY, INVALID_PATH. */
export function renameEntry(context: Context, request: RenameEntry): Plan<undefined> {
  const source = entryPlace(context, request.source)
  const target = entryPlace(context, request.target)
  const child = requireRow(source)
  if (request.manner === 'no-replace') requireFree(target)
  if (request.manner === 'exchange') requireRow(target)
  if (target.row?.id === child.id) return answer(undefined)
  requireRemovableEntry(context, source)
  requireRemovableEntry(context, target)
  requireMovable(context, { child, from: source, to: target })
  if (request.manner === 'exchange') {
    return exchange(context, { ...source, row: child }, { ...target, row: requireRow(target) })
  }
  if (target.row !== undefined) requireReplaceable(context, child, { ...target, row: target.row })
  checkNewEntry(target.parent.id, target.reference.name, request.target)
  const draft = new Draft(context.nextIds)
  if (target.row !== undefined) {
    const { name } = target.reference
    unlink(draft, target.parent, { name, kind: target.row.kind }, context.wall)
    discard(context, draft, target.row, target.reference)
  }
  return move(context, draft, {
    ...{ child, from: source.parent, to: target.parent },
    ...{ name: target.reference.name, oldName: source.reference.name },
  }).plan(undefined)
}

interface Way {
  readonly child: InodeRow
  readonly from: EntryPlace
  readonly to: EntryPlace
}

function requireMovable(context: Context, { child, from, to }: Way): void {
  const { path } = from.resolved
  requireUnprotected(context, child)
  if (to.resolved.ancestors.some(({ id }) => id === child.id)) {
    throw new DfsError('INVALID_PATH', `"${path}" cannot be moved below itself`, { path })
  }
  if (child.kind === 'directory' && from.parent.id !== to.parent.id) {
    requireAccess(context.caller, child, access.write, () => path)
  }
}

function requireReplaceable(
  context: Context,
  child: InodeRow,
  { row, resolved: { path } }: EntryPlace & { readonly row: InodeRow },
): void {
  if (child.kind === 'directory' && row.kind !== 'directory') {
    throw new DfsError('NOT_A_DIRECTORY', `${path} (is not a directory)`, { path })
  }
  if (child.kind !== 'directory' && row.kind === 'directory') throw isADirectory(path)
  if (row.childCount > 0) {
    throw new DfsError('DIRECTORY_NOT_EMPTY', `rename destination ${path} is not empty`, { path })
  }
  requireUnprotected(context, row)
}

type Taken = EntryPlace & { readonly row: InodeRow }

function exchange(context: Context, left: Taken, right: Taken): Plan<undefined> {
  requireMovable(context, { child: right.row, from: right, to: left })
  const { wall } = context
  const draft = new Draft(context.nextIds)
  for (const [here, there] of [
    [left, right],
    [right, left],
  ] as const) {
    draft.putEntry(there.reference.parent, there.reference.name, here.row.id)
    const moved = withEntryMoved(draft.latest(here.row), here.reference, there.reference)
    draft.putInode({ ...moved, ctime: wall })
  }
  for (const [{ parent, row: gone }, { row: come }] of [
    [left, right],
    [right, left],
  ] as const) {
    const latest = draft.latest(parent)
    const less = nlinkWith(latest, gone.kind, -1)
    const nlink = nlinkWith({ ...latest, nlink: less }, come.kind, 1)
    draft.putInode({ ...latest, nlink, ...contentTimes(wall) })
  }
  return draft.plan(undefined)
}
