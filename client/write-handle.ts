import { DfsError } from '../protocol/errors.ts'
import { onAbort } from './abort.ts'
import { toFsError } from './errors.ts'
import type { FileStatus } from './file-status.ts'
import type { FileWriter } from './file-writer.ts'
import type { VerbOptions } from './namespace.ts'
import type { SyncOptions } from './output-stream.ts'

/** What `write` returns, as in `node:fs/promises`. */
export interface WriteResult<B> {
  readonly bytesWritten: number
  readonly buffer: B
}

/**
 * A file open for writing at its end. Calls may overlap; they happen in the order they are made. After a failure every
 * further call fails, and `close` gives the lease back.
 */
export class WriteHandle implements AsyncDisposable {
  readonly path: string
  readonly #writer: FileWriter
  readonly #stat: (options: VerbOptions) => Promise<FileStatus>
  readonly #removeAbort: () => void
  #last: Promise<unknown> = Promise.resolve()
  #failure: Error | undefined
  #closing: Promise<void> | undefined

  constructor(
    writer: FileWriter,
    stat: (options: VerbOptions) => Promise<FileStatus>,
    { signal }: VerbOptions = {},
  ) {
    this.path = writer.path
    this.#writer = writer
    this.#stat = stat
    writer.onFailed = (error) => {
      this.#failure ??= error
    }
    this.#removeAbort = onAbort(signal, (error) => {
      this.#failure ??= error
      this.#giveUp(error).catch(() => undefined) // the lease falls to the namenode's recovery
    })
  }

  /** Bytes of the file, those written last included. */
  get size(): number {
    return this.#writer.length
  }

  /**
   * Writes `length` bytes of `buffer` from `offset` on, or a string, at the end of the file.
   *
   * @param position where the file ends, or nothing: there is no writing elsewhere
   */
  write<B extends Uint8Array>(
    buffer: B,
    offset?: number | null,
    length?: number | null,
    position?: number | null,
  ): Promise<WriteResult<B>>
  write(
    text: string,
    position?: number | null,
    encoding?: BufferEncoding,
  ): Promise<WriteResult<string>>
  write(
    data: Uint8Array | string,
    offset?: number | null,
    lengthOrEncoding?: number | BufferEncoding | null,
    position?: number | null,
  ): Promise<WriteResult<Uint8Array | string>> {
    const isText = typeof data === 'string'
    const encoding = typeof lengthOrEncoding === 'string' ? lengthOrEncoding : 'utf8'
    const bytes = isText ? Buffer.from(data, encoding) : data
    const start = isText ? 0 : (offset ?? 0)
    const count =
      !isText && typeof lengthOrEncoding === 'number' ? lengthOrEncoding : bytes.length - start
    return this.#run(async () => {
      this.#requireEnd(isText ? offset : position)
      if (start < 0 || count < 0 || start + count > bytes.length) {
        throw new DfsError(
          'INVALID_ARGUMENT',
          `Cannot write ${count} bytes from offset ${start} of a buffer of ${bytes.length}`,
        )
      }
      await this.#writer.write(bytes.subarray(start, start + count))
      return { bytesWritten: count, buffer: data }
    })
  }

  /** Writes all of `data` at the end of the file. */
  async appendFile(
    data: string | Uint8Array,
    options: { readonly encoding?: BufferEncoding } = {},
  ): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data, options.encoding ?? 'utf8') : data
    await this.write(bytes)
  }

  /** Resolves when everything written before is visible to readers who open the file from now on (HDFS: hflush). */
  flush(): Promise<void> {
    return this.#run(() => this.#writer.flush({ isSync: false }))
  }

  /** Resolves when everything written before is on the disks of all datanodes of its pipeline (HDFS: hsync). */
  sync({ updateLength = false }: SyncOptions = {}): Promise<void> {
    return this.#run(() => this.#writer.flush({ isSync: true, updatesLength: updateLength }))
  }

  /** As {@link sync}: there is no metadata that could lag behind. */
  datasync(): Promise<void> {
    return this.sync()
  }

  /** Status of the path now; the length is what the namenode knows. */
  stat(options: VerbOptions = {}): Promise<FileStatus> {
    return this.#stat(options)
  }

  /** Completes the file; when it resolves, every byte is on disk on every replica. */
  close(): Promise<void> {
    this.#closing ??= this.#last.then(() => this.#close())
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#removeAbort()
    try {
      if (this.#failure !== undefined) throw this.#failure
      await this.#writer.close()
    } catch (error) {
      await this.#giveUp(toFsError(error, this.path)).catch(() => undefined)
      throw toFsError(error, this.path)
    }
  }

  #giveUp(error: Error): Promise<void> {
    return this.#writer.abort(error)
  }

  #requireEnd(position: number | null | undefined): void {
    if (position === null || position === undefined || position === this.size) return
    throw new DfsError(
      'UNSUPPORTED_OPERATION',
      `Cannot write at ${position} of "${this.path}": files are written at their end, which is ${this.size}`,
      { path: this.path },
    )
  }

  /** Runs `action` after the calls before it. A refused argument does not spoil the file, a failed write does. */
  #run<T>(action: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) {
      const closed = new DfsError('INVALID_ARGUMENT', 'The file handle is closed')
      return Promise.reject(toFsError(closed, this.path))
    }
    const result = this.#last.then(async () => {
      try {
        if (this.#failure !== undefined) throw this.#failure
        return await action()
      } catch (error) {
        throw toFsError(error, this.path)
      }
    })
    this.#last = result.catch(() => undefined)
    return result
  }
}
