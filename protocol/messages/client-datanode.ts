/**
 * ClientDatanodeProtocol and reconfiguration, what clients and admins ask of a datanode (ClientDatanodeProtocol.proto).
 */
import {
  bool,
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
  u64big,
} from '../message.ts'
import { datanodeLocalInfo, datanodeVolumeInfo, extendedBlock, token } from './hdfs-blocks.ts'
import { emptyMessage } from './rpc.ts'

export const getReconfigurationStatusConfigChange = message(
  'GetReconfigurationStatusConfigChange',
  {
    name: required(1, str),
    oldValue: required(2, str),
    newValue: optional(3, str),
    errorMessage: optional(4, str),
  },
)
export type GetReconfigurationStatusConfigChange = MessageOf<
  typeof getReconfigurationStatusConfigChange
>

export const getReplicaVisibleLengthRequest = message('GetReplicaVisibleLengthRequest', {
  block: required(1, extendedBlock),
})
export type GetReplicaVisibleLengthRequest = MessageOf<typeof getReplicaVisibleLengthRequest>

/** 2^64 - 1 when the replica is not readable. */
export const getReplicaVisibleLengthResponse = message('GetReplicaVisibleLengthResponse', {
  length: required(1, u64big),
})
export type GetReplicaVisibleLengthResponse = MessageOf<typeof getReplicaVisibleLengthResponse>

export const getBlockLocalPathInfoRequest = message('GetBlockLocalPathInfoRequest', {
  block: required(1, extendedBlock),
  token: required(2, token),
})
export type GetBlockLocalPathInfoRequest = MessageOf<typeof getBlockLocalPathInfoRequest>

export const getBlockLocalPathInfoResponse = message('GetBlockLocalPathInfoResponse', {
  block: required(1, extendedBlock),
  localPath: required(2, str),
  localMetaPath: required(3, str),
})
export type GetBlockLocalPathInfoResponse = MessageOf<typeof getBlockLocalPathInfoResponse>

export const deleteBlockPoolRequest = message('DeleteBlockPoolRequest', {
  blockPool: required(1, str),
  force: required(2, bool),
})
export type DeleteBlockPoolRequest = MessageOf<typeof deleteBlockPoolRequest>

export const shutdownDatanodeRequest = message('ShutdownDatanodeRequest', {
  forUpgrade: required(1, bool),
})
export type ShutdownDatanodeRequest = MessageOf<typeof shutdownDatanodeRequest>

export const getDatanodeInfoResponse = message('GetDatanodeInfoResponse', {
  localInfo: required(1, datanodeLocalInfo),
})
export type GetDatanodeInfoResponse = MessageOf<typeof getDatanodeInfoResponse>

export const getVolumeReportResponse = message('GetVolumeReportResponse', {
  volumeInfo: repeated(1, datanodeVolumeInfo),
})
export type GetVolumeReportResponse = MessageOf<typeof getVolumeReportResponse>

export const triggerBlockReportRequest = message('TriggerBlockReportRequest', {
  incremental: required(1, bool),
  nnAddress: optional(2, str),
})
export type TriggerBlockReportRequest = MessageOf<typeof triggerBlockReportRequest>

export const getBalancerBandwidthResponse = message('GetBalancerBandwidthResponse', {
  bandwidth: required(1, u64),
})
export type GetBalancerBandwidthResponse = MessageOf<typeof getBalancerBandwidthResponse>

export const submitDiskBalancerPlanRequest = message('SubmitDiskBalancerPlanRequest', {
  planID: required(1, str),
  plan: required(2, str),
  planVersion: optional(3, u64),
  ignoreDateCheck: optional(4, bool),
  planFile: required(5, str),
})
export type SubmitDiskBalancerPlanRequest = MessageOf<typeof submitDiskBalancerPlanRequest>

export const cancelDiskBalancerPlanRequest = message('CancelDiskBalancerPlanRequest', {
  planID: required(1, str),
})
export type CancelDiskBalancerPlanRequest = MessageOf<typeof cancelDiskBalancerPlanRequest>

