import { Writable } from 'node:stream'
import { DfsError } from '../protocol/errors.ts'
import { onAbort } from './abort.ts'
import { toFsError } from './errors.ts'
import type { AppendOptions, CreateOptions, FileWriter, FlushOptions } from './file-writer.ts'

/** Bytes a write stream holds beside the packets in flight, for a producer that is faster than the datanodes. */
const defaultHighWaterMarkBytes = 1024 * 1024

/**
 * What a file is opened for, in the words of `node:fs`: `w` a new file, in the place of an existing one; `wx` and `ax` a
 * new one, an error if there is one; `a` at the end of an existing file, a new one if there is none.
 */
export type WriteFlags = 'w' | 'wx' | 'a' | 'ax'

/** How a file is opened for writing. */
export interface OpenForWriteOptions extends CreateOptions, AppendOptions {
  readonly flags?: WriteFlags | undefined
}

/** How a write stream opens its file, and how much it holds back. */
export interface WriteStreamOptions extends OpenForWriteOptions {
  readonly highWaterMark?: number
}

/** Options of `sync`. */
export interface SyncOptions {
  /** Have the namenode note the length, so that `stat` tells it too (HDFS: SyncFlag.UPDATE_LENGTH). */
  readonly updateLength?: boolean | undefined
}

type Callback = (error?: Error | null) => void

/**
 * Writable of a file. `finish` and `close` come after the file is complete and on disk on every datanode of its
 * pipelines. A stream that is destroyed before deletes what it wrote, unless some of it was flushed for readers or the
 * file existed before: then it is closed at the length that its datanodes agree on.
 */
export class DfsWriteStream extends Writable {
  readonly path: string
  readonly #open: () => Promise<FileWriter>
  readonly #removeAbort: () => void
  /** Flushes queued among the chunks: an empty chunk stands for each. */
  readonly #flushes = new WeakMap<object, FlushOptions>()
  #writer: FileWriter | undefined
  #isComplete = false

  constructor(path: string, open: () => Promise<FileWriter>, options: WriteStreamOptions = {}) {
    super({ highWaterMark: options.highWaterMark ?? defaultHighWaterMarkBytes })
    this.path = path
    this.#open = open
    this.#removeAbort = onAbort(options.signal, (error) => this.destroy(toFsError(error, path)))
  }

  /** Bytes handed to the file so far. */
  get bytesWritten(): number {
    return this.#writer?.bytesWritten ?? 0
  }

  /** Resolves when everything written before is visible to readers who open the file from now on. */
  flush(): Promise<void> {
    return this.#flush({ isSync: false })
  }

  /** Resolves when everything written before is visible to readers and on the disks of all its datanodes. */
  sync({ updateLength = false }: SyncOptions = {}): Promise<void> {
    return this.#flush({ isSync: true, updatesLength: updateLength })
  }

  /** {@link flush}, under HDFS's name. */
  hflush(): Promise<void> {
    return this.flush()
  }

  /** {@link sync}, under HDFS's name. */
  hsync(options?: SyncOptions): Promise<void> {
    return this.sync(options)
  }

  override _construct(callback: Callback): void {
    this.#settle(this.#create(), callback)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    const flush = this.#flushes.get(chunk)
    const writer = this.#opened()
    let pending: Promise<void> | undefined
    try {
      pending = flush === undefined ? writer.write(chunk) : writer.flush(flush)
    } catch (error) {
      callback(toFsError(error, this.path))
      return
    }
    if (pending === undefined) callback()
    else this.#settle(pending, callback)
  }

  override _final(callback: Callback): void {
    this.#settle(this.#close(), callback)
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#removeAbort()
    if (this.#writer === undefined || this.#isComplete) {
      callback(error)
      return
    }
    const reason = error ?? new DfsError('ABORTED', `Writing of "${this.path}" was given up`)
    this.#writer.abort(reason).then(
      () => {
        callback(error)
      },
      (abortError: unknown) => {
        callback(error ?? toFsError(abortError, this.path))
      },
    )
  }

  async #create(): Promise<void> {
    const writer = await this.#open()
    writer.onFailed = (error) => this.destroy(toFsError(error, this.path))
    this.#writer = writer
  }

  async #close(): Promise<void> {
    await this.#opened().close()
    this.#isComplete = true
  }

  #opened(): FileWriter {
    if (this.#writer === undefined)
      throw new DfsError('INTERNAL', 'A write stream is used unopened')
    return this.#writer
  }

  #flush(options: FlushOptions): Promise<void> {
    const marker = Buffer.alloc(0)
    this.#flushes.set(marker, options)
    return new Promise((resolve, reject) => {
      this.write(marker, (error) => {
        if (error === null || error === undefined) resolve()
        else reject(error)
      })
    })
  }

  #settle(promise: Promise<void>, callback: Callback): void {
    promise.then(
      () => {
        callback()
      },
      (error: unknown) => {
        callback(toFsError(error, this.path))
      },
    )
  }
}
