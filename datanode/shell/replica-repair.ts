import { xxh64 } from '../../base/checksum.ts'
import { crcCombiner } from '../../protocol/crc-combine.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { encodeBlockDigest, spanDigestBytes } from '../format/block-digest.ts'
import {
  checksumOffset,
  chunkCount,
  type MetaLayout,
  metaFileBytes,
  metaHeader,
  readSpanDigest,
  stripeChecksums,
  stripeOffset,
} from '../format/block-meta.ts'
import { MetaBuilder } from '../format/meta-builder.ts'
import { readExactlyAt } from './files.ts'
import { chunkCrc, damaged, type OpenReplica, withReplica, writeDigest } from './open-replica.ts'
import { endReplica } from './replica-cut.ts'
import type { ReplicaFiles } from './volume.ts'

/** Bytes of stripes that are read together. */
const stripesReadTogetherBytes = 1024 * 1024

/**
 * Brings a replica that was being written when its datanode stopped to the longest prefix its stored
 * checksums vouch for, on disk and durably, and returns its length.
 *
 * Data and checksums of an unfinished chunk are overwritten in place, so after a crash either may be
 * newer than the other. The last chunk is therefore kept as far as its stored CRC matches *some*
 * prefix of it, and at least as far as the last hsync said (sync mark).
 *
 * @throws {@link DfsError} CORRUPTION or UNSUPPORTED_LAYOUT when the meta file's head is unusable
 */
export function recoverPrefix(files: ReplicaFiles, blockId: BlockId): Promise<number> {
  return withReplica(files, blockId, async (replica) => {
    const { length, chunkChecksum } = await verifiedPrefix(replica)
    await endReplica(replica, length, chunkChecksum)
    return length
  })
}

/**
 * Reads what a writer needs to go on behind `length` bytes.
 *
 * @throws {@link DfsError} CHECKSUM_MISMATCH when the bytes of the last span are damaged
 */
export function resumeMeta(
  files: ReplicaFiles,
  blockId: BlockId,
  length: number,
): Promise<MetaBuilder> {
  return withReplica(files, blockId, async (replica) => {
    const { layout } = replica
    const span = Math.floor(length / layout.spanBytes)
    const spanData = Buffer.alloc(length - span * layout.spanBytes)
    await readExactlyAt(replica.disk, replica.data, spanData, span * layout.spanBytes, files.data)
    const stripeBytes = metaFileBytes(layout, length) - stripeOffset(layout, span)
    const stripe = Buffer.alloc(stripeBytes)
    await readExactlyAt(replica.disk, replica.meta, stripe, stripeOffset(layout, span), files.meta)
    const chunks = chunkCount(layout, spanData.length)
    const good = goodChunks(layout, spanData, stripeChecksums(layout, stripe, 0, chunks))
    if (good < chunks) {
      const at = span * layout.spanBytes + good * layout.bytesPerChecksum
      throw damaged(replica, at)
    }
    const spanDigests = await readSpanDigests(replica, span)
    return MetaBuilder.resume(layout, { length, spanDigests, stripe, spanData })
  })
}

/**
 * Makes a complete replica whose writer is gone durable as a final one, and returns its digest.
 *
 * @throws {@link DfsError} CHECKSUM_MISMATCH when the bytes of the last span are damaged
 */
export async function sealReplica(
  files: ReplicaFiles,
  blockId: BlockId,
  length: number,
): Promise<bigint> {
  const builder = await resumeMeta(files, blockId, length)
  const digest = builder.blockDigest()
  return withReplica(files, blockId, async (replica) => {
    const { disk, layout, meta, data } = replica
    // A writer that was stopped may have left the last span's digest behind its CRCs.
    if (length % layout.spanBytes > 0) {
      const span = Math.floor(length / layout.spanBytes)
      await writeDigest(replica, stripeOffset(layout, span), builder.openDigest())
    }
    await disk.writeAt(meta, encodeBlockDigest(digest, length), metaHeader.blockDigest)
    await Promise.all([disk.syncFileData(data), disk.syncFileData(meta)])
    return digest
  })
}

/** Stores the digest of a finalized replica that has none yet, durably. */
export function storeDigest(
  files: ReplicaFiles,
  blockId: BlockId,
  { digest, length }: { readonly digest: bigint; readonly length: number },
): Promise<void> {
  return withReplica(files, blockId, async ({ disk, meta }) => {
    await disk.writeAt(meta, encodeBlockDigest(digest, length), metaHeader.blockDigest)
    await disk.syncFileData(meta)
  })
}

/** Reads the digests of the spans before `end`, a bounded piece of the meta file at a time. */
async function readSpanDigests(
  { disk, layout, meta, files }: OpenReplica,
  end: number,
): Promise<Buffer> {
  const digests = Buffer.alloc(end * spanDigestBytes)
  const together = Math.max(1, Math.floor(stripesReadTogetherBytes / layout.stripeBytes))
  const stripes = Buffer.allocUnsafe(Math.min(together, end) * layout.stripeBytes)
  for (let first = 0; first < end; first += together) {
    const count = Math.min(together, end - first)
    const part = stripes.subarray(0, count * layout.stripeBytes)
    await readExactlyAt(disk, meta, part, stripeOffset(layout, first), files.meta)
    for (let index = 0; index < count; index += 1) {
      const at = index * layout.stripeBytes
      part.copy(digests, (first + index) * spanDigestBytes, at, at + spanDigestBytes)
    }
  }
  return digests
}

