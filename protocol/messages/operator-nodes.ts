/**
 * Messages of OperatorProtocol about datanodes and the repair of what they lose.
 */
import {
  bool,
  type EnumOf,
  enumeration,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  u32,
  u64,
  withDefault,
} from '../message.ts'
import { adminStateEnum } from './hdfs-blocks.ts'

/** A datanode lost recently: who, and when it was taken for dead, in milliseconds since the epoch. */
export const lostDatanode = message('LostDatanode', {
  uuid: required(1, str),
  name: required(2, str),
  lostAtMs: required(3, u64),
})
export type LostDatanode = MessageOf<typeof lostDatanode>

/** Why repair waits, or that it does not. */
export const repairGuardResponse = message('RepairGuardResponse', {
  isPaused: required(1, bool),
  /** Milliseconds since the epoch; absent while repair runs. */
  pausedAtMs: optional(2, u64),
  lost: repeated(3, lostDatanode),
  /** Datanodes that are not dead. */
  remaining: required(4, u64),
})
export type RepairGuardResponse = MessageOf<typeof repairGuardResponse>

/** `UNKNOWN`: something is asked of it, and it was not heard of since the namenode started. */
export const livenessEnum = enumeration({ LIVE: 1, DISCONNECTED: 2, STALE: 3, DEAD: 4, UNKNOWN: 5 })

export const datanodeGoalEnum = enumeration({ NORMAL: 1, DECOMMISSIONED: 2, IN_MAINTENANCE: 3 })
export type DatanodeGoal = EnumOf<typeof datanodeGoalEnum>

/** How far the draining of a datanode has got. */
export const drainProgress = message('DrainProgress', {
  blocks: required(1, u64),
  bytes: required(2, u64),
  /** The part of `blocks` that is being written. */
  openBlocks: required(3, u64),
  blocksAtStart: required(4, u64),
  bytesPerSecond: required(5, u64),
  /** Absent while nothing moves. */
  etaMs: optional(6, u64),
})
export type DrainProgress = MessageOf<typeof drainProgress>

/** A block that is left on a datanode being drained, and why. */
export const blockLeft = message('BlockLeft', {
  blockId: required(1, u64),
  reason: required(2, str),
  path: optional(3, str),
})
export type BlockLeft = MessageOf<typeof blockLeft>

/** A datanode and what is asked of it. Times are milliseconds since the epoch, sizes bytes. */
export const operatorDatanode = message('OperatorDatanode', {
  uuid: required(1, str),
  name: required(2, str),
  ipAddress: optional(3, str),
  rack: optional(4, str),
  liveness: required(5, livenessEnum),
  adminState: required(6, adminStateEnum),
  capacity: required(7, u64),
  used: required(8, u64),
  remaining: required(9, u64),
  replicas: required(10, u64),
  silentMs: optional(11, u64),
  requestedAtMs: optional(12, u64),
  /** Maintenance with an end. */
  expiresAtMs: optional(13, u64),
  left: optional(14, drainProgress),
  /** Why draining cannot be done now whatever is left. */
  obstacle: optional(15, str),
  blocksLeft: repeated(16, blockLeft),
  /** Storages that failed, and storages with no full report since the datanode registered. */
  failedStorages: withDefault(17, u64, 0),
  unreportedStorages: withDefault(18, u64, 0),
  /** It comes and goes, and gets new replicas only when no other datanode can take them. */
  isUnsteady: withDefault(19, bool, false),
})
export type OperatorDatanode = MessageOf<typeof operatorDatanode>

export const listDatanodesRequest = message('ListDatanodesRequest', {
  /** Only this one: uuid, host or `host:port`. */
  node: optional(1, str),
  /** How many of the blocks left to explain, for each datanode. */
  blocksLeftMax: withDefault(2, u32, 0),
})
export type ListDatanodesRequest = MessageOf<typeof listDatanodesRequest>

export const listDatanodesResponse = message('ListDatanodesResponse', {
  datanodes: repeated(1, operatorDatanode),
})
export type ListDatanodesResponse = MessageOf<typeof listDatanodesResponse>

export const setDatanodeGoalRequest = message('SetDatanodeGoalRequest', {
  node: required(1, str),
  goal: required(2, datanodeGoalEnum),
  /** IN_MAINTENANCE only: ends by itself after that. */
  durationMs: optional(3, u64),
})
export type SetDatanodeGoalRequest = MessageOf<typeof setDatanodeGoalRequest>

export const setDatanodeGoalResponse = message('SetDatanodeGoalResponse', {
  datanode: required(1, operatorDatanode),
})
export type SetDatanodeGoalResponse = MessageOf<typeof setDatanodeGoalResponse>

export const safeModeStateEnum = enumeration({ OFF: 1, PENDING_THRESHOLD: 2, MANUAL: 3 })

/** Safe mode, and what the namenode does not know yet since its start. */
export const safeModeStatus = message('SafeModeStatus', {
  state: required(1, safeModeStateEnum),
  /** Blocks of the namespace; absent while nobody knows. */
  totalBlocks: optional(2, u64),
  /** Blocks that are open or have a reported replica, and how many of them end start-up safe mode. */
  safeBlocks: required(3, u64),
  neededBlocks: required(4, u64),
  /** Start-up safe mode ends in any case after this. */
  endsInMs: optional(5, u64),
  /** Rows of blocks are still being loaded. */
  isLoading: required(6, bool),
  /** Blocks from before the start are not copied before this is over: their datanodes may still come. */
  graceMs: optional(7, u64),
  /** Datanodes that registered and have not reported every storage, `host:port`. */
  unreported: repeated(8, str),
  /** Changes are refused because the namenode's own disk is nearly full. */
  isLowOnSpace: withDefault(9, bool, false),
})
export type SafeModeStatus = MessageOf<typeof safeModeStatus>
