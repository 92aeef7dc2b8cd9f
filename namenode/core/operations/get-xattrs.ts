/**
 * getXAttrs and listXAttrs, and who may use which namespace
 * (org.apache.hadoop.hdfs.server.namenode.XAttrPermissionFilter).
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { answer, type Plan } from '../outcome.ts'
import { isRawPath } from '../paths.ts'
import { access, requireAccess } from '../permissions.ts'
import type { Request } from '../requests.ts'
import { isSameAttribute, prefixedName, unreadableBySuperuser, type XAttrRow } from '../xattrs.ts'
import { existing } from './get-file-info.ts'

type Of<Kind extends Request['kind']> = Request & { readonly kind: Kind }

/** The attributes asked for, or all that the caller may see. One that is missing fails the whole call. */
export function getXAttrs(
  context: Context,
  { path, names }: Of<'getXAttrs'>,
): Plan<readonly XAttrRow[]> {
  for (const name of names) requireNamespace(context, path, name)
  const visible = visibleXAttrs(context, path)
  if (names.length === 0) return answer(visible)
  const found = names.map((name) => visible.find((xattr) => isSameAttribute(xattr, name)))
  const present = found.filter((xattr) => xattr !== undefined)
  if (present.length < names.length) {
    throw new DfsError(
      'XATTR_NOT_FOUND',
      'At least one of the attributes provided was not found.',
      { path },
    )
  }
  return answer(present)
}

/** All attributes that the caller may see. */
export function listXAttrs(
  context: Context,
  { path }: Of<'listXAttrs'>,
): Plan<readonly XAttrRow[]> {
  return answer(visibleXAttrs(context, path))
}

function visibleXAttrs(context: Context, path: string): readonly XAttrRow[] {
  const row = existing(context, path)
  requireAccess(context.caller, row, access.read, () => path)
  const { xattrs = [] } = row
  return xattrs.filter((xattr) => isOpenTo(context, path, xattr))
}

function isOpenTo(
  { caller }: Context,
  path: string,
  xattr: Pick<XAttrRow, 'namespace' | 'name'>,
): boolean {
  switch (xattr.namespace) {
    case 'user':
      return true
    case 'trusted':
      return caller.isSuperuser
    case 'raw':
      return caller.isSuperuser && isRawPath(path)
    case 'security':
      return prefixedName(xattr) === unreadableBySuperuser
    case 'system':
      return false
  }
}

/**
 * `user` is for everybody, `trusted` for superusers, `raw` for superusers below `/.reserved/raw`, and of `security`
 * one attribute without a value.
 * @throws DfsError PERMISSION_DENIED.
 */
export function requireNamespace(
  context: Context,
  path: string,
  xattr: Pick<XAttrRow, 'namespace' | 'name'> & { readonly value?: Uint8Array | undefined },
): void {
  if (!isOpenTo(context, path, xattr)) {
    throw new DfsError(
      'PERMISSION_DENIED',
      `User doesn't have permission for xattr: ${prefixedName(xattr)}`,
      { path },
    )
  }
  if (xattr.namespace === 'security' && (xattr.value?.length ?? 0) > 0) {
    throw new DfsError(
      'PERMISSION_DENIED',
      `Attempt to set a value for '${unreadableBySuperuser}'. Values are not allowed for this xattr.`,
      { path },
    )
  }
}
