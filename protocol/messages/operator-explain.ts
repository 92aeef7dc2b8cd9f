/**
 * Messages of OperatorProtocol that explain a block or a datanode. Times are milliseconds since the epoch.
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

/** What a replica is worth; `GOOD` and `UNCONFIRMED` count, from `REPORTED_CORRUPT` on it is corrupt. */
export const replicaWorthEnum = enumeration({
  GOOD: 1,
  UNCONFIRMED: 2,
  BEING_WRITTEN: 3,
  WAITING: 4,
  TO_BE_DELETED: 5,
  UNREACHABLE: 6,
  LEAVING: 7,
  IN_MAINTENANCE: 8,
  REPORTED_CORRUPT: 16,
  STALE_STAMP: 17,
  FUTURE_STAMP: 18,
  WRONG_LENGTH: 19,
  NOT_FINALIZED: 20,
  DIVERGENT: 21,
  UNDECIDED: 22,
})

export const explainBlockRequest = message('ExplainBlockRequest', {
  blockId: required(1, u64),
})
export type ExplainBlockRequest = MessageOf<typeof explainBlockRequest>

export const explainedReplica = message('ExplainedReplica', {
  datanode: required(1, str),
  /** `host:port`. */
  name: required(2, str),
  rack: required(3, str),
  /** `live`, `disconnected`, `stale`, `dead`. */
  liveness: required(4, str),
  /** `normal`, `decommission-in-progress`, … */
  adminState: required(5, str),
  storage: required(6, str),
  generationStamp: required(7, u64),
  length: required(8, u64),
  worth: required(9, replicaWorthEnum),
  counts: required(10, bool),
})
export type ExplainedReplica = MessageOf<typeof explainedReplica>

export const explainedCopy = message('ExplainedCopy', {
  /** Absent for a member of the pipeline that is about to report. */
  from: optional(1, str),
  to: required(2, str),
  bytes: required(3, u64),
  sinceMs: required(4, u64),
  /** Absent while the order waits for the sender's heartbeat. */
  sentMs: optional(5, u64),
  untilMs: required(6, u64),
})
export type ExplainedCopy = MessageOf<typeof explainedCopy>

export const explainedRefusal = message('ExplainedRefusal', {
  datanode: required(1, str),
  reason: required(2, str),
})
export type ExplainedRefusal = MessageOf<typeof explainedRefusal>

export const explainedBlock = message('ExplainedBlock', {
  blockId: required(1, u64),
  generationStamp: required(2, u64),
  length: required(3, u64),
  /** `unverified`, `under-construction`, `under-recovery`, `committed`, `complete`. */
  state: required(4, str),
  wanted: required(5, u32),
  good: required(6, u32),
  isHealthy: required(7, bool),
  replicas: repeated(8, explainedReplica),
  copies: repeated(9, explainedCopy),
  /** The redundancy queue it waits in. */
  queue: optional(10, str),
  /** Why it was not helped at its last turn, and when that was. */
  hindrance: optional(11, str),
  hindranceMs: optional(12, u64),
  refusals: repeated(13, explainedRefusal),
  isDeletionPostponed: required(14, bool),
  nextTryMs: optional(15, u64),
  /** The file it belongs to; told to superusers. */
  path: optional(16, str),
})
export type ExplainedBlock = MessageOf<typeof explainedBlock>

export const explainBlockResponse = message('ExplainBlockResponse', {
  /** Absent when neither a row nor a report of the block is known. */
  block: optional(1, explainedBlock),
  /** Why nothing is repaired at the moment: `safe-mode`, `mass-failure`. */
  paused: optional(2, str),
})
export type ExplainBlockResponse = MessageOf<typeof explainBlockResponse>

export const explainDatanodeRequest = message('ExplainDatanodeRequest', {
  uuid: required(1, str),
})
export type ExplainDatanodeRequest = MessageOf<typeof explainDatanodeRequest>

export const explainedDatanode = message('ExplainedDatanode', {
  uuid: required(1, str),
  name: required(2, str),
  liveness: required(3, str),
  adminState: required(4, str),
  silenceMs: required(5, u64),
  replicas: required(6, u64),
  storages: required(7, u32),
  failedStorages: required(8, u32),
  unconfirmedStorages: required(9, u32),
  queuedTransfers: required(10, u32),
  queuedDeletions: required(11, u32),
  sentDeletions: required(12, u32),
  copiesOut: required(13, u32),
  copyBytesOut: required(14, u64),
  copiesIn: required(15, u32),
  copyBytesIn: required(16, u64),
  /** Measured; absent before the first copy. */
  outBytesPerSecond: optional(17, u64),
  inBytesPerSecond: optional(18, u64),
})
export type ExplainedDatanode = MessageOf<typeof explainedDatanode>

export const explainDatanodeResponse = message('ExplainDatanodeResponse', {
  datanode: optional(1, explainedDatanode),
  paused: optional(2, str),
})
export type ExplainDatanodeResponse = MessageOf<typeof explainDatanodeResponse>
