import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { Prng } from '../../../base/prng.ts'
import { agreedDigest } from '../../../namenode/core/digest-votes.ts'
import type { ReportedBucket } from '../../../namenode/core/replica-listing.ts'
import type { ListedReplica } from '../../../protocol/block-list.ts'
import { type BlockId, blockId, generationStamp } from '../../../protocol/ids.ts'
import {
  addReplica,
  bucketDigest,
  bucketOf,
  emptyBucketSum,
} from '../../../protocol/replica-buckets.ts'
import { BlockWorld, blockRow, type SimulatedDatanode } from '../../support/block-world.ts'

/** What a datanode says of its storage in the first step of a report by differences. */
function bucketsOf(replicas: readonly ListedReplica[]): ReportedBucket[] {
  const sums = new Map<number, ReturnType<typeof emptyBucketSum> & { count: number }>()
  for (const { blockId: id, generationStamp: stamp, length, state } of replicas) {
    const sum = sums.get(bucketOf(id)) ?? { ...emptyBucketSum(), count: 0 }
    sums.set(bucketOf(id), sum)
    addReplica(sum, id, stamp, length, state)
    sum.count += 1
  }
  return [...sums].map(([bucket, sum]) => ({
    ...{ bucket, count: sum.count, digest: bucketDigest(sum) },
  }))
}

/** A whole report by differences. Returns the buckets that had to be listed. */
function reportDifferences(world: BlockWorld, node: SimulatedDatanode): readonly number[] {
  const replicas = node.report()
  const origin = {
    ...{ now: () => millis(world.now), uuid: node.uuid, storageUuid: node.storage },
  }
  const steps = world.manager.bucketsInSteps({ ...origin, buckets: bucketsOf(replicas) })
  let step = steps.next()
  while (step.done !== true) step = steps.next()
  for (const bucket of step.value) {
    const listed = replicas.filter((replica) => bucketOf(replica.blockId) === bucket)
    const buckets = new Set([bucket])
    for (const changed of world.manager.listingInSteps({ ...origin, replicas: listed, buckets })) {
      if (changed.length > replicas.length + 10_000) throw new Error('more than there is')
    }
  }
  return step.value
}

function isReported(world: BlockWorld, node: SimulatedDatanode): boolean | undefined {
  return world.manager.datanode(node.uuid)?.storages[0]?.isReported
}

function registerOnly(world: BlockWorld, node: SimulatedDatanode): void {
  world.manager.register(millis(world.now), {
    uuid: node.uuid,
    ipAddress: node.host,
    hostName: node.host,
    transferPort: 9866 + world.nodes.indexOf(node),
    infoPort: 9864,
    ipcPort: 9867,
    softwareVersion: '3.5.0',
  })
  world.heartbeat(node)
}

t.test('a report by differences: equal content is confirmed without a list', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const node = world.at(0)
  for (let id = 1; id <= 20; id += 1) world.block(id * 1500, 2, [0, 1])
  registerOnly(world, node)
  t.equal(isReported(world, node), false)
  t.same(reportDifferences(world, node), [])
  t.equal(isReported(world, node), true)
  world.manager.invariants()
  t.end()
})

t.test('a report by differences is younger than what was said incrementally before it', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const node = world.at(0)
  const row = world.block(1, 2, [0, 1])
  // It is deleted, and the list is all that says so: its queue was full.
  node.disk.delete(row.id)
  t.same(reportDifferences(world, node), [])
  t.equal(world.manager.replicaCounts(row.id)?.live, 1)
  world.manager.invariants()
  t.end()
})

t.test('a report by differences lists what changed, on either side, and nothing else', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const node = world.at(0)
  for (let id = 1; id <= 20; id += 1) world.block(id * 4096, 2, [0, 1])
  // Gone from the disk, changed on it, unknown to the namenode, and a bucket that is empty now.
  node.disk.delete(blockId(4096 * 3))
  const changed = node.disk.get(blockId(4096 * 5))
  if (changed !== undefined) changed.length = 999
  node.disk.set(blockId(4096 * 7 + 1), {
    stamp: 1001,
    length: 1000,
    state: 'finalized',
    isRotten: false,
  })
  registerOnly(world, node)
  t.same(reportDifferences(world, node), [5, 7])
  t.equal(isReported(world, node), true)
  t.equal(world.manager.replicaCounts(blockId(4096 * 3))?.live, 1)
  t.equal(world.manager.replicaCounts(blockId(4096 * 5))?.corrupt, 1)
  t.equal(world.manager.replicaCounts(blockId(4096 * 9))?.live, 2)
  t.ok(
    world
      .heartbeat(node)
      .some(
        (order) =>
          order.kind === 'invalidate' && order.blocks.some(({ id }) => id === 4096 * 7 + 1),
      ),
    'a replica without a block is garbage',
  )
  world.manager.invariants()
  t.end()
})

