import t from 'tap'
import { ExcludedNodes, excludedMs } from '../../../client/core/excluded-nodes.ts'

t.test(
  'list() forgets a datanode when its time is over, and starts anew when it fails again',
  (t) => {
    const nodes = new ExcludedNodes<string>()
    nodes.add('a', 'A', 0)
    nodes.add('b', 'B', 10)
    t.same(nodes.list(excludedMs - 1), ['A', 'B'])
    t.same(nodes.list(excludedMs), ['B'])
    nodes.add('b', 'B', excludedMs)
    nodes.add('a', 'A', excludedMs)
    nodes.add('b', 'B', excludedMs)
    t.same(nodes.list(excludedMs), ['A', 'B'], 'the one that failed last at the end')
    t.same(nodes.list(2 * excludedMs), [])
    t.end()
  },
)

t.test('delete(), clear() and keepLatest() forget earlier', (t) => {
  const nodes = new ExcludedNodes<string>()
  for (const name of ['a', 'b', 'c']) nodes.add(name, name, 0)
  nodes.delete('b')
  t.same(nodes.list(0), ['a', 'c'])
  nodes.keepLatest()
  t.same(nodes.list(0), ['c'])
  nodes.clear()
  nodes.keepLatest()
  t.same(nodes.list(0), [])
  t.end()
})
