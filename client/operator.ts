import type { EncodableRequestOf, MethodsOf, ResponseOf } from '../protocol/message.ts'
import { operatorProtocol } from '../protocol/messages/operator.ts'
import type {
  ExplainBlockResponse,
  ExplainDatanodeResponse,
} from '../protocol/messages/operator-explain.ts'
import type { RepairGuardResponse } from '../protocol/messages/operator-nodes.ts'
import { withFsErrors } from './errors.ts'
import type { NamenodeProxy } from './namenode-proxy.ts'
import type { VerbOptions } from './namespace.ts'

type Protocol = typeof operatorProtocol
/** Name of an OperatorProtocol method. */
export type OperatorMethod = keyof MethodsOf<Protocol>
/** What `method` takes. */
export type OperatorRequest<N extends OperatorMethod> = EncodableRequestOf<Protocol, N>
/** What `method` answers. */
export type OperatorReply<N extends OperatorMethod> = ResponseOf<Protocol, N>

/** Why repair waits, or that it does not; times in milliseconds since the epoch. */
export type RepairGuard = RepairGuardResponse
/** A block explained; `block` is absent when nobody knows it. */
export type BlockExplanation = ExplainBlockResponse
/** A datanode explained; `datanode` is absent when nobody knows it. */
export type DatanodeExplanation = ExplainDatanodeResponse

/**
 * What an operator asks of a namenode beyond HDFS's own protocols. Apache's namenode does not know it and
 * answers `NO_SUCH_PROTOCOL`. What changes anything needs a superuser.
 */
export class Operator {
  readonly #namenode: Pick<NamenodeProxy, 'callService'>

  constructor({ namenode }: { readonly namenode: Pick<NamenodeProxy, 'callService'> }) {
    this.#namenode = namenode
  }

  /** Whether the copying of lost replicas waits because many datanodes vanished at once, and which. */
  repairGuard(options?: VerbOptions): Promise<RepairGuard> {
    return this.#call('getRepairGuard', {}, options)
  }

  /** Accepts that those datanodes stay away: repair goes on. Answers what it waited for until now. */
  resumeRepair(options?: VerbOptions): Promise<RepairGuard> {
    return this.#call('resumeRepair', {}, options)
  }

  /** Why a block is as it is: its replicas and what each is worth, what is being done, until when. */
  explainBlock(blockId: number, options?: VerbOptions): Promise<BlockExplanation> {
    return this.#call('explainBlock', { blockId }, options)
  }

  /** What a datanode holds and has to do. */
  explainDatanode(uuid: string, options?: VerbOptions): Promise<DatanodeExplanation> {
    return this.#call('explainDatanode', { uuid }, options)
  }

  /**
   * Begins a session that copies the namenode's state; see `dfs namenode backup`, which does it all.
   * @param through the last transaction that the caller has, if any
   * @param isFull the caller wants the database whatever it has
   */
  beginBackup(
    through: number | undefined,
    isFull: boolean,
    options?: VerbOptions,
  ): Promise<OperatorReply<'beginBackup'>> {
    return this.#call('beginBackup', { through, isFull }, options)
  }

  /** A piece of a file of the session; shorter than asked for only at its end. */
  async readBackup(
    session: number,
    piece: { readonly name: string; readonly offset: number; readonly length: number },
    options?: VerbOptions,
  ): Promise<Uint8Array> {
    return (await this.#call('readBackup', { session, ...piece }, options)).data
  }

  /** @param through what the caller has durably now; absent when it gave up */
  async endBackup(
    session: number,
    through: number | undefined,
    options?: VerbOptions,
  ): Promise<void> {
    await this.#call('endBackup', { session, through }, options)
  }

  #call<N extends OperatorMethod>(
    method: N,
    request: OperatorRequest<N>,
    { signal }: VerbOptions = {},
  ): Promise<OperatorReply<N>> {
    return withFsErrors('/', () =>
      this.#namenode.callService(operatorProtocol, method, request, { signal }),
    )
  }
}
