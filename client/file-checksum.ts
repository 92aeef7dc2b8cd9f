import { createHash } from 'node:crypto'
import { encodeOperation, opcodes } from '../protocol/data-transfer.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import {
  type OpBlockChecksumResponse,
  opBlockChecksum,
} from '../protocol/messages/data-transfer.ts'
import type { ChecksumType, LocatedBlock } from '../protocol/messages/hdfs.ts'
import type { ClientContext } from './context.ts'
import { locate } from './located-file.ts'
import type { VerbOptions } from './namespace.ts'
import { transferAddress } from './pipeline-connection.ts'
import { askDatanode } from './transfer-answer.ts'

/** HDFS's checksum of a file: the MD5 over the MD5s of its blocks' chunk CRCs (MD5MD5CRC32FileChecksum). */
export interface FileChecksum {
  /** `MD5-of-{chunks per block}MD5-of-{bytes per chunk}CRC32C`; the first is 0 for a file of one block. */
  readonly algorithm: string
  /** 28 bytes: bytes per chunk, chunks per block (both big-endian) and the MD5. */
  readonly bytes: Buffer
}

const crcNames = {
  CHECKSUM_NULL: 'NULL',
  CHECKSUM_CRC32: 'CRC32',
  CHECKSUM_CRC32C: 'CRC32C',
} as const satisfies Record<ChecksumType, string>

const md5Bytes = 16
/** HDFS hashes the whole buffer that it collects the blocks' MD5s in: this many bytes, doubled as they need. */
const firstBufferBytes = 32

/**
 * Asks a datanode of each block for the MD5 of its chunk CRCs and folds them as HDFS does, so that the result can be
 * compared with another cluster's. No data is moved. Of a file being written complete blocks count.
 *
 * @throws {@link DfsError} FILE_NOT_FOUND, IS_A_DIRECTORY, BLOCK_MISSING when no replica of a block answers
 */
export async function fileChecksum(
  context: ClientContext,
  path: string,
  { signal }: VerbOptions = {},
): Promise<FileChecksum> {
  const length = Number.MAX_SAFE_INTEGER
  const { blocks } = await locate(context, path, { offset: 0, length, signal })
  const digests: Buffer[] = []
  let first: OpBlockChecksumResponse | undefined
  for (const block of blocks) {
    const answer = await blockChecksum(context, path, block, signal)
    first ??= answer
    digests.push(Buffer.from(answer.blockChecksum))
  }
  const chunksPerBlock = first === undefined || blocks.length < 2 ? 0 : first.crcPerBlock
  const bytesPerCrc = first?.bytesPerCrc ?? 0
  const bytes = Buffer.alloc(12 + md5Bytes)
  bytes.writeUInt32BE(bytesPerCrc, 0)
  bytes.writeBigUInt64BE(BigInt(chunksPerBlock), 4)
  bytes.set(foldedMd5(digests), 12)
  const crc = crcNames[first?.crcType ?? 'CHECKSUM_CRC32']
  return { algorithm: `MD5-of-${chunksPerBlock}MD5-of-${bytesPerCrc}${crc}`, bytes }
}

function foldedMd5(digests: readonly Buffer[]): Buffer {
  let bufferBytes = firstBufferBytes
  while (bufferBytes < digests.length * md5Bytes) bufferBytes *= 2
  const padding = Buffer.alloc(bufferBytes - digests.length * md5Bytes)
  return createHash('md5')
    .update(Buffer.concat([...digests, padding]))
    .digest()
}

async function blockChecksum(
  context: ClientContext,
  path: string,
  { b: block, blockToken: token, locs }: LocatedBlock,
  signal: AbortSignal | undefined,
): Promise<OpBlockChecksumResponse> {
  const bytes = encodeOperation(opcodes.blockChecksum, opBlockChecksum, {
    header: { block, token },
    blockChecksumOptions: { blockChecksumType: 'MD5CRC' },
  })
  let cause: DfsError | undefined
  for (const holder of locs) {
    try {
      const address = transferAddress(holder)
      const { checksumResponse } = await askDatanode(context, {
        address,
        bytes,
        verb: 'checksum',
        signal,
      })
      if (checksumResponse !== undefined) return checksumResponse
    } catch (error) {
      if (!isDfsError(error) || error.code === 'ABORTED') throw error
      cause = error
    }
  }
  throw new DfsError(
    'BLOCK_MISSING',
    `Cannot checksum block ${block.blockId} of "${path}": none of ${locs.length} datanodes answered` +
      (cause === undefined ? '' : `; the last said: ${cause.message}`),
    { path, blockId: block.blockId, ...(cause === undefined ? {} : { cause }) },
  )
}
