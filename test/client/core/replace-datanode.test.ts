import t from 'tap'
import {
  copySources,
  newcomersOf,
  replacePolicies,
  replacePolicy,
  SlowNodes,
  slowSignMs,
  wantsReplacement,
} from '../../../client/core/replace-datanode.ts'

const plain = { mode: 'streaming', isAppend: false, isFlushed: false } as const

t.test('wantsReplacement() follows the DEFAULT rule of HDFS', (t) => {
  const wants = (replication: number, nodeCount: number, more: object = {}): boolean =>
    wantsReplacement('DEFAULT', { ...plain, replication, nodeCount, ...more })
  t.notOk(wants(3, 2), 'two of three are enough for a plain write')
  t.ok(wants(3, 1), 'half or less is left')
  t.ok(wants(4, 2))
  t.notOk(wants(5, 3))
  t.ok(wants(5, 2))
  t.ok(wants(3, 2, { isFlushed: true }))
  t.ok(wants(3, 2, { isAppend: true }))
  t.notOk(wants(3, 3, { isAppend: true }), 'nothing is missing')
  t.notOk(wants(2, 1, { isFlushed: true }), 'never below replication 3')
  t.notOk(wants(3, 0), 'nobody is left to copy from')
  t.ok(wants(3, 2, { mode: 'append', isAppend: true }))
  t.end()
})

t.test('wantsReplacement() obeys NEVER and ALWAYS', (t) => {
  for (const nodeCount of [1, 2]) {
    const reduced = { ...plain, replication: 3, nodeCount, isFlushed: true }
    t.notOk(wantsReplacement('NEVER', reduced))
    t.ok(wantsReplacement('ALWAYS', reduced))
  }
  t.ok(wantsReplacement('ALWAYS', { ...plain, replication: 2, nodeCount: 1 }))
  t.notOk(wantsReplacement('ALWAYS', { ...plain, replication: 2, nodeCount: 2 }))
  t.end()
})

t.test('nobody joins a block that starts anew or only has to be closed', (t) => {
  for (const mode of ['new-block', 'close'] as const) {
    const reduced = { mode, replication: 3, nodeCount: 1, isAppend: true, isFlushed: true }
    for (const policy of replacePolicies) t.notOk(wantsReplacement(policy, reduced))
  }
  t.end()
})

t.test('replacePolicy() refuses other words', (t) => {
  t.equal(replacePolicy('ALWAYS'), 'ALWAYS')
  t.throws(() => replacePolicy('always'), { code: 'INVALID_ARGUMENT', message: /NEVER, DEFAULT/ })
  t.end()
})

t.test('copySources() asks the datanode before the newcomer first', (t) => {
  t.same(copySources(2, 3), [1, 0])
  t.same(copySources(0, 3), [1, 2])
  t.same(copySources(1, 2), [0])
  t.same(copySources(0, 1), [], 'alone it has nobody to copy from')
  t.throws(() => copySources(3, 3), /must be in the pipeline/)
  t.end()
})

t.test('newcomersOf() finds who was not there, wherever it stands', (t) => {
  t.same(newcomersOf(['a', 'b'], ['b', 'c', 'a']), [1])
  t.same(newcomersOf(['a', 'b'], ['b', 'a']), [])
  t.end()
})

t.test('SlowNodes blames the last slow datanode after so many signs in a row', (t) => {
  const nodes = new SlowNodes(3)
  const slow = [true, true, false]
  t.equal(nodes.acked(slow, 0), -1)
  t.equal(nodes.acked(slow, slowSignMs), -1)
  t.equal(nodes.acked([false, false, false], 2 * slowSignMs), -1, 'it caught up: from the start')
  t.equal(nodes.acked(slow, 3 * slowSignMs), -1)
  t.equal(nodes.acked(slow, 4 * slowSignMs), -1)
  t.equal(nodes.acked([false, false, true], 5 * slowSignMs), -1, 'another one now')
  t.equal(nodes.acked(slow, 6 * slowSignMs), -1)
  t.equal(nodes.acked(slow, 7 * slowSignMs), -1)
  t.equal(nodes.acked(slow, 8 * slowSignMs), 1)
  for (let sign = 9; sign < 15; sign += 1) {
    t.equal(nodes.acked(slow, sign * slowSignMs), -1, 'once per block')
  }
  t.end()
})

t.test('SlowNodes takes a burst for one sign, and blames nobody alone or with 0', (t) => {
  const nodes = new SlowNodes(2)
  for (let now = 0; now < slowSignMs; now += 10) t.equal(nodes.acked([false, true], now), -1)
  t.equal(nodes.acked([false, true], slowSignMs), 1)
  const alone = new SlowNodes(1)
  t.equal(alone.acked([true], 0), -1)
  const off = new SlowNodes(0)
  t.equal(off.acked([true, true], 0), -1)
  t.end()
})
