/**
 * NamenodeProtocol, for balancer, mover and checkpoint nodes (NamenodeProtocol.proto).
 */
import {
  bool,
  bytes,
  type EnumOf,
  enumeration,
  i64,
  type MessageOf,
  message,
  method,
  optional,
  repeated,
  required,
  service,
  str,
  u32,
  u64,
  withDefault,
} from '../message.ts'
import { exportedBlockKeys, storageInfo, versionResponse } from './datanode-namenode.ts'
import { block, datanodeID, storageTypeEnum } from './hdfs-blocks.ts'
import { emptyMessage } from './rpc.ts'

export const namenodeRoleEnum = enumeration({ NAMENODE: 1, BACKUP: 2, CHECKPOINT: 3 })
export type NamenodeRole = EnumOf<typeof namenodeRoleEnum>

export const namenodeCommandTypeEnum = enumeration({ NamenodeCommand: 0, CheckPointCommand: 1 })
export type NamenodeCommandType = EnumOf<typeof namenodeCommandTypeEnum>

export const blockWithLocations = message('BlockWithLocations', {
  block: required(1, block),
  datanodeUuids: repeated(2, str),
  storageUuids: repeated(3, str),
  storageTypes: repeated(4, storageTypeEnum),
  indices: optional(5, bytes),
  dataBlockNum: optional(6, u32),
  cellSize: optional(7, u32),
})
export type BlockWithLocations = MessageOf<typeof blockWithLocations>

export const blocksWithLocations = message('BlocksWithLocations', {
  blocks: repeated(1, blockWithLocations),
})
export type BlocksWithLocations = MessageOf<typeof blocksWithLocations>

export const namenodeRegistration = message('NamenodeRegistration', {
  rpcAddress: required(1, str),
  httpAddress: required(2, str),
  storageInfo: required(3, storageInfo),
  role: withDefault(4, namenodeRoleEnum, 'NAMENODE'),
})
export type NamenodeRegistration = MessageOf<typeof namenodeRegistration>

export const checkpointSignature = message('CheckpointSignature', {
  blockPoolId: required(1, str),
  mostRecentCheckpointTxId: required(2, u64),
  curSegmentTxId: required(3, u64),
  storageInfo: required(4, storageInfo),
})
export type CheckpointSignature = MessageOf<typeof checkpointSignature>

export const checkpointCommand = message('CheckpointCommand', {
  signature: required(1, checkpointSignature),
  needToReturnImage: required(2, bool),
})
export type CheckpointCommand = MessageOf<typeof checkpointCommand>

export const namenodeCommand = message('NamenodeCommand', {
  action: required(1, u32),
  type: required(2, namenodeCommandTypeEnum),
  checkpointCmd: optional(3, checkpointCommand),
})
export type NamenodeCommand = MessageOf<typeof namenodeCommand>

export const remoteEditLog = message('RemoteEditLog', {
  startTxId: required(1, u64),
  endTxId: required(2, i64),
  isInProgress: withDefault(3, bool, false),
})
export type RemoteEditLog = MessageOf<typeof remoteEditLog>

export const remoteEditLogManifest = message('RemoteEditLogManifest', {
  logs: repeated(1, remoteEditLog),
  committedTxnId: optional(2, i64),
})
export type RemoteEditLogManifest = MessageOf<typeof remoteEditLogManifest>

export const getBlocksRequest = message('GetBlocksRequest', {
  datanode: required(1, datanodeID),
  size: required(2, u64),
  minBlockSize: withDefault(3, u64, 10485760),
  timeInterval: withDefault(4, u64, 0),
  storageType: optional(5, storageTypeEnum),
})
export type GetBlocksRequest = MessageOf<typeof getBlocksRequest>

export const getBlocksResponse = message('GetBlocksResponse', {
  blocks: required(1, blocksWithLocations),
})
export type GetBlocksResponse = MessageOf<typeof getBlocksResponse>

export const getBlockKeysResponse = message('GetBlockKeysResponse', {
  keys: optional(1, exportedBlockKeys),
})
export type GetBlockKeysResponse = MessageOf<typeof getBlockKeysResponse>

export const getTransactionIdResponse = message('GetTransactionIdResponse', {
  txId: required(1, u64),
})
export type GetTransactionIdResponse = MessageOf<typeof getTransactionIdResponse>

export const getMostRecentCheckpointTxIdResponse = message('GetMostRecentCheckpointTxIdResponse', {
  txId: required(1, u64),
})
export type GetMostRecentCheckpointTxIdResponse = MessageOf<
  typeof getMostRecentCheckpointTxIdResponse
>

export const getMostRecentNameNodeFileTxIdRequest = message(
  'GetMostRecentNameNodeFileTxIdRequest',
  {
    nameNodeFile: required(1, str),
  },
)
export type GetMostRecentNameNodeFileTxIdRequest = MessageOf<
  typeof getMostRecentNameNodeFileTxIdRequest
