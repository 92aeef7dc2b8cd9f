import fc from 'fast-check'
import t from 'tap'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import {
  addReplica,
  blocksPerBucket,
  bucketDigest,
  bucketOf,
  emptyBucketSum,
  removeReplica,
} from '../../protocol/replica-buckets.ts'
import { type ReplicaState, replicaStates } from '../../protocol/states.ts'

type Row = readonly [id: number, stamp: number, length: number, state: ReplicaState]

const max = Number.MAX_SAFE_INTEGER
const row = fc.tuple(
  fc.integer({ min: 1, max }),
  fc.integer({ min: 1, max }),
  fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  fc.constantFrom(...replicaStates),
)

function sumOf(rows: readonly Row[]): bigint {
  const sum = emptyBucketSum()
  for (const [id, stamp, length, state] of rows) {
    addReplica(sum, blockId(id), generationStamp(stamp), length, state)
  }
  return bucketDigest(sum)
}

t.test('bucketOf() gives neighbouring blocks one bucket', async (t) => {
  t.equal(bucketOf(blockId(blocksPerBucket - 1)), 0)
  t.equal(bucketOf(blockId(blocksPerBucket)), 1)
  t.equal(bucketOf(blockId(max)), 2 ** 41 - 1)
})

t.test('a digest depends on the replicas, not on their order or on those that left', async (t) => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 20 }), fc.array(row, { maxLength: 5 }), (rows, gone) => {
      const sum = emptyBucketSum()
      for (const [id, stamp, length, state] of [...gone, ...[...rows].reverse()]) {
        addReplica(sum, blockId(id), generationStamp(stamp), length, state)
      }
      for (const [id, stamp, length, state] of gone) {
        removeReplica(sum, blockId(id), generationStamp(stamp), length, state)
      }
      return bucketDigest(sum) === sumOf(rows)
    }),
  )
  t.equal(sumOf([]), 0n)
})

t.test('a digest changes with every field of a replica', async (t) => {
  const base: Row = [2 ** 40 + 5, 1001, 2 ** 33 + 1, 'finalized']
  const others: Row[] = [
    [6, 1001, 2 ** 33 + 1, 'finalized'],
    [2 ** 41 + 5, 1001, 2 ** 33 + 1, 'finalized'],
    [2 ** 40 + 5, 1002, 2 ** 33 + 1, 'finalized'],
    [2 ** 40 + 5, 1001 + 2 ** 32, 2 ** 33 + 1, 'finalized'],
    [2 ** 40 + 5, 1001, 2 ** 33 + 2, 'finalized'],
    [2 ** 40 + 5, 1001, 2 ** 34 + 1, 'finalized'],
    [2 ** 40 + 5, 1001, 2 ** 33 + 1, 'rbw'],
  ]
  const digests = new Set([base, ...others].map((one) => sumOf([one])))
  t.equal(digests.size, others.length + 1)
  t.ok(
    [...digests].every((digest) => digest >= 2n ** 32n),
    'both halves take part',
  )
  // A fixed value, so that two releases agree with each other.
  t.equal(sumOf([[1_073_741_825, 1001, 12, 'finalized']]).toString(16), '59ca1ff1f2ceea8a')
})
