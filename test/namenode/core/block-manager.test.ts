import t from 'tap'
import { millis } from '../../../base/brand.ts'
import type { BlockRow } from '../../../namenode/core/changes.ts'
import { blockId, datanodeUuid, generationStamp, storageUuid } from '../../../protocol/ids.ts'
import { limits } from '../../../protocol/limits.ts'
import { BlockWorld, blockRow, type SimulatedDatanode } from '../../support/block-world.ts'

const stamp = generationStamp

function namesOf(nodes: readonly SimulatedDatanode[]): string[] {
  return nodes.map(({ uuid }) => uuid).sort()
}

function locate(world: BlockWorld, row: ReturnType<typeof blockRow>, host = ''): string[] {
  return world.manager.locate(row, host).locations.map(({ datanode }) => datanode)
}

/** Heartbeats of one datanode, without doing what the answer says. */
function ordersOf(world: BlockWorld, index: number): ReturnType<BlockWorld['heartbeat']> {
  return world.heartbeat(world.at(index))
}

t.test('a dead datanode: its blocks are copied until three live replicas exist again', (t) => {
  const world = new BlockWorld({ datanodes: 4 })
  const rows = Array.from({ length: 50 }, (_, index) => world.block(1_000 + index, 3, [0, 1, 2]))
  world.second()
  world.crash(world.at(0))
  world.seconds(59)
  t.equal(world.manager.stats().underReplicatedBlocks, 0, 'nothing moves before it is dead')
  world.seconds(5)
  for (const { id } of rows) t.equal(world.holders(id, true).length, 3)
  t.equal(world.manager.stats().underReplicatedBlocks, 0)
  world.restart(world.at(0))
  world.seconds(5)
  for (const { id } of rows) t.equal(world.holders(id).length, 3, 'the surplus is deleted')
  t.same(world.crimes, [])
  world.manager.invariants()
  t.end()
})

t.test(
  'tick() takes a datanode from live over stale to dead, and a closed connection counts',
  (t) => {
    const world = new BlockWorld({ datanodes: 1 })
    const { manager } = world
    const liveness = (): string | undefined => manager.datanode(datanodeUuid('dn0'))?.liveness
    const refusal = (): string | undefined =>
      manager.chooseTargets({
        ...{ count: 1, blockSizeBytes: 1000, clientHost: '', favored: [] },
        ...{ excluded: new Set(), existing: [] },
      }).refusals[0]?.reason
    const wait = (seconds: number): void => {
      for (let index = 0; index < seconds; index += 1) {
        world.now += 1000
        manager.tick(millis(world.now))
      }
    }
    t.equal(liveness(), 'live')
    t.equal(refusal(), undefined)
    manager.disconnected(millis(world.now), datanodeUuid('dn0'))
    t.equal(liveness(), 'disconnected')
    t.equal(refusal(), 'disconnected')
    world.heartbeat(world.at(0))
    t.equal(liveness(), 'live', 'a heartbeat over a new connection')
    wait(9)
    t.equal(liveness(), 'live')
    wait(1)
    t.equal(liveness(), 'stale')
    t.equal(refusal(), 'stale: silent for 10 s')
    wait(49)
    t.equal(liveness(), 'stale')
    wait(1)
    t.equal(liveness(), 'dead')
    wait(14)
    t.equal(refusal(), 'dead: silent for 74 s')
    t.same(manager.stats().datanodes, { live: 0, disconnected: 0, stale: 0, dead: 1 })
    t.equal(manager.datanodes('dead').length, 1)
    t.equal(manager.datanodes('live').length, 0)
    t.end()
  },
)

t.test("tick() does not take the namenode's own stall for silence", (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  world.now += 300_000
  world.manager.tick(millis(world.now))
  t.same(world.manager.stats().datanodes, { live: 2, disconnected: 0, stale: 0, dead: 0 })
  t.ok((world.manager.silenceMs(datanodeUuid('dn0')) ?? 0) <= limits.namenodeTickGapMsMax)
  world.heartbeat(world.at(0))
  for (let index = 0; index < 60; index += 1) {
    world.now += 1000
    world.heartbeat(world.at(0))
    world.manager.tick(millis(world.now))
  }
  t.equal(world.manager.datanode(datanodeUuid('dn0'))?.liveness, 'live')
  t.equal(world.manager.datanode(datanodeUuid('dn1'))?.liveness, 'dead', 'real silence counts')
  t.end()
})

