/**
 * Hadoop RPC version 9: headers, connection context and SASL (RpcHeader.proto, ProtobufRpcEngine.proto, IpcConnectionContext.proto).
 */
import {
  bytes,
  type EnumOf,
  enumeration,
  i64big,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  s32,
  str,
  u32,
  u64,
  withDefault,
} from '../message.ts'

export const rpcKindEnum = enumeration({ RPC_BUILTIN: 0, RPC_WRITABLE: 1, RPC_PROTOCOL_BUFFER: 2 })
export type RpcKind = EnumOf<typeof rpcKindEnum>

export const rpcOperationEnum = enumeration({
  RPC_FINAL_PACKET: 0,
  RPC_CONTINUATION_PACKET: 1,
  RPC_CLOSE_CONNECTION: 2,
})
export type RpcOperation = EnumOf<typeof rpcOperationEnum>

export const rpcStatusEnum = enumeration({ SUCCESS: 0, ERROR: 1, FATAL: 2 })
export type RpcStatus = EnumOf<typeof rpcStatusEnum>

export const rpcErrorCodeEnum = enumeration({
  ERROR_APPLICATION: 1,
  ERROR_NO_SUCH_METHOD: 2,
  ERROR_NO_SUCH_PROTOCOL: 3,
  ERROR_RPC_SERVER: 4,
  ERROR_SERIALIZING_RESPONSE: 5,
  ERROR_RPC_VERSION_MISMATCH: 6,
  FATAL_UNKNOWN: 10,
  FATAL_UNSUPPORTED_SERIALIZATION: 11,
  FATAL_INVALID_RPC_HEADER: 12,
  FATAL_DESERIALIZING_REQUEST: 13,
  FATAL_VERSION_MISMATCH: 14,
  FATAL_UNAUTHORIZED: 15,
})
export type RpcErrorCode = EnumOf<typeof rpcErrorCodeEnum>

export const saslStateEnum = enumeration({
  SUCCESS: 0,
  NEGOTIATE: 1,
  INITIATE: 2,
  CHALLENGE: 3,
  RESPONSE: 4,
  WRAP: 5,
})
export type SaslState = EnumOf<typeof saslStateEnum>

export const rpcTraceInfo = message('RPCTraceInfo', {
  traceId: optional(1, i64big),
  parentId: optional(2, i64big),
  spanContext: optional(3, bytes),
})
export type RpcTraceInfo = MessageOf<typeof rpcTraceInfo>

export const rpcCallerContext = message('RPCCallerContext', {
  context: required(1, str),
  signature: optional(2, bytes),
})
export type RpcCallerContext = MessageOf<typeof rpcCallerContext>

/** retryCount is -1 on context and SASL frames, 0 on a first try. */
export const rpcRequestHeader = message('RpcRequestHeader', {
  rpcKind: optional(1, rpcKindEnum),
  rpcOp: optional(2, rpcOperationEnum),
  callId: required(3, s32),
  clientId: required(4, bytes),
  retryCount: withDefault(5, s32, -1),
  traceInfo: optional(6, rpcTraceInfo),
  callerContext: optional(7, rpcCallerContext),
  stateId: optional(8, i64big),
  routerFederatedState: optional(9, bytes),
  authorizationHeader: optional(10, bytes),
})
export type RpcRequestHeader = MessageOf<typeof rpcRequestHeader>

/** callId is unsigned here and signed in the request: -33 arrives as 4294967263. */
export const rpcResponseHeader = message('RpcResponseHeader', {
  callId: required(1, u32),
  status: required(2, rpcStatusEnum),
  serverIpcVersionNum: optional(3, u32),
  exceptionClassName: optional(4, str),
  errorMsg: optional(5, str),
  errorDetail: optional(6, rpcErrorCodeEnum),
  clientId: optional(7, bytes),
  retryCount: withDefault(8, s32, -1),
  stateId: optional(9, i64big),
  routerFederatedState: optional(10, bytes),
})
export type RpcResponseHeader = MessageOf<typeof rpcResponseHeader>

export const requestHeader = message('RequestHeader', {
  methodName: required(1, str),
  declaringClassProtocolName: required(2, str),
  clientProtocolVersion: required(3, u64),
})
export type RequestHeader = MessageOf<typeof requestHeader>

export const userInformation = message('UserInformation', {
  effectiveUser: optional(1, str),
  realUser: optional(2, str),
})
export type UserInformation = MessageOf<typeof userInformation>

export const ipcConnectionContext = message('IpcConnectionContext', {
  userInfo: optional(2, userInformation),
  protocol: optional(3, str),
})
export type IpcConnectionContext = MessageOf<typeof ipcConnectionContext>

export const rpcSaslSaslAuth = message('RpcSaslSaslAuth', {
  method: required(1, str),
  mechanism: required(2, str),
  protocol: optional(3, str),
  serverId: optional(4, str),
  challenge: optional(5, bytes),
})
export type RpcSaslSaslAuth = MessageOf<typeof rpcSaslSaslAuth>

export const rpcSasl = message('RpcSasl', {
  version: optional(1, u32),
  state: required(2, saslStateEnum),
  token: optional(3, bytes),
  auths: repeated(4, rpcSaslSaslAuth),
})
export type RpcSasl = MessageOf<typeof rpcSasl>

export const routerFederatedStateEntry = message('RouterFederatedStateEntry', {
  key: optional(1, str),
  value: optional(2, i64big),
})
export type RouterFederatedStateEntry = MessageOf<typeof routerFederatedStateEntry>

export const routerFederatedState = message('RouterFederatedState', {
  namespaceStateIds: repeated(1, routerFederatedStateEntry),
})
export type RouterFederatedState = MessageOf<typeof routerFederatedState>

/** Request or reply of a method that has nothing to say. */
export const emptyMessage = message('Empty', {})
export type EmptyMessage = MessageOf<typeof emptyMessage>
