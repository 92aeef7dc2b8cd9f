import t from 'tap'
import { millis } from '../../../base/brand.ts'
import type { DatanodeRow } from '../../../namenode/core/changes.ts'
import type { ReplicaLocation } from '../../../namenode/core/requests.ts'
import { clientName, datanodeUuid } from '../../../protocol/ids.ts'
import { location, NamespaceWorld, user } from '../../support/namespace-world.ts'

type Goal = DatanodeRow['goal'] | 'normal'

function ask(world: NamespaceWorld, goal: Goal, expiresAt?: number): DatanodeRow | undefined {
  return world.run({
    ...{ kind: 'setDatanodeGoal', datanode: 'dn-1', goal },
    ...(expiresAt !== undefined && { expiresAt: millis(expiresAt) }),
  })
}

const uuid = datanodeUuid('dn-1')

t.test('setDatanodeGoal makes a row, and asking again changes nothing', (t) => {
  const world = new NamespaceWorld()
  const before = world.lastTxid
  t.match(ask(world, 'decommissioned'), {
    ...{ uuid, name: 'dn-1:9866', goal: 'decommissioned', isReached: false },
    requestedAt: world.wall,
  })
  world.pass(1000)
  t.equal(ask(world, 'decommissioned')?.requestedAt, world.wall - 1000)
  t.equal(world.lastTxid, before + 1)
  t.equal(ask(world, 'normal'), undefined)
  t.equal(ask(world, 'normal'), undefined)
  t.equal(world.lastTxid, before + 2)
  t.same([...world.blocks.datanodes], [])
  t.end()
})

t.test('a goal that was reached stays so until it changes', (t) => {
  const world = new NamespaceWorld()
  const row = ask(world, 'in-maintenance')
  world.blocks.reached = row === undefined ? [] : [{ ...row, isReached: true }]
  world.tick()
  world.blocks.reached = []
  t.equal(world.blocks.datanodes.get(uuid)?.isReached, true)
  t.equal(ask(world, 'in-maintenance', world.wall + 5000)?.isReached, true, 'only its end changed')
  t.equal(ask(world, 'decommissioned')?.isReached, false, 'another goal has another way')
  t.equal(world.blocks.datanodes.get(uuid)?.expiresAt, undefined)
  t.end()
})

t.test('tick() ends a maintenance when its time has come, also one that was just reached', (t) => {
  const world = new NamespaceWorld()
  const row = ask(world, 'in-maintenance', world.wall + 5000)
  world.pass(4999)
  world.tick()
  t.ok(world.blocks.datanodes.has(uuid))
  world.pass(1)
  world.blocks.reached = row === undefined ? [] : [{ ...row, isReached: true }]
  world.tick()
  t.notOk(world.blocks.datanodes.has(uuid))
  t.end()
})

t.test('who alone has the newest version of a block may not leave any more', (t) => {
  const world = new NamespaceWorld()
  const writer = clientName('writer')
  const reach = (): void => {
    const row = ask(world, 'decommissioned')
    world.blocks.reached = row === undefined ? [] : [{ ...row, isReached: true }]
    world.tick()
    world.blocks.reached = []
  }
  reach()
  world.run({
    ...{ kind: 'create', path: '/f', mode: 0o644, clientName: writer, replication: 3 },
    ...{ overwrite: false, createIfMissing: true, createParent: true, blockSize: 1024 * 1024 },
  })
  const { block } = world.run({
    ...{ kind: 'addBlock', path: '/f', clientName: writer, excluded: [], favored: [] },
    isLastTry: false,
  })
  let current = block
  const rebuild = (locations: readonly ReplicaLocation[]): boolean | undefined => {
    const asked = { block: current, clientName: writer } as const
    const newBlock = world.run({ kind: 'updateBlockForPipeline', ...asked })
    const change = { oldBlock: current, newBlock, clientName: writer, locations }
    world.run({ kind: 'updatePipeline', ...change })
    current = newBlock
    return world.blocks.datanodes.get(uuid)?.isReached
  }
  t.equal(rebuild([location(1), location(2)]), true, 'another one has it')
  t.equal(rebuild([location(1)]), false)
  reach()
  t.equal(world.blocks.datanodes.get(uuid)?.isReached, true)
  world.run({ kind: 'recoverLease', path: '/f', clientName: clientName('other') })
  const recoveryStamp = world.blocks.recoveries.at(-1)?.recoveryStamp
  if (recoveryStamp === undefined) throw new Error('no recovery was ordered')
  world.run({
    ...{ kind: 'commitBlockSynchronization', block: current, newGenerationStamp: recoveryStamp },
    ...{ newLength: 10, closeFile: true, deleteBlock: false, locations: [location(1)] },
  })
  t.equal(world.blocks.datanodes.get(uuid)?.isReached, false, 'nor after a recovery')
  t.end()
})

t.test('goals are back after a restart, folded or not', (t) => {
  for (const isFolded of [true, false]) {
    const world = new NamespaceWorld()
    ask(world, 'decommissioned')
    if (isFolded) world.fold()
    world.blocks.datanodes.clear()
    world.restart()
    t.match(world.blocks.datanodes.get(uuid), { goal: 'decommissioned' })
  }
  t.end()
})

t.test('only a superuser may ask, and only for what can be', (t) => {
  const world = new NamespaceWorld()
  const request = { kind: 'setDatanodeGoal', datanode: 'dn-1', goal: 'decommissioned' } as const
  t.throws(() => world.run(request, user('alice')), { code: 'PERMISSION_DENIED' })
  t.throws(() => ask(world, 'decommissioned', world.wall + 1), {
    ...{ code: 'INVALID_ARGUMENT', message: /Only a maintenance can have an end/ },
  })
  t.throws(() => ask(world, 'in-maintenance', world.wall), {
    ...{ code: 'INVALID_ARGUMENT', message: /must end in the future/ },
  })
  world.blocks.safeMode = 'manual'
  t.throws(() => ask(world, 'decommissioned'), { code: 'SAFE_MODE' })
  t.same([...world.blocks.datanodes], [])
  t.end()
})
