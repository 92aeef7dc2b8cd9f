import { Readable } from 'node:stream'
import { onAbort } from './abort.ts'
import { toFsError } from './errors.ts'
import type { FileConsumer, FileReader } from './file-reader.ts'

/** Bytes a read stream holds for a consumer that is slower than the datanodes. */
const defaultHighWaterMarkBytes = 1024 * 1024

/** Packets above this get memory of their own; smaller ones share a pool. */
const pooledBytesMax = 4096

/** Which part of a file a stream reads, and how. */
export interface ReadStreamOptions {
  /** First byte, 0 by default. */
  readonly start?: number
  /** Last byte, inclusive as in `node:fs`; the end of the file by default. */
  readonly end?: number
  readonly highWaterMark?: number
  readonly signal?: AbortSignal
}

/**
 * Readable of a file's bytes, verified, with fail-over between replicas inside. Reads from the socket only as far as
 * `highWaterMark` lets it, so a slow consumer costs bounded memory here and stops the datanode by TCP.
 */
export class DfsReadStream extends Readable {
  readonly path: string
  readonly #open: (signal: AbortSignal) => Promise<FileReader>
  readonly #start: number
  readonly #endInclusive: number
  readonly #controller = new AbortController()
  readonly #removeAbort: () => void
  /** The opened file until reading starts. */
  #reader: FileReader | undefined
  #wantsMore = false
  #isPaused = false
  #resume: (() => void) | undefined

  constructor(
    path: string,
    open: (signal: AbortSignal) => Promise<FileReader>,
    options: ReadStreamOptions = {},
  ) {
    super({ highWaterMark: options.highWaterMark ?? defaultHighWaterMarkBytes })
    this.path = path
    this.#open = open
    this.#start = options.start ?? 0
    this.#endInclusive = options.end ?? Number.POSITIVE_INFINITY
    this.#removeAbort = onAbort(options.signal, (error) => this.destroy(toFsError(error, path)))
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.#open(this.#controller.signal).then(
      (reader) => {
        this.#reader = reader
        callback()
      },
      (error: unknown) => {
        callback(toFsError(error, this.path))
      },
    )
  }

  override _read(): void {
    this.#wantsMore = true
    const reader = this.#reader
    if (reader !== undefined) {
      this.#reader = undefined
      void this.#run(reader)
    } else if (this.#isPaused) {
      this.#isPaused = false
      this.#resume?.()
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#removeAbort()
    this.#controller.abort()
    callback(error)
  }

  async #run(reader: FileReader): Promise<void> {
    const { signal } = this.#controller
    try {
      const end = Math.min(reader.file.length, this.#endInclusive + 1)
      if (this.#start < end) {
        await reader.read({ start: this.#start, end, signal }, this.#consumer(end))
      }
      if (!this.destroyed) this.push(null)
    } catch (error) {
      this.destroy(toFsError(error, this.path))
    }
  }

  #consumer(end: number): FileConsumer {
    let next = this.#start
    let buffer = Buffer.alloc(0)
    return {
      started: (resume) => {
        this.#resume = resume
      },
      place(_position, length) {
        buffer =
          length > pooledBytesMax ? Buffer.allocUnsafeSlow(length) : Buffer.allocUnsafe(length)
        return buffer
      },
      accept: (position, length) => {
        const from = Math.max(next, position)
        const to = Math.min(end, position + length)
        if (from >= to || this.destroyed) return true
        next = to
        this.#wantsMore = false
        const isBelowMark = this.push(buffer.subarray(from - position, to - position))
        this.#isPaused = !isBelowMark && !this.#isWanted()
        return !this.#isPaused
      },
    }
  }

  /** `push` may have asked for more already, by way of `_read`. */
  #isWanted(): boolean {
    return this.#wantsMore
  }
}
