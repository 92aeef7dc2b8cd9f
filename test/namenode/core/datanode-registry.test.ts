import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { datanodeUuid } from '../../../protocol/ids.ts'
import { BlockWorld } from '../../support/block-world.ts'

const isSteady = (world: BlockWorld, name: string): boolean | undefined =>
  world.manager.datanode(datanodeUuid(name))?.isSteady

function targets(world: BlockWorld, count: number): string[] {
  const choice = world.manager.chooseTargets({
    ...{ count, blockSizeBytes: 1000, clientHost: '', favored: [] },
    ...{ excluded: new Set(), existing: [] },
  })
  return choice.targets.map(({ datanode }) => datanode)
}

/** Loses contact and comes back, `times` times, a few seconds apart. */
function flap(world: BlockWorld, index: number, times: number): void {
  for (let time = 0; time < times; time += 1) {
    world.crash(world.at(index))
    world.seconds(3)
    world.restart(world.at(index))
    world.seconds(3)
  }
}

t.test(
  'a datanode that comes and goes is taken for new blocks only when there is no other',
  (t) => {
    const world = new BlockWorld({ datanodes: 3 })
    flap(world, 0, 2)
    t.equal(isSteady(world, 'dn0'), true, 'twice may happen')
    flap(world, 0, 1)
    t.equal(isSteady(world, 'dn0'), false)
    for (let round = 0; round < 20; round += 1) t.notOk(targets(world, 2).includes('dn0'))
    t.ok(targets(world, 3).includes('dn0'), 'better than none')
    world.seconds(110)
    t.equal(isSteady(world, 'dn0'), false)
    world.seconds(10)
    t.equal(isSteady(world, 'dn0'), true, 'two minutes without a break')
    flap(world, 0, 1)
    t.equal(isSteady(world, 'dn0'), false, 'within ten minutes one more is enough')
    t.end()
  },
)

t.test('losses that are long ago do not count', (t) => {
  const world = new BlockWorld({ datanodes: 1 })
  flap(world, 0, 2)
  world.seconds(600)
  flap(world, 0, 1)
  t.equal(isSteady(world, 'dn0'), true)
  t.end()
})

t.test('however often a datanode dies and returns, its blocks are copied once', (t) => {
  const world = new BlockWorld({ datanodes: 5 })
  const rows = Array.from({ length: 30 }, (_, index) => world.block(1 + index, 3, [0, 1, 2]))
  flap(world, 0, 3)
  const copies = (): number => world.orders.filter((order) => order.includes('"transfer"')).length
  const deletions = (): number =>
    world.orders.filter((order) => order.includes('"invalidate"')).length
  for (let round = 0; round < 4; round += 1) {
    world.crash(world.at(0))
    world.seconds(70)
    world.restart(world.at(0))
    world.seconds(20)
  }
  t.equal(copies(), 30)
  t.equal(deletions(), 0, 'nothing elsewhere is deleted because of what it holds')
  world.seconds(130)
  t.equal(isSteady(world, 'dn0'), true)
  for (const { id } of rows) t.equal(world.holders(id).length, 3, 'once it stays, the surplus goes')
  t.equal(copies(), 30)
  t.same(world.crimes, [])
  t.end()
})

t.test('a stall of the namenode is nobody else’s silence, whichever comes first after it', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const { manager } = world
  const silence = (name: string): number | undefined => manager.silenceMs(datanodeUuid(name))
  world.seconds(5)
  world.now += 600_000
  // The socket of one datanode is read before the timer fires.
  world.heartbeat(world.at(0))
  manager.tick(millis(world.now))
  t.equal(manager.datanode(datanodeUuid('dn0'))?.liveness, 'live')
  t.equal(manager.datanode(datanodeUuid('dn1'))?.liveness, 'live')
  world.at(0).isUp = false
  world.at(1).isUp = false
  world.seconds(5)
  t.ok((silence('dn0') ?? 0) >= 4000, 'the stall does not hide a later silence')
  world.seconds(60)
  t.equal(manager.datanode(datanodeUuid('dn0'))?.liveness, 'dead')
  t.equal(manager.datanode(datanodeUuid('dn1'))?.liveness, 'dead')
  t.end()
})
