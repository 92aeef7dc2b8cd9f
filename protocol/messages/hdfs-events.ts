/**
 * Events of inotify (inotify.proto): the contents of an Event are the message its type names.
 */
import {
  bool,
  bytes,
  type EnumOf,
  enumeration,
  i32,
  i64,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  withDefault,
} from '../message.ts'
import { aclEntry, xAttr } from './hdfs-features.ts'
import { fsPermission } from './hdfs-files.ts'

export const eventTypeEnum = enumeration({
  EVENT_CREATE: 0,
  EVENT_CLOSE: 1,
  EVENT_APPEND: 2,
  EVENT_RENAME: 3,
  EVENT_METADATA: 4,
  EVENT_UNLINK: 5,
  EVENT_TRUNCATE: 6,
})
export type EventType = EnumOf<typeof eventTypeEnum>

export const iNodeTypeEnum = enumeration({ I_TYPE_FILE: 0, I_TYPE_DIRECTORY: 1, I_TYPE_SYMLINK: 2 })
export type INodeType = EnumOf<typeof iNodeTypeEnum>

export const metadataUpdateTypeEnum = enumeration({
  META_TYPE_TIMES: 0,
  META_TYPE_REPLICATION: 1,
  META_TYPE_OWNER: 2,
  META_TYPE_PERMS: 3,
  META_TYPE_ACLS: 4,
  META_TYPE_XATTRS: 5,
})
export type MetadataUpdateType = EnumOf<typeof metadataUpdateTypeEnum>

export const event = message('Event', {
  type: required(1, eventTypeEnum),
  contents: required(2, bytes),
})
export type Event = MessageOf<typeof event>

export const eventBatch = message('EventBatch', {
  txid: required(1, i64),
  events: repeated(2, event),
})
export type EventBatch = MessageOf<typeof eventBatch>

export const eventsList = message('EventsList', {
  events: repeated(1, event),
  firstTxid: required(2, i64),
  lastTxid: required(3, i64),
  syncTxid: required(4, i64),
  batch: repeated(5, eventBatch),
})
export type EventsList = MessageOf<typeof eventsList>

export const createEvent = message('CreateEvent', {
  type: required(1, iNodeTypeEnum),
  path: required(2, str),
  ctime: required(3, i64),
  ownerName: required(4, str),
  groupName: required(5, str),
  perms: required(6, fsPermission),
  replication: optional(7, i32),
  symlinkTarget: optional(8, str),
  overwrite: optional(9, bool),
  defaultBlockSize: withDefault(10, i64, 0),
  erasureCoded: optional(11, bool),
})
export type CreateEvent = MessageOf<typeof createEvent>

export const closeEvent = message('CloseEvent', {
  path: required(1, str),
  fileSize: required(2, i64),
  timestamp: required(3, i64),
})
export type CloseEvent = MessageOf<typeof closeEvent>

export const appendEvent = message('AppendEvent', {
  path: required(1, str),
  newBlock: withDefault(2, bool, false),
})
export type AppendEvent = MessageOf<typeof appendEvent>

export const renameEvent = message('RenameEvent', {
  srcPath: required(1, str),
  destPath: required(2, str),
  timestamp: required(3, i64),
})
export type RenameEvent = MessageOf<typeof renameEvent>

export const metadataUpdateEvent = message('MetadataUpdateEvent', {
  path: required(1, str),
  type: required(2, metadataUpdateTypeEnum),
  mtime: optional(3, i64),
  atime: optional(4, i64),
  replication: optional(5, i32),
  ownerName: optional(6, str),
  groupName: optional(7, str),
  perms: optional(8, fsPermission),
  acls: repeated(9, aclEntry),
  xAttrs: repeated(10, xAttr),
  xAttrsRemoved: optional(11, bool),
})
export type MetadataUpdateEvent = MessageOf<typeof metadataUpdateEvent>

export const unlinkEvent = message('UnlinkEvent', {
  path: required(1, str),
  timestamp: required(2, i64),
})
export type UnlinkEvent = MessageOf<typeof unlinkEvent>

export const truncateEvent = message('TruncateEvent', {
  path: required(1, str),
  fileSize: required(2, i64),
  timestamp: required(3, i64),
})
export type TruncateEvent = MessageOf<typeof truncateEvent>
