import sqlite3 from 'sqlite3'
import { assert, defined } from '../../base/assert.ts'
import { type Millis, millis } from '../../base/brand.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  blockId,
  firstBlockId,
  firstGenerationStamp,
  generationStamp,
  inodeId,
  rootInodeId,
  txId,
} from '../../protocol/ids.ts'
import type { InodeRow, RequestId } from '../core/changes.ts'
import type { CachedReply, Loaded, Miss } from '../core/requests.ts'
import {
  checkSchemaVersion,
  createSchema,
  foldStatements,
  type MetaKey,
  queries,
  retryEntryLifeMs,
} from '../format/schema.ts'
import type { FoldBatch } from './fold-batch.ts'
import {
  type NamespaceIdentity,
  type NamespaceStore,
  positionAfter,
  type StoredBlock,
  type StorePosition,
} from './namespace-store.ts'
import {
  blockFromCells,
  type Cell,
  foldSteps,
  inodeFromCells,
  numberCell,
  type Row,
  replyFromText,
  textCell,
} from './store-rows.ts'

/** Rows of one fold statement: 1 to 3 ms of work each, so that nothing else waits long. */
const foldStatementRows = 256
/** Expired answers that a fold deletes, and twice as many as it adds, so that they get fewer. */
const expiredPerFoldMin = 1000
const readerCount = 2
const readerCacheKibibytes = 8 * 1024
const writerCacheKibibytes = 16 * 1024
/** Pages in the write-ahead log after which SQLite moves them into the database. */
const walPagesMax = 4000

/** One SQLite connection; statements run one at a time, on a thread of libuv's pool. */
class Connection {
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

/** The namespace in a SQLite database: one connection folds, two others load meanwhile. */
export class SqliteStore implements NamespaceStore {
  readonly #writer: Connection
  readonly #readers: readonly Connection[]
  readonly identity: NamespaceIdentity
  #position: StorePosition

  private constructor(
    connections: readonly [Connection, ...Connection[]],
    identity: NamespaceIdentity,
    position: StorePosition,
  ) {
    const [writer, ...readers] = connections
    this.#writer = writer
    this.#readers = readers
    this.identity = identity
    this.#position = position
  }

  /**
   * Writes an empty namespace into `file`, which must not hold one.
   * @throws {@link DfsError} FILE_EXISTS when it does.
   */
  static async format(file: string, identity: NamespaceIdentity): Promise<void> {
    const connection = await Connection.open(file)
    try {
      const [counted] = await connection.all<{ tables: number }>(
        'SELECT count(*) AS tables FROM sqlite_schema',
      )
      if (counted?.tables !== 0) {
        throw new DfsError('FILE_EXISTS', `Cannot format "${file}": it holds a database already`)
      }
      await configure(connection, writerCacheKibibytes)
      const meta: Record<MetaKey, string | number> = {
        ...identity,
        appliedTxid: 0,
        nextInodeId: rootInodeId + 1,
        nextBlockId: firstBlockId,
        nextGenerationStamp: firstGenerationStamp,
        files: 0,
        directories: 0,
        symlinks: 0,
        blocks: 0,
      }
      await connection.exec(`BEGIN IMMEDIATE; ${createSchema}`)
      await connection.all(foldStatements.putMeta, JSON.stringify(meta))
      await connection.exec('COMMIT')
    } finally {
      await connection.close()
    }
  }

  /**
   * Opens a formatted namespace.
   * @throws {@link DfsError} UNSUPPORTED_LAYOUT when another version of the program wrote it; CORRUPTION
   *   when SQLite cannot read it.
   */
  static async open(file: string): Promise<SqliteStore> {
    const opened: Connection[] = []
    try {
      const writer = await Connection.open(file)
      opened.push(writer)
      await checkVersion(writer, file)
      await configure(writer, writerCacheKibibytes)
      const meta = new Map(await writer.rows<readonly [string, Cell]>(queries.meta))
      const readers: Connection[] = []
      for (let index = 0; index < readerCount; index += 1) {
        const reader = await Connection.open(file)
        opened.push(reader)
        readers.push(reader)
        await configure(reader, readerCacheKibibytes)
      }
      return new SqliteStore([writer, ...readers], identityOf(meta), positionOf(meta))
    } catch (error) {
      for (const connection of opened) await connection.close()
      throw sqliteError(file, error)
    }
  }

  get position(): StorePosition {
    return this.#position
  }

