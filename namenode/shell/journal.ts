import { assert, defined } from '../../base/assert.ts'
import type { Logger } from '../../base/log.ts'
import { type TxId, txId } from '../../protocol/ids.ts'
import type { Transaction } from '../core/changes.ts'
import { encodeRecord, encodeSegmentHeader, segmentName } from '../format/journal-segment.ts'
import { encodeTransaction } from '../format/transaction-codec.ts'
import { isOutOfSpace } from './disk-space.ts'
import type { JournalFile, JournalStorage } from './journal-storage.ts'

/** Segments are closed at this size, so that the checkpointer can drop what lies behind it. */
const segmentBytesMaxDefault = 16 * 1024 * 1024

/** A closed or open segment. */
export interface SegmentState {
  readonly name: string
  readonly firstTxid: TxId
}

export interface JournalOptions {
  readonly storage: JournalStorage
  readonly clusterId: string
  /** Fencing epoch written into every record. */
  readonly epoch: number
  /** Transaction id of the next append. */
  readonly nextTxid: TxId
  /** Segments that recovery left, oldest first. */
  readonly segments: readonly SegmentState[]
  readonly logger: Logger
  /**
   * The journal cannot be written. Memory is ahead of the disk and nobody outside has seen it, so the only
   * correct reaction is to end the process at once.
   */
  readonly onFatal: (error: unknown) => void
  /**
   * An append or the creation of a segment found the disk full.
   * @returns whether there is room now that was not there before: the batch is then written once more
   */
  readonly onOutOfSpace?: (() => Promise<boolean>) | undefined
  /** Tells how many transactions and bytes became durable together. */
  readonly onBatch?: ((transactions: number, bytes: number) => void) | undefined
  readonly segmentBytesMax?: number | undefined
}

interface OpenSegment {
  readonly name: string
  readonly file: JournalFile
  /** Durable ones. */
  bytes: number
  /** The next append begins a new one. */
  isSealed: boolean
}

interface Batch {
  readonly transactions: Transaction[]
  readonly durable: Promise<void>
  readonly settle: () => void
}

/**
 * Appends transactions with group commit: while one batch is being written and synced, everything that
 * arrives is collected into the next. Opens a segment for the first append of a process and never
 * continues an old one.
 */
export class Journal {
  readonly #options: JournalOptions
  readonly #segments: SegmentState[]
  readonly #segmentBytesMax: number
  #nextTxid: TxId
  #durableTxid: TxId
  #open: OpenSegment | undefined
  #collecting: Batch | undefined
  #writing: Batch | undefined
  #loop: Promise<void> | undefined
  #hasFailed = false

  constructor(options: JournalOptions) {
    this.#options = options
    this.#segments = [...options.segments]
    this.#segmentBytesMax = options.segmentBytesMax ?? segmentBytesMaxDefault
    this.#nextTxid = options.nextTxid
    this.#durableTxid = txId(options.nextTxid - 1)
  }

  /** The transaction id that the next append must carry. */
  get nextTxid(): TxId {
    return this.#nextTxid
  }

  /** Everything up to this transaction is on disk. */
  get durableTxid(): TxId {
    return this.#durableTxid
  }

  get epoch(): number {
    return this.#options.epoch
  }

  get segments(): readonly SegmentState[] {
    return this.#segments
  }

  /** Transactions that wait for the disk. */
  get waitingCount(): number {
    return this.#nextTxid - 1 - this.#durableTxid
  }

