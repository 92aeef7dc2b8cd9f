import t from 'tap'
import { millis } from '../../../base/brand.ts'
import type { BlockRow, DatanodeRow } from '../../../namenode/core/changes.ts'
import type { DrainView } from '../../../namenode/core/drain-view.ts'
import { isDfsError } from '../../../protocol/errors.ts'
import { type DatanodeUuid, datanodeUuid, generationStamp } from '../../../protocol/ids.ts'
import { BlockWorld, blockRow, type SimulatedDatanode } from '../../support/block-world.ts'

/** One copy at a time from each datanode. */
const slowCopies = { 'dfs.namenode.replication.max-streams': 1 }

/** A block side whose goals become rows as the namesystem would make them. */
class DrainWorld extends BlockWorld {
  ask(name: string, goal: DatanodeRow['goal']): void {
    const uuid = datanodeUuid(name)
    const row = { uuid, name, goal, isReached: false, requestedAt: millis(this.now) }
    this.manager.datanodePut(row)
  }

  resume(name: string): void {
    this.manager.datanodeDeleted(datanodeUuid(name))
  }

  override second(): void {
    super.second()
    for (const row of this.manager.reachedGoals()) this.manager.datanodePut(row)
  }

  state(name: string): string | undefined {
    return this.manager.datanode(datanodeUuid(name))?.adminState
  }

  view(name: string): DrainView {
    const found = this.manager.drains(10).find(({ row }) => row.uuid === name)
    if (found === undefined) throw new Error(`nothing is asked of ${name}`)
    return found
  }

  targets(count = 10): DatanodeUuid[] {
    const choice = this.manager.chooseTargets({
      ...{ count, blockSizeBytes: 1000, clientHost: '', favored: [] },
      ...{ excluded: new Set(), existing: [] },
    })
    return choice.targets.map(({ datanode }) => datanode)
  }

  readers(row: ReturnType<typeof blockRow>): string[] {
    return this.manager.locate(row, '').locations.map(({ datanode }) => datanode)
  }
}

t.test('a drained datanode has copies of everything elsewhere, and keeps serving', (t) => {
  const world = new DrainWorld({ datanodes: 4 })
  const rows = Array.from({ length: 40 }, (_, index) => world.block(1 + index, 3, [0, 1, 2]))
  world.second()
  world.ask('dn0', 'decommissioned')
  t.equal(world.state('dn0'), 'decommission-in-progress')
  t.notOk(world.targets().includes(datanodeUuid('dn0')), 'no new blocks for it')
  for (const row of rows) t.equal(world.readers(row).at(-1), 'dn0', 'read from last, but read from')
  world.seconds(10)
  t.equal(world.state('dn0'), 'decommissioned')
  for (const { id } of rows) t.ok(world.at(3).disk.has(id), 'a copy on the only other datanode')
  t.equal(world.at(0).disk.size, 40, 'nothing is deleted from it')
  t.equal(world.readers(rows[0] ?? blockRow(1)).at(-1), 'dn0')
  t.equal(world.manager.stats().underReplicatedBlocks, 0)
  world.crash(world.at(0))
  world.seconds(100)
  t.equal(world.state('dn0'), 'decommissioned')
  t.same(world.manager.repairGuard().lost, [], 'nobody is alarmed when it goes')
  world.restart(world.at(0))
  world.second()
  t.equal(world.state('dn0'), 'decommissioned', 'and it is still drained when it comes back')
  t.notOk(world.targets().includes(datanodeUuid('dn0')))
  t.same(world.crimes, [])
  world.manager.invariants()
  t.end()
})

t.test('resume takes it back at any time, and the surplus is deleted', (t) => {
  const world = new DrainWorld({ datanodes: 4 })
  const rows = Array.from({ length: 10 }, (_, index) => world.block(1 + index, 3, [0, 1, 2]))
  world.second()
  world.ask('dn0', 'decommissioned')
  world.seconds(5)
  world.resume('dn0')
  t.equal(world.state('dn0'), 'normal')
  t.ok(world.targets().includes(datanodeUuid('dn0')))
  world.seconds(5)
  for (const { id } of rows) t.equal(world.holders(id).length, 3)
  t.same(world.crimes, [])
  t.end()
})

