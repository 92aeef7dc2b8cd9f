import type { BlockId } from '../../protocol/ids.ts'
import { encodeBlockDigest } from '../format/block-digest.ts'
import { encodeMetaHeader, metaHeader } from '../format/block-meta.ts'
import type { MetaBuilder, MetaWrite } from '../format/meta-builder.ts'

export interface MetaFileOptions {
  readonly blockId: BlockId
  readonly meta: MetaBuilder
  /** True when the file is new and needs a head. */
  readonly isNew: boolean
  readonly writeAt: (bytes: Buffer, offset: number) => Promise<void>
  readonly onFailed: (error: unknown) => void
}

/**
 * The meta file of a replica that is being written. Its writes are small and some overwrite others, so they go one after the other;
 * the head of a new one goes with the first stripes, and with the block's digest when the end is known by then.
 */
export class MetaFile {
  readonly #options: MetaFileOptions
  #header: Buffer | undefined
  /** Length for which the head has the block's digest. */
  #recordedLength: number | undefined
  #writes: Promise<void> = Promise.resolve()

  constructor(options: MetaFileOptions) {
    this.#options = options
    const { isNew, meta, blockId } = options
    this.#header = isNew ? encodeMetaHeader(meta.layout, blockId) : undefined
  }

  /** True until the head of a new file is on its way. */
  get isHeadPending(): boolean {
    return this.#header !== undefined
  }

  /** Resolves when everything given to the file so far is written. */
  get written(): Promise<void> {
    return this.#writes
  }

  /** Notes that no byte follows: if the head is still to be written, the digest goes with it. */
  noteEnd(): void {
    const { meta } = this.#options
    if (this.#header === undefined) return
    encodeBlockDigest(meta.blockDigest(), meta.length).copy(this.#header, metaHeader.blockDigest)
    this.#recordedLength = meta.length
  }

  /** Records the digest of the complete block, unless the head has it. */
  async recordDigest(digest: bigint): Promise<void> {
    const { length } = this.#options.meta
    if (this.#recordedLength === length) return
    await this.write(encodeBlockDigest(digest, length), metaHeader.blockDigest)
  }

  /** Writes what was appended to `meta` and not written yet, after `after`. */
  writePending(after?: Promise<unknown>): void {
    const write = this.#take()
    if (write !== undefined) void this.write(write.bytes, write.offset, after)
  }

  /** Writes `bytes` after what was given before, and after `after`. */
  write(bytes: Buffer, offset: number, after?: Promise<unknown>): Promise<void> {
    const before = this.#writes
    const write = async (): Promise<void> => {
      await Promise.all([before, after])
      await this.#options.writeAt(bytes, offset)
    }
    this.#writes = write()
    this.#writes.catch(this.#options.onFailed)
    return this.#writes
  }

  #take(): MetaWrite | undefined {
    const write = this.#options.meta.take()
    const header = this.#header
    if (header === undefined) return write
    this.#header = undefined
    const bytes = write === undefined ? header : Buffer.concat([header, write.bytes])
    return { offset: 0, bytes }
  }
}