t.test('a storage counts as reported only when every bucket that differs was listed', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const node = world.at(0)
  for (let id = 1; id <= 3; id += 1) {
    world.manager.blockPut(blockRow(id * 4096), 2)
    node.disk.set(blockId(id * 4096), {
      ...{ stamp: 1001, length: 1000, isRotten: false },
      state: 'finalized' as const,
    })
  }
  registerOnly(world, node)
  const origin = {
    ...{ now: () => millis(world.now), uuid: node.uuid, storageUuid: node.storage },
  }
  const steps = world.manager.bucketsInSteps({ ...origin, buckets: bucketsOf(node.report()) })
  t.same(steps.next(), { done: true, value: [1, 2, 3] })
  const list = (bucket: number): void => {
    const replicas = node.report().filter((replica) => bucketOf(replica.blockId) === bucket)
    const buckets = new Set([bucket])
    t.ok([...world.manager.listingInSteps({ ...origin, replicas, buckets })].length > 0)
  }
  list(1)
  list(2)
  t.equal(isReported(world, node), false)
  // A list of another registration says nothing.
  const late = world.manager.listingInSteps({
    ...origin,
    replicas: node.report().filter((replica) => bucketOf(replica.blockId) === 3),
    buckets: new Set([3]),
  })
  late.next()
  registerOnly(world, node)
  t.equal(late.next().done, true)
  t.equal(isReported(world, node), false)
  t.same(reportDifferences(world, node), [])
  t.equal(isReported(world, node), true)
  t.end()
})

/** Every replica of every block, and its worth. */
function allWorths(world: BlockWorld): string[] {
  return [...world.rows.keys()].map((id) => `${id}: ${worths(world, id).join()}`)
}

t.test('reports by differences and whole ones end in the same state', (t) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const prng = new Prng(seed)
    const [whole, byDifference] = [0, 1].map(() => new BlockWorld({ datanodes: 3 }))
    if (whole === undefined || byDifference === undefined) throw new Error('two worlds')
    const both = [whole, byDifference]
    for (let id = 1; id <= 60; id += 1) {
      const number = 1 + prng.below(40_000)
      const holders = [0, 1, 2].filter(() => prng.below(3) > 0)
      for (const world of both) {
        if (!world.rows.has(blockId(number))) world.block(number, 2, holders)
      }
    }
    for (let change = 0; change < 15; change += 1) {
      const ids = [...whole.at(0).disk.keys()]
      const id = ids[prng.below(Math.max(1, ids.length))] ?? blockId(1)
      const kind = prng.below(4)
      const extra = blockId(1 + prng.below(40_000))
      for (const world of both) {
        const { disk } = world.at(0)
        const replica = disk.get(id)
        if (kind === 0) disk.delete(id)
        if (kind === 1 && replica !== undefined) replica.length += 1
        if (kind === 2 && replica !== undefined) replica.stamp -= 1
        if (kind === 3 && !disk.has(extra)) {
          disk.set(extra, { stamp: 1001, length: 1000, state: 'finalized', isRotten: false })
        }
      }
    }
    for (const world of both) registerOnly(world, world.at(0))
    whole.fullReport(whole.at(0))
    reportDifferences(byDifference, byDifference.at(0))
    t.same(allWorths(byDifference), allWorths(whole), `seed ${seed}`)
    byDifference.manager.invariants()
  }
  t.end()
})

