import { stat } from 'node:fs/promises'
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
  type TxId,
  txId,
} from '../../protocol/ids.ts'
import type { DatanodeRow, InodeRow, RequestId } from '../core/changes.ts'
import type { CachedReply, Loaded, Miss } from '../core/requests.ts'
import {
  checkSchemaVersion,
  createSchema,
  foldStatements,
  type MetaKey,
  metaKeys,
  queries,
  type RestoreRecord,
  retryEntryLifeMs,
  schemaMigrations,
  schemaVersion,
} from '../format/schema.ts'
import type { FoldBatch } from './fold-batch.ts'
import {
  type NamespaceIdentity,
  type NamespaceStore,
  positionAfter,
  type StoredBlock,
  type StorePosition,
} from './namespace-store.ts'
import { Connection, damagedNamespace, isSqliteError, sqliteError } from './sqlite-connection.ts'
import { checkEdges, checkFileHeader } from './store-checks.ts'
import { loadMisses } from './store-loads.ts'
import {
  blockFromCells,
  type Cell,
  datanodeFromCells,
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
/** Each waits as long as the busy time-out allows. */
const freezeAttemptsMax = 5

/** The namespace in a SQLite database: one connection folds, two others load meanwhile. */
export class SqliteStore implements NamespaceStore {
  readonly #writer: Connection
  readonly #readers: readonly Connection[]
  readonly identity: NamespaceIdentity
  readonly file: string
  #position: StorePosition
  /** Nobody closed the database the last time. */
  readonly wasUnclean: boolean
  #restores: readonly RestoreRecord[]
  /** What runs on the writing connection, one after the other. */
  #writing: Promise<unknown> = Promise.resolve()
  #isFrozen = false
  #onDamage: ((error: DfsError) => void) | undefined

  private constructor(
    file: string,
    connections: readonly [Connection, ...Connection[]],
    identity: NamespaceIdentity,
    state: {
      readonly position: StorePosition
      readonly wasUnclean: boolean
      readonly restores: readonly RestoreRecord[]
    },
  ) {
    this.file = file
    this.wasUnclean = state.wasUnclean
    this.#restores = state.restores
    const [writer, ...readers] = connections
    this.#writer = writer
    this.#readers = readers
    this.identity = identity
    this.#position = state.position
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
      const meta: Record<(typeof metaKeys)[number], string | number> = {
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
   *   when what can be checked at once is damaged, see {@link checkEdges}.
   */
  static async open(file: string): Promise<SqliteStore> {
    const opened: Connection[] = []
    try {
      const wasUnclean = await hasLog(file)
      await checkFileHeader(file)
      const writer = await Connection.open(file)
      opened.push(writer)
      const version = await checkVersion(writer, file)
      await configure(writer, writerCacheKibibytes)
      if (version < schemaVersion) await migrate(writer, version)
      const meta = new Map(await writer.rows<readonly [string, Cell]>(queries.meta))
      const absent = metaKeys.find((key) => !meta.has(key))
      if (absent !== undefined) throw damagedNamespace(file, `"${absent}" is missing in meta`)
      const position = positionOf(meta)
      await checkEdges(writer, file, position)
      const readers: Connection[] = []
      for (let index = 0; index < readerCount; index += 1) {
        const reader = await Connection.open(file)
        opened.push(reader)
        readers.push(reader)
        await configure(reader, readerCacheKibibytes)
      }
      return new SqliteStore(file, [writer, ...readers], identityOf(meta), {
        position,
        wasUnclean,
        restores: restoresOf(meta),
      })
    } catch (error) {
      for (const connection of opened) await connection.close()
      throw sqliteError(file, error)
    }
  }

  get position(): StorePosition {
    return this.#position
  }

  /** Called when a row cannot be read or written because the database is damaged. */
  onDamage(listener: (error: DfsError) => void): void {
    this.#onDamage = listener
  }

  async load(misses: readonly Miss[]): Promise<readonly Loaded[]> {
    return this.#guarded(loadMisses(this.#reader(), misses))
  }

  async *streamBlocks(pageRows: number): AsyncIterable<readonly StoredBlock[]> {
    let last: readonly [number, number] = [-1, -1]
    for (;;) {
      const rows = await this.#guarded(
        this.#reader().rows<readonly [number, Row]>(queries.blockPage, ...last, pageRows),
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
    const rows = await this.#guarded(this.#reader().rows<Row>(queries.openFiles))
    return rows.map((cells) => inodeFromCells(cells))
  }

  async datanodes(): Promise<readonly DatanodeRow[]> {
    const rows = await this.#reader().rows<Row>(queries.datanodes)
    return rows.map((cells) => datanodeFromCells(cells))
  }

  async reply({ clientId, callId }: RequestId, since: Millis): Promise<CachedReply | undefined> {
    const found = await this.#guarded(
      this.#reader().rows<string>(queries.reply, clientId, callId, since),
    )
    return found[0] === undefined ? undefined : replyFromText(found[0])
  }

  get restores(): readonly RestoreRecord[] {
    return this.#restores
  }

  async fold(batch: FoldBatch): Promise<void> {
    await this.#guarded(this.#alone(() => this.#fold(batch)))
  }

  /**
   * Makes the database file hold everything folded so far and stay as it is until {@link thaw}: folds go into
   * SQLite's log meanwhile. Loads and folds go on.
   * @returns its length and the last transaction in it
   * @throws {@link DfsError} IO_ERROR when a load that never ends keeps the log from being taken over.
   */
  async freeze(): Promise<{ readonly txid: TxId; readonly bytes: number }> {
    return this.#guarded(
      this.#alone(async () => {
        this.#isFrozen = true
        await this.#writer.exec('PRAGMA wal_autocheckpoint = 0')
        for (let attempt = 0; attempt < freezeAttemptsMax; attempt += 1) {
          const [taken] = await this.#writer.all<CheckpointResult>('PRAGMA wal_checkpoint(FULL)')
          if (taken?.busy === 0 && taken.log === taken.checkpointed) {
            return { txid: this.#position.appliedTxid, bytes: (await stat(this.file)).size }
          }
        }
        throw new DfsError('IO_ERROR', `Cannot hold "${this.file}" still: its readers never pause`)
      }),
    )
  }

  /** Ends {@link freeze}. */
  async thaw(): Promise<void> {
    if (!this.#isFrozen) return
    this.#isFrozen = false
    await this.#alone(() => this.#writer.exec(`PRAGMA wal_autocheckpoint = ${walPagesMax}`))
  }

  /**
   * Leaves out `count` transactions, inodes, blocks and stamps: of a state that was restored, whose ids may
   * have been handed out again before, none is used twice.
   */
  async leaveOut(count: number, time: Millis): Promise<void> {
    const { appliedTxid, nextIds } = this.#position
    const position: StorePosition = {
      ...this.#position,
      appliedTxid: txId(appliedTxid + count),
      nextIds: {
        inodeId: inodeId(nextIds.inodeId + count),
        blockId: blockId(nextIds.blockId + count),
        generationStamp: generationStamp(nextIds.generationStamp + count),
      },
    }
    const restore: RestoreRecord = {
      ...{ time, txid: appliedTxid },
      ...{ blocksFrom: nextIds.blockId, blocksBelow: nextIds.blockId + count },
    }
    const restores = [...this.#restores, restore]
    const meta = { ...metaOf(position), restores: JSON.stringify(restores) }
    await this.#guarded(
      this.#alone(() => this.#writer.all(foldStatements.putMeta, JSON.stringify(meta))),
    )
    this.#restores = restores
    this.#position = position
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#writing.then(work)
    this.#writing = result.catch(() => undefined)
    return result
  }

  async #fold(batch: FoldBatch): Promise<void> {
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

  /** Names the file in what SQLite says, and tells of damage. */
  async #guarded<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      if (!isSqliteError(error)) throw error
      const named = sqliteError(this.file, error)
      if (named.code === 'CORRUPTION') this.#onDamage?.(named)
      throw named
    }
  }

  #reader(): Connection {
    const [first, ...others] = this.#readers
    let best = defined(first, 'a reading connection')
    for (const other of others) if (other.load < best.load) best = other
    return best
  }
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

