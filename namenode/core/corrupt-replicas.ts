/**
 * Replicas that exist and must not be trusted. They are kept until the block has enough good ones
 * elsewhere, because bytes that are wrong in one place may be all that is left of the others.
 */
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import type { StorageRecord } from './datanode-registry.ts'

/**
 * - `reported`: a reader or a scrub saw bytes that do not match their checksums
 * - `stale-stamp`: it missed a pipeline recovery or an append
 * - `future-stamp`: it took part in a pipeline recovery that the namenode never heard of
 * - `wrong-length`: finalized with another length than the block's
 * - `not-finalized`: left over from a writer, although the block is complete
 * - `digest-mismatch`: its bytes differ from the block's, although its checksums may fit them
 * - `digest-undecided`: it differs from another replica, and nothing says which one is right
 */
export type CorruptReason =
  | 'reported'
  | 'stale-stamp'
  | 'future-stamp'
  | 'wrong-length'
  | 'not-finalized'
  | 'digest-mismatch'
  | 'digest-undecided'

export interface CorruptReplica {
  readonly storage: StorageRecord
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly reason: CorruptReason
  /** As its datanode reported it, if it did. */
  readonly digest?: bigint | undefined
  /** Told, or about to be told, to delete it. */
  isGoing: boolean
}

/** Whether a corrupt replica may ever be deleted: not while it may be the right one. */
export function isCondemned({ reason }: CorruptReplica): boolean {
  return reason !== 'digest-undecided'
}

const none: readonly CorruptReplica[] = []

/** Block → its corrupt replicas, at most one a datanode. */
export class CorruptReplicas {
  readonly #replicas = new Map<BlockId, readonly CorruptReplica[]>()

  /** Blocks with a corrupt replica. */
  get blockCount(): number {
    return this.#replicas.size
  }

  has(id: BlockId): boolean {
    return this.#replicas.size > 0 && this.#replicas.has(id)
  }

  entries(): IterableIterator<[BlockId, readonly CorruptReplica[]]> {
    return this.#replicas.entries()
  }

  of(id: BlockId): readonly CorruptReplica[] {
    return this.#replicas.size === 0 ? none : (this.#replicas.get(id) ?? none)
  }

  on(id: BlockId, storage: StorageRecord): CorruptReplica | undefined {
    return this.of(id).find((replica) => replica.storage === storage)
  }

  put(id: BlockId, replica: CorruptReplica): void {
    const others = this.of(id).filter(({ storage }) => storage.node !== replica.storage.node)
    this.#replicas.set(id, [...others, replica])
  }

  /** Forgets the replica on a storage. Returns whether there was one. */
  remove(id: BlockId, storage: StorageRecord): boolean {
    const known = this.of(id)
    const kept = known.filter((replica) => replica.storage !== storage)
    if (kept.length === known.length) return false
    if (kept.length === 0) this.#replicas.delete(id)
    else this.#replicas.set(id, kept)
    return true
  }

  removeBlock(id: BlockId): void {
    this.#replicas.delete(id)
  }
}
