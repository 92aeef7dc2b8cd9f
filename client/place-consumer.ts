import type { FileConsumer } from './file-reader.ts'

/**
 * Puts bytes of a file where the caller wants them: packets that lie inside the wanted range are read straight into
 * `target`, the ones that overlap an edge by way of a buffer of their own.
 */
export class PlaceConsumer implements FileConsumer {
  readonly #target: Uint8Array
  readonly #start: number
  readonly #end: number
  #edge: Uint8Array | undefined

  /** @param start position in the file of the first byte of `target` */
  constructor(target: Uint8Array, start: number) {
    this.#target = target
    this.#start = start
    this.#end = start + target.length
  }

  place(position: number, length: number): Uint8Array {
    const isInside = position >= this.#start && position + length <= this.#end
    if (isInside) {
      this.#edge = undefined
      return this.#target.subarray(position - this.#start, position - this.#start + length)
    }
    this.#edge = Buffer.allocUnsafe(length)
    return this.#edge
  }

  accept(position: number, length: number): boolean {
    if (this.#edge === undefined) return true
    const from = Math.max(position, this.#start)
    const to = Math.min(position + length, this.#end)
    if (from < to) {
      this.#target.set(this.#edge.subarray(from - position, to - position), from - this.#start)
    }
    return true
  }
}
