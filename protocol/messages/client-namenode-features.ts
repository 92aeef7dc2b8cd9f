/**
 * ClientProtocol: erasure coding, storage policies, encryption zones and caching.
 */
import {
  bool,
  i64,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  u32,
} from '../message.ts'
import {
  addErasureCodingPolicyResponse,
  cacheDirectiveEntry,
  cacheDirectiveInfo,
  cachePoolEntry,
  cachePoolInfo,
  codec,
  ecTopologyVerifierResult,
  encryptionZone,
  reencryptActionEnum,
  zoneReencryptionStatus,
} from './hdfs-features.ts'
import { blockStoragePolicy, erasureCodingPolicy } from './hdfs-files.ts'

export const setErasureCodingPolicyRequest = message('SetErasureCodingPolicyRequest', {
  src: required(1, str),
  ecPolicyName: optional(2, str),
})
export type SetErasureCodingPolicyRequest = MessageOf<typeof setErasureCodingPolicyRequest>

export const unsetErasureCodingPolicyRequest = message('UnsetErasureCodingPolicyRequest', {
  src: required(1, str),
})
export type UnsetErasureCodingPolicyRequest = MessageOf<typeof unsetErasureCodingPolicyRequest>

export const getErasureCodingPolicyRequest = message('GetErasureCodingPolicyRequest', {
  src: required(1, str),
})
export type GetErasureCodingPolicyRequest = MessageOf<typeof getErasureCodingPolicyRequest>

export const getErasureCodingPolicyResponse = message('GetErasureCodingPolicyResponse', {
  ecPolicy: optional(1, erasureCodingPolicy),
})
export type GetErasureCodingPolicyResponse = MessageOf<typeof getErasureCodingPolicyResponse>

export const getErasureCodingPoliciesResponse = message('GetErasureCodingPoliciesResponse', {
  ecPolicies: repeated(1, erasureCodingPolicy),
})
export type GetErasureCodingPoliciesResponse = MessageOf<typeof getErasureCodingPoliciesResponse>

export const getErasureCodingCodecsResponse = message('GetErasureCodingCodecsResponse', {
  codec: repeated(1, codec),
})
export type GetErasureCodingCodecsResponse = MessageOf<typeof getErasureCodingCodecsResponse>

export const addErasureCodingPoliciesRequest = message('AddErasureCodingPoliciesRequest', {
  ecPolicies: repeated(1, erasureCodingPolicy),
})
export type AddErasureCodingPoliciesRequest = MessageOf<typeof addErasureCodingPoliciesRequest>

export const addErasureCodingPoliciesResponse = message('AddErasureCodingPoliciesResponse', {
  responses: repeated(1, addErasureCodingPolicyResponse),
})
export type AddErasureCodingPoliciesResponse = MessageOf<typeof addErasureCodingPoliciesResponse>

export const removeErasureCodingPolicyRequest = message('RemoveErasureCodingPolicyRequest', {
  ecPolicyName: required(1, str),
})
export type RemoveErasureCodingPolicyRequest = MessageOf<typeof removeErasureCodingPolicyRequest>

export const enableErasureCodingPolicyRequest = message('EnableErasureCodingPolicyRequest', {
  ecPolicyName: required(1, str),
})
export type EnableErasureCodingPolicyRequest = MessageOf<typeof enableErasureCodingPolicyRequest>

export const disableErasureCodingPolicyRequest = message('DisableErasureCodingPolicyRequest', {
  ecPolicyName: required(1, str),
})
export type DisableErasureCodingPolicyRequest = MessageOf<typeof disableErasureCodingPolicyRequest>

export const getECTopologyResultForPoliciesRequest = message(
  'GetECTopologyResultForPoliciesRequest',
  {
    policies: repeated(1, str),
  },
)
export type GetECTopologyResultForPoliciesRequest = MessageOf<
  typeof getECTopologyResultForPoliciesRequest
>

export const getECTopologyResultForPoliciesResponse = message(
  'GetECTopologyResultForPoliciesResponse',
  {
    response: required(1, ecTopologyVerifierResult),
  },
)
export type GetECTopologyResultForPoliciesResponse = MessageOf<
  typeof getECTopologyResultForPoliciesResponse
>

export const setStoragePolicyRequest = message('SetStoragePolicyRequest', {
  src: required(1, str),
  policyName: required(2, str),
})
export type SetStoragePolicyRequest = MessageOf<typeof setStoragePolicyRequest>

export const unsetStoragePolicyRequest = message('UnsetStoragePolicyRequest', {
  src: required(1, str),
})
export type UnsetStoragePolicyRequest = MessageOf<typeof unsetStoragePolicyRequest>

export const getStoragePolicyRequest = message('GetStoragePolicyRequest', {
  path: required(1, str),
})
export type GetStoragePolicyRequest = MessageOf<typeof getStoragePolicyRequest>

export const getStoragePolicyResponse = message('GetStoragePolicyResponse', {
  storagePolicy: required(1, blockStoragePolicy),
})
export type GetStoragePolicyResponse = MessageOf<typeof getStoragePolicyResponse>

