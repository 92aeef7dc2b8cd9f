/**
 * complete: commits the last block and closes the file. It waits until every block has a finalized
 * replica; answering false at once, as HDFS does, makes its clients sleep 400 ms.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { InodeRow } from '../changes.ts'
import { committed, completedIfReplicated } from '../commit-block.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { isSameBlock, leasedFile } from '../lease-checks.ts'
import { answer, type Plan } from '../outcome.ts'
import { closeFile } from '../release-lease.ts'
import type { Request } from '../requests.ts'
import { writtenFile } from '../resolve.ts'

type Complete = Request & { readonly kind: 'complete' }

/** False, on the last try only, means "a block has no replica yet, ask again". */
export function complete(context: Context, request: Complete): Plan<boolean> {
  const closed = closedBefore(context, request)
  if (closed !== undefined) return answer(true)
  const file = leasedFile(context, request)
  const rows = context.rows.blocks(file.id)
  const last = rows.at(-1)
  if (request.last !== undefined && last === undefined) {
    throw new DfsError(
      'IO_ERROR',
      `Cannot complete "${request.path}" with block ${request.last.id}: the file has no blocks`,
      { path: request.path },
    )
  }
  const draft = new Draft(context.nextIds)
  const settled = rows.map((row, index) => {
    const named = index === rows.length - 1 ? request.last : undefined
    const now = completedIfReplicated(context, named === undefined ? row : committed(row, named))
    if (now !== row) draft.putBlock(file, now)
    return now
  })
  const growth = (settled.at(-1)?.length ?? 0) - (last?.length ?? 0)
  const waiting = settled.filter(({ state }) => state !== 'complete')
  if (waiting.length === 0) {
    closeFile(context, draft, file, growth)
    return draft.plan(true)
  }
  if (!request.isLastTry) return { kind: 'wait', blocks: waiting.map(({ id }) => id) }
  // The length is journaled all the same: it is what the file is closed with if the client dies now.
  if (growth !== 0) draft.putInode({ ...file, length: file.length + growth })
  return draft.plan(false)
}

/** The file, when this is the retry of a call that closed it: closed, and with the same last block. */
function closedBefore(context: Context, request: Complete): InodeRow | undefined {
  const file = writtenFile(context, request)
  if (file?.kind !== 'file' || file.lease !== undefined) return undefined
  return isSameBlock(context.rows.blocks(file.id).at(-1), request.last) ? file : undefined
}
