import { DfsError } from '../protocol/errors.ts'
import { toFsError } from './errors.ts'
import type { FileReader } from './file-reader.ts'
import type { FileStatus } from './file-status.ts'
import { DfsReadStream, type ReadStreamOptions } from './input-stream.ts'
import type { VerbOptions } from './namespace.ts'
import { PlaceConsumer } from './place-consumer.ts'

/** What `read` returns, as in `node:fs/promises`. */
export interface ReadResult<B extends Uint8Array> {
  readonly bytesRead: number
  readonly buffer: B
}

/**
 * A file open for reading. Its length is that of the moment it was opened. Reads at positions may overlap; the ones
 * without a position share a cursor and must not.
 */
export class FileHandle implements AsyncDisposable {
  readonly path: string
  readonly #reader: FileReader
  readonly #stat: (options: VerbOptions) => Promise<FileStatus>
  #cursor = 0
  #isClosed = false

  constructor(reader: FileReader, stat: (options: VerbOptions) => Promise<FileStatus>) {
    this.#reader = reader
    this.#stat = stat
    this.path = reader.file.path
  }

  /** Bytes that may be read. */
  get size(): number {
    return this.#reader.file.length
  }

  /**
   * Names the content: two handles of a file read the same bytes if they have the same version. Undefined while the file is being written,
   * and of one so long that not all its blocks are known yet.
   */
  get version(): string | undefined {
    const { isOpen, length, blocks } = this.#reader.file
    let end = 0
    for (const block of blocks) if (block.start === end) end = block.end
    if (isOpen || end < length) return undefined
    const names = blocks.map(({ located: { b } }) => `${b.blockId}@${b.generationStamp}`)
    return [length, ...names].join(' ')
  }

  /**
   * Reads into `buffer`, straight from the socket where whole packets fit. Fills it unless the file ends before.
   *
   * @param offset where in `buffer` the first byte goes
   * @param position where in the file to start; without one, where the last such read ended
   */
  async read<B extends Uint8Array>(
    buffer: B,
    offset = 0,
    length: number = buffer.byteLength - offset,
    position: number | null = null,
    { signal }: VerbOptions = {},
  ): Promise<ReadResult<B>> {
    this.#throwIfClosed()
    if (offset < 0 || length < 0 || offset + length > buffer.byteLength) {
      throw toFsError(
        new DfsError(
          'INVALID_ARGUMENT',
          `Cannot read ${length} bytes to offset ${offset} of a buffer of ${buffer.byteLength}`,
        ),
        this.path,
      )
    }
    const start = position ?? this.#cursor
    const end = Math.min(this.size, start + length)
    const bytesRead = Math.max(0, end - start)
    if (bytesRead > 0) {
      const target = buffer.subarray(offset, offset + bytesRead)
      try {
        await this.#reader.read({ start, end, signal }, new PlaceConsumer(target, start))
      } catch (error) {
        throw toFsError(error, this.path)
      }
    }
    if (position === null) this.#cursor = start + bytesRead
    return { bytesRead, buffer }
  }

  /** Status of the path now. */
  async stat(options: VerbOptions = {}): Promise<FileStatus> {
    this.#throwIfClosed()
    return this.#stat(options)
  }

  createReadStream(options: ReadStreamOptions = {}): DfsReadStream {
    this.#throwIfClosed()
    return new DfsReadStream(this.path, () => Promise.resolve(this.#reader), options)
  }

  close(): Promise<void> {
    this.#isClosed = true
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #throwIfClosed(): void {
    if (!this.#isClosed) return
    throw toFsError(new DfsError('INVALID_ARGUMENT', 'The file handle is closed'), this.path)
  }
}
