/**
 * Operations, packets and acknowledgements of the data transfer protocol (datatransfer.proto).
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
  packed,
  repeated,
  required,
  s64,
  sf32,
  sf64,
  str,
  u32,
  u64,
  u64big,
  withDefault,
} from '../message.ts'
import {
  blockChecksumOptions,
  checksumTypeEnum,
  datanodeInfo,
  datanodeInfos,
  extendedBlock,
  storageTypeEnum,
  token,
} from './hdfs-blocks.ts'
import { cipherOption } from './hdfs-features.ts'
import { erasureCodingPolicy } from './hdfs-files.ts'

export const statusEnum = enumeration({
  SUCCESS: 0,
  ERROR: 1,
  ERROR_CHECKSUM: 2,
  ERROR_INVALID: 3,
  ERROR_EXISTS: 4,
  ERROR_ACCESS_TOKEN: 5,
  CHECKSUM_OK: 6,
  ERROR_UNSUPPORTED: 7,
  OOB_RESTART: 8,
  OOB_RESERVED1: 9,
  OOB_RESERVED2: 10,
  OOB_RESERVED3: 11,
  IN_PROGRESS: 12,
  ERROR_BLOCK_PINNED: 13,
})
export type Status = EnumOf<typeof statusEnum>

export const blockConstructionStageEnum = enumeration({
  PIPELINE_SETUP_APPEND: 0,
  PIPELINE_SETUP_APPEND_RECOVERY: 1,
  DATA_STREAMING: 2,
  PIPELINE_SETUP_STREAMING_RECOVERY: 3,
  PIPELINE_CLOSE: 4,
  PIPELINE_CLOSE_RECOVERY: 5,
  PIPELINE_SETUP_CREATE: 6,
  TRANSFER_RBW: 7,
  TRANSFER_FINALIZED: 8,
})
export type BlockConstructionStage = EnumOf<typeof blockConstructionStageEnum>

export const shortCircuitFdResponseEnum = enumeration({
  DO_NOT_USE_RECEIPT_VERIFICATION: 0,
  USE_RECEIPT_VERIFICATION: 1,
})
export type ShortCircuitFdResponse = EnumOf<typeof shortCircuitFdResponseEnum>

export const dataTransferEncryptorStatusEnum = enumeration({
  SUCCESS: 0,
  ERROR_UNKNOWN_KEY: 1,
  ERROR: 2,
})
export type DataTransferEncryptorStatus = EnumOf<typeof dataTransferEncryptorStatusEnum>

export const dataTransferTraceInfo = message('DataTransferTraceInfo', {
  traceId: optional(1, u64big),
  parentId: optional(2, u64big),
  spanContext: optional(3, bytes),
})
export type DataTransferTraceInfo = MessageOf<typeof dataTransferTraceInfo>

export const baseHeader = message('BaseHeader', {
  block: required(1, extendedBlock),
  token: optional(2, token),
  traceInfo: optional(3, dataTransferTraceInfo),
})
export type BaseHeader = MessageOf<typeof baseHeader>

/** An empty clientName means that a datanode is calling. */
export const clientOperationHeader = message('ClientOperationHeader', {
  baseHeader: required(1, baseHeader),
  clientName: required(2, str),
})
export type ClientOperationHeader = MessageOf<typeof clientOperationHeader>

export const cachingStrategy = message('CachingStrategy', {
  dropBehind: optional(1, bool),
  readahead: optional(2, i64),
})
export type CachingStrategy = MessageOf<typeof cachingStrategy>

export const checksum = message('Checksum', {
  type: required(1, checksumTypeEnum),
  bytesPerChecksum: required(2, u32),
})
export type Checksum = MessageOf<typeof checksum>

/** offset and len are relative to the block. */
export const opReadBlock = message('OpReadBlock', {
  header: required(1, clientOperationHeader),
  offset: required(2, u64),
  len: required(3, u64),
  sendChecksums: withDefault(4, bool, true),
  cachingStrategy: optional(5, cachingStrategy),
})
export type OpReadBlock = MessageOf<typeof opReadBlock>

