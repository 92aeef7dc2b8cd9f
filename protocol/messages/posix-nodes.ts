/**
 * Messages of PosixProtocol about inodes and their names.
 *
 * Paths are HDFS's, with two differences: a name may hold a colon, and a link that is the last component is never
 * followed. A mount names entries as `/.reserved/.inodes/ID/NAME`.
 */
import {
  bool,
  bytes,
  type EncodableOf,
  enumeration,
  i64,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  u32,
  u64,
  withDefault,
} from '../message.ts'
import { hdfsFileStatus } from './hdfs.ts'

export const nodeKindEnum = enumeration({
  file: 1,
  directory: 2,
  symlink: 3,
  fifo: 4,
  socket: 5,
  'character-device': 6,
  'block-device': 7,
})

/** A status as stat(2) has it: HDFS's, and what it lacks. */
export const nodeStatus = message('NodeStatus', {
  fs: required(1, hdfsFileStatus),
  kind: required(2, nodeKindEnum),
  /** Permission bits within 07777. */
  mode: required(3, u32),
  /** Names of the inode. */
  nlink: required(4, u32),
  /** Milliseconds since 1970 of the last change of anything. */
  ctime: required(5, i64),
  /** Nanoseconds behind the milliseconds of `fs`. */
  mtimeNanos: withDefault(6, u32, 0),
  atimeNanos: withDefault(7, u32, 0),
  /** Devices: the number, as Linux writes it in 32 bits. */
  device: withDefault(8, u32, 0),
  /** As in `fs`, which cannot say it of times before 1970. */
  mtime: required(9, i64),
  atime: required(10, i64),
})
export type NodeStatus = MessageOf<typeof nodeStatus>
export type EncodableNodeStatus = EncodableOf<typeof nodeStatus>

/** Who calls, beside the user of the connection. */
export const mountCaller = message('MountCaller', {
  /** Group of what is made. */
  group: optional(1, str),
  /** Groups of the calling process, beside those the namenode knows of its user. */
  groups: repeated(2, str),
})

export const getNodeRequest = message('GetNodeRequest', {
  path: required(1, str),
  caller: optional(15, mountCaller),
})
/** Without a status: there is nothing at the path. */
export const getNodeResponse = message('GetNodeResponse', { status: optional(1, nodeStatus) })

export const listNodesRequest = message('ListNodesRequest', {
  path: required(1, str),
  /** Name to start behind. */
  startAfter: required(2, bytes),
  caller: optional(15, mountCaller),
})
export const listNodesResponse = message('ListNodesResponse', {
  isFound: required(1, bool),
  /** `fs.path` is the name. */
  entries: repeated(2, nodeStatus),
  /** 0 exactly when this page is the last one. */
  remainingEntries: withDefault(3, u32, 0),
})

export const makeNodeRequest = message('MakeNodeRequest', {
  path: required(1, str),
  kind: required(2, nodeKindEnum),
  mode: required(3, u32),
  /** Symbolic links only. */
  target: optional(4, str),
  /** Devices only. */
  device: optional(5, u32),
  /** Files only. */
  replication: optional(6, u32),
  blockSize: optional(7, u64),
  /** Permission bits before the maker's umask, which count where the directory has a default ACL; absent: `mode`. */
  unmasked: optional(8, u32),
  caller: optional(15, mountCaller),
})

export const linkRequest = message('LinkRequest', {
  source: required(1, str),
  path: required(2, str),
  caller: optional(15, mountCaller),
})
export const nodeResponse = message('NodeResponse', { status: required(1, nodeStatus) })

export const removeEntryRequest = message('RemoveEntryRequest', {
  path: required(1, str),
  isDirectory: required(2, bool),
  caller: optional(15, mountCaller),
})

export const renameMannerEnum = enumeration({ replace: 1, 'no-replace': 2, exchange: 3 })

export const renameEntryRequest = message('RenameEntryRequest', {
  source: required(1, str),
  target: required(2, str),
  manner: required(3, renameMannerEnum),
  caller: optional(15, mountCaller),
})

/** `isNow`: the namenode's clock; the other fields then mean nothing. */
export const nodeTime = message('NodeTime', {
  isNow: withDefault(1, bool, false),
  ms: withDefault(2, i64, 0),
  /** Behind the milliseconds, below a million. */
  nanos: withDefault(3, u32, 0),
})

/** What is absent stays as it is. */
export const setAttributesRequest = message('SetAttributesRequest', {
  path: required(1, str),
  mode: optional(2, u32),
  owner: optional(3, str),
  group: optional(4, str),
  mtime: optional(5, nodeTime),
  atime: optional(6, nodeTime),
  caller: optional(15, mountCaller),
})