  /**
   * Takes over a transaction. The promise is shared by its batch, resolves when it is durable and never
   * rejects: a failure ends the process through `onFatal`.
   */
  append(transaction: Transaction): Promise<void> {
    assert(transaction.txid === this.#nextTxid, `append expects transaction ${this.#nextTxid}`)
    this.#nextTxid = txId(this.#nextTxid + 1)
    this.#collecting ??= createBatch()
    this.#collecting.transactions.push(transaction)
    const { durable } = this.#collecting
    if (!this.#hasFailed) this.#loop ??= this.#run()
    return durable
  }

  /** Resolves when everything appended so far is durable. */
  async flushed(): Promise<void> {
    await (this.#collecting ?? this.#writing)?.durable
  }

  /** Resolves when `txid`, which has been appended, is durable. */
  async durableThrough(txid: TxId): Promise<void> {
    while (this.#durableTxid < txid)
      await defined(this.#writing ?? this.#collecting, 'batch').durable
  }

  /**
   * Lets the next append begin a new segment.
   * @returns the segments that never change any more, and the last transaction in them or in the store
   */
  async roll(): Promise<{ segments: readonly SegmentState[]; through: TxId }> {
    const segments = [...this.#segments]
    if (this.#open !== undefined) this.#open.isSealed = true
    // A batch that is being written goes into the segment that was open, all later ones do not.
    await this.flushed()
    const last = segments.at(-1)?.firstTxid ?? 0
    const next = this.#segments.find(({ firstTxid }) => firstTxid > last)
    return { segments, through: next === undefined ? this.#durableTxid : txId(next.firstTxid - 1) }
  }

  /** Puts the closed segments away all of whose transactions are at or below `txid`. */
  async dropThrough(txid: TxId): Promise<void> {
    for (;;) {
      const [oldest, next] = this.#segments
      if (oldest === undefined || next === undefined || next.firstTxid > txid + 1) return
      await putAway(this.#options.storage, oldest.name)
      this.#segments.shift()
      this.#options.logger.debug('journal-segment-dropped', { segment: oldest.name })
    }
  }

  /**
   * Waits for everything appended and closes the open segment.
   * @param foldedTxid what the store holds; when that is everything, no segment is left behind
   */
  async close(foldedTxid: TxId): Promise<void> {
    await this.#loop
    await this.#open?.file.close()
    this.#open = undefined
    if (this.#hasFailed || foldedTxid !== this.#durableTxid) return
    for (const { name } of this.#segments) await putAway(this.#options.storage, name)
    this.#segments.length = 0
  }

  /** Writes batch after batch until nothing is left. */
  async #run(): Promise<void> {
    // Everything that one burst of requests appends before it yields belongs into the first batch.
    await Promise.resolve()
    try {
      while (this.#collecting !== undefined) {
        this.#writing = this.#collecting
        this.#collecting = undefined
        await this.#write(this.#writing.transactions)
        this.#writing.settle()
        this.#writing = undefined
      }
    } catch (error) {
      this.#hasFailed = true
      this.#options.onFatal(error)
    }
    this.#loop = undefined
  }

  async #write(transactions: readonly Transaction[]): Promise<void> {
    const first = defined(transactions[0], 'first transaction of a batch').txid
    const { open, bytes } = await this.#append(first, transactions).catch(
      async (error: unknown) => {
        if (!isOutOfSpace(error) || this.#options.onOutOfSpace === undefined) throw error
        const hasRoom = await this.#options.onOutOfSpace()
        if (!hasRoom) throw error
        await this.#abandonAppend()
        return this.#append(first, transactions)
      },
    )
    // A sync that failed is never repeated: nobody knows what the kernel has dropped.
    await open.file.sync()
    open.bytes += bytes
    this.#durableTxid = txId(first + transactions.length - 1)
    this.#options.onBatch?.(transactions.length, bytes)
  }

  /** Hands a batch to the kernel, in a new segment when the open one is full. */
  async #append(
    first: TxId,
    transactions: readonly Transaction[],
  ): Promise<{ open: OpenSegment; bytes: number }> {
    const parts: Uint8Array[] = []
    if (
      this.#open !== undefined &&
      (this.#open.isSealed || this.#open.bytes >= this.#segmentBytesMax)
    ) {
      await this.#open.file.close()
      this.#open = undefined
    }
    this.#open ??= await this.#createSegment(first)
    const open = this.#open
    if (open.bytes === 0) parts.push(encodeSegmentHeader(first, this.#options.clusterId))
    const durableThrough = this.#durableTxid
    for (const transaction of transactions) {
      const { txid, epoch } = transaction
      const payload = encodeTransaction(transaction)
      parts.push(encodeRecord({ txid, epoch, durableThrough, payload }))
    }
    const bytes = parts.length === 1 ? defined(parts[0], 'record') : Buffer.concat(parts)
    await open.file.append(bytes)
    return { open, bytes: bytes.length }
  }

  /** Cuts off what an append that failed may have left; the next one begins a segment. */
  async #abandonAppend(): Promise<void> {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    await open.file.close()
    if (open.bytes > 0) await this.#options.storage.truncate(open.name, open.bytes)
    else {
      await this.#options.storage.remove(open.name)
      this.#segments.pop()
    }
  }

  async #createSegment(firstTxid: TxId): Promise<OpenSegment> {
    const name = segmentName(firstTxid)
    const file = await this.#options.storage.create(name)
    this.#segments.push({ name, firstTxid })
    this.#options.logger.debug('journal-segment-created', { segment: name })
    return { name, file, bytes: 0, isSealed: false }
  }
}

/** The store has all of this segment. */
export async function putAway(storage: JournalStorage, name: string): Promise<void> {
  if (storage.archive === undefined) await storage.remove(name)
  else await storage.archive(name)
}

function createBatch(): Batch {
  let settle: () => void = () => undefined
  const durable = new Promise<void>((resolve) => {
    settle = resolve
  })
  return { transactions: [], durable, settle: () => settle() }
}