t.test(
  'heartbeat() of an unknown or dead datanode asks it to register; its reports are refused',
  (t) => {
    const world = new BlockWorld({ datanodes: 1 })
    const node = world.at(0)
    const report = { storages: [], transfers: 0, copies: 0, failedVolumes: 0 }
    const stranger = datanodeUuid('stranger')
    t.same(world.manager.heartbeat(millis(world.now), stranger, report), [{ kind: 'register' }])
    t.throws(() => world.manager.blockReport(millis(world.now), stranger, storageUuid('x'), []), {
      code: 'UNREGISTERED_NODE',
    })
    world.crash(node)
    world.seconds(61)
    t.same(world.heartbeat(node), [{ kind: 'register' }])
    t.throws(() => world.event(node, 'received', 1), { code: 'UNREGISTERED_NODE' })
    world.restart(node)
    t.same(world.heartbeat(node), [])
    t.end()
  },
)

t.test('register() of a new identity at an old address declares the old one dead', (t) => {
  const world = new BlockWorld({ datanodes: 1 })
  const descriptor = {
    uuid: datanodeUuid('reborn'),
    ...{ ipAddress: 'host0', hostName: 'host0', transferPort: 9866, infoPort: 1, ipcPort: 2 },
    softwareVersion: '3.5.0',
  }
  world.manager.register(millis(world.now), descriptor)
  t.equal(world.manager.datanode(datanodeUuid('dn0'))?.liveness, 'dead')
  t.equal(world.manager.datanode(datanodeUuid('reborn'))?.liveness, 'live')
  t.end()
})

t.test('blockReport() adds, removes, and tells good replicas from stale and wrong ones', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const rows = [1, 2, 3, 4, 5].map((id) => world.block(id, 2, [0, 1]))
  const [good, gone, old, long, other] = rows
  if (!good || !gone || !old || !long || !other) throw new Error('five blocks')
  const node = world.at(0)
  world.now += 100_000 // What was received before is no longer recent.
  world.heartbeat(node)
  const version = (row: typeof good): { stamp: number; length: number } => ({
    stamp: row.generationStamp,
    length: row.length,
  })
  node.disk.delete(gone.id)
  const finalized = { state: 'finalized' as const, isRotten: false }
  node.disk.set(old.id, { ...version(old), stamp: 1000, ...finalized })
  node.disk.set(long.id, { ...version(long), length: 1001, ...finalized })
  node.disk.set(other.id, { ...version(other), state: 'rwr', isRotten: false })
  node.disk.set(blockId(99), { stamp: 1001, length: 5, ...finalized })
  t.same(world.fullReport(node), [old.id, long.id, other.id, gone.id])
  const counts = (row: typeof good): unknown => {
    const { live, corrupt } = world.manager.replicaCounts(row.id) ?? {}
    return { live, corrupt }
  }
  t.same(counts(good), { live: 2, corrupt: 0 })
  t.same(counts(gone), { live: 1, corrupt: 0 })
  for (const row of [old, long, other]) t.same(counts(row), { live: 1, corrupt: 1 })
  t.same(
    world.heartbeat(node),
    [{ kind: 'invalidate', blocks: [{ id: 99, generationStamp: 1001, length: 5 }] }],
    'a replica without a block may go at once, the others not before they are replaced',
  )
  world.seconds(5)
  for (const { id } of rows) t.equal(world.holders(id).length, 2)
  t.same(world.crimes, [])
  t.equal(world.manager.stats().corruptBlocks, 0)
  world.manager.invariants()
  t.end()
})

t.test('blockReport() that was overtaken by incremental reports changes neither', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const node = world.at(0)
  const kept = world.block(1, 1, [0])
  const deleted = world.block(2, 1, [0, 1])
  const snapshot = node.report()
  const added = world.block(3, 1, [0])
  world.event(node, 'deleted', 2)
  world.now += 5000
  const changed = world.manager.blockReport(millis(world.now), node.uuid, node.storage, snapshot)
  t.same(changed, [])
  t.same(locate(world, added), ['dn0'], 'received after the report was put together')
  t.same(locate(world, deleted), ['dn1'], 'deleted after the report was put together')
  t.same(locate(world, kept), ['dn0'])
  world.now += 3 * limits.reportRaceMs
  world.manager.blockReport(millis(world.now), node.uuid, node.storage, snapshot)
  t.same(locate(world, added), [], 'much later it is believed')
  t.end()
})

t.test('blockReport() is believed about a replica that was reopened since it was received', (t) => {
  const world = new BlockWorld({ datanodes: 1 })
  const node = world.at(0)
  const row = world.block(1, 1, [0])
  world.manager.blockPut(blockRow(1, 'under-construction', { stamp: 1002, length: 1500 }), 1)
  node.disk.set(row.id, { stamp: 1002, length: 1500, state: 'finalized', isRotten: false })
  t.same(world.fullReport(node), [row.id])
  t.equal(world.manager.finalizedReplicaCount(row.id, stamp(1002), 1500), 1)
  world.manager.invariants()
  t.end()
})

