/**
 * Snapshots, ACLs, extended attributes, encryption zones, erasure coding and caching.
 */
import {
  bool,
  bytes,
  type EnumOf,
  enumeration,
  i32,
  i64,
  i64big,
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
import {
  cipherSuiteEnum,
  cryptoProtocolVersionEnum,
  erasureCodingPolicy,
  fsActionEnum,
  fsPermission,
  hdfsFileStatus,
} from './hdfs-files.ts'

export const aclEntryScopeEnum = enumeration({ ACCESS: 0, DEFAULT: 1 })
export type AclEntryScope = EnumOf<typeof aclEntryScopeEnum>

export const aclEntryTypeEnum = enumeration({ USER: 0, GROUP: 1, MASK: 2, OTHER: 3 })
export type AclEntryType = EnumOf<typeof aclEntryTypeEnum>

export const xAttrNamespaceEnum = enumeration({
  USER: 0,
  TRUSTED: 1,
  SECURITY: 2,
  SYSTEM: 3,
  RAW: 4,
})
export type XAttrNamespace = EnumOf<typeof xAttrNamespaceEnum>

/** Bits or numbers of a plain integer field. */
export const xAttrSetFlags = { XATTR_CREATE: 1, XATTR_REPLACE: 2 } as const

/** Bits or numbers of a plain integer field. */
export const cacheFlags = { FORCE: 1 } as const

export const openFilesTypeEnum = enumeration({ ALL_OPEN_FILES: 1, BLOCKING_DECOMMISSION: 2 })
export type OpenFilesType = EnumOf<typeof openFilesTypeEnum>

export const reencryptActionEnum = enumeration({ CANCEL_REENCRYPT: 1, START_REENCRYPT: 2 })
export type ReencryptAction = EnumOf<typeof reencryptActionEnum>

export const reencryptionStateEnum = enumeration({ SUBMITTED: 1, PROCESSING: 2, COMPLETED: 3 })
export type ReencryptionState = EnumOf<typeof reencryptionStateEnum>

export const accessModeEnum = enumeration({ READ: 1, WRITE: 2, COPY: 3, REPLACE: 4 })
export type AccessMode = EnumOf<typeof accessModeEnum>

export const aclEntry = message('AclEntry', {
  type: required(1, aclEntryTypeEnum),
  scope: required(2, aclEntryScopeEnum),
  permissions: required(3, fsActionEnum),
  name: optional(4, str),
})
export type AclEntry = MessageOf<typeof aclEntry>

export const aclStatus = message('AclStatus', {
  owner: required(1, str),
  group: required(2, str),
  sticky: required(3, bool),
  entries: repeated(4, aclEntry),
  permission: optional(5, fsPermission),
})
export type AclStatus = MessageOf<typeof aclStatus>

export const xAttr = message('XAttr', {
  namespace: required(1, xAttrNamespaceEnum),
  name: required(2, str),
  value: optional(3, bytes),
})
export type XAttr = MessageOf<typeof xAttr>

export const snapshottableDirectoryStatus = message('SnapshottableDirectoryStatus', {
  dirStatus: required(1, hdfsFileStatus),
  snapshot_quota: required(2, u32),
  snapshot_number: required(3, u32),
  parent_fullpath: required(4, bytes),
})
export type SnapshottableDirectoryStatus = MessageOf<typeof snapshottableDirectoryStatus>

export const snapshottableDirectoryListing = message('SnapshottableDirectoryListing', {
  snapshottableDirListing: repeated(1, snapshottableDirectoryStatus),
})
export type SnapshottableDirectoryListing = MessageOf<typeof snapshottableDirectoryListing>

export const snapshotStatus = message('SnapshotStatus', {
  dirStatus: required(1, hdfsFileStatus),
  snapshotID: required(2, u32),
  parent_fullpath: required(3, bytes),
  isDeleted: required(4, bool),
})
export type SnapshotStatus = MessageOf<typeof snapshotStatus>

export const snapshotListing = message('SnapshotListing', {
  snapshotListing: repeated(1, snapshotStatus),
})
export type SnapshotListing = MessageOf<typeof snapshotListing>

export const snapshotDiffReportEntry = message('SnapshotDiffReportEntry', {
  fullpath: required(1, bytes),
  modificationLabel: required(2, str),
  targetPath: optional(3, bytes),
})
export type SnapshotDiffReportEntry = MessageOf<typeof snapshotDiffReportEntry>

export const snapshotDiffReport = message('SnapshotDiffReport', {
  snapshotRoot: required(1, str),
  fromSnapshot: required(2, str),
  toSnapshot: required(3, str),
  diffReportEntries: repeated(4, snapshotDiffReportEntry),
})
export type SnapshotDiffReport = MessageOf<typeof snapshotDiffReport>

export const snapshotDiffReportCursor = message('SnapshotDiffReportCursor', {
  startPath: required(1, bytes),
  index: required(2, i32),
})
export type SnapshotDiffReportCursor = MessageOf<typeof snapshotDiffReportCursor>

export const snapshotDiffReportListingEntry = message('SnapshotDiffReportListingEntry', {
  fullpath: required(1, bytes),
  dirId: required(2, u64),
  isReference: required(3, bool),
  targetPath: optional(4, bytes),
  fileId: optional(5, u64),
})
export type SnapshotDiffReportListingEntry = MessageOf<typeof snapshotDiffReportListingEntry>

export const snapshotDiffReportListing = message('SnapshotDiffReportListing', {
  modifiedEntries: repeated(1, snapshotDiffReportListingEntry),
  createdEntries: repeated(2, snapshotDiffReportListingEntry),
  deletedEntries: repeated(3, snapshotDiffReportListingEntry),
  isFromEarlier: required(4, bool),
  cursor: optional(5, snapshotDiffReportCursor),
})
export type SnapshotDiffReportListing = MessageOf<typeof snapshotDiffReportListing>

export const snapshotInfo = message('SnapshotInfo', {
  snapshotName: required(1, str),
  snapshotRoot: required(2, str),
  permission: required(3, fsPermission),
  owner: required(4, str),
  group: required(5, str),
  createTime: required(6, str),
})
export type SnapshotInfo = MessageOf<typeof snapshotInfo>

export const addErasureCodingPolicyResponse = message('AddErasureCodingPolicyResponse', {
  policy: required(1, erasureCodingPolicy),
  succeed: required(2, bool),
  errorMsg: optional(3, str),
})
export type AddErasureCodingPolicyResponse = MessageOf<typeof addErasureCodingPolicyResponse>

export const ecTopologyVerifierResult = message('ECTopologyVerifierResult', {
  resultMessage: required(1, str),
  isSupported: required(2, bool),
})
export type EcTopologyVerifierResult = MessageOf<typeof ecTopologyVerifierResult>

export const codec = message('Codec', {
  codec: required(1, str),
  coders: required(2, str),
})
export type Codec = MessageOf<typeof codec>

export const perFileEncryptionInfo = message('PerFileEncryptionInfo', {
  key: required(1, bytes),
  iv: required(2, bytes),
  ezKeyVersionName: required(3, str),
})
export type PerFileEncryptionInfo = MessageOf<typeof perFileEncryptionInfo>

export const reencryptionInfo = message('ReencryptionInfo', {
  ezKeyVersionName: required(1, str),
  submissionTime: required(2, u64),
  canceled: required(3, bool),
  numReencrypted: required(4, i64),
  numFailures: required(5, i64),
  completionTime: optional(6, u64),
  lastFile: optional(7, str),
})
export type ReencryptionInfo = MessageOf<typeof reencryptionInfo>

export const zoneEncryptionInfo = message('ZoneEncryptionInfo', {
  suite: required(1, cipherSuiteEnum),
  cryptoProtocolVersion: required(2, cryptoProtocolVersionEnum),
  keyName: required(3, str),
  reencryptionProto: optional(4, reencryptionInfo),
})
export type ZoneEncryptionInfo = MessageOf<typeof zoneEncryptionInfo>

export const cipherOption = message('CipherOption', {
  suite: required(1, cipherSuiteEnum),
  inKey: optional(2, bytes),
  inIv: optional(3, bytes),
  outKey: optional(4, bytes),
  outIv: optional(5, bytes),
})
export type CipherOption = MessageOf<typeof cipherOption>

export const encryptionZone = message('EncryptionZone', {
  id: required(1, i64),
  path: required(2, str),
  suite: required(3, cipherSuiteEnum),
  cryptoProtocolVersion: required(4, cryptoProtocolVersionEnum),
  keyName: required(5, str),
})
export type EncryptionZone = MessageOf<typeof encryptionZone>

export const zoneReencryptionStatus = message('ZoneReencryptionStatus', {
  id: required(1, i64),
  path: required(2, str),
  state: required(3, reencryptionStateEnum),
  ezKeyVersionName: required(4, str),
  submissionTime: required(5, i64),
  canceled: required(6, bool),
  numReencrypted: required(7, i64),
  numFailures: required(8, i64),
  completionTime: optional(9, i64),
  lastFile: optional(10, str),
})
export type ZoneReencryptionStatus = MessageOf<typeof zoneReencryptionStatus>

export const cacheDirectiveInfoExpiration = message('CacheDirectiveInfoExpiration', {
  millis: required(1, i64big),
  isRelative: required(2, bool),
})
export type CacheDirectiveInfoExpiration = MessageOf<typeof cacheDirectiveInfoExpiration>

export const cacheDirectiveInfo = message('CacheDirectiveInfo', {
  id: optional(1, i64),
  path: optional(2, str),
  replication: optional(3, u32),
  pool: optional(4, str),
  expiration: optional(5, cacheDirectiveInfoExpiration),
})
export type CacheDirectiveInfo = MessageOf<typeof cacheDirectiveInfo>

export const cacheDirectiveStats = message('CacheDirectiveStats', {
  bytesNeeded: required(1, i64),
  bytesCached: required(2, i64),
  filesNeeded: required(3, i64),
  filesCached: required(4, i64),
  hasExpired: required(5, bool),
})
export type CacheDirectiveStats = MessageOf<typeof cacheDirectiveStats>

export const cacheDirectiveEntry = message('CacheDirectiveEntry', {
  info: required(1, cacheDirectiveInfo),
  stats: required(2, cacheDirectiveStats),
})
export type CacheDirectiveEntry = MessageOf<typeof cacheDirectiveEntry>

export const cachePoolInfo = message('CachePoolInfo', {
  poolName: optional(1, str),
  ownerName: optional(2, str),
  groupName: optional(3, str),
  mode: optional(4, i32),
  limit: optional(5, i64big),
  maxRelativeExpiry: optional(6, i64big),
  defaultReplication: withDefault(7, u32, 1),
})
export type CachePoolInfo = MessageOf<typeof cachePoolInfo>

export const cachePoolStats = message('CachePoolStats', {
  bytesNeeded: required(1, i64),
  bytesCached: required(2, i64),
  bytesOverlimit: required(3, i64),
  filesNeeded: required(4, i64),
  filesCached: required(5, i64),
})
export type CachePoolStats = MessageOf<typeof cachePoolStats>

export const cachePoolEntry = message('CachePoolEntry', {
  info: required(1, cachePoolInfo),
  stats: required(2, cachePoolStats),
})
export type CachePoolEntry = MessageOf<typeof cachePoolEntry>

export const openFilesBatchResponse = message('OpenFilesBatchResponse', {
  id: required(1, i64),
  path: required(2, str),
  clientName: required(3, str),
  clientMachine: required(4, str),
})
export type OpenFilesBatchResponse = MessageOf<typeof openFilesBatchResponse>
