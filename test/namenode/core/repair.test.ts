import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { blockId } from '../../../protocol/ids.ts'
import { BlockWorld, blockRow, type SimulatedDatanode } from '../../support/block-world.ts'

function namesOf(nodes: readonly SimulatedDatanode[]): string[] {
  return nodes.map(({ uuid }) => uuid).sort()
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
    world.seconds(15)
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
