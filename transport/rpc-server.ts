import net from 'node:net'
import type { Clock, Timers } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { DfsError } from '../protocol/errors.ts'
import { limits as defaultLimits } from '../protocol/limits.ts'
import {
  type EncodableResponseOf,
  type MethodsOf,
  methodTable,
  type RequestOf,
  type Service,
} from '../protocol/message.ts'
import { MethodCache } from '../protocol/rpc-server-connection.ts'
import {
  type CallTarget,
  type RpcCall,
  type RpcConnectionInfo,
  type RpcServerCounters,
  type RpcServerLimits,
  ServedConnection,
} from './served-connection.ts'

export type {
  RpcCall,
  RpcConnectionInfo,
  RpcServerCounters,
  RpcServerLimits,
} from './served-connection.ts'

/** Serves one method. A synchronous return is encoded at once, without a promise or an extra tick. */
export type RpcHandler<S, N extends keyof MethodsOf<S>> = (
  request: RequestOf<S, N>,
  call: RpcCall,
) => EncodableResponseOf<S, N> | Promise<EncodableResponseOf<S, N>>

/** Handlers of a service; methods that are missing are answered with RpcNoSuchMethodException. */
export type RpcHandlers<S> = { readonly [N in keyof MethodsOf<S>]?: RpcHandler<S, N> }

/** Parts and address of an {@link RpcServer}. */
export interface RpcServerOptions {
  readonly host: string
  /** 0 picks a free port. */
  readonly port: number
  readonly limits?: Partial<RpcServerLimits>
  readonly logger: Logger
  readonly clock: Clock
  readonly timers: Timers
}

const listenBacklog = 1024
const keepAliveDelayMs = 60_000

/**
 * Serves Hadoop RPC over TCP.
 *
 * Replies of one tick leave in one write per connection. A connection whose calls in flight or unsent
 * replies reach their bound is not read from until it has caught up.
 */
export class RpcServer {
  readonly counters: RpcServerCounters = {
    connections: 0,
    connectionsRefused: 0,
    calls: 0,
    failures: 0,
    callsUnknown: 0,
    callsInFlight: 0,
  }
  readonly #options: RpcServerOptions
  readonly #limits: RpcServerLimits
  readonly #server: net.Server
  readonly #services = new Map<string, Map<string, CallTarget>>()
  readonly #cache = new MethodCache<CallTarget>()
  readonly #connections = new Set<ServedConnection>()
  readonly #closeListeners: ((connection: RpcConnectionInfo) => void)[] = []
  #nextConnectionId = 1

  constructor(options: RpcServerOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#server = net.createServer(
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveDelayMs },
      (socket) => {
        this.#accept(socket)
      },
    )
    this.#server.maxConnections = this.#limits.rpcConnectionsMax
  }

  /** Connections that are open now. */
  get connectionCount(): number {
    return this.#connections.size
  }

  /** Offers `handlers` under the service's protocol name, in addition to what is registered already. */
  register<M>(service: Service<M>, handlers: RpcHandlers<Service<M>>): void {
    const methods = methodTable(service)
    const targets = this.#services.get(service.name) ?? new Map<string, CallTarget>()
    for (const [name, handler] of Object.entries(handlers)) {
      const method = methods[name]
      if (method === undefined || handler === undefined) continue
      targets.set(name, {
        name,
        request: method.request,
        response: method.response,
        handler: handler as CallTarget['handler'],
      })
    }
    this.#services.set(service.name, targets)
  }

  /**
   * Starts accepting connections.
   * @throws {@link DfsError} IO_ERROR when the address cannot be listened on
   */
  async listen(): Promise<{ host: string; port: number }> {
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error): void => {
        const message = `Cannot listen on ${host}:${port}: ${error.message}`
        reject(new DfsError('IO_ERROR', message, { cause: error }))
      }
      this.#server.once('error', fail)
      this.#server.listen({ host, port, backlog: listenBacklog }, () => {
        this.#server.off('error', fail)
        resolve()
      })
    })
    this.#server.on('error', (error) => {
      this.#options.logger.error('rpc-accept-failed', { error })
    })
    const address = this.#server.address()
    return { host, port: address !== null && typeof address === 'object' ? address.port : port }
  }

  /** Calls `listener` after each connection that got as far as naming a user is gone. */
  onConnectionClosed(listener: (connection: RpcConnectionInfo) => void): void {
    this.#closeListeners.push(listener)
  }

  /** Stops accepting, sends the replies that are ready, and closes every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve()
      })
    })
    for (const connection of this.#connections) connection.shutDown()
    await closed
  }

  #accept(socket: net.Socket): void {
    this.counters.connections += 1
    const connection = new ServedConnection(socket, {
      id: this.#nextConnectionId,
      limits: this.#limits,
      cache: this.#cache,
      counters: this.counters,
      logger: this.#options.logger,
      timers: this.#options.timers,
      resolve: (protocol, version, method) => this.#resolve(protocol, version, method),
      closed: (wasOpen) => {
        this.#connections.delete(connection)
        if (!wasOpen) return
        for (const listener of this.#closeListeners) listener(connection.info)
      },
    })
    this.#nextConnectionId += 1
    this.#connections.add(connection)
  }

  #resolve(protocol: string, version: number, method: string): CallTarget {
    const targets = this.#services.get(protocol)
    if (targets === undefined) {
      this.counters.callsUnknown += 1
      throw new DfsError('NO_SUCH_PROTOCOL', `Unknown protocol: ${protocol}`)
    }
    if (version !== 1) {
      throw new DfsError(
        'VERSION_MISMATCH',
        `Protocol ${protocol} is served in version 1, asked for was ${version}`,
      )
    }
    const target = targets.get(method)
    if (target === undefined) {
      this.counters.callsUnknown += 1
      throw new DfsError(
        'NO_SUCH_METHOD',
        `Unknown method ${method} called on ${protocol} protocol.`,
      )
    }
    return target
  }
}
