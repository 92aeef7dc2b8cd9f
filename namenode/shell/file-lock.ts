import { Connection, isBusy, sqliteError } from './sqlite-connection.ts'

/** A lock that the operating system drops when its process ends, however it ends. */
export interface FileLock {
  release(): Promise<void>
}

/**
 * Locks `file` against every other process (and every other holder in this one) by SQLite's exclusive
 * lock on it. A pid file cannot do that: the pid of a killed holder may belong to somebody else by now,
 * and two starting processes can both find it stale.
 * @returns `undefined` when it is held already.
 */
export async function tryLockFile(file: string): Promise<FileLock | undefined> {
  const connection = await Connection.open(file)
  try {
    // Nothing is ever written into it, so it needs no rollback journal beside it.
    await connection.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    await connection.close()
    if (isBusy(error)) return undefined
    throw sqliteError(file, error)
  }
  return { release: () => connection.close() }
}
