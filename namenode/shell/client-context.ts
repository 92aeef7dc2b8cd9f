import { DfsError } from '../../protocol/errors.ts'
import type { DatanodeUuid } from '../../protocol/ids.ts'
import type { RpcCall, RpcConnectionInfo } from '../../transport/rpc-server.ts'
import type { DatanodeView } from '../core/datanode-registry.ts'
import type { Caller, ReplyOf, Request } from '../core/requests.ts'
import type { EventLog } from './event-log.ts'
import type { Groups } from './groups.ts'
import type { Namenode } from './namenode.ts'
import type { NamespaceAudit } from './namespace-audit.ts'
import type { ViewSource } from './wire-views.ts'

/** What the namenode remembers of a connection. */
export interface ConnectionState {
  caller?: Caller
  /** Set once a datanode registered over it. */
  datanode?: DatanodeUuid
}

/** Returns what was remembered of the connection, ready to be added to. */
export function connectionState(connection: RpcConnectionInfo): ConnectionState {
  connection.attachment ??= {}
  return connection.attachment as ConnectionState
}

/** Applies `map` now when `value` is there, else when it is. */
export function mapReply<T, U>(value: T | Promise<T>, map: (value: T) => U): U | Promise<U> {
  return value instanceof Promise ? value.then(map) : map(value)
}

/** What a repeated call is known by; nothing for a client without an id, which cannot ask again. */
function idOf({ clientId, callId, retryCount }: RpcCall): Pick<Caller, 'request' | 'isFirstTry'> {
  if (clientId.length === 0) return {}
  return {
    request: { clientId: Buffer.from(clientId).toString('hex'), callId },
    isFirstTry: retryCount === 0,
  }
}

/** What the handlers of the client protocol share: who calls, and how a request gets its reply. */
export class ClientContext implements ViewSource {
  readonly namenode: Namenode
  readonly #groups: Groups
  readonly #events: EventLog | undefined
  readonly audit: NamespaceAudit | undefined
  readonly blockPoolId: string

  constructor(
    namenode: Namenode,
    parts: {
      readonly groups: Groups
      readonly audit?: NamespaceAudit | undefined
      readonly events?: EventLog | undefined
    },
  ) {
    this.namenode = namenode
    this.#groups = parts.groups
    this.audit = parts.audit
    this.#events = parts.events
    this.blockPoolId = namenode.store.identity.blockPoolId
  }

  get wallOffsetMs(): number {
    return this.namenode.wall() - this.namenode.now()
  }

  /** Keeps what an operator had done, for other operators. */
  noteOperator({ user }: RpcCall, text: string): void {
    this.#events?.add({ kind: 'operator', level: 'info', text, user })
  }

  datanode(uuid: DatanodeUuid): DatanodeView | undefined {
    return this.namenode.blocks.datanode(uuid)
  }

  /** Groups of a user; none for one whom the system does not know. */
  groupsOf(user: string): readonly string[] | Promise<readonly string[]> {
    return this.#groups.of(user)
  }

  /** Has the groups of everybody read again; connections that are open keep those they came with. */
  forgetGroups(): void {
    this.#groups.forget()
  }

  /** Somebody who came by another way than RPC. */
  async callerNamed(user: string, host: string): Promise<Caller> {
    const groups = await this.#groups.of(user)
    return { user, groups, isSuperuser: this.namenode.isSuperuser(user, groups), host }
  }

  /** The caller of a method that may be executed any number of times. */
  caller(call: RpcCall): Caller | Promise<Caller> {
    const state = connectionState(call.connection)
    if (state.caller !== undefined && state.caller.user === call.user) return state.caller
    return mapReply(this.#groups.of(call.user), (groups) => {
      state.caller = {
        user: call.user,
        groups,
        isSuperuser: this.namenode.isSuperuser(call.user, groups),
        host: call.connection.remoteAddress,
      }
      return state.caller
    })
  }

  /** Executes an idempotent request or a read. */
  execute<R extends Request>(call: RpcCall, request: R): ReplyOf<R> | Promise<ReplyOf<R>> {
    const caller = this.caller(call)
    if (caller instanceof Promise) return caller.then((known) => this.#run(call, known, request))
    return this.#run(call, caller, request)
  }

  /** Executes a request that must not be executed twice. */
  executeOnce<R extends Request>(call: RpcCall, request: R): ReplyOf<R> | Promise<ReplyOf<R>> {
    return mapReply(this.caller(call), (caller) =>
      this.#run(call, { ...caller, ...idOf(call) }, request),
    ) as ReplyOf<R> | Promise<ReplyOf<R>>
  }

  /**
   * As {@link executeOnce}, or {@link execute} unless `isOnce`, for a caller who says himself which groups he is in
   * beside those the namenode knows of: with simple authentication he could as well say that he is somebody else.
   */
  executeInGroups<R extends Request>(
    call: RpcCall,
    groups: readonly string[],
    request: R,
    { isOnce }: { readonly isOnce: boolean } = { isOnce: false },
  ): ReplyOf<R> | Promise<ReplyOf<R>> {
    return mapReply(this.caller(call), (caller) => {
      const all = groups.length === 0 ? caller.groups : [...caller.groups, ...groups]
      const id = isOnce ? idOf(call) : undefined
      return this.#run(call, { ...caller, ...id, groups: all }, request)
    }) as ReplyOf<R> | Promise<ReplyOf<R>>
  }

  /** @throws {@link DfsError} PERMISSION_DENIED for anybody but a superuser. */
  requireSuperuser(call: RpcCall): void | Promise<void> {
    return mapReply(this.caller(call), (caller) => {
      if (!caller.isSuperuser) {
        throw new DfsError(
          'PERMISSION_DENIED',
          `Access denied for user ${caller.user}. Superuser privilege is required`,
        )
      }
    })
  }

  #run<R extends Request>(
    call: RpcCall,
    caller: Caller,
    request: R,
  ): ReplyOf<R> | Promise<ReplyOf<R>> {
    const { audit } = this
    let reply: ReplyOf<R> | Promise<ReplyOf<R>>
    try {
      reply = this.namenode.execute(caller, request)
    } catch (error) {
      audit?.failed(call, request, error)
      throw error
    }
    if (audit === undefined) return reply
    if (!(reply instanceof Promise)) {
      audit.done(call, request, reply)
      return reply
    }
    return reply.then(
      (value) => {
        audit.done(call, request, value)
        return value
      },
      (error: unknown) => {
        audit.failed(call, request, error)
        throw error
      },
    )
  }
}
