/**
 * The end of a file on its way to the cluster while it is being written, so that `fsync` and `close` of a long file need not begin with
 * all of it. It is an append like that of a publish, begun earlier: readers see a part of it as of any file that is being written, and
 * what it sends stays in the file's spool until the append is complete.
 */
import type { DfsClient, WriteHandle } from '../client/index.ts'
import type { Spool } from './spool.ts'

/** Streams of a mount at once; each has connections to datanodes. */
const streamsMax = 8
/** Bytes behind the published end that a file has before it is streamed: shorter ones are sent when they are published. */
export const streamedBytesMin = 4 * 1024 * 1024
/** Bytes after which a stream is completed, so that the spool can let go of them. */
export const streamedBytesMax = 128 * 1024 * 1024

/** Counts the streams of a mount. */
export class StreamSlots {
  #used = 0

  get used(): number {
    return this.#used
  }

  /** False when all are taken. */
  take(): boolean {
    if (this.#used >= streamsMax) return false
    this.#used += 1
    return true
  }

  give(): void {
    this.#used -= 1
  }
}

/** One append under way. Calls do not overlap. */
export class TailStream {
  /** The cluster is being given the bytes up to here. */
  end: number
  readonly #file: WriteHandle
  readonly #slots: StreamSlots

  private constructor(file: WriteHandle, end: number, slots: StreamSlots) {
    this.#file = file
    this.end = end
    this.#slots = slots
  }

  /** Begins behind byte `end`; undefined when there are too many streams, or the file cannot be appended to there now. */
  static async open(
    client: DfsClient,
    path: string,
    { end, slots }: { readonly end: number; readonly slots: StreamSlots },
  ): Promise<TailStream | undefined> {
    if (!slots.take()) return undefined
    // Why it cannot be is told when the file is published.
    const file = await client.open(path, 'a').catch(() => undefined)
    if (file?.size === end) return new TailStream(file, end, slots)
    slots.give()
    await file?.close()
    return undefined
  }

  /** Sends what follows up to `end`: `bytes` where they are that, else out of the spool. */
  async send(spool: Spool, end: number, bytes?: Uint8Array): Promise<void> {
    if (bytes?.length === end - this.end) await this.#write(bytes)
    else for await (const piece of spool.pieces(this.end, end)) await this.#write(piece)
  }

  /** Returns when everything sent is on disk on every replica. */
  async complete(): Promise<void> {
    try {
      await this.#file.close()
    } finally {
      this.#slots.give()
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#file.write(bytes)
    this.end += bytes.length
  }
}
