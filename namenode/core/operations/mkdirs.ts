/** mkdirs: a directory and, when asked, the missing ones above it. */
import { DfsError } from '../../../protocol/errors.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { createChild, modeMask } from '../inode-changes.ts'
import { answer, type Plan } from '../outcome.ts'
import { checkNewName } from '../paths.ts'
import { access, requireAccess } from '../permissions.ts'
import type { Request } from '../requests.ts'
import { ancestorPath, parentOf, type Resolved, resolve } from '../resolve.ts'

/** Write and execute for the owner, so that it can fill the directories made on the way. */
const ownerWriteExecute = 0o300

/** True also when the directory exists already. */
export function mkdirs(
  context: Context,
  request: Request & { readonly kind: 'mkdirs' },
): Plan<boolean> {
  const resolved = resolve(context, request.path)
  const { last, path, name } = resolved
  if (last !== undefined) {
    if (last.kind === 'directory') return answer(true)
    throw new DfsError('FILE_EXISTS', `Path is not a directory: ${path}`, { path })
  }
  requireAncestorWrite(context, resolved)
  if (!request.createParent) requireParent(resolved)
  const draft = new Draft(context.nextIds)
  const mode = request.mode & modeMask
  const { unmaskedMode } = request
  const parent = createParents(context, draft, resolved, { mode, unmaskedMode })
  checkNewName(parent.id, name, path)
  const { user } = context.caller
  const fields = { kind: 'directory', name, owner: user, mode, unmaskedMode } as const
  createChild(draft, parent, fields, context.wall)
  return draft.plan(true)
}

/**
 * Creates the missing directories above the last component.
 * @param modes bits for each, beside write and execute for the owner; absent: as the deepest existing one.
 * @returns the directory for the last component.
 */
export function createParents(
  context: Context,
  draft: Draft,
  resolved: Resolved,
  modes?: { readonly mode: number; readonly unmaskedMode: number | undefined },
): InodeRow {
  const { path, missing } = resolved
  let parent = deepest(resolved)
  const mode = (modes?.mode ?? parent.mode & 0o777) | ownerWriteExecute
  const unmaskedMode = modes?.unmaskedMode
  for (const name of missing.slice(0, -1)) {
    checkNewName(parent.id, name, path)
    const owner = context.caller.user
    const fields = { kind: 'directory', name, owner, mode, unmaskedMode } as const
    parent = createChild(draft, parent, fields, context.wall)
  }
  return parent
}

/** @throws {@link DfsError} PERMISSION_DENIED unless the deepest existing directory may be written. */
export function requireAncestorWrite(context: Context, resolved: Resolved): void {
  if (context.caller.isSuperuser || resolved.ancestors.length === 0) return
  const index = resolved.ancestors.length - 1
  requireAccess(context.caller, deepest(resolved), access.write, () =>
    ancestorPath(resolved, index),
  )
}

/** @throws {@link DfsError} FILE_NOT_FOUND unless the parent directory exists. */
export function requireParent(resolved: Resolved): InodeRow {
  const parent = parentOf(resolved)
  if (parent === undefined) {
    const path = resolved.path.slice(0, resolved.path.lastIndexOf('/')) || '/'
    throw new DfsError('FILE_NOT_FOUND', `Parent directory doesn't exist: ${path}`, { path })
  }
  return parent
}

function deepest({ ancestors, path }: Resolved): InodeRow {
  const row = ancestors.at(-1)
  if (row === undefined)
    throw new DfsError('INVALID_PATH', `Path "${path}" has no parent`, { path })
  return row
}
