/**
 * File status, listings, summaries, quotas and server defaults (hdfs.proto, erasurecoding.proto).
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
  u32,
  u64,
  u64big,
  withDefault,
} from '../message.ts'
import {
  checksumTypeEnum,
  locatedBlock,
  rollingUpgradeStatus,
  storageTypeEnum,
  storageTypes,
  token,
} from './hdfs-blocks.ts'

export const fileTypeEnum = enumeration({ IS_DIR: 1, IS_FILE: 2, IS_SYMLINK: 3 })
export type FileType = EnumOf<typeof fileTypeEnum>

/** Bits or numbers of a plain integer field. */
export const fileStatusFlags = { HAS_ACL: 1, HAS_CRYPT: 2, HAS_EC: 4, SNAPSHOT_ENABLED: 8 } as const

/** Bits or numbers of a plain integer field. */
export const createFlags = {
  CREATE: 1,
  OVERWRITE: 2,
  APPEND: 4,
  LAZY_PERSIST: 16,
  NEW_BLOCK: 32,
  SHOULD_REPLICATE: 128,
} as const

export const cipherSuiteEnum = enumeration({
  UNKNOWN: 1,
  AES_CTR_NOPADDING: 2,
  SM4_CTR_NOPADDING: 3,
})
export type CipherSuite = EnumOf<typeof cipherSuiteEnum>

export const cryptoProtocolVersionEnum = enumeration({
  UNKNOWN_PROTOCOL_VERSION: 1,
  ENCRYPTION_ZONES: 2,
})
export type CryptoProtocolVersion = EnumOf<typeof cryptoProtocolVersionEnum>

export const erasureCodingPolicyStateEnum = enumeration({ DISABLED: 1, ENABLED: 2, REMOVED: 3 })
export type ErasureCodingPolicyState = EnumOf<typeof erasureCodingPolicyStateEnum>

export const fsActionEnum = enumeration({
  NONE: 0,
  EXECUTE: 1,
  WRITE: 2,
  WRITE_EXECUTE: 3,
  READ: 4,
  READ_EXECUTE: 5,
  READ_WRITE: 6,
  PERM_ALL: 7,
})
export type FsAction = EnumOf<typeof fsActionEnum>

export const fsPermission = message('FsPermission', {
  perm: required(1, u32),
})
export type FsPermission = MessageOf<typeof fsPermission>

export const fileEncryptionInfo = message('FileEncryptionInfo', {
  suite: required(1, cipherSuiteEnum),
  cryptoProtocolVersion: required(2, cryptoProtocolVersionEnum),
  key: required(3, bytes),
  iv: required(4, bytes),
  keyName: required(5, str),
  ezKeyVersionName: required(6, str),
})
export type FileEncryptionInfo = MessageOf<typeof fileEncryptionInfo>

export const ecSchemaOptionEntry = message('ECSchemaOptionEntry', {
  key: required(1, str),
  value: required(2, str),
})
export type EcSchemaOptionEntry = MessageOf<typeof ecSchemaOptionEntry>

export const ecSchema = message('ECSchema', {
  codecName: required(1, str),
  dataUnits: required(2, u32),
  parityUnits: required(3, u32),
  options: repeated(4, ecSchemaOptionEntry),
})
export type EcSchema = MessageOf<typeof ecSchema>

export const erasureCodingPolicy = message('ErasureCodingPolicy', {
  name: optional(1, str),
  schema: optional(2, ecSchema),
  cellSize: optional(3, u32),
  id: required(4, u32),
  state: withDefault(5, erasureCodingPolicyStateEnum, 'ENABLED'),
})
export type ErasureCodingPolicy = MessageOf<typeof erasureCodingPolicy>

/** A closed file carries its last block twice: in blocks and as lastBlock. */
export const locatedBlocks = message('LocatedBlocks', {
  fileLength: required(1, u64),
  blocks: repeated(2, locatedBlock),
  underConstruction: required(3, bool),
  lastBlock: optional(4, locatedBlock),
  isLastBlockComplete: required(5, bool),
  fileEncryptionInfo: optional(6, fileEncryptionInfo),
  ecPolicy: optional(7, erasureCodingPolicy),
})
export type LocatedBlocks = MessageOf<typeof locatedBlocks>

/** path is the local name, empty in getFileInfo, create and append. childrenNum is 0 for a file. */
export const hdfsFileStatus = message('HdfsFileStatus', {
  fileType: required(1, fileTypeEnum),
  path: required(2, bytes),
  length: required(3, u64),
  permission: required(4, fsPermission),
  owner: required(5, str),
  group: required(6, str),
  modification_time: required(7, u64),
  access_time: required(8, u64),
  symlink: optional(9, bytes),
  block_replication: withDefault(10, u32, 0),
  blocksize: withDefault(11, u64, 0),
  locations: optional(12, locatedBlocks),
  fileId: withDefault(13, u64, 0),
  childrenNum: withDefault(14, i32, -1),
  fileEncryptionInfo: optional(15, fileEncryptionInfo),
  storagePolicy: withDefault(16, u32, 0),
  ecPolicy: optional(17, erasureCodingPolicy),
  flags: withDefault(18, u32, 0),
  namespace: optional(19, str),
})
export type HdfsFileStatus = MessageOf<typeof hdfsFileStatus>

export const directoryListing = message('DirectoryListing', {
  partialListing: repeated(1, hdfsFileStatus),
  remainingEntries: required(2, u32),
})
export type DirectoryListing = MessageOf<typeof directoryListing>

