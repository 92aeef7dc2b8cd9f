/** Reads a journal segment from a dead disk: everything that verifies, and where it does not. */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { parseSegmentName, readSegment } from '../../namenode/format/journal-segment.ts'
import { decodeTransaction, type Transaction } from '../../namenode/format/transaction-codec.ts'

/** A piece of the file that is no valid record. */
export interface BadBytes {
  readonly offset: number
  readonly bytes: number
  readonly found: string
}

export type JournalItem =
  | {
      readonly kind: 'header'
      readonly layoutVersion: number
      readonly firstTxid: number
      readonly clusterId: string
    }
  | {
      readonly kind: 'record'
      readonly offset: number
      readonly bytes: number
      readonly durableThrough: number
      readonly transaction: Transaction
    }
  | ({ readonly kind: 'bad' } & BadBytes)
  /** Transactions that must have been between two records, and are not. */
  | { readonly kind: 'lost'; readonly fromTxid: number; readonly throughTxid: number }

/**
 * What is in `file`, in order. Damage does not end it: behind bad bytes it goes on with the next record
 * that verifies.
 */
export async function* readJournalFile(file: string): AsyncGenerator<JournalItem, undefined> {
  const bytes = await readFile(file)
  let expected = parseSegmentName(basename(file)) ?? 0
  for (const item of readSegment(bytes)) {
    if (item.kind === 'header') {
      expected = item.firstTxid
      yield item
      continue
    }
    if (item.kind === 'bad') {
      yield item
      continue
    }
    const { record } = item
    if (expected > 0 && record.txid > expected) {
      yield { kind: 'lost', fromTxid: expected, throughTxid: record.txid - 1 }
    }
    expected = record.txid + 1
    const place = { offset: record.offset, bytes: item.bytes }
    let transaction: Transaction
    try {
      transaction = decodeTransaction(record.txid, record.epoch, record.payload)
    } catch (error) {
      const found = `transaction ${record.txid}, which does not decode: ${String(error)}`
      yield { kind: 'bad', ...place, found }
      continue
    }
    yield { kind: 'record', ...place, durableThrough: record.durableThrough, transaction }
  }
}
