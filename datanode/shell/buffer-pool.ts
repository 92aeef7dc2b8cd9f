import { assert, defined } from '../../base/assert.ts'

/** Alignment that direct I/O needs of memory, offsets and lengths. */
export const pageBytes = 4096
/** Memory that is streamed to and from disk in one operation. */
export const largeBufferBytes = 1024 * 1024
/** Memory of a transfer that has not shown yet that it is long. */
export const smallBufferBytes = 128 * 1024

const wasmPageBytes = 65536

/** The part of the WebAssembly interface used here; TypeScript has it only among the browser's types. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    initial: number
    maximum: number
  }) => { readonly buffer: ArrayBuffer }
}

/** Allocates page-aligned memory, a multiple of 64 KiB; nothing else in Node is sure to be aligned. */
export function allocateAligned(bytes: number): ArrayBuffer {
  const pages = Math.ceil(bytes / wasmPageBytes)
  return new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer
}
const slabBytes = 8 * largeBufferBytes

/** A page-aligned stretch of memory, owned by whoever took it until the last `release`. */
export interface PooledBuffer {
  readonly bytes: Buffer
  /** Adds an owner. */
  retain(): void
  /** Gives up one ownership; the last one returns the memory. */
  release(): void
}

export type BufferSize = 'small' | 'large'

/** Page-aligned memory with a hard limit. A slab is allocated when first needed and kept. */
export class BufferPool {
  readonly #limitBytes: number
  #slabbedBytes = 0
  readonly #large: Buffer[] = []
  readonly #small: Buffer[] = []
  /** Free small parts of each large buffer that was split, by its identity. */
  readonly #splitOf = new Map<Buffer, SplitBuffer>()
  #usedBytes = 0
  readonly #waiting: (() => boolean)[] = []

  constructor(limitBytes: number) {
    this.#limitBytes = Math.max(slabBytes, limitBytes)
  }

  /** Share of the limit that is taken, from 0 to 1. */
  get usedShare(): number {
    return this.#usedBytes / this.#limitBytes
  }

  /** Takes a buffer, or `undefined` when the limit is reached: then {@link wait}. */
  take(size: BufferSize): PooledBuffer | undefined {
    const bytes = size === 'large' ? this.#takeLarge() : this.#takeSmall()
    if (bytes === undefined) return undefined
    this.#usedBytes += bytes.length
    return new OwnedBuffer(bytes, (returned) => this.#return(returned))
  }

  /**
   * Calls `retry` when a buffer came back; waiters are served in order. `retry` says whether it took
   * the chance: if not, the next one is asked.
   */
  wait(retry: () => boolean): void {
    this.#waiting.push(retry)
  }

  #takeLarge(): Buffer | undefined {
    if (this.#large.length === 0) this.#addSlab()
    return this.#large.pop()
  }

  #takeSmall(): Buffer | undefined {
    const ready = this.#small.pop()
    if (ready !== undefined) {
      defined(this.#splitOf.get(ready), 'split of a small buffer').freeCount -= 1
      return ready
    }
    const whole = this.#takeLarge()
    if (whole === undefined) return undefined
    const split: SplitBuffer = { whole, parts: [], freeCount: 0 }
    for (let at = 0; at < whole.length; at += smallBufferBytes) {
      const part = whole.subarray(at, at + smallBufferBytes)
      split.parts.push(part)
      this.#splitOf.set(part, split)
      this.#small.push(part)
    }
    split.freeCount = split.parts.length - 1
    return this.#small.pop()
  }

  #return(bytes: Buffer): void {
    this.#usedBytes -= bytes.length
    const split = this.#splitOf.get(bytes)
    if (split === undefined) {
      this.#large.push(bytes)
    } else {
      this.#small.push(bytes)
      split.freeCount += 1
      if (split.freeCount === split.parts.length) this.#rejoin(split)
    }
    if (this.#waiting.length > 0) queueMicrotask(() => this.#wake())
  }

  #wake(): void {
    for (let retry = this.#waiting.shift(); retry !== undefined; retry = this.#waiting.shift()) {
      if (retry()) return
    }
  }

  /** Makes one large buffer of small ones again, unless they are the last free small ones. */
  #rejoin(split: SplitBuffer): void {
    if (this.#small.length < 2 * split.parts.length && this.#waiting.length === 0) return
    for (const part of split.parts) {
      this.#splitOf.delete(part)
      this.#small.splice(this.#small.indexOf(part), 1)
    }
    this.#large.push(split.whole)
  }

  #addSlab(): void {
    if (this.#slabbedBytes + slabBytes > this.#limitBytes) return
    const memory = allocateAligned(slabBytes)
    this.#slabbedBytes += slabBytes
    for (let at = slabBytes - largeBufferBytes; at >= 0; at -= largeBufferBytes) {
      this.#large.push(Buffer.from(memory, at, largeBufferBytes))
    }
  }
}

interface SplitBuffer {
  readonly whole: Buffer
  readonly parts: Buffer[]
  freeCount: number
}

class OwnedBuffer implements PooledBuffer {
  readonly bytes: Buffer
  readonly #back: (bytes: Buffer) => void
  #owners = 1

  constructor(bytes: Buffer, back: (bytes: Buffer) => void) {
    this.bytes = bytes
    this.#back = back
  }

  retain(): void {
    assert(this.#owners > 0, 'a returned buffer must not be retained')
    this.#owners += 1
  }

  release(): void {
    assert(this.#owners > 0, 'a buffer must not be released twice')
    this.#owners -= 1
    if (this.#owners === 0) this.#back(this.bytes)
  }
}
