import t from 'tap'
import { BlockWorld } from '../../support/block-world.ts'

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
