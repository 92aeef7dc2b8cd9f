import fc from 'fast-check'
import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { planBalance } from '../../../namenode/core/balance-plan.ts'
import { blockId } from '../../../protocol/ids.ts'
import type { Settings } from '../../../protocol/settings.ts'
import { BlockWorld, type WorldOptions } from '../../support/block-world.ts'

const blockBytes = 1000

/** A cluster whose datanodes say how full their disks really are. */
class BalanceWorld extends BlockWorld {
  constructor(options: WorldOptions & { readonly capacity?: number } = {}) {
    super(options)
    for (const node of this.nodes) node.capacity = options.capacity ?? 100 * blockBytes
    this.fill()
  }

  fill(): void {
    for (const node of this.nodes) {
      node.used = [...node.disk.values()].reduce((sum, { length }) => sum + length, 0)
    }
  }

  override second(): void {
    this.fill()
    super.second()
  }

  /** Blocks `1..count`, each on these datanodes. */
  blocks(count: number, holders: readonly number[]): void {
    for (let id = 1; id <= count; id += 1) this.block(id, holders.length, holders)
  }

  /** The fewest good replicas that any block has on disks. */
  fewest(): number {
    return Math.min(...[...this.rows.keys()].map((id) => this.holders(id).length))
  }

  counts(): number[] {
    return this.nodes.map(({ disk }) => disk.size)
  }
}

const quick: Partial<Settings> = { 'dfs.namenode.balance.bandwidth': 20 * blockBytes }

t.test('planBalance() moves just enough, and never more than a datanode has or lacks', (t) => {
  t.same(planBalance([], 0.1), { average: 0, flows: [] })
  const fills = [
    { node: 'full', capacity: 1000, used: 900 },
    { node: 'half', capacity: 1000, used: 450 },
    { node: 'empty', capacity: 1000, used: 0 },
  ]
  t.same(planBalance(fills, 0.1), {
    average: 0.45,
    flows: [{ source: 'full', target: 'empty', bytes: 350 }],
  })
  t.same(planBalance(fills, 0.5).flows, [])
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ capacity: fc.nat(1e6), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
      ),
      fc.integer({ min: 1, max: 50 }),
      (drawn, percent) => {
        const nodes = drawn.map(({ capacity, share }, node) => {
          return { node, capacity, used: Math.floor(capacity * share) }
        })
        const { average, flows } = planBalance(nodes, percent / 100)
        const used = nodes.map((fill) => fill.used)
        for (const { source, target, bytes } of flows) {
          used[source] = (used[source] ?? 0) - bytes
          used[target] = (used[target] ?? 0) + bytes
        }
        for (const { node, capacity, used: before } of nodes) {
          // A flow is whole bytes, and what is less than one does not flow at all: a byte for each pair.
          const [level, slack] = [average * capacity, nodes.length + 2]
          const after = used[node] ?? 0
          const [low, high] = [Math.min(before, level) - slack, Math.max(before, level) + slack]
          if (after < low || after > high) return false
          const isFine = Math.abs(after - level) <= (percent / 100) * capacity + slack
          if (!isFine) return false
        }
        return true
      },
    ),
  )
  t.end()
})

t.test('what the planned target has already goes to another that is below the average', (t) => {
  const world = new BalanceWorld({ datanodes: 4, settings: quick })
  // The first is small and too full; the third has most room, and all of the first one's blocks.
  const blocks = [50, 100, 400, 100]
  for (const [index, node] of world.nodes.entries()) {
    node.capacity = (blocks[index] ?? 0) * blockBytes
  }
  for (let id = 1; id <= 20; id += 1) world.block(id, 3, [0, 2, id <= 17 ? 1 : 3])
  for (let second = 0; second < 30; second += 1) world.second()
  const [full = 0, , , other = 0] = world.counts()
  t.ok(full < 20, `it keeps ${full} of 20`)
  t.ok(other > 3)
  t.equal(world.fewest(), 3)
  t.end()
})

t.test('a cluster that grew is balanced within its bandwidth, copying before deleting', (t) => {
  const world = new BalanceWorld({ datanodes: 4, settings: quick })
  world.blocks(80, [0, 1])
  world.second()
  t.ok(world.manager.balance().plan.flows.length > 0)
  let moved = 0
  for (let second = 0; second < 60; second += 1) {
    world.second()
    t.ok(world.fewest() >= 2, 'no block ever has fewer replicas than it wants')
    const now = world.manager.balance()
    t.ok(now.movedBytes - moved <= 40 * blockBytes, 'two seconds of budget at most')
    moved = now.movedBytes
  }
  for (const count of world.counts()) t.ok(count >= 30 && count <= 50, `${count} of 40 wanted`)
  t.same(world.crimes, [])
  t.match(world.manager.balance(), { isUnbalanced: false, movingBlocks: 0 })
  const orders = world.orders.length
  world.seconds(30)
  t.equal(world.orders.length, orders, 'a balanced cluster is left alone')
  t.end()
})