t.test('a drain that cannot end says which blocks are left and why', (t) => {
  const world = new DrainWorld({ datanodes: 3 })
  for (let id = 1; id <= 15; id += 1) world.block(id, 3, [0, 1, 2])
  world.second()
  world.ask('dn0', 'decommissioned')
  world.seconds(5)
  const { progress, blocksLeft, obstacle, adminState } = world.view('dn0')
  t.equal(adminState, 'decommission-in-progress')
  t.match(progress, { blocks: 15, bytes: 15_000, blocksAtStart: 15, etaMs: undefined })
  t.equal(obstacle, undefined)
  t.equal(blocksLeft.length, 10, 'as many as were asked for')
  t.match(
    blocksLeft[0]?.reason,
    /^no datanode can take a copy: host0:9866 .*; host1:9867 already has a replica/,
  )
  world.add('dn3', 'host3')
  world.seconds(5)
  t.equal(world.state('dn0'), 'decommissioned', 'room for the copies lets it end')
  t.same(world.view('dn0').progress, undefined)
  t.end()
})

t.test('progress: what is left, how fast it gets less, and how long it will take', (t) => {
  const world = new DrainWorld({ datanodes: 4, settings: slowCopies })
  for (let id = 1; id <= 60; id += 1) world.block(id, 1, [0])
  world.second()
  world.ask('dn0', 'decommissioned')
  world.seconds(7)
  const { progress } = world.view('dn0')
  t.ok(progress !== undefined && progress.blocks > 0 && progress.blocks < 60)
  t.equal(progress?.blocksAtStart, 60)
  t.ok((progress?.bytesPerSecond ?? 0) > 0)
  t.ok((progress?.etaMs ?? 0) > 0)
  world.seconds(300)
  t.equal(world.state('dn0'), 'decommissioned')
  t.end()
})

t.test('an open block holds its datanode up until enough others write it', (t) => {
  const world = new DrainWorld({ datanodes: 4 })
  const open = blockRow(1, 'under-construction')
  world.manager.blockPut(open, 3)
  const pipeline = [world.at(0), world.at(1)]
  const locations = pipeline.map(({ location }) => location)
  world.manager.expectLocations(open.id, open.generationStamp, locations)
  world.ask('dn0', 'decommissioned')
  world.seconds(5)
  t.equal(world.state('dn0'), 'decommission-in-progress', 'one other is not enough')
  t.match(world.view('dn0').progress, { blocks: 1, openBlocks: 1 })
  t.match(world.view('dn0').blocksLeft[0]?.reason, /being written/)
  t.same(world.manager.openBlocksOnDrains(), [open.id])
  for (const node of pipeline) world.store(node, blockRow(1))
  world.rows.set(open.id, { row: blockRow(1), replication: 3 })
  world.manager.blockPut(blockRow(1), 3)
  world.seconds(15)
  t.equal(world.state('dn0'), 'decommissioned')
  t.same(world.manager.openBlocksOnDrains(), [])
  t.equal(
    world.holders(open.id).filter((node) => node !== world.at(0)).length,
    3,
    'it is complete, and was copied like any other',
  )
  t.end()
})

t.test('replicas that fell out of the pipeline of an open block let nobody leave', (t) => {
  const world = new DrainWorld({ datanodes: 4 })
  const open = blockRow(1, 'under-construction', { stamp: 1003, length: 700 })
  world.manager.blockPut(open, 3)
  world.manager.expectLocations(open.id, open.generationStamp, [world.at(0).location])
  world.event(world.at(0), 'receiving', 1, { stamp: 1003, length: 700 })
  for (const index of [1, 2]) {
    world.event(world.at(index), 'receiving', 1, { stamp: 1001, length: 500 })
  }
  world.ask('dn0', 'decommissioned')
  world.seconds(5)
  t.match(world.view('dn0').progress, { blocks: 1, openBlocks: 1 })
  t.equal(world.state('dn0'), 'decommission-in-progress')
  for (const index of [1, 2]) {
    world.event(world.at(index), 'receiving', 1, { stamp: 1003, length: 700 })
  }
  world.manager.reportBadReplica(open.id, generationStamp(1003), world.at(1).location)
  world.seconds(5)
  t.equal(world.state('dn0'), 'decommission-in-progress', 'a damaged one counts as little')
  world.event(world.at(3), 'receiving', 1, { stamp: 1003, length: 700 })
  world.seconds(5)
  t.equal(world.state('dn0'), 'decommissioned')
  t.end()
})

