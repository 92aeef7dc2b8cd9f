/**
 * What to send for a read: chunk-aligned packets that cover the wanted bytes, each within one span of
 * the meta file so that its chunk CRCs lie together there.
 *
 *     chunk      |    |    |    |    |    |    |    |
 *     wanted            [==================)
 *     sent       [0   . 1    .    .    . 2    )  empty last packet at the end
 *     span                   ^                ^
 *
 * 1. Sent bytes start at the chunk that holds `offset` and end at a chunk's end, or the replica's.
 * 2. Seqnos start at 0 and grow by one; the last packet is empty and stands at the end of the data.
 *
 * Rules from org.apache.hadoop.hdfs.server.datanode.BlockSender.
 */
import { DfsError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'

/** Bytes of chunks that a read without checksums is aligned to, as in HDFS. */
export const uncheckedChunkBytes = 512

export interface ReadRequest {
  readonly offset: number
  readonly length: number
  readonly withChecksums: boolean
}

/** What the replica offers. */
export interface ReadableExtent {
  /** Bytes that may be read. */
  readonly length: number
  readonly bytesPerChecksum: number
  readonly spanBytes: number
  readonly hasChecksums: boolean
}

/** A read, planned. */
export interface ReadPlan {
  /** False when packets carry no checksums: not wanted, or there are none. */
  readonly withChecksums: boolean
  readonly bytesPerChecksum: number
  /** First byte sent; announced as chunkOffset. */
  readonly start: number
  /** End of the bytes sent. */
  readonly end: number
  /** Packets end at multiples of this. */
  readonly packetBytes: number
}

/** @throws {@link DfsError} INVALID_ARGUMENT when the request exceeds the replica */
export function planRead(
  { offset, length, withChecksums }: ReadRequest,
  extent: ReadableExtent,
): ReadPlan {
  if (offset > extent.length || length > extent.length - offset) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Offset ${offset} and length ${length} do not match the replica of ${extent.length} bytes`,
    )
  }
  const checked = withChecksums && extent.hasChecksums
  const chunkBytes = checked ? extent.bytesPerChecksum : uncheckedChunkBytes
  const start = offset - (offset % chunkBytes)
  const end = Math.min(extent.length, Math.ceil((offset + length) / chunkBytes) * chunkBytes)
  return {
    withChecksums: checked,
    bytesPerChecksum: chunkBytes,
    start,
    end,
    packetBytes: checked ? extent.spanBytes : limits.packetDataBytes,
  }
}

/** End of the packet that starts at `position`. */
export function packetEnd(plan: ReadPlan, position: number): number {
  const boundary = position - (position % plan.packetBytes) + plan.packetBytes
  return Math.min(plan.end, boundary)
}
