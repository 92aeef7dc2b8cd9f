/**
 * What a file of a chaos run must hold, known from its parts alone: byte `i` of the part with seed `s` is byte
 * `(s + i) mod period` of one table, counted from the start of the file. The period is a prime, so that bytes of another
 * block, packet, part or file never match.
 */
import { Prng } from '../../../base/prng.ts'

/** Bytes from `start` to the next part, or to the end: written by one create or append. */
export interface Part {
  readonly start: number
  readonly seed: number
}

const periodBytes = 1_048_573
const doubled = makeTable()

function makeTable(): Buffer {
  const prng = new Prng(20_240_229)
  const table = Buffer.alloc(periodBytes * 2)
  for (let offset = 0; offset + 4 <= periodBytes; offset += 4)
    table.writeUInt32LE(prng.next(), offset)
  table.copy(table, periodBytes, 0, periodBytes)
  return table
}

/** The bytes `[start, end)` of a file, all of the part with this seed. */
export function expectedBytes(seed: number, start: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafe(end - start)
  for (let done = 0; done < bytes.length; ) {
    const from = (seed + start + done) % periodBytes
    done += doubled.copy(bytes, done, from, from + Math.min(periodBytes, bytes.length - done))
  }
  return bytes
}

/**
 * Offset of the first byte that is not as expected; undefined when all are.
 *
 * @param parts in order, the first from byte 0
 */
export function firstDifference(parts: readonly Part[], found: Buffer): number | undefined {
  for (const [index, { start, seed }] of parts.entries()) {
    const end = Math.min(parts[index + 1]?.start ?? found.length, found.length)
    if (start >= end) continue
    const expected = expectedBytes(seed, start, end)
    if (found.subarray(start, end).equals(expected)) continue
    for (let offset = start; offset < end; offset += 1)
      if (found[offset] !== expected[offset - start]) return offset
  }
  return undefined
}