t.test('what heartbeats do not show yet is not moved once more, and back', (t) => {
  const world = new BalanceWorld({ datanodes: 4, settings: quick })
  world.blocks(80, [0, 1])
  world.second()
  for (let second = 0; second < 200; second += 1) {
    world.now += 1000
    if (second % 5 === 0) {
      world.fill()
      for (const node of world.nodes) {
        for (const order of world.heartbeat(node)) world.execute(node, order)
      }
    }
    world.manager.tick(millis(world.now))
  }
  const { movedBlocks, isUnbalanced, movingBlocks } = world.manager.balance()
  t.match({ isUnbalanced, movingBlocks }, { isUnbalanced: false, movingBlocks: 0 })
  t.ok(movedBlocks <= 80, `${movedBlocks} blocks moved, and 80 are enough`)
  for (const count of world.counts()) t.ok(count >= 30 && count <= 50, `${count} of 40 wanted`)
  t.end()
})

t.test('a source that keeps its replica after all counts as full as it is', (t) => {
  const world = new BalanceWorld({ datanodes: 3, settings: quick })
  world.blocks(20, [0, 1])
  for (let second = 0; second < 2; second += 1) world.second()
  // The copies are there, and what is surplus is to go with the next heartbeats.
  t.ok((world.counts().at(2) ?? 0) > 0)
  world.crash(world.at(2))
  world.at(2).disk.clear()
  for (let second = 0; second < 5; second += 1) world.second()
  world.manager.setBalance({ isEnabled: false })
  world.restart(world.at(2))
  for (let second = 0; second < 60; second += 1) world.second()
  const { fills, movingBlocks } = world.manager.balance()
  t.equal(movingBlocks, 0)
  world.fill()
  for (const { node, used } of fills) {
    t.equal(used, world.nodes.find(({ uuid }) => uuid === node.uuid)?.used, node.uuid)
  }
  t.end()
})

t.test('balancing keeps blocks on two racks', (t) => {
  const racks: Record<string, string> = { host0: '/a', host1: '/b', host2: '/a', host3: '/a' }
  const topology = (host: string): string => racks[host] ?? '/a'
  const world = new BalanceWorld({ datanodes: 4, topology, settings: quick })
  world.blocks(60, [0, 1])
  world.seconds(60)
  for (const id of world.rows.keys()) {
    const on = new Set(world.holders(id).map(({ host }) => topology(host)))
    t.equal(on.size, 2)
  }
  t.equal(world.at(1).disk.size, 60, 'the only datanode of its rack keeps its replicas')
  t.ok(world.at(2).disk.size > 0)
  t.end()
})

t.test('balancing gives way to repair, stops when told, and leaves drained nodes alone', (t) => {
  const world = new BalanceWorld({ datanodes: 3, settings: quick })
  world.manager.setBalance({ isEnabled: false })
  world.blocks(60, [0])
  world.seconds(10)
  t.same(world.counts(), [60, 0, 0], 'it is off')
  t.match(world.manager.balance(), { isEnabled: false, isUnbalanced: true, movingBlocks: 0 })
  // A block that cannot get its third replica waits for repair for ever.
  world.block(1000, 4, [0])
  world.manager.setBalance({ isEnabled: true })
  world.seconds(10)
  t.equal(world.manager.balance().waitsFor, 'repair')
  t.equal(world.manager.balance().movedBlocks, 0)
  world.manager.replicationChanged([blockId(1000)], 3)
  world.seconds(30)
  t.ok(world.manager.balance().movedBlocks > 0)
  t.same(world.crimes, [])
  t.end()
})

t.test('a move whose copy is lost, or whose block changes, is forgotten', (t) => {
  const world = new BalanceWorld({ datanodes: 2, settings: quick })
  world.isCopyLost = () => true
  world.blocks(40, [0])
  world.seconds(3)
  const { movingBlocks } = world.manager.balance()
  t.ok(movingBlocks > 0)
  const [first] = [...world.rows.values()]
  if (first !== undefined) world.deleteBlock(first.row)
  world.seconds(2)
  world.manager.setBalance({ isEnabled: false })
  world.seconds(60)
  t.equal(world.manager.balance().movingBlocks, 0)
  t.equal(world.fewest(), 1, 'nothing was deleted')
  world.isCopyLost = () => false
  world.manager.setBalance({ isEnabled: true, thresholdPercent: 5, bytesPerSecond: 5 * blockBytes })
  world.seconds(60)
  t.match(world.manager.balance(), { thresholdPercent: 5, isUnbalanced: false })
  t.end()
})

t.test('a move whose copy takes the place of a lost replica is over', (t) => {
  const world = new BalanceWorld({ datanodes: 3, settings: quick })
  world.at(1).capacity = 200 * blockBytes
  world.blocks(40, [0, 1])
  world.isCopyLost = () => {
    world.isCopyLost = () => false
    for (const [id, { stamp, length }] of world.at(1).disk) {
      world.at(1).disk.delete(id)
      world.event(world.at(1), 'deleted', id, { stamp, length })
    }
    world.manager.setBalance({ isEnabled: false })
    return false
  }
  world.seconds(60)
  t.equal(world.fewest(), 2)
  t.match(world.manager.balance(), { isEnabled: false, movingBlocks: 0 })
  t.same(world.crimes, [])
  t.end()
})
