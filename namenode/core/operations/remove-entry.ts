/** removeEntry: unlink(2) and rmdir(2). What had one name goes; a directory must be empty. */
import { DfsError } from '../../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { discard, unlink } from '../inode-changes.ts'
import type { Plan } from '../outcome.ts'
import { entryPlace, isADirectory, requireRemovableEntry, requireRow } from '../posix-rules.ts'
import { requireUnprotected } from '../protected-directories.ts'
import type { Request } from '../requests.ts'

/** @throws {@link DfsError} NOT_A_DIRECTORY or IS_A_DIRECTORY for the other kind, DIRECTORY_NOT_EMPTY. */
export function removeEntry(
  context: Context,
  { path, isDirectory }: Request & { readonly kind: 'removeEntry' },
): Plan<undefined> {
  const place = entryPlace(context, path)
  const row = requireRow(place)
  requireRemovableEntry(context, place)
  if (isDirectory && row.kind !== 'directory') {
    throw new DfsError('NOT_A_DIRECTORY', `${path} (is not a directory)`, { path })
  }
  if (!isDirectory && row.kind === 'directory') throw isADirectory(path)
  if (row.childCount > 0) {
    throw new DfsError('DIRECTORY_NOT_EMPTY', `${path} is non empty`, { path })
  }
  requireUnprotected(context, row)
  const draft = new Draft(context.nextIds)
  unlink(draft, place.parent, { name: place.reference.name, kind: row.kind }, context.wall)
  discard(context, draft, row, place.reference)
  return draft.plan(undefined)
}
