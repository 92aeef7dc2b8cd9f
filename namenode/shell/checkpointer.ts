import type { Millis } from '../../base/brand.ts'
import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { DfsError } from '../../protocol/errors.ts'
import { type TxId, txId } from '../../protocol/ids.ts'
import type { Transaction } from '../core/changes.ts'
import { FoldBatch } from './fold-batch.ts'
import type { Journal } from './journal.ts'
import type { NamespaceStore } from './namespace-store.ts'

/** A fold starts this long after the first transaction it takes up; more arrive and coalesce meanwhile. */
const foldDelayMs = 250
/** A batch of that many rows is folded without delay. */
const foldRowsSoon = 20_000
/** Pause after a fold that failed, for instance because the disk is full. */
const retryDelayMs = 1000
/**
 * Transactions that may wait for the store; beyond it new mutations wait, too. Bounds memory, and what a start
 * after a crash must replay: about 10 microseconds each.
 */
const unfoldedMaxDefault = 40_000
/** Rows that may wait likewise: a transaction that reaps a deleted tree has a thousand. */
const unfoldedRowsMax = 200_000

export interface CheckpointerOptions {
  readonly store: NamespaceStore
  readonly journal: Journal
  readonly clock: Clock
  readonly timers: Timers
  readonly logger: Logger
  /** Everything up to this transaction is in the store now. */
  readonly onFolded: (through: TxId) => void
  /** A fold failed; it is tried again. */
  readonly onFailed?: (error: unknown) => void
  readonly unfoldedMax?: number | undefined
}

/**
 * Folds the journal into the store, batch after batch, and drops the segments behind. It runs beside
 * the requests: they pay for adding their rows to a map.
 *
 * Only durable transactions are folded. Otherwise the store could hold one that a crash takes from the
 * journal, and the next transaction would get the same id.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions
  readonly #unfoldedMax: number
  #collecting = new FoldBatch()
  /** Rows of the batch that is being folded. */
  #foldingRows = 0
  #foldedTxid: TxId
  #foldedAt: Millis
  #collectedTxid: TxId
  #folding: Promise<void> | undefined
  #timer: TimerHandle | undefined
  readonly #roomWaiters: (() => void)[] = []
  #isStopping = false
  #lastFold: { transactions: number; rows: number; durationMs: number } | undefined

  constructor(options: CheckpointerOptions) {
    this.#options = options
    this.#unfoldedMax = options.unfoldedMax ?? unfoldedMaxDefault
    this.#foldedTxid = options.store.position.appliedTxid
    this.#collectedTxid = this.#foldedTxid
    this.#foldedAt = options.clock.wall()
  }

  /** The store holds everything up to here. */
  get foldedTxid(): TxId {
    return this.#foldedTxid
  }

  /** Wall-clock time at which the store had everything, or took up transactions last. */
  get foldedAt(): Millis {
    return this.lag === 0 ? this.#options.clock.wall() : this.#foldedAt
  }

  /** Transactions that are not in the store yet. */
  get lag(): number {
    return this.#collectedTxid - this.#foldedTxid
  }

  /** Size and duration of the last fold, for the status page. */
  get lastFold(): { transactions: number; rows: number; durationMs: number } | undefined {
    return this.#lastFold
  }

  /** Takes over an applied transaction. */
  add(transaction: Transaction): void {
    this.#collecting.add(transaction)
    this.#collectedTxid = transaction.txid
    this.#schedule()
  }

  /** Room for another mutation: `undefined` when there is, else a promise to wait for and ask again. */
  room(): Promise<void> | undefined {
    if (this.#hasRoom()) return undefined
    return new Promise((resolve) => {
      this.#roomWaiters.push(resolve)
    })
  }

  /** Makes everybody who waits for room ask again, whether or not there is. */
  wake(): void {
    for (const resolve of this.#roomWaiters.splice(0)) resolve()
  }

  /**
   * Folds everything taken over so far without waiting for more. Resolves to whether there was anything.
   * @throws DfsError IO_ERROR when the store cannot take it; it is tried again as after any fold that failed
   */
  async foldNow(): Promise<boolean> {
    const wanted = this.#collectedTxid
    const hadLag = this.#foldedTxid < wanted
    while (this.#foldedTxid < wanted) {
      const before = this.#foldedTxid
      if (this.#folding === undefined) {
        this.#timer?.cancel()
        this.#timer = undefined
        this.#start()
      }
      await this.#folding
      if (this.#foldedTxid === before) {
        throw new DfsError(
          'IO_ERROR',
          `The database did not take transactions ${before + 1} to ${wanted}; the namenode's log says why`,
        )
      }
    }
    return hadLag
  }

  /** Folds what is left and stops. What the store cannot take stays in the journal for the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#timer?.cancel()
    await this.#folding
    await this.#options.journal.flushed()
    if (this.#collecting.transactionCount === 0) return
    await this.#fold().catch((error: unknown) => {
      this.#options.logger.error('fold-failed', { error, foldedTxid: this.#foldedTxid })
    })
  }

  #hasRoom(): boolean {
    const rows = this.#collecting.rowCount + this.#foldingRows
    return this.lag < this.#unfoldedMax && rows < unfoldedRowsMax
  }

  #schedule(): void {
    if (this.#folding !== undefined || this.#isStopping) return
    if (this.#collecting.rowCount >= foldRowsSoon) {
      this.#timer?.cancel()
      this.#timer = undefined
      this.#start()
    } else {
      this.#timer ??= this.#options.timers.after(foldDelayMs, () => {
        this.#timer = undefined
        this.#start()
      })
    }
  }

  #start(): void {
    this.#folding = this.#fold().then(
      () => this.#next(),
      (error: unknown) => {
        this.#options.logger.error('fold-failed', { error, foldedTxid: this.#foldedTxid })
        this.#options.onFailed?.(error)
        this.#next(retryDelayMs)
      },
    )
  }

  #next(delayMs = 0): void {
    this.#folding = undefined
    if (this.#isStopping || this.#collecting.transactionCount === 0) return
    if (delayMs === 0) this.#schedule()
    else {
      this.#timer ??= this.#options.timers.after(delayMs, () => {
        this.#timer = undefined
        this.#start()
      })
    }
  }

  async #fold(): Promise<void> {
    const { store, journal, clock, logger, onFolded } = this.#options
    const batch = this.#collecting
    this.#collecting = new FoldBatch()
    this.#foldingRows = batch.rowCount
    await journal.durableThrough(batch.throughTxid)
    const startedAt = clock.monotonic()
    try {
      await store.fold(batch)
    } catch (error) {
      this.#foldingRows = 0
      batch.merge(this.#collecting)
      this.#collecting = batch
      throw error
    }
    this.#foldedTxid = txId(batch.throughTxid)
    this.#foldedAt = clock.wall()
    this.#foldingRows = 0
    const { transactionCount: transactions, rowCount: rows } = batch
    const durationMs = clock.monotonic() - startedAt
    this.#lastFold = { transactions, rows, durationMs }
    logger.debug('folded', { through: this.#foldedTxid, transactions, rows, durationMs })
    onFolded(this.#foldedTxid)
    await journal.dropThrough(this.#foldedTxid)
    if (this.#hasRoom()) this.wake()
  }
}
