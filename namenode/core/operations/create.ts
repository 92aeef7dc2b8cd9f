/**
 * create: a new file, open for writing by the caller. Order of checks as in FSNamesystem.startFile:
 * path, right to write the directory, what is there already, parent, limits.
 */
import { DfsError } from '../../../protocol/errors.ts'
import { limits } from '../../../protocol/limits.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { createChild, discard, modeMask, unlink } from '../inode-changes.ts'
import { fileStatus } from '../located-blocks.ts'
import type { Plan } from '../outcome.ts'
import { checkNewName } from '../paths.ts'
import { access, requireAccess } from '../permissions.ts'
import type { FileStatusView, Request } from '../requests.ts'
import { parentOf, type Resolved, resolve } from '../resolve.ts'
import { createParents, requireAncestorWrite, requireParent } from './mkdirs.ts'
import { takeOverFrom } from './recover-lease.ts'

type Create = Request & { readonly kind: 'create' }

export function create(context: Context, request: Create): Plan<FileStatusView> {
  const resolved = resolve(context, request.path)
  const { last, path, name } = resolved
  if (last?.kind === 'directory') {
    throw new DfsError('FILE_EXISTS', `${path} already exists as a directory`, { path })
  }
  requireAncestorWrite(context, resolved)
  if (last === undefined) {
    if (!request.createParent) requireParent(resolved)
    if (!request.createIfMissing) {
      throw new DfsError(
        'FILE_NOT_FOUND',
        `Can't overwrite non-existent ${path} for client ${context.caller.host}`,
        { path },
      )
    }
  } else if (request.overwrite) {
    requireAccess(context.caller, last, access.write, () => path)
  }
  checkLimits(request)
  const draft = new Draft(context.nextIds)
  if (last !== undefined) {
    if (!request.overwrite) return refuseExisting(context, draft, request, last)
    replaceExisting(context, draft, resolved, last)
  }
  const parent = createParents(context, draft, resolved)
  checkNewName(parent.id, name, path)
  const file = createChild(
    draft,
    parent,
    {
      kind: 'file',
      name,
      owner: context.caller.user,
      mode: request.mode & modeMask,
      unmaskedMode: request.unmaskedMode,
      replication: request.replication,
      blockSize: request.blockSize,
      lease: { holder: request.clientName, clientHost: context.caller.host },
    },
    context.wall,
  )
  draft.effects.push({ kind: 'lease.renewed', holder: request.clientName, at: context.now })
  return draft.plan(fileStatus(file))
}

function checkLimits({ path, replication, blockSize }: Create): void {
  if (blockSize < limits.blockSizeBytesMin) {
    throw new DfsError(
      'LIMIT_EXCEEDED',
      `Block size of ${blockSize} bytes for "${path}" is below the minimum of ${limits.blockSizeBytesMin} (dfs.namenode.fs-limits.min-block-size)`,
      { path },
    )
  }
  checkReplication(path, replication)
}

/** @throws {@link DfsError} LIMIT_EXCEEDED outside the allowed range. */
export function checkReplication(path: string, replication: number): void {
  const { replicationMin, replicationMax } = limits
  if (replication >= replicationMin && replication <= replicationMax) return
  throw new DfsError(
    'LIMIT_EXCEEDED',
    `Requested replication factor of ${replication} for "${path}" must be between ${replicationMin} and ${replicationMax}`,
    { path },
  )
}

/** An existing file without OVERWRITE: refused, yet a silent writer's lease is taken from it. */
function refuseExisting(
  context: Context,
  draft: Draft,
  { path, clientName }: Create,
  file: InodeRow,
): Plan<never> {
  if (file.lease !== undefined) {
    const refusal = takeOverFrom(context, draft, {
      attempt: 'CREATE_FILE',
      ...{ path, clientName, file },
    })
    if (refusal !== undefined) return refusal
  }
  const message = `${path} for client ${context.caller.host} already exists`
  const error = new DfsError('FILE_EXISTS', message, { path })
  return { kind: 'refuse', changes: draft.changes(), effects: draft.effects, error }
}

function replaceExisting(
  context: Context,
  draft: Draft,
  resolved: Resolved,
  existing: InodeRow,
): void {
  const parent = parentOf(resolved)
  if (parent === undefined) return
  unlink(draft, parent, { name: resolved.name, kind: existing.kind }, context.wall)
  discard(context, draft, existing, { parent: parent.id, name: resolved.name })
}
