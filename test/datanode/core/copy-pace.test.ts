import fc from 'fast-check'
import t from 'tap'
import {
  CopyPace,
  type CopyUrgency,
  copyPaceLimits,
  ForegroundUse,
} from '../../../datanode/core/copy-pace.ts'

const { quietAfterMs, operationsQuiet, operationsBusy, usualOperationsBusy, usualTurn } =
  copyPaceLimits

/** A volume with operations waiting, named by their turn. */
function paceWith(counts: Readonly<Record<CopyUrgency, number>>) {
  const foreground = new ForegroundUse()
  const pace = new CopyPace<string>(foreground)
  for (const urgency of ['usual', 'urgent'] as const) {
    for (let turn = 1; turn <= counts[urgency]; turn += 1) pace.ask(urgency, `${urgency} ${turn}`)
  }
  const startAll = (now: number): string[] => {
    const started: string[] = []
    for (let next = pace.next(now); next !== undefined; next = pace.next(now)) {
      started.push(next.operation)
    }
    return started
  }
  return { foreground, pace, startAll }
}

t.test('next() keeps the disk busy while no client is there', async (t) => {
  const { pace, startAll } = paceWith({ urgent: 10, usual: 0 })
  t.same(startAll(0), ['urgent 1', 'urgent 2', 'urgent 3', 'urgent 4'])
  t.equal(pace.underWay, operationsQuiet)
  pace.ended('urgent')
  t.same(startAll(0), ['urgent 5'], 'in the order in which they were asked for')
})

t.test('next() leaves room for clients, less for blocks with another replica', async (t) => {
  const last = paceWith({ urgent: 10, usual: 0 })
  last.foreground.used(1000)
  t.equal(last.startAll(1000).length, operationsBusy)
  const usual = paceWith({ urgent: 0, usual: 10 })
  usual.foreground.used(1000)
  t.equal(usual.startAll(1000).length, usualOperationsBusy)
  t.equal(usual.startAll(1000 + quietAfterMs - 1).length, 0)
  t.equal(usual.startAll(1000 + quietAfterMs).length, operationsQuiet - usualOperationsBusy)
})

t.test('next() waits for operations begun before the client came', async (t) => {
  const { foreground, pace, startAll } = paceWith({ urgent: 10, usual: 0 })
  t.equal(startAll(0).length, operationsQuiet)
  foreground.used(10)
  for (let ended = 1; ended <= operationsQuiet - operationsBusy; ended += 1) {
    pace.ended('urgent')
    t.same(startAll(10), [])
  }
  pace.ended('urgent')
  t.same(startAll(10), ['urgent 5'])
})

t.test('next() starts last replicas first, and one of four of the others', async (t) => {
  const { pace, startAll } = paceWith({ urgent: 6, usual: 6 })
  const order: string[] = []
  for (let turn = 0; turn < 12; turn += 1) {
    const started = startAll(0)
    order.push(...started)
    for (const operation of started) pace.ended(operation.startsWith('usual') ? 'usual' : 'urgent')
  }
  t.equal(order.length, 12)
  t.equal(order.indexOf('usual 1'), usualTurn - 1)
  t.equal(order.indexOf('usual 2'), 2 * usualTurn - 1)
  t.same(
    order.filter((name) => name.startsWith('urgent')),
    ['urgent 1', 'urgent 2', 'urgent 3', 'urgent 4', 'urgent 5', 'urgent 6'],
  )
})

t.test('ended() of what never began is a fault of ours', async (t) => {
  const { pace } = paceWith({ urgent: 0, usual: 1 })
  t.throws(() => pace.ended('usual'), { name: 'AssertionError' })
})

t.test('whatever clients do, limits hold and everything asked for is started', async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom('urgent' as const, 'usual' as const) }),
    fc.record({ kind: fc.constantFrom('client' as const, 'time' as const, 'end' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const foreground = new ForegroundUse()
      const pace = new CopyPace<number>(foreground)
      const running: CopyUrgency[] = []
      let [now, asked, started] = [0, 0, 0]
      const start = (): void => {
        const before = running.length
        for (let next = pace.next(now); next !== undefined; next = pace.next(now)) {
          started += 1
          running.push(next.urgency)
        }
        const limit = foreground.isBusy(now) ? operationsBusy : operationsQuiet
        if (running.length > before) t.ok(running.length <= limit)
        t.ok(running.length > 0 || started === asked, 'somebody is under way while anybody waits')
      }
      const end = (): void => {
        const urgency = running.shift()
        if (urgency !== undefined) pace.ended(urgency)
      }
      for (const { kind } of steps) {
        if (kind === 'client') foreground.used(now)
        else if (kind === 'time') now += 400
        else if (kind === 'end') end()
        else pace.ask(kind, (asked += 1))
        start()
      }
      while (running.length > 0) {
        end()
        start()
      }
      t.equal(started, asked)
    }),
    { numRuns: 200 },
  )
})
