import type { ReplicaInfo } from '../core/replica.ts'
import { needsVerification } from '../core/replica-rules.ts'
import type { ReplicaShelf } from './replica-shelf.ts'
import { verifyReplica } from './verify-replica.ts'

/** A replica that was verified within that time is taken as intact. */
const freshlyVerifiedMs = 600_000

/**
 * Reads a finalized replica that is about to get a new stamp (pipeline, recovery), unless the scrubber did
 * lately. One that has rotted unnoticed must not get it: were the good ones lost, it would be all that is left.
 * Nothing is done about one that is not final.
 *
 * @throws {@link DfsError} CHECKSUM_MISMATCH or CORRUPTION when it is damaged
 */
export async function requireIntact(shelf: ReplicaShelf, replica: ReplicaInfo): Promise<void> {
  const { blockId, length, digest, storage } = replica
  if (!needsVerification(replica, shelf.volumeOf(storage).wallTime(), freshlyVerifiedMs)) return
  const files = shelf.filesOf(replica)
  const pace = (): Promise<void> => Promise.resolve()
  await verifyReplica({ files, blockId, length, digest, isDirect: false, pace })
}
