import { tryDecodeDelimited } from '../protocol/data-transfer.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { type BlockOpResponse, blockOpResponse } from '../protocol/messages/data-transfer.ts'
import type { ClientContext } from './context.ts'
import type { ByteSink, DatanodeAddress, DatanodeConnection } from './datanode-connection.ts'
import { responseError } from './transfer-response.ts'

/** An operation of the data transfer protocol that one answer ends. */
export interface AnsweredOperation {
  readonly address: DatanodeAddress
  /** The encoded operation. */
  readonly bytes: Uint8Array
  readonly verb: Parameters<typeof responseError>[2]
  readonly signal?: AbortSignal | undefined
}

/**
 * Sends one operation to a datanode and returns its answer.
 *
 * @throws {@link DfsError} CONNECTION_LOST, TIMED_OUT, ABORTED, or as the datanode refuses
 */
export async function askDatanode(
  { datanodes }: ClientContext,
  { address, bytes, verb, signal }: AnsweredOperation,
): Promise<BlockOpResponse> {
  const connection = await datanodes.acquire(address, signal)
  try {
    const answer = await new Promise<BlockOpResponse>((resolve, reject) => {
      connection.attach(new AnswerSink(connection, resolve, reject))
      connection.write(bytes)
    })
    if (answer.status !== 'SUCCESS') throw responseError(answer, address, verb)
    datanodes.release(connection)
    return answer
  } catch (error) {
    connection.destroy()
    throw error
  }
}

/** Waits for the one answer. */
class AnswerSink implements ByteSink {
  readonly #connection: DatanodeConnection
  readonly #resolve: (answer: BlockOpResponse) => void
  readonly #reject: (error: DfsError) => void
  #end = 0

  constructor(
    connection: DatanodeConnection,
    resolve: (answer: BlockOpResponse) => void,
    reject: (error: DfsError) => void,
  ) {
    this.#connection = connection
    this.#resolve = resolve
    this.#reject = reject
  }

  destination(): Uint8Array {
    return this.#connection.scratch.subarray(this.#end)
  }

  received(count: number): boolean {
    const { scratch } = this.#connection
    this.#end += count
    try {
      const taken = tryDecodeDelimited(blockOpResponse, scratch, 0, this.#end)
      if (taken === undefined) {
        if (this.#end < scratch.length) return true
        throw new DfsError('BAD_FRAME', `An answer has more than ${scratch.length} bytes`)
      }
      this.#connection.detach()
      this.#resolve(taken.value)
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#reject(error)
    }
    return true
  }

  lost(error: DfsError): void {
    this.#reject(error)
  }
}
