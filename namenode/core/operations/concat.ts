/**
 * concat: moves the blocks of closed files of one directory to the end of another file there, and removes
 * the emptied files (FSDirConcatOp). Blocks keep ids, stamps and lengths, also partial ones in the middle;
 * no byte is copied. Any block may be shorter than the block size from then on.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { InodeId } from '../../../protocol/ids.ts'
import { limits } from '../../../protocol/limits.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { contentTimes, unlink } from '../inode-changes.ts'
import type { Plan } from '../outcome.ts'
import { access, requireAccess } from '../permissions.ts'
import type { Request } from '../requests.ts'
import { parentOf, type Resolved, resolve } from '../resolve.ts'
import { requireRemovable } from './delete.ts'

type Concat = Request & { readonly kind: 'concat' }

/** @throws DfsError INVALID_ARGUMENT for files that do not fit together, FILE_NOT_FOUND, PERMISSION_DENIED. */
export function concat(context: Context, { path, sources }: Concat): Plan<undefined> {
  if (sources.length === 0) throw refused(path, 'no sources given')
  const resolved = resolve(context, path)
  const target = fileAt(resolved)
  const parent = parentOf(resolved)
  requireAccess(context.caller, target, access.write, () => path)
  if (target.lease !== undefined || parent === undefined) {
    throw refused(path, `target file ${path} is under construction`)
  }
  const files: InodeRow[] = []
  const seen = new Set<InodeId>()
  for (const source of sources) {
    const file = checkedSource(context, { path, target, parent, source })
    if (seen.has(file.id)) throw refused(path, 'at least two of the source files are the same')
    seen.add(file.id)
    files.push(file)
  }
  return move(context, { path, target, parent, files })
}

interface Pairing {
  readonly path: string
  readonly target: InodeRow
  readonly parent: InodeRow
  readonly source: string
}

/** The file at `source`, which the caller may read and remove and which fits behind `target`. */
function checkedSource(context: Context, { path, target, parent, source }: Pairing): InodeRow {
  const resolved = resolve(context, source)
  const file = resolved.last
  if (file !== undefined) requireAccess(context.caller, file, access.read, () => source)
  requireRemovable(context, resolved)
  const row = fileAt(resolved)
  if (row.id === target.id) {
    throw refused(path, `the src file ${source} is the same with the target file ${path}`)
  }
  if (row.nlink > 1) throw refused(path, `source file ${source} has other names (hard links)`)
  if (row.parent !== parent.id) {
    throw refused(
      path,
      `source file ${source} is not in the same directory with the target ${path}`,
    )
  }
  if (row.lease !== undefined || context.rows.blocks(row.id).length === 0) {
    throw refused(path, `source file ${source} is invalid or empty or underConstruction`)
  }
  if (row.blockSize > target.blockSize) {
    throw refused(
      path,
      `source file ${source} has preferred block size ${row.blockSize} which is greater than the target file's preferred block size ${target.blockSize}`,
    )
  }
  return row
}

function fileAt({ path, last }: Resolved): InodeRow {
  if (last === undefined) {
    throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
  }
  if (last.kind !== 'file') {
    throw new DfsError('IS_A_DIRECTORY', `Path is not a file: ${path}`, { path })
  }
  return last
}

interface Joining {
  readonly path: string
  readonly target: InodeRow
  readonly parent: InodeRow
  readonly files: readonly InodeRow[]
}

function move(context: Context, { path, target, parent, files }: Joining): Plan<undefined> {
  const draft = new Draft(context.nextIds)
  let index = context.rows.blocks(target.id).length
  let length = target.length
  for (const file of files) {
    const blocks = context.rows.blocks(file.id)
    if (index + blocks.length > limits.blocksPerFileMax) {
      throw new DfsError(
        'LIMIT_EXCEEDED',
        `Cannot concat ${path}: it would have more than ${limits.blocksPerFileMax} blocks (dfs.namenode.fs-limits.max-blocks-per-file)`,
        { path },
      )
    }
    for (const block of blocks) {
      draft.putBlock(target, { ...block, inode: target.id, index })
      index += 1
    }
    length += file.length
    unlink(draft, parent, file, context.wall)
    draft.deleteInode(file)
  }
  draft.putInode({ ...target, length, ...contentTimes(context.wall) })
  return draft.plan(undefined)
}

function refused(path: string, why: string): DfsError {
  return new DfsError('INVALID_ARGUMENT', `concat: ${why}`, { path })
}