t.test(
  'a replica reported on two storages of one datanode counts once, where it was seen last',
  (t) => {
    const world = new BlockWorld({ datanodes: 2 })
    const row = world.block(1, 2, [0, 1])
    const node = world.at(0)
    const second = storageUuid('DS-second')
    const listed = [{ blockId: row.id, generationStamp: stamp(1001), length: 1000 }]
    const replicas = listed.map((replica) => ({ ...replica, state: 'finalized' as const }))
    world.manager.blockReport(millis(world.now), node.uuid, second, replicas)
    t.equal(world.manager.replicaCounts(row.id)?.live, 2)
    const { locations } = world.manager.locate(row, 'host0')
    t.same(locations[0], { datanode: 'dn0', storage: 'DS-second' })
    const stale = replicas.map((replica) => ({ ...replica, generationStamp: stamp(1000) }))
    world.now += 100_000
    world.manager.blockReport(millis(world.now), node.uuid, node.storage, stale)
    t.equal(world.manager.replicaCounts(row.id)?.corrupt, 0, 'the good one of the two counts')
    world.manager.invariants()
    t.end()
  },
)

t.test(
  'a datanode that comes back with old stamps has its replicas replaced, then deleted',
  (t) => {
    const world = new BlockWorld({ datanodes: 3 })
    const row = world.block(1, 3, [0, 1, 2])
    world.crash(world.at(0))
    const appended = blockRow(1, 'under-construction', { stamp: 1002, length: 1500 })
    world.manager.blockPut(appended, 3)
    world.manager.expectLocations(
      row.id,
      stamp(1002),
      [1, 2].map((index) => world.at(index).location),
    )
    const complete = blockRow(1, 'complete', { stamp: 1002, length: 1500 })
    world.rows.set(row.id, { row: complete, replication: 3 })
    for (const index of [1, 2]) world.store(world.at(index), complete)
    world.manager.blockPut(complete, 3)
    world.restart(world.at(0))
    t.same(locate(world, complete).sort(), ['dn1', 'dn2'], 'the old replica is never served')
    world.seconds(5)
    t.same(namesOf(world.holders(row.id)), ['dn0', 'dn1', 'dn2'], 'it made room for a good one')
    t.same(world.crimes, [])
    t.end()
  },
)

t.test('that an older version is deleted takes no newer replica away', (t) => {
  const world = new BlockWorld({ datanodes: 1 })
  const node = world.at(0)
  const row = world.block(1, 1, [0])
  world.manager.blockPut(blockRow(1, 'under-construction', { stamp: 1003, length: 1000 }), 1)
  world.event(node, 'received', 1, { stamp: 1003, length: 1500 })
  t.same(world.event(node, 'deleted', 1, { stamp: 1002 }), [])
  t.equal(world.manager.finalizedReplicaCount(row.id, stamp(1003), 1500), 1)
  t.same(world.event(node, 'deleted', 1, { stamp: 1003 }), [row.id])
  t.equal(world.manager.finalizedReplicaCount(row.id, stamp(1003), 1500), 0)
  t.end()
})

t.test('a deletion is ordered anew for the version that its datanode says it has', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const node = world.at(0)
  const row = world.block(1, 2, [1, 2])
  world.event(node, 'receiving', 1, { stamp: 900, length: 0 })
  const orders = (): unknown => world.heartbeat(node)
  t.match(orders(), [{ kind: 'invalidate', blocks: [{ id: 1, generationStamp: 900 }] }])
  t.same(orders(), [])
  world.event(node, 'receiving', 1, { stamp: 950, length: 500 })
  t.match(orders(), [{ kind: 'invalidate', blocks: [{ id: 1, generationStamp: 950 }] }])
  world.event(node, 'deleted', 1, { stamp: 950 })
  t.match(world.manager.replicaCounts(row.id), { live: 2, corrupt: 0 })
  world.manager.invariants()
  t.end()
})

t.test('replicas reported before their rows are known wait for them', (t) => {
  const world = new BlockWorld({ datanodes: 3, isLoading: true })
  const { manager } = world
  const [one, two] = [world.at(0), world.at(1)]
  world.store(one, blockRow(1))
  world.store(two, blockRow(1))
  world.event(one, 'received', 2, { stamp: 1001 })
  world.event(two, 'received', 2, { stamp: 1005 })
  world.event(one, 'receiving', 3, { length: 0 })
  world.store(one, blockRow(4))
  world.event(one, 'received', 5)
  world.event(one, 'deleted', 5)
  manager.blockPut(blockRow(1), 2)
  manager.blockPut(blockRow(2, 'complete', { stamp: 1005 }), 2)
  manager.blockPut(blockRow(3, 'under-construction', { length: 0 }), 2)
  t.same(locate(world, blockRow(1)).sort(), ['dn0', 'dn1'])
  t.same(locate(world, blockRow(2, 'complete', { stamp: 1005 })), ['dn1'])
  t.same(manager.replicaCounts(blockId(2))?.corrupt, 1)
  t.same(locate(world, blockRow(3, 'under-construction')), ['dn0'])
  t.equal(manager.safeMode, 'pending-threshold')
  t.same(world.heartbeat(one), [], 'nothing is deleted while rows are missing')
  manager.invariants()
  manager.finishedLoading()
  t.equal(manager.safeMode, 'off')
  manager.tick(millis(world.now))
  const garbage = { id: 4, generationStamp: 1001, length: 1000 }
  t.same(world.heartbeat(one), [{ kind: 'invalidate', blocks: [garbage] }])
  t.equal(manager.stats().blocks, 3)
  manager.invariants()
  t.end()
})

