/**
 * The vocabulary of the journal. A transaction is a list of row-level changes; applying them needs no
 * thought, no clock and no generator, so live traffic, replay at start, the checkpointer, a standby
 * and the simulator all use the same rows. Every choice (ids, stamps, times, targets) is a field.
 */
import type { Millis } from '../../base/brand.ts'
import type {
  BlockId,
  ClientName,
  DatanodeUuid,
  GenerationStamp,
  InodeId,
  TxId,
} from '../../protocol/ids.ts'
import type { BlockState } from '../../protocol/states.ts'
import type { Acl } from './acl.ts'
import type { CachedReply } from './requests.ts'
import type { XAttrRow } from './xattrs.ts'

/** Who may write a file that is open for writing. Renewals are soft state and not journaled. */
export interface LeaseRow {
  readonly holder: ClientName
  /** Host name or address of the writer, for reports and placement. */
  readonly clientHost: string
}

/** Named pipes, sockets and devices: made through the mount, and nothing but names to HDFS's clients. */
export type SpecialKind = 'fifo' | 'socket' | 'character-device' | 'block-device'

/** A name in a directory. */
export interface EntryReference {
  readonly parent: InodeId
  readonly name: string
}

/** Whatever a name refers to. `parent` and `name` are its primary entry; a directory has no other. */
export interface InodeRow {
  readonly id: InodeId
  readonly kind: 'file' | 'directory' | 'symlink' | SpecialKind
  readonly parent: InodeId
  readonly name: string
  readonly owner: string
  readonly group: string
  /** Permission bits, `0o7777` mask. */
  readonly mode: number
  readonly mtime: Millis
  readonly atime: Millis
  /** When anything of the inode changed last; absent: with `mtime`. */
  readonly ctime?: Millis | undefined
  /** Nanoseconds behind the milliseconds of `mtime` and `atime`, below a million; absent: 0. */
  readonly mtimeNanos?: number | undefined
  readonly atimeNanos?: number | undefined
  /**
   * Number of entries that refer to the inode. Of a directory as stat(2) has it: 2 and the number of directories in it, or
   * 1 where nobody has counted them, because layout 2 or an older one made it.
   */
  readonly nlink: number
  /** Entries beside the primary one, the youngest last; absent when there is none. */
  readonly otherEntries?: readonly EntryReference[] | undefined
  /** Directories: number of entries. Otherwise 0. */
  readonly childCount: number
  /** Files: wanted replicas of each block. Otherwise 0. */
  readonly replication: number
  /** Files: preferred bytes per block. Otherwise 0. */
  readonly blockSize: number
  /** Files: bytes in committed and complete blocks plus what `fsync` declared for the open one. */
  readonly length: number
  /** Files open for writing only. */
  readonly lease?: LeaseRow | undefined
  /** Symbolic links only. */
  readonly target?: string | undefined
  /** Devices only: number as Linux writes it in 32 bits. */
  readonly device?: number | undefined
  /** What the mode does not say of the access and default ACLs; absent when it says everything. */
  readonly acl?: Acl | undefined
  /** Extended attributes; absent, never empty. */
  readonly xattrs?: readonly XAttrRow[] | undefined
}

/** One block of a file; `index` is its position in the file. */
export interface BlockRow {
  readonly id: BlockId
  readonly inode: InodeId
  readonly index: number
  readonly generationStamp: GenerationStamp
  /** Bytes; for a block under construction the length the namenode was last told. */
  readonly length: number
  readonly state: BlockState
  /** Bytes a recovery must end with; only while a truncate has the block under recovery, or it was committed before. */
  readonly truncateLength?: number | undefined
  /**
   * Bytes the block had when append reopened it, until it is committed again: they were acknowledged as
   * durable, so no recovery may leave fewer.
   */
  readonly committedLength?: number | undefined
  /** XXH64 over the whole finalized block, once known. */
  readonly digest?: bigint | undefined
}

/** What an operator asked of a datanode; there is no row while nothing is asked. */
export interface DatanodeRow {
  readonly uuid: DatanodeUuid
  /** `host:port` when it was asked, to speak of a datanode that is away. */
  readonly name: string
  readonly goal: 'decommissioned' | 'in-maintenance'
  /** Everything it held had enough replicas elsewhere; stays so until the goal changes. */
  readonly isReached: boolean
  /** Wall-clock time. */
  readonly requestedAt: Millis
  /** Maintenance only: wall-clock time at which it ends by itself. */
  readonly expiresAt?: Millis | undefined
}

/** Journaled. Replay applies exactly these. `created` and deletes keep the namespace totals exact. */
export type NamespaceChange =
  | { readonly kind: 'inode.put'; readonly created: boolean; readonly inode: InodeRow }
  | { readonly kind: 'inode.delete'; readonly id: InodeId; readonly inodeKind: InodeRow['kind'] }
  | {
      readonly kind: 'entry.put'
      readonly parent: InodeId
      readonly name: string
      readonly inode: InodeId
    }
  | { readonly kind: 'entry.delete'; readonly parent: InodeId; readonly name: string }
  | { readonly kind: 'block.put'; readonly created: boolean; readonly block: BlockRow }
  /**
   * The file has a block less. `index` is the place that becomes free, the last one; a number behind the last means that none does,
   * because another block has taken it.
   */
  | {
      readonly kind: 'block.delete'
      readonly id: BlockId
      readonly inode: InodeId
      readonly index: number
    }
  | { readonly kind: 'datanode.put'; readonly datanode: DatanodeRow }
  | { readonly kind: 'datanode.delete'; readonly uuid: DatanodeUuid }
  /** The next values to hand out; fields that did not move are absent. */
  | {
      readonly kind: 'ids.allocated'
      readonly nextInodeId?: InodeId | undefined
      readonly nextBlockId?: BlockId | undefined
      readonly nextGenerationStamp?: GenerationStamp | undefined
    }

/** Identity of a call: repeated by the client when it did not see the answer. */
export interface RequestId {
  /** Hexadecimal of the client's 16 bytes. */
  readonly clientId: string
  readonly callId: number
}

/** What the journal stores atomically: all changes of one request, and its answer for the retry cache. */
export interface Transaction {
  readonly txid: TxId
  /** Fencing epoch of the namenode that wrote it. */
  readonly epoch: number
  readonly wallTime: Millis
  readonly changes: readonly NamespaceChange[]
  /** Present for at-most-once methods (hdfs-wire §2, class A). */
  readonly answered?: { readonly request: RequestId; readonly reply: CachedReply } | undefined
}

/** Totals of the namespace, kept exact by `apply`. */
export interface NamespaceTotals {
  readonly files: number
  readonly directories: number
  readonly symlinks: number
  readonly blocks: number
}

/** Next ids to hand out. */
export interface NextIds {
  readonly inodeId: InodeId
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
}
