import { randomBytes } from 'node:crypto'
import net from 'node:net'
import type { TimerHandle, Timers } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { callIdMask, clientIdBytes } from '../protocol/hadoop-rpc.ts'
import {
  type EncodableRequestOf,
  type Fields,
  type MessageType,
  type Method,
  type MethodsOf,
  methodTable,
  type ResponseOf,
  readDelimited,
  type Service,
} from '../protocol/message.ts'
import { encodeMethodHeader, RpcClientConnection } from '../protocol/rpc-client-connection.ts'

/** Parts and address of an {@link RpcClient}. */
export interface RpcClientOptions {
  readonly host: string
  readonly port: number
  readonly user: string
  /** On whose behalf `user` acts: the connection's real user, when proxying. */
  readonly realUser?: string | undefined
  /** Java name of the protocol told in the connection context; by default that of the first call. */
  readonly protocol?: string
  /** What the calls are made for, told with each of them; servers log and audit it. */
  readonly callerContext?: string | undefined
  /** 16 bytes; by default random. */
  readonly clientId?: Uint8Array
  readonly connectTimeoutMs: number
  /** How long a call may take; a call may bring its own. */
  readonly callTimeoutMs: number
  readonly logger: Logger
  readonly timers: Timers
}

/** Identity of a call that is repeated. */
export interface RetryIdentity {
  /** From {@link RpcClient.nextCallId}, the same on every attempt. */
  readonly callId: number
  /** 0 on the first attempt. */
  readonly retryCount: number
}

interface CalledMethod {
  readonly protocol: string
  readonly version: number
  readonly method: string
  readonly table: Method<Fields, Fields>
}

interface CallSettlement {
  readonly resolve: (reply: object) => void
  readonly reject: (error: unknown) => void
}

/** Options of one call. */
export interface RpcCallOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
  readonly retry?: RetryIdentity | undefined
}

interface PendingCall {
  readonly method: string
  readonly response: MessageType<Fields>
  readonly resolve: (reply: object) => void
  readonly reject: (error: unknown) => void
  /** Beat of the client's clock at which the call has waited too long. */
  readonly lastBeat: number
  /** Frees signal listener and own timer. */
  readonly release: (() => void) | undefined
  /** Its bytes were handed to the kernel's connection. */
  isSent: boolean
}

interface Wire {
  readonly socket: net.Socket
  readonly rpc: RpcClientConnection
  /** Calls whose bytes are still ours. */
  readonly unsent: PendingCall[]
  isConnected: boolean
  isFlushScheduled: boolean
  /** What the socket complained of last. */
  socketError: Error | undefined
  /** Beat at which bytes last arrived. */
  heardAtBeat: number
  connectTimer: TimerHandle | undefined
}

const keepAliveDelayMs = 60_000
const copiedBytesMax = 16 * 1024
/** Time-outs are counted in beats, so that a call costs no timer; each is late by up to two. */
const beatsPerTimeout = 20
const beatMsMin = 10

/**
 * Calls methods of one Hadoop RPC server over one connection, which is made on the first call and again
 * after a loss. Calls of one tick leave in one write.
 *
 * What is lost with a connection fails with CONNECTION_LOST when its bytes had not left this process,
 * and with OUTCOME_UNKNOWN when they had. Whether to repeat a call is the caller's decision; a repeated
 * at-most-once call must carry the call id of its first attempt.
 *
 * An idle client does not keep the process alive.
 */
export class RpcClient {
  readonly clientId: Uint8Array
  readonly #options: RpcClientOptions
  readonly #pending = new Map<number, PendingCall>()
  readonly #methodHeaders = new Map<Method<Fields, Fields>, Uint8Array>()
  readonly #closeListeners: ((error: DfsError | undefined) => void)[] = []
  readonly #beatMs: number
  #wire: Wire | undefined
  #nextCallId = 0
  #beat = 0
  #beatTimer: TimerHandle | undefined
  #isClosed = false

  constructor(options: RpcClientOptions) {
    this.#options = options
    this.clientId = options.clientId ?? randomBytes(clientIdBytes)
    this.#beatMs = Math.max(beatMsMin, Math.floor(options.callTimeoutMs / beatsPerTimeout))
  }

  /** `host:port` of the server. */
  get address(): string {
    return `${this.#options.host}:${this.#options.port}`
  }

  get isConnected(): boolean {
    return this.#wire?.isConnected === true
  }

  /** Calls that wait for their reply. */
  get pendingCount(): number {
    return this.#pending.size
  }

  /** Draws the id of a call whose attempts shall be recognisable as one. */
  nextCallId(): number {
    const callId = this.#nextCallId
    this.#nextCallId = (callId + 1) & callIdMask
    return callId
  }

