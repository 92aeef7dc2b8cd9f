/**
 * The manifest of a backup directory: the only file that says what else there counts. It is replaced by
 * rename, after everything it names is on disk; nothing it names is changed afterwards.
 * docs/formats/backup.md has an example.
 *
 * 1. A base is the namespace database exactly as of one transaction. Segments are the journal's own files.
 * 2. Of the segments behind a base each begins where the one before ends, as far as they go; a gap
 *    ends what can be restored from that base, and the run that finds one copies a new base.
 * 3. Files that the manifest does not name are leftovers of a run that ended early, and mean nothing.
 */
import { xxh64 } from '../../base/checksum.ts'
import { DfsError } from '../../protocol/errors.ts'
import { checkLayout, type LayoutRange } from '../../protocol/layout.ts'

export const backupLayoutVersion = 1
export const backupLayouts: LayoutRange = { oldest: 1, newest: backupLayoutVersion }
export const manifestName = 'backup.json'

/** A file of the backup, verified by length and XXH64 (16 hexadecimal digits). */
export interface BackupFile {
  readonly file: string
  readonly bytes: number
  readonly xxh64: string
}

/** A copy of the database. */
export interface BackupBase extends BackupFile {
  /** It holds every transaction up to this one. */
  readonly txid: number
  /** When it was copied, milliseconds since the epoch. */
  readonly time: number
}

/** A segment of the journal. */
export interface BackupSegment extends BackupFile {
  readonly firstTxid: number
  readonly lastTxid: number
}

export interface BackupManifest {
  readonly clusterId: string
  /** When the last run ended, milliseconds since the epoch. */
  readonly time: number
  /** Oldest first. */
  readonly bases: readonly BackupBase[]
  /** By first transaction. */
  readonly segments: readonly BackupSegment[]
}

/** Text of the manifest; ends in a checksum of all before it. */
export function encodeManifest(manifest: BackupManifest): string {
  const body = JSON.stringify(
    { format: 'trefoil-backup', layoutVersion: backupLayoutVersion, ...manifest },
    null,
    2,
  )
  return `${body}\n${seal(body)}\n`
}

/**
 * @param path for messages
 * @throws {@link DfsError} CORRUPTION, UNSUPPORTED_LAYOUT
 */
export function decodeManifest(text: string, path: string): BackupManifest {
  const lines = text.trimEnd().split('\n')
  const sealed = lines.pop() ?? ''
  const body = lines.join('\n')
  if (sealed !== seal(body)) {
    throw new DfsError(
      'CORRUPTION',
      `The manifest "${path}" is damaged: its last line must be "${seal(body)}", found "${sealed}"`,
      { path },
    )
  }
  const manifest = JSON.parse(body) as BackupManifest & { format: string; layoutVersion: number }
  if (manifest.format !== 'trefoil-backup') {
    throw new DfsError('UNSUPPORTED_LAYOUT', `"${path}" is no manifest of a Trefoil backup`, {
      path,
    })
  }
  checkLayout('Backup manifest', path, manifest.layoutVersion, backupLayouts)
  const { clusterId, time, bases, segments } = manifest
  return { clusterId, time, bases, segments }
}

function seal(body: string): string {
  return `xxh64 ${hash(Buffer.from(body))}`
}

/** XXH64 as the manifest writes it. */
export function hash(bytes: Uint8Array): string {
  return xxh64(bytes).toString(16).padStart(16, '0')
}

/** Name of the base as of `txid`. */
export function baseName(txid: number): string {
  return `base-${String(txid).padStart(16, '0')}.sqlite`
}

/** Segments that continue `txid` without a gap, in order. */
export function segmentsBehind(manifest: BackupManifest, txid: number): readonly BackupSegment[] {
  const chain: BackupSegment[] = []
  let last = txid
  for (const segment of manifest.segments) {
    if (segment.lastTxid <= last) continue
    if (segment.firstTxid > last + 1) break
    chain.push(segment)
    last = segment.lastTxid
  }
  return chain
}

/** The last transaction that can be restored from the newest base; -1 without one. */
export function backedUpThrough(manifest: BackupManifest | undefined): number {
  const base = manifest?.bases.at(-1)
  if (manifest === undefined || base === undefined) return -1
  return segmentsBehind(manifest, base.txid).at(-1)?.lastTxid ?? base.txid
}