export const getStoragePoliciesResponse = message('GetStoragePoliciesResponse', {
  policies: repeated(1, blockStoragePolicy),
})
export type GetStoragePoliciesResponse = MessageOf<typeof getStoragePoliciesResponse>

export const satisfyStoragePolicyRequest = message('SatisfyStoragePolicyRequest', {
  src: required(1, str),
})
export type SatisfyStoragePolicyRequest = MessageOf<typeof satisfyStoragePolicyRequest>

export const createEncryptionZoneRequest = message('CreateEncryptionZoneRequest', {
  src: required(1, str),
  keyName: optional(2, str),
})
export type CreateEncryptionZoneRequest = MessageOf<typeof createEncryptionZoneRequest>

export const listEncryptionZonesRequest = message('ListEncryptionZonesRequest', {
  id: required(1, i64),
})
export type ListEncryptionZonesRequest = MessageOf<typeof listEncryptionZonesRequest>

export const listEncryptionZonesResponse = message('ListEncryptionZonesResponse', {
  zones: repeated(1, encryptionZone),
  hasMore: required(2, bool),
})
export type ListEncryptionZonesResponse = MessageOf<typeof listEncryptionZonesResponse>

export const getEZForPathRequest = message('GetEZForPathRequest', {
  src: required(1, str),
})
export type GetEZForPathRequest = MessageOf<typeof getEZForPathRequest>

export const getEZForPathResponse = message('GetEZForPathResponse', {
  zone: optional(1, encryptionZone),
})
export type GetEZForPathResponse = MessageOf<typeof getEZForPathResponse>

export const reencryptEncryptionZoneRequest = message('ReencryptEncryptionZoneRequest', {
  action: required(1, reencryptActionEnum),
  zone: required(2, str),
})
export type ReencryptEncryptionZoneRequest = MessageOf<typeof reencryptEncryptionZoneRequest>

export const listReencryptionStatusRequest = message('ListReencryptionStatusRequest', {
  id: required(1, i64),
})
export type ListReencryptionStatusRequest = MessageOf<typeof listReencryptionStatusRequest>

export const listReencryptionStatusResponse = message('ListReencryptionStatusResponse', {
  statuses: repeated(1, zoneReencryptionStatus),
  hasMore: required(2, bool),
})
export type ListReencryptionStatusResponse = MessageOf<typeof listReencryptionStatusResponse>

export const addCacheDirectiveRequest = message('AddCacheDirectiveRequest', {
  info: required(1, cacheDirectiveInfo),
  cacheFlags: optional(2, u32),
})
export type AddCacheDirectiveRequest = MessageOf<typeof addCacheDirectiveRequest>

export const addCacheDirectiveResponse = message('AddCacheDirectiveResponse', {
  id: required(1, i64),
})
export type AddCacheDirectiveResponse = MessageOf<typeof addCacheDirectiveResponse>

export const modifyCacheDirectiveRequest = message('ModifyCacheDirectiveRequest', {
  info: required(1, cacheDirectiveInfo),
  cacheFlags: optional(2, u32),
})
export type ModifyCacheDirectiveRequest = MessageOf<typeof modifyCacheDirectiveRequest>

export const removeCacheDirectiveRequest = message('RemoveCacheDirectiveRequest', {
  id: required(1, i64),
})
export type RemoveCacheDirectiveRequest = MessageOf<typeof removeCacheDirectiveRequest>

export const listCacheDirectivesRequest = message('ListCacheDirectivesRequest', {
  prevId: required(1, i64),
  filter: required(2, cacheDirectiveInfo),
})
export type ListCacheDirectivesRequest = MessageOf<typeof listCacheDirectivesRequest>

export const listCacheDirectivesResponse = message('ListCacheDirectivesResponse', {
  elements: repeated(1, cacheDirectiveEntry),
  hasMore: required(2, bool),
})
export type ListCacheDirectivesResponse = MessageOf<typeof listCacheDirectivesResponse>

export const addCachePoolRequest = message('AddCachePoolRequest', {
  info: required(1, cachePoolInfo),
})
export type AddCachePoolRequest = MessageOf<typeof addCachePoolRequest>

export const modifyCachePoolRequest = message('ModifyCachePoolRequest', {
  info: required(1, cachePoolInfo),
})
export type ModifyCachePoolRequest = MessageOf<typeof modifyCachePoolRequest>

export const removeCachePoolRequest = message('RemoveCachePoolRequest', {
  poolName: required(1, str),
})
export type RemoveCachePoolRequest = MessageOf<typeof removeCachePoolRequest>

export const listCachePoolsRequest = message('ListCachePoolsRequest', {
  prevPoolName: required(1, str),
})
export type ListCachePoolsRequest = MessageOf<typeof listCachePoolsRequest>

export const listCachePoolsResponse = message('ListCachePoolsResponse', {
  entries: repeated(1, cachePoolEntry),
  hasMore: required(2, bool),
})
export type ListCachePoolsResponse = MessageOf<typeof listCachePoolsResponse>
