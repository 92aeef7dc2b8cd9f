import net from 'node:net'
import type { Logger } from '../base/log.ts'
import { DfsError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import { onAbort } from './abort.ts'

/** Data transfer address of a datanode. */
export interface DatanodeAddress {
  readonly host: string
  readonly port: number
}

/**
 * Who takes the bytes of a connection. Called synchronously from the socket's read callback, so that bytes
 * land where they are needed without a copy in between.
 */
export interface ByteSink {
  /** Where the next bytes go; not empty; asked anew after every {@link ByteSink.received}. */
  destination(): Uint8Array
  /** `count` bytes were put at the start of the last destination. False pauses until `resume()`. */
  received(count: number): boolean
  /** The connection is gone; called at most once, and not after the sink was detached. */
  lost(error: DfsError): void
}

/** How to connect. */
export interface ConnectOptions {
  readonly connectTimeoutMs: number
  /** Silence of the other side, while bytes are awaited, after which the connection is lost. */
  readonly idleTimeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** Bytes that arrive while nobody reads land here; also where a sink may collect small things. */
const scratchBytes = 8 * 1024

/** A TCP connection to a datanode's data transfer port, read through one {@link ByteSink} at a time. */
export class DatanodeConnection {
  readonly address: DatanodeAddress
  /** Owned by the attached sink; kept with the connection so that reuse does not allocate. */
  readonly scratch = Buffer.allocUnsafeSlow(scratchBytes)
  readonly #idleTimeoutMs: number
  readonly #idle = Buffer.allocUnsafeSlow(scratchBytes)
  #socket: net.Socket | undefined
  #sink: ByteSink | undefined
  /** The sink that chose where the next bytes land; `undefined` when they land in `#idle`. */
  #givenBy: ByteSink | undefined
  #isPaused = false
  #isClosed = false
  #isCorked = false
  #bytesReceived = 0
  #operations = 0
  #error: DfsError | undefined

  private constructor(address: DatanodeAddress, idleTimeoutMs: number) {
    this.address = address
    this.#idleTimeoutMs = idleTimeoutMs
  }

  /**
   * Connects to a datanode.
   *
   * @throws {@link DfsError} CONNECTION_LOST when refused, TIMED_OUT after `connectTimeoutMs`, ABORTED
   */
  static async connect(
    address: DatanodeAddress,
    options: ConnectOptions,
  ): Promise<DatanodeConnection> {
    const connection = new DatanodeConnection(address, options.idleTimeoutMs)
    await connection.#connect(options)
    return connection
  }

  /** False once the connection is closed or lost. */
  get isOpen(): boolean {
    return this.#error === undefined && !this.#isClosed
  }

  get bytesReceived(): number {
    return this.#bytesReceived
  }

  /** True when an earlier operation went over this connection: the datanode may have closed it meanwhile. */
  get isReused(): boolean {
    return this.#operations > 1
  }

  /** Gives the connection a reader for one operation; at once told when the connection is lost already. */
  attach(sink: ByteSink): void {
    this.#sink = sink
    this.#operations += 1
    this.#socket?.ref()
    if (this.isOpen) this.resume()
    else this.#tellLost(this.#error ?? this.#lossError('closed by this client'))
  }

  /** Takes the reader away; bytes that arrive now are out of turn and close the connection. */
  detach(): void {
    this.#sink = undefined
    this.#socket?.unref()
  }

  /** Goes on reading after the sink paused it. */
  resume(): void {
    this.#isPaused = false
    this.#socket?.setTimeout(this.#idleTimeoutMs)
    this.#socket?.resume()
  }

  /** Sends `parts`; all of one tick leave in one system call. The bytes must stay unchanged until acknowledged. */
  write(...parts: readonly Uint8Array[]): void {
    const socket = this.#socket
    if (socket === undefined || !this.isOpen) return
    if (!this.#isCorked) {
      this.#isCorked = true
      socket.cork()
      process.nextTick(() => {
        this.#isCorked = false
        socket.uncork()
      })
    }
    for (const part of parts) if (part.length > 0) socket.write(part)
  }

  /** Closes at once; the sink is not told. */
  destroy(): void {
    this.#sink = undefined
    this.#isClosed = true
    this.#destroySocket()
  }

  /**
   * After this turn, never inside the read callback: a socket that is destroyed there leaves its handle behind,
   * and a process that ends by itself then spins for ever while Node waits for that handle (v20).
   */
  #destroySocket(): void {
    const socket = this.#socket
    process.nextTick(() => socket?.destroy())
  }

  #connect({ connectTimeoutMs, signal }: ConnectOptions): Promise<void> {
    const { host, port } = this.address
    return new Promise((resolve, reject) => {
      const socket = net.connect({
        host,
        port,
        noDelay: true,
        keepAlive: true,
        onread: {
          buffer: () => this.#destination(),
          callback: (count, buffer) => this.#received(count, buffer),
        },
      })
      this.#socket = socket
      const finish = (error?: DfsError): void => {
        clearTimeout(timer)
        removeAbort()
        if (error === undefined) {
          resolve()
          return
        }
        this.#lose(error)
        reject(error)
      }
      const timer = setTimeout(() => {
        finish(this.#error ?? this.#timeoutError('connect', connectTimeoutMs))
      }, connectTimeoutMs)
      const removeAbort = onAbort(signal, finish)
      socket.once('connect', () => {
        finish()
      })
      socket.on('timeout', () => {
        if (this.#sink === undefined || this.#isPaused) return
        this.#lose(this.#timeoutError('answer', this.#idleTimeoutMs))
      })
      const lose = (reason: string): void => {
        if (!this.isOpen) return
        const lost = this.#lossError(reason)
        finish(lost)
        this.#lose(lost)
      }
      socket.on('error', (error) => {
        lose(error.message)
      })
      socket.on('close', () => {
        lose('closed by the datanode')
      })
    })
  }

  #destination(): Uint8Array {
    this.#givenBy = this.#sink
    return this.#sink?.destination() ?? this.#idle
  }

  #received(count: number, buffer: Uint8Array): boolean {
    this.#bytesReceived += count
    const sink = this.#sink
    if (sink === undefined) {
      this.#lose(this.#lossError('the datanode sent bytes out of turn'))
      return false
    }
    const isInPlace = this.#givenBy === sink
    const goesOn = isInPlace ? sink.received(count) : this.#feed(sink, buffer.subarray(0, count))
    this.#isPaused = !goesOn && this.isOpen
    return goesOn
  }

  /** Hands over bytes that were read before the sink could say where they belong. */
  #feed(sink: ByteSink, bytes: Uint8Array): boolean {
    let goesOn = true
    for (let offset = 0; offset < bytes.length && this.#sink === sink; ) {
      const destination = sink.destination()
      const count = Math.min(destination.length, bytes.length - offset)
      destination.set(bytes.subarray(offset, offset + count))
      offset += count
      goesOn = sink.received(count)
    }
    return goesOn
  }

  #lose(error: DfsError): void {
    if (!this.isOpen) return
    this.#error = error
    this.#destroySocket()
    this.#tellLost(error)
  }

  #tellLost(error: DfsError): void {
    const sink = this.#sink
    this.#sink = undefined
    sink?.lost(error)
  }

  #lossError(reason: string): DfsError {
    const datanode = addressName(this.address)
    return new DfsError(
      'CONNECTION_LOST',
      `Connection to datanode ${datanode} is lost: ${reason}`,
      {
        datanode,
      },
    )
  }

  #timeoutError(what: string, afterMs: number): DfsError {
    const datanode = addressName(this.address)
    return new DfsError('TIMED_OUT', `Datanode ${datanode} did not ${what} within ${afterMs} ms`, {
      datanode,
    })
  }
}

