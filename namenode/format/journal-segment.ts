/**
 * Journal segments: append-only files of records, all integers big-endian. docs/formats/journal.md
 * walks through one byte by byte.
 *
 *     segment   header, then records back to back, nothing between or behind them
 *
 *     header    offset  size  field           (the same in every layout version)
 *                    0     8  magic           "TREFJRNL"
 *                    8     4  layoutVersion   3; 1 and 2 are read, too
 *                   12     4  reserved        0
 *                   16     8  firstTxid       of the first record; also in the file's name
 *                   24    64  clusterId       ASCII, padded with zeros
 *                   88     8  checksum        XXH64 of bytes 0 to 87
 *
 *     record    offset  size  field
 *                    0     8  checksum        XXH64 of bytes 8 to the end of the payload
 *                    8     4  payloadLength
 *                   12     4  epoch           fencing epoch of the namenode that wrote it
 *                   16     8  txid            one more than the record before it
 *                   24     8  durableThrough  every transaction up to this one was on disk before
 *                                             this record was written
 *                   32     n  payload         a transaction, see transaction-codec.ts
 *
 * 1. Only the end of the last segment can be torn: bytes that were written but never synced. It is cut
 *    off, and nobody has seen an answer for it.
 * 2. Anything else that does not verify is corruption and stops the reader. `durableThrough` tells the
 *    two apart: when a valid record further on says that the bad one had been durable, it was not torn.
 *    Without it, a disk that keeps the later sectors of one unsynced write and loses the earlier ones
 *    would look like damage, and a start after a power failure would need an operator.
 */
import { assert } from '../../base/assert.ts'
import { xxh64 } from '../../base/checksum.ts'
import { DfsError } from '../../protocol/errors.ts'
import { type TxId, txId } from '../../protocol/ids.ts'
import { checkLayout, type LayoutRange } from '../../protocol/layout.ts'
import { limits } from '../../protocol/limits.ts'

/** Written into every new segment. */
export const journalLayoutVersion = 3
/** Each version has fields and kinds that the one before lacks, and lacks none; a reader refuses any other. */
export const journalLayouts: LayoutRange = { oldest: 1, newest: journalLayoutVersion }

/** Offsets in the header of a segment. */
export const segmentHeader = {
  magic: 0,
  layoutVersion: 8,
  reserved: 12,
  firstTxid: 16,
  clusterId: 24,
  checksum: 88,
  sizeOf: 96,
} as const satisfies Record<string, number>

/** Offsets in the header of a record. */
export const recordHeader = {
  checksum: 0,
  payloadLength: 8,
  epoch: 12,
  txid: 16,
  durableThrough: 24,
  sizeOf: 32,
} as const satisfies Record<string, number>

const magic = 'TREFJRNL'
const clusterIdBytesMax = segmentHeader.checksum - segmentHeader.clusterId
const nameDigits = 16
const namePattern = /^journal-(\d{16})$/

/** One record as it is in a segment. */
export interface JournalRecord {
  readonly txid: TxId
  readonly epoch: number
  readonly durableThrough: number
  /** A view of the segment's bytes. */
  readonly payload: Uint8Array
}

/** A record with its place in the segment. */
export interface ScannedRecord extends JournalRecord {
  readonly offset: number
}

/** How a segment ended. */
export interface SegmentEnd {
  /** Bytes of the header and the valid records; 0 when not even the header was written whole. */
  readonly validBytes: number
  /** Why the bytes behind do not count; absent when there are none. */
  readonly torn?: string | undefined
}

/** What a reader knows about a segment before it opens it. */
export interface SegmentSource {
  /** Path for messages. */
  readonly file: string
  readonly bytes: Uint8Array
  /** From the file's name. */
  readonly firstTxid: TxId
  /** No segment follows. */
  readonly isLast: boolean
  readonly clusterId: string
}

/** File name of the segment that begins with `firstTxid`; names sort in the order of the journal. */
export function segmentName(firstTxid: TxId): string {
  return `journal-${String(firstTxid).padStart(nameDigits, '0')}`
}

/** First txid of the segment called `name`, or `undefined` when that is no segment's name. */
export function parseSegmentName(name: string): TxId | undefined {
  const digits = namePattern.exec(name)?.[1]
  return digits === undefined ? undefined : txId(Number(digits))
}

export function encodeSegmentHeader(firstTxid: TxId, clusterId: string): Uint8Array {
  assert(/^[\x21-\x7e]+$/.test(clusterId), `cluster id must be printable ASCII, got "${clusterId}"`)
  assert(clusterId.length <= clusterIdBytesMax, `cluster id "${clusterId}" is too long`)
  const header = Buffer.alloc(segmentHeader.sizeOf)
  header.write(magic, segmentHeader.magic, 'latin1')
  header.writeUInt32BE(journalLayoutVersion, segmentHeader.layoutVersion)
  header.writeBigUInt64BE(BigInt(firstTxid), segmentHeader.firstTxid)
  header.write(clusterId, segmentHeader.clusterId, 'latin1')
  const checksum = xxh64(header.subarray(0, segmentHeader.checksum))
  header.writeBigUInt64BE(checksum, segmentHeader.checksum)
  return header
}

