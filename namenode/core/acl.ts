/**
 * Access control lists as rows hold them (org.apache.hadoop.hdfs.server.namenode.AclStorage). The entries of owner
 * and others, and the mask of an extended list, live in the mode; a row holds what the mode cannot say:
 *
 *     access ACL user::rwx user:bob:rw- group::r-x mask::rwx other::---    mode 0770, the row user:bob:rw-,group::r-x
 *     and a default ACL                                                    behind it, whole: default:user::rwx,…
 *
 * Whole trees inherit the same list, so equal ones are one object in memory.
 */
import { DfsError } from '../../protocol/errors.ts'

export type AclScope = 'access' | 'default'
export type AclType = 'user' | 'group' | 'mask' | 'other'

/** One entry; `name` is absent for the owner, the owning group, the mask and others. */
export interface AclEntry {
  readonly scope: AclScope
  readonly type: AclType
  readonly name?: string | undefined
  /** Bits 4 read, 2 write, 1 execute. */
  readonly permissions: number
}

/** The list of a row, in order: access entries first. Equal texts are the same object as long as few are in use. */
export interface Acl {
  /** `user:bob:rw-,group::r-x,default:user::rwx,…`: what disks hold. */
  readonly text: string
  readonly entries: readonly AclEntry[]
}

const types: readonly AclType[] = ['user', 'group', 'mask', 'other']
const sharedMax = 16_384
const shared = new Map<string, Acl>()

/** `rwx` of three bits. */
export function permissionsText(permissions: number): string {
  const letter = (bit: number, shown: string): string => ((permissions & bit) === 0 ? '-' : shown)
  return letter(4, 'r') + letter(2, 'w') + letter(1, 'x')
}

/** `default:user:bob:rwx`. */
export function entryText({ scope, type, name = '', permissions }: AclEntry): string {
  const prefix = scope === 'default' ? 'default:' : ''
  return `${prefix}${type}:${name}:${permissionsText(permissions)}`
}

/** The list of these entries, undefined for none; they must be sorted and valid. */
export function aclOf(entries: readonly AclEntry[]): Acl | undefined {
  return entries.length === 0 ? undefined : share(entries.map(entryText).join(','), entries)
}

/**
 * Reads what a journal or database holds.
 * @throws {@link DfsError} CORRUPTION when no list has this text.
 */
export function parseAcl(text: string): Acl {
  return shared.get(text) ?? share(text, text.split(',').map(parseEntry))
}

function share(text: string, entries: readonly AclEntry[]): Acl {
  const known = shared.get(text)
  if (known !== undefined) return known
  if (shared.size >= sharedMax) shared.clear()
  const acl = { text, entries }
  shared.set(text, acl)
  return acl
}

function parseEntry(text: string): AclEntry {
  const parts = text.split(':')
  const scope = parts[0] === 'default' ? 'default' : 'access'
  if (scope === 'default') parts.shift()
  const [type, name, permissions = ''] = parts
  const known = types.find((candidate) => candidate === type)
  if (parts.length !== 3 || known === undefined || !/^[r-][w-][x-]$/.test(permissions)) {
    throw new DfsError('CORRUPTION', `"${text}" is no entry of an access control list`)
  }
  const bit = (at: number, value: number): number => (permissions.charAt(at) === '-' ? 0 : value)
  const bits = bit(0, 4) + bit(1, 2) + bit(2, 1)
  return { scope, type: known, ...(name !== '' && { name }), permissions: bits }
}