/** targets, targetStorageTypes and targetStorageIds name the nodes after the receiver. */
export const opWriteBlock = message('OpWriteBlock', {
  header: required(1, clientOperationHeader),
  targets: repeated(2, datanodeInfo),
  source: optional(3, datanodeInfo),
  stage: required(4, blockConstructionStageEnum),
  pipelineSize: required(5, u32),
  minBytesRcvd: required(6, u64),
  maxBytesRcvd: required(7, u64),
  latestGenerationStamp: required(8, u64),
  requestedChecksum: required(9, checksum),
  cachingStrategy: optional(10, cachingStrategy),
  storageType: withDefault(11, storageTypeEnum, 'DISK'),
  targetStorageTypes: repeated(12, storageTypeEnum),
  allowLazyPersist: withDefault(13, bool, false),
  pinning: withDefault(14, bool, false),
  targetPinnings: repeated(15, bool),
  storageId: optional(16, str),
  targetStorageIds: repeated(17, str),
  /** Ours: digest that a copy from another datanode must end with. */
  blockDigest: optional(1000, u64big),
  /** Ours: the copy of a block's last replica, which may take more from clients than others. */
  isUrgent: optional(1001, bool),
})
export type OpWriteBlock = MessageOf<typeof opWriteBlock>

export const opTransferBlock = message('OpTransferBlock', {
  header: required(1, clientOperationHeader),
  targets: repeated(2, datanodeInfo),
  targetStorageTypes: repeated(3, storageTypeEnum),
  targetStorageIds: repeated(4, str),
})
export type OpTransferBlock = MessageOf<typeof opTransferBlock>

export const opReplaceBlock = message('OpReplaceBlock', {
  header: required(1, baseHeader),
  delHint: required(2, str),
  source: required(3, datanodeInfo),
  storageType: withDefault(4, storageTypeEnum, 'DISK'),
  storageId: optional(5, str),
})
export type OpReplaceBlock = MessageOf<typeof opReplaceBlock>

export const opCopyBlock = message('OpCopyBlock', {
  header: required(1, baseHeader),
})
export type OpCopyBlock = MessageOf<typeof opCopyBlock>

export const opBlockChecksum = message('OpBlockChecksum', {
  header: required(1, baseHeader),
  blockChecksumOptions: optional(2, blockChecksumOptions),
})
export type OpBlockChecksum = MessageOf<typeof opBlockChecksum>

export const opBlockGroupChecksum = message('OpBlockGroupChecksum', {
  header: required(1, baseHeader),
  datanodes: required(2, datanodeInfos),
  blockTokens: repeated(3, token),
  ecPolicy: required(4, erasureCodingPolicy),
  blockIndices: repeated(5, u32),
  requestedNumBytes: required(6, u64),
  blockChecksumOptions: optional(7, blockChecksumOptions),
})
export type OpBlockGroupChecksum = MessageOf<typeof opBlockGroupChecksum>

export const shortCircuitShmId = message('ShortCircuitShmId', {
  hi: required(1, i64big),
  lo: required(2, i64big),
})
export type ShortCircuitShmId = MessageOf<typeof shortCircuitShmId>

export const shortCircuitShmSlot = message('ShortCircuitShmSlot', {
  shmId: required(1, shortCircuitShmId),
  slotIdx: required(2, i32),
})
export type ShortCircuitShmSlot = MessageOf<typeof shortCircuitShmSlot>

export const opRequestShortCircuitAccess = message('OpRequestShortCircuitAccess', {
  header: required(1, baseHeader),
  maxVersion: required(2, u32),
  slotId: optional(3, shortCircuitShmSlot),
  supportsReceiptVerification: withDefault(4, bool, false),
})
export type OpRequestShortCircuitAccess = MessageOf<typeof opRequestShortCircuitAccess>

export const releaseShortCircuitAccessRequest = message('ReleaseShortCircuitAccessRequest', {
  slotId: required(1, shortCircuitShmSlot),
  traceInfo: optional(2, dataTransferTraceInfo),
})
export type ReleaseShortCircuitAccessRequest = MessageOf<typeof releaseShortCircuitAccessRequest>

