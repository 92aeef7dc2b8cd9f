/**
 * What a full block report says in two steps (docs/protocol/datanode-namenode.md): first the digest of every
 * bucket that is not empty, then all replicas of the buckets that differ.
 *
 * 1. The second step lists a wanted bucket completely or not at all, also when it is empty here: the namenode
 *    then knows that what it believed in is gone.
 * 2. No call lists more than `replicasPerDifferenceCallMax` replicas; a bucket is never split.
 */
import type { ListedReplica } from '../../protocol/block-list.ts'
import {
  addReplica,
  type BucketSum,
  bucketDigest,
  bucketOf,
  emptyBucketSum,
  replicasPerDifferenceCallMax,
} from '../../protocol/replica-buckets.ts'

/** One bucket as a report names it. */
export interface BucketSummary {
  readonly bucket: number
  readonly count: number
  readonly digest: bigint
}

/** What one call of the second step lists. */
export interface BucketListing {
  readonly buckets: readonly BucketSummary[]
  readonly replicas: readonly ListedReplica[]
}

interface OpenBucket {
  readonly sum: BucketSum
  count: number
}

/** Sums the replicas of a storage by bucket; buckets without replicas are left out. */
export function bucketsOf(replicas: Iterable<ListedReplica>): BucketSummary[] {
  const open = new Map<number, OpenBucket>()
  for (const replica of replicas) add(open, replica)
  return [...open].map(([bucket, { sum, count }]) => ({ bucket, count, digest: bucketDigest(sum) }))
}

/** Lists the `wanted` buckets of a storage, in as many calls as it takes. */
export function listBuckets(
  replicas: Iterable<ListedReplica>,
  wanted: readonly number[],
): BucketListing[] {
  const byBucket = new Map<number, ListedReplica[]>(wanted.map((bucket) => [bucket, []]))
  for (const replica of replicas) byBucket.get(bucketOf(replica.blockId))?.push(replica)
  const listings: BucketListing[] = []
  let buckets: BucketSummary[] = []
  let listed: ListedReplica[] = []
  for (const [bucket, members] of byBucket) {
    const [summary = { bucket, count: 0, digest: 0n }] = bucketsOf(members)
    if (listed.length + members.length > replicasPerDifferenceCallMax) {
      listings.push({ buckets, replicas: listed })
      buckets = []
      listed = []
    }
    buckets.push(summary)
    listed.push(...members)
  }
  if (buckets.length > 0) listings.push({ buckets, replicas: listed })
  return listings
}

function add(open: Map<number, OpenBucket>, replica: ListedReplica): void {
  const { blockId, generationStamp, length, state } = replica
  const bucket = bucketOf(blockId)
  let entry = open.get(bucket)
  if (entry === undefined) {
    entry = { sum: emptyBucketSum(), count: 0 }
    open.set(bucket, entry)
  }
  addReplica(entry.sum, blockId, generationStamp, length, state)
  entry.count += 1
}
