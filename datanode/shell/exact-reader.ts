import { Socket } from 'node:net'
import { assert } from '../../base/assert.ts'
import { DfsError } from '../../protocol/errors.ts'

/** Staged bytes of a connection at first; grows to what one head needs. */
const stagingBytesMin = 16 * 1024

/**
 * Consumer of a connection's bytes. It alternates between heads, which are small and looked at, and
 * bodies, which go straight into memory it provides.
 */
export interface ByteSink {
  /**
   * Looks at staged bytes, at least as many as last asked for, and returns how many it consumed: 0 when
   * it needs more and has said so with {@link ExactReader.expectHead}. The view is only good during the call.
   */
  onHead(staged: Buffer): number
  /** The memory given to {@link ExactReader.expectBody} is full. */
  onBody(): void
  /** The peer has finished sending. */
  onEnd(): void
  /** The connection is gone; `error` says why unless it was closed in order. */
  onClose(error: Error | undefined): void
}

/**
 * Reads a socket exactly: a body of known length is received in place, without a copy and without
 * taking a byte of what follows, by Node's `onread` option. Bytes that were read ahead with a head are
 * copied into the body they belong to.
 */
export class ExactReader {
  readonly socket: Socket
  #sink: ByteSink
  #staging = Buffer.allocUnsafeSlow(stagingBytesMin)
  #stagedFrom = 0
  #stagedTo = 0
  /** Memory the next read goes to, and where its bytes belong. */
  #given: { readonly buffer: Buffer; readonly isStaging: boolean; readonly offset: number }
  #body: Buffer | undefined
  #bodyFilled = 0
  #headNeed = 1
  #headHint = stagingBytesMin
  #isPaused = false
  #isDraining = false
  #bytesRead = 0

