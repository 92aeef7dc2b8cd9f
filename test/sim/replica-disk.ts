import { assert } from '../../base/assert.ts'
import type { Prng } from '../../base/prng.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'

/** A stretch of block data: what stands for its bytes is where they come from. */
export interface Stretch {
  /** In the block. */
  readonly offset: number
  readonly length: number
  /** Which drawn data the bytes are of, and from where in it on. */
  readonly source: number
  readonly from: number
  /** The bytes on the disk are not those that the checksums beside them are of. */
  readonly isRotten: boolean
}

/** One replica on a simulated disk. */
export interface ReplicaFile {
  readonly blockId: BlockId
  readonly storage: StorageUuid
  generationStamp: GenerationStamp
  place: 'rbw' | 'finalized' | 'temporary'
  /** When it was written or read through, by the machine's wall clock. */
  verifiedAt: number
  stretches: readonly Stretch[]
  /** Bytes that are with the kernel, and so survive the end of the process. */
  flushedLength: number
  /** Bytes that survive a power failure. */
  syncedLength: number
}

/** What every operation on a storage is answered with, for a while. */
export type DiskFailure = 'EIO' | 'ENOSPC'

/** Unsynced data is torn at a multiple of this: what is recovered ends with the last whole chunk. */
const tearBytes = 512

/** The disks of one datanode; they outlive its processes. */
export class ReplicaDisk {
  readonly #prng: Prng
  readonly storages: readonly StorageUuid[]
  readonly files = new Map<BlockId, ReplicaFile>()
  /** Deleted, but the directory was not synced since: a power failure may bring them back. */
  readonly #unlinked = new Map<BlockId, ReplicaFile>()
  readonly failures = new Map<StorageUuid, DiskFailure>()
  /** Added to every operation, milliseconds. */
  slowMsMax = 0
  /** Called before a replica is deleted. */
  onRemove: (file: ReplicaFile) => void = () => undefined
  /** Cluster and pool the directories are bound to, once they are. */
  boundTo: string | undefined

  constructor(storages: readonly StorageUuid[], prng: Prng) {
    this.storages = storages
    this.#prng = prng
  }

  /** Unlinks a replica's files. */
  remove(blockId: BlockId): void {
    const file = this.files.get(blockId)
    if (file === undefined) return
    this.onRemove(file)
    this.files.delete(blockId)
    if (file.place === 'finalized') this.#unlinked.set(blockId, file)
  }

  /** Changes bytes of one stretch of a finalized replica. */
  rot(blockId: BlockId): void {
    const file = this.files.get(blockId)
    if (file?.place !== 'finalized' || file.stretches.length === 0) return
    const index = this.#prng.below(file.stretches.length)
    file.stretches = file.stretches.map((stretch, at) =>
      at === index ? { ...stretch, isRotten: true } : stretch,
    )
  }

  /** Everything is gone, as with a new disk; the identity of the directories stays. */
  wipe(): void {
    this.files.clear()
    this.#unlinked.clear()
  }

  /** True when the replica of a block exists, is finalized and every byte is what was written. */
  isIntact(blockId: BlockId): boolean {
    const file = this.files.get(blockId)
    return file?.place === 'finalized' && !file.stretches.some(isRotten)
  }

  /** What the end of the process leaves: all that is with the kernel. Call it when the process is dead. */
  kill(): void {
    for (const file of [...this.files.values()]) {
      this.#tear(file, file.flushedLength)
      file.flushedLength = lengthOf(file.stretches)
    }
  }

  /** What a power failure leaves: call it when the process is dead. */
  losePower(): void {
    for (const file of [...this.files.values()]) {
      const isUnsynced = file.place !== 'finalized' && file.syncedLength === 0
      if (isUnsynced && this.#prng.chance(1, 2)) this.files.delete(file.blockId)
      this.#tear(file, file.syncedLength)
      file.flushedLength = lengthOf(file.stretches)
      file.syncedLength = file.flushedLength
    }
    for (const [blockId, file] of this.#unlinked) {
      if (!this.files.has(blockId) && this.#prng.chance(1, 3)) this.files.set(blockId, file)
    }
    this.#unlinked.clear()
  }

  #tear(file: ReplicaFile, safeLength: number): void {
    if (file.place === 'temporary') this.files.delete(file.blockId)
    const length = lengthOf(file.stretches)
    if (file.place === 'finalized' || length <= safeLength) return
    const lost = this.#prng.below(length - safeLength + 1)
    const kept = lost === 0 ? length : Math.floor((length - lost) / tearBytes) * tearBytes
    file.stretches = sliceOf(file.stretches, 0, Math.max(safeLength, kept))
  }
}

/** True when the bytes of `stretch` are not what was written. */
export function isRotten(stretch: Stretch): boolean {
  return stretch.isRotten
}

export function lengthOf(stretches: readonly Stretch[]): number {
  const last = stretches.at(-1)
  return last === undefined ? 0 : last.offset + last.length
}

/** The part of `stretches` in `[start, end)` of the block. */
export function sliceOf(
  stretches: readonly Stretch[],
  start: number,
  end: number,
): readonly Stretch[] {
  const found: Stretch[] = []
  for (const stretch of stretches) {
    const from = Math.max(start, stretch.offset)
    const to = Math.min(end, stretch.offset + stretch.length)
    if (from >= to) continue
    const skipped = from - stretch.offset
    found.push({ ...stretch, offset: from, length: to - from, from: stretch.from + skipped })
  }
  return found
}

/** Cuts a replica's file off at `length`. */
export function cut(file: ReplicaFile, length: number): void {
  assert(lengthOf(file.stretches) >= length, `a replica cannot be cut to ${length}: it is shorter`)
  file.stretches = sliceOf(file.stretches, 0, length)
  file.flushedLength = Math.min(file.flushedLength, length)
  file.syncedLength = Math.min(file.syncedLength, length)
}
