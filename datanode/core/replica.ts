/**
 * A replica: this datanode's copy of a block, as everything but the disk sees it.
 *
 *     0            visibleLength        length
 *     |  acknowledged  |   received, not yet acknowledged  |
 *
 * 1. `visibleLength <= length`; both only grow, except when recovery cuts the replica.
 * 2. `length` counts bytes that were received in order and passed the writer's checksums (D2).
 * 3. A generation stamp only grows (D5).
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import type { ReplicaState } from '../../protocol/states.ts'

/** What the namenode, readers and recovery need to know of a replica. Do not keep it: it is live. */
export interface ReplicaInfo {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  /** Bytes received and verified. */
  readonly length: number
  /** Bytes acknowledged to the writer: a reader may count on these. */
  readonly visibleLength: number
  readonly state: ReplicaState
  readonly storage: StorageUuid
  /** Digest of the whole block (docs/formats/block-files.md); only finalized replicas have one, old ones may not. */
  readonly digest: bigint | undefined
  /** When the bytes were last known to be right, by the wall clock; 0 is never. */
  readonly verifiedAt: Millis
  /** Set exactly while `state` is `rur`. */
  readonly recovery: ReplicaRecovery | undefined
}

/** A recovery in progress: which one, and what the replica was before it. */
export interface ReplicaRecovery {
  readonly recoveryStamp: GenerationStamp
  readonly stateBefore: Exclude<ReplicaState, 'rur' | 'temporary'>
}

/**
 * Returns the state a block report gives for `replica`: a replica under recovery counts as what it was,
 * a temporary one is not reported (org.apache.hadoop.hdfs.server.datanode.BPServiceActor).
 */
export function reportedState(
  replica: ReplicaInfo,
): Exclude<ReplicaState, 'rur' | 'temporary'> | undefined {
  if (replica.state === 'rur') return replica.recovery?.stateBefore
  return replica.state === 'temporary' ? undefined : replica.state
}

/** True when bytes of `replica` may be served to readers. */
export function isReadable(replica: ReplicaInfo): boolean {
  const state = reportedState(replica)
  return state === 'finalized' || state === 'rbw'
}
