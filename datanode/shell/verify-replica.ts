import { constants } from 'node:fs'
import { xxh64 } from '../../base/checksum.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { digestOfSpans, spanDigestBytes } from '../format/block-digest.ts'
import {
  chunkCount,
  decodeMetaHeader,
  type MetaLayout,
  metaFileBytes,
  metaHeader,
  readSpanDigest,
  stripeChecksums,
  stripeOffset,
} from '../format/block-meta.ts'
import { allocateAligned, pageBytes } from './buffer-pool.ts'
import { type FileSystem, readExactlyAt } from './files.ts'
import { goodChunks } from './replica-repair.ts'
import type { ReplicaFiles } from './volume.ts'

/** Bytes verified in one go: about a fifth of a millisecond. */
const pieceBytes = 1024 * 1024

export interface VerifyOptions {
  readonly files: ReplicaFiles
  readonly blockId: BlockId
  readonly length: number
  /** The digest the namenode was told; the stored spans must lead to it. */
  readonly digest: bigint | undefined
  /** Read around the page cache: what counts is what is on the disk. */
  readonly isDirect: boolean
  /** Called behind each piece; waits as long as others should have the disk, and may reject to give up. */
  readonly pace: (bytes: number) => Promise<void>
}

/**
 * Reads a finalized replica and verifies length, XXH64 of each span, every chunk CRC, and the digest.
 *
 * @returns the digest
 * @throws {@link DfsError} CHECKSUM_MISMATCH or CORRUPTION when the replica is damaged; what the disk says
 */
export async function verifyReplica(options: VerifyOptions): Promise<bigint> {
  const { disk, data, meta } = options.files
  const dataFile = await disk.openFile(data, constants.O_RDONLY)
  const opened = [dataFile]
  try {
    const metaFile = await disk.openFile(meta, constants.O_RDONLY)
    opened.push(metaFile)
    const header = Buffer.alloc(metaHeader.sizeOf)
    await readExactlyAt(disk, metaFile, header, 0, meta)
    const layout = decodeMetaHeader(header, options.blockId, meta)
    await requireLength(options, dataFile, options.length, data)
    await requireLength(options, metaFile, metaFileBytes(layout, options.length), meta)
    let direct: number | undefined
    if (options.isDirect && layout.spanBytes % pageBytes === 0) {
      direct = await disk.openFile(data, constants.O_RDONLY | constants.O_DIRECT)
      opened.push(direct)
    }
    return await verifySpans(options, layout, { buffered: dataFile, direct, meta: metaFile })
  } finally {
    for (const descriptor of opened) await disk.closeFile(descriptor)
  }
}

interface Descriptors {
  readonly buffered: number
  readonly direct: number | undefined
  readonly meta: number
}

async function verifySpans(
  options: VerifyOptions,
  layout: MetaLayout,
  descriptors: Descriptors,
): Promise<bigint> {
  const { files, length, blockId, pace } = options
  const { spanBytes } = layout
  const spansTogether = Math.max(1, Math.floor(pieceBytes / spanBytes))
  const buffer = Buffer.from(allocateAligned(spansTogether * spanBytes))
  const digests = Buffer.alloc(Math.ceil(length / spanBytes) * spanDigestBytes)
  for (let start = 0; start < length; start += spansTogether * spanBytes) {
    const piece = buffer.subarray(0, Math.min(spansTogether * spanBytes, length - start))
    await readPiece(files.disk, descriptors, piece, start, files.data)
    const first = start / spanBytes
    const stripes = await readStripes(options, layout, descriptors.meta, first, piece.length)
    for (let at = 0; at < piece.length; at += spanBytes) {
      const span = first + at / spanBytes
      const stripe = stripes.subarray((at / spanBytes) * layout.stripeBytes)
      verifySpan(options, layout, {
        start: start + at,
        data: piece.subarray(at, at + spanBytes),
        stripe,
      })
      stripe.copy(digests, span * spanDigestBytes, 0, spanDigestBytes)
    }
    await pace(piece.length)
  }
  const digest = digestOfSpans(digests)
  if (options.digest !== undefined && options.digest !== digest) {
    throw new DfsError(
      'CHECKSUM_MISMATCH',
      `Block ${blockId} is damaged: "${files.meta}" leads to digest ${digest.toString(16)}, ` +
        `expected ${options.digest.toString(16)}`,
      { blockId, path: files.meta },
    )
  }
  return digest
}

/** Whole pages directly, the rest through the page cache: a direct read cannot end within a page. */
async function readPiece(
  disk: FileSystem,
  { buffered, direct }: Descriptors,
  piece: Buffer,
  start: number,
  path: string,
): Promise<void> {
  const aligned = direct === undefined ? 0 : piece.length - (piece.length % pageBytes)
  if (direct !== undefined && aligned > 0) {
    await readExactlyAt(disk, direct, piece.subarray(0, aligned), start, path)
  }
  if (aligned < piece.length) {
    await readExactlyAt(disk, buffered, piece.subarray(aligned), start + aligned, path)
  }
}

async function readStripes(
  { files, length }: VerifyOptions,
  layout: MetaLayout,
  meta: number,
  first: number,
  bytes: number,
): Promise<Buffer> {
  const from = stripeOffset(layout, first)
  const spans = Math.ceil(bytes / layout.spanBytes)
  const to = Math.min(stripeOffset(layout, first + spans), metaFileBytes(layout, length))
  const stripes = Buffer.allocUnsafe(to - from)
  await readExactlyAt(files.disk, meta, stripes, from, files.meta)
  return stripes
}

function verifySpan(
  { files, blockId }: VerifyOptions,
  layout: MetaLayout,
  { start, data, stripe }: { start: number; data: Buffer; stripe: Buffer },
): void {
  const chunks = chunkCount(layout, data.length)
  const good = goodChunks(layout, data, stripeChecksums(layout, stripe, 0, chunks))
  const isDigestRight = readSpanDigest(stripe) === xxh64(data)
  if (good === chunks && isDigestRight) return
  const at = start + (good === chunks ? 0 : good * layout.bytesPerChecksum)
  const what = good === chunks ? 'span digest' : isDigestRight ? 'chunk checksum' : 'checksums'
  throw new DfsError(
    'CHECKSUM_MISMATCH',
    `Block ${blockId} is damaged: "${files.data}" does not match its ${what} at offset ${at}`,
    { blockId, path: files.data },
  )
}

async function requireLength(
  { files, blockId }: VerifyOptions,
  descriptor: number,
  expected: number,
  path: string,
): Promise<void> {
  const found = await files.disk.fileBytes(descriptor)
  if (found === expected) return
  throw new DfsError(
    'CORRUPTION',
    `Block ${blockId} is damaged: "${path}" has ${found} bytes, expected ${expected}`,
    { blockId, path },
  )
}
