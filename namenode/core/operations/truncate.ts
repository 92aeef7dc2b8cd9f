/**
 * truncate: cuts a closed file (FSDirTruncateOp). Whole blocks behind the new end go at once. When the
 * new end lies inside a block, that block is recovered by its datanodes to exactly the wanted length, under
 * a new stamp, while the caller holds the lease; the file is closed when they are done, and has its old
 * length in that block until then.
 *
 *     |-- complete --|-- complete --|-- complete --|
 *                             ^ new length
 *     |-- complete --|-- under recovery, truncateLength --|        the third block is deleted
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { BlockRow, InodeRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { contentTimes } from '../inode-changes.ts'
import { answer, type Plan } from '../outcome.ts'
import { access, requireAccess } from '../permissions.ts'
import { blocksOnceClosed, startRecovery } from '../release-lease.ts'
import type { Request } from '../requests.ts'
import { existingFile, requireContent } from './get-file-info.ts'
import { takeOverFrom } from './recover-lease.ts'

type Truncate = Request & { readonly kind: 'truncate' }

/**
 * True when the file has the new length; false while its last block is being recovered to it: ask isFileClosed.
 * @throws DfsError INVALID_ARGUMENT for a larger length, and as every attempt to write an open file.
 */
export function truncate(context: Context, request: Truncate): Plan<boolean> {
  const { path, clientName, newLength } = request
  const row = existingFile(context, path)
  requireAccess(context.caller, row, access.write, () => path)
  requireContent(row, path)
  if (isUnderWay(context, row, newLength)) return answer(false)
  const draft = new Draft(context.nextIds)
  const attempt = { attempt: 'TRUNCATE_FILE', path, clientName, file: row } as const
  const refusal = takeOverFrom(context, draft, attempt)
  if (refusal !== undefined) return refusal

  const rows = blocksOnceClosed(context, row)
  const { length } = draft.latest(row)
  if (newLength === length) return draft.plan(true)
  if (newLength > length) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Cannot truncate ${path} to a larger file size. Current size: ${length}, truncate size: ${newLength}`,
      { path },
    )
  }
  return cut(context, draft, { request, file: draft.latest(row), rows })
}

/** The same call was made before, and its recovery has not finished. */
function isUnderWay(context: Context, file: InodeRow, newLength: number): boolean {
  if (file.lease === undefined) return false
  const last = context.rows.blocks(file.id).at(-1)
  if (last?.truncateLength === undefined) return false
  return newLength === file.length - last.length + last.truncateLength
}

interface Cut {
  readonly request: Truncate
  readonly file: InodeRow
  readonly rows: readonly BlockRow[]
}

function cut(context: Context, draft: Draft, { request, file, rows }: Cut): Plan<boolean> {
  const { newLength, clientName } = request
  let end = rows.reduce((total, { length }) => total + length, 0)
  let keptCount = rows.length
  while (keptCount > 0 && end > newLength) {
    const last = rows[keptCount - 1]
    if (last === undefined || end - last.length < newLength) break
    draft.deleteBlock(last)
    end -= last.length
    keptCount -= 1
  }
  const cutBlock = end > newLength ? rows[keptCount - 1] : undefined
  const changed = { ...file, length: end, ...contentTimes(context.wall) }
  if (cutBlock === undefined) {
    draft.putInode(changed)
    return draft.plan(true)
  }
  const leased = { ...changed, lease: { holder: clientName, clientHost: context.caller.host } }
  draft.putInode(leased)
  draft.effects.push({ kind: 'lease.renewed', holder: clientName, at: context.now })
  const { id, inode, index, generationStamp, length, state } = cutBlock
  const truncateLength = newLength - (end - length)
  const block = { id, inode, index, generationStamp, length, state, truncateLength }
  startRecovery(context, draft, leased, block)
  return draft.plan(false)
}
