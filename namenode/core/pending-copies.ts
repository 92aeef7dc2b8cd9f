/**
 * Replicas that are expected to appear: ordered copies, and the rest of the pipeline of a block that
 * was completed before all its datanodes reported. They count towards redundancy until they arrive or
 * their time is over, so that nothing is ordered twice, and they bound what a datanode has to do.
 *
 * Deadlines are kept in buckets of a second: a tick looks at what is due, never at everything.
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { DatanodeRecord, StorageRecord } from './datanode-registry.ts'

export interface PendingCopy {
  readonly target: StorageRecord
  /** The datanode that sends it; absent for members of a pipeline. */
  readonly source: DatanodeRecord | undefined
  readonly bytes: number
  readonly deadline: Millis
}

/** What is on its way from or to one datanode, and what arrived from it since somebody last asked. */
export interface CopyLoad {
  outCount: number
  outBytes: number
  inBytes: number
  doneCount: number
  doneBytes: number
}

const bucketMs = 1000
const none: readonly PendingCopy[] = []

/** Block → replicas expected to appear. */
export class PendingCopies {
  readonly #copies = new Map<BlockId, readonly PendingCopy[]>()
  readonly #buckets = new Map<number, BlockId[]>()
  readonly #loads = new Map<DatanodeRecord, CopyLoad>()
  #nextBucket: number | undefined
  #orderedCount = 0

  /** Blocks with an expected replica. */
  get blockCount(): number {
    return this.#copies.size
  }

  /** Ordered copies that have not arrived. */
  get orderedCount(): number {
    return this.#orderedCount
  }

  of(id: BlockId): readonly PendingCopy[] {
    return this.#copies.size === 0 ? none : (this.#copies.get(id) ?? none)
  }

  load(node: DatanodeRecord): Readonly<CopyLoad> {
    return this.#load(node)
  }

  /** Starts counting anew what arrives from a datanode. */
  resetDone(node: DatanodeRecord): void {
    const load = this.#load(node)
    load.doneCount = 0
    load.doneBytes = 0
  }

  add(id: BlockId, copy: PendingCopy): void {
    this.#copies.set(id, [...this.of(id), copy])
    this.#account(copy, 1)
    const bucket = Math.ceil(copy.deadline / bucketMs)
    this.#nextBucket = Math.min(this.#nextBucket ?? bucket, bucket)
    const due = this.#buckets.get(bucket)
    if (due === undefined) this.#buckets.set(bucket, [id])
    else due.push(id)
  }

  /** The datanode has its replica now. Returns the copies that this settles. */
  arrived(id: BlockId, node: DatanodeRecord): readonly PendingCopy[] {
    const arrived = this.#take(id, (copy) => copy.target.node === node)
    for (const { source, bytes } of arrived) {
      if (source === undefined) continue
      const load = this.#load(source)
      load.doneCount += 1
      load.doneBytes += bytes
    }
    return arrived
  }

  removeBlock(id: BlockId): void {
    this.#take(id, () => true)
  }

  /** Gives up every copy from or to a datanode. Returns the blocks concerned. */
  removeNode(node: DatanodeRecord): readonly BlockId[] {
    return [...this.#copies.keys()].filter(
      (id) =>
        this.#take(id, (copy) => copy.source === node || copy.target.node === node).length > 0,
    )
  }

  /** Gives up what is overdue. */
  expire(now: Millis): readonly { readonly id: BlockId; readonly copy: PendingCopy }[] {
    const expired: { readonly id: BlockId; readonly copy: PendingCopy }[] = []
    if (this.#nextBucket === undefined) return expired
    const last = Math.floor(now / bucketMs)
    if (this.#buckets.size === 0) this.#nextBucket = undefined
    while (this.#nextBucket !== undefined && this.#nextBucket <= last) {
      const bucket = this.#nextBucket
      for (const id of this.#buckets.get(bucket) ?? []) {
        for (const copy of this.#take(id, ({ deadline }) => deadline <= now)) {
          expired.push({ id, copy })
        }
      }
      this.#buckets.delete(bucket)
      this.#nextBucket = this.#buckets.size === 0 ? undefined : bucket + 1
    }
    return expired
  }

  #take(id: BlockId, isTaken: (copy: PendingCopy) => boolean): readonly PendingCopy[] {
    const known = this.#copies.get(id)
    if (known === undefined) return none
    const taken = known.filter(isTaken)
    if (taken.length === 0) return none
    const kept = known.filter((copy) => !taken.includes(copy))
    if (kept.length === 0) this.#copies.delete(id)
    else this.#copies.set(id, kept)
    for (const copy of taken) this.#account(copy, -1)
    return taken
  }

  #account({ source, target, bytes }: PendingCopy, sign: 1 | -1): void {
    if (source === undefined) return
    this.#orderedCount += sign
    const out = this.#load(source)
    out.outCount += sign
    out.outBytes += sign * bytes
    this.#load(target.node).inBytes += sign * bytes
  }

  #load(node: DatanodeRecord): CopyLoad {
    const known = this.#loads.get(node)
    if (known !== undefined) return known
    const load = { outCount: 0, outBytes: 0, inBytes: 0, doneCount: 0, doneBytes: 0 }
    this.#loads.set(node, load)
    return load
  }
}

/** When a copy ordered now is taken for lost. */
export function copyDeadline(now: Millis, bytes: number): number {
  return now + limits.copyTimeoutMs + Math.ceil((bytes * 1000) / limits.copyBytesPerSecondMin)
}
