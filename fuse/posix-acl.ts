/**
 * The bytes of `system.posix_acl_access` and `system.posix_acl_default` (linux/posix_acl_xattr.h, little endian), and the entries of
 * the cluster's lists. The kernel knows users by number, the cluster by name.
 */
import { type AclEntry, aclEntryText, fsActions, parseAclSpec } from '../client/index.ts'
import { MountError } from './errno.ts'
import type { Identities } from './identity.ts'

export type AclKind = 'access' | 'default'

/** Attributes that are lists. */
export const aclKindByName = new Map<string, AclKind>([
  ['system.posix_acl_access', 'access'],
  ['system.posix_acl_default', 'default'],
])

const version = 2
const headerBytes = 4
const entryBytes = 8
const noId = 0xffffffff
const tags = { owner: 1, user: 2, owningGroup: 4, group: 8, mask: 16, other: 32 } as const
const tagOrder: readonly number[] = Object.values(tags)

interface KernelEntry {
  readonly tag: number
  readonly permissions: number
  readonly id: number
}

/**
 * A list as the kernel has it, undefined where the mode says everything.
 * @param texts all entries of a path, `default:user:bob:rwx`
 */
export function encodeAcl(
  texts: readonly string[],
  kind: AclKind,
  identities: Identities,
): Buffer | undefined {
  const scope = kind === 'access' ? 'ACCESS' : 'DEFAULT'
  const entries = parseAclSpec(texts.join(','), true).filter((entry) => entry.scope === scope)
  if (entries.length === 0 || (kind === 'access' && entries.length === 3)) return undefined
  const byKey = new Map<string, KernelEntry>()
  for (const entry of entries.map((each) => kernelEntry(each, identities))) {
    const key = `${entry.tag}:${entry.id}`
    const same = byKey.get(key)
    // Names that this machine does not know share a number: then they show what all of them may.
    const permissions = entry.permissions & (same?.permissions ?? 7)
    byKey.set(key, { ...entry, permissions })
  }
  const sorted = [...byKey.values()].sort(
    (a, b) => tagOrder.indexOf(a.tag) - tagOrder.indexOf(b.tag) || a.id - b.id,
  )
  const bytes = Buffer.alloc(headerBytes + sorted.length * entryBytes)
  bytes.writeUInt32LE(version, 0)
  for (const [index, { tag, permissions, id }] of sorted.entries()) {
    const at = headerBytes + index * entryBytes
    bytes.writeUInt16LE(tag, at)
    bytes.writeUInt16LE(permissions, at + 2)
    bytes.writeUInt32LE(id, at + 4)
  }
  return bytes
}

/**
 * Reads what the kernel sets.
 * @returns entries as the SDK takes them, `default:user:bob:rwx,…`
 * @throws MountError EINVAL for bytes that are no list
 */
export function decodeAcl(bytes: Buffer, kind: AclKind, identities: Identities): string {
  const count = (bytes.length - headerBytes) / entryBytes
  if (!Number.isInteger(count) || count < 1 || bytes.readUInt32LE(0) !== version) {
    throw new MountError('EINVAL', `${bytes.length} bytes are no access control list`)
  }
  const texts = Array.from({ length: count }, (_, index) => {
    const at = headerBytes + index * entryBytes
    const entry = {
      tag: bytes.readUInt16LE(at),
      permissions: bytes.readUInt16LE(at + 2),
      id: bytes.readUInt32LE(at + 4),
    }
    return aclEntryText(clusterEntry(entry, kind, identities))
  })
  return texts.join(',')
}

function kernelEntry({ type, name, permissions }: AclEntry, identities: Identities): KernelEntry {
  const bits = permissionBits(permissions)
  const plain = (tag: number): KernelEntry => ({ tag, permissions: bits, id: noId })
  if (type === 'MASK') return plain(tags.mask)
  if (type === 'OTHER') return plain(tags.other)
  if (type === 'USER') {
    if (name === undefined) return plain(tags.owner)
    return { tag: tags.user, permissions: bits, id: identities.uidOf(name) }
  }
  if (name === undefined) return plain(tags.owningGroup)
  return { tag: tags.group, permissions: bits, id: identities.gidOf(name) }
}

function clusterEntry(
  { tag, permissions, id }: KernelEntry,
  kind: AclKind,
  identities: Identities,
): AclEntry {
  const action = fsActions[permissions]
  if (action === undefined) {
    throw new MountError('EINVAL', `An access control list has the rights ${permissions}`)
  }
  const entry = (type: AclEntry['type'], name?: string): AclEntry => ({
    ...{ type, name, permissions: action },
    scope: kind === 'access' ? 'ACCESS' : 'DEFAULT',
  })
  switch (tag) {
    case tags.owner:
      return entry('USER')
    case tags.user:
      return entry('USER', identities.userOf(id))
    case tags.owningGroup:
      return entry('GROUP')
    case tags.group:
      return entry('GROUP', identities.groupOf(id))
    case tags.mask:
      return entry('MASK')
    case tags.other:
      return entry('OTHER')
    default:
      throw new MountError('EINVAL', `An access control list has an entry of kind ${tag}`)
  }
}

function permissionBits(action: AclEntry['permissions']): number {
  return fsActions.indexOf(action)
}
