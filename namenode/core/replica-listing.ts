/**
 * Full reports, cut into steps so that a storage with millions of replicas never keeps the namenode
 * from its other work. Two ways to say what a storage holds:
 *
 *     everything     list all replicas                        HDFS's datanodes
 *     differences    1. digests of buckets ──▶ which differ   ours: nothing is listed that both know
 *                    2. lists of those buckets only
 *
 * A listing says two things: what it lists is there, and nothing else of its scope is. Between steps the
 * world goes on; whatever incremental reports said meanwhile wins (B7).
 */
import type { Millis } from '../../base/brand.ts'
import type { ListedReplica } from '../../protocol/block-list.ts'
import type { BlockId } from '../../protocol/ids.ts'
import {
  addReplica,
  type BucketSum,
  blocksPerBucket,
  bucketDigest,
  bucketOf,
  emptyBucketSum,
} from '../../protocol/replica-buckets.ts'
import { isBeingWritten, isGoing } from './block-map.ts'
import type { StorageRecord } from './datanode-registry.ts'
import type { EarlyTest, ReplicaLedger } from './replica-ledger.ts'
import type { BlockReference } from './requests.ts'

/** What one step of a listing found. */
export interface ListingStep {
  readonly changed: readonly BlockId[]
  readonly garbage: readonly BlockReference[]
  readonly undeleted: readonly BlockReference[]
}

/** The content of a storage, or of some buckets of it. */
export interface Listing {
  readonly storage: StorageRecord
  readonly replicas: Iterable<ListedReplica>
  /** Only blocks of these buckets are listed; absent when the whole storage is. */
  readonly buckets?: ReadonlySet<number> | undefined
}

/** A bucket as a datanode describes it. */
export interface ReportedBucket {
  readonly bucket: number
  readonly count: number
  readonly digest: bigint
}

/** A few milliseconds of work each. */
const replicasPerStep = 1000
/** Of the block map; a full one costs a millisecond or two to compare. */
const pagesPerStep = 8

/** Places what a listing names and removes what it does not. `now` is asked for at every step. */
export function* takeListing(
  now: () => Millis,
  { storage, replicas, buckets }: Listing,
  ledger: ReplicaLedger,
  mayBeEarly: EarlyTest,
): Generator<ListingStep, void> {
  const listed = new IdSet()
  let step = new Step()
  let count = 0
  for (const replica of replicas) {
    if (buckets !== undefined && !buckets.has(bucketOf(replica.blockId))) continue
    listed.add(replica.blockId)
    step.note(replica, ledger.listed(now(), storage, replica, mayBeEarly))
    count += 1
    if (count % replicasPerStep !== 0) continue
    yield step
    step = new Step()
  }
  for (const ids of heldIds(storage, buckets, ledger)) {
    for (const id of ids) {
      if (listed.has(id) || storage.recent.wasReceived(now(), id)) continue
      if (ledger.removed(id, storage)) step.changed.push(id)
    }
    yield step
    step = new Step()
  }
}

/** Finds the buckets of a storage that are not as its datanode describes them, in steps. */
export function* differingBuckets(
  storage: StorageRecord,
  reported: readonly ReportedBucket[],
  ledger: ReplicaLedger,
): Generator<void, readonly number[]> {
  const own = new OwnBuckets()
  for (const [index, pageIndex] of ledger.map.pageIndexes().entries()) {
    if (index % pagesPerStep === pagesPerStep - 1) yield
    const { map } = ledger
    for (const at of map.slotsOn(storage.index, pageIndex)) {
      const id = map.id(at)
      const word = map.replicaOn(at, storage.index)
      // Of a replica being written only its datanode knows the length; one that should be gone is asked for.
      if (word === undefined || isBeingWritten(word) || isGoing(word)) own.doubt(id)
      else own.add(id, map.generationStamp(at), map.length(at), 'finalized')
    }
  }
  for (const [id, replicas] of ledger.corrupt.entries()) {
    for (const replica of replicas) {
      if (replica.storage !== storage) continue
      const state = replica.reason === 'not-finalized' ? 'rwr' : 'finalized'
      if (replica.isGoing) own.doubt(id)
      else own.add(id, replica.generationStamp, replica.length, state)
    }
  }
  for (const [id, { replicas }] of ledger.open.entries()) {
    for (const replica of replicas) {
      if (replica.storage !== storage) continue
      const state = replica.state === 'waiting' ? 'rwr' : 'finalized'
      if (replica.state === 'writing') own.doubt(id)
      else own.add(id, replica.generationStamp, replica.length, state)
    }
  }
  return own.differences(reported)
}

