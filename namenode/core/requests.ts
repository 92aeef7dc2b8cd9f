/**
 * Requests and replies of the namesystem in domain terms, one member per ClientProtocol method (and a
 * few of our own). The shell maps wire messages to these and back; no bytes here.
 */
import type { Millis } from '../../base/brand.ts'
import type {
  BlockId,
  ClientName,
  DatanodeUuid,
  GenerationStamp,
  InodeId,
  StorageUuid,
} from '../../protocol/ids.ts'
import type { AclEntry } from './acl.ts'
import type { BlockRow, DatanodeRow, InodeRow, NamespaceTotals, RequestId } from './changes.ts'
import type { XAttrRow } from './xattrs.ts'

/** Who calls, as established by the connection. */
export interface Caller {
  readonly user: string
  readonly groups: readonly string[]
  /** The user that runs the namenode, or a member of the supergroup. */
  readonly isSuperuser: boolean
  /** Peer address, for placement and the audit log. */
  readonly host: string
  /** Present when the method is at-most-once. */
  readonly request?: RequestId | undefined
  /** The client says that it calls for the first time. Absent when it says nothing, as some never do. */
  readonly isFirstTry?: boolean | undefined
}

/** A block as a client names it. */
export interface BlockReference {
  readonly id: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
}

/** Blocks of a file that others take the place of. */
export interface BlockEdit {
  /** Byte at which the first of the blocks starts, before any edit of the request; the end of the file is a place, too. */
  readonly offset: number
  /** What must be there: exactly these blocks, which the file loses. */
  readonly removed: readonly Pick<BlockReference, 'id' | 'generationStamp'>[]
  /** How many blocks of the source come there, in their order. */
  readonly takes: number
}

/** Where one replica is, or should be written. */
export interface ReplicaLocation {
  readonly datanode: DatanodeUuid
  readonly storage: StorageUuid
}

/** A block with its place in the file and its replicas, nearest to the caller first. */
export interface LocatedBlockView {
  readonly block: BlockReference
  /** Offset of the block in the file. */
  readonly offset: number
  readonly locations: readonly ReplicaLocation[]
  /** All known replicas are corrupt. */
  readonly isCorrupt: boolean
}

export interface LocatedBlocksView {
  /** Without the last block while it is not complete. */
  readonly fileLength: number
  readonly blocks: readonly LocatedBlockView[]
  readonly isUnderConstruction: boolean
  readonly lastBlock?: LocatedBlockView | undefined
  readonly isLastBlockComplete: boolean
}

/** What `stat` and listings show. `name` is empty when the caller knows the path. */
export interface FileStatusView {
  readonly name: string
  readonly inode: InodeRow
  /** Bytes to show; for open files what readers may count on. */
  readonly length: number
  readonly located?: LocatedBlocksView | undefined
}

export interface ListingView {
  readonly entries: readonly FileStatusView[]
  /** 0 exactly when this page is the last one. */
  readonly remainingEntries: number
}

/** A file that is being written, and by whom. */
export interface OpenFileView {
  readonly path: string
  readonly holder: ClientName
  /** Where the writer was when it opened the file. */
  readonly clientHost: string
}

export interface ContentSummaryView {
  readonly length: number
  readonly fileCount: number
  readonly directoryCount: number
  /** Bytes times replication. */
  readonly spaceConsumed: number
}

/** What append answers: the file, and its last block when the writer goes on in that one. */
export interface AppendedView {
  readonly status: FileStatusView
  /**
   * Absent when the file is empty or ends on a full block. Without locations when the caller wants a new
   * block: then it only serves as `previous` of the first addBlock.
   */
  readonly block?: LocatedBlockView | undefined
}

/** Answer kept by the retry cache: everything an at-most-once method can return. */
export type CachedReply =
  | { readonly kind: 'void' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'file-status'; readonly inodeId: InodeId; readonly status: FileStatusView }
  | ({ readonly kind: 'appended' } & AppendedView)

interface PathRequest<Kind extends string> {
  readonly kind: Kind
  readonly path: string
}

/** A request of a lease holder. `inodeId` addresses the file even after a rename; absent = by path. */
interface WriterRequest<Kind extends string> {
  readonly kind: Kind
  readonly path: string
  readonly inodeId?: InodeId | undefined
  readonly clientName: ClientName
}