/** `host:port`, the name datanodes have in `firstBadLink` and in messages. */
export function addressName({ host, port }: DatanodeAddress): string {
  return `${host}:${port}`
}

interface IdleConnection {
  readonly connection: DatanodeConnection
  readonly timer: NodeJS.Timeout
}

/** Connections of one datanode that may wait for their next operation. */
const idlePerDatanodeMax = 32

/** Shorter than a datanode's own patience, so that we rarely meet a connection it is just closing. */
const idleMs = limits.transferKeepAliveMs - 1_000

/** Connections that finished an operation cleanly and wait for the next one. */
export class DatanodeConnectionPool {
  readonly #options: Omit<ConnectOptions, 'signal'>
  readonly #logger: Logger
  readonly #idleByAddress = new Map<string, IdleConnection[]>()
  #isClosed = false

  constructor(options: Omit<ConnectOptions, 'signal'>, logger: Logger) {
    this.#options = options
    this.#logger = logger
  }

  /** A kept-alive connection if there is one, else a new one. */
  async acquire(address: DatanodeAddress, signal?: AbortSignal): Promise<DatanodeConnection> {
    const idle = this.#idleByAddress.get(addressName(address))
    for (let entry = idle?.pop(); entry !== undefined; entry = idle?.pop()) {
      clearTimeout(entry.timer)
      if (entry.connection.isOpen) return entry.connection
    }
    return this.connect(address, signal)
  }

  /** A new connection. */
  async connect(address: DatanodeAddress, signal?: AbortSignal): Promise<DatanodeConnection> {
    if (this.#isClosed) throw new DfsError('ABORTED', 'This client is closed')
    this.#logger.debug('datanode-connect', { datanode: addressName(address) })
    return DatanodeConnection.connect(address, { ...this.#options, signal })
  }

  /** Takes a connection back whose last operation ended cleanly. */
  release(connection: DatanodeConnection): void {
    connection.detach()
    const name = addressName(connection.address)
    const idle = this.#idleByAddress.get(name) ?? []
    if (this.#isClosed || !connection.isOpen || idle.length >= idlePerDatanodeMax) {
      connection.destroy()
      return
    }
    this.#idleByAddress.set(name, idle)
    const timer = setTimeout(() => {
      this.#forget(name, connection)
    }, idleMs)
    timer.unref()
    idle.push({ connection, timer })
  }

  /** Closes all idle connections, and every one that is released from now on. */
  close(): void {
    this.#isClosed = true
    for (const idle of this.#idleByAddress.values()) {
      for (const { connection, timer } of idle) {
        clearTimeout(timer)
        connection.destroy()
      }
    }
    this.#idleByAddress.clear()
  }

  #forget(name: string, connection: DatanodeConnection): void {
    const idle = this.#idleByAddress.get(name)
    const index = idle?.findIndex((entry) => entry.connection === connection) ?? -1
    if (index !== -1) idle?.splice(index, 1)
    if (idle?.length === 0) this.#idleByAddress.delete(name)
    connection.destroy()
  }
}