  /**
   * Calls `method` of `service`.
   *
   * @throws {@link DfsError} the server's error; CONNECTION_LOST, OUTCOME_UNKNOWN, TIMED_OUT; ABORTED when
   * the signal fires or the client is closed; BAD_FRAME when the reply does not decode; INVALID_ARGUMENT
   * when the request does not encode
   */
  call<M, N extends keyof MethodsOf<Service<M>> & string>(
    service: Service<M>,
    method: N,
    request: EncodableRequestOf<Service<M>, N>,
    options: RpcCallOptions = {},
  ): Promise<ResponseOf<Service<M>, N>> {
    const methods = methodTable(service)
    const table = methods[method]
    if (table === undefined) {
      return Promise.reject(
        new DfsError('NO_SUCH_METHOD', `${service.name} has no method ${method}`),
      )
    }
    return new Promise<object>((resolve, reject) => {
      this.#start({ protocol: service.name, version: service.version, method, table }, request, {
        ...options,
        resolve,
        reject,
      })
    }) as Promise<ResponseOf<Service<M>, N>>
  }

  /** Calls `listener` after each loss of an established connection; without error after {@link close}. */
  onClosed(listener: (error: DfsError | undefined) => void): void {
    this.#closeListeners.push(listener)
  }

  /** Closes the connection for good; pending calls fail with ABORTED. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#failAll(() => closedError(this.address))
    const wire = this.#wire
    if (wire !== undefined) this.#drop(wire, undefined)
  }

  /** Writes the call; what throws here rejects the call's promise. */
  #start(called: CalledMethod, request: object, options: RpcCallOptions & CallSettlement): void {
    const { signal, retry, resolve, reject } = options
    if (this.#isClosed) throw closedError(this.address)
    if (signal?.aborted === true) throw abortedError(called.method)
    const callId = retry?.callId ?? this.nextCallId()
    if (this.#pending.has(callId)) {
      throw new DfsError('INVALID_ARGUMENT', `Call ${callId} is still waiting for its reply`)
    }
    const wire = this.#wire ?? this.#connect(called.protocol)
    wire.rpc.writeCall({
      callId,
      retryCount: retry?.retryCount ?? 0,
      methodHeader: this.#methodHeader(called),
      type: called.table.request,
      request,
    })
    const call: PendingCall = {
      method: called.method,
      response: called.table.response,
      resolve,
      reject,
      lastBeat:
        options.timeoutMs === undefined
          ? this.#beat + beatsPerTimeout + 1
          : Number.POSITIVE_INFINITY,
      release: this.#watch(callId, called.method, options),
      isSent: false,
    }
    this.#pending.set(callId, call)
    wire.unsent.push(call)
    if (this.#pending.size === 1) this.#wake(wire)
    this.#scheduleFlush(wire)
  }

  /** Sets up what can end this call alone: its signal and its own time-out. */
  #watch(callId: number, method: string, options: RpcCallOptions): (() => void) | undefined {
    const { signal, timeoutMs } = options
    if (signal === undefined && timeoutMs === undefined) return undefined
    const abort = (): void => {
      this.#settle(callId)?.reject(abortedError(method))
    }
    signal?.addEventListener('abort', abort, { once: true })
    const timer =
      timeoutMs === undefined
        ? undefined
        : this.#options.timers.after(timeoutMs, () => {
            this.#settle(callId)?.reject(this.#timeoutError(method, timeoutMs))
          })
    return () => {
      signal?.removeEventListener('abort', abort)
      timer?.cancel()
    }
  }

  /** Takes a call off the list. */
  #settle(callId: number): PendingCall | undefined {
    const call = this.#pending.get(callId)
    if (call === undefined) return undefined
    this.#pending.delete(callId)
    call.release?.()
    if (this.#pending.size === 0) this.#rest()
    return call
  }

  #wake(wire: Wire): void {
    wire.socket.ref()
    this.#beatTimer ??= this.#options.timers.every(this.#beatMs, () => {
      this.#onBeat()
    })
  }

  #rest(): void {
    this.#wire?.socket.unref()
    this.#beatTimer?.cancel()
    this.#beatTimer = undefined
  }

  #onBeat(): void {
    this.#beat += 1
    let hasExpired = false
    for (const [callId, call] of this.#pending) {
      if (call.lastBeat === Number.POSITIVE_INFINITY) continue
      if (call.lastBeat >= this.#beat) break
      hasExpired = true
      this.#settle(callId)?.reject(this.#timeoutError(call.method, this.#options.callTimeoutMs))
    }
    const wire = this.#wire
    if (hasExpired && wire !== undefined && wire.heardAtBeat + beatsPerTimeout < this.#beat) {
      this.#drop(wire, new DfsError('TIMED_OUT', `Server ${this.address} is silent`))
    }
  }

  #methodHeader({ protocol, version, method, table }: CalledMethod): Uint8Array {
    let header = this.#methodHeaders.get(table)
    if (header === undefined) {
      header = encodeMethodHeader(protocol, version, method)
      this.#methodHeaders.set(table, header)
    }
    return header
  }

  #connect(protocol: string): Wire {
    const { host, port, user, realUser, connectTimeoutMs, timers } = this.#options
    const socket = net.connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveDelayMs,
    })
    const identity = {
      clientId: this.clientId,
      user,
      realUser,
      callerContext: this.#options.callerContext,
      protocol: this.#options.protocol ?? protocol,
    }
    const wire: Wire = {
      socket,
      rpc: new RpcClientConnection(identity),
      unsent: [],
      isConnected: false,
      isFlushScheduled: false,
      socketError: undefined,
      heardAtBeat: this.#beat,
      connectTimer: timers.after(connectTimeoutMs, () => {
        this.#drop(wire, this.#connectError(`no answer within ${connectTimeoutMs} ms`))
      }),
    }
    socket.on('connect', () => {
      wire.isConnected = true
      wire.connectTimer?.cancel()
      wire.heardAtBeat = this.#beat
      this.#flush(wire)
    })
    socket.on('data', (bytes) => {
      this.#receive(wire, bytes)
    })
    socket.on('error', (error) => {
      wire.socketError = error
    })
    socket.on('close', () => {
      this.#lost(wire, wire.socketError)
    })
    this.#wire = wire
    return wire
  }

  #scheduleFlush(wire: Wire): void {
    if (wire.isFlushScheduled || !wire.isConnected) return
    wire.isFlushScheduled = true
    process.nextTick(() => {
      wire.isFlushScheduled = false
      if (this.#wire === wire) this.#flush(wire)
    })
  }

  #flush(wire: Wire): void {
    const { output } = wire.rpc
    if (output.length === 0) return
    let bytes: Buffer
    if (output.length > copiedBytesMax) {
      bytes = output.take()
    } else {
      bytes = output.copy()
      output.length = 0
    }
    for (const call of wire.unsent) call.isSent = true
    wire.unsent.length = 0
    wire.socket.write(bytes)
  }

  #receive(wire: Wire, bytes: Buffer): void {
    wire.heardAtBeat = this.#beat
    wire.rpc.push(bytes)
    try {
      for (;;) {
        const reply = wire.rpc.next()
        if (reply === undefined) return
        if (reply.kind === 'success') {
          this.#succeed(wire, reply.callId)
        } else {
          this.#settle(reply.callId)?.reject(reply.error)
          if (!reply.isFatal) continue
          if (reply.callId < 0) this.#failAll(() => reply.error)
          this.#drop(wire, reply.error)
          return
        }
      }
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#drop(wire, error)
    }
  }

  #succeed(wire: Wire, callId: number): void {
    const call = this.#settle(callId)
    if (call === undefined) return
    try {
      call.resolve(readDelimited(wire.rpc.reader, call.response))
    } catch (error) {
      call.reject(error)
    }
  }

  /** Ends a connection that is of no use any more. */
  #drop(wire: Wire, error: DfsError | undefined): void {
    wire.socket.destroy()
    this.#lost(wire, error)
  }

  #lost(wire: Wire, cause: Error | undefined): void {
    wire.connectTimer?.cancel()
    if (this.#wire !== wire) return
    this.#wire = undefined
    const reason = cause?.message ?? 'the server closed the connection'
    if (!wire.isConnected) {
      const error = isDfsError(cause) ? cause : this.#connectError(reason, cause)
      this.#failAll(() => error)
      return
    }
    this.#failAll((call) =>
      call.isSent
        ? new DfsError(
            'OUTCOME_UNKNOWN',
            `${call.method} was sent to ${this.address}, but no answer came: ${reason}`,
            { cause },
          )
        : new DfsError(
            'CONNECTION_LOST',
            `${call.method} was not sent to ${this.address}: ${reason}`,
            { cause },
          ),
    )
    const closeError = this.#isClosed
      ? undefined
      : new DfsError('CONNECTION_LOST', `Connection to ${this.address} is lost: ${reason}`, {
          cause,
        })
    if (closeError !== undefined) {
      this.#options.logger.debug('rpc-connection-lost', { server: this.address, reason })
    }
    for (const listener of this.#closeListeners) listener(closeError)
  }

  #failAll(errorOf: (call: PendingCall) => DfsError): void {
    const calls = [...this.#pending.keys()]
    for (const callId of calls) {
      const call = this.#settle(callId)
      call?.reject(errorOf(call))
    }
  }

  #connectError(reason: string, cause?: Error): DfsError {
    return new DfsError('CONNECTION_LOST', `Cannot connect to ${this.address}: ${reason}`, {
      cause,
    })
  }

  #timeoutError(method: string, timeoutMs: number): DfsError {
    return new DfsError(
      'TIMED_OUT',
      `${method} got no answer from ${this.address} within ${timeoutMs} ms`,
    )
  }
}

function closedError(address: string): DfsError {
  return new DfsError('ABORTED', `The client of ${address} is closed`)
}

function abortedError(method: string): DfsError {
  return new DfsError('ABORTED', `${method} was aborted by its caller`)
}
