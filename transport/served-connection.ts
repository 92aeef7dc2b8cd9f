import type net from 'node:net'
import { AssertionError } from '../base/assert.ts'
import type { TimerHandle, Timers } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { failureOf } from '../protocol/hadoop-rpc.ts'
import {
  type Fields,
  type MessageType,
  readDelimited,
  writeDelimited,
} from '../protocol/message.ts'
import {
  type IncomingCall,
  type MethodCache,
  type ResolveMethod,
  RpcServerConnection,
} from '../protocol/rpc-server-connection.ts'

/** Bounds of a server; the defaults are in limits.ts. */
export interface RpcServerLimits {
  readonly rpcFrameBytesMax: number
  readonly rpcFrameBeforeContextBytesMax: number
  readonly rpcCallsInFlightPerConnectionMax: number
  readonly rpcHandshakeMs: number
  readonly rpcUnsentBytesPerConnectionMax: number
  readonly rpcConnectionsMax: number
}

/** Totals since the start, for metrics. */
export interface RpcServerCounters {
  connections: number
  connectionsRefused: number
  calls: number
  failures: number
  /** Calls of a protocol or method that is not served; they are not part of `calls`. */
  callsUnknown: number
  /** Calls without an answer yet, of all connections. */
  callsInFlight: number
}

/** A connection as handlers see it. */
export interface RpcConnectionInfo {
  readonly id: number
  readonly remoteAddress: string
  readonly remotePort: number
  readonly user: string
  /** Java names of the protocols called so far. */
  readonly protocols: ReadonlySet<string>
  /** For the role: whatever it wants to remember of the connection. */
  attachment: unknown
}

/** One call being served. */
export interface RpcCall {
  /** Short name of the acting user. */
  readonly user: string
  /** Who acts on the user's behalf, when proxying. */
  readonly realUser: string | undefined
  /** 16 bytes that with `callId` identify the request across retries; not to be changed. */
  readonly clientId: Uint8Array
  readonly callId: number
  /** -1 when the client does not count, 0 on a first try. */
  readonly retryCount: number
  /** What the client says about the request it acts for. */
  readonly callerContext: string | undefined
  readonly connection: RpcConnectionInfo
  /** Aborts when the connection is gone. Created on first use. */
  readonly signal: AbortSignal
}

/** A registered method. */
export interface CallTarget {
  readonly name: string
  readonly request: MessageType<Fields>
  readonly response: MessageType<Fields>
  readonly handler: (request: object, call: RpcCall) => object | Promise<object>
}

/** What a connection needs of its server. */
export interface ServedConnectionOptions {
  readonly id: number
  readonly limits: RpcServerLimits
  readonly cache: MethodCache<CallTarget>
  readonly counters: RpcServerCounters
  readonly logger: Logger
  readonly timers: Timers
  readonly resolve: ResolveMethod<CallTarget>
  readonly closed: (wasOpen: boolean) => void
}

/** Output is copied out of the encoding buffer up to this size, and handed over with it above. */
const copiedBytesMax = 16 * 1024
/** More output than this is not held back until the end of the tick. */
const heldBytesMax = 256 * 1024
/** How long a refused peer may take to read why. */
const lingerMs = 1000

/** The socket's side of one served connection. */
export class ServedConnection {
  readonly info: RpcConnectionInfo
  readonly #socket: net.Socket
  readonly #options: ServedConnectionOptions
  readonly #rpc: RpcServerConnection<CallTarget>
  readonly #timer: TimerHandle
  #abort: AbortController | undefined
  #inFlight = 0
  #isHandshaking = true
  #isReading = false
  #isPaused = false
  #isFlushScheduled = false
  #isClosed = false
  #isEnding = false

