/**
 * setXAttr and removeXAttr (org.apache.hadoop.hdfs.server.namenode.FSDirXAttrOp). Who may: for `user` whoever may
 * write the inode, in a sticky directory's own case its owner; for the other namespaces see {@link requireNamespace}.
 */
import { DfsError } from '../../../protocol/errors.ts'
import { limits } from '../../../protocol/limits.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { utf8Length } from '../names.ts'
import type { Plan } from '../outcome.ts'
import { access, requireAccess, requireOwner } from '../permissions.ts'
import type { Request } from '../requests.ts'
import { isSameAttribute, prefixedName, unreadableBySuperuser, type XAttrRow } from '../xattrs.ts'
import { existing } from './get-file-info.ts'
import { requireNamespace } from './get-xattrs.ts'

type Of<Kind extends Request['kind']> = Request & { readonly kind: Kind }

const stickyBit = 0o1000

export function setXAttr(context: Context, request: Of<'setXAttr'>): Plan<undefined> {
  const { path, xattr } = request
  checkSize(xattr, path)
  requireNamespace(context, path, xattr)
  const row = existing(context, path)
  requireChange(context, row, path, xattr)
  const kept = (row.xattrs ?? []).filter((other) => !isSameAttribute(other, xattr))
  checkFlags(request, row.xattrs !== undefined && kept.length < row.xattrs.length)
  const xattrs = [...kept, xattr]
  const counted = xattrs.filter(({ namespace }) => namespace === 'user' || namespace === 'trusted')
  if (counted.length > limits.xattrsPerInodeMax) {
    throw new DfsError(
      'LIMIT_EXCEEDED',
      `Cannot add additional XAttr to inode, would exceed limit of ${limits.xattrsPerInodeMax}`,
      { path },
    )
  }
  if (row.kind !== 'file' && prefixedName(xattr) === unreadableBySuperuser) {
    throw new DfsError('IO_ERROR', `Can only set '${unreadableBySuperuser}' on a file.`, { path })
  }
  return change(context, row, xattrs)
}

export function removeXAttr(context: Context, request: Of<'removeXAttr'>): Plan<undefined> {
  const { path, xattr } = request
  requireNamespace(context, path, xattr)
  const row = existing(context, path)
  requireChange(context, row, path, xattr)
  if (prefixedName(xattr) === unreadableBySuperuser) {
    throw new DfsError(
      'PERMISSION_DENIED',
      `The xattr '${unreadableBySuperuser}' can not be deleted.`,
      { path },
    )
  }
  const kept = (row.xattrs ?? []).filter((other) => !isSameAttribute(other, xattr))
  if (kept.length === (row.xattrs ?? []).length) {
    throw new DfsError('IO_ERROR', 'No matching attributes found for remove operation', { path })
  }
  return change(context, row, kept)
}

function change(context: Context, row: InodeRow, xattrs: readonly XAttrRow[]): Plan<undefined> {
  const draft = new Draft(context.nextIds)
  const kept = xattrs.length > 0 ? xattrs : undefined
  draft.putInode({ ...row, xattrs: kept, ctime: context.wall })
  return draft.plan(undefined)
}

function checkSize({ name, value }: XAttrRow, path: string): void {
  const size = utf8Length(name) + value.length
  const max = limits.xattrBytesMax
  if (name === '') {
    throw new DfsError('INVALID_ARGUMENT', 'The name of an extended attribute is empty', { path })
  }
  if (size > max) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `The XAttr is too big. The maximum combined size of the name and value is ${max}, but the total size is ${size}`,
      { path },
    )
  }
}

function checkFlags({ xattr, create, replace, path }: Of<'setXAttr'>, exists: boolean): void {
  if (!create && !replace) {
    throw new DfsError('INVALID_ARGUMENT', 'A flag must be specified.', { path })
  }
  if (exists && !replace) {
    throw new DfsError(
      'IO_ERROR',
      `XAttr: ${xattr.name} already exists. The REPLACE flag must be specified.`,
      { path },
    )
  }
  if (!exists && !create) {
    throw new DfsError(
      'IO_ERROR',
      `XAttr: ${xattr.name} does not exist. The CREATE flag must be specified.`,
      { path },
    )
  }
}

function requireChange(
  { caller }: Context,
  row: InodeRow,
  path: string,
  { namespace }: Pick<XAttrRow, 'namespace'>,
): void {
  if (namespace !== 'user') return
  if (row.kind === 'directory' && (row.mode & stickyBit) !== 0) {
    requireOwner(caller, row, () => path)
  } else {
    requireAccess(caller, row, access.write, () => path)
  }
}
