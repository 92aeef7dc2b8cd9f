import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { CopySpeed } from '../../../namenode/core/copy-speed.ts'
import { type BlockId, blockId, datanodeUuid } from '../../../protocol/ids.ts'
import { limits } from '../../../protocol/limits.ts'
import { BlockWorld, blockRow, type SimulatedDatanode } from '../../support/block-world.ts'

function namesOf(nodes: readonly SimulatedDatanode[]): string[] {
  return nodes.map(({ uuid }) => uuid).sort()
}

/** Copies on their way, as the block is explained. */
function copiesOf(world: BlockWorld, id: BlockId) {
  return (world.manager.explainBlock(id)?.copies ?? []).map(({ from, to, sentAt }) => ({
    ...{ from, to, sent: sentAt !== undefined },
  }))
}

function locate(world: BlockWorld, row: ReturnType<typeof blockRow>): string[] {
  return world.manager.locate(row, '').locations.map(({ datanode }) => datanode)
}

t.test('a copy that does not arrive is given up and tried elsewhere', (t) => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const world = new BlockWorld({ datanodes: 4, seed })
    const tried: string[] = []
    world.isCopyLost = (_, target) => {
      tried.push(target.uuid)
      return tried.length <= 1
    }
    const row = world.block(1, 2, [0])
    world.seconds(20)
    t.equal(tried.length, 1, 'it is not ordered twice while it may still arrive')
    t.equal(world.manager.stats().underReplicatedBlocks, 1)
    t.equal(world.manager.stats().pendingCopies, 1)
    const [copy, ...others] = world.manager.copiesUnderWay(10)
    t.match(copy, { blockId: row.id, isSent: true, bytes: row.length })
    t.match(copy?.source, /^host0:/)
    t.same([others, world.manager.copiesUnderWay(0)], [[], []])
    world.seconds(15)
    t.same(world.manager.copiesUnderWay(10), [], 'it has arrived')
    t.equal(world.holders(row.id).length, 2)
    t.not(tried[0], tried[1], 'another datanode is preferred to the one that failed')
    t.equal(world.manager.stats().underReplicatedBlocks, 0)
  }
  t.end()
})

t.test('a corrupt replica makes no room while a datanode may yet come back for the copy', (t) => {
  const world = new BlockWorld({ datanodes: 4 })
  const row = world.block(1, 3, [0, 1, 2])
  const replica = world.at(2).disk.get(row.id)
  if (replica === undefined) throw new Error('stored')
  replica.isRotten = true
  world.crash(world.at(3))
  world.manager.reportBadReplica(row.id, undefined, world.at(2).location)
  world.seconds(50)
  t.ok(world.at(2).disk.has(row.id))
  t.equal(world.holders(row.id).length, 2)
  world.seconds(20)
  t.equal(world.holders(row.id).length, 3, 'it is dead now')
  t.end()
})

t.test('a datanode that comes back with empty disks is believed at once', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = world.block(1, 2, [0, 1])
  world.crash(world.at(0))
  world.at(0).disk.clear()
  world.restart(world.at(0))
  t.same(locate(world, row), ['dn1'])
  t.end()
})

t.test('the copy of a last replica is urgent, that of one among others is not', (t) => {
  for (const [holders, isUrgent] of [
    [[0], true],
    [[0, 1], false],
  ] as const) {
    const world = new BlockWorld({ datanodes: 4 })
    world.block(1, 3, holders)
    world.manager.tick(millis(world.now))
    const orders = [0, 1, 2, 3].flatMap((index) => world.heartbeat(world.at(index)))
    t.match(orders, [{ kind: 'transfer', isUrgent }])
    t.equal(orders.length, 1)
  }
  t.end()
})

t.test('register() drops the orders that were waiting, and they are given anew', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  world.block(1, 2, [0])
  world.manager.tick(millis(world.now))
  world.manager.register(millis(world.now), {
    uuid: world.at(0).uuid,
    ...{ ipAddress: 'host0', hostName: 'host0', transferPort: 9866, infoPort: 1, ipcPort: 2 },
    softwareVersion: '3.5.0',
  })
  t.same(world.heartbeat(world.at(0)), [])
  world.now += 1000
  world.manager.tick(millis(world.now))
  t.equal(world.heartbeat(world.at(0)).length, 1)
  t.end()
})