/** Number of leading chunks of `data` that match `checksums`, one CRC each; the last may be short. */
export function goodChunks(layout: MetaLayout, data: Buffer, checksums: Buffer): number {
  const { bytesPerChecksum, checksumType } = layout
  const count = Math.ceil(data.length / bytesPerChecksum)
  if (checksumType === 'null' || count === 0) return count
  const lastBytes = data.length - (count - 1) * bytesPerChecksum
  const combiner = crcCombiner(checksumType, bytesPerChecksum)
  if (chunkCrc(layout, data) === combiner.combine(checksums, 0, count, lastBytes)) return count
  for (let chunk = 0; chunk < count; chunk += 1) {
    const bytes = data.subarray(chunk * bytesPerChecksum, (chunk + 1) * bytesPerChecksum)
    if (chunkCrc(layout, bytes) !== checksums.readUInt32BE(4 * chunk)) return chunk
  }
  return count
}

interface Prefix {
  readonly length: number
  /** CRC of the last chunk when `length` ends inside it. */
  readonly chunkChecksum: number | undefined
}

async function verifiedPrefix(replica: OpenReplica): Promise<Prefix> {
  const { layout, files } = replica
  const dataBytes = await replica.disk.fileBytes(replica.data)
  const chunks = await storedChunks(replica, dataBytes)
  const vouched = Math.min(dataBytes, chunks * layout.bytesPerChecksum)
  const span = Buffer.alloc(layout.spanBytes)
  const stripe = Buffer.alloc(layout.stripeBytes)
  for (let start = 0; start < vouched; start += layout.spanBytes) {
    const data = span.subarray(0, Math.min(layout.spanBytes, vouched - start))
    await readExactlyAt(replica.disk, replica.data, data, start, files.data)
    const at = stripeOffset(layout, Math.floor(start / layout.spanBytes))
    stripe.fill(0)
    await replica.disk.readAt(replica.meta, stripe, at)
    const count = chunkCount(layout, data.length)
    const checksums = stripeChecksums(layout, stripe, 0, count)
    const good = goodChunks(layout, data, checksums)
    const digest = xxh64(data)
    if (good === count) {
      const isLast = data.length < layout.spanBytes
      if (layout.checksumBytes === 0 && readSpanDigest(stripe) !== digest) {
        return markedEnd(replica, start, data) ?? { length: start, chunkChecksum: undefined }
      }
      if (!isLast && readSpanDigest(stripe) !== digest) await writeDigest(replica, at, digest)
      continue
    }
    return endInChunk(replica, { start, data, checksums, good })
  }
  const rest = vouched % layout.bytesPerChecksum
  if (rest === 0 || layout.checksumBytes === 0) return { length: vouched, chunkChecksum: undefined }
  const stored = Buffer.alloc(4)
  const last = checksumOffset(layout, Math.floor(vouched / layout.bytesPerChecksum))
  await readExactlyAt(replica.disk, replica.meta, stored, last, files.meta)
  return { length: vouched, chunkChecksum: stored.readUInt32BE() }
}

/** Decides how much of the first chunk that does not match its CRC as a whole can be kept. */
function endInChunk(
  replica: OpenReplica,
  span: { start: number; data: Buffer; checksums: Buffer; good: number },
): Prefix {
  const { layout } = replica
  const within = span.good * layout.bytesPerChecksum
  const chunk = span.data.subarray(within, within + layout.bytesPerChecksum)
  const stored = span.checksums.readUInt32BE(4 * span.good)
  const start = span.start + within
  let best: Prefix = { length: start, chunkChecksum: undefined }
  let crc = 0
  for (let bytes = 1; bytes < chunk.length; bytes += 1) {
    crc = chunkCrc(layout, chunk.subarray(bytes - 1, bytes), crc)
    if (crc === stored) best = { length: start + bytes, chunkChecksum: crc }
  }
  const mark = markedEnd(replica, span.start, span.data)
  return mark !== undefined && mark.length > best.length ? mark : best
}

/** The longest sync mark within a span that its bytes agree with. At the end of a chunk a mark says nothing of its CRC. */
function markedEnd(
  { layout, syncMarks }: OpenReplica,
  start: number,
  data: Buffer,
): Prefix | undefined {
  return syncMarks.find(({ length, spanDigest }) => {
    const marked = length - start
    const isMeant = layout.checksumBytes === 0 || length % layout.bytesPerChecksum !== 0
    const isHere = isMeant && marked > 0 && marked <= data.length
    return isHere && xxh64(data.subarray(0, marked)) === spanDigest
  })
}

/** Number of chunks whose CRCs the meta file has; for a type without CRCs, those the data has. */
async function storedChunks(replica: OpenReplica, dataBytes: number): Promise<number> {
  const { layout } = replica
  const bytes = Math.max(0, (await replica.disk.fileBytes(replica.meta)) - metaHeader.sizeOf)
  const stripes = Math.floor(bytes / layout.stripeBytes)
  if (layout.checksumBytes === 0) {
    return Math.min(chunkCount(layout, dataBytes), stripes * layout.chunksPerSpan)
  }
  const rest =
    bytes - stripes * layout.stripeBytes - (layout.stripeBytes - layout.chunksPerSpan * 4)
  return stripes * layout.chunksPerSpan + Math.max(0, Math.floor(rest / 4))
}