export function encodeRecord(record: JournalRecord): Uint8Array {
  const { txid, epoch, durableThrough, payload } = record
  assert(payload.length <= limits.rpcFrameBytesMax, `record of ${payload.length} bytes is too long`)
  assert(durableThrough < txid, 'a record cannot be durable before it is written')
  const bytes = Buffer.allocUnsafe(recordHeader.sizeOf + payload.length)
  bytes.writeUInt32BE(payload.length, recordHeader.payloadLength)
  bytes.writeUInt32BE(epoch, recordHeader.epoch)
  writeSafe64(bytes, txid, recordHeader.txid)
  writeSafe64(bytes, durableThrough, recordHeader.durableThrough)
  bytes.set(payload, recordHeader.sizeOf)
  const checksum = xxh64(bytes.subarray(recordHeader.payloadLength))
  bytes.writeBigUInt64BE(checksum, recordHeader.checksum)
  return bytes
}

/**
 * Yields the records of a segment in order and returns how it ended.
 * @throws {@link DfsError} CORRUPTION for a record that was durable and does not verify any more, or any
 *   bad byte in a segment that is not the last; UNSUPPORTED_LAYOUT for a segment of another version.
 */
export function* scanSegment(source: SegmentSource): Generator<ScannedRecord, SegmentEnd> {
  const bytes = asBuffer(source.bytes)
  const torn = checkHeader(source, bytes)
  if (torn !== undefined) {
    refuseUnlessTorn(source, { offset: 0, txid: source.firstTxid, fault: torn })
    return { validBytes: 0, torn }
  }
  let offset: number = segmentHeader.sizeOf
  let expected: number = source.firstTxid
  while (offset < bytes.length) {
    const fault = recordFault(bytes, offset)
    if (fault !== undefined) {
      refuseUnlessTorn(source, { offset, txid: expected, fault })
      return { validBytes: offset, torn: fault }
    }
    const record = decodeRecord(bytes, offset)
    if (record.txid !== expected) {
      const found = `a valid record of transaction ${record.txid}`
      throw corruption(source, { offset, txid: expected, fault: found })
    }
    yield record
    offset += recordHeader.sizeOf + record.payload.length
    expected += 1
  }
  return { validBytes: offset }
}

/** What {@link readSegment} finds. */
export type SegmentItem =
  | {
      readonly kind: 'header'
      readonly layoutVersion: number
      readonly firstTxid: number
      readonly clusterId: string
    }
  | { readonly kind: 'record'; readonly record: ScannedRecord; readonly bytes: number }
  | {
      readonly kind: 'bad'
      readonly offset: number
      readonly bytes: number
      readonly found: string
    }

/**
 * Everything in a segment that verifies, whatever its state: for people who look at a dead disk. Behind bad
 * bytes it goes on with the next record that verifies; a start never does that.
 */
export function* readSegment(segment: Uint8Array): Generator<SegmentItem, undefined> {
  const bytes = asBuffer(segment)
  const fault = headerFault(bytes)
  if (fault !== undefined) {
    const end = nextRecord(bytes, 0)
    yield { kind: 'bad', offset: 0, bytes: end, found: fault }
    yield* readRecords(bytes, end)
    return
  }
  yield {
    kind: 'header',
    layoutVersion: bytes.readUInt32BE(segmentHeader.layoutVersion),
    firstTxid: readSafe64(bytes, segmentHeader.firstTxid),
    clusterId: headerClusterId(bytes),
  }
  yield* readRecords(bytes, segmentHeader.sizeOf)
}

function* readRecords(bytes: Buffer, start: number): Generator<SegmentItem, undefined> {
  let offset = start
  while (offset < bytes.length) {
    const found = recordFault(bytes, offset)
    if (found === undefined) {
      const record = decodeRecord(bytes, offset)
      const size = recordHeader.sizeOf + record.payload.length
      yield { kind: 'record', record, bytes: size }
      offset += size
    } else {
      const end = nextRecord(bytes, offset + 1)
      yield { kind: 'bad', offset, bytes: end - offset, found }
      offset = end
    }
  }
}

/** Offset of the first record that verifies at or behind `offset`, or the end. */
function nextRecord(bytes: Buffer, offset: number): number {
  for (let at = offset; at + recordHeader.sizeOf <= bytes.length; at += 1) {
    if (bytes.readUInt32BE(at + recordHeader.payloadLength) > bytes.length - at) continue
    const txid = readSafe64(bytes, at + recordHeader.txid)
    if (txid === 0 || readSafe64(bytes, at + recordHeader.durableThrough) >= txid) continue
    if (recordFault(bytes, at) === undefined) return at
  }
  return bytes.length
}

function headerClusterId(bytes: Buffer): string {
  return bytes
    .toString('latin1', segmentHeader.clusterId, segmentHeader.checksum)
    .replace(/\0+$/, '')
}

