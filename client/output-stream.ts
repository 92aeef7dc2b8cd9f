import { Writable } from 'node:stream'
import { DfsError } from '../protocol/errors.ts'
import { onAbort } from './abort.ts'
import { toFsError } from './errors.ts'
import type { CreateOptions, FileWriter } from './file-writer.ts'

/** Bytes a write stream holds beside the packets in flight, for a producer that is faster than the datanodes. */
const defaultHighWaterMarkBytes = 1024 * 1024

/** How a write stream creates its file, and how much it holds back. */
export interface WriteStreamOptions extends CreateOptions {
  readonly highWaterMark?: number
}

type Callback = (error?: Error | null) => void

/**
 * Writable of a new file. `finish` and `close` come after the file is complete and on disk on every datanode of its
 * pipelines. A stream that is destroyed before deletes what it wrote, unless some of it was flushed for readers.
 */
export class DfsWriteStream extends Writable {
  readonly path: string
  readonly #open: () => Promise<FileWriter>
  readonly #removeAbort: () => void
  /** Flushes queued among the chunks: an empty chunk stands for each. */
  readonly #flushes = new WeakMap<object, { readonly isSync: boolean }>()
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
  hflush(): Promise<void> {
    return this.#flush(false)
  }

  /** Resolves when everything written before is visible to readers and on the disks of all its datanodes. */
  hsync(): Promise<void> {
    return this.#flush(true)
  }

  override _construct(callback: Callback): void {
    this.#settle(this.#create(), callback)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    const flush = this.#flushes.get(chunk)
    const writer = this.#opened()
    let pending: Promise<void> | undefined
    try {
      pending = flush === undefined ? writer.write(chunk) : writer.flush(flush.isSync)
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

  #flush(isSync: boolean): Promise<void> {
    const marker = Buffer.alloc(0)
    this.#flushes.set(marker, { isSync })
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
