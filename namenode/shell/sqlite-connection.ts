import { pathToFileURL } from 'node:url'
import sqlite3 from 'sqlite3'
import { defined } from '../../base/assert.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { Cell } from './store-rows.ts'

/** One SQLite connection; statements run one at a time, on a thread of libuv's pool. */
export class Connection {
  readonly #database: sqlite3.Database
  readonly #statements = new Map<string, sqlite3.Statement>()
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0

  private constructor(database: sqlite3.Database) {
    this.#database = database
  }

  static open(file: string): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const mode = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE
      const database = new sqlite3.Database(file, mode, (error) => {
        if (error === null) resolve(new Connection(database))
        else reject(sqliteError(file, error))
      })
    })
  }

  /**
   * Opens a file that nobody writes, without a log or a lock beside it: one of a backup, or on a disk that
   * cannot be written.
   */
  static openImmutable(file: string): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const mode = sqlite3.OPEN_READONLY | sqlite3.OPEN_URI
      const uri = `${pathToFileURL(file).href}?immutable=1`
      const database = new sqlite3.Database(uri, mode, (error) => {
        if (error === null) resolve(new Connection(database))
        else reject(sqliteError(file, error))
      })
    })
  }

  /** Statements that wait or run. */
  get load(): number {
    return this.#waiting
  }

  /** Runs statements without parameters or rows. */
  exec(sql: string): Promise<void> {
    return this.#next(
      () =>
        new Promise((resolve, reject) => {
          this.#database.exec(sql, (error) => {
            if (error === null) resolve()
            else reject(error)
          })
        }),
    )
  }

  /** Runs one prepared statement to its end and returns its rows. */
  all<T>(sql: string, ...parameters: readonly Cell[]): Promise<readonly T[]> {
    return this.#next(async () => {
      const statement = await this.#prepared(sql)
      return new Promise<readonly T[]>((resolve, reject) => {
        statement.all<T>(parameters, (error: Error | null, rows: readonly T[]) => {
          if (error === null) resolve(rows)
          else reject(error)
        })
      })
    })
  }

  /** Runs a query of format/schema.ts, which answers one JSON array. */
  async rows<T>(sql: string, ...parameters: readonly Cell[]): Promise<readonly T[]> {
    const [answer] = await this.all<{ rows: string }>(sql, ...parameters)
    return JSON.parse(defined(answer, 'answer of a query').rows) as readonly T[]
  }

  /** Makes the statement that runs now fail. */
  interrupt(): void {
    this.#database.interrupt()
  }

  async close(): Promise<void> {
    await this.#next(async () => {
      for (const statement of this.#statements.values()) {
        await new Promise<void>((resolve) => {
          statement.finalize(() => resolve())
        })
      }
      await new Promise<void>((resolve, reject) => {
        this.#database.close((error) => {
          if (error === null) resolve()
          else reject(error)
        })
      })
    })
  }

  async #prepared(sql: string): Promise<sqlite3.Statement> {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = await new Promise<sqlite3.Statement>((resolve, reject) => {
      const prepared: sqlite3.Statement = this.#database.prepare(sql, (error: Error | null) => {
        if (error === null) resolve(prepared)
        else reject(error)
      })
    })
    this.#statements.set(sql, statement)
    return statement
  }

  #next<T>(action: () => Promise<T>): Promise<T> {
    this.#waiting += 1
    const result = this.#tail.then(action).finally(() => {
      this.#waiting -= 1
    })
    this.#tail = result.catch(() => undefined)
    return result
  }
}

export function isBusy(error: unknown): boolean {
  return error instanceof Error && error.message.includes('SQLITE_BUSY')
}

/** An error that came out of SQLite, and no bug of ours. */
export function isSqliteError(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('SQLITE_')
}

/** What SQLite says of a file that it cannot make sense of. */
export function isDamage(error: unknown): boolean {
  return error instanceof Error && /SQLITE_(CORRUPT|NOTADB)/.test(error.message)
}

/** Names the file in an error of SQLite. */
export function sqliteError(file: string, error: unknown): DfsError {
  if (error instanceof DfsError) return error
  const reason = error instanceof Error ? error.message : String(error)
  if (isDamage(error)) return damagedNamespace(file, reason, error)
  if (reason.includes('SQLITE_FULL')) {
    return new DfsError(
      'DISK_FULL',
      `Cannot write the namespace in "${file}": its disk is full; free space there`,
      { cause: error },
    )
  }
  return new DfsError('IO_ERROR', `Cannot use the namespace in "${file}": ${reason}`, {
    cause: error,
  })
}

/** The error for a database whose rows cannot be trusted; says what to run next. */
export function damagedNamespace(file: string, reason: string, cause?: unknown): DfsError {
  return new DfsError(
    'CORRUPTION',
    `The namespace in "${file}" is damaged: ${reason}. To see what is left of it, run: dfs offline ` +
      `schema ${file}; to bring it back from a backup, run: dfs namenode restore --from BACKUP --to NEWDIR`,
    { path: file, cause },
  )
}