  async load(misses: readonly Miss[]): Promise<readonly Loaded[]> {
    const reader = this.#reader()
    const loaded: (Loaded | undefined)[] = new Array<undefined>(misses.length)
    await Promise.all([
      loadInodes(reader, misses, loaded),
      loadEntries(reader, misses, loaded),
      loadBlocksOfInodes(reader, misses, loaded),
      loadBlocks(reader, misses, loaded),
      loadChildren(reader, misses, loaded),
    ])
    return loaded.map((answer) => defined(answer, 'answer to a miss'))
  }

  async *streamBlocks(pageRows: number): AsyncIterable<readonly StoredBlock[]> {
    let last: readonly [number, number] = [-1, -1]
    for (;;) {
      const rows = await this.#reader().rows<readonly [number, Row]>(
        queries.blockPage,
        ...last,
        pageRows,
      )
      const page = rows.map(([replication, cells]) => ({
        block: blockFromCells(cells),
        replication,
      }))
      const end = page.at(-1)?.block
      if (end === undefined) return
      yield page
      last = [end.inode, end.index]
    }
  }

  async openFiles(): Promise<readonly InodeRow[]> {
    const rows = await this.#reader().rows<Row>(queries.openFiles)
    return rows.map((cells) => inodeFromCells(cells))
  }

  async reply({ clientId, callId }: RequestId, since: Millis): Promise<CachedReply | undefined> {
    const found = await this.#reader().rows<string>(queries.reply, clientId, callId, since)
    return found[0] === undefined ? undefined : replyFromText(found[0])
  }

