/**
 * makeNode: a directory, an empty file, a link, a named pipe, a socket or a device, as mknod(2), mkdir(2) and symlink(2)
 * make them. The file is closed: whoever wants to write appends to it. createSymlink is HDFS's own call for a link.
 */
import { DfsError } from '../../../protocol/errors.ts'
import { limits } from '../../../protocol/limits.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { createChild } from '../inode-changes.ts'
import { fileStatus } from '../located-blocks.ts'
import type { Plan } from '../outcome.ts'
import { checkNewEntry, checkNewName } from '../paths.ts'
import { entryPlace, inherited, requireDirectoryWrite, requireFree } from '../posix-rules.ts'
import type { FileStatusView, Request } from '../requests.ts'
import { resolve } from '../resolve.ts'
import { checkReplication } from './create.ts'
import { createParents, requireAncestorWrite, requireParent } from './mkdirs.ts'

const linkMode = 0o777

/** @throws {@link DfsError} FILE_EXISTS, PERMISSION_DENIED, NOT_PERMITTED for a device by anybody but a superuser. */
export function makeNode(
  context: Context,
  request: Request & { readonly kind: 'makeNode' },
): Plan<FileStatusView> {
  const { path, nodeKind: kind, target, device } = request
  const { caller, wall } = context
  const place = entryPlace(context, path)
  requireFree(place)
  requireDirectoryWrite(context, place)
  const { parent, reference } = place
  checkNewEntry(parent.id, reference.name, path)
  const isDevice = kind === 'character-device' || kind === 'block-device'
  if (isDevice && !caller.isSuperuser) {
    throw new DfsError('NOT_PERMITTED', `Cannot make the device "${path}": it takes a superuser`, {
      path,
    })
  }
  if (kind === 'symlink') checkTarget(path, target ?? '')
  const isFile = kind === 'file'
  if (isFile) checkReplication(path, request.replication)
  const group = request.group ?? parent.group
  const { mode, ...given } = inherited(caller, parent, { kind, mode: request.mode, group })
  const draft = new Draft(context.nextIds)
  const row = createChild(
    draft,
    parent,
    {
      ...{ kind, name: reference.name, owner: caller.user, ...given, atime: wall },
      mode: kind === 'symlink' ? linkMode : mode,
      unmaskedMode: ((request.unmaskedMode ?? mode) & 0o777) | (mode & ~0o777),
      ...(isFile && { replication: request.replication, blockSize: request.blockSize }),
      ...(kind === 'symlink' && { target }),
      ...(isDevice && { device: device ?? 0 }),
    },
    wall,
  )
  return draft.plan(fileStatus(row))
}

/** HDFS's call. Order of checks as in FSDirSymlinkOp. */
export function createSymlink(
  context: Context,
  request: Request & { readonly kind: 'createSymlink' },
): Plan<undefined> {
  const { path, target } = request
  checkTarget(path, target)
  const resolved = resolve(context, path, { keepsLastLink: true })
  if (!request.createParent) requireParent(resolved)
  if (resolved.last !== undefined) {
    throw new DfsError('FILE_EXISTS', `failed to create link ${path}: it exists already`, { path })
  }
  requireAncestorWrite(context, resolved)
  const draft = new Draft(context.nextIds)
  const parent = createParents(context, draft, resolved, {
    mode: request.directoryMode,
    unmaskedMode: undefined,
  })
  checkNewName(parent.id, resolved.name, path)
  const { user } = context.caller
  const fields = {
    kind: 'symlink',
    name: resolved.name,
    owner: user,
    mode: linkMode,
    target,
  } as const
  createChild(draft, parent, fields, context.wall)
  return draft.plan(undefined)
}

function checkTarget(path: string, target: string): void {
  if (target === '' || target.includes('\0')) {
    throw new DfsError('INVALID_PATH', `Cannot link "${path}" to nothing or to a zero byte`, {
      path,
    })
  }
  const bytes = new TextEncoder().encode(target).length
  if (bytes > limits.linkTargetBytesMax) {
    throw new DfsError(
      'NAME_TOO_LONG',
      `The target of "${path}" has ${bytes} bytes, the limit is ${limits.linkTargetBytesMax}`,
      { path },
    )
  }
}
