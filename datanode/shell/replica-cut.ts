import { xxh64 } from '../../base/checksum.ts'
import type { BlockId } from '../../protocol/ids.ts'
import {
  checksumOffset,
  encodeSyncMark,
  metaFileBytes,
  metaHeader,
  nextSyncMarkTurn,
  stripeOffset,
  syncMarkOffset,
} from '../format/block-meta.ts'
import { readExactlyAt } from './files.ts'
import { chunkCrc, damaged, type OpenReplica, withReplica, writeDigest } from './open-replica.ts'
import type { ReplicaFiles } from './volume.ts'

/**
 * Cuts a replica of `length` bytes to `newLength`, durably: data, chunk CRCs and span digest. A crash leaves it as it was or
 * to be completed by the next start (D29).
 *
 * @throws {@link DfsError} CHECKSUM_MISMATCH when the chunk to be cut is damaged: nothing is changed then
 */
export function cutReplica(
  files: ReplicaFiles,
  blockId: BlockId,
  { length, newLength }: { readonly length: number; readonly newLength: number },
): Promise<void> {
  return withReplica(files, blockId, async (replica) => {
    const { layout } = replica
    const chunk = Math.floor(newLength / layout.bytesPerChecksum)
    const start = chunk * layout.bytesPerChecksum
    const end = Math.min(length, start + layout.bytesPerChecksum)
    let checksum: number | undefined
    if (start < newLength && layout.checksumBytes > 0) {
      const data = Buffer.alloc(end - start)
      await readExactlyAt(replica.disk, replica.data, data, start, files.data)
      const stored = Buffer.alloc(4)
      await readExactlyAt(
        replica.disk,
        replica.meta,
        stored,
        checksumOffset(layout, chunk),
        files.meta,
      )
      requireChecksum(replica, start, { expected: stored.readUInt32BE(), data })
      checksum = chunkCrc(layout, data.subarray(0, newLength - start))
    }
    await endReplica(replica, newLength, checksum)
  })
}

/**
 * Completes the cut of a finalized replica that a crash interrupted, when its files say that there was one: the data ends
 * where a mark is, and the mark vouches for it.
 *
 * @returns whether there was one
 */
export function completeCut(
  files: ReplicaFiles,
  blockId: BlockId,
  length: number,
): Promise<boolean> {
  return withReplica(files, blockId, async (replica) => {
    const { disk, layout, syncMarks } = replica
    if (length === 0) {
      if ((await disk.fileBytes(replica.meta)) === metaFileBytes(layout, 0)) return false
      await endReplica(replica, 0, undefined)
      return true
    }
    const mark = syncMarks.find((other) => other.length === length)
    if (mark === undefined || xxh64(await lastSpan(replica, length)) !== mark.spanDigest)
      return false
    const isInChunk = length % layout.bytesPerChecksum !== 0
    await endReplica(replica, length, isInChunk ? mark.chunkChecksum : undefined)
    return true
  })
}

/**
 * Ends both files at `length`, durably, with the digest and the last CRC that belong to it. Five steps, each on disk before
 * the next begins, so that after a crash a start can tell what to do:
 *
 *     1. what is there is synced                    until then the marks of earlier syncs count
 *     2. a sync mark says where the end will be     data and checksums are as they were: so is the replica
 *     3. the data is cut                            the mark vouches for what is left
 *     4. checksums and digest are those of the end  the mark repeats them
 *     5. marks and block digest are cleared         they speak of what the replica was
 *
 * @param chunkChecksum of the last chunk when `length` ends inside it; 0 in a layout without CRCs
 */
export async function endReplica(
  replica: OpenReplica,
  length: number,
  chunkChecksum: number | undefined,
): Promise<void> {
  const { disk, layout, data, meta } = replica
  await Promise.all([disk.syncFileData(data), disk.syncFileData(meta)])
  if ((await disk.fileBytes(data)) > length) {
    if (length > 0) await markEnd(replica, length, chunkChecksum)
    await disk.truncateFile(data, length)
    await disk.syncFileData(data)
  }
  await disk.truncateFile(meta, metaFileBytes(layout, length))
  if (length % layout.spanBytes > 0) {
    const span = Math.floor(length / layout.spanBytes)
    await writeDigest(replica, stripeOffset(layout, span), xxh64(await lastSpan(replica, length)))
  }
  if (chunkChecksum !== undefined && layout.checksumBytes > 0) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(chunkChecksum)
    const chunk = Math.floor(length / layout.bytesPerChecksum)
    await disk.writeAt(meta, bytes, checksumOffset(layout, chunk))
  }
  await disk.syncFileData(meta)
  const cleared = Buffer.alloc(metaHeader.sizeOf - metaHeader.syncMarks)
  await disk.writeAt(meta, cleared, metaHeader.syncMarks)
  await disk.syncFileData(meta)
}

async function markEnd(
  replica: OpenReplica,
  length: number,
  chunkChecksum: number | undefined,
): Promise<void> {
  const { disk, meta, header } = replica
  const spanDigest = xxh64(await lastSpan(replica, length))
  const mark = encodeSyncMark({ length, spanDigest, chunkChecksum: chunkChecksum ?? 0 })
  await disk.writeAt(meta, mark, syncMarkOffset(nextSyncMarkTurn(header)))
  await disk.syncFileData(meta)
}

/** The bytes up to `length` of the span that holds the last of them. */
async function lastSpan(
  { disk, layout, data, files }: OpenReplica,
  length: number,
): Promise<Buffer> {
  const start = Math.floor((length - 1) / layout.spanBytes) * layout.spanBytes
  const bytes = Buffer.alloc(length - start)
  await readExactlyAt(disk, data, bytes, start, files.data)
  return bytes
}

function requireChecksum(
  replica: OpenReplica,
  start: number,
  { expected, data }: { readonly expected: number; readonly data: Buffer },
): void {
  if (chunkCrc(replica.layout, data) !== expected) throw damaged(replica, start)
}
