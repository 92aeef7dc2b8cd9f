import type { Operator } from '../../client/index.ts'

/** One file that a backup takes. */
export interface SourceFile {
  readonly name: string
  readonly bytes: number
}

export interface SourceSegment extends SourceFile {
  readonly firstTxid: number
}

/** What there is to copy, as of one moment; it stays readable until the session ends. */
export interface BackupSession {
  readonly clusterId: string
  /** Wall-clock milliseconds. */
  readonly time: number
  /** Everything up to this transaction is in the files. */
  readonly txid: number
  /** The database; absent when the segments continue what the caller has. */
  readonly database: (SourceFile & { readonly txid: number }) | undefined
  readonly segments: readonly SourceSegment[]
  /** Up to `length` bytes; fewer at the end of the file. */
  read(name: string, offset: number, length: number): Promise<Uint8Array>
  /** @param through what the caller has durably now; absent when it gave up */
  end(through?: number): Promise<void>
}

/** Where a backup is taken from. */
export interface BackupSource {
  /**
   * @param through the last transaction the caller has, -1 for none
   * @param isFull the caller wants the database whatever it has
   */
  begin(through: number, isFull: boolean): Promise<BackupSession>
}

/** A running namenode. */
export function onlineSource(operator: Operator): BackupSource {
  return {
    async begin(through, isFull) {
      const begun = await operator.beginBackup(through < 0 ? undefined : through, isFull)
      const { session, clusterId, time, txid, database, segments } = begun
      return {
        ...{ clusterId, time, txid, database, segments },
        read: (name, offset, length) => operator.readBackup(session, { name, offset, length }),
        end: (taken) => operator.endBackup(session, taken),
      }
    },
  }
}
