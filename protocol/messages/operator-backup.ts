/**
 * Messages of OperatorProtocol that copy the namenode's state. A backup is a session: `beginBackup` says
 * what there is, `readBackup` reads pieces of it, `endBackup` lets the namenode go on as before.
 */
import { bool, bytes, message, optional, repeated, required, str, u64 } from '../message.ts'

export const beginBackupRequest = message('BeginBackupRequest', {
  /** The caller has everything up to this transaction; absent when it has nothing. */
  through: optional(1, u64),
  /** Wants the database whatever it has. */
  isFull: required(2, bool),
})

/** A closed segment of the journal, live or archived. */
export const backupSegment = message('BackupSegment', {
  name: required(1, str),
  bytes: required(2, u64),
  firstTxid: required(3, u64),
})

/** The database, which stays as it is until the session ends. */
export const backupDatabase = message('BackupDatabase', {
  name: required(1, str),
  bytes: required(2, u64),
  txid: required(3, u64),
})

export const beginBackupResponse = message('BeginBackupResponse', {
  session: required(1, u64),
  clusterId: required(2, str),
  /** Wall-clock milliseconds. */
  time: required(3, u64),
  /** Everything up to here is in the files named. */
  txid: required(4, u64),
  /** Absent when the segments continue what the caller has. */
  database: optional(5, backupDatabase),
  segments: repeated(6, backupSegment),
})

export const readBackupRequest = message('ReadBackupRequest', {
  session: required(1, u64),
  name: required(2, str),
  offset: required(3, u64),
  length: required(4, u64),
})

/** Shorter than asked for only at the end of the file. */
export const readBackupResponse = message('ReadBackupResponse', { data: required(1, bytes) })

export const endBackupRequest = message('EndBackupRequest', {
  session: required(1, u64),
  /** The caller has everything up to this transaction durably; absent when it gave up. */
  through: optional(2, u64),
})
