import { connect, type Socket } from 'node:net'
import type { Timers } from '../../base/clock.ts'
import { DelimitedDecoder, tryDecodeDelimited } from '../../protocol/data-transfer.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  type BlockOpResponse,
  blockOpResponse,
  pipelineAck,
  type Status,
} from '../../protocol/messages/data-transfer.ts'
import { ackStatuses } from '../../protocol/pipeline-ack.ts'
import type { WriteWindow } from './write-window.ts'

/** Bytes waiting for a slow downstream at which the upstream is read no further. */
export const downstreamBacklogBytesMax = 4 * 1024 * 1024

/** Where a packet goes next. */
export interface DownstreamAddress {
  readonly host: string
  readonly port: number
}

export interface DownstreamListener {
  onAck(seqno: number, statuses: readonly Status[]): void
  onDrain(): void
  onLost(error: Error | undefined): void
}

/** Part of a packet, in memory that somebody owns; without owner it is the garbage collector's. */
export interface PacketPart {
  readonly window: WriteWindow | undefined
  readonly bytes: Buffer
}

/** Connection to the next datanode of a pipeline: operation and packets go out, acks come back. */
export class Downstream {
  readonly #socket: Socket
  readonly #acks = new DelimitedDecoder(pipelineAck)
  #listener: DownstreamListener | undefined
  #isOver = false

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  /**
   * Connects, sends `operation`, and with `awaitsReply` waits for its answer.
   *
   * @throws {@link DfsError} CONNECTION_LOST or TIMED_OUT when there is no answer
   */
  static async open(options: {
    readonly address: DownstreamAddress
    readonly operation: Uint8Array
    readonly awaitsReply: boolean
    readonly timeoutMs: number
    readonly timers: Timers
  }): Promise<{ downstream: Downstream; reply: BlockOpResponse | undefined }> {
    const { address, operation, awaitsReply, timeoutMs, timers } = options
    const name = `${address.host}:${address.port}`
    const socket = connect({ ...address, noDelay: true })
    const downstream = new Downstream(socket)
    const timer = timers.after(timeoutMs, () => {
      socket.destroy(
        new DfsError('TIMED_OUT', `No answer from ${name} within ${timeoutMs} ms`, {
          datanode: name,
        }),
      )
    })
    try {
      await connected(socket, name)
      socket.write(operation)
      const reply = awaitsReply ? await readReply(socket, name) : undefined
      return { downstream, reply }
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      timer.cancel()
    }
  }

  /** Starts to pass on what comes back. */
  listen(listener: DownstreamListener): void {
    this.#listener = listener
    const socket = this.#socket
    let failure: Error | undefined
    socket.on('data', (bytes: Buffer) => this.#take(bytes))
    socket.on('drain', () => this.#listener?.onDrain())
    socket.on('end', () => this.#lose(undefined))
    socket.on('error', (error) => {
      failure = error
    })
    socket.on('close', () => this.#lose(failure))
    if (socket.destroyed) queueMicrotask(() => this.#lose(undefined))
    else socket.resume()
  }

  get isBacklogged(): boolean {
    return this.#socket.writableLength > downstreamBacklogBytesMax
  }

  /** Bytes the peer's kernel has taken; a stalled peer shows as no change. */
  get bytesSent(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

  /** Sends a packet from where it lies; its windows are retained until the kernel has taken them. */
  forward(head: Buffer, parts: readonly PacketPart[]): void {
    const socket = this.#socket
    socket.cork()
    socket.write(head)
    for (const { window, bytes } of parts) {
      if (window === undefined) {
        socket.write(bytes)
      } else {
        window.retain()
        socket.write(bytes, () => window.release())
      }
    }
    socket.uncork()
  }

  /** Ends the connection in order: nothing more is expected from it. */
  finish(): void {
    this.#isOver = true
    this.#socket.end()
  }

  /** Breaks the connection off. */
  abort(): void {
    this.#isOver = true
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    try {
      for (const ack of this.#acks.push(bytes)) {
        if (!this.#isOver) this.#listener?.onAck(ack.seqno, ackStatuses(ack))
      }
    } catch (error) {
      this.#socket.destroy(error instanceof Error ? error : undefined)
    }
  }

  #lose(error: Error | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#socket.destroy()
    this.#listener?.onLost(error)
  }
}

function connected(socket: Socket, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(lost(name, error))
    socket.once('error', fail)
    socket.once('connect', () => {
      socket.off('error', fail)
      resolve()
    })
  })
}

/** Reads the one reply that precedes everything else; bytes behind it are put back. */
function readReply(socket: Socket, name: string): Promise<BlockOpResponse> {
  return new Promise((resolve, reject) => {
    let pending: Buffer = Buffer.alloc(0)
    const stop = (): void => {
      socket.off('data', take)
      socket.off('error', fail)
      socket.off('close', closed)
      socket.pause()
    }
    const fail = (error: Error): void => {
      stop()
      reject(lost(name, error))
    }
    const closed = (): void => fail(new Error('it closed the connection'))
    const take = (bytes: Buffer): void => {
      pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes])
      try {
        const taken = tryDecodeDelimited(blockOpResponse, pending, 0, pending.length)
        if (taken === undefined) return
        stop()
        if (taken.next < pending.length) socket.unshift(pending.subarray(taken.next))
        resolve(taken.value)
      } catch (error) {
        stop()
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    }
    socket.on('data', take)
    socket.once('error', fail)
    socket.once('close', closed)
  })
}

function lost(name: string, cause: Error): DfsError {
  if (cause instanceof DfsError) return cause
  return new DfsError('CONNECTION_LOST', `Cannot reach datanode ${name}: ${cause.message}`, {
    datanode: name,
    cause,
  })
}
