/**
 * Judges a data directory by the errors of its file operations: which are the operation's own trouble,
 * which make the disk suspect, and which mean that it cannot be trusted any more.
 *
 *                          read              write, sync, metadata
 *     ENOSPC, EDQUOT       full              full
 *     EIO                  check; the third  failed: what the page cache held may be lost (D18)
 *                          within the
 *                          window: failed
 *     EROFS, ENODEV, ENXIO, ENOTCONN, ESTALE, EUCLEAN        failed
 *     ENOENT, ENOTDIR, EACCES, EPERM                         check: the directory may have vanished
 *     anything else                                          nothing
 *
 * 1. One bad sector costs a replica, not a disk: a failed read is followed by a check, which writes, syncs
 *    and lists. Readers report the replica.
 * 2. A failed volume never recovers by itself: its replicas were reported gone.
 */
import type { Millis } from '../../base/brand.ts'

/** Kinds of file operations, as far as it matters for their judgement and for metrics. */
export const diskOperations = ['read', 'write', 'sync', 'metadata'] as const
export type DiskOperation = (typeof diskOperations)[number]

/** What follows from an error. */
export type HealthVerdict = 'nothing' | 'full' | 'check' | 'failed'

export const volumeHealthLimits = {
  /** Failed reads within the window that condemn a volume although each check passed. */
  readErrorsMax: 3,
  readErrorWindowMs: 600_000,
} as const

const fullCodes = new Set(['ENOSPC', 'EDQUOT'])
const fatalCodes = new Set(['EROFS', 'ENODEV', 'ENXIO', 'ENOTCONN', 'ESTALE', 'EUCLEAN'])
const doubtfulCodes = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'])

export class VolumeHealth {
  #readErrorsAt: Millis[] = []

  /** Takes the error `errno` of an operation at `now`, on the monotonic clock. */
  judge(now: Millis, operation: DiskOperation, errno: string): HealthVerdict {
    if (fullCodes.has(errno)) return 'full'
    if (fatalCodes.has(errno)) return 'failed'
    if (doubtfulCodes.has(errno)) return 'check'
    if (errno !== 'EIO') return 'nothing'
    if (operation !== 'read') return 'failed'
    const { readErrorsMax, readErrorWindowMs } = volumeHealthLimits
    this.#readErrorsAt = this.#readErrorsAt.filter((at) => now - at < readErrorWindowMs)
    this.#readErrorsAt.push(now)
    return this.#readErrorsAt.length >= readErrorsMax ? 'failed' : 'check'
  }
}

/**
 * Says whether a datanode with `failed` of `configured` data directories may go on.
 *
 * @param tolerated dfs.datanode.failed.volumes.tolerated; -1: as long as one works
 */
export function mayGoOn(configured: number, failed: number, tolerated: number): boolean {
  return failed < configured && (tolerated < 0 || failed <= tolerated)
}