  constructor(socket: net.Socket, options: ServedConnectionOptions) {
    this.#socket = socket
    this.#options = options
    const { resolve, cache, limits } = options
    const rpc = new RpcServerConnection<CallTarget>(resolve, cache, limits)
    this.#rpc = rpc
    this.info = {
      id: options.id,
      remoteAddress: (socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
      remotePort: socket.remotePort ?? 0,
      get user() {
        return rpc.user
      },
      protocols: rpc.protocols,
      attachment: undefined,
    }
    this.#timer = options.timers.after(limits.rpcHandshakeMs, () => {
      this.#handshakeTimedOut()
    })
    socket.on('data', (bytes) => {
      if (this.#isEnding) return
      this.#rpc.push(bytes)
      this.#serve()
    })
    socket.on('drain', () => {
      this.#resumeIfRelieved()
    })
    socket.on('error', (error) => {
      options.logger.debug('rpc-socket-error', { ...this.#peer(), error })
    })
    socket.on('close', () => {
      this.#onClosed()
    })
  }

  /** Aborts once the connection is gone. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#isClosed) this.#abort.abort()
    return this.#abort.signal
  }

  get user(): string {
    return this.#rpc.user
  }

  get realUser(): string | undefined {
    return this.#rpc.realUser
  }

  /** Sends what is ready and closes. */
  shutDown(): void {
    this.#end()
  }

  /** Serves calls until the bytes are used up or the connection is full. */
  #serve(): void {
    if (this.#isReading) return
    this.#isReading = true
    while (!this.#isEnding) {
      if (this.#isFull()) {
        this.#pause()
        break
      }
      const call = this.#rpc.next()
      if (call === undefined) break
      this.#dispatch(call)
    }
    this.#isReading = false
    if (this.#isHandshaking && this.#rpc.isOpen) {
      this.#isHandshaking = false
      this.#timer.cancel()
    }
    const { closeReason } = this.#rpc
    if (closeReason !== undefined && !this.#isEnding) this.#refuse(closeReason)
    else this.#flush()
  }

  #dispatch(call: IncomingCall<CallTarget>): void {
    this.#options.counters.calls += 1
    const { target } = call
    try {
      const request = readDelimited(this.#rpc.reader, target.request)
      const reply = target.handler(request, new ServedCall(this, call))
      if (isPromise(reply)) this.#awaitReply(call, reply)
      else this.#reply(call, reply)
    } catch (error) {
      this.#fail(call, error)
    }
  }

  #awaitReply(call: IncomingCall<CallTarget>, reply: Promise<object>): void {
    this.#inFlight += 1
    this.#options.counters.callsInFlight += 1
    reply.then(
      (value) => {
        this.#settled()
        if (this.#isClosed) return
        try {
          this.#reply(call, value)
        } catch (error) {
          this.#fail(call, error)
        }
        this.#afterReply()
      },
      (error: unknown) => {
        this.#settled()
        this.#fail(call, error)
        if (!this.#isClosed) this.#afterReply()
      },
    )
  }

  #settled(): void {
    this.#inFlight -= 1
    this.#options.counters.callsInFlight -= 1
  }

  #afterReply(): void {
    this.#scheduleFlush()
    this.#resumeIfRelieved()
  }

  #reply(call: IncomingCall<CallTarget>, value: object): void {
    const { output } = this.#rpc
    const mark = this.#rpc.beginReply(call)
    try {
      writeDelimited(output, call.target.response, value)
      if (output.length - mark > this.#options.limits.rpcFrameBytesMax) {
        throw new DfsError(
          'LIMIT_EXCEEDED',
          `Reply to ${call.target.name} must be at most ${this.#options.limits.rpcFrameBytesMax} bytes, got ${output.length - mark}`,
        )
      }
    } catch (error) {
      this.#rpc.abandonReply(mark)
      throw error
    }
    this.#rpc.endReply(mark)
    if (output.length > heldBytesMax) this.#flush()
  }

  /** Answers with an error. An AssertionError is our own broken invariant and ends the process. */
  #fail(call: IncomingCall<CallTarget>, error: unknown): void {
    if (error instanceof AssertionError) throw error
    this.#options.counters.failures += 1
    if (!isDfsError(error)) {
      this.#options.logger.error('rpc-call-failed', {
        ...this.#peer(),
        method: call.target.name,
        callId: call.callId,
        callerContext: call.callerContext,
        error,
      })
    }
    if (!this.#isClosed) this.#rpc.fail(call, failureOf(error))
  }

  #isFull(): boolean {
    const { limits } = this.#options
    return (
      this.#inFlight >= limits.rpcCallsInFlightPerConnectionMax ||
      this.#unsentBytes() >= limits.rpcUnsentBytesPerConnectionMax
    )
  }

  #unsentBytes(): number {
    return this.#socket.writableLength + this.#rpc.output.length
  }

  #pause(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#socket.pause()
  }

  /** Reads on once both loads are down to half their bounds, so that it does not flap. */
  #resumeIfRelieved(): void {
    if (!this.#isPaused || this.#isEnding || this.#isClosed) return
    const { limits } = this.#options
    if (this.#inFlight * 2 > limits.rpcCallsInFlightPerConnectionMax) return
    if (this.#unsentBytes() * 2 > limits.rpcUnsentBytesPerConnectionMax) return
    this.#isPaused = false
    this.#serve()
    if (!this.#isReadingPaused()) this.#socket.resume()
  }

  #isReadingPaused(): boolean {
    return this.#isPaused || this.#isEnding
  }

  /** Replies of promises that settle in one turn of the event loop leave together. */
  #scheduleFlush(): void {
    if (this.#isFlushScheduled || this.#isClosed) return
    this.#isFlushScheduled = true
    process.nextTick(() => {
      this.#isFlushScheduled = false
      if (this.#isClosed || this.#isEnding) return
      this.#flush()
      this.#resumeIfRelieved()
    })
  }

  #flush(): void {
    if (this.#isEnding || this.#rpc.output.length === 0) return
    this.#socket.write(this.#takeOutput())
  }

  #takeOutput(): Buffer {
    const { output } = this.#rpc
    if (output.length > copiedBytesMax) return output.take()
    const bytes = output.copy()
    output.length = 0
    return bytes
  }

  #refuse(reason: DfsError): void {
    this.#options.counters.connectionsRefused += 1
    this.#options.logger.warn('rpc-connection-refused', { ...this.#peer(), reason: reason.message })
    this.#end()
  }

  #handshakeTimedOut(): void {
    if (this.#rpc.isOpen || this.#isEnding) return
    const { rpcHandshakeMs } = this.#options.limits
    this.#refuse(
      new DfsError('TIMED_OUT', `No connection context came within ${rpcHandshakeMs} ms`),
    )
  }

  /**
   * Sends the rest and closes. What still arrives is read and dropped for a moment: closing over
   * unread bytes would reset the connection and could take the last reply with it.
   */
  #end(): void {
    if (this.#isEnding || this.#isClosed) return
    this.#isEnding = true
    this.#timer.cancel()
    this.#socket.end(this.#takeOutput())
    this.#socket.resume()
    this.#options.timers.after(lingerMs, () => {
      this.#socket.destroy()
    })
  }

  #onClosed(): void {
    this.#isClosed = true
    this.#timer.cancel()
    this.#abort?.abort()
    this.#options.closed(this.#rpc.user !== '')
  }

  #peer(): { remote: string; user: string } {
    return { remote: `${this.info.remoteAddress}:${this.info.remotePort}`, user: this.#rpc.user }
  }
}

class ServedCall implements RpcCall {
  readonly callId: number
  readonly clientId: Uint8Array
  readonly retryCount: number
  readonly callerContext: string | undefined
  readonly #served: ServedConnection

  constructor(served: ServedConnection, call: IncomingCall<CallTarget>) {
    this.#served = served
    this.callId = call.callId
    this.clientId = call.clientId
    this.retryCount = call.retryCount
    this.callerContext = call.callerContext
  }

  get user(): string {
    return this.#served.user
  }

  get realUser(): string | undefined {
    return this.#served.realUser
  }

  get connection(): RpcConnectionInfo {
    return this.#served.info
  }

  get signal(): AbortSignal {
    return this.#served.signal
  }
}

function isPromise(value: object | Promise<object>): value is Promise<object> {
  return 'then' in value && typeof value.then === 'function'
}
