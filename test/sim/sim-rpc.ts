import type { Prng } from '../../base/prng.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import {
  decodeMessage,
  type EncodableRequestOf,
  encodeMessage,
  type Fields,
  type MessageType,
  type Method,
  type MethodsOf,
  type ResponseOf,
  type Service,
} from '../../protocol/message.ts'
import type { RpcCallOptions } from '../../transport/rpc-client.ts'
import type { RpcCall, RpcConnectionInfo, RpcHandlers } from '../../transport/rpc-server.ts'
import type { Network, Peer } from './network.ts'
import { passMessage } from './pass-message.ts'

type Handler = (request: object, call: RpcCall) => object | Promise<object>

/** The handler tables that a role registers with its RPC server, reachable over the simulated network. */
export class SimRpcServer {
  readonly peer: Peer
  readonly #handlers = new Map<string, Handler>()
  readonly #closeListeners: ((connection: RpcConnectionInfo) => void)[] = []

  constructor(peer: Peer) {
    this.peer = peer
  }

  register<M>(service: Service<M>, handlers: RpcHandlers<Service<M>>): void {
    for (const [method, handler] of Object.entries(handlers)) {
      this.#handlers.set(`${service.name}.${method}`, handler as Handler)
    }
  }

  onConnectionClosed(listener: (connection: RpcConnectionInfo) => void): void {
    this.#closeListeners.push(listener)
  }

  connectionClosed(connection: RpcConnectionInfo): void {
    for (const listener of this.#closeListeners) listener(connection)
  }

  /** Finds the handler of a method. @throws {@link DfsError} NO_SUCH_METHOD */
  handler(service: string, method: string): Handler {
    const handler = this.#handlers.get(`${service}.${method}`)
    if (handler !== undefined) return handler
    throw new DfsError('NO_SUCH_METHOD', `Protocol ${service} has no method ${method}`)
  }
}

export interface SimRpcClientOptions {
  readonly network: Network
  readonly from: Peer
  /** Who listens at the address now, if anybody. */
  readonly server: () => SimRpcServer | undefined
  readonly user: string
  readonly prng: Prng
  /** Requests that the client gave up may still arrive: the callee must be able to tell. */
  readonly mayStray: boolean
  /** Messages are encoded and decoded, not passed on as they are. */
  readonly encodes: boolean
}

/** Simulated calls are never withdrawn; one signal for all, because making one is slow. */
const neverAborted = new AbortController().signal

interface SimConnection extends RpcConnectionInfo {
  readonly server: SimRpcServer
}

/** Has the interface of the real RPC client; sockets are not there. */
export class SimRpcClient {
  readonly #options: SimRpcClientOptions
  readonly #clientId: Uint8Array
  readonly #closeListeners: ((error: DfsError | undefined) => void)[] = []
  #connection: SimConnection | undefined
  #nextCallId = 0
  #isClosed = false

  constructor(options: SimRpcClientOptions) {
    this.#options = options
    this.#clientId = Uint8Array.from({ length: 16 }, () => options.prng.below(256))
  }

  nextCallId(): number {
    this.#nextCallId += 1
    return this.#nextCallId
  }

  onClosed(listener: (error: DfsError | undefined) => void): void {
    this.#closeListeners.push(listener)
  }

  close(): void {
    this.#isClosed = true
    this.#disconnect()
  }

  async call<M, N extends keyof MethodsOf<Service<M>> & string>(
    service: Service<M>,
    method: N,
    request: EncodableRequestOf<Service<M>, N>,
    options: RpcCallOptions = {},
  ): Promise<ResponseOf<Service<M>, N>> {
    if (this.#isClosed) throw new DfsError('ABORTED', 'The client is closed')
    const table = (service.methods as Readonly<Record<string, Method<Fields, Fields>>>)[method]
    if (table === undefined) throw new DfsError('NO_SUCH_METHOD', `No method ${method}`)
    const { network, from, mayStray, user } = this.#options
    const connection = this.#connect()
    const call: RpcCall = {
      user,
      realUser: undefined,
      callerContext: undefined,
      clientId: this.#clientId,
      callId: options.retry?.callId ?? this.nextCallId(),
      retryCount: options.retry?.retryCount ?? 0,
      connection,
      signal: neverAborted,
    }
    const received = this.#carry(table.request, request)
    const serve = (): object | Promise<object> => {
      const handler = connection.server.handler(service.name, method)
      return handler(received(), call)
    }
    try {
      const reply = await network.call(from, connection.server.peer, serve, { mayStray })
      return this.#carry(table.response, reply)() as ResponseOf<Service<M>, N>
    } catch (error) {
      if (isDfsError(error, 'CONNECTION_LOST', 'OUTCOME_UNKNOWN')) this.#lost(connection, error)
      throw error
    }
  }

  /** Sends a message as its bytes, or, where the bytes do not matter, as what they would be read as. */
  #carry(type: MessageType<Fields>, value: object): () => object {
    if (!this.#options.encodes) return () => passMessage(type, value)
    const bytes = encodeMessage(type, value)
    return () => decodeMessage(type, bytes)
  }

  #connect(): SimConnection {
    if (this.#connection !== undefined) return this.#connection
    const { network, server, from, user } = this.#options
    const listener = server()
    if (listener === undefined) throw new DfsError('CONNECTION_LOST', 'Nobody listens')
    const connection: SimConnection = {
      id: network.nextId(),
      remoteAddress: from.name,
      remotePort: 1,
      user,
      protocols: new Set(),
      attachment: undefined,
      server: listener,
    }
    this.#connection = connection
    return connection
  }

  #lost(connection: SimConnection, error: DfsError): void {
    if (this.#connection !== connection) return
    this.#disconnect()
    if (this.#isClosed) return
    for (const listener of this.#closeListeners) listener(error)
  }

  /** The server hears of it, too, unless it is the one that died. */
  #disconnect(): void {
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    const { network } = this.#options
    network.scheduler.after(network.delay(), () => {
      if (connection.server.peer.life.isAlive) connection.server.connectionClosed(connection)
    })
  }
}
