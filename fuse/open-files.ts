import type { DfsClient, DfsWriteStream, FileHandle } from '../client/index.ts'
import { DfsFsError } from '../client/index.ts'
import { DfsError } from '../protocol/errors.ts'

/** A file of the mount that is open for writing. Bytes go to the cluster in the order of their offsets. */
export class SequentialWriter {
  readonly #stream: DfsWriteStream
  #position = 0
  #failure: Error | undefined

  constructor(stream: DfsWriteStream) {
    this.#stream = stream
    stream.on('error', (error) => {
      this.#failure = error
    })
  }

  /** Bytes written so far, which is also the only offset that may be written next. */
  get position(): number {
    return this.#position
  }

  /**
   * Appends a copy of `bytes`, waiting while the pipeline is behind.
   * @throws {@link DfsFsError} UNSUPPORTED_OPERATION when `position` is not the end of what was written
   */
  async write(bytes: Uint8Array, position: number): Promise<number> {
    if (position !== this.#position) {
      const text = `Cannot write at ${position}: this mount writes files from start to end, the next offset is ${this.#position}`
      throw new DfsFsError(new DfsError('UNSUPPORTED_OPERATION', text))
    }
    this.#position += bytes.length
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(Buffer.from(bytes), (error) => {
        if (error) reject(error)
        else resolve()
      })
    })
    return bytes.length
  }

  /** Returns when everything written is on disk on every replica and readers see it. */
  async sync(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#position > 0) await this.#stream.hsync()
  }

  /** Completes the file. */
  async close(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    await new Promise<void>((resolve, reject) => {
      this.#stream.once('error', reject)
      this.#stream.once('close', resolve)
      this.#stream.end()
    })
  }
}

/** One open file description. */
export type OpenFile =
  | { readonly kind: 'reader'; readonly path: string; readonly handle: FileHandle }
  | { readonly kind: 'writer'; readonly path: string; readonly writer: SequentialWriter }

/** Handle numbers the kernel holds, and the files behind them. */
export class OpenFiles {
  readonly #fileByNumber = new Map<number, OpenFile>()
  readonly #writerByPath = new Map<string, SequentialWriter>()
  #next = 1

  add(file: OpenFile): number {
    const number = this.#next
    this.#next += 1
    this.#fileByNumber.set(number, file)
    if (file.kind === 'writer') this.#writerByPath.set(file.path, file.writer)
    return number
  }

  get(number: number): OpenFile {
    const file = this.#fileByNumber.get(number)
    if (file === undefined) {
      throw new DfsFsError(
        new DfsError('INVALID_ARGUMENT', `No open file has the number ${number}`),
      )
    }
    return file
  }

  remove(number: number): void {
    const file = this.#fileByNumber.get(number)
    this.#fileByNumber.delete(number)
    if (file?.kind === 'writer') this.#writerByPath.delete(file.path)
  }

  /** The writer of a path that this mount has open. */
  writerOf(path: string): SequentialWriter | undefined {
    return this.#writerByPath.get(path)
  }

  get numbers(): readonly number[] {
    return [...this.#fileByNumber.keys()]
  }
}

/** Opens `path` for reading through the SDK. */
export async function openReader(client: DfsClient, path: string): Promise<OpenFile> {
  return { kind: 'reader', path, handle: await client.open(path, 'r') }
}

/** Starts the content of `path` anew. */
export function openWriter(client: DfsClient, path: string, mode: number): OpenFile {
  const stream = client.createWriteStream(path, { overwrite: true, mode })
  return { kind: 'writer', path, writer: new SequentialWriter(stream) }
}
