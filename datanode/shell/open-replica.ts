import { constants } from 'node:fs'
import { crc32, crc32c } from '../../base/checksum.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import {
  decodeMetaHeader,
  decodeSyncMarks,
  type MetaLayout,
  metaHeader,
  type SyncMark,
} from '../format/block-meta.ts'
import type { FileSystem } from './files.ts'
import type { ReplicaFiles } from './volume.ts'

/** Both files of a replica, open for reading and writing. */
export interface OpenReplica {
  readonly disk: FileSystem
  readonly files: ReplicaFiles
  readonly blockId: BlockId
  readonly data: number
  readonly meta: number
  readonly layout: MetaLayout
  readonly header: Buffer
  /** The longest first. */
  readonly syncMarks: readonly SyncMark[]
}

/** Opens a replica's files, lets `use` work on them, and closes them. */
export async function withReplica<T>(
  files: ReplicaFiles,
  blockId: BlockId,
  use: (replica: OpenReplica) => Promise<T>,
): Promise<T> {
  const { disk } = files
  const data = await disk.openFile(files.data, constants.O_RDWR)
  try {
    const meta = await disk.openFile(files.meta, constants.O_RDWR)
    try {
      const header = Buffer.alloc(metaHeader.sizeOf)
      const found = await disk.readAt(meta, header, 0)
      const layout = decodeMetaHeader(header.subarray(0, found), blockId, files.meta)
      const syncMarks = decodeSyncMarks(header)
      return await use({ disk, files, blockId, data, meta, layout, header, syncMarks })
    } finally {
      await disk.closeFile(meta)
    }
  } finally {
    await disk.closeFile(data)
  }
}

/** CRC of the type a block uses; 0 for the type without checksums. */
export function chunkCrc(layout: MetaLayout, data: Uint8Array, initial = 0): number {
  if (layout.checksumType === 'crc32c') return crc32c(data, initial)
  return layout.checksumType === 'crc32' ? crc32(data, initial) : 0
}

/** Stores the digest of a span; `offset` is that of its stripe. */
export async function writeDigest(
  replica: OpenReplica,
  offset: number,
  digest: bigint,
): Promise<void> {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(digest)
  await replica.disk.writeAt(replica.meta, bytes, offset)
}

/** The error for bytes at `offset` that do not match their checksum. */
export function damaged(replica: OpenReplica, offset: number): DfsError {
  return new DfsError(
    'CHECKSUM_MISMATCH',
    `Block ${replica.blockId} is damaged: "${replica.files.data}" does not match its chunk ` +
      `checksum at offset ${offset}`,
    { blockId: replica.blockId, path: replica.files.data },
  )
}