t.test('replicas of blocks that were never handed out are kept: the namespace is too old', (t) => {
  const world = new BlockWorld({ datanodes: 1, isLoading: true })
  const { manager } = world
  const node = world.at(0)
  for (const id of [1, 5, 9]) world.store(node, blockRow(id))
  manager.blockPut(blockRow(1), 1)
  manager.finishedLoading(blockId(6))
  world.store(node, blockRow(7))
  world.seconds(2)
  t.same([...node.disk.keys()], [1, 9, 7], 'only block 5 was deleted, and so is garbage')
  t.equal(manager.stats().unknownBlocks, 2)
  const late = world.block(6, 1, [0])
  world.deleteBlock(late)
  world.second()
  t.same([...node.disk.keys()], [1, 9, 7], 'blocks handed out since are no strangers')
  world.now += 100_000
  world.fullReport(node)
  manager.invariants()
  t.end()
})

t.test('replicas of block ids that a restore left out are kept for ever', (t) => {
  const world = new BlockWorld({ datanodes: 1, isLoading: true })
  const { manager } = world
  const node = world.at(0)
  for (const id of [1, 5, 9, 10, 99, 100]) world.store(node, blockRow(id))
  manager.blockPut(blockRow(1), 1)
  manager.finishedLoading(blockId(100), [{ from: 10, below: 100 }])
  world.block(100, 1, [0])
  world.seconds(2)
  t.same([...node.disk.keys()], [1, 10, 99, 100], 'what this namespace handed out is garbage')
  world.now += 100_000
  world.fullReport(node)
  world.second()
  t.same([...node.disk.keys()], [1, 10, 99, 100])
  manager.invariants()
  t.end()
})

t.test('a corrupt replica is replaced from a good one first, and only then deleted', (t) => {
  const world = new BlockWorld({ datanodes: 4 })
  const row = world.block(1, 3, [0, 1, 2])
  const bad = world.at(1)
  const replica = bad.disk.get(row.id)
  if (replica === undefined) throw new Error('stored')
  replica.isRotten = true
  world.manager.reportBadReplica(row.id, stamp(999), bad.location)
  t.equal(world.manager.stats().corruptBlocks, 0, 'a report about another stamp is ignored')
  world.manager.reportBadReplica(row.id, row.generationStamp, bad.location)
  t.equal(world.manager.stats().corruptBlocks, 1)
  t.same(locate(world, row).sort(), ['dn0', 'dn2'])
  world.now += 100_000
  for (const node of world.nodes) world.heartbeat(node)
  world.fullReport(bad)
  t.equal(world.manager.stats().corruptBlocks, 1, 'being reported again does not heal it')
  world.seconds(3)
  t.same(
    world.orders.map((order) => /transfer|invalidate/.exec(order)?.[0]),
    ['transfer', 'invalidate'],
  )
  t.notOk(bad.disk.has(row.id))
  t.same(namesOf(world.holders(row.id)), ['dn0', 'dn2', 'dn3'])
  t.equal(world.manager.stats().corruptBlocks, 0)
  t.end()
})

t.test('with no datanode to spare, a corrupt replica makes room for its replacement', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = world.block(1, 3, [0, 1, 2])
  const replica = world.at(2).disk.get(row.id)
  if (replica === undefined) throw new Error('stored')
  replica.isRotten = true
  world.manager.reportBadReplica(row.id, undefined, world.at(2).location)
  world.seconds(5)
  t.equal(world.holders(row.id).length, 3)
  t.same(world.crimes, [])
  t.end()
})

t.test(
  'the last replica is never deleted, corrupt or not, and is shown when nothing else is',
  (t) => {
    const world = new BlockWorld({ datanodes: 3 })
    const row = world.block(1, 1, [0])
    world.manager.reportBadReplica(row.id, undefined, world.at(0).location)
    world.seconds(5)
    t.ok(world.at(0).disk.has(row.id))
    t.same(world.manager.locate(row, ''), {
      locations: [world.at(0).location],
      isCorrupt: true,
    })
    const { missingBlocks, missingBlocksWithReplicationOne, corruptBlocks } = world.manager.stats()
    t.same([missingBlocks, missingBlocksWithReplicationOne, corruptBlocks], [1, 1, 1])
    t.same(world.manager.missingBlocks(10), [row.id])
    t.end()
  },
)

