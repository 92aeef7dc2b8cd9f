/** Verifies a replica's two files from a dead disk and says which bytes are wrong. */
import { open, readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { xxh64 } from '../../base/checksum.ts'
import {
  blockDigestBytes,
  decodeBlockDigest,
  digestOfSpans,
} from '../../datanode/format/block-digest.ts'
import {
  blockFileName,
  parseBlockFileName,
  parseMetaFileName,
} from '../../datanode/format/block-file.ts'
import {
  chunkCount,
  decodeMetaHeader,
  decodeSyncMarks,
  type MetaLayout,
  metaFileBytes,
  metaHeader,
  metaLayout,
  readSpanDigest,
  stripeChecksums,
  stripeOffset,
} from '../../datanode/format/block-meta.ts'
import { chunkCrc } from '../../datanode/shell/open-replica.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'

/** Bytes `[from, below)` of the block, and what is wrong there. */
export interface WrongRange {
  readonly from: number
  readonly below: number
  readonly what: string
}

export interface BlockReport {
  readonly blockId: BlockId
  /** Absent without a meta file: it is in that one's name. */
  readonly generationStamp: GenerationStamp | undefined
  readonly dataFile: string
  readonly metaFile: string | undefined
  readonly dataBytes: number
  /** Bytes that the meta file has checksums for. */
  readonly coveredBytes: number
  readonly checksumType: string | undefined
  readonly bytesPerChecksum: number | undefined
  readonly spanBytes: number | undefined
  /** The digest of the finalized block as stored; absent when there is none for this length. */
  readonly digest: string | undefined
  readonly syncedBytes: number | undefined
  /** What is wrong besides bytes of the block. */
  readonly faults: readonly string[]
  readonly wrong: readonly WrongRange[]
  /** Bytes whose checksums match. */
  readonly goodBytes: number
}

interface Pair {
  readonly blockId: BlockId
  readonly stamp: GenerationStamp | undefined
  readonly dataFile: string
  readonly metaFile: string | undefined
}

/**
 * @param file the block's data or meta file; the other one is looked for beside it
 * @throws {@link DfsError} INVALID_ARGUMENT when the name is not that of a block's file
 */
export async function readBlockFile(file: string): Promise<BlockReport> {
  const pair = await findPair(file)
  const faults: string[] = []
  const dataBytes = await stat(pair.dataFile).then(
    ({ size }) => size,
    () => undefined,
  )
  if (dataBytes === undefined) faults.push(`the data file "${pair.dataFile}" is missing`)
  const meta = pair.metaFile === undefined ? undefined : await readFile(pair.metaFile)
  if (meta === undefined) faults.push('there is no meta file: nothing can be verified')
  const layout = meta && layoutOf(meta, pair, faults)
  const shape = {
    ...{ blockId: pair.blockId, generationStamp: pair.stamp },
    ...{ dataFile: pair.dataFile, metaFile: pair.metaFile, dataBytes: dataBytes ?? 0 },
  }
  if (meta === undefined || layout === undefined) {
    const unknown = { checksumType: undefined, bytesPerChecksum: undefined, spanBytes: undefined }
    const nothing = { digest: undefined, syncedBytes: undefined, wrong: [], goodBytes: 0 }
    return { ...shape, ...unknown, ...nothing, coveredBytes: 0, faults }
  }
  const verified = await verify(pair.dataFile, dataBytes ?? 0, { meta, layout })
  if (verified.extraMetaBytes > 0) {
    faults.push(
      `the meta file has ${verified.extraMetaBytes} bytes more than ${dataBytes ?? 0} bytes of data need: ` +
        'the end of the data may be lost',
    )
  }
  return {
    ...shape,
    checksumType: layout.checksumType,
    bytesPerChecksum: layout.bytesPerChecksum,
    spanBytes: layout.spanBytes,
    coveredBytes: verified.coveredBytes,
    digest: digestOf(meta, dataBytes ?? 0, { spanDigests: verified.spanDigests, faults }),
    syncedBytes: meta.length >= metaHeader.sizeOf ? decodeSyncMarks(meta)[0]?.length : undefined,
    faults,
    wrong: merged(verified.wrong),
    goodBytes: verified.goodBytes,
  }
}

async function findPair(file: string): Promise<Pair> {
  const folder = dirname(file)
  const name = basename(file)
  const meta = parseMetaFileName(name)
  if (meta !== undefined) {
    const dataFile = join(folder, blockFileName(meta.blockId))
    return { blockId: meta.blockId, stamp: meta.generationStamp, dataFile, metaFile: file }
  }
  const blockId = parseBlockFileName(name)
  if (blockId === undefined) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `"${file}" is not named as a block's file: blk_ID or blk_ID_STAMP.meta`,
    )
  }
  await stat(file)
  const metas = (await readdir(folder))
    .map((other) => ({ other, parsed: parseMetaFileName(other) }))
    .filter(({ parsed }) => parsed?.blockId === blockId)
    .sort((left, right) => stampOf(right) - stampOf(left))
  const newest = metas[0]
  const metaFile = newest === undefined ? undefined : join(folder, newest.other)
  return { blockId, stamp: newest?.parsed?.generationStamp, dataFile: file, metaFile }
}

function stampOf({
  parsed,
}: {
  readonly parsed: { readonly generationStamp: GenerationStamp } | undefined
}): number {
  return parsed?.generationStamp ?? 0
}

