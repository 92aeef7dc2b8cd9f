import type { Logger } from '../../base/log.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import { type TxId, txId } from '../../protocol/ids.ts'
import type { Transaction } from '../core/changes.ts'
import {
  parseSegmentName,
  type ScannedRecord,
  type SegmentEnd,
  scanSegment,
} from '../format/journal-segment.ts'
import { decodeTransaction } from '../format/transaction-codec.ts'
import { putAway, type SegmentState } from './journal.ts'
import type { JournalStorage } from './journal-storage.ts'

export interface RecoveryOptions {
  readonly storage: JournalStorage
  readonly clusterId: string
  /** What the store holds already; replay begins with the transaction after it. */
  readonly appliedTxid: TxId
  readonly logger: Logger
  /** Called with each transaction of the tail, in order. */
  readonly replay: (transaction: Transaction) => void
}

/** What is left of the journal after recovery. */
export interface RecoveredJournal {
  readonly segments: readonly SegmentState[]
  readonly nextTxid: TxId
  readonly replayedCount: number
  /** Highest epoch in any record; 0 when there is none. */
  readonly epoch: number
}

/**
 * Reads the journal, replays what the store does not have, and cuts a torn tail off.
 * @throws {@link DfsError} CORRUPTION when a durable record is damaged or missing, or journal and store
 *   do not belong together; UNSUPPORTED_LAYOUT for a segment of another version. The message names the
 *   next command.
 */
export async function recoverJournal(options: RecoveryOptions): Promise<RecoveredJournal> {
  const { storage, appliedTxid } = options
  const segments = (await storage.list())
    .map((name) => ({ name, firstTxid: parseSegmentName(name) }))
    .filter((segment): segment is SegmentState => segment.firstTxid !== undefined)
    .sort((left, right) => left.firstTxid - right.firstTxid)
  const first = segments[0]
  if (first !== undefined && first.firstTxid > appliedTxid + 1) {
    throw missing(storage.pathOf(first.name), appliedTxid + 1, first.firstTxid - 1)
  }
  const reader = new TailReader(options)
  const kept: SegmentState[] = []
  for (const [index, segment] of segments.entries()) {
    const next = segments[index + 1]
    const isLast = next === undefined
    const isFolded = !isLast && next.firstTxid <= appliedTxid + 1
    if (isFolded) {
      // A crash between a fold and the deletion of the segment behind it left this one.
      await putAway(storage, segment.name)
      continue
    }
    if (await reader.readSegment(segment, isLast)) kept.push(segment)
    if (!isLast && next.firstTxid !== reader.nextTxid) {
      throw missing(storage.pathOf(next.name), reader.nextTxid, next.firstTxid - 1)
    }
  }
  if (kept.length > 0 && reader.nextTxid <= appliedTxid) {
    throw storeAhead(storage.pathOf(''), reader.nextTxid - 1, appliedTxid)
  }
  return {
    segments: kept,
    nextTxid: txId(Math.max(reader.nextTxid, appliedTxid + 1)),
    replayedCount: reader.replayedCount,
    epoch: reader.epoch,
  }
}

/** Replays segments one after the other and remembers where it stands. */
class TailReader {
  readonly #options: RecoveryOptions
  nextTxid: TxId
  replayedCount = 0
  epoch = 0

  constructor(options: RecoveryOptions) {
    this.#options = options
    this.nextTxid = txId(options.appliedTxid + 1)
  }

  /** @returns whether the segment holds anything and stays. */
  async readSegment(segment: SegmentState, isLast: boolean): Promise<boolean> {
    const { storage, logger } = this.#options
    const bytes = await storage.read(segment.name)
    const end = this.#scan(segment, isLast, bytes)
    if (end.torn !== undefined) {
      logger.warn('journal-tail-cut', {
        segment: segment.name,
        offset: end.validBytes,
        droppedBytes: bytes.length - end.validBytes,
        found: end.torn,
      })
    }
    if (this.nextTxid === segment.firstTxid || end.validBytes === 0) {
      await storage.remove(segment.name)
      return false
    }
    if (end.torn !== undefined) await storage.truncate(segment.name, end.validBytes)
    // A process that was killed leaves records that only the kernel has. From here on they count as
    // durable: they are answered for and folded into the store, so a power failure must not take them.
    else await storage.sync(segment.name)
    return true
  }

  #scan(segment: SegmentState, isLast: boolean, bytes: Uint8Array): SegmentEnd {
    const { storage, clusterId } = this.#options
    const { firstTxid } = segment
    const file = storage.pathOf(segment.name)
    this.nextTxid = firstTxid
    const records = scanSegment({ file, bytes, firstTxid, isLast, clusterId })
    for (;;) {
      const step = records.next()
      if (step.done === true) return step.value
      this.#replay(file, step.value)
    }
  }

  #replay(file: string, record: ScannedRecord): void {
    const { txid, epoch, payload, offset } = record
    this.nextTxid = txId(txid + 1)
    if (epoch < this.epoch) {
      throw new DfsError(
        'CORRUPTION',
        `Journal segment "${file}" holds at offset ${offset} a record of epoch ${epoch} behind one ` +
          `of epoch ${this.epoch}: a namenode that had been replaced wrote it; move the segment away`,
      )
    }
    this.epoch = epoch
    if (txid <= this.#options.appliedTxid) return
    this.#options.replay(decoded(file, record, () => decodeTransaction(txid, epoch, payload)))
    this.replayedCount += 1
  }
}

function decoded(file: string, record: ScannedRecord, decode: () => Transaction): Transaction {
  try {
    return decode()
  } catch (error) {
    if (!isDfsError(error, 'BAD_FRAME')) throw error
    throw new DfsError(
      'CORRUPTION',
      `Journal segment "${file}" holds at offset ${record.offset} a record of transaction ` +
        `${record.txid} with a valid checksum that does not decode: ${error.message}; it was written ` +
        'by another version of the program, start that one',
      { cause: error },
    )
  }
}

function missing(file: string, from: number, to: number): DfsError {
  return new DfsError(
    'CORRUPTION',
    `Transactions ${from} to ${to} are missing: the namespace holds everything before them and journal ` +
      `segment "${file}" begins behind them. Bring the missing segments back into its directory; to ` +
      'give them and all later transactions up, move that segment and the ones behind it away',
  )
}

function storeAhead(directory: string, last: number, appliedTxid: number): DfsError {
  return new DfsError(
    'CORRUPTION',
    `The journal in "${directory}" ends with transaction ${last}, but the namespace holds everything up ` +
      `to ${appliedTxid}: they are not from the same moment. If the namespace is the right one, move the ` +
      `journal away and start again: mv ${directory} ${directory}.old`,
  )
}
