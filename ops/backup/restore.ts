import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { millis } from '../../base/brand.ts'
import { systemClock } from '../../base/system.ts'
import { namenodeConfig } from '../../namenode/config.ts'
import {
  type BackupBase,
  type BackupManifest,
  type BackupSegment,
  segmentsBehind,
} from '../../namenode/format/backup-manifest.ts'
import { scanSegment } from '../../namenode/format/journal-segment.ts'
import { decodeTransaction, type Transaction } from '../../namenode/format/transaction-codec.ts'
import { lockDirectory } from '../../namenode/shell/directory.ts'
import { FoldBatch } from '../../namenode/shell/fold-batch.ts'
import { Connection, damagedNamespace } from '../../namenode/shell/sqlite-connection.ts'
import { SqliteStore } from '../../namenode/shell/store.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import { txId } from '../../protocol/ids.ts'
import { withSettings } from '../../protocol/settings.ts'
import { readManifest, readPiece, syncDirectory, verifyFile, writeFileWhole } from './directory.ts'

/** Rows of one fold. */
const foldRows = 20_000
/**
 * Ids left out behind a restored state. The namenode that was there before may have handed out ids after it
 * that no backup tells of; a billion is more than it can have.
 */
const leftOutCount = 2 ** 30

/** The moment to go back to. */
export type Moment =
  | { readonly kind: 'latest' }
  | { readonly kind: 'txid'; readonly txid: number }
  /** Wall-clock milliseconds: the last transaction at or before it. */
  | { readonly kind: 'time'; readonly time: number }

/** The state that a directory was restored to. */
export interface RestoreReport {
  readonly clusterId: string
  /** Transaction of the base, and the last one replayed. */
  readonly baseTxid: number
  readonly txid: number
  /** Wall-clock time of the last one; of the copy of the base when none was replayed. */
  readonly time: number
  readonly files: number
  readonly directories: number
  readonly symlinks: number
  readonly blocks: number
  /** Block ids from here on belong to what came after; replicas of such blocks are kept. */
  readonly nextBlockId: number
  /** Bases that were damaged, newer than the one used. */
  readonly skippedBases: readonly string[]
}

export async function requireManifest(directory: string): Promise<BackupManifest> {
  const manifest = await readManifest(directory)
  if (manifest !== undefined) return manifest
  throw new DfsError('FILE_NOT_FOUND', `"${directory}" holds no backup: it has no manifest`, {
    path: directory,
  })
}

/**
 * Makes `target` the directory of a namenode with the state of `moment`.
 * @throws {@link DfsError} FILE_EXISTS when the target holds anything; INVALID_ARGUMENT when the backup does
 *   not reach the moment; CORRUPTION when what it needs is damaged.
 */
export async function restore(
  directory: string,
  target: string,
  moment: Moment,
): Promise<RestoreReport> {
  const manifest = await requireManifest(directory)
  const plan = await choose(directory, manifest, moment)
  const config = namenodeConfig(withSettings({}), { directory: target })
  await mkdir(target, { recursive: true, mode: 0o700 })
  const [present] = await readdir(target)
  if (present !== undefined) {
    throw new DfsError(
      'FILE_EXISTS',
      `Cannot restore into "${target}": it holds "${present}"; give an empty or a new directory`,
      { path: target },
    )
  }
  const lock = await lockDirectory(config)
  try {
    const restoring = `${config.database}.restoring`
    await copyBase(directory, plan.base, restoring, target)
    const report = await replay(directory, manifest, { ...plan, moment, restoring })
    await rename(restoring, config.database)
    await syncDirectory(target)
    return { ...report, skippedBases: plan.skippedBases }
  } catch (error) {
    for (const name of await readdir(target)) {
      if (name.includes('.restoring')) await rm(join(target, name), { force: true })
    }
    throw error
  } finally {
    await lock.release()
  }
}

interface Plan {
  readonly base: BackupBase
  readonly segments: readonly BackupSegment[]
  readonly skippedBases: readonly string[]
}

/** The newest base before the moment that verifies, and the verified segments from there. */
async function choose(directory: string, manifest: BackupManifest, moment: Moment): Promise<Plan> {
  const candidates = manifest.bases.filter((base) => isBefore(base, moment)).reverse()
  const skippedBases: string[] = []
  for (const base of candidates) {
    try {
      await verifyFile(directory, base)
    } catch (error) {
      if (!isDfsError(error, 'CORRUPTION') || base === candidates.at(-1)) throw error
      skippedBases.push(base.file)
      continue
    }
    const chain = segmentsBehind(manifest, base.txid)
    const last = chain.at(-1)?.lastTxid ?? base.txid
    if (moment.kind === 'txid' && moment.txid > last) throw beyond(manifest, moment.txid, last)
    const segments =
      moment.kind === 'txid' ? chain.filter(({ firstTxid }) => firstTxid <= moment.txid) : chain
    for (const segment of segments) await verifyFile(directory, segment)
    return { base, segments, skippedBases }
  }
  const [oldest] = manifest.bases
  throw new DfsError(
    'INVALID_ARGUMENT',
    oldest === undefined
      ? 'The backup has no copy of the database'
      : `The backup begins with transaction ${oldest.txid} of ${timeText(oldest.time)}: it holds nothing ` +
          'before that',
  )
}

