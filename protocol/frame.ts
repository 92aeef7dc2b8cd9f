/**
 * Frames of Hadoop RPC: a 4-byte big-endian length and as many bytes.
 *
 * 1. A frame may arrive in any pieces. One that lies whole in an arriving chunk is not copied; of an
 *    incomplete one the pieces are collected in a buffer that grows with what arrives, never with
 *    what the length field promises.
 * 2. A length that is negative or above `bytesMax` is refused before anything is kept.
 * 3. Frames are pulled, so a consumer that is full leaves the rest where it is.
 */
import { DfsError } from './errors.ts'

const lengthBytes = 4
const noBytes = Buffer.alloc(0)
const growthBytesMin = 4096

/** Cuts a byte stream into frames. */
export class FrameDecoder {
  /** Largest frame accepted; may change between frames. */
  bytesMax: number
  /** After {@link next} returned true, the frame is `[start, end)` of `buffer`. */
  buffer: Buffer = noBytes
  start = 0
  end = 0
  #input: Buffer = noBytes
  #position = 0
  #partial: Buffer = noBytes
  #partialLength = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** Bytes kept that are not part of a frame already pulled. */
  get pendingBytes(): number {
    return this.#partialLength + this.#input.length - this.#position
  }

  /** Adds bytes; they must not change until they are consumed. */
  push(bytes: Buffer): void {
    if (this.#position === this.#input.length) {
      this.#input = bytes
      this.#position = 0
    } else {
      this.#input = Buffer.concat([this.#input.subarray(this.#position), bytes])
      this.#position = 0
    }
  }

  /**
   * Moves to the next complete frame.
   * @throws {@link DfsError} LIMIT_EXCEEDED when its length is negative or above `bytesMax`
   */
  next(): boolean {
    if (this.#partialLength > 0) return this.#continuePartial()
    const available = this.#input.length - this.#position
    if (available >= lengthBytes) {
      const length = this.#checkedLength(this.#input, this.#position)
      if (available - lengthBytes >= length) {
        this.buffer = this.#input
        this.start = this.#position + lengthBytes
        this.end = this.start + length
        this.#position = this.end
        return true
      }
    }
    if (available > 0) this.#collect(available)
    this.#input = noBytes
    this.#position = 0
    return false
  }

  #continuePartial(): boolean {
    const missing = lengthBytes - this.#partialLength
    if (missing > 0) this.#collect(Math.min(missing, this.#input.length - this.#position))
    if (this.#partialLength < lengthBytes) return false
    const goal = lengthBytes + this.#checkedLength(this.#partial, 0)
    this.#collect(Math.min(goal - this.#partialLength, this.#input.length - this.#position))
    if (this.#partialLength < goal) return false
    this.buffer = this.#partial
    this.start = lengthBytes
    this.end = goal
    this.#partial = noBytes
    this.#partialLength = 0
    return true
  }

  #collect(count: number): void {
    const needed = this.#partialLength + count
    if (needed > this.#partial.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#partial.length * 2, growthBytesMin))
      this.#partial.copy(grown, 0, 0, this.#partialLength)
      this.#partial = grown
    }
    this.#input.copy(this.#partial, this.#partialLength, this.#position, this.#position + count)
    this.#partialLength = needed
    this.#position += count
  }

  #checkedLength(buffer: Buffer, offset: number): number {
    const length = buffer.readInt32BE(offset)
    if (length < 0 || length > this.bytesMax) {
      throw new DfsError(
        'LIMIT_EXCEEDED',
        `RPC frame must be at most ${this.bytesMax} bytes, got a length of ${length}`,
      )
    }
    return length
  }
}
