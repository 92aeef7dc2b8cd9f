import { constants } from 'node:fs'
import type { DfsError } from '../../protocol/errors.ts'
import type { ReplicaInfo } from '../core/replica.ts'
import {
  decodeMetaHeader,
  type MetaLayout,
  metaFileBytes,
  metaHeader,
  stripeOffset,
} from '../format/block-meta.ts'
import { readExactlyAt, smallFileBytes } from './files.ts'
import type { ReplicaWriter } from './replica-writer.ts'
import type { ReplicaFiles } from './volume.ts'

/** What is read of a meta file when it is opened: of a small replica, and of the start of any, the stripes are in it. */
const headBytes = 4096

/** CRC of the chunk that a replica being written ended in when it was opened. */
export interface OpenChunk {
  readonly chunk: number
  readonly checksum: number
}

/** A replica open for reading; its first `length` bytes do not change any more. */
export interface StoredReplica {
  readonly replica: ReplicaInfo
  readonly layout: MetaLayout
  readonly length: number
  readonly path: string
  /** Set when the stored CRC of the last chunk may already cover more than `length` bytes. */
  readonly openChunk: OpenChunk | undefined
  readData(target: Uint8Array, position: number): Promise<void>
  /** Reads whole stripes, from that of span `first` to that of `last`; the last one may be short. */
  readStripes(first: number, last: number): Promise<Buffer>
  close(): Promise<void>
}

/** Opens the files of a replica for reading; what a writer still holds in memory is flushed first. */
export async function openStoredReplica({
  replica,
  files,
  writer,
  judge,
}: {
  readonly replica: ReplicaInfo
  readonly files: ReplicaFiles
  readonly writer: ReplicaWriter | undefined
  /** Makes the error that readers get of one that the disk gave. */
  readonly judge: (error: unknown) => DfsError
}): Promise<StoredReplica> {
  const refuse = (error: unknown): never => {
    throw judge(error)
  }
  const { disk } = files
  const length = writer?.length ?? replica.length
  const openChunk = writer === undefined ? undefined : openChunkOf(writer)
  await writer?.flush()
  const data = await disk.openFile(files.data, constants.O_RDONLY)
  let meta = -1
  try {
    meta = await disk.openFile(files.meta, constants.O_RDONLY)
    const head = Buffer.allocUnsafe(headBytes)
    const found = await disk.readAt(meta, head, 0)
    const header = head.subarray(0, Math.min(found, metaHeader.sizeOf))
    const layout = decodeMetaHeader(header, replica.blockId, files.meta)
    return {
      replica,
      layout,
      length,
      path: files.data,
      openChunk,
      readData: (target, position) =>
        readExactlyAt(disk, data, target, position, files.data).catch(refuse),
      async readStripes(first, last) {
        const start = stripeOffset(layout, first)
        const end = Math.min(stripeOffset(layout, last + 1), metaFileBytes(layout, length))
        if (end <= found) return head.subarray(start, end)
        const stripes = Buffer.allocUnsafe(end - start)
        await readExactlyAt(disk, meta, stripes, start, files.meta).catch(refuse)
        return stripes
      },
      async close() {
        if (length > smallFileBytes) {
          await Promise.all([disk.closeFile(data), disk.closeFile(meta)])
          return
        }
        try {
          disk.closeSmallFile(data)
        } finally {
          disk.closeSmallFile(meta)
        }
      },
    }
  } catch (error) {
    await disk.closeFile(data)
    if (meta !== -1) await disk.closeFile(meta)
    throw error
  }
}

function openChunkOf(writer: ReplicaWriter): OpenChunk | undefined {
  const { bytesPerChecksum, checksumBytes } = writer.meta.layout
  if (writer.length % bytesPerChecksum === 0 || checksumBytes === 0) return undefined
  const chunk = Math.floor(writer.length / bytesPerChecksum)
  return { chunk, checksum: writer.meta.lastChecksum() }
}
