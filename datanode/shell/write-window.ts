import type { PooledBuffer } from './buffer-pool.ts'

/**
 * Memory for bytes `[base, end)` of a block; `base` is page-aligned in the file and in memory.
 * Owned by its writer until it is on disk, and by everyone who retained it meanwhile.
 */
export class WriteWindow {
  readonly base: number
  readonly end: number
  /** Bytes before this offset are with the kernel, or were before the window began. */
  written: number
  /** The running write of a part of the window, if any. */
  tailWrite: Promise<void> = Promise.resolve()
  readonly #buffer: PooledBuffer

  constructor(
    buffer: PooledBuffer,
    place: { readonly base: number; readonly end: number; readonly written: number },
  ) {
    this.#buffer = buffer
    this.base = place.base
    this.end = place.end
    this.written = place.written
  }

  /** The bytes of the block from offset `from` to `to`, in place. */
  view(from: number, to: number): Buffer {
    return this.#buffer.bytes.subarray(from - this.base, to - this.base)
  }

  retain(): void {
    this.#buffer.retain()
  }

  release(): void {
    this.#buffer.release()
  }
}
