import { randomUUID } from 'node:crypto'
import { type FileHandle as LocalFile, open, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const copyBytes = 1024 * 1024
/** A longer file goes to disk at once. */
const bytesInMemoryMax = 1024 * 1024
const firstBytes = 4096

/** Memory that the spools of a mount share. */
export class SpoolMemory {
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** False, and nothing taken, when there is no room. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false
    this.#bytes += bytes
    return true
  }

  give(bytes: number): void {
    this.#bytes -= bytes
  }
}

/**
 * Holds what is written to a file of the cluster until it is published, at the same offsets: in memory while it is short
 * and there is room, then in a local file without a name. It goes with the process; a crash of the mount loses what was
 * not published, and nothing else.
 */
export class Spool {
  readonly #memory: SpoolMemory
  readonly #directory: string
  /** Zero behind `#length`. */
  #buffer = Buffer.alloc(0)
  #length = 0
  #file: LocalFile | undefined

  constructor(memory: SpoolMemory, directory = tmpdir()) {
    this.#memory = memory
    this.#directory = directory
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    const end = position + bytes.length
    if (this.#file === undefined && this.#fits(end)) {
      this.#buffer.set(bytes, position)
      this.#length = Math.max(this.#length, end)
      return
    }
    const file = await this.#onDisk()
    let done = 0
    while (done < bytes.length) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
      done += bytesWritten
    }
  }

  /** Fills `buffer` from `position`; returns how many bytes there were. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    if (this.#file === undefined) {
      const start = Math.min(position, this.#length)
      const found = this.#buffer.subarray(start, Math.min(start + buffer.length, this.#length))
      buffer.set(found)
      return found.length
    }
    let done = 0
    while (done < buffer.length) {
      const { bytesRead } = await this.#file.read(
        buffer,
        done,
        buffer.length - done,
        position + done,
      )
      if (bytesRead === 0) break
      done += bytesRead
    }
    return done
  }

  /** Makes the bytes from `start` to before `end` zero, of a file of `size` bytes: a hole where the file ends there. */
  async clear(start: number, end: number, size: number): Promise<void> {
    if (end === size) {
      await this.truncate(start)
      await this.truncate(size)
      return
    }
    const zeros = Buffer.alloc(Math.min(copyBytes, end - start))
    for (let at = start; at < end; at += zeros.length)
      await this.write(zeros.subarray(0, Math.min(zeros.length, end - at)), at)
  }

  async truncate(size: number): Promise<void> {
    if (this.#file === undefined && this.#fits(size)) {
      this.#buffer.fill(0, Math.min(size, this.#length), this.#length)
      this.#length = size
      return
    }
    const file = await this.#onDisk()
    await file.truncate(size)
  }

  /** The bytes from `start` to before `end`, a piece at a time; a hole reads as zeros. */
  async *pieces(start: number, end: number): AsyncGenerator<Buffer, void, undefined> {
    for (let at = start; at < end; at += copyBytes) {
      const piece = Buffer.alloc(Math.min(copyBytes, end - at))
      await this.read(piece, at)
      yield piece
    }
  }

  async close(): Promise<void> {
    this.#forgetMemory()
    await this.#file?.close()
  }

  /** Whether memory can hold a file of `size` bytes; then it does. */
  #fits(size: number): boolean {
    if (size <= this.#buffer.length) return true
    if (size > bytesInMemoryMax) return false
    const wanted = Math.min(bytesInMemoryMax, Math.max(firstBytes, size, 2 * this.#buffer.length))
    if (!this.#memory.take(wanted - this.#buffer.length)) return false
    const grown = Buffer.alloc(wanted)
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
    return true
  }

  async #onDisk(): Promise<LocalFile> {
    if (this.#file !== undefined) return this.#file
    const path = join(this.#directory, `trefoil-spool-${randomUUID()}`)
    const file = await open(path, 'wx+', 0o600)
    await unlink(path)
    const content = this.#buffer.subarray(0, this.#length)
    for (let done = 0; done < content.length; ) {
      const { bytesWritten } = await file.write(content, done, content.length - done, done)
      done += bytesWritten
    }
    this.#file = file
    this.#forgetMemory()
    return file
  }

  #forgetMemory(): void {
    this.#memory.give(this.#buffer.length)
    this.#buffer = Buffer.alloc(0)
    this.#length = 0
  }
}
