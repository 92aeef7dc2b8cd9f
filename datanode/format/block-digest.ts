/**
 * The digest of a whole block, stored in the head of its meta file at finalization (layout:
 * block-meta.ts) and reported to the namenode, so that replicas can be compared without being read.
 *
 *     blockDigest = XXH64 (seed 0) of the spans' digests, 8 bytes big-endian each, in order
 *
 *     offset  size  field
 *          0     8  blockDigest
 *          8     8  length       of the block that it covers
 *         16     8  guard        XXH64 of the 16 bytes before it
 *
 * 1. It follows from the meta file alone: an append needs no byte of what is there already, and comparing
 *    two replicas that verify span by span needs only this.
 * 2. All replicas of a block have the chunks of its writer, hence the same spans.
 * 3. It counts only with a right guard and the replica's present length: a replica that is written again
 *    has none until it is finalized again (D16).
 */
import { xxh64 } from '../../base/checksum.ts'

const layout = { digest: 0, length: 8, guard: 16, sizeOf: 24 } as const satisfies Record<
  string,
  number
>

/** Bytes that one span's digest takes. */
export const spanDigestBytes = 8
/** Bytes of the record. */
export const blockDigestBytes = layout.sizeOf

/** Digest of a block whose spans have `spanDigests`, 8 bytes each. Never 0, which means unknown on the wire. */
export function digestOfSpans(spanDigests: Uint8Array): bigint {
  return xxh64(spanDigests) || 1n
}

export function encodeBlockDigest(digest: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(layout.sizeOf)
  bytes.writeBigUInt64BE(digest, layout.digest)
  bytes.writeBigUInt64BE(BigInt(length), layout.length)
  bytes.writeBigUInt64BE(xxh64(bytes.subarray(0, layout.guard)), layout.guard)
  return bytes
}

/** Returns the digest that `record` holds for a block of `length` bytes, if it holds one. */
export function decodeBlockDigest(record: Buffer, length: number): bigint | undefined {
  if (record.length < layout.sizeOf) return undefined
  if (record.readBigUInt64BE(layout.guard) !== xxh64(record.subarray(0, layout.guard))) {
    return undefined
  }
  if (record.readBigUInt64BE(layout.length) !== BigInt(length)) return undefined
  return record.readBigUInt64BE(layout.digest)
}