t.test('a datanode that may leave is asked last to recover a block, and not to append', (t) => {
  const world = new DrainWorld({ datanodes: 4 })
  const row = world.block(1, 3, [0, 1, 2])
  world.second()
  world.ask('dn0', 'decommissioned')
  world.seconds(10)
  t.equal(world.state('dn0'), 'decommissioned')
  const reopened = world.manager.reopenLocations(row, '').map(({ datanode }) => datanode)
  t.equal(reopened.length, 3)
  t.notOk(reopened.includes(datanodeUuid('dn0')))
  const locations = [world.at(0).location, world.at(1).location]
  const open: BlockRow = { ...row, state: 'under-recovery' }
  world.manager.blockPut(open, 3)
  world.manager.expectLocations(row.id, row.generationStamp, locations)
  const led: string[] = []
  for (const recoveryStamp of [1005, 1006, 1007]) {
    world.now += 500
    world.heartbeat(world.at(0))
    world.manager.orderRecovery(open, generationStamp(recoveryStamp))
    const leads = (node: SimulatedDatanode): boolean =>
      world.heartbeat(node).some(({ kind }) => kind === 'recover')
    led.push(...world.nodes.filter(leads).map(({ uuid }) => uuid))
  }
  t.same(led.slice(0, 2), ['dn1', 'dn0'], 'but it is asked')
  world.manager.blockPut(row, 3)
  for (const index of [1, 2, 3]) world.crash(world.at(index))
  world.seconds(100)
  t.same(world.manager.reopenLocations(row, ''), [world.at(0).location], 'failing all others')
  t.end()
})

t.test('a replica that a recovery made and nobody has reported yet lets nobody leave', (t) => {
  const world = new DrainWorld({ datanodes: 4 })
  const recovered = blockRow(1, 'complete', { stamp: 1002, length: 10 })
  world.manager.blockPut(blockRow(1, 'under-recovery'), 3)
  world.manager.blockPut(recovered, 3)
  world.manager.expectLocations(recovered.id, recovered.generationStamp, [world.at(0).location])
  world.ask('dn0', 'decommissioned')
  world.seconds(5)
  t.equal(world.state('dn0'), 'decommission-in-progress')
  t.match(world.view('dn0').progress, { blocks: 1 })
  world.store(world.at(0), recovered)
  world.rows.set(recovered.id, { row: recovered, replication: 3 })
  world.event(world.at(0), 'received', 1, { stamp: 1002, length: 10 })
  world.seconds(20)
  t.equal(world.state('dn0'), 'decommissioned')
  t.equal(world.holders(recovered.id).length, 4, 'it was reported, and copied')
  t.end()
})

t.test('maintenance needs one live replica elsewhere, and what is in it is not lost', (t) => {
  const world = new DrainWorld({ datanodes: 5 })
  const triple = world.block(1, 3, [0, 1, 2])
  const single = world.block(2, 1, [0])
  world.second()
  world.ask('dn0', 'in-maintenance')
  t.equal(world.state('dn0'), 'entering-maintenance')
  world.seconds(5)
  t.equal(world.state('dn0'), 'in-maintenance')
  t.equal(world.holders(triple.id).length, 3, 'two others are enough')
  t.equal(world.holders(single.id).length, 2, 'its only replica was copied first')
  world.crash(world.at(0))
  world.seconds(200)
  t.equal(world.holders(triple.id, true).length, 2, 'nothing is copied while it is away')
  t.equal(world.manager.stats().underReplicatedBlocks, 0)
  t.same(world.manager.repairGuard().lost, [])
  world.crash(world.at(1))
  world.seconds(70)
  t.equal(world.holders(triple.id, true).length, 2, 'a real loss is repaired')
  world.resume('dn0')
  world.seconds(5)
  t.equal(world.holders(triple.id, true).length, 3, 'after maintenance a dead datanode is lost')
  t.same(world.crimes, [])
  world.manager.invariants()
  t.end()
})

t.test('a datanode that returns from maintenance makes nothing superfluous', (t) => {
  const world = new DrainWorld({ datanodes: 3 })
  const row = world.block(1, 3, [0, 1, 2])
  world.second()
  world.ask('dn0', 'in-maintenance')
  world.seconds(3)
  world.crash(world.at(0))
  world.seconds(100)
  world.restart(world.at(0))
  t.equal(world.state('dn0'), 'in-maintenance')
  world.resume('dn0')
  world.seconds(5)
  t.equal(world.holders(row.id).length, 3)
  t.equal(world.orders.length, 0, 'no copy, no deletion')
  t.end()
})

