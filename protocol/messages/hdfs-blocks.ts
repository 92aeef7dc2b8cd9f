/**
 * Blocks, datanodes, storages and tokens, shared by all protocols (hdfs.proto, Security.proto).
 */
import {
  bool,
  bytes,
  type EnumOf,
  enumeration,
  i64,
  type MessageOf,
  message,
  optional,
  packed,
  repeated,
  required,
  str,
  u32,
  u64,
  u64big,
  withDefault,
} from '../message.ts'

export const storageTypeEnum = enumeration({
  DISK: 1,
  SSD: 2,
  ARCHIVE: 3,
  RAM_DISK: 4,
  PROVIDED: 5,
  NVDIMM: 6,
})
export type StorageType = EnumOf<typeof storageTypeEnum>

export const blockTypeEnum = enumeration({ CONTIGUOUS: 0, STRIPED: 1 })
export type BlockType = EnumOf<typeof blockTypeEnum>

export const adminStateEnum = enumeration({
  NORMAL: 0,
  DECOMMISSION_INPROGRESS: 1,
  DECOMMISSIONED: 2,
  ENTERING_MAINTENANCE: 3,
  IN_MAINTENANCE: 4,
})
export type AdminState = EnumOf<typeof adminStateEnum>

export const storageStateEnum = enumeration({ NORMAL: 0, READ_ONLY_SHARED: 1 })
export type StorageState = EnumOf<typeof storageStateEnum>

export const checksumTypeEnum = enumeration({
  CHECKSUM_NULL: 0,
  CHECKSUM_CRC32: 1,
  CHECKSUM_CRC32C: 2,
})
export type ChecksumType = EnumOf<typeof checksumTypeEnum>

export const blockChecksumTypeEnum = enumeration({ MD5CRC: 1, COMPOSITE_CRC: 2 })
export type BlockChecksumType = EnumOf<typeof blockChecksumTypeEnum>

export const replicaStateEnum = enumeration({ FINALIZED: 0, RBW: 1, RWR: 2, RUR: 3, TEMPORARY: 4 })
export type ReplicaState = EnumOf<typeof replicaStateEnum>

export const token = message('Token', {
  identifier: required(1, bytes),
  password: required(2, bytes),
  kind: required(3, str),
  service: required(4, str),
})
export type Token = MessageOf<typeof token>

/** A block as clients name it. */
export const extendedBlock = message('ExtendedBlock', {
  poolId: required(1, str),
  blockId: required(2, u64),
  generationStamp: required(3, u64),
  numBytes: withDefault(4, u64, 0),
})
export type ExtendedBlock = MessageOf<typeof extendedBlock>

/** A block as the namenode and its datanodes name it. */
export const block = message('Block', {
  blockId: required(1, u64),
  genStamp: required(2, u64),
  numBytes: withDefault(3, u64, 0),
})
export type Block = MessageOf<typeof block>

/** A Block in an order. Of a block to invalidate, numBytes may be 2^63 - 1: no report is wanted. */
export const orderedBlock = message('Block', {
  blockId: required(1, u64),
  genStamp: required(2, u64),
  numBytes: withDefault(3, u64big, 0n),
})
export type OrderedBlock = MessageOf<typeof orderedBlock>

export const datanodeID = message('DatanodeID', {
  ipAddr: required(1, str),
  hostName: required(2, str),
  datanodeUuid: required(3, str),
  xferPort: required(4, u32),
  infoPort: required(5, u32),
  ipcPort: required(6, u32),
  infoSecurePort: withDefault(7, u32, 0),
})
export type DatanodeID = MessageOf<typeof datanodeID>

/** location is a rack such as "/rack"; times are milliseconds, the monotonic ones of any clock. */
export const datanodeInfo = message('DatanodeInfo', {
  id: required(1, datanodeID),
  capacity: withDefault(2, u64, 0),
  dfsUsed: withDefault(3, u64, 0),
  remaining: withDefault(4, u64, 0),
  blockPoolUsed: withDefault(5, u64, 0),
  lastUpdate: withDefault(6, u64, 0),
  xceiverCount: withDefault(7, u32, 0),
  location: optional(8, str),
  nonDfsUsed: optional(9, u64),
  adminState: withDefault(10, adminStateEnum, 'NORMAL'),
  cacheCapacity: withDefault(11, u64, 0),
  cacheUsed: withDefault(12, u64, 0),
  lastUpdateMonotonic: withDefault(13, i64, 0),
  upgradeDomain: optional(14, str),
  lastBlockReportTime: withDefault(15, u64, 0),
  lastBlockReportMonotonic: withDefault(16, i64, 0),
  numBlocks: withDefault(17, u32, 0),
  softwareVersion: optional(18, str),
})
export type DatanodeInfo = MessageOf<typeof datanodeInfo>

