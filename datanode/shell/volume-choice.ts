import { DfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { largeBufferBytes } from './buffer-pool.ts'
import type { Volume } from './volume.ts'

/** Space a volume must have left to be given a new replica, however small that is to be. */
const remainingBytesMin = largeBufferBytes
/** Volumes whose remaining space differs by less than this count as equally full. */
const balancedBytes = 1024 * 1024 * 1024

let turn = 0

/** The replica a volume is looked for. */
export interface VolumeRequest {
  readonly blockId: BlockId
  /** The storage the namenode chose, if it is ours; only a wish. */
  readonly wish: string | undefined
  /** Bytes the replica may come to. */
  readonly expectedBytes: number
}

/**
 * Chooses the volume of a new replica: the wished one when it has room, else one with the most room;
 * about equally full ones take turns.
 *
 * @throws {@link DfsError} DISK_FULL when none has room
 */
export function chooseVolume(volumes: readonly Volume[], request: VolumeRequest): Volume {
  const { blockId, wish, expectedBytes } = request
  const needed = Math.max(remainingBytesMin, expectedBytes)
  const open = volumes.filter(({ remainingBytes }) => remainingBytes >= needed)
  const wished = open.find(({ storage }) => storage === wish)
  if (wished !== undefined) return wished
  const most = Math.max(...open.map(({ remainingBytes }) => remainingBytes))
  const best = open.filter(({ remainingBytes }) => most - remainingBytes < balancedBytes)
  turn += 1
  const chosen = best[turn % best.length]
  if (chosen !== undefined) return chosen
  const report = volumes.map(
    ({ directory, isFailed, remainingBytes }) =>
      `"${directory}" ${isFailed ? 'has failed' : `has ${remainingBytes} bytes left`}`,
  )
  throw new DfsError(
    'DISK_FULL',
    `No data directory has room for a replica of block ${blockId}, need ${needed} bytes: ` +
      `${report.join(', ')}; free space, add a directory or lower dfs.datanode.reserved-bytes`,
    { blockId },
  )
}