export type ReadRequest =
  | (PathRequest<'getFileInfo'> & {
      /** Reply with the blocks of a file as well (getLocatedFileInfo). */
      readonly needLocation?: boolean | undefined
      /** A symbolic link at the end itself is meant (getFileLinkInfo). */
      readonly keepsLastLink?: boolean | undefined
    })
  | (PathRequest<'getListing'> & {
      readonly startAfter: string
      readonly needLocation: boolean
      readonly limit: number
    })
  | (PathRequest<'getBlockLocations'> & {
      readonly offset: number
      readonly length: number
      /** The shell's bounded wait for reports is over. */
      readonly isLastTry?: boolean
    })
  | PathRequest<'getPreferredBlockSize'>
  | PathRequest<'isFileClosed'>
  /** `access`: bits 4 read, 2 write, 1 execute. */
  | (PathRequest<'checkAccess'> & { readonly access: number })
  /** A link on the way answers the path with that link resolved. */
  | PathRequest<'getLinkTarget'>
  | PathRequest<'getAclStatus'>
  /** No names: all that the caller may see. */
  | (PathRequest<'getXAttrs'> & { readonly names: readonly Omit<XAttrRow, 'value'>[] })
  | PathRequest<'listXAttrs'>
  /** A writer lost a datanode of its pipeline and looks for others. */
  | (WriterRequest<'getAdditionalDatanode'> & {
      readonly block: BlockReference
      /** What is left of the pipeline. */
      readonly existing: readonly ReplicaLocation[]
      readonly excluded: readonly DatanodeUuid[]
      readonly count: number
    })
  | { readonly kind: 'getBlockPath'; readonly block: BlockId }
  | { readonly kind: 'getOpenFile'; readonly inode: InodeId }
  /** Totals of the directory's direct files plus the ids of its subdirectories; the shell adds up a tree page by page. */
  | { readonly kind: 'summarizeDirectory'; readonly path: string; readonly startAfter: string }

export interface DirectorySummary {
  readonly isDirectory: boolean
  readonly length: number
  readonly fileCount: number
  readonly spaceConsumed: number
  readonly subdirectories: readonly string[]
  /** Name to continue after, absent when done. */
  readonly next?: string | undefined
}

/** Permission bits for something new. */
interface NewModes {
  /** After the client's umask. */
  readonly mode: number
  /** Before it: counts where the directory has a default ACL. Old clients do not say. */
  readonly unmaskedMode?: number | undefined
}