t.test('with the first datanode on a second rack, blocks spread to it', (t) => {
  const world = new BlockWorld({
    datanodes: 2,
    topology: (host) => (host === 'far' ? '/b' : '/a'),
  })
  const row = world.block(1, 2, [0, 1])
  world.seconds(2)
  t.equal(world.manager.stats().badlyDistributedBlocks, 0, 'there is no other rack')
  world.add('dn2', 'far')
  world.seconds(4)
  const names = namesOf(world.holders(row.id))
  t.equal(names.length, 2)
  t.ok(names.includes('dn2'))
  t.end()
})

t.test('space promised to a pipeline is set aside until the replica is there', (t) => {
  const world = new BlockWorld({ datanodes: 1 })
  const node = world.at(0)
  const blockSizeBytes = 128 * 1024 * 1024
  node.used = node.capacity - blockSizeBytes
  world.heartbeat(node)
  const targetCount = (): number =>
    world.manager.chooseTargets({
      ...{ count: 1, blockSizeBytes, clientHost: '', favored: [] },
      ...{ excluded: new Set(), existing: [] },
    }).targets.length
  t.equal(targetCount(), 1)
  const open = blockRow(1, 'under-construction')
  world.manager.blockPut(open, 1)
  world.manager.expectLocations(open.id, open.generationStamp, [node.location])
  t.equal(targetCount(), 0)
  world.event(node, 'receiving', 1)
  t.equal(targetCount(), 0)
  world.event(node, 'received', 1)
  t.equal(targetCount(), 1)
  world.manager.blockPut({ ...open, id: blockId(2) }, 1)
  world.manager.expectLocations(blockId(2), open.generationStamp, [node.location])
  t.equal(targetCount(), 0)
  world.manager.blockDeleted(blockId(2))
  t.equal(targetCount(), 1, 'an abandoned block gives it back')
  world.manager.invariants()
  t.end()
})

t.test('a replica about to be deleted is still read from when the others are gone', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const row = world.block(1, 2, [0, 1])
  world.manager.replicationChanged([row.id], 1)
  const [kept] = locate(world, row)
  const node = world.nodes.find(({ uuid }) => uuid === kept)
  if (node === undefined) throw new Error('one is kept')
  world.event(node, 'deleted', 1)
  const others = world.nodes.filter((other) => other !== node)
  t.same(locate(world, row), namesOf(others))
  t.end()
})

t.test('orders that have not left are withdrawn when what was lost comes back', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = world.block(1, 2, [0, 1])
  world.second()
  world.crash(world.at(1))
  for (let second = 0; second < 61; second += 1) {
    world.now += 1000
    // Only the third datanode is heard of, so no order leaves the first one.
    world.heartbeat(world.at(2))
    if (second < 58) world.heartbeat(world.at(0))
    world.manager.tick(millis(world.now))
  }
  t.same(copiesOf(world, row.id), [{ from: 'host0:9866', to: 'host2:9868', sent: false }])
  t.equal(world.manager.explainNode(world.at(0).uuid)?.queuedTransfers, 1)
  world.restart(world.at(1))
  t.same(world.heartbeat(world.at(0)), [], 'nothing leaves, before any pass over the blocks')
  t.same(copiesOf(world, row.id), [])
  world.seconds(3)
  t.equal(world.holders(row.id).length, 2)
  t.notOk(world.orders.some((order) => order.includes('transfer')))
  world.manager.invariants()
  t.end()
})

t.test('of two copies ordered together only the one still needed is ordered again', (t) => {
  const settings = { 'dfs.namenode.mass-failure.percent': 99 }
  const world = new BlockWorld({ datanodes: 5, settings })
  const row = world.block(1, 3, [0, 1, 2])
  world.second()
  world.crash(world.at(1))
  world.crash(world.at(2))
  for (let second = 0; second < 61; second += 1) {
    world.now += 1000
    for (const index of [3, 4]) world.heartbeat(world.at(index))
    if (second < 58) world.heartbeat(world.at(0))
    world.manager.tick(millis(world.now))
  }
  t.equal(copiesOf(world, row.id).length, 2)
  world.restart(world.at(1))
  world.manager.tick(millis(world.now + 500))
  world.manager.tick(millis(world.now + 1000))
  t.equal(copiesOf(world, row.id).length, 1)
  world.seconds(3)
  t.equal(world.holders(row.id, true).length, 3)
  t.end()
})

