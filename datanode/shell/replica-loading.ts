import type { Logger } from '../../base/log.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import type { DatanodeIdentity } from '../format/version-file.ts'
import { errnoOf } from './files.ts'
import { type FoundReplica, scanVolume, worseReplica } from './replica-scan.ts'
import { type ReplicaShelf, removeReplica } from './replica-shelf.ts'
import type { Volume } from './volume.ts'

/**
 * Returns what the directories say they belong to, or `undefined` when none is bound yet.
 *
 * @param wanted what they must belong to, if that is known
 * @throws {@link DfsError} UNREGISTERED_NODE when they belong to different datanodes or clusters
 */
export function identityOfVolumes(
  volumes: readonly Volume[],
  wanted: DatanodeIdentity | undefined,
): DatanodeIdentity | undefined {
  let identity: DatanodeIdentity | undefined
  for (const { version, directory } of volumes) {
    if (version === undefined) continue
    identity ??= wanted ?? identityOf(version)
    requireSameIdentity(identityOf(version), identity, directory)
  }
  return identity
}

/** Reads the replicas of all bound volumes from disk and settles what a crash left half done. */
export async function loadReplicas(shelf: ReplicaShelf): Promise<void> {
  const foundById = new Map<BlockId, FoundReplica>()
  for (const volume of shelf.volumes) {
    if (volume.version === undefined) continue
    for (const found of await contentsOf(volume, shelf.logger)) {
      const known = foundById.get(found.blockId)
      const worse = known === undefined ? undefined : worseReplica(known, found)
      if (worse !== undefined) await dropDuplicate(shelf, worse)
      if (worse !== found) foundById.set(found.blockId, found)
    }
  }
  for (const found of foundById.values()) {
    if (!shelf.volumeOf(found.storage).isFailed) shelf.map.adopt(found, found.state)
  }
  shelf.logger.info('replicas-loaded', { count: shelf.map.count })
}

/** Scans a volume; one whose disk fails meanwhile has nothing. */
async function contentsOf(volume: Volume, logger: Logger): Promise<readonly FoundReplica[]> {
  try {
    await volume.prepare()
    return await scanVolume(volume, logger)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    volume.fail(volume.judge(error, 'read the replicas').message)
    return []
  }
}

/** @throws {@link DfsError} UNREGISTERED_NODE when they differ */
export function requireSameIdentity(
  one: DatanodeIdentity,
  other: DatanodeIdentity,
  where: string,
): void {
  const keys = ['clusterId', 'namespaceId', 'blockPoolId', 'datanodeUuid'] as const
  for (const key of keys) {
    if (one[key] === other[key]) continue
    throw new DfsError(
      'UNREGISTERED_NODE',
      `Cannot join ${where}: ${key} is "${other[key]}" there, "${one[key]}" here`,
    )
  }
}

async function dropDuplicate(shelf: ReplicaShelf, duplicate: FoundReplica): Promise<void> {
  const { blockId, generationStamp, storage, files } = duplicate
  shelf.logger.warn('duplicate-replica-dropped', { blockId, generationStamp, storage })
  await removeReplica(files)
}

function identityOf(identity: DatanodeIdentity): DatanodeIdentity {
  const { clusterId, namespaceId, blockPoolId, datanodeUuid: uuid } = identity
  return { clusterId, namespaceId, blockPoolId, datanodeUuid: uuid }
}