export type WriteRequest =
  | (PathRequest<'mkdirs'> & NewModes & { readonly createParent: boolean })
  | (PathRequest<'create'> &
      NewModes & {
        readonly clientName: ClientName
        readonly overwrite: boolean
        /** The CREATE bit: without it the file must exist (HDFS: FileNotFoundException). */
        readonly createIfMissing: boolean
        readonly createParent: boolean
        readonly replication: number
        readonly blockSize: number
      })
  | (PathRequest<'append'> & {
      readonly clientName: ClientName
      /** Leave the last block alone, even when there is room in it. */
      readonly newBlock: boolean
    })
  | (PathRequest<'truncate'> & { readonly newLength: number; readonly clientName: ClientName })
  | (PathRequest<'concat'> & { readonly sources: readonly string[] })
  | (PathRequest<'splice'> & {
      readonly inodeId: InodeId
      /** File whose blocks are taken, all of them; it is gone then. Absent: blocks are removed only. */
      readonly taken?: string | undefined
      readonly edits: readonly BlockEdit[]
    })
  | (WriterRequest<'addBlock'> & {
      readonly previous?: BlockReference | undefined
      readonly excluded: readonly DatanodeUuid[]
      readonly favored: readonly string[]
      /** The shell's bounded wait for reports is over: answer with what is known. */
      readonly isLastTry: boolean
    })
  | (WriterRequest<'abandonBlock'> & { readonly block: BlockReference })
  | (WriterRequest<'complete'> & {
      readonly last?: BlockReference | undefined
      readonly isLastTry: boolean
    })
  | (WriterRequest<'fsync'> & { readonly lastBlockLength: number })
  | {
      readonly kind: 'updateBlockForPipeline'
      readonly block: BlockReference
      readonly clientName: ClientName
    }
  | {
      readonly kind: 'updatePipeline'
      readonly clientName: ClientName
      readonly oldBlock: BlockReference
      readonly newBlock: BlockReference
      readonly locations: readonly ReplicaLocation[]
    }
  | (PathRequest<'recoverLease'> & { readonly clientName: ClientName })
  | (PathRequest<'delete'> & {
      readonly recursive: boolean
      /** Only this file, and only while this client has its lease: what a writer gives up may be another's by now. */
      readonly onlyHeld?: { readonly inodeId: InodeId; readonly by: ClientName } | undefined
    })
  | { readonly kind: 'rename'; readonly source: string; readonly target: string }
  | {
      readonly kind: 'rename2'
      readonly source: string
      readonly target: string
      readonly overwrite: boolean
      readonly toTrash: boolean
    }
  | (PathRequest<'createSymlink'> & {
      readonly target: string
      readonly createParent: boolean
      /** Of directories made on the way. */
      readonly directoryMode: number
    })
  | (PathRequest<'setPermission'> & { readonly mode: number })
  | (PathRequest<'setOwner'> & {
      readonly owner?: string | undefined
      readonly group?: string | undefined
    })
  | (PathRequest<'setTimes'> & {
      readonly mtime?: Millis | undefined
      readonly atime?: Millis | undefined
    })
  | (PathRequest<'setReplication'> & { readonly replication: number })
  | (PathRequest<'modifyAclEntries' | 'setAcl' | 'removeAclEntries'> & {
      readonly entries: readonly AclEntry[]
    })
  | PathRequest<'removeDefaultAcl' | 'removeAcl'>
  | (PathRequest<'setXAttr'> & {
      readonly xattr: XAttrRow
      /** It may be new. */
      readonly create: boolean
      /** It may be there. */
      readonly replace: boolean
    })
  | (PathRequest<'removeXAttr'> & { readonly xattr: Omit<XAttrRow, 'value'> })
  /** From an operator. `datanode`: uuid, host or `host:port`; `expiresAt`: wall-clock end of a maintenance. */
  | {
      readonly kind: 'setDatanodeGoal'
      readonly datanode: string
      readonly goal: DatanodeRow['goal'] | 'normal'
      readonly expiresAt?: Millis | undefined
    }
  | {
      /** Internal: replicas agree on digests that the rows of their blocks do not have. */
      readonly kind: 'storeDigests'
      readonly digests: readonly {
        readonly id: BlockId
        readonly generationStamp: GenerationStamp
        readonly digest: bigint
      }[]
    }
  /** From the primary datanode of a block recovery. */
  | {
      readonly kind: 'commitBlockSynchronization'
      readonly block: BlockReference
      readonly newGenerationStamp: GenerationStamp
      readonly newLength: number
      readonly closeFile: boolean
      readonly deleteBlock: boolean
      readonly locations: readonly ReplicaLocation[]
    }

export type Request = ReadRequest | WriteRequest | MountRequest

/** The kinds that `makeNode` makes. */
export type NodeKind = InodeRow['kind']

/** A time of the mount: milliseconds and the nanoseconds behind them, or the namenode's clock. */
export type NodeTime = 'now' | { readonly ms: Millis; readonly nanos: number }

/**
 * Requests of the mount: POSIX's rules where they differ from HDFS's, names that HDFS refuses, and no link that is the
 * last component is followed.
 */
export type MountRequest =
  | (PathRequest<'makeNode'> & {
      readonly nodeKind: NodeKind
      /** Permission bits within 07777. */
      readonly mode: number
      /** The same before the umask; absent: `mode`. */
      readonly unmaskedMode?: number | undefined
      /** Of the new inode, unless its directory hands its own down. */
      readonly group?: string | undefined
      readonly target?: string | undefined
      readonly device?: number | undefined
      readonly replication: number
      readonly blockSize: number
    })
  /** Another name, `path`, for what is at `source`. */
  | (PathRequest<'link'> & { readonly source: string })
  | (PathRequest<'removeEntry'> & { readonly isDirectory: boolean })
  | {
      readonly kind: 'renameEntry'
      readonly source: string
      readonly target: string
      readonly manner: 'replace' | 'no-replace' | 'exchange'
    }
  | (PathRequest<'setAttributes'> & {
      readonly mode?: number | undefined
      readonly owner?: string | undefined
      readonly group?: string | undefined
      readonly mtime?: NodeTime | undefined
      readonly atime?: NodeTime | undefined
    })

