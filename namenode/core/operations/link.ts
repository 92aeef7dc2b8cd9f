/**
 * link: one more name for what has one, as link(2) does it. All names are equal; the inode and its blocks go with the
 * last. Directories have one name, so that there is one way up.
 */
import { DfsError } from '../../../protocol/errors.ts'
import { limits } from '../../../protocol/limits.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { link as addEntry } from '../inode-changes.ts'
import { fileStatus } from '../located-blocks.ts'
import type { Plan } from '../outcome.ts'
import { checkNewEntry } from '../paths.ts'
import { entryPlace, requireDirectoryWrite, requireFree, requireRow } from '../posix-rules.ts'
import type { FileStatusView, Request } from '../requests.ts'
import { lookUp } from '../resolve.ts'

/** @throws {@link DfsError} FILE_NOT_FOUND, FILE_EXISTS, NOT_PERMITTED for a directory, TOO_MANY_LINKS. */
export function link(
  context: Context,
  { path, source }: Request & { readonly kind: 'link' },
): Plan<FileStatusView> {
  const found = lookUp(context, source, { keepsLastLink: true })
  const place = entryPlace(context, path)
  const row =
    found ?? requireRow({ ...place, row: undefined, resolved: { ...place.resolved, path: source } })
  requireFree(place)
  if (row.kind === 'directory') {
    throw new DfsError('NOT_PERMITTED', `A directory has one name only: ${source}`, {
      path: source,
    })
  }
  requireDirectoryWrite(context, place)
  const { parent, reference } = place
  checkNewEntry(parent.id, reference.name, path)
  if (row.nlink >= limits.namesPerInodeMax) {
    throw new DfsError(
      'TOO_MANY_LINKS',
      `"${source}" has ${row.nlink} names, the limit is ${limits.namesPerInodeMax}`,
      { path: source },
    )
  }
  const draft = new Draft(context.nextIds)
  const linked: InodeRow = {
    ...row,
    nlink: row.nlink + 1,
    otherEntries: [...(row.otherEntries ?? []), reference],
    ctime: context.wall,
  }
  draft.putInode(linked)
  addEntry(draft, parent, { ...row, name: reference.name }, context.wall)
  return draft.plan(fileStatus(linked))
}
