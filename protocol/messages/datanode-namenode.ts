/**
 * DatanodeProtocol and its lifeline, what datanodes tell the namenode (DatanodeProtocol.proto, HdfsServer.proto).
 */
import {
  bool,
  bytes,
  dbl,
  type EnumOf,
  enumeration,
  i32,
  i64,
  i64big,
  type MessageOf,
  message,
  method,
  optional,
  packed,
  repeated,
  required,
  service,
  str,
  u32,
  u64,
  u64big,
  withDefault,
} from '../message.ts'
import {
  block,
  datanodeID,
  datanodeInfos,
  datanodeStorage,
  extendedBlock,
  locatedBlock,
  orderedBlock,
  rollingUpgradeStatus,
  storageReport,
  storageTypes,
  storageUuids,
} from './hdfs-blocks.ts'
import { erasureCodingPolicy } from './hdfs-files.ts'
import { emptyMessage } from './rpc.ts'

export const datanodeCommandTypeEnum = enumeration({
  BalancerBandwidthCommand: 0,
  BlockCommand: 1,
  BlockRecoveryCommand: 2,
  FinalizeCommand: 3,
  KeyUpdateCommand: 4,
  RegisterCommand: 5,
  UnusedUpgradeCommand: 6,
  NullDatanodeCommand: 7,
  BlockIdCommand: 8,
  BlockECReconstructionCommand: 9,
})
export type DatanodeCommandType = EnumOf<typeof datanodeCommandTypeEnum>

export const blockCommandActionEnum = enumeration({ TRANSFER: 1, INVALIDATE: 2, SHUTDOWN: 3 })
export type BlockCommandAction = EnumOf<typeof blockCommandActionEnum>

export const blockIdCommandActionEnum = enumeration({ CACHE: 1, UNCACHE: 2 })
export type BlockIdCommandAction = EnumOf<typeof blockIdCommandActionEnum>

export const blockStatusEnum = enumeration({ RECEIVING: 1, RECEIVED: 2, DELETED: 3 })
export type BlockStatus = EnumOf<typeof blockStatusEnum>

/** Bits or numbers of a plain integer field. */
export const datanodeErrorCodes = {
  NOTIFY: 0,
  DISK_ERROR: 1,
  INVALID_BLOCK: 2,
  FATAL_DISK_ERROR: 3,
} as const

export const nnhaStateEnum = enumeration({ ACTIVE: 0, STANDBY: 1, OBSERVER: 2 })
export type NnhaState = EnumOf<typeof nnhaStateEnum>

/** layoutVersion is negative in 32-bit two's complement; namespceID is HDFS's spelling. */
export const storageInfo = message('StorageInfo', {
  layoutVersion: required(1, u32),
  namespceID: required(2, u32),
  clusterID: required(3, str),
  cTime: required(4, u64),
})
export type StorageInfo = MessageOf<typeof storageInfo>

/**
 * Bits of capabilities. The second is ours: block reports may begin with digests of buckets.
 */
export const namenodeCapabilities = { blockBuffers: 1, replicaBuckets: 2 ** 32 } as const

export const namespaceInfo = message('NamespaceInfo', {
  buildVersion: required(1, str),
  unused: required(2, u32),
  blockPoolID: required(3, str),
  storageInfo: required(4, storageInfo),
  softwareVersion: required(5, str),
  capabilities: withDefault(6, u64, 0),
  state: optional(7, nnhaStateEnum),
})
export type NamespaceInfo = MessageOf<typeof namespaceInfo>

export const nnhaStatusHeartbeat = message('NNHAStatusHeartbeat', {
  state: required(1, nnhaStateEnum),
  txid: required(2, i64),
})
export type NnhaStatusHeartbeat = MessageOf<typeof nnhaStatusHeartbeat>

export const blockKey = message('BlockKey', {
  keyId: required(1, u32),
  expiryDate: required(2, u64),
  keyBytes: optional(3, bytes),
})
export type BlockKey = MessageOf<typeof blockKey>

/** Required even without tokens: false, 0, 0 and an empty current key. */
export const exportedBlockKeys = message('ExportedBlockKeys', {
  isBlockTokenEnabled: required(1, bool),
  keyUpdateInterval: required(2, u64),
  tokenLifeTime: required(3, u64),
  currentKey: required(4, blockKey),
  allKeys: repeated(5, blockKey),
})
export type ExportedBlockKeys = MessageOf<typeof exportedBlockKeys>