/** Says why the bytes do not begin with a whole header, or nothing. */
function headerFault(bytes: Buffer): string | undefined {
  if (bytes.length < segmentHeader.sizeOf) {
    return `${bytes.length} of ${segmentHeader.sizeOf} header bytes`
  }
  const stored = bytes.readBigUInt64BE(segmentHeader.checksum)
  const computed = xxh64(bytes.subarray(0, segmentHeader.checksum))
  const foundMagic = bytes.toString('latin1', segmentHeader.magic, segmentHeader.layoutVersion)
  if (stored === computed && foundMagic === magic) return undefined
  return `a header with checksum ${hex(stored)} where its bytes give ${hex(computed)}`
}

interface Fault {
  readonly offset: number
  /** Transaction that must begin there. */
  readonly txid: number
  /** What is there instead. */
  readonly fault: string
}

/** @throws {@link DfsError} UNSUPPORTED_LAYOUT, CORRUPTION for a whole header that is not ours. */
function checkHeader(source: SegmentSource, bytes: Buffer): string | undefined {
  const fault = headerFault(bytes)
  if (fault !== undefined) return fault
  const version = bytes.readUInt32BE(segmentHeader.layoutVersion)
  checkLayout('Journal segment', source.file, version, journalLayouts)
  const clusterId = headerClusterId(bytes)
  if (clusterId !== source.clusterId) {
    throw new DfsError(
      'CORRUPTION',
      `Journal segment "${source.file}" belongs to cluster "${clusterId}", this namespace to ` +
        `"${source.clusterId}"; move the segment away: mv ${source.file} ${source.file}.foreign`,
    )
  }
  const firstTxid = Number(bytes.readBigUInt64BE(segmentHeader.firstTxid))
  if (firstTxid !== source.firstTxid) {
    const other = `a header for transaction ${firstTxid}`
    throw corruption(source, { offset: 0, txid: source.firstTxid, fault: other })
  }
  return undefined
}

/** Says what is wrong with the record at `offset`, or nothing. */
function recordFault(bytes: Buffer, offset: number): string | undefined {
  const remaining = bytes.length - offset
  if (remaining < recordHeader.sizeOf) return `${remaining} of ${recordHeader.sizeOf} header bytes`
  const payloadLength = bytes.readUInt32BE(offset + recordHeader.payloadLength)
  if (payloadLength > remaining - recordHeader.sizeOf) {
    return `a record of ${payloadLength} bytes of which ${remaining - recordHeader.sizeOf} are there`
  }
  const stored = bytes.readBigUInt64BE(offset + recordHeader.checksum)
  const end = offset + recordHeader.sizeOf + payloadLength
  const computed = xxh64(bytes.subarray(offset + recordHeader.payloadLength, end))
  if (stored === computed) return undefined
  return `a record with checksum ${hex(stored)} where its bytes give ${hex(computed)}`
}

function decodeRecord(bytes: Buffer, offset: number): ScannedRecord {
  const payloadLength = bytes.readUInt32BE(offset + recordHeader.payloadLength)
  const payloadStart = offset + recordHeader.sizeOf
  return {
    offset,
    txid: txId(readSafe64(bytes, offset + recordHeader.txid)),
    epoch: bytes.readUInt32BE(offset + recordHeader.epoch),
    durableThrough: readSafe64(bytes, offset + recordHeader.durableThrough),
    payload: bytes.subarray(payloadStart, payloadStart + payloadLength),
  }
}

function refuseUnlessTorn(source: SegmentSource, fault: Fault): void {
  if (!source.isLast || wasDurable(asBuffer(source.bytes), fault)) throw corruption(source, fault)
}

/** Looks behind the bad bytes for a valid record that proves that the transaction there was durable. */
function wasDurable(bytes: Buffer, { offset, txid }: Fault): boolean {
  for (let at = offset + 1; at + recordHeader.sizeOf <= bytes.length; at += 1) {
    if (bytes.readUInt32BE(at + recordHeader.payloadLength) > bytes.length - at) continue
    const durableThrough = readSafe64(bytes, at + recordHeader.durableThrough)
    if (durableThrough < txid || readSafe64(bytes, at + recordHeader.txid) <= durableThrough) {
      continue
    }
    if (recordFault(bytes, at) === undefined) return true
  }
  return false
}

function corruption(source: SegmentSource, { offset, txid, fault }: Fault): DfsError {
  return new DfsError(
    'CORRUPTION',
    `Journal segment "${source.file}" is damaged at offset ${offset}: expected the record of ` +
      `transaction ${txid}, found ${fault}. Everything before it is intact. To see what is left, run: dfs ` +
      `offline journal ${source.file}; to bring everything back from a backup, run: dfs namenode restore ` +
      `--from BACKUP --to NEWDIR; to give up transaction ${txid} and all later ones, which were acknowledged, move the ` +
      `segments behind this one away and run: truncate -s ${offset} ${source.file}`,
  )
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}

function writeSafe64(bytes: Buffer, value: number, offset: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), offset)
  bytes.writeUInt32BE(value % 2 ** 32, offset + 4)
}

/** Reads a u64; a value beyond 2^53 comes out inexact, which no valid record has. */
function readSafe64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32BE(offset) * 2 ** 32 + bytes.readUInt32BE(offset + 4)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
