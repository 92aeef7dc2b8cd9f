/**
 * Messages of OperatorProtocol about balancing. Sizes are bytes.
 */
import {
  bool,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  u32,
  u64,
} from '../message.ts'

/** A datanode in service and how full it will be when what is under way is done. */
export const balancedDatanode = message('BalancedDatanode', {
  uuid: required(1, str),
  name: required(2, str),
  capacity: required(3, u64),
  used: required(4, u64),
})
export type BalancedDatanode = MessageOf<typeof balancedDatanode>

/** Bytes that should go from one datanode to another, by name. */
export const balanceFlow = message('BalanceFlow', {
  source: required(1, str),
  target: required(2, str),
  bytes: required(3, u64),
})
export type BalanceFlow = MessageOf<typeof balanceFlow>

export const getBalanceRequest = message('GetBalanceRequest', {
  /** Plan for this threshold instead of the one in force. */
  thresholdPercent: optional(1, u32),
})
export type GetBalanceRequest = MessageOf<typeof getBalanceRequest>

/** What is absent stays as it is. */
export const setBalanceRequest = message('SetBalanceRequest', {
  isEnabled: optional(1, bool),
  thresholdPercent: optional(2, u32),
  bytesPerSecond: optional(3, u64),
})
export type SetBalanceRequest = MessageOf<typeof setBalanceRequest>

export const balanceResponse = message('BalanceResponse', {
  isEnabled: required(1, bool),
  thresholdPercent: required(2, u32),
  bytesPerSecond: required(3, u64),
  movingBlocks: required(4, u64),
  movingBytes: required(5, u64),
  movedBlocks: required(6, u64),
  movedBytes: required(7, u64),
  /** Why nothing is moved although there would be something: `repair`. */
  waitsFor: optional(8, str),
  datanodes: repeated(9, balancedDatanode),
  flows: repeated(10, balanceFlow),
})
export type BalanceResponse = MessageOf<typeof balanceResponse>
