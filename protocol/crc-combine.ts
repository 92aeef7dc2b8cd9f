/**
 * CRC of a whole stretch of data from the CRCs of its chunks, without reading the data.
 *
 * Appending n bytes to data changes its CRC by a linear map that depends on n alone:
 *
 *     crc(A ‖ B) = shift(crc(A), length of B) xor crc(B)
 *
 * `shift` multiplies by x^(8n) modulo the polynomial. For a fixed chunk size the map is four tables of
 * 256 entries, one per byte of the CRC, so a chunk costs four look-ups. With it a packet is verified by
 * one CRC over all its data instead of one call per chunk, and a block's COMPOSITE_CRC needs no data.
 *
 * CRCs are the reflected kind, initial value and final xor 0xFFFFFFFF, as numbers in [0, 2^32).
 */
import { assert } from '../base/assert.ts'

/** Polynomials that HDFS uses. */
export type CrcType = 'crc32' | 'crc32c'

/** Combines chunk CRCs of one type and chunk size. */
export interface CrcCombiner {
  /**
   * Returns the CRC of `count` concatenated chunks, of which all but the last have the combiner's size.
   *
   * @param checksums one CRC per chunk, 4 bytes big-endian each, the first at `offset`
   * @param count at least 1
   * @param lastChunkBytes size of the last chunk
   */
  combine(checksums: Uint8Array, offset: number, count: number, lastChunkBytes: number): number
}

const polynomials: Readonly<Record<CrcType, number>> = { crc32: 0xedb88320, crc32c: 0x82f63b78 }
/** The polynomial 1, i.e. x^0, in reflected order. */
const one = 0x8000_0000
/** Combiners kept, latest use last. The sender chooses the chunk size, so their number must be bounded. */
const combiners = new Map<string, CrcCombiner>()
const combinersMax = 32

/** Returns the combiner of a type and chunk size; tables are built once per pair while it stays in use. */
export function crcCombiner(type: CrcType, chunkBytes: number): CrcCombiner {
  assert(Number.isSafeInteger(chunkBytes) && chunkBytes > 0, `bad chunk size ${chunkBytes}`)
  const key = `${type}/${chunkBytes}`
  const combiner = combiners.get(key) ?? createCombiner(polynomials[type], chunkBytes)
  combiners.delete(key)
  combiners.set(key, combiner)
  const [oldest] = combiners.keys()
  if (combiners.size > combinersMax && oldest !== undefined) combiners.delete(oldest)
  return combiner
}

/** Returns the CRC of A followed by B, given both CRCs and the length of B in bytes. */
export function crcCompose(type: CrcType, crcA: number, crcB: number, lengthB: number): number {
  const polynomial = polynomials[type]
  return (multiply(shiftOf(lengthB, polynomial), crcA, polynomial) ^ crcB) >>> 0
}

function createCombiner(polynomial: number, chunkBytes: number): CrcCombiner {
  const [table0, table1, table2, table3] = shiftTables(shiftOf(chunkBytes, polynomial), polynomial)
  const append = (crc: number, next: number): number =>
    (table0[crc & 255] ?? 0) ^
    (table1[(crc >>> 8) & 255] ?? 0) ^
    (table2[(crc >>> 16) & 255] ?? 0) ^
    (table3[crc >>> 24] ?? 0) ^
    next
  let tailBytes = chunkBytes
  let tailShift = shiftOf(chunkBytes, polynomial)
  return {
    combine(checksums, offset, count, lastChunkBytes) {
      assert(count > 0 && offset + 4 * count <= checksums.length, 'chunk CRCs must be there')
      const lastOffset = offset + 4 * (count - 1)
      if (count === 1) return readBigEndian(checksums, lastOffset) >>> 0
      let crc = readBigEndian(checksums, offset)
      for (let at = offset + 4; at < lastOffset; at += 4) {
        crc = append(crc, readBigEndian(checksums, at))
      }
      const last = readBigEndian(checksums, lastOffset)
      if (lastChunkBytes === chunkBytes) return append(crc, last) >>> 0
      if (lastChunkBytes !== tailBytes) {
        tailBytes = lastChunkBytes
        tailShift = shiftOf(lastChunkBytes, polynomial)
      }
      return (multiply(tailShift, crc, polynomial) ^ last) >>> 0
    },
  }
}

function readBigEndian(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset] ?? 0) << 24) |
    ((bytes[offset + 1] ?? 0) << 16) |
    ((bytes[offset + 2] ?? 0) << 8) |
    (bytes[offset + 3] ?? 0)
  )
}

function shiftTables(
  shift: number,
  polynomial: number,
): readonly [Int32Array, Int32Array, Int32Array, Int32Array] {
  const table = (position: number): Int32Array =>
    Int32Array.from({ length: 256 }, (_, byte) =>
      multiply(shift, byte << (8 * position), polynomial),
    )
  return [table(0), table(1), table(2), table(3)]
}

/** x^(8 · lengthBytes) modulo the polynomial, by repeated squaring. */
function shiftOf(lengthBytes: number, polynomial: number): number {
  let result = one
  let power = one >>> 8
  for (let rest = lengthBytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = multiply(power, result, polynomial)
    power = multiply(power, power, polynomial)
  }
  return result
}

/** Product of two polynomials modulo `polynomial`, all in reflected bit order. */
function multiply(left: number, right: number, polynomial: number): number {
  let product = 0
  let factor = right >>> 0
  for (let mask = one; mask !== 0; mask >>>= 1) {
    if ((left & mask) !== 0) product ^= factor
    factor = (factor & 1) === 1 ? (factor >>> 1) ^ polynomial : factor >>> 1
  }
  return product >>> 0
}
