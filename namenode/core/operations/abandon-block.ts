/**
 * abandonBlock: the client could not connect to the pipeline of its last block and gives it back. Only a
 * block of which nothing is acknowledged may go; HDFS removes any last block, also one that append reopened.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { leasedFile } from '../lease-checks.ts'
import { answer, type Plan } from '../outcome.ts'
import type { Request } from '../requests.ts'

/** A block that is not the file's last one was given back before: success. */
export function abandonBlock(
  context: Context,
  request: Request & { readonly kind: 'abandonBlock' },
): Plan<undefined> {
  const file = leasedFile(context, request)
  const last = context.rows.blocks(file.id).at(-1)
  if (last?.id !== request.block.id) return answer(undefined)
  if (last.state !== 'under-construction') {
    throw new DfsError(
      'IO_ERROR',
      `Cannot abandon block ${last.id} of "${request.path}": it is ${last.state} and must be under-construction`,
      { path: request.path },
    )
  }
  if (last.length > 0) {
    throw new DfsError(
      'IO_ERROR',
      `Cannot abandon block ${last.id} of "${request.path}": ${last.length} bytes of it are acknowledged, and only an empty block may be given back`,
      { path: request.path, blockId: last.id },
    )
  }
  const draft = new Draft(context.nextIds)
  draft.deleteBlock(last)
  return draft.plan(undefined)
}
