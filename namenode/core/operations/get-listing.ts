/** getListing and summarizeDirectory: a directory page by page. */

import { limits } from '../../../protocol/limits.ts'
import type { Context } from '../context.ts'
import { listChildren } from '../listing.ts'
import { fileStatus, locatedStatus } from '../located-blocks.ts'
import { answer, type Plan } from '../outcome.ts'
import { access, requireAccess } from '../permissions.ts'
import type { DirectorySummary, FileStatusView, ListingView, Request } from '../requests.ts'
import { lookUp } from '../resolve.ts'
import { MissCollector } from '../row-miss.ts'
import { existing } from './get-file-info.ts'

type Of<Kind extends Request['kind']> = Request & { readonly kind: Kind }

/**
 * Children strictly after `startAfter`; of a file, the file itself under an empty name. With locations a
 * page also ends once it names more replicas than `limit`. A missing path is no error.
 */
export function getListing(
  context: Context,
  { path, startAfter, needLocation, limit }: Of<'getListing'>,
): Plan<ListingView | undefined> {
  const row = lookUp(context, path)
  if (row === undefined) return answer(undefined)
  if (row.kind !== 'directory') {
    const entry = needLocation ? locatedStatus(context, row) : fileStatus(row)
    return answer({ entries: [entry], remainingEntries: 0 })
  }
  requireAccess(context.caller, row, access.readExecute, () => path)
  const bounded = Math.max(1, Math.min(limit, limits.listingEntriesMax))
  const slice = listChildren(context, { directory: row, startAfter, limit: bounded })
  if (!needLocation) {
    const entries = slice.children.map(({ name, inode }) => fileStatus(inode, name))
    return answer({ entries, remainingEntries: slice.remaining })
  }
  const collector = new MissCollector()
  const entries: FileStatusView[] = []
  let replicas = 0
  for (const { name, inode } of slice.children) {
    if (replicas >= bounded) break
    const status = collector.attempt(() => locatedStatus(context, inode, name))
    if (status === undefined) continue
    entries.push(status)
    for (const { locations } of status.located?.blocks ?? []) replicas += locations.length
  }
  collector.raise()
  const cut = slice.children.length - entries.length
  return answer({ entries, remainingEntries: slice.remaining + cut })
}

/** Totals of a directory's direct files, and the names of its subdirectories. */
export function summarizeDirectory(
  context: Context,
  { path, startAfter }: Of<'summarizeDirectory'>,
): Plan<DirectorySummary> {
  const row = existing(context, path)
  if (row.kind !== 'directory') {
    const { length, replication } = row
    return answer({
      isDirectory: false,
      length,
      fileCount: 1,
      spaceConsumed: length * replication,
      subdirectories: [],
    })
  }
  requireAccess(context.caller, row, access.readExecute, () => path)
  const wanted = { directory: row, startAfter, limit: limits.listingEntriesMax }
  const { children, remaining } = listChildren(context, wanted)
  const subdirectories: string[] = []
  let length = 0
  let fileCount = 0
  let spaceConsumed = 0
  for (const { name, inode } of children) {
    if (inode.kind === 'directory') subdirectories.push(name)
    else {
      fileCount += 1
      length += inode.length
      spaceConsumed += inode.length * inode.replication
    }
  }
  const last = children.at(-1)
  const next = remaining > 0 && last !== undefined ? { next: last.name } : {}
  return answer({ isDirectory: true, length, fileCount, spaceConsumed, subdirectories, ...next })
}