>

export const getMostRecentNameNodeFileTxIdResponse = message(
  'GetMostRecentNameNodeFileTxIdResponse',
  {
    txId: required(1, u64),
  },
)
export type GetMostRecentNameNodeFileTxIdResponse = MessageOf<
  typeof getMostRecentNameNodeFileTxIdResponse
>

export const rollEditLogResponse = message('RollEditLogResponse', {
  signature: required(1, checkpointSignature),
})
export type RollEditLogResponse = MessageOf<typeof rollEditLogResponse>

export const errorReportRequest = message('ErrorReportRequest', {
  registration: required(1, namenodeRegistration),
  errorCode: required(2, u32),
  msg: required(3, str),
})
export type ErrorReportRequest = MessageOf<typeof errorReportRequest>

export const registerSubordinateNamenodeRequest = message('RegisterSubordinateNamenodeRequest', {
  registration: required(1, namenodeRegistration),
})
export type RegisterSubordinateNamenodeRequest = MessageOf<
  typeof registerSubordinateNamenodeRequest
>

export const registerSubordinateNamenodeResponse = message('RegisterSubordinateNamenodeResponse', {
  registration: required(1, namenodeRegistration),
})
export type RegisterSubordinateNamenodeResponse = MessageOf<
  typeof registerSubordinateNamenodeResponse
>

export const startCheckpointRequest = message('StartCheckpointRequest', {
  registration: required(1, namenodeRegistration),
})
export type StartCheckpointRequest = MessageOf<typeof startCheckpointRequest>

export const startCheckpointResponse = message('StartCheckpointResponse', {
  command: required(1, namenodeCommand),
})
export type StartCheckpointResponse = MessageOf<typeof startCheckpointResponse>

export const endCheckpointRequest = message('EndCheckpointRequest', {
  registration: required(1, namenodeRegistration),
  signature: required(2, checkpointSignature),
})
export type EndCheckpointRequest = MessageOf<typeof endCheckpointRequest>

export const getEditLogManifestRequest = message('GetEditLogManifestRequest', {
  sinceTxId: required(1, u64),
})
export type GetEditLogManifestRequest = MessageOf<typeof getEditLogManifestRequest>

export const getEditLogManifestResponse = message('GetEditLogManifestResponse', {
  manifest: required(1, remoteEditLogManifest),
})
export type GetEditLogManifestResponse = MessageOf<typeof getEditLogManifestResponse>

export const isUpgradeFinalizedResponse = message('IsUpgradeFinalizedResponse', {
  isUpgradeFinalized: required(1, bool),
})
export type IsUpgradeFinalizedResponse = MessageOf<typeof isUpgradeFinalizedResponse>

export const isRollingUpgradeResponse = message('IsRollingUpgradeResponse', {
  isRollingUpgrade: required(1, bool),
})
export type IsRollingUpgradeResponse = MessageOf<typeof isRollingUpgradeResponse>

export const getNextSPSPathResponse = message('GetNextSPSPathResponse', {
  spsPath: optional(1, u64),
})
export type GetNextSPSPathResponse = MessageOf<typeof getNextSPSPathResponse>

export const namenodeProtocol = service('org.apache.hadoop.hdfs.server.protocol.NamenodeProtocol', {
  getBlocks: method(getBlocksRequest, getBlocksResponse, 'read'),
  getBlockKeys: method(emptyMessage, getBlockKeysResponse, 'read'),
  getTransactionId: method(emptyMessage, getTransactionIdResponse, 'read'),
  getMostRecentCheckpointTxId: method(emptyMessage, getMostRecentCheckpointTxIdResponse, 'read'),
  getMostRecentNameNodeFileTxId: method(
    getMostRecentNameNodeFileTxIdRequest,
    getMostRecentNameNodeFileTxIdResponse,
    'read',
  ),
  rollEditLog: method(emptyMessage, rollEditLogResponse, 'at-most-once'),
  versionRequest: method(emptyMessage, versionResponse, 'idempotent'),
  errorReport: method(errorReportRequest, emptyMessage, 'idempotent'),
  registerSubordinateNamenode: method(
    registerSubordinateNamenodeRequest,
    registerSubordinateNamenodeResponse,
    'idempotent',
  ),
  startCheckpoint: method(startCheckpointRequest, startCheckpointResponse, 'at-most-once'),
  endCheckpoint: method(endCheckpointRequest, emptyMessage, 'at-most-once'),
  getEditLogManifest: method(getEditLogManifestRequest, getEditLogManifestResponse, 'read'),
  isUpgradeFinalized: method(emptyMessage, isUpgradeFinalizedResponse, 'idempotent'),
  isRollingUpgrade: method(emptyMessage, isRollingUpgradeResponse, 'idempotent'),
  getNextSPSPath: method(emptyMessage, getNextSPSPathResponse, 'read'),
})
