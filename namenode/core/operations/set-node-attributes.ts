/** setAttributes: chmod(2), chown(2) and utimensat(2) in one change, with Linux's rules of who may what. */
import { DfsError } from '../../../protocol/errors.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { fileStatus } from '../located-blocks.ts'
import type { Plan } from '../outcome.ts'
import { access, mayAccess, requireAccess } from '../permissions.ts'
import { modeBits, withoutSetBits } from '../posix-rules.ts'
import type { Caller, FileStatusView, NodeTime, Request } from '../requests.ts'
import { lookUp } from '../resolve.ts'

type SetAttributes = Request & { readonly kind: 'setAttributes' }

/** @throws {@link DfsError} FILE_NOT_FOUND; NOT_PERMITTED for what only an owner may, PERMISSION_DENIED for what a writer may. */
export function setNodeAttributes(context: Context, request: SetAttributes): Plan<FileStatusView> {
  const { path } = request
  const row = lookUp(context, path, { keepsLastLink: true })
  if (row === undefined) {
    throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
  }
  const { caller, wall } = context
  const changed: InodeRow = {
    ...row,
    mode: modeOf(caller, row, request),
    ...ownersOf(caller, row, request),
    ...timesOf(context, row, request),
    ctime: wall,
  }
  const draft = new Draft(context.nextIds)
  draft.putInode(changed)
  return draft.plan(fileStatus(changed))
}

function modeOf(caller: Caller, row: InodeRow, request: SetAttributes): number {
  const { owner, group = row.group } = request
  const wanted = request.mode === undefined ? row.mode : request.mode & modeBits.all
  const isGiven = owner !== undefined || request.group !== undefined
  const mode = isGiven ? withoutSetBits(row, wanted) : wanted
  if (request.mode === undefined) return mode
  if (!isOwner(caller, row)) {
    // Whoever writes a program ends its setuid and setgid bits; the kernel asks for that in the writer's name.
    const bits = modeBits.setuid | modeBits.setgid
    const isEnd = (wanted & ~bits) === (row.mode & ~bits) && (wanted & bits & ~row.mode) === 0
    if (!isEnd || !mayAccess(caller, row, access.write)) throw notOwner(caller, request.path)
    return mode
  }
  const keepsSetgid = caller.isSuperuser || caller.groups.includes(group)
  return keepsSetgid ? mode : mode & ~modeBits.setgid
}

function ownersOf(
  caller: Caller,
  row: InodeRow,
  { path, owner = row.owner, group = row.group }: SetAttributes,
): Pick<InodeRow, 'owner' | 'group'> {
  const isAsked = owner !== row.owner || group !== row.group
  if (caller.isSuperuser || !isAsked) return { owner, group }
  const mayGiveGroup = group === row.group || caller.groups.includes(group)
  if (row.owner === caller.user && owner === row.owner && mayGiveGroup) return { owner, group }
  throw new DfsError(
    'NOT_PERMITTED',
    `${caller.user} may not give "${path}" to ${owner}:${group}: an owner may give it to a group of his, a superuser to anybody`,
    { path },
  )
}

function timesOf(
  context: Context,
  row: InodeRow,
  { path, mtime, atime }: SetAttributes,
): Partial<InodeRow> {
  if (mtime === undefined && atime === undefined) return {}
  const { caller, wall } = context
  if (!isOwner(caller, row)) {
    const isNow = (time: NodeTime | undefined): boolean => time === undefined || time === 'now'
    if (!isNow(mtime) || !isNow(atime)) throw notOwner(caller, path)
    requireAccess(caller, row, access.write, () => path)
  }
  const now = { ms: wall, nanos: 0 }
  const changed = mtime === 'now' ? now : mtime
  const read = atime === 'now' ? now : atime
  return {
    ...(changed !== undefined && { mtime: changed.ms, mtimeNanos: unlessZero(changed.nanos) }),
    ...(read !== undefined && { atime: read.ms, atimeNanos: unlessZero(read.nanos) }),
  }
}

function isOwner(caller: Caller, row: InodeRow): boolean {
  return caller.isSuperuser || row.owner === caller.user
}

function notOwner({ user }: Caller, path: string): DfsError {
  return new DfsError('NOT_PERMITTED', `${user} does not own "${path}"`, { path })
}

function unlessZero(value: number): number | undefined {
  return value === 0 ? undefined : value
}