export const remoteException = message('RemoteException', {
  className: required(1, str),
  message: optional(2, str),
})
export type RemoteException = MessageOf<typeof remoteException>

export const batchedDirectoryListing = message('BatchedDirectoryListing', {
  partialListing: repeated(1, hdfsFileStatus),
  parentIdx: required(2, u32),
  exception: optional(3, remoteException),
})
export type BatchedDirectoryListing = MessageOf<typeof batchedDirectoryListing>

export const batchedListingKey = message('BatchedListingKey', {
  checksum: required(1, bytes),
  pathIndex: required(2, u32),
  startAfter: required(3, bytes),
})
export type BatchedListingKey = MessageOf<typeof batchedListingKey>

export const storageTypeQuotaInfo = message('StorageTypeQuotaInfo', {
  type: withDefault(1, storageTypeEnum, 'DISK'),
  quota: required(2, u64big),
  consumed: required(3, u64),
})
export type StorageTypeQuotaInfo = MessageOf<typeof storageTypeQuotaInfo>

export const storageTypeQuotaInfos = message('StorageTypeQuotaInfos', {
  typeQuotaInfo: repeated(1, storageTypeQuotaInfo),
})
export type StorageTypeQuotaInfos = MessageOf<typeof storageTypeQuotaInfos>

/** quota and spaceQuota are 2^64 - 1 when there is none. */
export const contentSummary = message('ContentSummary', {
  length: required(1, u64),
  fileCount: required(2, u64),
  directoryCount: required(3, u64),
  quota: required(4, u64big),
  spaceConsumed: required(5, u64),
  spaceQuota: required(6, u64big),
  typeQuotaInfos: optional(7, storageTypeQuotaInfos),
  snapshotLength: optional(8, u64),
  snapshotFileCount: optional(9, u64),
  snapshotDirectoryCount: optional(10, u64),
  snapshotSpaceConsumed: optional(11, u64),
  erasureCodingPolicy: optional(12, str),
})
export type ContentSummary = MessageOf<typeof contentSummary>

export const quotaUsage = message('QuotaUsage', {
  fileAndDirectoryCount: required(1, u64),
  quota: required(2, u64big),
  spaceConsumed: required(3, u64),
  spaceQuota: required(4, u64big),
  typeQuotaInfos: optional(5, storageTypeQuotaInfos),
})
export type QuotaUsage = MessageOf<typeof quotaUsage>

export const fsServerDefaults = message('FsServerDefaults', {
  blockSize: required(1, u64),
  bytesPerChecksum: required(2, u32),
  writePacketSize: required(3, u32),
  replication: required(4, u32),
  fileBufferSize: required(5, u32),
  encryptDataTransfer: withDefault(6, bool, false),
  trashInterval: withDefault(7, u64, 0),
  checksumType: withDefault(8, checksumTypeEnum, 'CHECKSUM_CRC32'),
  keyProviderUri: optional(9, str),
  policyId: withDefault(10, u32, 0),
  snapshotTrashRootEnabled: withDefault(11, bool, false),
})
export type FsServerDefaults = MessageOf<typeof fsServerDefaults>

export const corruptFileBlocks = message('CorruptFileBlocks', {
  files: repeated(1, str),
  cookie: required(2, str),
})
export type CorruptFileBlocks = MessageOf<typeof corruptFileBlocks>

export const blockStoragePolicy = message('BlockStoragePolicy', {
  policyId: required(1, u32),
  name: required(2, str),
  creationPolicy: required(3, storageTypes),
  creationFallbackPolicy: optional(4, storageTypes),
  replicationFallbackPolicy: optional(5, storageTypes),
})
export type BlockStoragePolicy = MessageOf<typeof blockStoragePolicy>

export const rollingUpgradeInfo = message('RollingUpgradeInfo', {
  status: required(1, rollingUpgradeStatus),
  startTime: required(2, u64),
  finalizeTime: required(3, u64),
  createdRollbackImages: required(4, bool),
})
export type RollingUpgradeInfo = MessageOf<typeof rollingUpgradeInfo>

export const dataEncryptionKey = message('DataEncryptionKey', {
  keyId: required(1, u32),
  blockPoolId: required(2, str),
  nonce: required(3, bytes),
  encryptionKey: required(4, bytes),
  expiryDate: required(5, u64),
  encryptionAlgorithm: optional(6, str),
})
export type DataEncryptionKey = MessageOf<typeof dataEncryptionKey>

export const hdfsPathHandle = message('HdfsPathHandle', {
  inodeId: optional(1, u64),
  mtime: optional(2, u64),
  path: optional(3, str),
})
export type HdfsPathHandle = MessageOf<typeof hdfsPathHandle>

export const providedStorageLocation = message('ProvidedStorageLocation', {
  path: required(1, str),
  offset: required(2, i64),
  length: required(3, i64),
  nonce: required(4, bytes),
})
export type ProvidedStorageLocation = MessageOf<typeof providedStorageLocation>

export const credentialsKV = message('CredentialsKV', {
  alias: required(1, str),
  token: optional(2, token),
  secret: optional(3, bytes),
})
export type CredentialsKV = MessageOf<typeof credentialsKV>

export const credentials = message('Credentials', {
  tokens: repeated(1, credentialsKV),
  secrets: repeated(2, credentialsKV),
})
export type Credentials = MessageOf<typeof credentials>
