/**
 * What a file of a chaos run must hold, known from its seed and its length alone: byte `i` of the file with seed `s` is byte
 * `(s + i) mod period` of one table. The period is a prime, so that bytes of another block, packet or file never match.
 */
import { Prng } from '../../../base/prng.ts'

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

/** The bytes `[start, end)` of the file with this seed. */
export function expectedBytes(seed: number, start: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafe(end - start)
  for (let done = 0; done < bytes.length; ) {
    const from = (seed + start + done) % periodBytes
    done += doubled.copy(bytes, done, from, from + Math.min(periodBytes, bytes.length - done))
  }
  return bytes
}

/** Offset of the first byte that is not as expected, counted from the start of the file; undefined when all are. */
export function firstDifference(seed: number, start: number, found: Buffer): number | undefined {
  const expected = expectedBytes(seed, start, start + found.length)
  if (found.equals(expected)) return undefined
  for (let index = 0; index < found.length; index += 1)
    if (found[index] !== expected[index]) return start + index
  return undefined
}
