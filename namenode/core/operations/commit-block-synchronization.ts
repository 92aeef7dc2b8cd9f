/**
 * commitBlockSynchronization: the primary datanode of a block recovery reports what the datanodes agreed
 * on. Only the recovery asked for last counts; the replicas it names are finalized at that length, so the
 * block is complete without waiting for their reports.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { BlockRow } from '../changes.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { answer, type Plan } from '../outcome.ts'
import { closeFile } from '../release-lease.ts'
import type { Request } from '../requests.ts'
import { retainSoleHolders } from './set-datanode-goal.ts'

type Synchronization = Request & { readonly kind: 'commitBlockSynchronization' }

export function commitBlockSynchronization(
  context: Context,
  request: Synchronization,
): Plan<undefined> {
  const { id } = request.block
  const found = context.rows.block(id)
  if (found === undefined) {
    // A repeated report of a block that was dropped.
    if (request.deleteBlock) return answer(undefined)
    throw new DfsError('IO_ERROR', `Block ${id} not found`, { blockId: id })
  }
  const { block, file } = found
  if (context.rows.ancestors(file) === undefined) {
    throw new DfsError('FILE_NOT_FOUND', `The file of block ${id} is deleted`, { blockId: id })
  }
  if (file.lease === undefined || block.state === 'complete') return answer(undefined)
  const stamp = context.leases.recovery(id)?.stamp
  if (stamp !== request.newGenerationStamp) {
    throw new DfsError(
      'IO_ERROR',
      `The recovery id ${request.newGenerationStamp} does not match current recovery id ${stamp ?? 'none'} for block ${id}`,
      { blockId: id },
    )
  }
  requirePossible(block, request)
  const draft = new Draft(context.nextIds)
  draft.effects.push({ kind: 'recovery.finished', block: id })
  const { newGenerationStamp, newLength, closeFile: isClosing, locations } = request
  if (request.deleteBlock) draft.deleteBlock(block)
  else {
    const { inode, index, committedLength } = block
    const found = { id, inode, index, generationStamp: newGenerationStamp, length: newLength }
    draft.putBlock(
      file,
      isClosing
        ? { ...found, state: 'complete' }
        : { ...found, state: 'under-construction', committedLength },
    )
    draft.effects.push({
      kind: 'locations.expected',
      block: id,
      generationStamp: newGenerationStamp,
      locations,
    })
    retainSoleHolders(context, draft, locations)
  }
  const growth = (request.deleteBlock ? 0 : newLength) - block.length
  if (isClosing) closeFile(context, draft, file, growth)
  else draft.putInode({ ...file, length: file.length + growth })
  return draft.plan(undefined)
}

/**
 * A recovery may not undo what was complete before, nor end a truncate at another length; the file stays
 * open then, and the recovery is ordered anew, until the datanodes that have the bytes are back.
 * @throws {@link DfsError} IO_ERROR.
 */
function requirePossible(block: BlockRow, request: Synchronization): void {
  const { id, truncateLength, committedLength = 0 } = block
  const length = request.deleteBlock ? 0 : request.newLength
  if (truncateLength !== undefined && length !== truncateLength) {
    throw new DfsError(
      'IO_ERROR',
      `Cannot end the recovery of block ${id} at ${length} bytes: it must have ${truncateLength}`,
      { blockId: id },
    )
  }
  if (length >= committedLength) return
  throw new DfsError(
    'IO_ERROR',
    `Cannot recover block ${id} at ${length} bytes: it was complete with ${committedLength} before it was appended to`,
    { blockId: id },
  )
}