  private constructor(sink: ByteSink, createSocket: (onread: OnRead) => Socket) {
    this.#sink = sink
    this.#given = { buffer: this.#staging, isStaging: true, offset: 0 }
    this.socket = createSocket({
      buffer: () => this.#provide(),
      callback: (count) => this.#received(count),
    })
    this.socket.on('end', () => this.#sink.onEnd())
    let failure: Error | undefined
    this.socket.on('error', (error) => {
      failure = error
    })
    this.socket.on('close', () => this.#sink.onClose(failure))
  }

  /** Takes over a connection that a server accepted with `pauseOnConnect`. */
  static accept(accepted: Socket, sink: ByteSink): ExactReader {
    const handle = takeHandle(accepted)
    return new ExactReader(sink, (onread) => {
      // Of these options only @types/node does not know `handle` and `pauseOnCreate`.
      const options = { handle, onread, allowHalfOpen: true, pauseOnCreate: true }
      return new Socket(options)
    })
  }

  /** Wraps a connection being made; reads only after {@link resume}. */
  static connect(sink: ByteSink, create: (onread: OnRead) => Socket): ExactReader {
    return new ExactReader(sink, create)
  }

  /** Bytes received so far; a stalled peer shows as no change. */
  get bytesRead(): number {
    return this.#bytesRead
  }

  /** True when bytes beyond what was consumed are here. */
  get hasStaged(): boolean {
    return this.#stagedTo > this.#stagedFrom
  }

  /** Hands the connection to another sink, which starts with a head. */
  handTo(sink: ByteSink): void {
    this.#sink = sink
  }

  /** Wants at least `need` bytes staged next; `hint` is how many may be read ahead. */
  expectHead(need: number, hint = need): void {
    this.#body = undefined
    this.#headNeed = need
    this.#headHint = Math.max(need, hint)
  }

  /** Wants `body` filled next. */
  expectBody(body: Buffer): void {
    assert(body.length > 0, 'a body must have room')
    this.#body = body
    this.#bodyFilled = 0
  }

  /** Takes no more bytes off the connection. */
  pause(): void {
    this.#isPaused = true
    this.socket.pause()
  }

  /** Goes on, with staged bytes first. */
  resume(): void {
    this.#isPaused = false
    this.#drain()
    if (this.#wantsMore()) this.socket.resume()
  }

  /** False once the sink, called meanwhile, has paused or closed the connection. */
  #wantsMore(): boolean {
    return !this.#isPaused && !this.socket.destroyed
  }

  #provide(): Buffer {
    const body = this.#body
    if (body !== undefined && !this.#isPaused && !this.hasStaged) {
      const buffer = body.subarray(this.#bodyFilled)
      this.#given = { buffer, isStaging: false, offset: 0 }
      return buffer
    }
    const staged = this.#stagedTo - this.#stagedFrom
    this.#makeRoom(Math.max(this.#headNeed, 1))
    const wanted = body === undefined && !this.#isPaused ? Math.max(1, this.#headHint - staged) : 0
    const end = Math.min(
      this.#staging.length,
      this.#stagedTo + (wanted === 0 ? stagingBytesMin : wanted),
    )
    const buffer = this.#staging.subarray(this.#stagedTo, end)
    this.#given = { buffer, isStaging: true, offset: this.#stagedTo }
    return buffer
  }

  /** Makes room in the staging buffer for a head of `need` bytes, and for one byte more at least. */
  #makeRoom(need: number): void {
    const staged = this.#stagedTo - this.#stagedFrom
    const wanted = Math.max(need, staged + 1)
    if (
      this.#stagedFrom + wanted <= this.#staging.length &&
      this.#stagedTo < this.#staging.length
    ) {
      return
    }
    const target =
      wanted <= this.#staging.length
        ? this.#staging
        : Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(wanted)))
    this.#staging.copy(target, 0, this.#stagedFrom, this.#stagedTo)
    this.#staging = target
    this.#stagedFrom = 0
    this.#stagedTo = staged
  }

  #received(count: number): boolean {
    this.#bytesRead += count
    const { buffer, isStaging, offset } = this.#given
    if (!isStaging) {
      this.#bodyFilled += count
    } else {
      // The staging buffer may have been drained, moved or replaced while the read was pending.
      const isInPlace = buffer.buffer === this.#staging.buffer && offset === this.#stagedTo
      if (!isInPlace) {
        const bytes = Buffer.from(buffer.subarray(0, count))
        this.#makeRoom(this.#stagedTo - this.#stagedFrom + count)
        bytes.copy(this.#staging, this.#stagedTo)
      }
      this.#stagedTo += count
    }
    this.#drain()
    return !this.#isPaused
  }

  /** Lets the sink have everything that is here, until it needs more or pauses. */
  #drain(): void {
    if (this.#isDraining) return
    this.#isDraining = true
    try {
      while (this.#wantsMore() && this.#step());
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      this.#isPaused = true
      // Never inside the read callback: a socket destroyed there leaves its handle behind, and a process that
      // ends by itself then spins while Node waits for that handle (v20).
      process.nextTick(() => this.socket.destroy(reason))
      if (!(error instanceof DfsError)) throw error
    } finally {
      this.#isDraining = false
    }
  }

  #step(): boolean {
    const body = this.#body
    if (body !== undefined) {
      if (this.#bodyFilled < body.length) {
        const end = Math.min(this.#stagedTo, this.#stagedFrom + body.length - this.#bodyFilled)
        this.#staging.copy(body, this.#bodyFilled, this.#stagedFrom, end)
        this.#bodyFilled += end - this.#stagedFrom
        this.#consume(end - this.#stagedFrom)
      }
      if (this.#bodyFilled < body.length) return false
      this.#body = undefined
      this.#sink.onBody()
      return true
    }
    if (this.#stagedTo - this.#stagedFrom < this.#headNeed) return false
    const before = this.#headNeed
    const consumed = this.#sink.onHead(this.#staging.subarray(this.#stagedFrom, this.#stagedTo))
    this.#consume(consumed)
    return consumed > 0 || this.#body !== undefined || this.#headNeed !== before
  }

  #consume(count: number): void {
    this.#stagedFrom += count
    if (this.#stagedFrom === this.#stagedTo) {
      this.#stagedFrom = 0
      this.#stagedTo = 0
    }
  }
}

/** Node's option for reading into given memory. */
export interface OnRead {
  readonly buffer: () => Buffer
  readonly callback: (count: number) => boolean
}

/** Takes the operating system's handle out of a socket, which is of no use afterwards. */
function takeHandle(socket: Socket): unknown {
  const handle: unknown = Reflect.get(socket, '_handle')
  Reflect.set(socket, '_handle', null)
  socket.destroy()
  return handle
}