async function checkVersion(connection: Connection, file: string): Promise<number> {
  const [application] = await connection.all<{ application_id: number }>('PRAGMA application_id')
  const [version] = await connection.all<{ user_version: number }>('PRAGMA user_version')
  const found = version?.user_version ?? 0
  checkSchemaVersion(file, application?.application_id ?? 0, found)
  return found
}

/** Brings the tables to the present version, all or nothing. */
async function migrate(connection: Connection, from: number): Promise<void> {
  await connection.exec('BEGIN IMMEDIATE')
  try {
    for (let version = from; version < schemaVersion; version += 1) {
      await connection.exec(defined(schemaMigrations[version], `migration from ${version}`))
    }
    await connection.exec(`PRAGMA user_version = ${schemaVersion}; COMMIT`)
  } catch (error) {
    await connection.exec('ROLLBACK')
    throw error
  }
}

interface CheckpointResult {
  readonly busy: number
  /** Pages in the log, and those of them that are in the database. */
  readonly log: number
  readonly checkpointed: number
}

function restoresOf(meta: ReadonlyMap<string, Cell>): readonly RestoreRecord[] {
  const text = meta.get('restores')
  return text === undefined ? [] : (JSON.parse(textCell(text)) as readonly RestoreRecord[])
}

/** SQLite deletes its log when the last connection is closed. */
async function hasLog(file: string): Promise<boolean> {
  const log = await stat(`${file}-wal`).catch(() => undefined)
  return log !== undefined && log.size > 0
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