t.test('draining comes after real danger', (t) => {
  const world = new DrainWorld({ datanodes: 6, settings: slowCopies })
  world.block(1, 3, [0, 1, 2])
  world.block(2, 3, [3, 4])
  world.ask('dn0', 'decommissioned')
  t.equal(world.manager.replicaCounts(blockRow(2).id)?.danger, 'missing-one')
  world.manager.tick(millis((world.now += 500)))
  t.equal(world.manager.stats().underReplicatedBlocks, 2)
  t.match(world.manager.replicaCounts(blockRow(1).id), { live: 2, leaving: 1, wanted: 3 })
  t.end()
})

t.test('a drained only replica is copied from, and endangered like a last one', (t) => {
  const world = new DrainWorld({ datanodes: 3 })
  const row = world.block(1, 2, [0])
  world.ask('dn0', 'decommissioned')
  world.seconds(5)
  t.equal(world.holders(row.id).length, 3)
  t.equal(world.state('dn0'), 'decommissioned')
  t.end()
})

t.test('a datanode dies while it is drained: what the others can give is still copied', (t) => {
  const world = new DrainWorld({ datanodes: 5, settings: slowCopies })
  const rows = Array.from({ length: 30 }, (_, index) => world.block(1 + index, 2, [0, 1]))
  world.second()
  world.ask('dn0', 'decommissioned')
  world.second()
  world.crash(world.at(0))
  world.seconds(200)
  for (const { id } of rows) t.equal(world.holders(id, true).length, 2)
  t.equal(world.state('dn0'), 'decommissioned')
  t.end()
})

t.test('what a datanode holds must be known before it can be done', (t) => {
  const world = new DrainWorld({ datanodes: 3 })
  world.block(1, 1, [0])
  const stranger = { ...datanodeAsk('away'), requestedAt: millis(world.now) }
  world.manager.datanodePut(stranger)
  world.seconds(5)
  t.match(world.view('away'), { obstacle: /not heard of since the namenode started/ })
  t.equal(world.view('away').adminState, 'decommission-in-progress')
  world.at(0).isUp = false
  world.ask('dn0', 'decommissioned')
  world.at(0).disk.clear()
  world.manager.register(millis(world.now), descriptorOf('dn0'))
  world.seconds(5)
  t.match(world.view('dn0'), { obstacle: /has not reported all of its blocks/ })
  t.end()
})

function datanodeAsk(name: string): DatanodeRow {
  return {
    ...{ uuid: datanodeUuid(name), name, goal: 'decommissioned', isReached: false },
    requestedAt: millis(0),
  }
}

function descriptorOf(name: string) {
  return {
    ...{ uuid: datanodeUuid(name), ipAddress: 'host0', hostName: 'host0', transferPort: 9866 },
    ...{ infoPort: 9864, ipcPort: 9867, softwareVersion: '3.5.0' },
  }
}

t.test('a rack whose datanodes are all drained is no second rack', (t) => {
  const world = new DrainWorld({
    datanodes: 4,
    topology: (host) => (host === 'host3' ? '/b' : '/a'),
  })
  const row = world.block(1, 2, [0, 3])
  world.second()
  world.ask('dn3', 'decommissioned')
  world.seconds(5)
  t.equal(world.state('dn3'), 'decommissioned')
  t.equal(world.manager.stats().badlyDistributedBlocks, 0)
  world.resume('dn3')
  world.seconds(5)
  t.ok(world.at(3).disk.has(row.id), 'with the rack back, its replica is the one that stays')
  t.equal(world.holders(row.id).length, 2)
  t.end()
})

t.test('a datanode is named by uuid, host, or host:port; what is unclear is refused', (t) => {
  const world = new DrainWorld({ datanodes: 3, hosts: ['a', 'b', 'b'] })
  const named = (text: string): string => world.manager.datanodeNamed(text).uuid
  t.equal(named('dn1'), 'dn1')
  t.equal(named('a'), 'dn0')
  t.equal(named('b:9868'), 'dn2')
  const refusal = (text: string): string => {
    try {
      return named(text)
    } catch (error) {
      t.ok(isDfsError(error, 'INVALID_ARGUMENT'))
      return error instanceof Error ? error.message : ''
    }
  }
  t.match(refusal('b'), /"b" names 2 datanodes: b:9867 \(dn1\), b:9868 \(dn2\)/)
  t.match(refusal('c'), /No datanode is called "c"; known are a:9866, b:9867, b:9868/)
  world.manager.datanodePut({ ...datanodeAsk('gone'), name: 'c:1' })
  t.equal(named('c:1'), 'gone', 'also one that is only asked something')
  t.end()
})