export const datanodeRegistration = message('DatanodeRegistration', {
  datanodeID: required(1, datanodeID),
  storageInfo: required(2, storageInfo),
  keys: required(3, exportedBlockKeys),
  softwareVersion: required(4, str),
})
export type DatanodeRegistration = MessageOf<typeof datanodeRegistration>

export const volumeFailureSummary = message('VolumeFailureSummary', {
  failedStorageLocations: repeated(1, str),
  lastVolumeFailureDate: required(2, u64),
  estimatedCapacityLostTotal: required(3, u64),
})
export type VolumeFailureSummary = MessageOf<typeof volumeFailureSummary>

export const slowPeerReport = message('SlowPeerReport', {
  dataNodeId: optional(1, str),
  aggregateLatency: optional(2, dbl),
  median: optional(3, dbl),
  mad: optional(4, dbl),
  upperLimitLatency: optional(5, dbl),
})
export type SlowPeerReport = MessageOf<typeof slowPeerReport>

export const slowDiskReport = message('SlowDiskReport', {
  basePath: optional(1, str),
  meanMetadataOpLatency: optional(2, dbl),
  meanReadIoLatency: optional(3, dbl),
  meanWriteIoLatency: optional(4, dbl),
})
export type SlowDiskReport = MessageOf<typeof slowDiskReport>

export const balancerBandwidthCommand = message('BalancerBandwidthCommand', {
  bandwidth: required(1, u64),
})
export type BalancerBandwidthCommand = MessageOf<typeof balancerBandwidthCommand>

export const blockCommand = message('BlockCommand', {
  action: required(1, blockCommandActionEnum),
  blockPoolId: required(2, str),
  blocks: repeated(3, orderedBlock),
  targets: repeated(4, datanodeInfos),
  targetStorageUuids: repeated(5, storageUuids),
  targetStorageTypes: repeated(6, storageTypes),
  /** Ours, of TRANSFER: which of `blocks` have one replica left. */
  isUrgent: repeated(1000, bool),
})
export type BlockCommand = MessageOf<typeof blockCommand>

export const blockIdCommand = message('BlockIdCommand', {
  action: required(1, blockIdCommandActionEnum),
  blockPoolId: required(2, str),
  blockIds: packed(3, u64),
})
export type BlockIdCommand = MessageOf<typeof blockIdCommand>

export const recoveringBlock = message('RecoveringBlock', {
  newGenStamp: required(1, u64),
  block: required(2, locatedBlock),
  truncateBlock: optional(3, block),
  ecPolicy: optional(4, erasureCodingPolicy),
  blockIndices: optional(5, bytes),
})
export type RecoveringBlock = MessageOf<typeof recoveringBlock>

export const blockRecoveryCommand = message('BlockRecoveryCommand', {
  blocks: repeated(1, recoveringBlock),
})
export type BlockRecoveryCommand = MessageOf<typeof blockRecoveryCommand>

export const finalizeCommand = message('FinalizeCommand', {
  blockPoolId: required(1, str),
})
export type FinalizeCommand = MessageOf<typeof finalizeCommand>

export const keyUpdateCommand = message('KeyUpdateCommand', {
  keys: required(1, exportedBlockKeys),
})
export type KeyUpdateCommand = MessageOf<typeof keyUpdateCommand>

export const registerCommand = message('RegisterCommand', {})
export type RegisterCommand = MessageOf<typeof registerCommand>

export const blockECReconstructionInfo = message('BlockECReconstructionInfo', {
  block: required(1, extendedBlock),
  sourceDnInfos: required(2, datanodeInfos),
  targetDnInfos: required(3, datanodeInfos),
  targetStorageUuids: required(4, storageUuids),
  targetStorageTypes: required(5, storageTypes),
  liveBlockIndices: required(6, bytes),
  ecPolicy: required(7, erasureCodingPolicy),
  excludeReconstructedIndices: optional(8, bytes),
})
export type BlockECReconstructionInfo = MessageOf<typeof blockECReconstructionInfo>

export const blockECReconstructionCommand = message('BlockECReconstructionCommand', {
  blockECReconstructioninfo: repeated(1, blockECReconstructionInfo),
})
export type BlockECReconstructionCommand = MessageOf<typeof blockECReconstructionCommand>

