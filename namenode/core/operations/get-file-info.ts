/** getFileInfo, getLocatedFileInfo and the small questions about one inode. */
import { DfsError, isDfsError } from '../../../protocol/errors.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { fileStatus, locatedStatus } from '../located-blocks.ts'
import { answer, type Plan } from '../outcome.ts'
import { requireAccess } from '../permissions.ts'
import type { FileStatusView, Request } from '../requests.ts'
import { lookUp } from '../resolve.ts'

type Of<Kind extends Request['kind']> = Request & { readonly kind: Kind }

/** A missing path is no error: the reply is undefined. */
export function getFileInfo(
  context: Context,
  { path, needLocation, keepsLastLink }: Of<'getFileInfo'>,
): Plan<FileStatusView | undefined> {
  const row = lookUp(context, path, { keepsLastLink })
  if (row === undefined) return answer(undefined)
  return answer(needLocation === true ? locatedStatus(context, row) : fileStatus(row))
}

export function isFileClosed(context: Context, { path }: Of<'isFileClosed'>): Plan<boolean> {
  return answer(existingFile(context, path).lease === undefined)
}

export function getPreferredBlockSize(
  context: Context,
  { path }: Of<'getPreferredBlockSize'>,
): Plan<number> {
  return answer(existingFile(context, path).blockSize)
}

/** Succeeds when the caller has the wanted rights on the inode itself. */
export function checkAccess(
  context: Context,
  { path, access }: Of<'checkAccess'>,
): Plan<undefined> {
  requireAccess(context.caller, existing(context, path), access & 7, () => path)
  return answer(undefined)
}

/** Of a path with a link before its last component: the path with the first one resolved, as HDFS has it. */
export function getLinkTarget(context: Context, { path }: Of<'getLinkTarget'>): Plan<string> {
  let row: InodeRow | undefined
  try {
    row = lookUp(context, path, { keepsLastLink: true })
  } catch (error) {
    if (isDfsError(error, 'UNRESOLVED_LINK')) return answer(error.message)
    throw error
  }
  if (row === undefined) throw missing(path)
  if (row.target === undefined) {
    throw new DfsError('IO_ERROR', `Path "${path}" is not a symbolic link`, { path })
  }
  return answer(row.target)
}

/** @throws {@link DfsError} FILE_NOT_FOUND. */
export function existing(context: Context, path: string): InodeRow {
  const row = lookUp(context, path)
  if (row === undefined) throw missing(path)
  return row
}

function missing(path: string): DfsError {
  return new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
}

/**
 * A file, or what HDFS's clients see as an empty one.
 * @throws {@link DfsError} FILE_NOT_FOUND; IS_A_DIRECTORY.
 */
export function existingFile(context: Context, path: string): InodeRow {
  const row = existing(context, path)
  if (row.kind === 'directory') {
    throw new DfsError('IS_A_DIRECTORY', `Path is not a file: ${path}`, { path })
  }
  return row
}

/** @throws {@link DfsError} INVALID_ARGUMENT for special files, which cannot be written through the cluster. */
export function requireContent({ kind }: InodeRow, path: string): void {
  if (kind === 'file') return
  throw new DfsError('INVALID_ARGUMENT', `Cannot write "${path}": it is a ${kind}`, { path })
}
