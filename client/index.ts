/** The public API of the SDK, `import { DfsClient } from 'trefoil'`. Nothing else of `client/` may be imported from outside. */

export type { AclEntry } from '../protocol/messages/hdfs.ts'
export type {
  BlockStats,
  ClusterSpace,
  DatanodeKind,
  DatanodeStatus,
  SafeModeAction,
} from './admin.ts'
export {
  type AclStatus,
  effectiveAclText,
  FileAttributes,
  type SetXattrOptions,
} from './attributes.ts'
export type { BlockLocation, ReplicaHolder } from './block-location.ts'
export { aclEntryText, fsActions, parseAclSpec } from './core/acl-spec.ts'
export type { RetryPolicy } from './core/retry.ts'
export {
  decodeXattrValue,
  encodeXattrValue,
  parseXattrName,
  type XAttrEncoding,
  xattrEncodings,
  xattrName,
} from './core/xattr-text.ts'
export type { FileContent, ReadFileOptions, WriteFileOptions } from './data.ts'
export { DfsClient, type DfsClientOptions, type ReaddirOptions } from './dfs-client.ts'
export { DfsFsError } from './errors.ts'
export type { ClientEvent } from './events.ts'
export type { FileChecksum } from './file-checksum.ts'
export { FileHandle, type ReadResult } from './file-handle.ts'
export { FileStatus, type FileType } from './file-status.ts'
export type { WaitOptions } from './file-verbs.ts'
export type { AppendOptions, CreateOptions } from './file-writer.ts'
export { DfsFollowStream, type FollowOptions } from './follow-stream.ts'
export { DfsReadStream, type ReadStreamOptions } from './input-stream.ts'
export type { NamenodeMethod, NamenodeReply, NamenodeRequest } from './namenode-proxy.ts'
export {
  type ContentSummary,
  type FileTime,
  LocatedFileStatus,
  type MkdirOptions,
  type OpendirOptions,
  type RenameOptions,
  type RmOptions,
  type VerbOptions,
} from './namespace.ts'
export {
  InodeStatus,
  type NewNode,
  type NodeCaller,
  type NodeChanges,
  type NodeKind,
  type NodeOptions,
  Nodes,
  type NodeTime,
  type RenameManner,
} from './nodes.ts'
export {
  type BalanceStatus,
  type BalanceWish,
  type BlockExplanation,
  type DatanodeExplanation,
  type EventReport,
  type HistoryReport,
  type ListEventsOptions,
  type ListNodesOptions,
  type MaintainOptions,
  type NodeStatus,
  Operator,
  type RepairGuard,
  type RepairReport,
  type SafeModeReport,
} from './operator.ts'
export {
  DfsWriteStream,
  type OpenForWriteOptions,
  type SyncOptions,
  type WriteFlags,
  type WriteStreamOptions,
} from './output-stream.ts'
export type { RewriteOptions } from './rewrite.ts'
export { type RestoreOptions, Trash, type TrashEntry, type TrashFileSystem } from './trash.ts'
export { WriteHandle, type WriteResult } from './write-handle.ts'
