/**
 * Small services that every Hadoop server offers to administrators and their tools.
 */
import {
  i32,
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
} from '../message.ts'
import { emptyMessage } from './rpc.ts'

export const getGroupsForUserRequest = message('GetGroupsForUserRequest', {
  user: required(1, str),
})
export type GetGroupsForUserRequest = MessageOf<typeof getGroupsForUserRequest>

export const getGroupsForUserResponse = message('GetGroupsForUserResponse', {
  groups: repeated(1, str),
})
export type GetGroupsForUserResponse = MessageOf<typeof getGroupsForUserResponse>

export const genericRefreshRequest = message('GenericRefreshRequest', {
  identifier: optional(1, str),
  args: repeated(2, str),
})
export type GenericRefreshRequest = MessageOf<typeof genericRefreshRequest>

export const genericRefreshResponse = message('GenericRefreshResponse', {
  exitStatus: optional(1, i32),
  userMessage: optional(2, str),
  senderName: optional(3, str),
})
export type GenericRefreshResponse = MessageOf<typeof genericRefreshResponse>

export const genericRefreshResponseCollection = message('GenericRefreshResponseCollection', {
  responses: repeated(1, genericRefreshResponse),
})
export type GenericRefreshResponseCollection = MessageOf<typeof genericRefreshResponseCollection>

export const getProtocolVersionsRequest = message('GetProtocolVersionsRequest', {
  protocol: required(1, str),
})
export type GetProtocolVersionsRequest = MessageOf<typeof getProtocolVersionsRequest>

export const protocolVersion = message('ProtocolVersion', {
  rpcKind: required(1, str),
  versions: repeated(2, u64),
})
export type ProtocolVersion = MessageOf<typeof protocolVersion>

export const getProtocolVersionsResponse = message('GetProtocolVersionsResponse', {
  protocolVersions: repeated(1, protocolVersion),
})
export type GetProtocolVersionsResponse = MessageOf<typeof getProtocolVersionsResponse>

export const getProtocolSignatureRequest = message('GetProtocolSignatureRequest', {
  protocol: required(1, str),
  rpcKind: required(2, str),
})
export type GetProtocolSignatureRequest = MessageOf<typeof getProtocolSignatureRequest>

export const protocolSignature = message('ProtocolSignature', {
  version: required(1, u64),
  methods: repeated(2, u32),
})
export type ProtocolSignature = MessageOf<typeof protocolSignature>

export const getProtocolSignatureResponse = message('GetProtocolSignatureResponse', {
  protocolSignature: repeated(1, protocolSignature),
})
export type GetProtocolSignatureResponse = MessageOf<typeof getProtocolSignatureResponse>

export const getUserMappingsProtocol = service('org.apache.hadoop.tools.GetUserMappingsProtocol', {
  getGroupsForUser: method(getGroupsForUserRequest, getGroupsForUserResponse, 'read'),
})

export const genericRefreshProtocol = service('org.apache.hadoop.ipc.GenericRefreshProtocol', {
  refresh: method(genericRefreshRequest, genericRefreshResponseCollection, 'idempotent'),
})

export const refreshUserMappingsProtocol = service(
  'org.apache.hadoop.security.RefreshUserMappingsProtocol',
  {
    refreshUserToGroupsMappings: method(emptyMessage, emptyMessage, 'idempotent'),
    refreshSuperUserGroupsConfiguration: method(emptyMessage, emptyMessage, 'idempotent'),
  },
)

export const refreshAuthorizationPolicyProtocol = service(
  'org.apache.hadoop.security.authorize.RefreshAuthorizationPolicyProtocol',
  {
    refreshServiceAcl: method(emptyMessage, emptyMessage, 'idempotent'),
  },
)

export const refreshCallQueueProtocol = service('org.apache.hadoop.ipc.RefreshCallQueueProtocol', {
  refreshCallQueue: method(emptyMessage, emptyMessage, 'idempotent'),
})

export const protocolMetaInfo = service('org.apache.hadoop.ipc.ProtocolMetaInfoPB', {
  getProtocolVersions: method(getProtocolVersionsRequest, getProtocolVersionsResponse, 'read'),
  getProtocolSignature: method(getProtocolSignatureRequest, getProtocolSignatureResponse, 'read'),
})
