/**
 * rename in its two forms. The old one never overwrites, moves into an existing directory, and answers
 * false where the new one (rename2) throws. A moved inode keeps its id, rows below it do not change, and
 * both directories get a new mtime.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { discard, link, unlink, withEntryMoved } from '../inode-changes.ts'
import { answer, type Plan } from '../outcome.ts'
import { checkNewName } from '../paths.ts'
import { requireNotSticky } from '../permissions.ts'
import { requireUnprotected } from '../protected-directories.ts'
import type { Request } from '../requests.ts'
import { parentOf, type Resolved, resolve } from '../resolve.ts'
import { requireRemovable } from './delete.ts'
import { requireAncestorWrite } from './mkdirs.ts'

/** A checked move: `child`, so far `oldName` in `from`, becomes `name` in `to`. */
export interface Move {
  readonly child: InodeRow
  readonly from: InodeRow
  readonly to: InodeRow
  readonly name: string
  readonly oldName: string
}

/** Both ends name entries: a link there is moved or replaced itself. */
const ends = { keepsLastLink: true } as const

/** False when the source is missing or the root, the target exists, lies below the source, or has no parent. */
export function rename(
  context: Context,
  request: Request & { readonly kind: 'rename' },
): Plan<boolean> {
  const source = resolve(context, request.source, ends)
  const target = into(context, source, resolve(context, request.target, ends))
  requireRemovable(context, source)
  requireAncestorWrite(context, target)
  const from = parentOf(source)
  const to = parentOf(target)
  if (source.last === undefined || from === undefined) return answer(false)
  if (target.last?.id === source.last.id) return answer(true)
  if (to === undefined || target.last !== undefined || isBelow(target, source.last)) {
    return answer(false)
  }
  requireUnprotected(context, source.last)
  checkNewName(to.id, target.name, target.path)
  return move(context, new Draft(context.nextIds), {
    ...{ child: source.last, from, to, name: target.name },
    oldName: source.name,
  }).plan(true)
}

/** Order of checks as in FSDirRenameOp.unprotectedRenameTo. */
export function rename2(
  context: Context,
  request: Request & { readonly kind: 'rename2' },
): Plan<undefined> {
  const source = resolve(context, request.source, ends)
  const target = resolve(context, request.target, ends)
  requireRemovable(context, source)
  if (request.toTrash && source.last !== undefined) {
    context.subtreeChecks.requireDeletable(context, source.last, source.path)
  }
  requireAncestorWrite(context, target)
  const { child, from } = renameSource(source)
  requireUnprotected(context, child)
  if (target.last?.id === child.id) {
    throw new DfsError(
      'FILE_EXISTS',
      `The source ${source.path} and destination ${target.path} are the same`,
      { path: target.path },
    )
  }
  if (isBelow(target, child)) {
    throw new DfsError(
      'IO_ERROR',
      `Rename destination ${target.path} is a directory or file under source ${source.path}`,
      { path: target.path },
    )
  }
  const draft = new Draft(context.nextIds)
  if (target.last !== undefined) {
    requireReplaceable(context, request.overwrite, { source, target, child })
  }
  const to = renameParent(target)
  if (target.last !== undefined) {
    const entry = { parent: to.id, name: target.name }
    unlink(draft, to, { name: target.name, kind: target.last.kind }, context.wall)
    discard(context, draft, target.last, entry)
  }
  checkNewName(to.id, target.name, target.path)
  const names = { name: target.name, oldName: source.name }
  return move(context, draft, { child, from, to, ...names }).plan(undefined)
}

/** Moving onto an existing directory means into it, under the source's name. */
function into(context: Context, source: Resolved, target: Resolved): Resolved {
  if (target.last?.kind !== 'directory' || source.last === undefined) return target
  const last = context.rows.child(target.last.id, source.name)
  return {
    path: target.path === '/' ? `/${source.name}` : `${target.path}/${source.name}`,
    ancestors: [...target.ancestors, target.last],
    name: source.name,
    last,
    missing: last === undefined ? [source.name] : [],
  }
}

function isBelow(target: Resolved, source: InodeRow): boolean {
  return target.ancestors.some(({ id }) => id === source.id)
}

function renameSource({ path, last, ancestors }: Resolved): Pick<Move, 'child' | 'from'> {
  if (last === undefined) {
    throw new DfsError('FILE_NOT_FOUND', `rename source ${path} is not found`, { path })
  }
  const from = ancestors.at(-1)
  if (from === undefined) {
    throw new DfsError('IO_ERROR', 'rename source cannot be the root', { path })
  }
  return { child: last, from }
}

function renameParent(target: Resolved): InodeRow {
  const { path } = target
  const parent = parentOf(target)
  if (parent !== undefined) return parent
  if (target.ancestors.length === 0) {
    throw new DfsError('IO_ERROR', 'rename destination cannot be the root', { path })
  }
  throw new DfsError('FILE_NOT_FOUND', `rename destination parent of ${path} not found`, { path })
}

function requireReplaceable(
  context: Context,
  overwrite: boolean,
  paths: { source: Resolved; target: Resolved; child: InodeRow },
): void {
  const { source, target, child } = paths
  const { last, path } = target
  const parent = parentOf(target)
  if (last === undefined) return
  if (parent === undefined) {
    throw new DfsError('IO_ERROR', 'rename destination cannot be the root', { path })
  }
  if ((last.kind === 'directory') !== (child.kind === 'directory')) {
    const what = child.kind === 'directory' ? 'directories' : 'files'
    throw new DfsError(
      'IO_ERROR',
      `Source ${source.path} and destination ${path} must both be ${what}`,
    )
  }
  if (!overwrite) {
    throw new DfsError('FILE_EXISTS', `rename destination ${path} already exists`, { path })
  }
  if (last.childCount > 0) {
    throw new DfsError('IO_ERROR', `rename destination directory is not empty: ${path}`, { path })
  }
  // HDFS lacks this check; without it the sticky bit would not protect a file from being replaced.
  requireNotSticky(context.caller, parent, last, () => path)
}

/** Moves one entry of an inode. */
export function move(context: Context, draft: Draft, change: Move): Draft {
  const { child, from, to, name, oldName } = change
  const { id, kind } = child
  unlink(draft, from, { name: oldName, kind }, context.wall)
  const [before, after] = [
    { parent: from.id, name: oldName },
    { parent: to.id, name },
  ]
  draft.putInode({ ...withEntryMoved(draft.latest(child), before, after), ctime: context.wall })
  link(draft, to, { id, kind, name }, context.wall)
  return draft
}
