/** Who is asked to recover a block, and what is known about it before the answer comes. */
import t from 'tap'
import type { BlockRow } from '../../../namenode/core/changes.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { BlockWorld, blockRow } from '../../support/block-world.ts'

const stamp = generationStamp

/** Heartbeats of one datanode, without doing what the answer says. */
function ordersOf(world: BlockWorld, index: number): ReturnType<BlockWorld['heartbeat']> {
  return world.heartbeat(world.at(index))
}

t.test('orderRecovery() goes to the datanode heard of last, and replaces an earlier order', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const open = blockRow(1, 'under-recovery')
  t.equal(world.manager.orderRecovery(open, stamp(1002)), false, 'nobody has it')
  world.manager.blockPut(open, 3)
  const locations = [0, 1, 2].map((index) => world.at(index).location)
  world.manager.expectLocations(open.id, open.generationStamp, locations)
  world.now += 500
  ordersOf(world, 1)
  t.equal(world.manager.orderRecovery(open, stamp(1002)), true)
  world.now += 500
  ordersOf(world, 2)
  t.equal(world.manager.orderRecovery(open, stamp(1003)), true)
  t.same(ordersOf(world, 1), [], 'the earlier order is withdrawn')
  t.same(ordersOf(world, 2), [
    {
      kind: 'recover',
      block: { id: open.id, generationStamp: open.generationStamp, length: open.length },
      recoveryStamp: 1003,
      locations,
    },
  ])
  t.equal(world.manager.isRecoveryLed(open.id), true)
  t.equal(world.manager.orderRecovery(open, stamp(1004)), true)
  t.equal(ordersOf(world, 0).length, 1, 'the third, because the others have led it before')
  t.equal(world.manager.orderRecovery(open, stamp(1005)), true)
  t.equal(ordersOf(world, 0).length, 1, 'all have: again the one heard of last')
  world.restart(world.at(0))
  t.equal(world.manager.isRecoveryLed(open.id), false, 'it has started over and knows nothing')
  t.equal(world.manager.orderRecovery(open, stamp(1006)), true)
  t.equal(ordersOf(world, 0).length, 0)
  for (const node of world.nodes) world.crash(node)
  t.equal(world.manager.isRecoveryLed(open.id), false)
  t.equal(world.manager.orderRecovery(open, stamp(1007)), false)
  t.equal(world.manager.isRecoveryLed(blockId(77)), false)
  t.end()
})

t.test('a recovery falls back to an older replica when nothing newer is anywhere', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const open = blockRow(1, 'under-construction', { stamp: 1005, length: 700 })
  world.manager.blockPut(open, 2)
  t.equal(world.manager.isRecoverable(open.id), false, 'nobody has it')
  world.event(world.at(0), 'receiving', 1, { stamp: 1001, length: 500 })
  world.event(world.at(1), 'receiving', 1, { stamp: 1003, length: 600 })
  t.equal(world.manager.isRecoverable(open.id), true)
  world.manager.orderRecovery({ ...open, state: 'under-recovery' }, stamp(1009))
  t.match(
    [0, 1].flatMap((index) => ordersOf(world, index)),
    [{ block: { generationStamp: 1003 }, locations: [world.at(1).location] }],
  )
  world.manager.expectLocations(open.id, stamp(1005), [world.at(0).location])
  world.crash(world.at(0))
  world.seconds(100)
  t.equal(world.manager.isRecoverable(open.id), false)
  world.manager.orderRecovery({ ...open, state: 'under-recovery' }, stamp(1010))
  t.same(ordersOf(world, 1), [], 'not while a dead datanode may have it')
  t.end()
})

t.test('a replica that missed an append is neither read nor asked in a recovery', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const row = world.block(1, 2, [0, 1])
  const open: BlockRow = { ...row, state: 'under-construction', committedLength: row.length }
  world.manager.blockPut(open, 2)
  const locations = [0, 1].map((index) => world.at(index).location)
  world.manager.expectLocations(row.id, row.generationStamp, locations)
  world.event(world.at(2), 'received', 1)
  t.same(world.manager.expectedLocations(row.id), locations, 'a copy that came too late')
  world.manager.orderRecovery({ ...open, state: 'under-recovery' }, stamp(1005))
  const orders = [0, 1, 2].flatMap((index) => ordersOf(world, index))
  t.match(orders, [{ kind: 'recover', locations }])
  world.event(world.at(2), 'received', 1, { stamp: 1004, length: 1500 })
  t.equal(world.manager.expectedLocations(row.id).length, 3, 'a newer one counts')
  t.end()
})

t.test('after a recovery the survivors are readable before they report', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const recovered = blockRow(1, 'complete', { stamp: 1002, length: 10 })
  world.manager.blockPut(blockRow(1, 'under-recovery'), 2)
  world.manager.blockPut(recovered, 2)
  const survivors = [0, 1].map((index) => world.at(index).location)
  world.manager.expectLocations(recovered.id, stamp(1002), survivors)
  const { locations } = world.manager.locate(recovered, '')
  t.same(locations.map(({ datanode }) => datanode).sort(), ['dn0', 'dn1'])
  t.equal(world.manager.stats().missingBlocks, 0)
  world.manager.expectLocations(blockId(9), stamp(1), survivors)
  world.manager.expectLocations(recovered.id, stamp(1001), survivors)
  t.equal(world.manager.stats().pendingReplicationBlocks, 1, 'what came too late is ignored')
  t.end()
})

t.test('a recovery asks whoever has the block intact when the whole pipeline is damaged', (t) => {
  const world = new BlockWorld({ datanodes: 3 })
  const open = blockRow(1, 'under-construction', { stamp: 1005, length: 700 })
  world.manager.blockPut(open, 3)
  world.manager.expectLocations(open.id, stamp(1005), [world.at(0).location, world.at(1).location])
  for (const index of [0, 1])
    world.event(world.at(index), 'received', 1, { stamp: 1005, length: 700 })
  world.event(world.at(2), 'received', 1, { stamp: 1003, length: 600 })
  const ordered = (recoveryStamp: number): unknown[] => {
    const row: BlockRow = { ...open, state: 'under-recovery' }
    world.manager.orderRecovery(row, stamp(recoveryStamp))
    return [0, 1, 2].flatMap((index) => ordersOf(world, index))
  }
  world.manager.reportBadReplica(open.id, stamp(1005), world.at(0).location)
  t.match(ordered(1009), [{ block: { generationStamp: 1005 }, locations: [world.at(1).location] }])
  world.manager.reportBadReplica(open.id, stamp(1005), world.at(1).location)
  t.match(ordered(1010), [{ block: { generationStamp: 1003 }, locations: [world.at(2).location] }])
  world.manager.reportBadReplica(open.id, undefined, world.at(2).location)
  t.equal(world.manager.isRecoverable(open.id), true)
  t.match(ordered(1011), [
    { block: { generationStamp: 1005 }, locations: [world.at(0).location, world.at(1).location] },
  ])
  t.end()
})
