/**
 * Messages of OperatorProtocol about what the cluster does and did: the last hour in samples, what repair is about, and
 * what happened. Times are milliseconds since the epoch, sizes bytes, durations microseconds where they say so.
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
import { enumeration } from '../message-kinds.ts'

export const getHistoryRequest = message('GetHistoryRequest', {
  /** Only samples taken later. */
  afterMs: optional(1, u64),
})
export type GetHistoryRequest = MessageOf<typeof getHistoryRequest>

/** Counts are of the `spanMs` up to `atMs`. */
export const historySample = message('HistorySample', {
  atMs: required(1, u64),
  spanMs: required(2, u64),
  /** Calls of clients, and how long they took; absent without calls. */
  calls: required(3, u64),
  callP50Micros: optional(4, u64),
  callP99Micros: optional(5, u64),
  /** Absent when nothing had to be made durable. */
  syncP99Micros: optional(6, u64),
  /** Through the data transfer ports of all datanodes. */
  receivedBytes: required(7, u64),
  sentBytes: required(8, u64),
  copiedBlocks: required(9, u64),
  copiedBytes: required(10, u64),
  endangeredBlocks: required(11, u64),
  lowRedundancyBlocks: required(12, u64),
  usedBytes: required(13, u64),
  liveDatanodes: required(14, u32),
})
export type WireHistorySample = MessageOf<typeof historySample>

export const getHistoryResponse = message('GetHistoryResponse', {
  /** How often a sample is taken, and how far back they go at most. */
  periodMs: required(1, u64),
  spanMs: required(2, u64),
  samples: repeated(3, historySample),
  /** Id of the newest event of `listEvents`. */
  newestEvent: required(4, u64),
})
export type GetHistoryResponse = MessageOf<typeof getHistoryResponse>

export const getRepairStateRequest = message('GetRepairStateRequest', {
  /** How many of the copies under way to tell. */
  copiesMax: required(1, u32),
})
export type GetRepairStateRequest = MessageOf<typeof getRepairStateRequest>

/** Blocks that wait for an order, by danger. */
export const repairQueue = message('RepairQueue', {
  danger: required(1, str),
  blocks: required(2, u64),
})

export const copyUnderWay = message('CopyUnderWay', {
  blockId: required(1, u64),
  /** `host:port`. */
  source: required(2, str),
  target: required(3, str),
  bytes: required(4, u64),
  sinceMs: required(5, u64),
  /** The order has left for the source. */
  isSent: required(6, bool),
})

export const repairStateResponse = message('RepairStateResponse', {
  /** Most endangered first. */
  queues: repeated(1, repairQueue),
  /** The first of `copiesUnderWay`. */
  copies: repeated(2, copyUnderWay),
  copiesUnderWay: required(3, u64),
})
export type RepairStateResponse = MessageOf<typeof repairStateResponse>

export const eventKindEnum = enumeration({ AUDIT: 1, CLUSTER: 2, OPERATOR: 3 })
export const eventLevelEnum = enumeration({ INFO: 1, WARNING: 2, DANGER: 3 })

/** What is absent or empty does not restrict. */
export const listEventsRequest = message('ListEventsRequest', {
  kinds: repeated(1, eventKindEnum),
  levels: repeated(2, eventLevelEnum),
  /** Ids above and below. */
  after: optional(3, u64),
  before: optional(4, u64),
  /** Words that the text or the user has, in any case of letters. */
  text: optional(5, str),
  limit: required(6, u32),
})
export type ListEventsRequest = MessageOf<typeof listEventsRequest>

export const clusterEvent = message('ClusterEvent', {
  id: required(1, u64),
  atMs: required(2, u64),
  kind: required(3, eventKindEnum),
  level: required(4, eventLevelEnum),
  text: required(5, str),
  user: optional(6, str),
})
export type ClusterEvent = MessageOf<typeof clusterEvent>

export const listEventsResponse = message('ListEventsResponse', {
  /** The newest first. */
  events: repeated(1, clusterEvent),
  hasMore: required(2, bool),
  newest: required(3, u64),
  /** Lines of the audit log are told to superusers alone; this caller is none. */
  isWithoutAudit: required(4, bool),
})
export type ListEventsResponse = MessageOf<typeof listEventsResponse>
