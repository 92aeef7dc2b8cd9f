import t from 'tap'
import { bucketsOf, listBuckets } from '../../../datanode/core/report-buckets.ts'
import type { ListedReplica } from '../../../protocol/block-list.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { blocksPerBucket, replicasPerDifferenceCallMax } from '../../../protocol/replica-buckets.ts'

function replica(id: number, length = 1): ListedReplica {
  const stamp = generationStamp(1001)
  return { blockId: blockId(id), generationStamp: stamp, length, state: 'finalized' }
}

t.test('bucketsOf() sums what is there, and names no empty bucket', async (t) => {
  const buckets = bucketsOf([replica(1), replica(2), replica(3 * blocksPerBucket)])
  t.match(buckets, [
    { bucket: 0, count: 2 },
    { bucket: 3, count: 1 },
  ])
  t.same(bucketsOf([]), [])
  const longer = bucketsOf([replica(1), replica(2, 2), replica(3 * blocksPerBucket)])
  t.not(longer[0]?.digest, buckets[0]?.digest)
  t.equal(longer[1]?.digest, buckets[1]?.digest)
})

t.test('listBuckets() lists wanted buckets whole, empty ones too, and no other', async (t) => {
  const replicas = [replica(1), replica(blocksPerBucket), replica(2)]
  t.match(listBuckets(replicas, [0, 7]), [
    {
      buckets: [
        { bucket: 0, count: 2, digest: bucketsOf([replica(1), replica(2)])[0]?.digest },
        { bucket: 7, count: 0, digest: 0n },
      ],
      replicas: [{ blockId: 1 }, { blockId: 2 }],
    },
  ])
  t.same(listBuckets(replicas, []), [])
})

t.test('listBuckets() keeps to the bound of a call without splitting a bucket', async (t) => {
  const full = Array.from({ length: 6 * blocksPerBucket }, (_, id) => replica(id))
  const listings = listBuckets(full, [0, 1, 2, 3, 4, 5])
  t.same(
    listings.map(({ buckets }) => buckets.length),
    [4, 2],
  )
  for (const { buckets, replicas } of listings) {
    t.ok(replicas.length <= replicasPerDifferenceCallMax)
    t.equal(
      buckets.reduce((sum, { count }) => sum + count, 0),
      replicas.length,
    )
  }
})
