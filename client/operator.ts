import type { EncodableRequestOf, MethodsOf, ResponseOf } from '../protocol/message.ts'
import type { DatanodeID } from '../protocol/messages/hdfs-blocks.ts'
import { operatorProtocol } from '../protocol/messages/operator.ts'
import type {
  ClusterEvent,
  GetHistoryResponse,
  ListEventsResponse,
  RepairStateResponse,
} from '../protocol/messages/operator-activity.ts'
import type { BalanceResponse, SetBalanceRequest } from '../protocol/messages/operator-balance.ts'
import type {
  ExplainBlockResponse,
  ExplainDatanodeResponse,
} from '../protocol/messages/operator-explain.ts'
import type {
  DatanodeGoal,
  OperatorDatanode,
  RepairGuardResponse,
  SafeModeStatus,
} from '../protocol/messages/operator-nodes.ts'
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
/** Safe mode, and what the namenode does not know yet since its start. */
export type SafeModeReport = SafeModeStatus
/** How evenly the datanodes in service are filled, what is being moved, and what should be. Bytes. */
export type BalanceStatus = BalanceResponse
/** What balancing shall do from now on; what is absent stays. */
export type BalanceWish = SetBalanceRequest
/** A datanode, what is asked of it, and how far that has got. */
export type NodeStatus = OperatorDatanode

/** The last hour in samples, oldest first. */
export type HistoryReport = GetHistoryResponse
/** Which blocks wait for repair, by danger, and what is being copied. */
export type RepairReport = RepairStateResponse
/** Events, the newest first. */
export type EventReport = ListEventsResponse

/** Which events to list; what is absent does not restrict. */
export interface ListEventsOptions extends VerbOptions {
  readonly kinds?: readonly ClusterEvent['kind'][]
  readonly levels?: readonly ClusterEvent['level'][]
  /** Only with an id above. */
  readonly after?: number | undefined
  /** Only with an id below. */
  readonly before?: number | undefined
  /** Words that the text or the user's name has. */
  readonly text?: string | undefined
  readonly limit: number
}

/** Which datanodes to list, and how closely to look. */
export interface ListNodesOptions extends VerbOptions {
  /** Only this one: uuid, host or `host:port`. */
  readonly node?: string | undefined
  /** Blocks left on a datanode being drained to explain one by one. */
  readonly blocksLeftMax?: number | undefined
}

/** Options of `maintainNode`. */
export interface MaintainOptions extends VerbOptions {
  /** The maintenance ends by itself after that. */
  readonly durationMs?: number | undefined
}

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

  /** Whether changes are refused, why, and what the namenode still waits for after its start. */
  safeMode(options?: VerbOptions): Promise<SafeModeReport> {
    return this.#call('getSafeMode', {}, options)
  }

  /** Every datanode, in the order of their registration. */
  async nodes({
    node,
    blocksLeftMax,
    signal,
  }: ListNodesOptions = {}): Promise<readonly NodeStatus[]> {
    const request = { node, blocksLeftMax }
    return (await this.#call('listDatanodes', request, { signal })).datanodes
  }

  /**
   * Decommissions a datanode: no new blocks go there, and what it holds is copied elsewhere. `node` is a
   * uuid, a host, or `host:port`. Answers at once; {@link nodes} shows the progress.
   */
  drainNode(node: string, options?: VerbOptions): Promise<NodeStatus> {
    return this.#setGoal({ node, goal: 'DECOMMISSIONED' }, options)
  }

  /** Lets a datanode be switched off for a while without its blocks being copied, but for the last ones. */
  maintainNode(node: string, { durationMs, signal }: MaintainOptions = {}): Promise<NodeStatus> {
    return this.#setGoal({ node, goal: 'IN_MAINTENANCE', durationMs }, { signal })
  }

  /** Takes back a drain or a maintenance, at any time. */
  resumeNode(node: string, options?: VerbOptions): Promise<NodeStatus> {
    return this.#setGoal({ node, goal: 'NORMAL' }, options)
  }

  async #setGoal(
    request: { node: string; goal: DatanodeGoal; durationMs?: number | undefined },
    options?: VerbOptions,
  ): Promise<NodeStatus> {
    return (await this.#call('setDatanodeGoal', request, options)).datanode
  }

  /** How evenly the datanodes are filled; with `thresholdPercent`, what would be moved for that. */
  balance(thresholdPercent?: number, options?: VerbOptions): Promise<BalanceStatus> {
    return this.#call('getBalance', { thresholdPercent }, options)
  }

  /** Turns balancing on or off, or changes its measure, until the namenode restarts. */
  setBalance(wish: BalanceWish, options?: VerbOptions): Promise<BalanceStatus> {
    return this.#call('setBalance', wish, options)
  }

  /** What the cluster did in the last hour: samples taken after `afterMs`, by the namenode's clock. */
  history(afterMs = 0, options?: VerbOptions): Promise<HistoryReport> {
    return this.#call('getHistory', { afterMs }, options)
  }

  /** What repair is about. @param copiesMax how many of the copies under way to tell */
  repairState(copiesMax: number, options?: VerbOptions): Promise<RepairReport> {
    return this.#call('getRepairState', { copiesMax }, options)
  }

  /** What happened lately: changes of the cluster, operators' wishes, and for superusers lines of the audit log. */
  events({ kinds = [], levels = [], signal, ...request }: ListEventsOptions): Promise<EventReport> {
    return this.#call('listEvents', { ...request, kinds, levels }, { signal })
  }

  /**
   * The datanode that the first replica of a new block would go to if `clientHost` wrote it; `undefined` when none can
   * take one. Nothing is promised: asked again, another may be chosen.
   *
   * @param wanted `blockSize` in bytes; `excluded` names datanodes as `host` or `host:port`
   */
  async chooseDatanode(
    wanted: {
      readonly clientHost: string
      readonly blockSize: number
      readonly excluded: readonly string[]
    },
    options?: VerbOptions,
  ): Promise<DatanodeID | undefined> {
    return (await this.#call('chooseDatanode', wanted, options)).datanode
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
