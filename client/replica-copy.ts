import { encodeOperation, opcodes } from '../protocol/data-transfer.ts'
import { opTransferBlock } from '../protocol/messages/data-transfer.ts'
import type { ExtendedBlock, Token } from '../protocol/messages/hdfs.ts'
import type { ClientContext } from './context.ts'
import { type PipelineNode, transferAddress } from './pipeline-connection.ts'
import { askDatanode } from './transfer-answer.ts'

/** A replica on its way from one datanode of a pipeline to one that joins it. */
export interface ReplicaCopy {
  /** As the source has it: with its present generation stamp. */
  readonly block: ExtendedBlock
  readonly token: Token | undefined
  readonly source: PipelineNode
  readonly target: PipelineNode
}

/**
 * Has `source` send its replica to `target` (OP_TRANSFER_BLOCK) and returns when the target has all that was
 * acknowledged.
 *
 * @throws {@link DfsError} CONNECTION_LOST, TIMED_OUT, or as the source refuses
 */
export async function copyReplica(
  context: ClientContext,
  { block, token, source, target }: ReplicaCopy,
): Promise<void> {
  const bytes = encodeOperation(opcodes.transferBlock, opTransferBlock, {
    header: {
      baseHeader: { block, ...(token === undefined ? {} : { token }) },
      clientName: context.clientName,
    },
    targets: [target.info],
    targetStorageTypes: [target.storageType],
    targetStorageIds: target.storageId === undefined ? [] : [target.storageId],
  })
  await askDatanode(context, { address: transferAddress(source.info), bytes, verb: 'copy' })
}