t.test('CopySpeed: what may be outstanding follows what was measured, both ways', (t) => {
  const speed = new CopySpeed()
  const least = limits.copyBytesInFlightMin
  t.equal(speed.bytesPerSecond, undefined)
  t.same(speed.allowance, { count: limits.copiesInFlightPerDatanodeMin, bytes: least })
  const copy = (from: number, to: number, bytes: number): void => {
    speed.started(millis(from))
    speed.ended(millis(to), bytes)
  }
  // 64 MiB in 100 ms, then idle until the next heartbeat: idle time says nothing.
  copy(1000, 1100, least)
  speed.sample(millis(4000))
  t.ok((speed.bytesPerSecond ?? 0) > 3 * (least / 6))
  t.ok(speed.allowance.bytes > 3 * least)
  for (let beat = 0; beat < 10; beat += 1) {
    copy(5000 + beat * 3000, 5100 + beat * 3000, least)
    speed.sample(millis(7000 + beat * 3000))
  }
  t.equal(speed.allowance.bytes, limits.copyBytesInFlightMax, 'bounded')
  const fast = speed.expectedBytesPerSecond
  speed.timedOut()
  t.equal(speed.expectedBytesPerSecond, fast / 2)
  for (let beat = 0; beat < 12; beat += 1) {
    copy(50_000 + beat * 3000, 53_000 + beat * 3000, 1024 * 1024)
    speed.sample(millis(53_000 + beat * 3000))
  }
  t.ok((speed.bytesPerSecond ?? 0) < 1024 * 1024, 'down to what it does')
  t.equal(speed.allowance.bytes, least)
  t.end()
})

t.test('CopySpeed: a heartbeat in the middle of a copy does not lose the time it takes', (t) => {
  const speed = new CopySpeed()
  speed.started(millis(0))
  speed.sample(millis(3000))
  speed.sample(millis(6000))
  speed.ended(millis(8000), 8_000_000_000)
  speed.sample(millis(9000))
  t.ok((speed.bytesPerSecond ?? 0) <= 1_000_000_000)
  speed.started(millis(9000))
  speed.ended(millis(9500), undefined)
  speed.sample(millis(12_000))
  t.ok(speed.bytesPerSecond !== undefined, 'a copy given up is no measurement')
  t.end()
})

t.test('explainBlock() says why a block is not healthy and what is being done', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = world.block(1, 3, [0, 1, 2])
  world.second()
  t.equal(world.manager.explainBlock(row.id)?.isHealthy, true)
  world.manager.reportBadReplica(row.id, row.generationStamp, world.at(2).location)
  const worths = (): unknown =>
    world.manager.explainBlock(row.id)?.replicas.map(({ name, worth, counts }) => ({
      ...{ name, worth, counts },
    }))
  t.same(worths(), [
    { name: 'host0:9866', worth: 'good', counts: true },
    { name: 'host1:9867', worth: 'good', counts: true },
    { name: 'host2:9868', worth: 'reported', counts: false },
  ])
  world.crash(world.at(0))
  world.crash(world.at(1))
  for (let second = 0; second < 61; second += 1) {
    world.now += 1000
    world.heartbeat(world.at(2))
    world.manager.tick(millis(world.now))
  }
  const lost = world.manager.explainBlock(row.id)
  t.equal(lost?.queue, 'lost')
  t.equal(lost?.good, 0)
  t.equal(lost?.nextTryAt, undefined)
  t.same(
    lost?.replicas.map(({ worth }) => worth),
    ['unreachable', 'unreachable', 'reported'],
  )
  t.equal(world.manager.explainBlock(blockId(99)), undefined)
  t.equal(world.manager.explainNode(datanodeUuid('nobody')), undefined)
  t.equal(world.manager.explainNode(world.at(0).uuid)?.liveness, 'dead')
  t.end()
})

t.test('explainBlock() gives every datanode that refuses a copy its reason', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = world.block(1, 3, [0, 1])
  world.at(2).used = world.at(2).capacity
  world.seconds(12)
  const found = world.manager.explainBlock(row.id)
  t.equal(found?.queue, 'missing-one')
  t.equal(found?.hindrance?.why, 'no-target')
  t.same(found?.refusals, [
    { datanode: 'host0:9866', reason: 'already has a replica' },
    { datanode: 'host1:9867', reason: 'already has a replica' },
    { datanode: 'host2:9868', reason: 'full: 0 MiB free, 1 MiB needed' },
  ])
  t.end()
})
