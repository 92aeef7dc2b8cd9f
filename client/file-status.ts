import type { MessageOf } from '../protocol/message.ts'
import { fileStatusFlags, type hdfsFileStatus } from '../protocol/messages/hdfs.ts'
import { baseName } from './path.ts'

/** What an entry of the namespace is. */
export type FileType = 'file' | 'directory' | 'symlink'

/** The wire's picture of a file or directory. */
export type WireFileStatus = MessageOf<typeof hdfsFileStatus>

const typeByWireType = {
  IS_FILE: 'file',
  IS_DIR: 'directory',
  IS_SYMLINK: 'symlink',
} as const satisfies Record<WireFileStatus['fileType'], FileType>

/** What `stat` and `readdir` tell about a file or directory. Times are milliseconds since the epoch. */
export class FileStatus {
  /** Absolute path in the cluster. */
  readonly path: string
  /** Last component of the path, `''` for the root. */
  readonly name: string
  readonly type: FileType
  /** Length in bytes; of a file being written what the namenode knows; 0 for a directory. */
  readonly size: number
  /** Permission bits including the sticky bit (01777), without the file type. */
  readonly mode: number
  readonly owner: string
  readonly group: string
  readonly mtimeMs: number
  readonly atimeMs: number
  /** Replicas the file should have; 0 for a directory. */
  readonly replication: number
  /** Bytes per block; 0 for a directory. */
  readonly blockSize: number
  /** Inode id; it survives renames. */
  readonly inode: number
  /** Entries of a directory; 0 for a file, -1 when the server does not say. */
  readonly childCount: number
  /** It has entries in an access or default ACL that `mode` does not show. */
  readonly hasAcl: boolean
  /** Where a symlink leads. */
  readonly target: string | undefined

  constructor(path: string, wire: WireFileStatus) {
    this.path = path
    this.name = baseName(path)
    this.type = typeByWireType[wire.fileType]
    this.size = wire.length
    this.mode = wire.permission.perm & 0o1777
    this.owner = wire.owner
    this.group = wire.group
    this.mtimeMs = wire.modification_time
    this.atimeMs = wire.access_time
    this.replication = wire.block_replication
    this.blockSize = wire.blocksize
    this.inode = wire.fileId
    this.childCount = wire.childrenNum
    this.hasAcl = (wire.flags & fileStatusFlags.HAS_ACL) !== 0
    this.target = wire.symlink === undefined ? undefined : textOf(wire.symlink)
  }

  get mtime(): Date {
    return new Date(this.mtimeMs)
  }

  get atime(): Date {
    return new Date(this.atimeMs)
  }

  isFile(): boolean {
    return this.type === 'file'
  }

  isDirectory(): boolean {
    return this.type === 'directory'
  }

  isSymbolicLink(): boolean {
    return this.type === 'symlink'
  }
}

/** Names travel as bytes; HDFS keeps them as UTF-8. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
