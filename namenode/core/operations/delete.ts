/**
 * delete: takes the entry away; what it referred to is given up, at once when it is small, else by
 * moving it to the orphanage. So a tree of any size is one short transaction.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { discard, unlink } from '../inode-changes.ts'
import { answer, type Plan } from '../outcome.ts'
import { access, requireAccess, requireNotSticky } from '../permissions.ts'
import { requireUnprotected } from '../protected-directories.ts'
import type { Request } from '../requests.ts'
import { ancestorPath, parentOf, type Resolved, resolve } from '../resolve.ts'

/** False when the path does not exist, for the root, and for a file that is not held as `onlyHeld` says. */
export function deletePath(
  context: Context,
  { path, recursive, onlyHeld }: Request & { readonly kind: 'delete' },
): Plan<boolean> {
  const resolved = resolve(context, path, { keepsLastLink: true })
  const { last } = resolved
  requireRemovable(context, resolved)
  const parent = parentOf(resolved)
  if (last === undefined || parent === undefined) return answer(false)
  const isOther = last.id !== onlyHeld?.inodeId || last.lease?.holder !== onlyHeld.by
  if (onlyHeld !== undefined && isOther) return answer(false)
  if (last.kind === 'directory' && last.childCount > 0) {
    if (!recursive) {
      throw new DfsError('DIRECTORY_NOT_EMPTY', `${resolved.path} is non empty`, {
        path: resolved.path,
      })
    }
    context.subtreeChecks.requireDeletable(context, last, resolved.path)
  }
  requireUnprotected(context, last)
  const draft = new Draft(context.nextIds)
  unlink(draft, parent, { name: resolved.name, kind: last.kind }, context.wall)
  discard(context, draft, last, { parent: parent.id, name: resolved.name })
  return draft.plan(true)
}

/** @throws {@link DfsError} PERMISSION_DENIED unless the caller may remove the entry: parent's write, sticky bit. */
export function requireRemovable(context: Context, resolved: Resolved): void {
  const parent = parentOf(resolved)
  if (parent === undefined || context.caller.isSuperuser) return
  const { caller } = context
  const parentPath = (): string => ancestorPath(resolved, resolved.ancestors.length - 1)
  requireSticky(context, resolved, parent, resolved.last)
  requireAccess(caller, parent, access.write, parentPath)
}

function requireSticky(
  { caller }: Context,
  { path }: Resolved,
  parent: InodeRow,
  child: InodeRow | undefined,
): void {
  if (child !== undefined) requireNotSticky(caller, parent, child, () => path)
}
