/**
 * Digests of a storage's replicas by bucket, so that a full block report need only list the replicas of
 * buckets that differ. A bucket holds the blocks of one range of ids; its digest is the sum of a mix of
 * each replica, so that order does not matter and both sides can keep it as replicas come and go.
 *
 *     bucket   = floor(blockId / 4096)
 *     digest   = sum over its replicas of mix(blockId, generationStamp, length, state)   modulo 2^64
 *     mix      = two lanes of 32 bits; each folds the words below with multiply and shift, and ends
 *                with the finalizer of MurmurHash3
 *     words    = blockId low, blockId high, stamp low, stamp high, length low, length high, state index
 *
 * 1. `state` is the state as reported: a replica under recovery counts as what it was, a temporary one not
 *    at all.
 * 2. A bucket without replicas is not listed: one that is not listed is empty.
 * 3. A difference goes unnoticed with probability 2^-64 and is then found by the next one, since
 *    any change of the bucket changes the sum. Replicas' digests of their bytes are not part of it.
 */
import type { BlockId, GenerationStamp } from './ids.ts'
import { type ReplicaState, replicaStates } from './states.ts'

/** Block ids per bucket. */
export const blocksPerBucket = 4096

/** Replicas listed in one call of the second step, so that no call keeps the namenode long. */
export const replicasPerDifferenceCallMax = 20_000

const numberByState = new Map(replicaStates.map((state, index) => [state, index]))
const wordBase = 2 ** 32
const seedHigh = 0x9e3779b9
const seedLow = 0x7f4a7c15

/** Sum modulo 2^64 in two unsigned halves, because bigints would be made for each of millions of replicas. */
export interface BucketSum {
  high: number
  low: number
}

/** Number of the bucket that `blockId` belongs to. */
export function bucketOf(blockId: BlockId): number {
  return Math.floor(blockId / blocksPerBucket)
}

export function emptyBucketSum(): BucketSum {
  return { high: 0, low: 0 }
}

/** Adds a replica to `sum`. */
export function addReplica(
  sum: BucketSum,
  blockId: BlockId,
  stamp: GenerationStamp,
  length: number,
  state: ReplicaState,
): void {
  const low = sum.low + lane(seedLow, blockId, stamp, length, state)
  const carry = low >= wordBase ? 1 : 0
  sum.low = low >>> 0
  sum.high = (sum.high + lane(seedHigh, blockId, stamp, length, state) + carry) >>> 0
}

/** Takes a replica that was added before out of `sum`. */
export function removeReplica(
  sum: BucketSum,
  blockId: BlockId,
  stamp: GenerationStamp,
  length: number,
  state: ReplicaState,
): void {
  const low = sum.low - lane(seedLow, blockId, stamp, length, state)
  const borrow = low < 0 ? 1 : 0
  sum.low = low >>> 0
  sum.high = (sum.high - lane(seedHigh, blockId, stamp, length, state) - borrow) >>> 0
}

/** The digest as it travels. */
export function bucketDigest({ high, low }: BucketSum): bigint {
  return (BigInt(high) << 32n) | BigInt(low)
}

function lane(
  seed: number,
  blockId: BlockId,
  stamp: GenerationStamp,
  length: number,
  state: ReplicaState,
): number {
  let hash = seed
  hash = fold(hash, blockId >>> 0)
  hash = fold(hash, Math.floor(blockId / wordBase))
  hash = fold(hash, stamp >>> 0)
  hash = fold(hash, Math.floor(stamp / wordBase))
  hash = fold(hash, length >>> 0)
  hash = fold(hash, Math.floor(length / wordBase))
  hash = fold(hash, numberByState.get(state) ?? 0)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function fold(hash: number, word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51)
  const rotated = (mixed << 15) | (mixed >>> 17)
  const next = hash ^ Math.imul(rotated, 0x1b873593)
  return (Math.imul((next << 13) | (next >>> 19), 5) + 0xe6546b64) | 0
}
