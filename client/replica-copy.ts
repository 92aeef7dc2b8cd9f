import { encodeOperation, opcodes, tryDecodeDelimited } from '../protocol/data-transfer.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { blockOpResponse, opTransferBlock } from '../protocol/messages/data-transfer.ts'
import type { ExtendedBlock, Token } from '../protocol/messages/hdfs.ts'
import type { ClientContext } from './context.ts'
import type { ByteSink, DatanodeConnection } from './datanode-connection.ts'
import { type PipelineNode, transferAddress } from './pipeline-connection.ts'
import { responseError } from './transfer-response.ts'

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
  { clientName, datanodes }: ClientContext,
  { block, token, source, target }: ReplicaCopy,
): Promise<void> {
  const connection = await datanodes.acquire(transferAddress(source.info))
  const operation = encodeOperation(opcodes.transferBlock, opTransferBlock, {
    header: {
      baseHeader: { block, ...(token === undefined ? {} : { token }) },
      clientName,
    },
    targets: [target.info],
    targetStorageTypes: [target.storageType],
    targetStorageIds: target.storageId === undefined ? [] : [target.storageId],
  })
  await new Promise<void>((resolve, reject) => {
    connection.attach(
      new AnswerSink(connection, (error) => {
        if (error === undefined) resolve()
        else {
          connection.destroy()
          reject(error)
        }
      }),
    )
    connection.write(operation)
  })
  datanodes.release(connection)
}

/** Waits for the one answer. */
class AnswerSink implements ByteSink {
  readonly #connection: DatanodeConnection
  readonly #finish: (error?: DfsError) => void
  #end = 0

  constructor(connection: DatanodeConnection, finish: (error?: DfsError) => void) {
    this.#connection = connection
    this.#finish = finish
  }

  destination(): Uint8Array {
    return this.#connection.scratch.subarray(this.#end)
  }

  received(count: number): boolean {
    const { scratch, address } = this.#connection
    this.#end += count
    try {
      const taken = tryDecodeDelimited(blockOpResponse, scratch, 0, this.#end)
      if (taken === undefined) {
        if (this.#end < scratch.length) return true
        throw new DfsError('BAD_FRAME', `An answer has more than ${scratch.length} bytes`)
      }
      this.#connection.detach()
      const isDone = taken.value.status === 'SUCCESS'
      this.#finish(isDone ? undefined : responseError(taken.value, address, 'copy'))
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#finish(error)
    }
    return true
  }

  lost(error: DfsError): void {
    this.#finish(error)
  }
}