function isBefore(base: BackupBase, moment: Moment): boolean {
  if (moment.kind === 'latest') return true
  return moment.kind === 'txid' ? base.txid <= moment.txid : base.time <= moment.time
}

function beyond(manifest: BackupManifest, wanted: number, last: number): DfsError {
  const next = manifest.bases.find(({ txid }) => txid > last)
  const gap = next === undefined ? '' : `; the next it knows is ${next.txid}`
  return new DfsError(
    'INVALID_ARGUMENT',
    `The backup ends with transaction ${last}, it cannot go to ${wanted}${gap}`,
  )
}

export function timeText(time: number): string {
  return new Date(time).toISOString()
}

async function copyBase(
  directory: string,
  base: BackupBase,
  restoring: string,
  target: string,
): Promise<void> {
  const source = await open(join(directory, base.file), 'r')
  try {
    const name = restoring.slice(target.length).replace(/^\/+/, '')
    const copied = await writeFileWhole(target, { name, bytes: base.bytes }, (offset, length) =>
      readPiece(source, offset, length),
    )
    if (copied.xxh64 !== base.xxh64) {
      throw new DfsError('CORRUPTION', `"${base.file}" changed while it was copied`)
    }
  } finally {
    await source.close()
  }
}

interface Replay extends Plan {
  readonly moment: Moment
  readonly restoring: string
}

async function replay(
  directory: string,
  manifest: BackupManifest,
  { base, segments, moment, restoring }: Replay,
): Promise<Omit<RestoreReport, 'skippedBases'>> {
  const store = await SqliteStore.open(restoring)
  try {
    if (store.position.appliedTxid !== base.txid) {
      throw damagedNamespace(base.file, `it ends with transaction ${store.position.appliedTxid}`)
    }
    let batch = new FoldBatch()
    let time = base.time
    const fold = async (): Promise<void> => {
      if (batch.transactionCount > 0) await store.fold(batch)
      batch = new FoldBatch()
    }
    for await (const transaction of transactionsOf(directory, segments, manifest.clusterId)) {
      if (transaction.txid <= base.txid) continue
      if (moment.kind === 'txid' && transaction.txid > moment.txid) break
      if (moment.kind === 'time' && transaction.wallTime > moment.time) break
      batch.add(transaction)
      time = transaction.wallTime
      if (batch.rowCount >= foldRows) await fold()
    }
    await fold()
    const { appliedTxid, totals, nextIds } = store.position
    await store.leaveOut(leftOutCount, millis(systemClock.wall()))
    return {
      ...{ clusterId: manifest.clusterId, baseTxid: base.txid, txid: appliedTxid, time },
      ...totals,
      nextBlockId: nextIds.blockId,
    }
  } finally {
    await store.close()
  }
}

/** Every transaction of the segments, in order. */
export async function* transactionsOf(
  directory: string,
  segments: readonly BackupSegment[],
  clusterId: string,
): AsyncGenerator<Transaction, undefined> {
  for (const { file: name, firstTxid } of segments) {
    const file = join(directory, name)
    const source = { file, bytes: await readFile(file), firstTxid: txId(firstTxid) }
    for (const record of scanSegment({ ...source, isLast: false, clusterId })) {
      yield decodeTransaction(record.txid, record.epoch, record.payload)
    }
  }
}

/** What a check of a backup found. */
export interface VerifyReport {
  readonly clusterId: string
  readonly files: number
  readonly bytes: number
  readonly transactions: number
  /** From which base to which transaction one can go back without a gap. */
  readonly spans: readonly { readonly fromTxid: number; readonly throughTxid: number }[]
}

/**
 * Reads everything in a backup and writes nothing: every checksum, every transaction, every page.
 * @throws {@link DfsError} CORRUPTION at the first damage.
 */
export async function verifyBackup(directory: string): Promise<VerifyReport> {
  const manifest = await requireManifest(directory)
  const { bases, segments, clusterId } = manifest
  for (const file of [...bases, ...segments]) await verifyFile(directory, file)
  for (const base of bases) await verifyBase(join(directory, base.file), base.txid)
  let transactions = 0
  for await (const transaction of transactionsOf(directory, segments, clusterId)) {
    transactions += transaction.txid > 0 ? 1 : 0
  }
  return {
    ...{ clusterId, transactions, files: bases.length + segments.length },
    bytes: [...bases, ...segments].reduce((sum, { bytes }) => sum + bytes, 0),
    spans: bases.map(({ txid }) => ({
      fromTxid: txid,
      throughTxid: segmentsBehind(manifest, txid).at(-1)?.lastTxid ?? txid,
    })),
  }
}

async function verifyBase(file: string, txid: number): Promise<void> {
  const connection = await Connection.openImmutable(file)
  try {
    const findings = await connection.all<{ quick_check: string }>('PRAGMA quick_check(1)')
    const finding = findings.find(({ quick_check }) => quick_check !== 'ok')
    if (finding !== undefined) throw damagedNamespace(file, finding.quick_check)
    const [meta] = await connection.all<{ value: number }>(
      "SELECT value FROM meta WHERE key = 'appliedTxid'",
    )
    if (meta?.value !== txid) {
      throw damagedNamespace(file, `it ends with transaction ${String(meta?.value)}, not ${txid}`)
    }
  } finally {
    await connection.close()
  }
}
