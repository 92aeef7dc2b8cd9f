import type { Prng } from '../../base/prng.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'

/** A stretch of block data: what stands for its bytes is their digest. */
export interface Stretch {
  readonly offset: number
  readonly length: number
  /** Of the bytes as they are. */
  readonly digest: number
  /** Of the bytes as they were written, as the checksums beside them say. */
  readonly checksum: number
}

/** One replica on a simulated disk. */
export interface ReplicaFile {
  readonly blockId: BlockId
  readonly storage: StorageUuid
  generationStamp: GenerationStamp
  place: 'rbw' | 'finalized' | 'temporary'
  stretches: Stretch[]
  /** Bytes that survive a power failure. */
  syncedLength: number
}

/** The disks of one datanode; they outlive its processes. */
export class ReplicaDisk {
  readonly #prng: Prng
  readonly storages: readonly StorageUuid[]
  readonly files = new Map<BlockId, ReplicaFile>()
  /** Cluster and pool the directories are bound to, once they are. */
  boundTo: string | undefined

  constructor(storages: readonly StorageUuid[], prng: Prng) {
    this.storages = storages
    this.#prng = prng
  }

  /** Flips bits in one stretch of a finalized replica. */
  rot(blockId: BlockId): void {
    const file = this.files.get(blockId)
    if (file?.place !== 'finalized' || file.stretches.length === 0) return
    const index = this.#prng.below(file.stretches.length)
    file.stretches = file.stretches.map((stretch, at) =>
      at === index ? { ...stretch, digest: stretch.checksum ^ 1 } : stretch,
    )
  }

  /** True when the replica of a block exists, is finalized and every byte is what was written. */
  isIntact(blockId: BlockId): boolean {
    const file = this.files.get(blockId)
    return file?.place === 'finalized' && !file.stretches.some(isRotten)
  }

  /** What a power failure leaves: call it when the process is dead. */
  crash(): void {
    for (const [blockId, file] of this.files) {
      if (file.place === 'temporary') this.files.delete(blockId)
      const unsynced = file.stretches.filter(({ offset }) => offset >= file.syncedLength)
      const kept = this.#prng.below(unsynced.length + 1)
      file.stretches = file.stretches.slice(0, file.stretches.length - unsynced.length + kept)
      file.syncedLength = lengthOf(file.stretches)
    }
  }
}

/** True when the bytes of `stretch` are not what was written. */
export function isRotten({ digest, checksum }: Stretch): boolean {
  return digest !== checksum
}

export function lengthOf(stretches: readonly Stretch[]): number {
  const last = stretches.at(-1)
  return last === undefined ? 0 : last.offset + last.length
}
