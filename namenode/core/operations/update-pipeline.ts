/**
 * updateBlockForPipeline and updatePipeline: a writer lost a datanode of its pipeline. It asks for a new
 * generation stamp, rebuilds the pipeline under it, and then declares the result; replicas that missed
 * the rebuild keep the old stamp and are stale from then on.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { Draft } from '../draft.ts'
import { blockUnderConstruction } from '../lease-checks.ts'
import type { Plan } from '../outcome.ts'
import type { BlockReference, Request } from '../requests.ts'
import { retainSoleHolders } from './set-datanode-goal.ts'

/** Hands out a stamp, durably, and leaves the stored block as it is: some clients ask and never use it. */
export function updateBlockForPipeline(
  context: Context,
  { block, clientName }: Request & { readonly kind: 'updateBlockForPipeline' },
): Plan<BlockReference> {
  blockUnderConstruction(context, block.id, clientName)
  const draft = new Draft(context.nextIds)
  const generationStamp = draft.allocateGenerationStamp()
  return draft.plan({ id: block.id, generationStamp, length: block.length })
}

export function updatePipeline(
  context: Context,
  request: Request & { readonly kind: 'updatePipeline' },
): Plan<undefined> {
  const { oldBlock, newBlock, clientName, locations } = request
  const { block, file } = blockUnderConstruction(context, oldBlock.id, clientName)
  if (newBlock.id !== oldBlock.id) {
    throw new DfsError('IO_ERROR', `Cannot update block ${oldBlock.id} to block ${newBlock.id}`)
  }
  const isOlder = newBlock.generationStamp <= block.generationStamp
  if (isOlder || newBlock.length < block.length) {
    throw new DfsError(
      'IO_ERROR',
      `Update block ${block.id} (stamp ${block.generationStamp}, length ${block.length}) to an older state: stamp ${newBlock.generationStamp}, length ${newBlock.length}`,
    )
  }
  if (newBlock.generationStamp >= context.nextIds.generationStamp) {
    throw new DfsError(
      'IO_ERROR',
      `Cannot update block ${block.id} to stamp ${newBlock.generationStamp}: it was never handed out`,
    )
  }
  const draft = new Draft(context.nextIds)
  const { generationStamp, length } = newBlock
  draft.putInode({ ...file, length: file.length + length - block.length })
  draft.putBlock(file, { ...block, generationStamp, length })
  draft.effects.push({ kind: 'locations.expected', block: block.id, generationStamp, locations })
  retainSoleHolders(context, draft, locations)
  return draft.plan(undefined)
}