/** Ids of blocks of which the ledger knows something on a storage, page by page and then the rest. */
function* heldIds(
  storage: StorageRecord,
  buckets: ReadonlySet<number> | undefined,
  ledger: ReplicaLedger,
): Generator<readonly BlockId[], void> {
  const isInScope = (id: number): boolean =>
    buckets === undefined || buckets.has(Math.floor(id / blocksPerBucket))
  let held: BlockId[] = []
  let count = 0
  for (const pageIndex of ledger.map.pageIndexes()) {
    const firstId = ledger.map.firstIdOf(pageIndex)
    if (firstId === undefined || !isInScope(firstId)) continue
    for (const at of ledger.map.slotsOn(storage.index, pageIndex)) held.push(ledger.map.id(at))
    count += 1
    if (count % pagesPerStep !== 0 && held.length < replicasPerStep) continue
    yield held
    held = []
  }
  for (const [id, replicas] of [...ledger.corrupt.entries()]) {
    if (isInScope(id) && replicas.some((replica) => replica.storage === storage)) held.push(id)
  }
  for (const [id, { replicas }] of ledger.open.entries()) {
    if (isInScope(id) && replicas.some((replica) => replica.storage === storage)) held.push(id)
  }
  yield held
}

class Step implements ListingStep {
  readonly changed: BlockId[] = []
  readonly garbage: BlockReference[] = []
  readonly undeleted: BlockReference[] = []

  note(replica: ListedReplica, outcome: ReturnType<ReplicaLedger['listed']>): void {
    if (outcome === 'unchanged') return
    const { blockId: id, generationStamp, length } = replica
    if (outcome === 'changed') this.changed.push(id)
    else this[outcome].push({ id, generationStamp, length })
  }
}

/** The namenode's view of a storage's buckets. */
class OwnBuckets {
  readonly #sumByBucket = new Map<number, BucketSum & { count: number }>()
  readonly #doubtful = new Set<number>()

  add(
    ...[id, stamp, length, state]: Parameters<typeof addReplica> extends [unknown, ...infer R]
      ? R
      : never
  ): void {
    const bucket = bucketOf(id)
    let sum = this.#sumByBucket.get(bucket)
    if (sum === undefined) {
      sum = { ...emptyBucketSum(), count: 0 }
      this.#sumByBucket.set(bucket, sum)
    }
    sum.count += 1
    addReplica(sum, id, stamp, length, state)
  }

  /** Whatever the datanode says of this bucket, it must be listed. */
  doubt(id: BlockId): void {
    this.#doubtful.add(bucketOf(id))
  }

  differences(reported: readonly ReportedBucket[]): readonly number[] {
    const differing = new Set(this.#doubtful)
    for (const { bucket, count, digest } of reported) {
      const sum = this.#sumByBucket.get(bucket)
      this.#sumByBucket.delete(bucket)
      if (sum?.count !== count || bucketDigest(sum) !== digest) differing.add(bucket)
    }
    // What is left here holds replicas for us and none for the datanode.
    for (const bucket of this.#sumByBucket.keys()) differing.add(bucket)
    return [...differing].sort((one, other) => one - other)
  }
}

const idsPerChunk = 1024

/** Set of block ids, a bit each: ids are dense. */
class IdSet {
  readonly #chunks = new Map<number, Uint8Array>()

  add(id: BlockId): void {
    const number = Math.floor(id / idsPerChunk)
    let chunk = this.#chunks.get(number)
    if (chunk === undefined) {
      chunk = new Uint8Array(idsPerChunk / 8)
      this.#chunks.set(number, chunk)
    }
    const bit = id % idsPerChunk
    chunk[bit >>> 3] = (chunk[bit >>> 3] ?? 0) | (1 << (bit & 7))
  }

  has(id: BlockId): boolean {
    const bit = id % idsPerChunk
    const byte = this.#chunks.get(Math.floor(id / idsPerChunk))?.[bit >>> 3] ?? 0
    return (byte & (1 << (bit & 7))) !== 0
  }
}
