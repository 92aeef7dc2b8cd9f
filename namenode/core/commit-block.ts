/**
 * The way of a block from under construction to complete. The client commits it (says how long it is);
 * once a finalized replica of that length and stamp is known it is complete. Nothing but an operation
 * on the file makes that last step, so a row changes only in a transaction.
 */
import { DfsError } from '../../protocol/errors.ts'
import type { BlockRow } from './changes.ts'
import type { Context } from './context.ts'
import type { BlockReference } from './requests.ts'

/**
 * `block` as committed with what the client says: its length becomes final.
 * @throws {@link DfsError} IO_ERROR for another block or stamp, or a block under recovery.
 */
export function committed(block: BlockRow, named: BlockReference): BlockRow {
  if (block.state === 'complete') return block
  if (block.id !== named.id) {
    throw new DfsError(
      'IO_ERROR',
      `Trying to commit inconsistent block: the last block of the file is ${block.id}, the client submits ${named.id}`,
    )
  }
  if (block.state === 'under-recovery') {
    throw new DfsError('IO_ERROR', `Cannot commit block ${block.id}: it is under recovery`)
  }
  if (block.generationStamp !== named.generationStamp) {
    throw new DfsError(
      'IO_ERROR',
      `Commit block with mismatching GS. NN has ${block.generationStamp}, client submits ${named.generationStamp}`,
    )
  }
  if (named.length < block.length) {
    throw new DfsError(
      'IO_ERROR',
      `Cannot commit block ${block.id} with ${named.length} bytes: ${block.length} were declared before`,
    )
  }
  const { id, inode, index, generationStamp } = block
  return { id, inode, index, generationStamp, length: named.length, state: 'committed' }
}

/** `block` as complete when it is committed and a finalized replica is known, else as it is. */
export function completedIfReplicated({ blocks }: Context, block: BlockRow): BlockRow {
  if (block.state !== 'committed') return block
  const { id, generationStamp, length } = block
  if (blocks.finalizedReplicaCount(id, generationStamp, length) === 0) return block
  const digest = blocks.agreedDigest(id, generationStamp, length)
  return { ...block, state: 'complete', ...(digest !== undefined && { digest }) }
}