/** Exactly the field that fits cmdType is set. */
export const datanodeCommand = message('DatanodeCommand', {
  cmdType: required(1, datanodeCommandTypeEnum),
  balancerCmd: optional(2, balancerBandwidthCommand),
  blkCmd: optional(3, blockCommand),
  recoveryCmd: optional(4, blockRecoveryCommand),
  finalizeCmd: optional(5, finalizeCommand),
  keyUpdateCmd: optional(6, keyUpdateCommand),
  registerCmd: optional(7, registerCommand),
  blkIdCmd: optional(8, blockIdCommand),
  blkECReconstructionCmd: optional(9, blockECReconstructionCommand),
})
export type DatanodeCommand = MessageOf<typeof datanodeCommand>

export const heartbeatRequest = message('HeartbeatRequest', {
  registration: required(1, datanodeRegistration),
  reports: repeated(2, storageReport),
  xmitsInProgress: withDefault(3, u32, 0),
  xceiverCount: withDefault(4, u32, 0),
  failedVolumes: withDefault(5, u32, 0),
  cacheCapacity: withDefault(6, u64, 0),
  cacheUsed: withDefault(7, u64, 0),
  volumeFailureSummary: optional(8, volumeFailureSummary),
  requestFullBlockReportLease: withDefault(9, bool, false),
  slowPeers: repeated(10, slowPeerReport),
  slowDisks: repeated(11, slowDiskReport),
  /** Ours: bytes through the data transfer port since the datanode's start. */
  receivedBytes: optional(1000, u64),
  sentBytes: optional(1001, u64),
})
export type HeartbeatRequest = MessageOf<typeof heartbeatRequest>

export const heartbeatResponse = message('HeartbeatResponse', {
  cmds: repeated(1, datanodeCommand),
  haStatus: required(2, nnhaStatusHeartbeat),
  rollingUpgradeStatus: optional(3, rollingUpgradeStatus),
  rollingUpgradeStatusV2: optional(4, rollingUpgradeStatus),
  fullBlockReportLeaseId: withDefault(5, u64big, 0n),
  isSlownode: withDefault(6, bool, false),
})
export type HeartbeatResponse = MessageOf<typeof heartbeatResponse>

/** leaseId 0 means none. */
export const blockReportContext = message('BlockReportContext', {
  totalRpcs: required(1, i32),
  curRpc: required(2, i32),
  id: required(3, i64big),
  leaseId: withDefault(4, u64big, 0n),
})
export type BlockReportContext = MessageOf<typeof blockReportContext>

/** Ours: replicas of one range of block ids, see protocol/replica-buckets.ts. */
export const replicaBucket = message('ReplicaBucket', {
  bucket: required(1, u64),
  count: required(2, u32),
  digest: required(3, u64big),
})
export type ReplicaBucket = MessageOf<typeof replicaBucket>

/** Ours: buckets of a storage whose replicas the namenode wants listed. */
export const wantedBuckets = message('WantedBuckets', {
  storageUuid: required(1, str),
  buckets: packed(2, u64),
})
export type WantedBuckets = MessageOf<typeof wantedBuckets>

/** Replicas come as blocksBuffers (see protocol/block-list.ts) or, from old peers, as blocks. */
export const storageBlockReport = message('StorageBlockReport', {
  storage: required(1, datanodeStorage),
  blocks: packed(2, i64),
  numberOfBlocks: optional(3, u64),
  blocksBuffers: repeated(4, bytes),
  /** Ours: 8 bytes per listed replica, big-endian, in the order of the list; 0 is unknown. */
  digests: optional(1000, bytes),
  /**
   * Ours: what a report says about whole buckets. Without blocksBuffers, the digests of all that are not
   * empty; with them, the buckets that are listed in full there, and no other.
   */
  buckets: repeated(1001, replicaBucket),
})
export type StorageBlockReport = MessageOf<typeof storageBlockReport>

export const receivedDeletedBlockInfo = message('ReceivedDeletedBlockInfo', {
  block: required(1, block),
  status: required(3, blockStatusEnum),
  deleteHint: optional(2, str),
  /** Ours: digest of the received block; absent when unknown. */
  digest: optional(1000, u64big),
})
export type ReceivedDeletedBlockInfo = MessageOf<typeof receivedDeletedBlockInfo>

