import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type BackupBase,
  type BackupManifest,
  type BackupSegment,
  backedUpThrough,
  baseName,
} from '../../namenode/format/backup-manifest.ts'
import { scanSegment } from '../../namenode/format/journal-segment.ts'
import { DfsError } from '../../protocol/errors.ts'
import { txId } from '../../protocol/ids.ts'
import {
  prepareDirectory,
  readManifest,
  removeLeftovers,
  writeFileWhole,
  writeManifest,
} from './directory.ts'
import type { BackupSession, BackupSource, SourceSegment } from './source.ts'

export interface BackupOptions {
  /** Copies the database even when the journal alone would do. */
  readonly isFull: boolean
  /** Bases to keep, at least 1; the oldest go, and the segments before those that stay. All when absent. */
  readonly keep?: number | undefined
}

/** What a run did. */
export interface BackupReport {
  readonly directory: string
  readonly clusterId: string
  /** Everything up to here can be restored. */
  readonly txid: number
  readonly copiedBase: boolean
  readonly copiedSegments: number
  readonly copiedBytes: number
  readonly bases: number
  readonly segments: number
  readonly bytes: number
}

/**
 * Copies what is new from `source` into `directory`. The manifest is replaced last: a run that ends early
 * leaves the backup before it as it was.
 * @throws {@link DfsError} INVALID_ARGUMENT when the directory belongs to something else; CORRUPTION when
 *   what was copied does not verify.
 */
export async function backUp(
  source: BackupSource,
  directory: string,
  { isFull, keep }: BackupOptions,
): Promise<BackupReport> {
  await prepareDirectory(directory)
  const before = await readManifest(directory)
  const session = await source.begin(backedUpThrough(before), isFull)
  let through: number | undefined
  try {
    if (before !== undefined && before.clusterId !== session.clusterId) {
      throw new DfsError(
        'INVALID_ARGUMENT',
        `"${directory}" holds the backup of cluster "${before.clusterId}", not of "${session.clusterId}"`,
      )
    }
    const base = await copyBase(session, directory, before)
    const segments = await copySegments(session, directory, before)
    const manifest = retained(
      {
        clusterId: session.clusterId,
        time: session.time,
        bases: [...(before?.bases ?? []), ...(base === undefined ? [] : [base])],
        segments: [...(before?.segments ?? []), ...segments],
      },
      keep,
    )
    await writeManifest(directory, manifest)
    through = session.txid
    await removeLeftovers(directory, manifest)
    const copied = [...(base === undefined ? [] : [base]), ...segments]
    return {
      ...{ directory, clusterId: session.clusterId, txid: session.txid },
      copiedBase: base !== undefined,
      copiedSegments: segments.length,
      copiedBytes: totalBytes(copied),
      bases: manifest.bases.length,
      segments: manifest.segments.length,
      bytes: totalBytes([...manifest.bases, ...manifest.segments]),
    }
  } finally {
    await session.end(through)
  }
}

async function copyBase(
  session: BackupSession,
  directory: string,
  before: BackupManifest | undefined,
): Promise<BackupBase | undefined> {
  const { database, time } = session
  if (database === undefined) return undefined
  if (before?.bases.some(({ txid }) => txid === database.txid) === true) return undefined
  const file = await writeFileWhole(
    directory,
    { name: baseName(database.txid), bytes: database.bytes },
    (offset, length) => session.read(database.name, offset, length),
  )
  return { ...file, txid: database.txid, time }
}

async function copySegments(
  session: BackupSession,
  directory: string,
  before: BackupManifest | undefined,
): Promise<readonly BackupSegment[]> {
  const known = new Set(before?.segments.map(({ firstTxid }) => firstTxid))
  const copied: BackupSegment[] = []
  for (const segment of session.segments) {
    if (known.has(segment.firstTxid)) continue
    const file = await writeFileWhole(directory, segment, (offset, length) =>
      session.read(segment.name, offset, length),
    )
    const lastTxid = await lastTransaction(directory, segment, session.clusterId)
    copied.push({ ...file, firstTxid: segment.firstTxid, lastTxid })
  }
  return copied
}

/** Reads a copied segment to its end. */
async function lastTransaction(
  directory: string,
  { name, firstTxid }: SourceSegment,
  clusterId: string,
): Promise<number> {
  const file = join(directory, name)
  const bytes = await readFile(file)
  let last = firstTxid - 1
  const source = { file, bytes, firstTxid: txId(firstTxid), isLast: false, clusterId }
  for (const { txid } of scanSegment(source)) last = txid
  return last
}

function retained(manifest: BackupManifest, keep: number | undefined): BackupManifest {
  const sorted = [...manifest.segments].sort((left, right) => left.firstTxid - right.firstTxid)
  if (keep === undefined) return { ...manifest, segments: sorted }
  const bases = manifest.bases.slice(-keep)
  const oldest = bases[0]?.txid ?? 0
  return { ...manifest, bases, segments: sorted.filter(({ lastTxid }) => lastTxid > oldest) }
}

function totalBytes(files: readonly { readonly bytes: number }[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0)
}