export const datanodeInfos = message('DatanodeInfos', {
  datanodes: repeated(1, datanodeInfo),
})
export type DatanodeInfos = MessageOf<typeof datanodeInfos>

export const storageTypes = message('StorageTypes', {
  storageTypes: repeated(1, storageTypeEnum),
})
export type StorageTypes = MessageOf<typeof storageTypes>

export const storageUuids = message('StorageUuids', {
  storageUuids: repeated(1, str),
})
export type StorageUuids = MessageOf<typeof storageUuids>

export const datanodeStorage = message('DatanodeStorage', {
  storageUuid: required(1, str),
  state: withDefault(2, storageStateEnum, 'NORMAL'),
  storageType: withDefault(3, storageTypeEnum, 'DISK'),
})
export type DatanodeStorage = MessageOf<typeof datanodeStorage>

export const storageReport = message('StorageReport', {
  storageUuid: required(1, str),
  failed: withDefault(2, bool, false),
  capacity: withDefault(3, u64, 0),
  dfsUsed: withDefault(4, u64, 0),
  remaining: withDefault(5, u64, 0),
  blockPoolUsed: withDefault(6, u64, 0),
  storage: optional(7, datanodeStorage),
  nonDfsUsed: optional(8, u64),
  mount: optional(9, str),
  /** Ours: age of the byte that was not verified for longest. */
  oldestUnverifiedMs: optional(1000, u64),
})
export type StorageReport = MessageOf<typeof storageReport>

export const datanodeStorageReport = message('DatanodeStorageReport', {
  datanodeInfo: required(1, datanodeInfo),
  storageReports: repeated(2, storageReport),
})
export type DatanodeStorageReport = MessageOf<typeof datanodeStorageReport>

export const datanodeLocalInfo = message('DatanodeLocalInfo', {
  softwareVersion: required(1, str),
  configVersion: required(2, str),
  uptime: required(3, u64),
})
export type DatanodeLocalInfo = MessageOf<typeof datanodeLocalInfo>

export const datanodeVolumeInfo = message('DatanodeVolumeInfo', {
  path: required(1, str),
  storageType: required(2, storageTypeEnum),
  usedSpace: required(3, u64),
  freeSpace: required(4, u64),
  reservedSpace: required(5, u64),
  reservedSpaceForReplicas: required(6, u64),
  numBlocks: required(7, u64),
})
export type DatanodeVolumeInfo = MessageOf<typeof datanodeVolumeInfo>

/** locs, storageTypes and storageIDs are parallel; blockToken is required even when empty; offset 2^64 - 1 means none. */
export const locatedBlock = message('LocatedBlock', {
  b: required(1, extendedBlock),
  offset: required(2, u64big),
  locs: repeated(3, datanodeInfo),
  corrupt: required(4, bool),
  blockToken: required(5, token),
  isCached: packed(6, bool),
  storageTypes: repeated(7, storageTypeEnum),
  storageIDs: repeated(8, str),
  blockIndices: optional(9, bytes),
  blockTokens: repeated(10, token),
})
export type LocatedBlock = MessageOf<typeof locatedBlock>

export const blockChecksumOptions = message('BlockChecksumOptions', {
  blockChecksumType: withDefault(1, blockChecksumTypeEnum, 'MD5CRC'),
  stripeLength: optional(2, u64),
})
export type BlockChecksumOptions = MessageOf<typeof blockChecksumOptions>

export const rollingUpgradeStatus = message('RollingUpgradeStatus', {
  blockPoolId: required(1, str),
  finalized: withDefault(2, bool, false),
})
export type RollingUpgradeStatus = MessageOf<typeof rollingUpgradeStatus>
