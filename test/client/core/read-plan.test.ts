import t from 'tap'
import { type CorruptReplicas, ReadPlan, Suspects } from '../../../client/core/read-plan.ts'

const limits = { refreshesMax: 2, refreshDelayMs: 500, suspectMs: 1000 }

function plan(
  suspects = new Suspects(limits.suspectMs),
  corrupt: CorruptReplicas = new Map(),
): ReadPlan {
  const created = new ReadPlan(suspects, corrupt, limits)
  created.start('b1')
  return created
}

t.test('choose() takes the replicas in the order of the namenode, each once', (t) => {
  const reads = plan()
  t.same(reads.choose(['a', 'b'], 0), { kind: 'read', index: 0 })
  reads.failed('a', 'refused', 0)
  t.same(reads.choose(['a', 'b'], 0), { kind: 'read', index: 1 })
  t.end()
})

t.test('C3: choose() tries suspects last, but before a refresh', (t) => {
  const suspects = new Suspects(limits.suspectMs)
  suspects.add('a', 0)
  const reads = plan(suspects)
  t.same(reads.choose(['a', 'b'], 10), { kind: 'read', index: 1 })
  reads.failed('b', 'busy', 10)
  t.same(reads.choose(['a', 'b'], 10), { kind: 'read', index: 0 })
  reads.failed('a', 'unreachable', 10)
  t.same(reads.choose(['a', 'b'], 10), { kind: 'refresh', delayMs: 0 })
  t.end()
})

t.test('choose() refreshes a bounded number of times, then gives up with every attempt', (t) => {
  const reads = plan()
  reads.failed('a', 'missing', 0)
  t.same(reads.choose(['a'], 0), { kind: 'refresh', delayMs: 0 })
  reads.refreshed()
  t.same(reads.choose(['a'], 0), { kind: 'read', index: 0 })
  reads.failed('a', 'unreachable', 0)
  t.same(reads.choose(['a'], 0), { kind: 'refresh', delayMs: 500 })
  reads.refreshed()
  reads.failed('a', 'busy', 0)
  t.same(reads.choose(['a'], 0), {
    kind: 'give-up',
    failures: [
      { datanode: 'a', failure: 'missing' },
      { datanode: 'a', failure: 'unreachable' },
      { datanode: 'a', failure: 'busy' },
    ],
  })
  t.end()
})

t.test('choose() of a block without replicas asks the namenode, with growing pauses', (t) => {
  const reads = new ReadPlan(new Suspects(1), new Map(), { ...limits, refreshesMax: 4 })
  reads.start('b1')
  const delays = [1, 2, 3, 4].map(() => reads.choose([], 0))
  t.same(
    delays.map((step) => (step.kind === 'refresh' ? step.delayMs : step.kind)),
    [0, 500, 1000, 2000],
  )
  t.equal(reads.choose([], 0).kind, 'give-up')
  t.end()
})

t.test(
  'C2: a corrupt replica is not read again, neither after a refresh nor in a later read',
  (t) => {
    const suspects = new Suspects(limits.suspectMs)
    const corrupt = new Map<string, Set<string>>()
    const first = plan(suspects, corrupt)
    first.failed('a', 'corrupt', 0)
    first.refreshed()
    t.same(first.choose(['a', 'b'], 0), { kind: 'read', index: 1 })
    const second = plan(suspects, corrupt)
    t.same(second.choose(['a', 'b'], 0), { kind: 'read', index: 1 })
    second.start('b2')
    t.same(second.choose(['a', 'b'], 0), { kind: 'read', index: 0 }, 'other blocks are not blamed')
    t.end()
  },
)

t.test('progressed() allows new refreshes and takes the suspicion away', (t) => {
  const suspects = new Suspects(limits.suspectMs)
  const reads = plan(suspects)
  suspects.add('a', 0)
  reads.failed('b', 'missing', 0)
  reads.choose(['b'], 0)
  reads.choose(['b'], 0)
  reads.progressed('a')
  t.notOk(suspects.has('a', 0))
  t.same(reads.choose(['b'], 0), { kind: 'refresh', delayMs: 0 })
  t.end()
})

t.test('Suspects forgets with time, and the oldest when there are too many', (t) => {
  const suspects = new Suspects(1000)
  suspects.add('a', 0)
  t.ok(suspects.has('a', 999))
  t.notOk(suspects.has('a', 1000))
  for (let index = 0; index <= 1024; index += 1) suspects.add(`n${index}`, 0)
  t.notOk(suspects.has('n0', 1))
  t.ok(suspects.has('n1', 1))
  t.equal(suspects.list(1).length, 1024)
  t.same(suspects.list(2000), [])
  t.end()
})