export const queryDiskBalancerPlanResponse = message('QueryDiskBalancerPlanResponse', {
  result: optional(1, u32),
  planID: optional(2, str),
  currentStatus: optional(3, str),
  planFile: optional(4, str),
})
export type QueryDiskBalancerPlanResponse = MessageOf<typeof queryDiskBalancerPlanResponse>

export const getDiskBalancerSettingRequest = message('GetDiskBalancerSettingRequest', {
  key: required(1, str),
})
export type GetDiskBalancerSettingRequest = MessageOf<typeof getDiskBalancerSettingRequest>

export const getDiskBalancerSettingResponse = message('GetDiskBalancerSettingResponse', {
  value: required(1, str),
})
export type GetDiskBalancerSettingResponse = MessageOf<typeof getDiskBalancerSettingResponse>

export const getReconfigurationStatusResponse = message('GetReconfigurationStatusResponse', {
  startTime: required(1, i64),
  endTime: optional(2, i64),
  changes: repeated(3, getReconfigurationStatusConfigChange),
})
export type GetReconfigurationStatusResponse = MessageOf<typeof getReconfigurationStatusResponse>

export const listReconfigurablePropertiesResponse = message(
  'ListReconfigurablePropertiesResponse',
  {
    name: repeated(1, str),
  },
)
export type ListReconfigurablePropertiesResponse = MessageOf<
  typeof listReconfigurablePropertiesResponse
>

export const clientDatanodeProtocol = service(
  'org.apache.hadoop.hdfs.protocol.ClientDatanodeProtocol',
  {
    getReplicaVisibleLength: method(
      getReplicaVisibleLengthRequest,
      getReplicaVisibleLengthResponse,
      'read',
    ),
    getBlockLocalPathInfo: method(
      getBlockLocalPathInfoRequest,
      getBlockLocalPathInfoResponse,
      'read',
    ),
    refreshNamenodes: method(emptyMessage, emptyMessage, 'idempotent'),
    deleteBlockPool: method(deleteBlockPoolRequest, emptyMessage, 'idempotent'),
    shutdownDatanode: method(shutdownDatanodeRequest, emptyMessage, 'idempotent'),
    evictWriters: method(emptyMessage, emptyMessage, 'idempotent'),
    getDatanodeInfo: method(emptyMessage, getDatanodeInfoResponse, 'read'),
    getVolumeReport: method(emptyMessage, getVolumeReportResponse, 'read'),
    triggerBlockReport: method(triggerBlockReportRequest, emptyMessage, 'idempotent'),
    getBalancerBandwidth: method(emptyMessage, getBalancerBandwidthResponse, 'read'),
    submitDiskBalancerPlan: method(submitDiskBalancerPlanRequest, emptyMessage, 'idempotent'),
    cancelDiskBalancerPlan: method(cancelDiskBalancerPlanRequest, emptyMessage, 'idempotent'),
    queryDiskBalancerPlan: method(emptyMessage, queryDiskBalancerPlanResponse, 'read'),
    getDiskBalancerSetting: method(
      getDiskBalancerSettingRequest,
      getDiskBalancerSettingResponse,
      'read',
    ),
    getReconfigurationStatus: method(emptyMessage, getReconfigurationStatusResponse, 'read'),
    startReconfiguration: method(emptyMessage, emptyMessage, 'idempotent'),
    listReconfigurableProperties: method(
      emptyMessage,
      listReconfigurablePropertiesResponse,
      'read',
    ),
  },
)

export const reconfigurationProtocol = service(
  'org.apache.hadoop.hdfs.protocol.ReconfigurationProtocol',
  {
    getReconfigurationStatus: method(emptyMessage, getReconfigurationStatusResponse, 'read'),
    startReconfiguration: method(emptyMessage, emptyMessage, 'idempotent'),
    listReconfigurableProperties: method(
      emptyMessage,
      listReconfigurablePropertiesResponse,
      'read',
    ),
  },
)
