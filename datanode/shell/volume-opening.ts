import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { Settings } from '../../protocol/settings.ts'
import { mayGoOn } from '../core/volume-health.ts'
import { Volume, type VolumeFailure, type VolumeOptions } from './volume.ts'

/** The data directories of a datanode at its start. */
export interface OpenedVolumes {
  readonly volumes: readonly Volume[]
  /** Those that could not be opened; the others go on without them. */
  readonly failures: readonly VolumeFailure[]
}

/**
 * Opens the data directories; those whose disk does not work are left out as long as that is tolerated.
 *
 * @throws {@link DfsError} BUSY when another process uses one, UNSUPPORTED_LAYOUT or CORRUPTION from a
 * VERSION file, IO_ERROR when more of them failed than tolerated
 */
export async function openVolumes(
  directories: readonly string[],
  settings: Settings,
  options: Pick<VolumeOptions, 'logger' | 'clock' | 'files'>,
): Promise<OpenedVolumes> {
  const reservedBytes = settings['dfs.datanode.reserved-bytes']
  const useDirectIo = settings['dfs.datanode.direct-io']
  const volumes: Volume[] = []
  const failures: VolumeFailure[] = []
  try {
    for (const directory of directories) {
      const opened = await open({ directory, reservedBytes, useDirectIo, ...options })
      if (opened instanceof Volume) volumes.push(opened)
      else failures.push(opened)
    }
    const tolerated = settings['dfs.datanode.failed.volumes.tolerated']
    if (!mayGoOn(directories.length, failures.length, tolerated)) {
      throw tooManyFailed(directories.length, failures, tolerated)
    }
    return { volumes, failures }
  } catch (error) {
    await Promise.all(volumes.map((volume) => volume.close()))
    throw error
  }
}

/** The error with which a datanode ends that lost more of its `configured` volumes than `tolerated`. */
export function tooManyFailed(
  configured: number,
  failures: readonly VolumeFailure[],
  tolerated: number,
): DfsError {
  const list = failures.map(({ directory, reason }) => `"${directory}" (${reason})`).join(', ')
  const allowed = tolerated < 0 ? 'one must work' : `${tolerated} may fail`
  return new DfsError(
    'IO_ERROR',
    `Cannot go on with ${failures.length} of ${configured} data directories failed, ${allowed} ` +
      `(dfs.datanode.failed.volumes.tolerated): ${list}; replace the disks or leave them out, and restart`,
  )
}

async function open(options: VolumeOptions): Promise<Volume | VolumeFailure> {
  const { directory, logger, clock } = options
  try {
    return await Volume.open(options)
  } catch (error) {
    // Whose directory it is, and in which layout, an operator has to settle.
    if (isDfsError(error, 'BUSY', 'UNSUPPORTED_LAYOUT', 'CORRUPTION')) throw error
    const reason = error instanceof Error ? error.message : String(error)
    logger.error('volume-failed', { directory, reason, effect: 'it is left out; replace the disk' })
    return { directory, storage: undefined, reason, failedAt: clock.wall(), capacityBytes: 0 }
  }
}
