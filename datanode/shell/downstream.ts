import { connect, type Socket } from 'node:net'
import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import { DelimitedDecoder, tryDecodeDelimited } from '../../protocol/data-transfer.ts'
import { DfsError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import {
  type BlockOpResponse,
  blockOpResponse,
  type PipelineAck,
  pipelineAck,
  type Status,
} from '../../protocol/messages/data-transfer.ts'
import { ackSlowness, ackStatuses } from '../../protocol/pipeline-ack.ts'
import type { WriteWindow } from './write-window.ts'

/** Bytes waiting for a slow downstream at which the upstream is read no further. */
export const downstreamBacklogBytesMax = 4 * 1024 * 1024

/** Where a packet goes next. */
export interface DownstreamAddress {
  readonly host: string
  readonly port: number
}

/** What an ack says about speed, where that is worth a word. */
export interface AckSpeed {
  /** Milliseconds from the packet's departure to its ack. */
  readonly waitedMs: number
  /** Who of the nodes behind this one is slow, the next one first. */
  readonly isSlow: readonly boolean[]
}

export interface DownstreamListener {
  onAck(seqno: number, statuses: readonly Status[], speed: AckSpeed | undefined): void
  onDrain(): void
  onLost(error: Error | undefined): void
}

/** Part of a packet, in memory that somebody owns; without owner it is the garbage collector's. */
export interface PacketPart {
  readonly window: WriteWindow | undefined
  readonly bytes: Buffer
}

/** How a downstream is connected, and how long it is waited for. */
export interface DownstreamOptions {
  readonly address: DownstreamAddress
  readonly operation: Uint8Array
  readonly awaitsReply: boolean
  /** For its answer to the operation. */
  readonly timeoutMs: number
  /** For the ack of a packet. */
  readonly ackTimeoutMs: number
  readonly timers: Timers
  readonly clock: Clock
}

/** A quicker ack is not worth a word about speed. */
const notableWaitMs = 100

/**
 * Connection to the next datanode of a pipeline: operation and packets go out, acks come back. One that leaves a packet
 * without an ack for too long is lost: it hangs, and only the node before it can tell.
 */
export class Downstream {
  readonly #options: DownstreamOptions
  readonly #socket: Socket
  /** Packets without an ack, oldest first. */
  readonly #waiting: { readonly seqno: number; readonly at: number }[] = []
  #watch: TimerHandle | undefined
  readonly #acks = new DelimitedDecoder(pipelineAck)
  #listener: DownstreamListener | undefined
  #failure: Error | undefined
  #isOver = false
  #isCorked = false

  private constructor(socket: Socket, options: DownstreamOptions) {
    this.#socket = socket
    this.#options = options
    // The peer may reset at any time, also while nobody listens yet or any more.
    socket.on('error', (error) => {
      this.#failure = error
    })
  }

  /**
   * Connects, sends `operation`, and with `awaitsReply` waits for its answer.
   *
   * @throws {@link DfsError} CONNECTION_LOST or TIMED_OUT when there is no answer
   */
  static async open(
    options: DownstreamOptions,
  ): Promise<{ downstream: Downstream; reply: BlockOpResponse | undefined }> {
    const { address, operation, awaitsReply, timeoutMs, timers } = options
    const name = `${address.host}:${address.port}`
    const socket = connect({ ...address, noDelay: true })
    const downstream = new Downstream(socket, options)
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
    socket.on('data', (bytes: Buffer) => this.#take(bytes))
    socket.on('drain', () => this.#listener?.onDrain())
    socket.on('end', () => this.#lose(undefined))
    socket.on('close', () => this.#lose(this.#failure))
    const { timers, ackTimeoutMs } = this.#options
    this.#watch = timers.every(Math.ceil(ackTimeoutMs / 32), () => this.#checkSilence())
    if (socket.destroyed) queueMicrotask(() => this.#lose(this.#failure))
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
  forward(seqno: number, head: Buffer, parts: readonly PacketPart[]): void {
    const socket = this.#socket
    // Copies are not acknowledged.
    if (this.#options.awaitsReply) {
      this.#waiting.push({ seqno, at: this.#options.clock.monotonic() })
    }
    this.#cork()
    socket.write(head)
    for (const { window, bytes } of parts) {
      if (window === undefined) {
        socket.write(bytes)
      } else {
        window.retain()
        socket.write(bytes, () => window.release())
      }
    }
  }

  /** Packets that arrived together leave together. */
  #cork(): void {
    if (this.#isCorked) return
    this.#isCorked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#isCorked = false
      this.#socket.uncork()
    })
  }

  /** Ends the connection in order: nothing more is expected from it. */
  finish(): void {
    this.#end()
    this.#socket.end()
  }

  /** Breaks the connection off. */
  abort(): void {
    this.#end()
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    try {
      for (const ack of this.#acks.push(bytes)) {
        if (this.#isOver) break
        this.#listener?.onAck(ack.seqno, ackStatuses(ack), this.#speedOf(ack))
      }
    } catch (error) {
      this.#socket.destroy(error instanceof Error ? error : undefined)
    }
  }

  /** Takes the ack's packet off the list. What the next node did not spend waiting for others is its own. */
  #speedOf(ack: PipelineAck): AckSpeed | undefined {
    const [oldest] = this.#waiting
    if (oldest?.seqno !== ack.seqno) return undefined
    this.#waiting.shift()
    const waitedMs = this.#options.clock.monotonic() - oldest.at
    if (waitedMs < notableWaitMs && ack.flag.length === 0) return undefined
    const ownMs = waitedMs - Number(ack.downstreamAckTimeNanos / 1_000_000n)
    const [isCalledSlow = false, ...others] = ackSlowness(ack)
    return { waitedMs, isSlow: [isCalledSlow || ownMs >= limits.slowAckMs, ...others] }
  }

  #checkSilence(): void {
    const { clock, ackTimeoutMs, address } = this.#options
    const [oldest] = this.#waiting
    if (oldest === undefined || clock.monotonic() - oldest.at < ackTimeoutMs) return
    const datanode = `${address.host}:${address.port}`
    const message = `Datanode ${datanode} left a packet without an ack for ${ackTimeoutMs} ms`
    this.#socket.destroy(new DfsError('TIMED_OUT', message, { datanode }))
  }

  #end(): void {
    this.#isOver = true
    this.#watch?.cancel()
    this.#watch = undefined
  }

  #lose(error: Error | undefined): void {
    if (this.#isOver) return
    this.#end()
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