t.test('tick() orders copies of the most endangered blocks first', (t) => {
  const world = new BlockWorld({
    datanodes: 5,
    settings: { 'dfs.namenode.replication.max-streams': 1 },
  })
  world.block(1, 3, [0, 1])
  world.block(2, 4, [0, 1])
  world.block(3, 2, [0])
  world.block(4, 5, [0, 1])
  const { queueLengths } = world.manager.stats()
  t.same(
    [queueLengths['last-replica'], queueLengths['missing-three'], queueLengths['missing-two']],
    [1, 1, 1],
  )
  t.equal(queueLengths['missing-one'], 1)
  world.manager.tick(millis(world.now))
  const ordered = [...ordersOf(world, 0), ...ordersOf(world, 1)]
  t.same(
    ordered.map((order) => order.kind === 'transfer' && order.block.id),
    [3, 4],
    'one stream on each source: the last replica, then the block that lacks most',
  )
  t.equal(world.manager.stats().pendingReplicationBlocks, 2)
  t.end()
})

t.test(
  'a datanode that starts over has forgotten its copies: they are ordered again at once',
  (t) => {
    const world = new BlockWorld({ datanodes: 4 })
    const row = world.block(1, 2, [0])
    world.isCopyLost = () => true
    world.seconds(2)
    t.equal(world.manager.stats().pendingCopies, 1)
    world.isCopyLost = () => false
    world.restart(world.at(0))
    world.seconds(2)
    t.equal(world.holders(row.id).length, 2)
    t.end()
  },
)

t.test('a datanode that finishes its copies quickly gets more of them', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const count = 2000
  for (let index = 0; index < count; index += 1) world.block(1 + index, 2, [0])
  const done: number[] = []
  for (let second = 0; second < 12; second += 1) {
    world.second()
    done.push(count - world.manager.stats().underReplicatedBlocks)
  }
  const first = limits.copiesInFlightPerDatanodeMin
  t.same(done.slice(0, 3), [0, first, 2 * first], 'nothing is known of its speed at first')
  t.ok((done[4] ?? 0) > 8 * first, 'then more every second')
  t.equal(done.at(-1), count)
  const most = Math.max(...done.map((value, index) => value - (done[index - 1] ?? 0)))
  t.ok(most <= limits.copiesInFlightPerDatanodeMax)
  t.end()
})

t.test('a block that is reopened takes its surplus replicas back', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const row = world.block(1, 2, [0, 1])
  world.manager.replicationChanged([row.id], 1)
  t.equal(world.manager.stats().pendingDeletionReplicas, 1)
  const version = { stamp: 1002, length: 2000 }
  world.manager.blockPut(blockRow(1, 'under-construction', version), 2)
  const appended = blockRow(1, 'complete', version)
  world.rows.set(row.id, { row: appended, replication: 2 })
  for (const node of world.nodes) world.store(node, appended)
  world.manager.blockPut(appended, 2)
  world.seconds(2)
  t.same(world.orders, [])
  t.equal(world.holders(row.id).length, 2)
  t.end()
})

t.test('incremental reports that say less than is known are ignored', (t) => {
  const world = new BlockWorld({ datanodes: 1 })
  const row = world.block(1, 1, [0])
  const [node] = world.nodes
  if (node === undefined) throw new Error('one datanode')
  t.same(world.event(node, 'received', 1, { stamp: 1000, length: 5 }), [], 'an older stamp')
  t.same(world.event(node, 'receiving', 1, { length: 0 }), [], 'still being written')
  t.same(world.event(node, 'deleted', 1, { stamp: 1000 }), [], 'an older replica deleted')
  t.same(locate(world, row), ['dn0'])
  t.equal(world.manager.stats().corruptBlocks, 0)
  t.same(world.event(node, 'received', 1, { length: 5 }), [row.id], 'another length is news')
  t.equal(world.manager.stats().corruptBlocks, 1)
  t.end()
})

t.test('the rest of a pipeline has a moment to report before copies are ordered', (t) => {
  const world = new BlockWorld({ datanodes: 4 })
  const open = blockRow(1, 'under-construction')
  world.manager.blockPut(open, 3)
  world.manager.expectLocations(
    open.id,
    open.generationStamp,
    [0, 1, 2].map((index) => world.at(index).location),
  )
  world.rows.set(open.id, { row: blockRow(1), replication: 3 })
  world.store(world.at(0), blockRow(1))
  world.manager.blockPut(blockRow(1), 3)
  world.seconds(2)
  t.same(world.orders, [])
  t.equal(world.manager.stats().underReplicatedBlocks, 0)
  world.store(world.at(1), blockRow(1))
  world.seconds(20)
  t.equal(world.holders(open.id).length, 3, 'the third never came')
  t.match(world.orders.join(), /transfer/)
  t.end()
})

