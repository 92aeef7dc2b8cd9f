/**
 * HDFS's permission checker (org.apache.hadoop.hdfs.server.namenode.FSPermissionChecker). One class
 * applies: owner, else group, else other; with an access ACL owner, else the named user, else any of the
 * groups that gives what is wanted, else other, the group class within the mask. Directories on the way need
 * execute; a superuser passes every check. Messages are HDFS's own, people search for them.
 */
import { DfsError } from '../../protocol/errors.ts'
import { hasAccessAcl } from './acl-transformation.ts'
import type { InodeRow } from './changes.ts'
import type { Caller } from './requests.ts'

export const access = { execute: 1, write: 2, read: 4, readExecute: 5, all: 7 } as const

const names = [
  'NONE',
  'EXECUTE',
  'WRITE',
  'WRITE_EXECUTE',
  'READ',
  'READ_EXECUTE',
  'READ_WRITE',
  'ALL',
] as const
const stickyBit = 0o1000

/** True when the bits of `row` give `caller` every right in `wanted` (4 read, 2 write, 1 execute). */
export function mayAccess(caller: Caller, row: InodeRow, wanted: number): boolean {
  if (caller.isSuperuser) return true
  if (row.acl !== undefined && hasAccessAcl(row)) return mayAccessByAcl(caller, row, wanted)
  const shift = row.owner === caller.user ? 6 : caller.groups.includes(row.group) ? 3 : 0
  return ((row.mode >> shift) & wanted) === wanted
}

function mayAccessByAcl(caller: Caller, row: InodeRow, wanted: number): boolean {
  const { user, groups } = caller
  if (row.owner === user) return ((row.mode >> 6) & wanted) === wanted
  const mask = row.mode >> 3
  const isEnough = (permissions: number): boolean => (permissions & mask & wanted) === wanted
  let isMember = false
  for (const { scope, type, name, permissions } of row.acl?.entries ?? []) {
    if (scope === 'default') break
    if (type === 'user' && name === user) return isEnough(permissions)
    if (type === 'group' && groups.includes(name ?? row.group)) {
      if (isEnough(permissions)) return true
      isMember = true
    }
  }
  return !isMember && (row.mode & wanted) === wanted
}

/** @throws {@link DfsError} PERMISSION_DENIED unless {@link mayAccess}; `path` is asked for only then. */
export function requireAccess(
  caller: Caller,
  row: InodeRow,
  wanted: number,
  path: () => string,
): void {
  if (mayAccess(caller, row, wanted)) return
  throw new DfsError(
    'PERMISSION_DENIED',
    `Permission denied: user=${caller.user}, access=${names[wanted] ?? 'NONE'}, ${inodeText(row, path())}`,
    { path: path() },
  )
}

/** @throws {@link DfsError} PERMISSION_DENIED unless `caller` owns `row` or is a superuser. */
export function requireOwner(caller: Caller, row: InodeRow, path: () => string): void {
  if (caller.isSuperuser || row.owner === caller.user) return
  throw new DfsError(
    'PERMISSION_DENIED',
    `Permission denied. user=${caller.user} is not the owner of inode=${path()}`,
    { path: path() },
  )
}

/** True when the sticky bit of `parent` keeps `caller` from removing or replacing `child`. */
export function isSticky(caller: Caller, parent: InodeRow, child: InodeRow): boolean {
  if (caller.isSuperuser || (parent.mode & stickyBit) === 0) return false
  return parent.owner !== caller.user && child.owner !== caller.user
}

/** @throws {@link DfsError} PERMISSION_DENIED when {@link isSticky}. */
export function requireNotSticky(
  caller: Caller,
  parent: InodeRow,
  child: InodeRow,
  path: () => string,
): void {
  if (!isSticky(caller, parent, child)) return
  throw new DfsError(
    'PERMISSION_DENIED',
    `Permission denied by sticky bit: user=${caller.user}, ${inodeText(child, path())}, parent of mode ${symbolicMode(parent)}`,
    { path: path() },
  )
}

function inodeText(row: InodeRow, path: string): string {
  const plus = hasAccessAcl(row) ? '+' : ''
  return `inode="${path}":${row.owner}:${row.group}:${symbolicMode(row)}${plus}`
}

/** `drwxr-xr-x` of an inode; the sticky bit shows as `t` or `T`. */
export function symbolicMode(row: InodeRow): string {
  const type = row.kind === 'directory' ? 'd' : row.kind === 'symlink' ? 'l' : '-'
  let bits = ''
  for (let shift = 8; shift >= 0; shift -= 1) {
    const letter = 'xwr'[shift % 3] ?? ''
    bits += ((row.mode >> shift) & 1) === 1 ? letter : '-'
  }
  if ((row.mode & stickyBit) !== 0) bits = bits.slice(0, 8) + ((row.mode & 1) === 1 ? 't' : 'T')
  return type + bits
}
