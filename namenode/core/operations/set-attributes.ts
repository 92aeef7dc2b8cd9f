/** setPermission, setOwner, setTimes and setReplication: one row changes. */
import { DfsError } from '../../../protocol/errors.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { modeMask } from '../inode-changes.ts'
import { answer, type Plan } from '../outcome.ts'
import { access, requireAccess, requireOwner } from '../permissions.ts'
import { withoutSetBits } from '../posix-rules.ts'
import type { Request } from '../requests.ts'
import { lookUp } from '../resolve.ts'
import { checkReplication } from './create.ts'
import { existing } from './get-file-info.ts'

/** Owner or superuser only. */
export function setPermission(
  context: Context,
  { path, mode }: Request & { readonly kind: 'setPermission' },
): Plan<undefined> {
  const row = existing(context, path)
  requireOwner(context.caller, row, () => path)
  return change(context, row, { mode: mode & modeMask })
}

/** A new user needs the superuser, a new group membership in it. */
export function setOwner(
  context: Context,
  { path, owner, group }: Request & { readonly kind: 'setOwner' },
): Plan<undefined> {
  const { caller } = context
  const row = existing(context, path)
  requireOwner(caller, row, () => path)
  if (!caller.isSuperuser) {
    if (owner !== undefined && owner !== caller.user) {
      throw new DfsError(
        'PERMISSION_DENIED',
        `User ${caller.user} is not a super user (non-super user cannot change owner)`,
        { path },
      )
    }
    if (group !== undefined && !caller.groups.includes(group)) {
      throw new DfsError('PERMISSION_DENIED', `User ${caller.user} does not belong to ${group}`, {
        path,
      })
    }
  }
  return change(context, row, {
    ...{ owner: owner ?? row.owner, group: group ?? row.group },
    mode: withoutSetBits(row, row.mode),
  })
}

/** An absent time stays as it is. */
export function setTimes(
  context: Context,
  { path, mtime, atime }: Request & { readonly kind: 'setTimes' },
): Plan<undefined> {
  const row = existing(context, path)
  requireAccess(context.caller, row, access.write, () => path)
  return change(context, row, {
    ...(mtime !== undefined && { mtime, mtimeNanos: undefined }),
    ...(atime !== undefined && { atime, atimeNanos: undefined }),
  })
}

/** False for directories and missing paths. */
export function setReplication(
  context: Context,
  { path, replication }: Request & { readonly kind: 'setReplication' },
): Plan<boolean> {
  checkReplication(path, replication)
  const row = lookUp(context, path)
  if (row === undefined) return answer(false)
  requireAccess(context.caller, row, access.write, () => path)
  if (row.kind !== 'file') return answer(false)
  if (row.replication === replication) return answer(true)
  // The block side is told which blocks are concerned when the change is applied.
  context.rows.blocks(row.id)
  const draft = new Draft(context.nextIds)
  draft.putInode({ ...row, replication })
  return draft.plan(true)
}

function change(context: Context, row: InodeRow, fields: Partial<InodeRow>): Plan<undefined> {
  const draft = new Draft(context.nextIds)
  draft.putInode({ ...row, ...fields, ctime: context.wall })
  return draft.plan(undefined)
}
