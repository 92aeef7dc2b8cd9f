import { DfsError } from '../../protocol/errors.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import {
  type AclEntryScope,
  type AclEntryType,
  type aclEntry,
  fsActionEnum,
  type AclEntry as WireAclEntry,
  type XAttr as WireXAttr,
  type XAttrNamespace as WireXAttrNamespace,
  xAttrSetFlags,
} from '../../protocol/messages/hdfs.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { AclEntry, AclScope, AclType } from '../core/acl.ts'
import { ownBytes, type XAttrNamespace, type XAttrRow } from '../core/xattrs.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { pathOf } from './client-protocol-namespace.ts'

const stickyBit = 0o1000
const nothing = {}

const aclScopes = { ACCESS: 'access', DEFAULT: 'default' } as const satisfies Record<
  AclEntryScope,
  AclScope
>
const wireAclScopes = { access: 'ACCESS', default: 'DEFAULT' } as const satisfies Record<
  AclScope,
  AclEntryScope
>
const aclTypes = {
  USER: 'user',
  GROUP: 'group',
  MASK: 'mask',
  OTHER: 'other',
} as const satisfies Record<AclEntryType, AclType>
const wireAclTypes = {
  user: 'USER',
  group: 'GROUP',
  mask: 'MASK',
  other: 'OTHER',
} as const satisfies Record<AclType, AclEntryType>
const namespaces = {
  USER: 'user',
  TRUSTED: 'trusted',
  SECURITY: 'security',
  SYSTEM: 'system',
  RAW: 'raw',
} as const satisfies Record<WireXAttrNamespace, XAttrNamespace>
const wireNamespaces = {
  user: 'USER',
  trusted: 'TRUSTED',
  security: 'SECURITY',
  system: 'SYSTEM',
  raw: 'RAW',
} as const satisfies Record<XAttrNamespace, WireXAttrNamespace>

/** Methods of access control lists. */
export function aclHandlers(context: ClientContext): RpcHandlers<typeof clientNamenodeProtocol> {
  return {
    modifyAclEntries: ({ src, aclSpec }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'modifyAclEntries',
          path: pathOf(src),
          entries: aclSpec.map(aclEntryOf),
        }),
        () => nothing,
      ),
    removeAclEntries: ({ src, aclSpec }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'removeAclEntries',
          path: pathOf(src),
          entries: aclSpec.map(aclEntryOf),
        }),
        () => nothing,
      ),
    setAcl: ({ src, aclSpec }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'setAcl',
          path: pathOf(src),
          entries: aclSpec.map(aclEntryOf),
        }),
        () => nothing,
      ),
    removeDefaultAcl: ({ src }, call) =>
      mapReply(
        context.execute(call, { kind: 'removeDefaultAcl', path: pathOf(src) }),
        () => nothing,
      ),
    removeAcl: ({ src }, call) =>
      mapReply(context.execute(call, { kind: 'removeAcl', path: pathOf(src) }), () => nothing),
    getAclStatus: ({ src }, call) =>
      mapReply(
        context.execute(call, { kind: 'getAclStatus', path: pathOf(src) }),
        ({ owner, group, mode, acl }) => ({
          result: {
            owner,
            group,
            sticky: (mode & stickyBit) !== 0,
            entries: (acl?.entries ?? []).map(wireAclEntry),
            permission: { perm: mode },
          },
        }),
      ),
  }
}

/** Methods of extended attributes. */
export function xattrHandlers(context: ClientContext): RpcHandlers<typeof clientNamenodeProtocol> {
  return {
    setXAttr: ({ src, xAttr, flag = 0 }, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'setXAttr',
          path: pathOf(src),
          xattr: xattrOf(xAttr, src),
          create: (flag & xAttrSetFlags.XATTR_CREATE) !== 0,
          replace: (flag & xAttrSetFlags.XATTR_REPLACE) !== 0,
        }),
        () => nothing,
      ),
    removeXAttr: ({ src, xAttr }, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'removeXAttr',
          path: pathOf(src),
          xattr: xattrOf(xAttr, src),
        }),
        () => nothing,
      ),
    getXAttrs: ({ src, xAttrs }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'getXAttrs',
          path: pathOf(src),
          names: xAttrs.map((xattr) => xattrOf(xattr, src)),
        }),
        (found) => ({ xAttrs: found.map(wireXAttr) }),
      ),
    listXAttrs: ({ src }, call) =>
      mapReply(context.execute(call, { kind: 'listXAttrs', path: pathOf(src) }), (found) => ({
        xAttrs: found.map(wireXAttr),
      })),
  }
}

function aclEntryOf({ type, scope, permissions, name }: WireAclEntry): AclEntry {
  return {
    scope: aclScopes[scope],
    type: aclTypes[type],
    ...(name !== undefined && name !== '' && { name }),
    permissions: fsActionEnum.numberByName[permissions],
  }
}

function wireAclEntry({ scope, type, name, permissions }: AclEntry): EncodableOf<typeof aclEntry> {
  return {
    type: wireAclTypes[type],
    scope: wireAclScopes[scope],
    permissions: fsActions[permissions] ?? 'NONE',
    name,
  }
}

const fsActions = [
  'NONE',
  'EXECUTE',
  'WRITE',
  'WRITE_EXECUTE',
  'READ',
  'READ_EXECUTE',
  'READ_WRITE',
  'PERM_ALL',
] as const

function xattrOf(wire: WireXAttr | undefined, path: string): XAttrRow {
  if (wire === undefined) {
    throw new DfsError('INVALID_ARGUMENT', 'The extended attribute is missing', { path })
  }
  const { namespace, name, value } = wire
  return {
    namespace: namespaces[namespace],
    name,
    // Decoded bytes are a view of the frame, and the row outlives it.
    value: value === undefined ? noValue : ownBytes(value),
  }
}

const noValue = new Uint8Array(0)

function wireXAttr({ namespace, name, value }: XAttrRow): {
  readonly namespace: WireXAttrNamespace
  readonly name: string
  readonly value: Uint8Array
} {
  return { namespace: wireNamespaces[namespace], name, value }
}