t.test('surplus replicas go from the fullest datanode, and never a rack with them', (t) => {
  const world = new BlockWorld({
    datanodes: 4,
    topology: (host) => (host === 'host3' ? '/b' : '/a'),
  })
  world.at(1).used = 90 * 1024 ** 3
  world.at(3).used = 95 * 1024 ** 3
  const row = world.block(1, 4, [0, 1, 2, 3])
  for (const node of world.nodes) world.heartbeat(node)
  world.manager.replicationChanged([row.id], 2)
  world.seconds(2)
  const left = namesOf(world.holders(row.id))
  t.equal(left.length, 2)
  t.ok(left.includes('dn3'), 'the only one on its rack stays, however full')
  t.notOk(left.includes('dn1'), 'the fullest of the others goes')
  t.end()
})

t.test(
  'a deletion is taken back when the replicas it relied on are gone before it is sent',
  (t) => {
    const world = new BlockWorld({ datanodes: 3 })
    const row = world.block(1, 2, [0, 1])
    world.manager.replicationChanged([row.id], 1)
    t.equal(world.manager.stats().pendingDeletionReplicas, 1)
    world.crash(world.at(0))
    world.crash(world.at(1))
    for (const index of [0, 1]) {
      world.register(world.at(index))
      world.crash(world.at(1 - index))
      t.same(
        ordersOf(world, index).filter(({ kind }) => kind === 'invalidate'),
        [],
        'the other one is not there to keep the block',
      )
    }
    world.manager.invariants()
    t.end()
  },
)

t.test('hearsay does not delete: a surplus waits until full reports confirm it', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const row = world.block(1, 2, [0, 1])
  const node = world.at(1)
  world.manager.disconnected(millis(world.now), node.uuid)
  world.manager.replicationChanged([row.id], 1)
  t.equal(world.manager.stats().pendingDeletionReplicas, 0)
  t.equal(world.manager.stats().postponedBlocks, 1)
  world.heartbeat(node)
  world.manager.tick(millis(world.now))
  t.equal(world.manager.stats().pendingDeletionReplicas, 1)
  t.equal(world.manager.stats().postponedBlocks, 0)
  t.end()
})

t.test(
  'a heartbeat carries a bounded number of deletions, and lost ones are ordered again',
  (t) => {
    const world = new BlockWorld({ datanodes: 1 })
    const node = world.at(0)
    const count = limits.invalidationsPerHeartbeatMax + 5
    const rows = Array.from({ length: count }, (_, index) => world.block(1 + index, 1, [0]))
    for (const row of rows) world.deleteBlock(row)
    const sizes = [1, 2, 3].map(() => {
      const [order] = world.heartbeat(node)
      return order?.kind === 'invalidate' ? order.blocks.length : 0
    })
    t.same(sizes, [limits.invalidationsPerHeartbeatMax, 5, 0])
    for (const { id } of rows.slice(1)) world.event(node, 'deleted', id)
    world.seconds(Math.ceil(limits.invalidationRetryMs / 1000) + 1)
    t.equal(world.orders.filter((order) => order.includes('invalidate')).length, 1)
    t.notOk(node.disk.has(blockId(1)), 'the one whose order was lost')
    t.end()
  },
)

t.test('repair pauses when a large part of the datanodes vanishes at once', (t) => {
  const world = new BlockWorld({ datanodes: 5 })
  const rows = Array.from({ length: 20 }, (_, index) => world.block(1 + index, 3, [0, 1, 2]))
  world.crash(world.at(0))
  world.crash(world.at(1))
  world.seconds(70)
  t.equal(world.manager.stats().isRepairPaused, true)
  const { pausedAt, lost, remainingCount } = world.manager.repairGuard()
  t.ok(pausedAt !== undefined && pausedAt < world.now && pausedAt >= world.now - 11_000)
  t.same(
    lost.map(({ uuid, name }) => `${uuid} ${name}`),
    ['dn0 host0:9866', 'dn1 host1:9867'],
  )
  t.equal(remainingCount, 3)
  t.equal(world.manager.stats().lastReplicaBlocks, 20)
  t.same(world.orders, [])
  world.seconds(120)
  t.same(world.orders, [], 'it waits for their return or an operator')
  world.restart(world.at(0))
  world.seconds(5)
  t.equal(world.manager.stats().isRepairPaused, false)
  t.equal(world.manager.repairGuard().pausedAt, undefined, 'their return ends it')
  for (const { id } of rows) t.equal(world.holders(id, true).length, 3)

  const other = new BlockWorld({ datanodes: 5 })
  const row = other.block(1, 3, [0, 1, 2])
  other.crash(other.at(0))
  other.crash(other.at(1))
  other.seconds(70)
  other.manager.resumeRepair()
  other.seconds(5)
  t.equal(other.holders(row.id, true).length, 3, 'an operator accepts the loss')
  t.end()
})

