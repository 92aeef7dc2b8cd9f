/**
 * The meta file beside every block file: checksums that detect a damaged replica. All integers are
 * big-endian. See docs/formats/block-files.md for a dump walked through.
 *
 *     offset  size  field
 *          0     8  magic             "TREFMETA"
 *          8     2  layoutVersion     1
 *         10     1  checksumType      0 none, 1 CRC-32, 2 CRC-32C: the writing client's choice
 *         11     1  zero
 *         12     4  bytesPerChecksum  bytes per chunk: the writing client's choice
 *         16     4  spanBytes         bytes per span: least multiple of bytesPerChecksum >= 65536
 *         20     8  blockId
 *         28     4  headerChecksum    CRC-32C of bytes 0 to 27
 *         32    32  syncMark[0]
 *         64    32  syncMark[1]
 *         96    24  blockDigest       of a finalized block; see block-digest.ts
 *        120     8  zero
 *        128     -  stripes, one per span of the block file
 *
 *     stripe: 8 spanDigest   XXH64 (seed 0) of the span's bytes
 *             4 chunk CRC    one per chunk, as the client computed it; absent for type 0
 *
 *     sync mark: 8 length, 8 spanDigest, 4 chunkChecksum, 4 zero, 8 XXH64 of the 24 bytes before it
 *
 * Bytes 0 to 31 have the same meaning in every layout version.
 *
 * 1. Every stripe but the last is complete; the last covers what the block's last span holds.
 * 2. A chunk's CRC covers it from its own start; the last chunk of a block may be short.
 * 3. spanDigest of the last span of an unfinished replica may lag; chunk CRCs never lag what was
 *    acknowledged as flushed (D7).
 * 4. A sync mark repeats digest and CRC of the last chunk as they were at an hsync in mid-chunk, so
 *    that later unsynced overwrites of both cannot cost synced bytes. The longer one counts whose bytes
 *    are here: a mark may reach the disk before its hsync ended, and then it is not yet true.
 */
import { crc32c, xxh64 } from '../../base/checksum.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { checkLayout, type LayoutRange } from '../../protocol/layout.ts'
import { limits } from '../../protocol/limits.ts'
import { type ChecksumType, checksumTypes } from '../../protocol/states.ts'

const magic = Buffer.from('TREFMETA', 'latin1')
export const metaLayoutVersion = 1
/** A reader refuses any other. */
export const metaLayouts: LayoutRange = { oldest: 1, newest: metaLayoutVersion }

/** Offsets of the table above. */
export const metaHeader = {
  magic: 0,
  layoutVersion: 8,
  checksumType: 10,
  bytesPerChecksum: 12,
  spanBytes: 16,
  blockId: 20,
  headerChecksum: 28,
  syncMarks: 32,
  syncMarkBytes: 32,
  blockDigest: 96,
  sizeOf: 128,
} as const satisfies Record<string, number>

const syncMarkLayout = {
  length: 0,
  spanDigest: 8,
  chunkChecksum: 16,
  guard: 24,
} as const satisfies Record<string, number>

const digestBytes = 8

/** Where things are in the meta file of a block with these checksum parameters. */
export interface MetaLayout {
  readonly checksumType: ChecksumType
  readonly bytesPerChecksum: number
  /** Bytes of one chunk checksum: 4, or 0 without checksums. */
  readonly checksumBytes: number
  readonly spanBytes: number
  readonly chunksPerSpan: number
  readonly stripeBytes: number
}

/** What was durable at an hsync: see rule 4 above. */
export interface SyncMark {
  readonly length: number
  readonly spanDigest: bigint
  readonly chunkChecksum: number
}