export const releaseShortCircuitAccessResponse = message('ReleaseShortCircuitAccessResponse', {
  status: required(1, statusEnum),
  error: optional(2, str),
})
export type ReleaseShortCircuitAccessResponse = MessageOf<typeof releaseShortCircuitAccessResponse>

export const shortCircuitShmRequest = message('ShortCircuitShmRequest', {
  clientName: required(1, str),
  traceInfo: optional(2, dataTransferTraceInfo),
})
export type ShortCircuitShmRequest = MessageOf<typeof shortCircuitShmRequest>

export const shortCircuitShmResponse = message('ShortCircuitShmResponse', {
  status: required(1, statusEnum),
  error: optional(2, str),
  id: optional(3, shortCircuitShmId),
})
export type ShortCircuitShmResponse = MessageOf<typeof shortCircuitShmResponse>

export const opCustom = message('OpCustom', {
  customId: required(1, str),
})
export type OpCustom = MessageOf<typeof opCustom>

/** Fixed-width fields: 25 bytes, 27 with syncBlock. See protocol/data-transfer.ts for the fast path. */
export const packetHeader = message('PacketHeader', {
  offsetInBlock: required(1, sf64),
  seqno: required(2, sf64),
  lastPacketInBlock: required(3, bool),
  dataLen: required(4, sf32),
  syncBlock: withDefault(5, bool, false),
})
export type PacketHeader = MessageOf<typeof packetHeader>

/**
 * reply and flag have one element per node from the sender of the ack down the pipeline. HDFS's datanodes send a
 * negative downstreamAckTimeNanos when a pipeline breaks.
 */
export const pipelineAck = message('PipelineAck', {
  seqno: required(1, s64),
  reply: repeated(2, statusEnum),
  downstreamAckTimeNanos: withDefault(3, u64big, 0n),
  flag: packed(4, u32),
})
export type PipelineAck = MessageOf<typeof pipelineAck>

export const readOpChecksumInfo = message('ReadOpChecksumInfo', {
  checksum: required(1, checksum),
  chunkOffset: required(2, u64),
})
export type ReadOpChecksumInfo = MessageOf<typeof readOpChecksumInfo>

export const opBlockChecksumResponse = message('OpBlockChecksumResponse', {
  bytesPerCrc: required(1, u32),
  crcPerBlock: required(2, u64),
  blockChecksum: required(3, bytes),
  crcType: optional(4, checksumTypeEnum),
  blockChecksumOptions: optional(5, blockChecksumOptions),
})
export type OpBlockChecksumResponse = MessageOf<typeof opBlockChecksumResponse>

export const blockOpResponse = message('BlockOpResponse', {
  status: required(1, statusEnum),
  firstBadLink: optional(2, str),
  checksumResponse: optional(3, opBlockChecksumResponse),
  readOpChecksumInfo: optional(4, readOpChecksumInfo),
  message: optional(5, str),
  shortCircuitAccessVersion: optional(6, u32),
})
export type BlockOpResponse = MessageOf<typeof blockOpResponse>

export const clientReadStatus = message('ClientReadStatus', {
  status: required(1, statusEnum),
})
export type ClientReadStatus = MessageOf<typeof clientReadStatus>

export const dnTransferAck = message('DNTransferAck', {
  status: required(1, statusEnum),
})
export type DnTransferAck = MessageOf<typeof dnTransferAck>

export const handshakeSecret = message('HandshakeSecret', {
  secret: required(1, bytes),
  bpid: required(2, str),
})
export type HandshakeSecret = MessageOf<typeof handshakeSecret>

export const dataTransferEncryptorMessage = message('DataTransferEncryptorMessage', {
  status: required(1, dataTransferEncryptorStatusEnum),
  payload: optional(2, bytes),
  message: optional(3, str),
  cipherOption: repeated(4, cipherOption),
  handshakeSecret: optional(5, handshakeSecret),
  accessTokenError: optional(6, bool),
})
export type DataTransferEncryptorMessage = MessageOf<typeof dataTransferEncryptorMessage>
