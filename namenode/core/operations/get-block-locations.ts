/** getBlockLocations: where the bytes of a file are. Access times are not kept (accesstime.precision 0). */

import { DfsError } from '../../../protocol/errors.ts'
import type { BlockId } from '../../../protocol/ids.ts'
import type { InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { locatedBlocks } from '../located-blocks.ts'
import { answer, type Plan } from '../outcome.ts'
import { access, requireAccess } from '../permissions.ts'
import type { LocatedBlocksView, Request } from '../requests.ts'
import { prefixedName, unreadableBySuperuser } from '../xattrs.ts'
import { existingFile } from './get-file-info.ts'

/**
 * Waits, for a bounded time, for the datanodes that may have a block that is being written: clients take one
 * without locations for empty.
 *
 * @throws DfsError INVALID_ARGUMENT for a negative range; RETRIABLE when that wait was in vain; else as
 *   reading any file.
 */
export function getBlockLocations(
  context: Context,
  { path, offset, length, isLastTry }: Request & { readonly kind: 'getBlockLocations' },
): Plan<LocatedBlocksView> {
  if (offset < 0 || length < 0) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Range of "${path}" must not be negative: offset ${offset}, length ${length}`,
      { path },
    )
  }
  const file = existingFile(context, path)
  requireAccess(context.caller, file, access.read, () => path)
  requireReadable(context, file, path)
  const located = locatedBlocks(context, file, { offset, length })
  const unheard = unheardOpenBlock(context, located)
  if (unheard === undefined) return answer(located)
  if (isLastTry !== true) return { kind: 'wait', blocks: [unheard] }
  throw new DfsError(
    'RETRIABLE',
    `Zero blocklocations for ${path}: no datanode has reported block ${unheard}, which is being written, since the namenode started. Try again.`,
    { path },
  )
}

/** The block that is being written, when the datanodes that have it may still have to report it after a start. */
function unheardOpenBlock(
  { blocks }: Context,
  { lastBlock, isLastBlockComplete }: LocatedBlocksView,
): BlockId | undefined {
  if (lastBlock === undefined || isLastBlockComplete || lastBlock.locations.length > 0)
    return undefined
  const { id } = lastBlock.block
  return blocks.mayBeReportedLater(id) ? id : undefined
}

/** @throws DfsError PERMISSION_DENIED to superusers where {@link unreadableBySuperuser} is set. */
function requireReadable({ caller }: Context, file: InodeRow, path: string): void {
  if (!caller.isSuperuser || file.xattrs === undefined) return
  if (!file.xattrs.some((xattr) => prefixedName(xattr) === unreadableBySuperuser)) return
  throw new DfsError(
    'PERMISSION_DENIED',
    `Access is denied for ${caller.user} since the superuser is not allowed to perform this operation.`,
    { path },
  )
}
