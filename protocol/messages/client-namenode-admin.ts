/**
 * ClientProtocol: administration, statistics and tokens.
 */
import {
  bool,
  type EnumOf,
  enumeration,
  i64,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  u64,
  withDefault,
} from '../message.ts'
import { datanodeInfo, datanodeStorageReport, token } from './hdfs-blocks.ts'
import { eventsList } from './hdfs-events.ts'
import { openFilesBatchResponse, openFilesTypeEnum } from './hdfs-features.ts'
import { dataEncryptionKey, fsServerDefaults, rollingUpgradeInfo } from './hdfs-files.ts'

export const safeModeActionEnum = enumeration({
  SAFEMODE_LEAVE: 1,
  SAFEMODE_ENTER: 2,
  SAFEMODE_GET: 3,
  SAFEMODE_FORCE_EXIT: 4,
})
export type SafeModeAction = EnumOf<typeof safeModeActionEnum>

export const datanodeReportTypeEnum = enumeration({
  ALL: 1,
  LIVE: 2,
  DEAD: 3,
  DECOMMISSIONING: 4,
  ENTERING_MAINTENANCE: 5,
  IN_MAINTENANCE: 6,
})
export type DatanodeReportType = EnumOf<typeof datanodeReportTypeEnum>

export const rollingUpgradeActionEnum = enumeration({ QUERY: 1, START: 2, FINALIZE: 3 })
export type RollingUpgradeAction = EnumOf<typeof rollingUpgradeActionEnum>

export const haServiceStateEnum = enumeration({
  INITIALIZING: 0,
  ACTIVE: 1,
  STANDBY: 2,
  OBSERVER: 3,
})
export type HAServiceState = EnumOf<typeof haServiceStateEnum>

export const getServerDefaultsResponse = message('GetServerDefaultsResponse', {
  serverDefaults: required(1, fsServerDefaults),
})
export type GetServerDefaultsResponse = MessageOf<typeof getServerDefaultsResponse>

export const getFsStatsResponse = message('GetFsStatsResponse', {
  capacity: required(1, u64),
  used: required(2, u64),
  remaining: required(3, u64),
  under_replicated: required(4, u64),
  corrupt_blocks: required(5, u64),
  missing_blocks: required(6, u64),
  missing_repl_one_blocks: optional(7, u64),
  blocks_in_future: optional(8, u64),
  pending_deletion_blocks: optional(9, u64),
})
export type GetFsStatsResponse = MessageOf<typeof getFsStatsResponse>

export const getFsReplicatedBlockStatsResponse = message('GetFsReplicatedBlockStatsResponse', {
  low_redundancy: required(1, u64),
  corrupt_blocks: required(2, u64),
  missing_blocks: required(3, u64),
  missing_repl_one_blocks: required(4, u64),
  blocks_in_future: required(5, u64),
  pending_deletion_blocks: required(6, u64),
  highest_prio_low_redundancy_blocks: optional(7, u64),
  badly_distributed_blocks: optional(8, u64),
})
export type GetFsReplicatedBlockStatsResponse = MessageOf<typeof getFsReplicatedBlockStatsResponse>

export const getFsECBlockGroupStatsResponse = message('GetFsECBlockGroupStatsResponse', {
  low_redundancy: required(1, u64),
  corrupt_blocks: required(2, u64),
  missing_blocks: required(3, u64),
  blocks_in_future: required(4, u64),
  pending_deletion_blocks: required(5, u64),
  highest_prio_low_redundancy_blocks: optional(6, u64),
  badly_distributed_blocks: optional(7, u64),
})
export type GetFsECBlockGroupStatsResponse = MessageOf<typeof getFsECBlockGroupStatsResponse>

export const getDatanodeReportRequest = message('GetDatanodeReportRequest', {
  type: required(1, datanodeReportTypeEnum),
})
export type GetDatanodeReportRequest = MessageOf<typeof getDatanodeReportRequest>

export const getDatanodeReportResponse = message('GetDatanodeReportResponse', {
  di: repeated(1, datanodeInfo),
})
export type GetDatanodeReportResponse = MessageOf<typeof getDatanodeReportResponse>

export const getDatanodeStorageReportRequest = message('GetDatanodeStorageReportRequest', {
  type: required(1, datanodeReportTypeEnum),
})
export type GetDatanodeStorageReportRequest = MessageOf<typeof getDatanodeStorageReportRequest>

export const getDatanodeStorageReportResponse = message('GetDatanodeStorageReportResponse', {
  datanodeStorageReports: repeated(1, datanodeStorageReport),
})
export type GetDatanodeStorageReportResponse = MessageOf<typeof getDatanodeStorageReportResponse>

export const getSlowDatanodeReportResponse = message('GetSlowDatanodeReportResponse', {
  datanodeInfoProto: repeated(1, datanodeInfo),
})
export type GetSlowDatanodeReportResponse = MessageOf<typeof getSlowDatanodeReportResponse>

export const setSafeModeRequest = message('SetSafeModeRequest', {
  action: required(1, safeModeActionEnum),
  checked: withDefault(2, bool, false),
})
export type SetSafeModeRequest = MessageOf<typeof setSafeModeRequest>