export const storageReceivedDeletedBlocks = message('StorageReceivedDeletedBlocks', {
  storageUuid: required(1, str),
  blocks: repeated(2, receivedDeletedBlockInfo),
  storage: optional(3, datanodeStorage),
})
export type StorageReceivedDeletedBlocks = MessageOf<typeof storageReceivedDeletedBlocks>

export const versionResponse = message('VersionResponse', {
  info: required(1, namespaceInfo),
})
export type VersionResponse = MessageOf<typeof versionResponse>

export const registerDatanodeRequest = message('RegisterDatanodeRequest', {
  registration: required(1, datanodeRegistration),
})
export type RegisterDatanodeRequest = MessageOf<typeof registerDatanodeRequest>

export const registerDatanodeResponse = message('RegisterDatanodeResponse', {
  registration: required(1, datanodeRegistration),
})
export type RegisterDatanodeResponse = MessageOf<typeof registerDatanodeResponse>

export const blockReportRequest = message('BlockReportRequest', {
  registration: required(1, datanodeRegistration),
  blockPoolId: required(2, str),
  reports: repeated(3, storageBlockReport),
  context: optional(4, blockReportContext),
})
export type BlockReportRequest = MessageOf<typeof blockReportRequest>

export const blockReportResponse = message('BlockReportResponse', {
  cmd: optional(1, datanodeCommand),
  /** Ours: answer to digests of buckets; storages without a difference are left out. */
  wanted: repeated(1000, wantedBuckets),
})
export type BlockReportResponse = MessageOf<typeof blockReportResponse>

export const cacheReportRequest = message('CacheReportRequest', {
  registration: required(1, datanodeRegistration),
  blockPoolId: required(2, str),
  blocks: packed(3, u64),
})
export type CacheReportRequest = MessageOf<typeof cacheReportRequest>

export const cacheReportResponse = message('CacheReportResponse', {
  cmd: optional(1, datanodeCommand),
})
export type CacheReportResponse = MessageOf<typeof cacheReportResponse>

export const blockReceivedAndDeletedRequest = message('BlockReceivedAndDeletedRequest', {
  registration: required(1, datanodeRegistration),
  blockPoolId: required(2, str),
  blocks: repeated(3, storageReceivedDeletedBlocks),
})
export type BlockReceivedAndDeletedRequest = MessageOf<typeof blockReceivedAndDeletedRequest>

export const errorReportRequest = message('ErrorReportRequest', {
  registartion: required(1, datanodeRegistration),
  errorCode: required(2, u32),
  msg: required(3, str),
})
export type ErrorReportRequest = MessageOf<typeof errorReportRequest>

export const reportBadBlocksRequest = message('ReportBadBlocksRequest', {
  blocks: repeated(1, locatedBlock),
})
export type ReportBadBlocksRequest = MessageOf<typeof reportBadBlocksRequest>

export const commitBlockSynchronizationRequest = message('CommitBlockSynchronizationRequest', {
  block: required(1, extendedBlock),
  newGenStamp: required(2, u64),
  newLength: required(3, u64),
  closeFile: required(4, bool),
  deleteBlock: required(5, bool),
  newTaragets: repeated(6, datanodeID),
  newTargetStorages: repeated(7, str),
})
export type CommitBlockSynchronizationRequest = MessageOf<typeof commitBlockSynchronizationRequest>

export const datanodeProtocol = service('org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol', {
  versionRequest: method(emptyMessage, versionResponse, 'read'),
  registerDatanode: method(registerDatanodeRequest, registerDatanodeResponse, 'idempotent'),
  sendHeartbeat: method(heartbeatRequest, heartbeatResponse, 'idempotent'),
  blockReport: method(blockReportRequest, blockReportResponse, 'idempotent'),
  cacheReport: method(cacheReportRequest, cacheReportResponse, 'idempotent'),
  blockReceivedAndDeleted: method(blockReceivedAndDeletedRequest, emptyMessage, 'idempotent'),
  errorReport: method(errorReportRequest, emptyMessage, 'idempotent'),
  reportBadBlocks: method(reportBadBlocksRequest, emptyMessage, 'idempotent'),
  commitBlockSynchronization: method(commitBlockSynchronizationRequest, emptyMessage, 'idempotent'),
})

export const datanodeLifelineProtocol = service(
  'org.apache.hadoop.hdfs.server.protocol.DatanodeLifelineProtocol',
  {
    sendLifeline: method(heartbeatRequest, emptyMessage, 'idempotent'),
  },
)
