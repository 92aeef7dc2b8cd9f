import type { BlockId, DatanodeUuid, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import type { ReplicaInfo } from '../core/replica.ts'
import type { ReplicaEvent } from '../core/report-queue.ts'
import type { BadReplica, NamespaceIdentity } from '../core/session-events.ts'
import type { RecoverableReplica } from './replica-recovery.ts'
import type { StorageSummary } from './replica-store.ts'
import type { ScrubStatus } from './scrub-worker.ts'
import type { VolumeFailure } from './volume.ts'

/** This datanode's part in block recoveries. */
export interface RecoveryDesk {
  /** Stops the writer and holds the replica for the recovery; `undefined` when there is no replica. */
  initReplicaRecovery(
    blockId: BlockId,
    generationStamp: GenerationStamp,
    recoveryStamp: GenerationStamp,
  ): Promise<RecoverableReplica | undefined>
  /** Cuts, stamps and finalizes a held replica, durably. */
  updateReplicaUnderRecovery(
    blockId: BlockId,
    recoveryStamp: GenerationStamp,
    newLength: number,
  ): Promise<StorageUuid>
}

/**
 * What the session, its orders and the RPC services need to know of the replicas: all but their bytes.
 * The replica store is one; a simulation has another.
 */
export interface ReplicaCatalog {
  readonly datanodeUuid: DatanodeUuid
  readonly recovery: RecoveryDesk
  storages(): readonly StorageSummary[]
  replicas(storage: StorageUuid): Iterable<ReplicaInfo>
  find(blockId: BlockId): ReplicaInfo | undefined
  delete(blockId: BlockId, generationStamp: GenerationStamp): Promise<void>
  /** What verifying a storage's bytes has done; `undefined` while it is off. */
  scrubStatus?(storage: StorageUuid): ScrubStatus | undefined
  /** Data directories that do not work. */
  volumeFailures?(): readonly VolumeFailure[]
  bindTo(namespace: NamespaceIdentity): Promise<void>
  onEvent(listener: (event: ReplicaEvent) => void): void
  onCorrupt(listener: (replica: BadReplica) => void): void
}
