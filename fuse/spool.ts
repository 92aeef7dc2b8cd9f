import { randomUUID } from 'node:crypto'
import { type FileHandle as LocalFile, open, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const copyBytes = 1024 * 1024

/**
 * A local file without a name that holds what is written to a file of the cluster until it is published, at the same
 * offsets. It goes with the process; a crash of the mount loses what was not published, and nothing else.
 */
export class Spool {
  readonly #file: LocalFile

  private constructor(file: LocalFile) {
    this.#file = file
  }

  static async create(directory = tmpdir()): Promise<Spool> {
    const path = join(directory, `trefoil-spool-${randomUUID()}`)
    const file = await open(path, 'wx+', 0o600)
    await unlink(path)
    return new Spool(file)
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0
    while (done < bytes.length) {
      const { bytesWritten } = await this.#file.write(
        bytes,
        done,
        bytes.length - done,
        position + done,
      )
      done += bytesWritten
    }
  }

  /** Fills `buffer` from `position`; returns how many bytes there were. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
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
    await this.#file.truncate(size)
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
    await this.#file.close()
  }
}