/** @throws {@link DfsError} INVALID_ARGUMENT when the chunk size is out of range */
export function metaLayout(checksumType: ChecksumType, bytesPerChecksum: number): MetaLayout {
  const max = limits.bytesPerChecksumMax
  if (!Number.isInteger(bytesPerChecksum) || bytesPerChecksum < 1 || bytesPerChecksum > max) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Bytes per checksum must be from 1 to ${max}, got ${bytesPerChecksum}`,
    )
  }
  const chunksPerSpan = Math.ceil(limits.digestSpanBytes / bytesPerChecksum)
  const checksumBytes = checksumType === 'null' ? 0 : 4
  return {
    checksumType,
    bytesPerChecksum,
    checksumBytes,
    spanBytes: chunksPerSpan * bytesPerChecksum,
    chunksPerSpan,
    stripeBytes: digestBytes + chunksPerSpan * checksumBytes,
  }
}

/** Offset of the stripe, and of the digest at its head, of span number `span`. */
export function stripeOffset(layout: MetaLayout, span: number): number {
  return metaHeader.sizeOf + span * layout.stripeBytes
}

/** Offset of the CRC of chunk number `chunk`. */
export function checksumOffset(layout: MetaLayout, chunk: number): number {
  const span = Math.floor(chunk / layout.chunksPerSpan)
  const within = chunk - span * layout.chunksPerSpan
  return stripeOffset(layout, span) + digestBytes + within * layout.checksumBytes
}

/** Number of chunks that `length` bytes have, the last possibly short. */
export function chunkCount(layout: MetaLayout, length: number): number {
  return Math.ceil(length / layout.bytesPerChecksum)
}

/** Size of the meta file of a block of `length` bytes. */
export function metaFileBytes(layout: MetaLayout, length: number): number {
  const fullSpans = Math.floor(length / layout.spanBytes)
  const rest = length - fullSpans * layout.spanBytes
  const partial = rest === 0 ? 0 : digestBytes + chunkCount(layout, rest) * layout.checksumBytes
  return stripeOffset(layout, fullSpans) + partial
}

/** Returns the 128 bytes a new meta file starts with. */
export function encodeMetaHeader(layout: MetaLayout, id: BlockId): Buffer {
  const bytes = Buffer.alloc(metaHeader.sizeOf)
  magic.copy(bytes, metaHeader.magic)
  bytes.writeUInt16BE(metaLayoutVersion, metaHeader.layoutVersion)
  bytes.writeUInt8(checksumTypes.indexOf(layout.checksumType), metaHeader.checksumType)
  bytes.writeUInt32BE(layout.bytesPerChecksum, metaHeader.bytesPerChecksum)
  bytes.writeUInt32BE(layout.spanBytes, metaHeader.spanBytes)
  bytes.writeBigUInt64BE(BigInt(id), metaHeader.blockId)
  const checksum = crc32c(bytes.subarray(0, metaHeader.headerChecksum))
  bytes.writeUInt32BE(checksum, metaHeader.headerChecksum)
  return bytes
}

/**
 * Reads the head of a meta file; `path` is for messages.
 *
 * @throws {@link DfsError} CORRUPTION when it is damaged, short or another block's, UNSUPPORTED_LAYOUT
 * when another version of the program wrote it
 */
export function decodeMetaHeader(bytes: Buffer, id: BlockId, path: string): MetaLayout {
  const damaged = (what: string): DfsError =>
    new DfsError('CORRUPTION', `Cannot read meta file "${path}": ${what}`, { path, blockId: id })
  if (bytes.length < metaHeader.sizeOf) {
    throw damaged(`it has ${bytes.length} bytes, its header needs ${metaHeader.sizeOf}`)
  }
  if (!bytes.subarray(0, magic.length).equals(magic)) throw damaged('its magic is missing')
  const expected = bytes.readUInt32BE(metaHeader.headerChecksum)
  const found = crc32c(bytes.subarray(0, metaHeader.headerChecksum))
  if (expected !== found) {
    throw damaged(`header checksum is ${hex(found)}, expected ${hex(expected)}`)
  }
  // Only now: a flipped bit in the version is damage, not another program's file.
  checkLayout('Meta file', path, bytes.readUInt16BE(metaHeader.layoutVersion), metaLayouts)
  const type = checksumTypes[bytes.readUInt8(metaHeader.checksumType)]
  if (type === undefined) throw damaged('its checksum type is unknown')
  const owner = bytes.readBigUInt64BE(metaHeader.blockId)
  if (owner !== BigInt(id)) throw damaged(`it belongs to block ${owner.toString()}, not ${id}`)
  const layout = metaLayout(type, bytes.readUInt32BE(metaHeader.bytesPerChecksum))
  const spanBytes = bytes.readUInt32BE(metaHeader.spanBytes)
  if (spanBytes !== layout.spanBytes) {
    throw damaged(`its span is ${spanBytes} bytes, expected ${layout.spanBytes}`)
  }
  return layout
}

/** Encodes a sync mark; it goes to {@link syncMarkOffset}. */
export function encodeSyncMark(mark: SyncMark): Buffer {
  const bytes = Buffer.alloc(metaHeader.syncMarkBytes)
  bytes.writeBigUInt64BE(BigInt(mark.length), syncMarkLayout.length)
  bytes.writeBigUInt64BE(mark.spanDigest, syncMarkLayout.spanDigest)
  bytes.writeUInt32BE(mark.chunkChecksum, syncMarkLayout.chunkChecksum)
  bytes.writeBigUInt64BE(xxh64(bytes.subarray(0, syncMarkLayout.guard)), syncMarkLayout.guard)
  return bytes
}

/** Offset of the `turn`-th mark written: the two places are used in turn. */
export function syncMarkOffset(turn: number): number {
  return metaHeader.syncMarks + (turn % 2) * metaHeader.syncMarkBytes
}

/**
 * Returns the whole sync marks of a header, the longest first. The longest may be one whose hsync never ended, without the bytes
 * it speaks of; then the other one, of the hsync before, still counts.
 */
export function decodeSyncMarks(header: Buffer): SyncMark[] {
  return [0, 1]
    .map((turn) => syncMarkAt(header, turn))
    .filter((mark) => mark !== undefined)
    .sort((left, right) => right.length - left.length)
}

/** Turn of the next mark when these are on disk and durable: it must not overwrite the longest. */
export function nextSyncMarkTurn(header: Buffer): number {
  const [first, second] = [0, 1].map((turn) => syncMarkAt(header, turn)?.length ?? 0)
  return (first ?? 0) > (second ?? 0) ? 1 : 0
}

function syncMarkAt(header: Buffer, turn: number): SyncMark | undefined {
  const at = syncMarkOffset(turn)
  const bytes = header.subarray(at, at + metaHeader.syncMarkBytes)
  const guard = bytes.readBigUInt64BE(syncMarkLayout.guard)
  const length = Number(bytes.readBigUInt64BE(syncMarkLayout.length))
  if (guard !== xxh64(bytes.subarray(0, syncMarkLayout.guard)) || length === 0) return undefined
  const spanDigest = bytes.readBigUInt64BE(syncMarkLayout.spanDigest)
  return { length, spanDigest, chunkChecksum: bytes.readUInt32BE(syncMarkLayout.chunkChecksum) }
}

/** Reads the digest at the head of `stripe`. */
export function readSpanDigest(stripe: Buffer): bigint {
  return stripe.readBigUInt64BE(0)
}

/** The chunk CRCs in `stripe` from chunk `first` of the span on, `count` of them; a view. */
export function stripeChecksums(
  layout: MetaLayout,
  stripe: Buffer,
  first: number,
  count: number,
): Buffer {
  const start = digestBytes + first * layout.checksumBytes
  return stripe.subarray(start, start + count * layout.checksumBytes)
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