  async fold(batch: FoldBatch): Promise<void> {
    assert(batch.throughTxid > this.#position.appliedTxid, 'a fold moves forward')
    const position = positionAfter(this.#position, batch)
    const writer = this.#writer
    await writer.exec('BEGIN IMMEDIATE')
    try {
      for (const [statement, rows] of foldSteps(batch, foldStatementRows)) {
        await writer.all(statement, rows)
      }
      await writer.all(
        foldStatements.expireRetries,
        batch.wallTime - retryEntryLifeMs,
        expiredPerFoldMin + 2 * batch.retries.length,
      )
      await writer.all(foldStatements.putMeta, JSON.stringify(metaOf(position)))
      await writer.exec('COMMIT')
    } catch (error) {
      await writer.exec('ROLLBACK').catch(() => undefined)
      throw error
    }
    this.#position = position
  }

  async close(): Promise<void> {
    for (const reader of this.#readers) await reader.close()
    await this.#writer.close()
  }

  #reader(): Connection {
    const [first, ...others] = this.#readers
    let best = defined(first, 'a reading connection')
    for (const other of others) if (other.load < best.load) best = other
    return best
  }
}

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

/**
 * FULL: every commit syncs the log of SQLite. The journal's segments are deleted right after the fold
 * that took them over, so a fold that a power failure may undo would lose them; and a fold happens at most
 * a few times a second. NORMAL would need a checkpoint of SQLite's log before each deletion, which
 * syncs more.
 */
async function configure(connection: Connection, cacheKibibytes: number): Promise<void> {
  await connection.exec(`
    PRAGMA busy_timeout = 10000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = ${walPagesMax};
    PRAGMA journal_size_limit = ${walPagesMax * 4096};
    PRAGMA cache_size = -${cacheKibibytes};
  `)
}

async function checkVersion(connection: Connection, file: string): Promise<void> {
  const [application] = await connection.all<{ application_id: number }>('PRAGMA application_id')
  const [version] = await connection.all<{ user_version: number }>('PRAGMA user_version')
  checkSchemaVersion(file, application?.application_id ?? 0, version?.user_version ?? 0)
}

function identityOf(meta: ReadonlyMap<string, Cell>): NamespaceIdentity {
  return {
    clusterId: textCell(meta.get('clusterId')),
    namespaceId: numberCell(meta.get('namespaceId')),
    blockPoolId: textCell(meta.get('blockPoolId')),
    cTime: millis(numberCell(meta.get('cTime'))),
  }
}

function positionOf(meta: ReadonlyMap<string, Cell>): StorePosition {
  const integer = (key: MetaKey): number => numberCell(meta.get(key))
  return {
    appliedTxid: txId(integer('appliedTxid')),
    nextIds: {
      inodeId: inodeId(integer('nextInodeId')),
      blockId: blockId(integer('nextBlockId')),
      generationStamp: generationStamp(integer('nextGenerationStamp')),
    },
    totals: {
      files: integer('files'),
      directories: integer('directories'),
      symlinks: integer('symlinks'),
      blocks: integer('blocks'),
    },
  }
}

function metaOf({ appliedTxid, nextIds, totals }: StorePosition): Partial<Record<MetaKey, number>> {
  return {
    appliedTxid,
    nextInodeId: nextIds.inodeId,
    nextBlockId: nextIds.blockId,
    nextGenerationStamp: nextIds.generationStamp,
    ...totals,
  }
}

type Answers = (Loaded | undefined)[]

/** Positions and misses of one kind. */
function ofKind<K extends Miss['kind']>(
  misses: readonly Miss[],
  kind: K,
): readonly (readonly [number, Extract<Miss, { kind: K }>])[] {
  return misses.flatMap((miss, index): [number, Extract<Miss, { kind: K }>][] =>
    miss.kind === kind ? [[index, miss as Extract<Miss, { kind: K }>]] : [],
  )
}

/** Rows of a look-up by the index of their key. */
async function rowsByKey(
  reader: Connection,
  query: string,
  keys: readonly unknown[],
): Promise<ReadonlyMap<number, readonly Row[]>> {
  const byKey = new Map<number, Row[]>()
  for (const [key, row] of await reader.rows<readonly [number, Row]>(query, JSON.stringify(keys))) {
    const known = byKey.get(key)
    if (known === undefined) byKey.set(key, [row])
    else known.push(row)
  }
  return byKey
}

async function loadInodes(reader: Connection, all: readonly Miss[], answers: Answers) {
  const misses = ofKind(all, 'inode')
  if (misses.length === 0) return
  const ids = misses.map(([, { id }]) => id)
  const rows = await rowsByKey(reader, queries.inodes, ids)
  for (const [key, [index, { id }]] of misses.entries()) {
    const cells = rows.get(key)?.[0]
    const inode = cells === undefined ? undefined : inodeFromCells(cells)
    answers[index] = { kind: 'inode', id, inode }
  }
}

async function loadEntries(reader: Connection, all: readonly Miss[], answers: Answers) {
  const misses = ofKind(all, 'entry')
  if (misses.length === 0) return
  const keys = misses.map(([, { parent, name }]) => [parent, name])
  const rows = await rowsByKey(reader, queries.entries, keys)
  for (const [key, [index, { parent, name }]] of misses.entries()) {
    const cells = rows.get(key)?.[0]
    const inode = cells === undefined ? undefined : inodeFromCells(cells)
    answers[index] = { kind: 'entry', parent, name, inode }
  }
}

async function loadBlocksOfInodes(reader: Connection, all: readonly Miss[], answers: Answers) {
  const misses = ofKind(all, 'blocks-of-inode')
  if (misses.length === 0) return
  const inodes = misses.map(([, { inode }]) => inode)
  const rows = await rowsByKey(reader, queries.blocksOfInodes, inodes)
  for (const [key, [index, { inode }]] of misses.entries()) {
    const blocks = (rows.get(key) ?? []).map((cells) => blockFromCells(cells))
    blocks.sort((left, right) => left.index - right.index)
    answers[index] = { kind: 'blocks-of-inode', inode, blocks }
  }
}

async function loadBlocks(reader: Connection, all: readonly Miss[], answers: Answers) {
  const misses = ofKind(all, 'block')
  if (misses.length === 0) return
  const ids = misses.map(([, { id }]) => id)
  const rows = await rowsByKey(reader, queries.blocks, ids)
  for (const [key, [index, { id }]] of misses.entries()) {
    const cells = rows.get(key)?.[0]
    const block = cells === undefined ? undefined : blockFromCells(cells)
    answers[index] = { kind: 'block', id, block }
  }
}

async function loadChildren(reader: Connection, all: readonly Miss[], answers: Answers) {
  for (const [index, { parent, startAfter, limit }] of ofKind(all, 'children')) {
    const query = [parent, startAfter, limit + 1] as const
    const rows = await reader.rows<readonly [string, Row]>(queries.children, ...query)
    const children = rows
      .slice(0, limit)
      .map(([name, cells]) => ({ name, inode: inodeFromCells(cells) }))
    const isEnd = rows.length <= limit
    answers[index] = { kind: 'children', parent, startAfter, children, isEnd }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && error.message.includes('SQLITE_BUSY')
}

/** Names the file in an error of SQLite. */
function sqliteError(file: string, error: unknown): DfsError {
  if (error instanceof DfsError) return error
  const reason = error instanceof Error ? error.message : String(error)
  const isDamage = /SQLITE_(CORRUPT|NOTADB)/.test(reason)
  const code = isDamage ? 'CORRUPTION' : 'IO_ERROR'
  const advice = isDamage
    ? `; try: sqlite3 ${file} ".recover" | sqlite3 ${file}.recovered, and compare before you use it`
    : ''
  return new DfsError(code, `Cannot read the namespace in "${file}": ${reason}${advice}`, {
    cause: error,
  })
}
