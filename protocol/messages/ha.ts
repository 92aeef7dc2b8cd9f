/**
 * High availability: HAServiceProtocol and ZKFCProtocol.
 */
import {
  bool,
  type EnumOf,
  enumeration,
  type MessageOf,
  message,
  method,
  optional,
  required,
  service,
  str,
  u32,
} from '../message.ts'
import { haServiceStateEnum } from './client-namenode-admin.ts'
import { emptyMessage } from './rpc.ts'

export const haRequestSourceEnum = enumeration({
  REQUEST_BY_USER: 0,
  REQUEST_BY_USER_FORCED: 1,
  REQUEST_BY_ZKFC: 2,
})
export type HARequestSource = EnumOf<typeof haRequestSourceEnum>

export const haStateChangeRequestInfo = message('HAStateChangeRequestInfo', {
  reqSource: required(1, haRequestSourceEnum),
})
export type HaStateChangeRequestInfo = MessageOf<typeof haStateChangeRequestInfo>

export const getServiceStatusResponse = message('GetServiceStatusResponse', {
  state: required(1, haServiceStateEnum),
  readyToBecomeActive: optional(2, bool),
  notReadyReason: optional(3, str),
})
export type GetServiceStatusResponse = MessageOf<typeof getServiceStatusResponse>

export const transitionToActiveRequest = message('TransitionToActiveRequest', {
  reqInfo: required(1, haStateChangeRequestInfo),
})
export type TransitionToActiveRequest = MessageOf<typeof transitionToActiveRequest>

export const transitionToStandbyRequest = message('TransitionToStandbyRequest', {
  reqInfo: required(1, haStateChangeRequestInfo),
})
export type TransitionToStandbyRequest = MessageOf<typeof transitionToStandbyRequest>

export const transitionToObserverRequest = message('TransitionToObserverRequest', {
  reqInfo: required(1, haStateChangeRequestInfo),
})
export type TransitionToObserverRequest = MessageOf<typeof transitionToObserverRequest>

export const cedeActiveRequest = message('CedeActiveRequest', {
  millisToCede: required(1, u32),
})
export type CedeActiveRequest = MessageOf<typeof cedeActiveRequest>

export const haServiceProtocol = service('org.apache.hadoop.ha.HAServiceProtocol', {
  monitorHealth: method(emptyMessage, emptyMessage, 'idempotent'),
  getServiceStatus: method(emptyMessage, getServiceStatusResponse, 'read'),
  transitionToActive: method(transitionToActiveRequest, emptyMessage, 'idempotent'),
  transitionToStandby: method(transitionToStandbyRequest, emptyMessage, 'idempotent'),
  transitionToObserver: method(transitionToObserverRequest, emptyMessage, 'idempotent'),
})

export const zkfcProtocol = service('org.apache.hadoop.ha.ZKFCProtocol', {
  cedeActive: method(cedeActiveRequest, emptyMessage, 'idempotent'),
  gracefulFailover: method(emptyMessage, emptyMessage, 'idempotent'),
})
