/**
 * Replicas that are expected to appear: ordered copies, and the rest of the pipeline of a block that
 * was completed before all its datanodes reported. They count towards redundancy until they arrive or
 * their time is over, so that nothing is ordered twice, and they bound what a datanode has to do.
 *
 * Deadlines are kept in buckets of a second: a tick looks at what is due, never at everything.
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId } from '../../protocol/ids.ts'
import { CopySpeed } from './copy-speed.ts'
import type { DatanodeRecord, StorageRecord } from './datanode-registry.ts'

export interface PendingCopy {
  readonly target: StorageRecord
  /** The datanode that sends it; absent for members of a pipeline. */
  readonly source: DatanodeRecord | undefined
  readonly bytes: number
  readonly since: Millis
  readonly deadline: Millis
  /** When the order left for the source; absent while it waits for a heartbeat. */
  sentAt?: Millis | undefined
}

/** What is on its way from or to one datanode, and how fast it proved to be. */
export interface CopyLoad {
  outCount: number
  outBytes: number
  inCount: number
  inBytes: number
  readonly outSpeed: CopySpeed
  readonly inSpeed: CopySpeed
}

/** Ordered copies that ended, since the start. */
export interface CopyTotals {
  done: number
  doneBytes: number
  /** Did not arrive in time. */
  expired: number
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
  readonly #totals: CopyTotals = { done: 0, doneBytes: 0, expired: 0 }

  /** Blocks with an expected replica. */
  get blockCount(): number {
    return this.#copies.size
  }

  /** Ordered copies that have not arrived. */
  get orderedCount(): number {
    return this.#orderedCount
  }

  /** How many ordered copies arrived, and how many did not. */
  get totals(): Readonly<CopyTotals> {
    return this.#totals
  }

  of(id: BlockId): readonly PendingCopy[] {
    return this.#copies.size === 0 ? none : (this.#copies.get(id) ?? none)
  }

  load(node: DatanodeRecord): Readonly<CopyLoad> {
    return this.#load(node)
  }

  /** Takes a measurement of a datanode's speed; called between its heartbeats. */
  sample(now: Millis, node: DatanodeRecord): void {
    const { outSpeed, inSpeed } = this.#load(node)
    outSpeed.sample(now)
    inSpeed.sample(now)
  }

  /** The order for these copies of a block left for their source. */
  sent(now: Millis, id: BlockId, source: DatanodeRecord): void {
    for (const copy of this.of(id)) {
      if (copy.source !== source || copy.sentAt !== undefined) continue
      copy.sentAt = now
      this.#load(source).outSpeed.started(now)
      this.#load(copy.target.node).inSpeed.started(now)
    }
  }

  /** Forgets how fast a datanode was. */
  forgetSpeed(node: DatanodeRecord): void {
    this.#loads.delete(node)
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
  arrived(now: Millis, id: BlockId, node: DatanodeRecord): readonly PendingCopy[] {
    return this.#take(now, id, (copy) => copy.target.node === node, true)
  }

  removeBlock(now: Millis, id: BlockId): void {
    this.#take(now, id, () => true)
  }

  /** Gives up the copies of a block that one datanode was to send. */
  withdraw(now: Millis, id: BlockId, source: DatanodeRecord): void {
    this.#take(now, id, (copy) => copy.source === source && copy.sentAt === undefined)
  }

  /** Gives up every copy from or to a datanode. Returns the blocks concerned. */
  removeNode(now: Millis, node: DatanodeRecord): readonly BlockId[] {
    const isConcerned = (copy: PendingCopy): boolean =>
      copy.source === node || copy.target.node === node
    return [...this.#copies.keys()].filter((id) => this.#take(now, id, isConcerned).length > 0)
  }

  /** Every block with an expected replica, and what is expected. */
  entries(): IterableIterator<[BlockId, readonly PendingCopy[]]> {
    return this.#copies.entries()
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
        for (const copy of this.#take(now, id, ({ deadline }) => deadline <= now)) {
          this.#punish(copy)
          expired.push({ id, copy })
        }
      }
      this.#buckets.delete(bucket)
      this.#nextBucket = this.#buckets.size === 0 ? undefined : bucket + 1
    }
    return expired
  }

  #punish({ source, target }: PendingCopy): void {
    if (source === undefined) return
    this.#totals.expired += 1
    this.#load(source).outSpeed.timedOut()
    this.#load(target.node).inSpeed.timedOut()
  }

  #take(
    now: Millis,
    id: BlockId,
    isTaken: (copy: PendingCopy) => boolean,
    isDone = false,
  ): readonly PendingCopy[] {
    const known = this.#copies.get(id)
    if (known === undefined) return none
    const taken = known.filter(isTaken)
    if (taken.length === 0) return none
    const kept = known.filter((copy) => !taken.includes(copy))
    if (kept.length === 0) this.#copies.delete(id)
    else this.#copies.set(id, kept)
    for (const copy of taken) this.#end(now, copy, isDone)
    return taken
  }

  #end(now: Millis, copy: PendingCopy, isDone: boolean): void {
    this.#account(copy, -1)
    const { source, target, sentAt, bytes } = copy
    if (source === undefined) return
    if (isDone) {
      this.#totals.done += 1
      this.#totals.doneBytes += bytes
    }
    if (sentAt === undefined) return
    const doneBytes = isDone ? bytes : undefined
    this.#load(source).outSpeed.ended(now, doneBytes)
    this.#load(target.node).inSpeed.ended(now, doneBytes)
  }

  #account({ source, target, bytes }: PendingCopy, sign: 1 | -1): void {
    if (source === undefined) return
    this.#orderedCount += sign
    const out = this.#load(source)
    out.outCount += sign
    out.outBytes += sign * bytes
    const into = this.#load(target.node)
    into.inCount += sign
    into.inBytes += sign * bytes
  }

  #load(node: DatanodeRecord): CopyLoad {
    const known = this.#loads.get(node)
    if (known !== undefined) return known
    const load: CopyLoad = {
      ...{ outCount: 0, outBytes: 0, inCount: 0, inBytes: 0 },
      outSpeed: new CopySpeed(),
      inSpeed: new CopySpeed(),
    }
    this.#loads.set(node, load)
    return load
  }
}