t.test('datanodes that die one after the other are repaired', (t) => {
  const world = new BlockWorld({ datanodes: 5 })
  const row = world.block(1, 3, [0, 1, 2])
  world.crash(world.at(0))
  world.seconds(130)
  world.crash(world.at(1))
  world.seconds(70)
  t.equal(world.manager.stats().isRepairPaused, false)
  t.equal(world.holders(row.id, true).length, 3)
  t.end()
})

t.test('after a start, blocks whose datanodes may still come are left alone for a while', (t) => {
  const world = new BlockWorld({ datanodes: 3, isLoading: true })
  const { manager } = world
  for (const index of [0, 1]) world.store(world.at(index), blockRow(1))
  for (const index of [0, 1, 2]) world.store(world.at(index), blockRow(2))
  for (const id of [1, 2]) {
    world.rows.set(blockId(id), { row: blockRow(id), replication: 3 })
    manager.blockPut(blockRow(id), 3)
  }
  manager.finishedLoading()
  manager.tick(millis(world.now))
  const replica = world.at(0).disk.get(blockId(2))
  if (replica === undefined) throw new Error('stored')
  replica.isRotten = true
  manager.reportBadReplica(blockId(2), undefined, world.at(0).location)
  world.seconds(10)
  t.equal(manager.stats().underReplicatedBlocks, 1)
  t.equal(world.holders(blockId(1)).length, 2, 'the third replica may be on a datanode to come')
  t.equal(world.holders(blockId(2)).length, 3, 'all replicas are accounted for: repaired at once')
  world.seconds(55)
  t.equal(world.holders(blockId(1)).length, 3)
  t.end()
})

t.test('a failed storage does not count, and its return does', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = world.block(1, 2, [0, 1])
  const node = world.at(0)
  world.manager.heartbeat(millis(world.now), node.uuid, {
    ...{ storages: [], transfers: 0, copies: 0, failedVolumes: 1 },
  })
  t.equal(world.manager.replicaCounts(row.id)?.live, 1)
  world.manager.tick(millis(world.now))
  t.equal(world.manager.stats().underReplicatedBlocks, 1)
  world.heartbeat(node)
  world.fullReport(node)
  world.seconds(3)
  t.equal(world.holders(row.id).length, 2)
  world.manager.invariants()
  t.end()
})

t.test('a block whose replication is not known yet is left alone', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = world.block(1, 0, [0, 1, 2])
  world.seconds(3)
  t.same(world.orders, [])
  world.manager.blockPut(row, 2)
  world.seconds(3)
  t.equal(world.holders(row.id).length, 2)
  world.manager.blockPut(row, 0)
  t.equal(world.manager.replicaCounts(row.id)?.wanted, 2, 'and does not unsay it')
  t.end()
})

t.test(
  'locate() lists live before stale, near before far, and an open block by its pipeline',
  (t) => {
    const racks: Record<string, string> = { host0: '/a', host1: '/a', host2: '/b', client: '/b' }
    const world = new BlockWorld({
      datanodes: 4,
      topology: (host) => racks[host] ?? '/c',
    })
    const row = world.block(1, 4, [0, 1, 2, 3])
    t.equal(locate(world, row, 'host1')[0], 'dn1', 'own host first')
    t.equal(locate(world, row, 'host1')[1], 'dn0', 'own rack next')
    t.equal(locate(world, row, 'client')[0], 'dn2')
    const orders = new Set(Array.from({ length: 50 }, () => locate(world, row).join(' ')))
    t.equal(orders.size, 6, 'own rack first, the other three in any order')
    world.manager.disconnected(millis(world.now), world.at(1).uuid)
    t.equal(locate(world, row, 'host1')[3], 'dn1', 'unreachable last, however near')

    const open = blockRow(2, 'under-construction', { length: 0 })
    world.manager.blockPut(open, 3)
    world.manager.expectLocations(
      open.id,
      open.generationStamp,
      [3, 0].map((index) => world.at(index).location),
    )
    world.event(world.at(2), 'receiving', 2, { length: 0 })
    world.event(world.at(1), 'receiving', 2, { stamp: 1000, length: 0 })
    t.same(
      world.manager.expectedLocations(open.id).map(({ datanode }) => datanode),
      ['dn3', 'dn0', 'dn2'],
      'as ordered, then as reported; an older stamp is not part of it',
    )
    t.same(locate(world, open).sort(), ['dn0', 'dn2', 'dn3'])
    t.same(world.manager.expectedLocations(blockId(77)), [])
    t.end()
  },
)