t.test('however much a report holds, one step of it is bounded', (t) => {
  const world = new BlockWorld({ datanodes: 1 })
  const node = world.at(0)
  const count = 20_000
  for (let id = 1; id <= count; id += 1) {
    world.manager.blockPut(blockRow(id), 1)
    node.disk.set(blockId(id), {
      ...{ stamp: 1001, length: 1000, isRotten: false },
      state: 'finalized' as const,
    })
  }
  registerOnly(world, node)
  const origin = {
    ...{ now: () => millis(world.now), uuid: node.uuid, storageUuid: node.storage },
  }
  const replicas = node.report()
  let changedCount = 0
  for (const changed of world.manager.listingInSteps({ ...origin, replicas })) {
    if (changed.length > 1000) t.fail(`${changed.length} replicas in a step`)
    changedCount += changed.length
  }
  t.equal(changedCount, count)
  const steps = world.manager.bucketsInSteps({ ...origin, buckets: bucketsOf(replicas) })
  let stepCount = 0
  while (steps.next().done !== true) stepCount += 1
  t.ok(stepCount >= 2, `${stepCount} steps for 20 pages of the block map`)
  t.end()
})

/** Incremental report of a finalized replica with a digest. */
function received(world: BlockWorld, index: number, id: number, digest: bigint | undefined): void {
  const node = world.at(index)
  node.disk.set(blockId(id), { stamp: 1001, length: 1000, state: 'finalized', isRotten: false })
  world.manager.incrementalReport(millis(world.now), node.uuid, node.storage, [
    {
      ...{ kind: 'received', blockId: blockId(id), length: 1000, digest },
      generationStamp: generationStamp(1001),
    },
  ])
}

function worths(world: BlockWorld, id: BlockId): string[] {
  const replicas = world.manager.explainBlock(id)?.replicas ?? []
  return replicas.map(({ name, worth }) => `${name.slice(0, 5)} ${worth}`).sort()
}

t.test('agreedDigest(): two replicas that agree, more than any others do', (t) => {
  t.equal(agreedDigest([1n, 1n, 2n], 3), 1n)
  t.equal(agreedDigest([1n, 2n], 2), undefined)
  t.equal(agreedDigest([1n], 3), undefined)
  t.equal(agreedDigest([1n], 1), 1n)
  t.equal(agreedDigest([1n, 1n, 2n, 2n], 4), undefined)
  t.equal(agreedDigest([undefined, undefined], 2), undefined)
  t.end()
})

t.test(
  'the digest in the row decides which replica is wrong; it is replaced, then deleted',
  (t) => {
    const world = new BlockWorld({ datanodes: 4 })
    const row = { ...blockRow(1), digest: 7n }
    world.rows.set(row.id, { row, replication: 3 })
    world.manager.blockPut(row, 3)
    received(world, 0, 1, 7n)
    received(world, 1, 1, 8n)
    received(world, 2, 1, 7n)
    t.same(worths(world, row.id), ['host0 good', 'host1 digest-mismatch', 'host2 good'])
    world.seconds(5)
    t.same(worths(world, row.id), ['host0 good', 'host2 good', 'host3 good'])
    t.equal(world.at(1).disk.size, 0)
    t.same(world.manager.takeAgreedDigests(10), [], 'nothing new to store')
    world.manager.invariants()
    t.end()
  },
)

t.test('without a digest in the row the majority decides, and it is to be stored', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = blockRow(1)
  world.rows.set(row.id, { row, replication: 3 })
  world.manager.blockPut(row, 3)
  received(world, 0, 1, 8n)
  received(world, 1, 1, 7n)
  t.same(worths(world, row.id), ['host0 good', 'host1 digest-undecided'])
  t.same(world.manager.takeAgreedDigests(10), [])
  received(world, 2, 1, 7n)
  t.same(worths(world, row.id), ['host0 digest-mismatch', 'host1 good', 'host2 good'])
  const agreed = { id: row.id, generationStamp: generationStamp(1001), digest: 7n }
  t.same(world.manager.takeAgreedDigests(10), [agreed])
  t.same(world.manager.takeAgreedDigests(10), [])
  world.manager.blockPut({ ...row, digest: 7n }, 3)
  t.same(worths(world, row.id), ['host0 digest-mismatch', 'host1 good', 'host2 good'])
  world.manager.invariants()
  t.end()
})

