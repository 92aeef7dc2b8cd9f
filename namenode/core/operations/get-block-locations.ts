/** getBlockLocations: where the bytes of a file are. Access times are not kept (accesstime.precision 0). */

import { DfsError } from '../../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { locatedBlocks } from '../located-blocks.ts'
import { answer, type Plan } from '../outcome.ts'
import { access, requireAccess } from '../permissions.ts'
import type { LocatedBlocksView, Request } from '../requests.ts'
import { existingFile } from './get-file-info.ts'

/** @throws DfsError INVALID_ARGUMENT for a negative range; else as reading any file. */
export function getBlockLocations(
  context: Context,
  { path, offset, length }: Request & { readonly kind: 'getBlockLocations' },
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
  return answer(locatedBlocks(context, file, { offset, length }))
}
