/**
 * Messages of OperatorProtocol about datanodes and the repair of what they lose.
 */
import {
  bool,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  u64,
} from '../message.ts'

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
