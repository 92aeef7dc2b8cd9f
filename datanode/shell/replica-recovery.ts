import { defined } from '../../base/assert.ts'
import { isDfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import { type ReplicaInfo, type ReplicaRecovery, reportedState } from '../core/replica.ts'
import { requireHeldByRecovery, requireYoungerRecovery } from '../core/replica-rules.ts'
import { requireIntact } from './intact-replica.ts'
import { cutReplica } from './replica-cut.ts'
import { sealReplica } from './replica-repair.ts'
import type { ReplicaShelf } from './replica-shelf.ts'

/** A replica as it was when its recovery began. */
export interface RecoverableReplica {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly state: ReplicaRecovery['stateBefore']
}

/** This datanode's part in a block recovery (InterDatanodeProtocol; FsDatasetImpl.initReplicaRecovery). */
export class ReplicaRecoveryDesk {
  readonly #shelf: ReplicaShelf
  readonly #onCorrupt: (blockId: BlockId, reason: string) => void

  constructor(shelf: ReplicaShelf, onCorrupt: (blockId: BlockId, reason: string) => void) {
    this.#shelf = shelf
    this.#onCorrupt = onCorrupt
  }

  /**
   * Stops the writer of a replica and holds it for recovery `recoveryStamp`.
   *
   * @returns the replica as it was, or `undefined` when there is none to recover
   * @throws {@link DfsError} RECOVERY_IN_PROGRESS when an equal or younger recovery holds it, IO_ERROR
   * when its stamp is below `generationStamp` or not below `recoveryStamp`, CHECKSUM_MISMATCH or CORRUPTION
   * when it is final and damaged
   */
  initReplicaRecovery(
    blockId: BlockId,
    generationStamp: GenerationStamp,
    recoveryStamp: GenerationStamp,
  ): Promise<RecoverableReplica | undefined> {
    const { map } = this.#shelf
    return this.#shelf.mutex.run(blockId, async () => {
      const before = map.find(blockId)
      if (before === undefined || before.state === 'temporary') return undefined
      requireYoungerRecovery(before, { generationStamp, recoveryStamp })
      await this.#shelf.stopWriter(blockId)
      const stopped = map.find(blockId)
      if (stopped === undefined) return undefined
      await this.#requireIntact(stopped)
      map.beginRecovery(blockId, recoveryStamp)
      const replica = defined(map.find(blockId), 'replica under recovery')
      const state = defined(reportedState(replica), 'state before recovery')
      return { blockId, generationStamp: replica.generationStamp, length: replica.length, state }
    })
  }

  async #requireIntact(replica: ReplicaInfo): Promise<void> {
    const { blockId } = replica
    try {
      await requireIntact(this.#shelf, replica)
    } catch (error) {
      const isDamaged = isDfsError(error, 'CHECKSUM_MISMATCH') || isDfsError(error, 'CORRUPTION')
      if (isDamaged) this.#onCorrupt(blockId, error.message)
      throw this.#shelf.volumeOf(replica.storage).judge(error, `recover block ${blockId}`)
    }
  }

  /**
   * Ends a recovery: cuts the replica to `newLength`, gives it the recovery's stamp and finalizes it,
   * all durably.
   *
   * @throws {@link DfsError} REPLICA_NOT_FOUND without a replica, IO_ERROR when another recovery, or
   * none, holds it or it is shorter than `newLength`
   */
  updateReplicaUnderRecovery(
    blockId: BlockId,
    recoveryStamp: GenerationStamp,
    newLength: number,
  ): Promise<StorageUuid> {
    return this.#shelf.mutex.run(blockId, async () => {
      const { map } = this.#shelf
      map.check(blockId, 'end-recovery')
      const replica = defined(map.find(blockId), 'replica under recovery')
      requireHeldByRecovery(replica, recoveryStamp, newLength)
      const volume = this.#shelf.volumeOf(replica.storage)
      try {
        const from = this.#shelf.filesOf(replica)
        await cutReplica(from, blockId, { length: replica.length, newLength })
        const digest = await sealReplica(from, blockId, newLength)
        map.setLength(blockId, newLength)
        map.setDigest(blockId, digest)
        await this.#shelf.relocate(replica, 'finalized', recoveryStamp)
        this.#shelf.requireWorking(volume)
      } catch (error) {
        throw volume.judge(error, `recover block ${blockId}`)
      }
      map.restamp(blockId, recoveryStamp)
      map.move(blockId, 'end-recovery')
      this.#shelf.notify('received', replica)
      return replica.storage
    })
  }
}