export const setSafeModeResponse = message('SetSafeModeResponse', {
  result: required(1, bool),
})
export type SetSafeModeResponse = MessageOf<typeof setSafeModeResponse>

export const saveNamespaceRequest = message('SaveNamespaceRequest', {
  timeWindow: withDefault(1, u64, 0),
  txGap: withDefault(2, u64, 0),
})
export type SaveNamespaceRequest = MessageOf<typeof saveNamespaceRequest>

export const saveNamespaceResponse = message('SaveNamespaceResponse', {
  saved: withDefault(1, bool, true),
})
export type SaveNamespaceResponse = MessageOf<typeof saveNamespaceResponse>

export const rollEditsResponse = message('RollEditsResponse', {
  newSegmentTxId: required(1, u64),
})
export type RollEditsResponse = MessageOf<typeof rollEditsResponse>

export const restoreFailedStorageRequest = message('RestoreFailedStorageRequest', {
  arg: required(1, str),
})
export type RestoreFailedStorageRequest = MessageOf<typeof restoreFailedStorageRequest>

export const restoreFailedStorageResponse = message('RestoreFailedStorageResponse', {
  result: required(1, bool),
})
export type RestoreFailedStorageResponse = MessageOf<typeof restoreFailedStorageResponse>

export const upgradeStatusResponse = message('UpgradeStatusResponse', {
  upgradeFinalized: required(1, bool),
})
export type UpgradeStatusResponse = MessageOf<typeof upgradeStatusResponse>

export const rollingUpgradeRequest = message('RollingUpgradeRequest', {
  action: required(1, rollingUpgradeActionEnum),
})
export type RollingUpgradeRequest = MessageOf<typeof rollingUpgradeRequest>

export const rollingUpgradeResponse = message('RollingUpgradeResponse', {
  rollingUpgradeInfo: optional(1, rollingUpgradeInfo),
})
export type RollingUpgradeResponse = MessageOf<typeof rollingUpgradeResponse>

export const metaSaveRequest = message('MetaSaveRequest', {
  filename: required(1, str),
})
export type MetaSaveRequest = MessageOf<typeof metaSaveRequest>

export const setBalancerBandwidthRequest = message('SetBalancerBandwidthRequest', {
  bandwidth: required(1, i64),
})
export type SetBalancerBandwidthRequest = MessageOf<typeof setBalancerBandwidthRequest>

export const getDataEncryptionKeyResponse = message('GetDataEncryptionKeyResponse', {
  dataEncryptionKey: optional(1, dataEncryptionKey),
})
export type GetDataEncryptionKeyResponse = MessageOf<typeof getDataEncryptionKeyResponse>

export const getDelegationTokenRequest = message('GetDelegationTokenRequest', {
  renewer: required(1, str),
})
export type GetDelegationTokenRequest = MessageOf<typeof getDelegationTokenRequest>

export const getDelegationTokenResponse = message('GetDelegationTokenResponse', {
  token: optional(1, token),
})
export type GetDelegationTokenResponse = MessageOf<typeof getDelegationTokenResponse>

export const renewDelegationTokenRequest = message('RenewDelegationTokenRequest', {
  token: required(1, token),
})
export type RenewDelegationTokenRequest = MessageOf<typeof renewDelegationTokenRequest>

export const renewDelegationTokenResponse = message('RenewDelegationTokenResponse', {
  newExpiryTime: required(1, u64),
})
export type RenewDelegationTokenResponse = MessageOf<typeof renewDelegationTokenResponse>

export const cancelDelegationTokenRequest = message('CancelDelegationTokenRequest', {
  token: required(1, token),
})
export type CancelDelegationTokenRequest = MessageOf<typeof cancelDelegationTokenRequest>

export const getHAServiceStateResponse = message('GetHAServiceStateResponse', {
  state: required(1, haServiceStateEnum),
})
export type GetHAServiceStateResponse = MessageOf<typeof getHAServiceStateResponse>

export const listOpenFilesRequest = message('ListOpenFilesRequest', {
  id: required(1, i64),
  types: repeated(2, openFilesTypeEnum),
  path: optional(3, str),
})
export type ListOpenFilesRequest = MessageOf<typeof listOpenFilesRequest>

export const listOpenFilesResponse = message('ListOpenFilesResponse', {
  entries: repeated(1, openFilesBatchResponse),
  hasMore: required(2, bool),
  types: repeated(3, openFilesTypeEnum),
})
export type ListOpenFilesResponse = MessageOf<typeof listOpenFilesResponse>

export const getCurrentEditLogTxidResponse = message('GetCurrentEditLogTxidResponse', {
  txid: required(1, i64),
})
export type GetCurrentEditLogTxidResponse = MessageOf<typeof getCurrentEditLogTxidResponse>

export const getEditsFromTxidRequest = message('GetEditsFromTxidRequest', {
  txid: required(1, i64),
})
export type GetEditsFromTxidRequest = MessageOf<typeof getEditsFromTxidRequest>

export const getEditsFromTxidResponse = message('GetEditsFromTxidResponse', {
  eventsList: required(1, eventsList),
})
export type GetEditsFromTxidResponse = MessageOf<typeof getEditsFromTxidResponse>