/** Reply of each request, by its kind. */
export interface ReplyByKind {
  readonly getFileInfo: FileStatusView | undefined
  readonly getListing: ListingView | undefined
  readonly getBlockLocations: LocatedBlocksView
  readonly getPreferredBlockSize: number
  readonly isFileClosed: boolean
  readonly checkAccess: undefined
  readonly getLinkTarget: string
  readonly getAclStatus: InodeRow
  readonly getXAttrs: readonly XAttrRow[]
  readonly listXAttrs: readonly XAttrRow[]
  readonly getAdditionalDatanode: LocatedBlockView
  readonly getBlockPath: string | undefined
  readonly getOpenFile: OpenFileView | undefined
  readonly summarizeDirectory: DirectorySummary
  readonly mkdirs: boolean
  readonly create: FileStatusView
  readonly append: AppendedView
  readonly truncate: boolean
  readonly concat: undefined
  readonly splice: undefined
  readonly addBlock: LocatedBlockView
  readonly abandonBlock: undefined
  readonly complete: boolean
  readonly fsync: undefined
  readonly updateBlockForPipeline: BlockReference
  readonly updatePipeline: undefined
  readonly recoverLease: boolean
  readonly delete: boolean
  readonly rename: boolean
  readonly rename2: undefined
  readonly createSymlink: undefined
  readonly makeNode: FileStatusView
  readonly link: FileStatusView
  readonly removeEntry: undefined
  readonly renameEntry: undefined
  readonly setAttributes: FileStatusView
  readonly setPermission: undefined
  readonly setOwner: undefined
  readonly setTimes: undefined
  readonly setReplication: boolean
  readonly modifyAclEntries: undefined
  readonly setAcl: undefined
  readonly removeAclEntries: undefined
  readonly removeDefaultAcl: undefined
  readonly removeAcl: undefined
  readonly setXAttr: undefined
  readonly removeXAttr: undefined
  readonly commitBlockSynchronization: undefined
  readonly setDatanodeGoal: DatanodeRow | undefined
  readonly storeDigests: undefined
}

export type ReplyOf<R extends Request> = ReplyByKind[R['kind']]

/** A row, or a page of rows, that `propose` needs and memory does not hold. */
export type Miss =
  | { readonly kind: 'inode'; readonly id: InodeId }
  | { readonly kind: 'entry'; readonly parent: InodeId; readonly name: string }
  | { readonly kind: 'blocks-of-inode'; readonly inode: InodeId }
  | { readonly kind: 'block'; readonly id: BlockId }
  /** Entries of a directory with their inodes, names strictly after `startAfter` in UTF-8 byte order. */
  | {
      readonly kind: 'children'
      readonly parent: InodeId
      readonly startAfter: string
      readonly limit: number
    }

/** Rows answering a miss, as SQLite held them at some transaction. Absent rows are reported as absent. */
export type Loaded =
  | { readonly kind: 'inode'; readonly id: InodeId; readonly inode: InodeRow | undefined }
  | {
      readonly kind: 'entry'
      readonly parent: InodeId
      readonly name: string
      /** The entry's inode row, loaded along with it. */
      readonly inode: InodeRow | undefined
    }
  | {
      readonly kind: 'blocks-of-inode'
      readonly inode: InodeId
      readonly blocks: readonly BlockRow[]
    }
  | { readonly kind: 'block'; readonly id: BlockId; readonly block: BlockRow | undefined }
  | {
      readonly kind: 'children'
      readonly parent: InodeId
      readonly startAfter: string
      readonly children: readonly { readonly name: string; readonly inode: InodeRow }[]
      /** No entry follows the last one here. */
      readonly isEnd: boolean
    }

export interface NamespaceStatus {
  readonly totals: NamespaceTotals
  readonly residentInodes: number
  readonly openFiles: number
}