/** The layout of a meta file; of one whose header is damaged, what most writers choose, if that fits. */
function layoutOf(
  meta: Buffer,
  { blockId, metaFile }: Pair,
  faults: string[],
): MetaLayout | undefined {
  try {
    return decodeMetaHeader(meta, blockId, metaFile ?? '')
  } catch (error) {
    if (!(error instanceof DfsError)) throw error
    faults.push(error.message)
    if (isDfsError(error, 'UNSUPPORTED_LAYOUT') || meta.length < metaHeader.sizeOf) return undefined
    faults.push('the header cannot be used: chunks of 512 bytes with CRC-32C are assumed')
    return metaLayout('crc32c', 512)
  }
}

interface Verified {
  readonly coveredBytes: number
  readonly goodBytes: number
  readonly extraMetaBytes: number
  readonly spanDigests: Buffer
  readonly wrong: readonly WrongRange[]
}

/** Compares span after span with both kinds of checksum. */
async function verify(
  dataFile: string,
  dataBytes: number,
  { meta, layout }: { readonly meta: Buffer; readonly layout: MetaLayout },
): Promise<Verified> {
  const wrong: WrongRange[] = []
  const digests: Buffer[] = []
  let goodBytes = 0
  let coveredBytes = 0
  const file = dataBytes === 0 ? undefined : await open(dataFile, 'r')
  try {
    for (let from = 0; from < dataBytes; from += layout.spanBytes) {
      const below = Math.min(dataBytes, from + layout.spanBytes)
      const data = Buffer.alloc(below - from)
      const isRead = await file?.read(data, 0, data.length, from).then(
        ({ bytesRead }) => bytesRead === data.length,
        () => false,
      )
      const stripe = meta.subarray(stripeOffset(layout, from / layout.spanBytes))
      if (isRead !== true) {
        wrong.push({ from, below, what: 'the disk cannot read it' })
        continue
      }
      const span = verifySpan(from, data, { stripe, layout })
      digests.push(stripe.subarray(0, 8))
      coveredBytes += span.coveredBytes
      goodBytes += span.goodBytes
      wrong.push(...span.wrong)
    }
  } finally {
    await file?.close()
  }
  const extraMetaBytes = Math.max(0, meta.length - metaFileBytes(layout, dataBytes))
  return { coveredBytes, goodBytes, extraMetaBytes, spanDigests: Buffer.concat(digests), wrong }
}

function verifySpan(
  from: number,
  data: Buffer,
  { stripe, layout }: { readonly stripe: Buffer; readonly layout: MetaLayout },
): { coveredBytes: number; goodBytes: number; wrong: WrongRange[] } {
  const below = from + data.length
  if (stripe.length < 8) {
    return { coveredBytes: 0, goodBytes: 0, wrong: [{ from, below, what: 'it has no checksums' }] }
  }
  const isDigestRight = readSpanDigest(stripe) === xxh64(data)
  const { bytesPerChecksum, checksumBytes } = layout
  if (checksumBytes === 0) {
    const wrong = isDigestRight ? [] : [{ from, below, what: 'its digest (XXH64) does not match' }]
    return { coveredBytes: data.length, goodBytes: isDigestRight ? data.length : 0, wrong }
  }
  const wrong: WrongRange[] = []
  let goodBytes = 0
  let coveredBytes = 0
  const stored = stripeChecksums(layout, stripe, 0, chunkCount(layout, data.length))
  for (let at = 0; at < data.length; at += bytesPerChecksum) {
    const chunk = data.subarray(at, at + bytesPerChecksum)
    const place = { from: from + at, below: from + at + chunk.length }
    const offset = (at / bytesPerChecksum) * checksumBytes
    if (offset + checksumBytes > stored.length) {
      wrong.push({ ...place, what: 'it has no checksum' })
      continue
    }
    coveredBytes += chunk.length
    if (stored.readUInt32BE(offset) === chunkCrc(layout, chunk)) goodBytes += chunk.length
    else if (isDigestRight) {
      wrong.push({
        ...place,
        what: 'its CRC is damaged; the digest (XXH64) says the bytes are right',
      })
    } else wrong.push({ ...place, what: 'its CRC does not match' })
  }
  if (!isDigestRight && wrong.length === 0) {
    wrong.push({ from, below, what: 'the digest (XXH64) does not match, all CRCs do' })
  }
  return { coveredBytes, goodBytes, wrong }
}

/** The stored digest of the block; says when it is not that of the stored spans. */
function digestOf(
  meta: Buffer,
  dataBytes: number,
  { spanDigests, faults }: { readonly spanDigests: Buffer; readonly faults: string[] },
): string | undefined {
  const at = metaHeader.blockDigest
  const stored = decodeBlockDigest(meta.subarray(at, at + blockDigestBytes), dataBytes)
  if (stored === undefined) return undefined
  if (stored !== digestOfSpans(spanDigests)) {
    faults.push('the stored digest of the block is not that of its spans')
  }
  return stored.toString(16).padStart(16, '0')
}

/** Joins neighbours that are wrong in the same way. */
function merged(ranges: readonly WrongRange[]): readonly WrongRange[] {
  const joined: WrongRange[] = []
  for (const range of ranges) {
    const last = joined.at(-1)
    if (last !== undefined && last.below === range.from && last.what === range.what) {
      joined[joined.length - 1] = { ...last, below: range.below }
    } else joined.push(range)
  }
  return joined
}
