import t from 'tap'
import { millis } from '../../../base/brand.ts'
import {
  SafeMode,
  type SafeModeEvent,
  safeModeTransitions,
} from '../../../namenode/core/safe-mode.ts'
import { datanodeUuid } from '../../../protocol/ids.ts'
import type { SafeModeState } from '../../../protocol/states.ts'
import { BlockWorld, blockRow, defaultSettings } from '../../support/block-world.ts'

t.test('send() follows the table for every state and event', (t) => {
  const pathTo: Record<SafeModeState, SafeModeEvent[]> = {
    'pending-threshold': [],
    manual: ['enter'],
    off: ['leave'],
  }
  const states = ['pending-threshold', 'manual', 'off'] as const
  for (const state of states) {
    for (const event of ['enter', 'leave', 'threshold-reached', 'wait-over'] as const) {
      const safeMode = new SafeMode(defaultSettings())
      for (const step of pathTo[state]) safeMode.send(step)
      t.equal(safeMode.state, state)
      safeMode.send(event)
      t.equal(safeMode.state, safeModeTransitions[state][event], `${state} on ${event}`)
    }
  }
  t.end()
})

t.test('check() ends start-up at the threshold, and at once without blocks', (t) => {
  const settings = defaultSettings({ 'dfs.namenode.safemode.threshold-permille': 900 })
  const stateAt = (totalCount: number | undefined, safeCount: number): SafeModeState => {
    const safeMode = new SafeMode(settings)
    safeMode.check({ totalCount, safeCount })
    return safeMode.state
  }
  t.equal(stateAt(undefined, 0), 'pending-threshold', 'nobody knows how many there are')
  t.equal(stateAt(0, 0), 'off')
  t.equal(stateAt(10, 8), 'pending-threshold')
  t.equal(stateAt(10, 9), 'off')
  t.end()
})

t.test('tick() ends start-up when the wait is over, but not what an operator entered', (t) => {
  const safeMode = new SafeMode(defaultSettings({ 'dfs.namenode.safemode.wait': 1000 }))
  safeMode.tick(millis(5000))
  safeMode.tick(millis(5999))
  t.equal(safeMode.state, 'pending-threshold')
  safeMode.tick(millis(6000))
  t.equal(safeMode.state, 'off')
  safeMode.send('enter')
  safeMode.tick(millis(100_000))
  t.equal(safeMode.state, 'manual')
  t.end()
})

t.test('a namenode leaves safe mode with the report that makes enough blocks safe', (t) => {
  const world = new BlockWorld({ datanodes: 1, isLoading: true })
  const { manager } = world
  manager.totalBlocks(4)
  for (const id of [1, 2, 3]) {
    manager.blockPut(blockRow(id, id === 3 ? 'under-construction' : 'complete'), 1)
  }
  t.equal(manager.safeMode, 'pending-threshold')
  world.store(world.at(0), blockRow(1))
  t.equal(manager.safeMode, 'pending-threshold')
  t.match(manager.stats(), { safeBlocks: 2, safeModeNeededBlocks: 3 })
  world.store(world.at(0), blockRow(2))
  t.equal(manager.safeMode, 'off', 'also before the last row is loaded')
  t.end()
})

t.test('in safe mode no datanode gets an order', (t) => {
  const world = new BlockWorld({ datanodes: 2 })
  const row = world.block(1, 2, [0])
  t.equal(world.manager.setSafeMode('enter'), 'manual')
  world.deleteBlock(row)
  world.block(2, 2, [0])
  world.seconds(5)
  t.same(world.orders, [])
  t.equal(world.manager.stats().pendingDeletionReplicas, 1)
  const unknown = datanodeUuid('unknown')
  const report = { storages: [], transfers: 0, copies: 0, failedVolumes: 0 }
  t.same(world.manager.heartbeat(millis(world.now), unknown, report), [{ kind: 'register' }])
  t.equal(world.manager.setSafeMode('leave'), 'off')
  world.seconds(2)
  t.equal(world.orders.length, 2)
  t.end()
})
