import { createHash } from 'node:crypto'
import { crcCombiner, crcCompose } from '../../protocol/crc-combine.ts'
import { DfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import type { OpBlockChecksum } from '../../protocol/messages/data-transfer.ts'
import { chunkCount, type MetaLayout, stripeChecksums } from '../format/block-meta.ts'
import { chunkCrc } from './open-replica.ts'
import { wireChecksumTypes } from './read-operation.ts'
import type { StoredReplica } from './replica-reader.ts'
import type { TransferConnection } from './transfer-connection.ts'

const stripesReadTogether = 128

/** Takes the chunk CRCs of a block in order: `count` of them, of which the last covers `lastBytes`. */
type ChecksumFold = (checksums: Buffer, count: number, lastBytes: number) => void

/**
 * OP_BLOCK_CHECKSUM: the MD5 of a replica's chunk CRCs, or the CRC of its bytes composed from them
 * (org.apache.hadoop.hdfs.server.datanode.BlockChecksumHelper). Data is read only for a chunk that the
 * request ends in the middle of.
 */
export async function checksumBlock(
  connection: TransferConnection,
  operation: OpBlockChecksum,
): Promise<'next'> {
  try {
    await answer(connection, operation)
  } catch (error) {
    if (!(error instanceof DfsError)) throw error
    connection.reply({ status: 'ERROR', message: `${error.javaClass}: ${error.message}` })
  }
  return 'next'
}

async function answer(connection: TransferConnection, operation: OpBlockChecksum): Promise<void> {
  const { block } = operation.header
  connection.checkPool(block)
  const options = operation.blockChecksumOptions ?? {
    blockChecksumType: 'MD5CRC',
    stripeLength: 0,
  }
  const { store } = connection.context
  const stored = await store.openForRead(
    blockId(block.blockId),
    generationStamp(block.generationStamp),
  )
  try {
    const { layout } = stored
    const length = Math.min(block.numBytes, stored.length)
    const isComposite = options.blockChecksumType === 'COMPOSITE_CRC'
    const fold = isComposite ? composite(layout, options.stripeLength ?? 0) : md5()
    await foldChecksums(stored, length, fold.add)
    connection.reply({
      status: 'SUCCESS',
      checksumResponse: {
        bytesPerCrc: layout.bytesPerChecksum,
        crcPerBlock: layout.checksumBytes === 0 ? 0 : chunkCount(layout, stored.length),
        blockChecksum: fold.result(),
        crcType: wireChecksumTypes[layout.checksumType],
        blockChecksumOptions: options,
      },
    })
  } finally {
    await stored.close()
  }
}

async function foldChecksums(
  stored: StoredReplica,
  length: number,
  fold: ChecksumFold,
): Promise<void> {
  const { layout, openChunk } = stored
  if (layout.checksumBytes === 0) return
  const spans = Math.ceil(length / layout.spanBytes)
  for (let first = 0; first < spans; first += stripesReadTogether) {
    const last = Math.min(spans, first + stripesReadTogether) - 1
    const stripes = await stored.readStripes(first, last)
    for (let span = first; span <= last; span += 1) {
      const stripe = stripes.subarray((span - first) * layout.stripeBytes)
      const bytes = Math.min(layout.spanBytes, length - span * layout.spanBytes)
      const count = chunkCount(layout, bytes)
      const checksums = Buffer.from(stripeChecksums(layout, stripe, 0, count))
      const lastBytes = bytes - (count - 1) * layout.bytesPerChecksum
      const end = span * layout.spanBytes + bytes
      if (end < stored.length && lastBytes < layout.bytesPerChecksum) {
        checksums.writeUInt32BE(await partialCrc(stored, end, lastBytes), 4 * (count - 1))
      } else if (end === stored.length && openChunk !== undefined) {
        checksums.writeUInt32BE(openChunk.checksum, 4 * (count - 1))
      }
      fold(checksums, count, lastBytes)
    }
  }
}

async function partialCrc(stored: StoredReplica, end: number, bytes: number): Promise<number> {
  const data = Buffer.alloc(bytes)
  await stored.readData(data, end - bytes)
  return chunkCrc(stored.layout, data)
}

interface Fold {
  readonly add: ChecksumFold
  result(): Buffer
}

function md5(): Fold {
  const hash = createHash('md5')
  return { add: (checksums) => hash.update(checksums), result: () => hash.digest() }
}

/** One CRC per `stripeLength` bytes, or one of everything when that is 0. */
function composite(layout: MetaLayout, stripeLength: number): Fold {
  const { bytesPerChecksum, checksumType } = layout
  if (checksumType === 'null') {
    throw new DfsError('INVALID_ARGUMENT', 'A block without checksums has no composite checksum')
  }
  if (stripeLength % bytesPerChecksum !== 0) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Stripe length ${stripeLength} must be a multiple of the chunk size ${bytesPerChecksum}`,
    )
  }
  const combiner = crcCombiner(checksumType, bytesPerChecksum)
  const results: number[] = []
  let crc: number | undefined
  let bytes = 0
  const append = (next: number, length: number): void => {
    crc = crc === undefined ? next : crcCompose(checksumType, crc, next, length)
    bytes += length
    if (bytes !== stripeLength) return
    results.push(crc)
    crc = undefined
    bytes = 0
  }
  return {
    add(checksums, count, lastBytes) {
      if (stripeLength === 0) {
        const length = (count - 1) * bytesPerChecksum + lastBytes
        append(combiner.combine(checksums, 0, count, lastBytes), length)
        return
      }
      for (let chunk = 0; chunk < count; chunk += 1) {
        const length = chunk === count - 1 ? lastBytes : bytesPerChecksum
        append(checksums.readUInt32BE(4 * chunk), length)
      }
    },
    result() {
      if (crc !== undefined || results.length === 0) results.push(crc ?? 0)
      const encoded = Buffer.alloc(4 * results.length)
      for (const [index, value] of results.entries()) encoded.writeUInt32BE(value, 4 * index)
      return encoded
    },
  }
}