t.test('a tie blames nobody: the other replica does not count and is never deleted', (t) => {
  const world = new BlockWorld({ datanodes: 4 })
  const row = blockRow(1)
  world.rows.set(row.id, { row, replication: 2 })
  world.manager.blockPut(row, 2)
  received(world, 0, 1, 8n)
  received(world, 1, 1, 7n)
  world.seconds(30)
  const [first, second, third] = worths(world, row.id)
  t.same([first, second], ['host0 good', 'host1 digest-undecided'])
  t.match(third, /good/, 'the first one was copied')
  t.equal(world.at(1).disk.has(row.id), true)
  t.same(world.manager.takeAgreedDigests(10), [], 'a copy has no vote')
  world.manager.invariants()
  t.end()
})

t.test('a digest in the row is overruled only when no replica has it and two agree', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = { ...blockRow(1), digest: 9n }
  world.manager.blockPut(row, 3)
  received(world, 0, 1, 7n)
  t.same(worths(world, row.id), ['host0 digest-mismatch'])
  received(world, 1, 1, 7n)
  t.same(worths(world, row.id), ['host0 good', 'host1 good'])
  t.equal(world.manager.takeAgreedDigests(10)[0]?.digest, 7n)
  world.manager.blockPut(row, 3)
  t.same(worths(world, row.id), ['host0 good', 'host1 good'], 'the row is older')
  world.manager.invariants()
  t.end()
})

t.test('a copy that repair ordered counts only with the digest of the block', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const row = { ...blockRow(1), digest: 7n }
  world.rows.set(row.id, { row, replication: 2 })
  world.manager.blockPut(row, 2)
  received(world, 0, 1, 7n)
  world.second()
  const orders = world.heartbeat(world.at(0))
  t.equal(orders[0]?.kind, 'transfer')
  received(world, 1, 1, 8n)
  t.same(worths(world, row.id), ['host0 good', 'host1 digest-mismatch'])
  t.equal(world.manager.stats().underReplicatedBlocks, 1)
  world.manager.invariants()
  t.end()
})

t.test('replicas whose datanodes tell no digest count as before', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = { ...blockRow(1), digest: 7n }
  world.manager.blockPut(row, 3)
  for (const index of [0, 1, 2]) received(world, index, 1, index === 0 ? 7n : undefined)
  t.same(worths(world, row.id), ['host0 good', 'host1 good', 'host2 good'])
  t.end()
})

t.test('digests are voted on anew when a block was written again', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = { ...blockRow(1), digest: 7n }
  world.manager.blockPut(row, 3)
  for (const index of [0, 1, 2]) received(world, index, 1, 7n)
  world.manager.blockPut(blockRow(1, 'under-construction', { stamp: 1002, length: 1000 }), 3)
  for (const index of [0, 1, 2]) {
    const node = world.at(index)
    world.manager.incrementalReport(millis(world.now), node.uuid, node.storage, [
      {
        ...{ kind: 'received', blockId: row.id, length: 1500, digest: index === 2 ? 5n : 6n },
        generationStamp: generationStamp(1002),
      },
    ])
  }
  t.equal(world.manager.agreedDigest(row.id, generationStamp(1002), 1500), 6n)
  t.equal(world.manager.agreedDigest(row.id, generationStamp(1002), 1400), undefined)
  world.manager.blockPut(
    { ...blockRow(1, 'complete', { stamp: 1002, length: 1500 }), digest: 6n },
    3,
  )
  t.same(worths(world, row.id), ['host0 good', 'host1 good', 'host2 digest-mismatch'])
  world.manager.invariants()
  t.end()
})

t.test('replicas reported before their row vote as well', (t) => {
  const world = new BlockWorld({ datanodes: 3, isLoading: true })
  for (const index of [0, 1, 2]) received(world, index, 1, index === 1 ? 5n : 6n)
  received(world, 0, 2, 1n)
  received(world, 1, 2, 1n)
  world.manager.blockPut(blockRow(1), 3)
  t.same(worths(world, blockId(1)), ['host0 good', 'host1 digest-mismatch', 'host2 good'])
  t.equal(world.manager.takeAgreedDigests(10)[0]?.digest, 6n)
  world.manager.blockPut({ ...blockRow(2), digest: 2n }, 2)
  t.same(worths(world, blockId(2)), ['host0 good', 'host1 good'], 'two agree, none has the row’s')
  world.manager.invariants()
  t.end()
})
