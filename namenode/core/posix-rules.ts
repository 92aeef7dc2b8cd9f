/**
 * Where POSIX differs from HDFS, for the requests of the mount only: who gets which error, what a setgid directory hands
 * down, and when setuid and setgid bits end. Linux is the measure where POSIX leaves a choice.
 */
import { DfsError } from '../../protocol/errors.ts'
import type { EntryReference, InodeRow } from './changes.ts'
import type { Context } from './context.ts'
import { access, isSticky, requireAccess } from './permissions.ts'
import type { Caller } from './requests.ts'
import { ancestorPath, parentOf, type Resolved, resolve } from './resolve.ts'

export const modeBits = {
  all: 0o7777,
  setuid: 0o4000,
  setgid: 0o2000,
  groupExecute: 0o010,
} as const

/** An entry that a request names, and the directory that has it or would. */
export interface EntryPlace {
  readonly resolved: Resolved
  readonly parent: InodeRow
  readonly reference: EntryReference
  readonly row: InodeRow | undefined
}

/**
 * Where `path` leads, without following a link there.
 * @throws {@link DfsError} FILE_NOT_FOUND when there is no such directory; INVALID_PATH for the root, which is no entry.
 */
export function entryPlace(context: Context, path: string): EntryPlace {
  const resolved = resolve(context, path, { keepsLastLink: true })
  const parent = parentOf(resolved)
  if (parent === undefined) {
    if (resolved.last !== undefined) {
      throw new DfsError('INVALID_PATH', `The root directory is not an entry: ${path}`, { path })
    }
    throw new DfsError('FILE_NOT_FOUND', `The directory of "${path}" does not exist`, { path })
  }
  const { name, last: row } = resolved
  return { resolved, parent, reference: { parent: parent.id, name }, row }
}

/** @throws {@link DfsError} PERMISSION_DENIED unless the caller may write the directory of the entry. */
export function requireDirectoryWrite(context: Context, { resolved, parent }: EntryPlace): void {
  requireAccess(context.caller, parent, access.write | access.execute, () => {
    return ancestorPath(resolved, resolved.ancestors.length - 1)
  })
}

/** @throws {@link DfsError} PERMISSION_DENIED, or NOT_PERMITTED when only a sticky bit keeps the caller off. */
export function requireRemovableEntry(context: Context, place: EntryPlace): void {
  requireDirectoryWrite(context, place)
  const { parent, row, resolved } = place
  if (row === undefined || !isSticky(context.caller, parent, row)) return
  const path = resolved.path
  throw new DfsError(
    'NOT_PERMITTED',
    `Cannot remove "${path}": its directory is sticky, and ${context.caller.user} owns neither`,
    { path },
  )
}

/** The row at an entry. @throws {@link DfsError} FILE_NOT_FOUND. */
export function requireRow({ row, resolved: { path } }: EntryPlace): InodeRow {
  if (row !== undefined) return row
  throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
}

/** @throws {@link DfsError} FILE_EXISTS. */
export function requireFree({ row, resolved: { path } }: EntryPlace): void {
  if (row === undefined) return
  throw new DfsError('FILE_EXISTS', `"${path}" exists already`, { path })
}

/** EISDIR, in the words by which HDFS's clients tell it from ENOENT. */
export function isADirectory(path: string): DfsError {
  return new DfsError('IS_A_DIRECTORY', `Path is not a file: ${path}`, { path })
}

/** Group and mode of a new inode in `parent` (Linux: inode_init_owner). */
export function inherited(
  caller: Caller,
  parent: InodeRow,
  wanted: { readonly kind: InodeRow['kind']; readonly mode: number; readonly group: string },
): { readonly group: string; readonly mode: number } {
  const mode = wanted.mode & modeBits.all
  if ((parent.mode & modeBits.setgid) === 0) return { group: wanted.group, mode }
  const { group } = parent
  if (wanted.kind === 'directory') return { group, mode: mode | modeBits.setgid }
  const both = modeBits.setgid | modeBits.groupExecute
  const isSetgid = (mode & both) === both
  const keeps = !isSetgid || caller.isSuperuser || caller.groups.includes(group)
  return { group, mode: keeps ? mode : mode & ~modeBits.setgid }
}

/** What of `mode` survives a change of owner: what makes a program run as somebody ends. */
export function withoutSetBits({ kind }: InodeRow, mode: number): number {
  if (kind === 'directory') return mode
  const kept = (mode & modeBits.groupExecute) === 0 ? mode : mode & ~modeBits.setgid
  return kept & ~modeBits.setuid
}
