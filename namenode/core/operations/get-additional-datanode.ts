/**
 * getAdditionalDatanode: further datanodes for the pipeline of an open block, beside those it still has.
 * It changes no row: the writer copies the block there and then declares the pipeline by updatePipeline.
 */
import { DfsError } from '../../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { leasedFile } from '../lease-checks.ts'
import { answer, type Plan } from '../outcome.ts'
import type { LocatedBlockView, Request } from '../requests.ts'

type GetAdditionalDatanode = Request & { readonly kind: 'getAdditionalDatanode' }

/**
 * The present pipeline and up to `count` more behind it; fewer, or none, when no other datanode can take
 * the block, which is no error: the writer goes on with what it has if its policy allows.
 * @throws DfsError SAFE_MODE; FILE_NOT_FOUND, LEASE_EXPIRED as every request of a writer; INVALID_ARGUMENT.
 */
export function getAdditionalDatanode(
  context: Context,
  request: GetAdditionalDatanode,
): Plan<LocatedBlockView> {
  const { path, block, existing, count } = request
  if (context.blocks.safeMode !== 'off') {
    throw new DfsError(
      'SAFE_MODE',
      `Cannot add datanode; src=${path}, blk=${block.id}. Name node is in safe mode`,
    )
  }
  const file = leasedFile(context, request)
  const found = context.rows.blocks(file.id).some(({ id }) => id === block.id)
  if (!found) {
    throw new DfsError('IO_ERROR', `Cannot add a datanode: block ${block.id} is not of "${path}"`, {
      path,
      blockId: block.id,
    })
  }
  const { targets } = context.blocks.chooseTargets({
    count,
    blockSizeBytes: file.blockSize,
    clientHost: file.lease?.clientHost ?? context.caller.host,
    excluded: new Set(request.excluded),
    favored: [],
    existing,
  })
  const locations = [...existing, ...targets]
  // "No offset": the caller knows where the block is in its file.
  return answer({ block, offset: -1, locations, isCorrupt: false })
}