t.test(
  'finalizedReplicaCount() counts exactly this stamp and length on datanodes not dead',
  (t) => {
    const world = new BlockWorld({ datanodes: 3 })
    const { manager } = world
    const open = blockRow(1, 'under-construction', { length: 0 })
    const count = (version = 1001, length = 1000): number =>
      manager.finalizedReplicaCount(open.id, stamp(version), length)
    t.equal(count(), 0)
    manager.blockPut(open, 3)
    t.same(world.event(world.at(0), 'receiving', 1, { length: 0 }), [open.id])
    t.equal(count(), 0)
    t.same(world.event(world.at(0), 'received', 1), [open.id])
    t.same(world.event(world.at(0), 'received', 1), [], 'saying it twice changes nothing')
    t.same(world.event(world.at(0), 'receiving', 1, { length: 0 }), [], 'nor does old news')
    world.event(world.at(1), 'received', 1, { length: 999 })
    world.event(world.at(2), 'received', 1, { stamp: 1002 })
    t.equal(count(), 1)
    t.equal(count(1001, 999), 1)
    t.equal(count(1002), 1, 'a stamp the namenode has not heard of yet')
    manager.blockPut(blockRow(1), 3)
    t.equal(count(), 1)
    t.equal(count(1002), 0)
    world.crash(world.at(0))
    world.seconds(61)
    t.equal(count(), 0)
    t.end()
  },
)

t.test('a reopened block keeps its good replicas as its pipeline and is repaired later', (t) => {
  const world = new BlockWorld({ datanodes: 4 })
  const row = world.block(1, 3, [0, 1, 2])
  world.event(world.at(3), 'received', 1, { stamp: 1000 })
  world.crash(world.at(2))
  const locations = world.manager.reopenLocations(row, 'host')
  t.same(
    locations.map(({ datanode }) => datanode).toSorted(),
    [world.at(0).uuid, world.at(1).uuid],
    'datanodes that answer, good replicas only',
  )
  const open: BlockRow = { ...row, state: 'under-construction', committedLength: row.length }
  world.manager.blockPut(open, 3)
  world.manager.expectLocations(row.id, row.generationStamp, locations)
  world.manager.invariants()
  t.equal(world.manager.stats().underReplicatedBlocks, 0, 'an open block is not repaired')
  for (const index of [0, 1])
    world.event(world.at(index), 'received', 1, { stamp: 1005, length: 1200 })
  const done = blockRow(1, 'complete', { stamp: 1005, length: 1200 })
  t.equal(world.manager.finalizedReplicaCount(row.id, stamp(1005), 1200), 2)
  world.manager.blockPut(done, 3)
  world.manager.invariants()
  t.same(locate(world, done).sort(), ['dn0', 'dn1'])
  t.match(world.manager.replicaCounts(row.id), { corrupt: 2 }, 'those that missed the append')
  t.end()
})

t.test('a deleted block takes its replicas, copies and orders with it', (t) => {
  const world = new BlockWorld({ datanodes: 4 })
  const row = world.block(1, 3, [0])
  world.manager.tick(millis(world.now))
  t.equal(world.manager.stats().pendingReplicationBlocks, 1)
  world.deleteBlock(row)
  t.same(
    ordersOf(world, 0).map(({ kind }) => kind),
    ['invalidate'],
  )
  const stats = world.manager.stats()
  t.same([stats.blocks, stats.pendingReplicationBlocks, stats.underReplicatedBlocks], [0, 0, 0])
  world.event(world.at(1), 'received', 1)
  t.same(
    ordersOf(world, 1).map(({ kind }) => kind),
    ['invalidate'],
    'a copy that arrives later is garbage',
  )
  t.same(locate(world, row), [])
  t.end()
})

t.test('stats() adds up capacity and health', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  world.at(0).used = 10
  world.block(1, 3, [0, 1])
  world.block(2, 1, [2])
  world.heartbeat(world.at(0))
  world.crash(world.at(2))
  world.seconds(61)
  const stats = world.manager.stats()
  t.match(stats, {
    capacity: 2 * 100 * 1024 ** 3,
    used: 10,
    blocks: 2,
    underReplicatedBlocks: 1,
    missingBlocks: 1,
    missingBlocksWithReplicationOne: 1,
    datanodes: { live: 2, disconnected: 0, stale: 0, dead: 1 },
    isRepairPaused: false,
  })
  world.seconds(1)
  t.equal(world.manager.stats().isScanning, false)
  const view = world.manager.datanode(datanodeUuid('dn0'))
  t.match(view, { replicaCount: 1, rack: '/default-rack', used: 10, adminState: 'normal' })
  t.equal(view?.storages[0]?.isReported, true)
  t.end()
})
