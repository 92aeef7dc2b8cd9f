import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { DfsError } from '../../protocol/errors.ts'
import { type TxId, txId } from '../../protocol/ids.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type { beginBackupResponse } from '../../protocol/messages/operator-backup.ts'
import type { Journal } from './journal.ts'
import type { JournalArchive } from './journal-archive.ts'
import type { SqliteStore } from './store.ts'

/** Bytes of one answer. */
const pieceBytesMax = 4 * 1024 * 1024
/** A caller that does not read for that long is gone. */
const idleMsMax = 60_000
const lookMs = 1000
/** SQLite's log grows while the database is held still; beyond this the backup ends. */
const logBytesMax = 1024 * 1024 * 1024

export interface BackupServiceOptions {
  readonly store: SqliteStore
  readonly journal: Journal
  readonly archive: JournalArchive
  readonly journalDirectory: string
  readonly clock: Clock
  readonly timers: Timers
  readonly logger: Logger
}

interface Session {
  readonly id: number
  readonly releaseArchive: () => Promise<void>
  readonly database: { readonly file: FileHandle; readonly bytes: number } | undefined
  readonly segments: ReadonlySet<string>
  readonly timer: TimerHandle
  usedAt: number
}

type Begun = EncodableOf<typeof beginBackupResponse>
type Segments = NonNullable<Begun['segments']>

const databaseName = 'namespace.sqlite'

/**
 * Lets one caller copy the state of the running namenode. While a session is open the database file stays
 * as it is (folds go into SQLite's log) and no archived segment is deleted; requests are served as ever.
 */
export class BackupService {
  readonly #options: BackupServiceOptions
  #session: Session | undefined
  #lastId = 0
  /** Sessions begin one after the other. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: BackupServiceOptions) {
    this.#options = options
  }

  /**
   * Begins a session; one that is open ends.
   * @param through the last transaction that the caller has, if it has any
   */
  begin(through: number | undefined, isFull: boolean): Promise<Begun> {
    const begun = this.#turn.then(() => this.#begin(through, isFull))
    this.#turn = begun.catch(() => undefined)
    return begun
  }

  async #begin(through: number | undefined, isFull: boolean): Promise<Begun> {
    await this.#end()
    const { store, archive, clock, timers, logger } = this.#options
    const releaseArchive = archive.hold()
    try {
      const found = await this.#segments()
      const isContinued = through !== undefined && continues(found, through)
      const frozen = isFull || !isContinued ? await store.freeze() : undefined
      // The database first: what it holds is in the segments, too, or in older ones.
      const rolled = frozen === undefined ? found : await this.#segments()
      const after = Math.min(isContinued ? through : Infinity, frozen?.txid ?? Infinity)
      const segments = rolled.segments.filter((_, index) => lastOf(rolled, index) > after)
      this.#lastId = Math.max(this.#lastId + 1, clock.wall())
      this.#session = {
        id: this.#lastId,
        releaseArchive,
        database: frozen && { file: await open(store.file, 'r'), bytes: frozen.bytes },
        segments: new Set(segments.map(({ name }) => name)),
        timer: timers.every(lookMs, () => {
          void this.#look()
        }),
        usedAt: clock.monotonic(),
      }
      logger.info('backup-begun', { session: this.#lastId, through, databaseTxid: frozen?.txid })
      return {
        session: this.#lastId,
        clusterId: store.identity.clusterId,
        time: clock.wall(),
        txid: rolled.through,
        database: frozen && { name: databaseName, bytes: frozen.bytes, txid: frozen.txid },
        segments,
      }
    } catch (error) {
      await store.thaw()
      await releaseArchive()
      throw error
    }
  }

  /** A piece of a file of the session; shorter than asked for at its end. */
  async read(id: number, name: string, offset: number, length: number): Promise<Uint8Array> {
    const session = this.#open(id)
    session.usedAt = this.#options.clock.monotonic()
    const wanted = Math.min(length, pieceBytesMax)
    if (name === databaseName && session.database !== undefined) {
      const { file, bytes } = session.database
      return readAt(file, offset, Math.min(wanted, Math.max(0, bytes - offset)))
    }
    if (!session.segments.has(name)) {
      throw new DfsError('FILE_NOT_FOUND', `The backup has no file "${name}"`)
    }
    const file = await this.#openSegment(name)
    try {
      return await readAt(file, offset, wanted)
    } finally {
      await file.close()
    }
  }

  /** @param through what the caller has durably; absent when it gave up */
  async end(id: number, through: number | undefined): Promise<void> {
    if (this.#session?.id !== id) return
    if (through !== undefined) await this.#options.archive.taken(txId(through))
    await this.#end()
    this.#options.logger.info('backup-ended', { session: id, through })
  }

  async close(): Promise<void> {
    await this.#end()
  }

  /** Closed segments, archived or not, after a new one was begun. */
  async #segments(): Promise<{ segments: Segments; through: TxId }> {
    const { journal, archive, journalDirectory } = this.#options
    const rolled = await journal.roll()
    const segments = new Map<string, Segments[number]>()
    for (const { name, firstTxid } of rolled.segments) {
      const found = await stat(join(journalDirectory, name)).catch(() => undefined)
      // One that is gone from here is in the archive, which is listed next.
      if (found !== undefined) segments.set(name, { name, firstTxid, bytes: found.size })
    }
    for (const segment of await archive.list()) segments.set(segment.name, segment)
    const sorted = [...segments.values()].sort((left, right) => left.firstTxid - right.firstTxid)
    return { segments: sorted, through: rolled.through }
  }

  async #openSegment(name: string): Promise<FileHandle> {
    const { journalDirectory, archive } = this.#options
    return open(join(journalDirectory, name), 'r').catch(() => open(archive.pathOf(name), 'r'))
  }

  #open(id: number): Session {
    if (this.#session?.id === id) return this.#session
    throw new DfsError(
      'IO_ERROR',
      'The backup was ended by the namenode: another one was begun, it did not read for a minute, or the ' +
        'namespace changed faster than it was copied; run it again',
    )
  }

  /** Ends what nobody reads any more, and what holds the database still for too long. */
  async #look(): Promise<void> {
    const session = this.#session
    if (session === undefined) return
    const { clock, store, logger } = this.#options
    const isIdle = clock.monotonic() - session.usedAt > idleMsMax
    if (!isIdle) {
      const log = await stat(`${store.file}-wal`).catch(() => undefined)
      const isTooLong = session.database !== undefined && (log?.size ?? 0) > logBytesMax
      if (!isTooLong || this.#session !== session) return
    }
    logger.warn('backup-dropped', { session: session.id, isIdle })
    await this.#end()
  }

  async #end(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    if (session === undefined) return
    session.timer.cancel()
    await session.database?.file.close()
    if (session.database !== undefined) await this.#options.store.thaw()
    await session.releaseArchive()
  }
}

interface Chain {
  readonly segments: Segments
  readonly through: TxId
}

function lastOf({ segments, through }: Chain, index: number): number {
  const next = segments[index + 1]
  return next === undefined ? through : next.firstTxid - 1
}

/** The segments hold everything behind transaction `through`. */
function continues(chain: Chain, through: number): boolean {
  if (through > chain.through) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `The backup holds transactions up to ${through}, this namenode only up to ${chain.through}: it is an ` +
        'older state or another history; give a new directory for its backup',
    )
  }
  if (through === chain.through) return true
  const [oldest] = chain.segments
  return oldest !== undefined && oldest.firstTxid <= through + 1
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, offset)
  return buffer.subarray(0, bytesRead)
}
