import t, { type Test } from 'tap'
import { type Millis, millis } from '../../../base/brand.ts'
import { Prng } from '../../../base/prng.ts'
import { NamenodeSession, sessionLimits } from '../../../datanode/core/namenode-session.ts'
import type { DatanodeOrder } from '../../../datanode/core/orders.ts'
import { type ReplicaEvent, ReportQueue } from '../../../datanode/core/report-queue.ts'
import type {
  FailureReason,
  SessionAction,
  SessionAnswer,
  SessionEvent,
  SessionRequest,
} from '../../../datanode/core/session-events.ts'
import { blockId, generationStamp, storageUuid } from '../../../protocol/ids.ts'

const identity = {
  clusterId: 'CID-1',
  namespaceId: 7,
  blockPoolId: 'BP-1-127.0.0.1-1',
  creationTimeMs: 1,
}
const disk = storageUuid('DS-1')

function event(kind: ReplicaEvent['kind'], id: number, storage = disk): ReplicaEvent {
  return {
    kind,
    storage,
    blockId: blockId(id),
    generationStamp: generationStamp(1001),
    length: kind === 'receiving' ? 0 : 100,
  }
}

const invalidate: DatanodeOrder = { kind: 'invalidate', blocks: [] }

/** A session with a clock moved by hand and a record of the calls it made. */
class Bench {
  now: Millis = millis(1000)
  readonly session = new NamenodeSession({
    heartbeatIntervalMs: 1000,
    blockReportIntervalMs: 60_000,
    prng: new Prng(1),
  })
  actions: SessionAction[] = []

  send(event: SessionEvent): void {
    this.actions.push(...this.session.handle(this.now, event))
  }

  /** Moves the clock forward and ticks. */
  advance(ms: number): void {
    this.now = millis(this.now + ms)
    this.send({ kind: 'tick' })
  }

  /** The requests called since the last look, by kind. */
  taken(): SessionAction[] {
    const actions = this.actions
    this.actions = []
    return actions
  }

  calls(): string[] {
    return this.taken().flatMap((action) => (action.kind === 'call' ? [action.request.kind] : []))
  }

  /** The latest unread call; fails unless its kind is `kind`. */
  expectCall<K extends SessionRequest['kind']>(
    t: Test,
    kind: K,
  ): { readonly callId: number; readonly request: Extract<SessionRequest, { kind: K }> } {
    const calls = this.taken().filter((action) => action.kind === 'call')
    const call = calls.find(({ request }) => request.kind === kind)
    t.ok(call, `calls ${kind}`)
    if (call === undefined) throw new Error(`no ${kind} among ${JSON.stringify(calls)}`)
    return { callId: call.callId, request: call.request as Extract<SessionRequest, { kind: K }> }
  }

  answer(callId: number, answer: SessionAnswer): void {
    this.send({ kind: 'answered', callId, answer })
  }

  fail(callId: number, reason: FailureReason): void {
    this.send({ kind: 'failed', callId, reason, message: 'no luck' })
  }

  /** Goes through set-up to the first heartbeat and returns its call id. */
  register(t: Test): number {
    this.answer(this.expectCall(t, 'version').callId, { kind: 'version', identity })
    this.answer(this.expectCall(t, 'bind').callId, { kind: 'bound' })
    this.answer(this.expectCall(t, 'register').callId, { kind: 'registered' })
    return this.expectCall(t, 'heartbeat').callId
  }

  heartbeatAnswer(
    callId: number,
    { leaseId = 0n, orders = [] as DatanodeOrder[], isActive = true } = {},
  ): void {
    this.answer(callId, { kind: 'heartbeat', orders, isActive, reportLeaseId: leaseId })
  }

  /** Goes on until the full report was accepted. */
  report(t: Test): void {
    this.heartbeatAnswer(this.register(t), { leaseId: 5n })
    this.answer(this.expectCall(t, 'block-report').callId, { kind: 'reported', orders: [] })
    t.ok(this.session.isUpToDate)
    this.taken()
  }
}

t.test(
  'a session asks the version, binds, registers, beats and reports, in that order',
  async (t) => {
    const bench = new Bench()
    t.equal(bench.session.wakeAt, undefined, 'nothing to wake for before the start')
    bench.send({ kind: 'start' })
    bench.answer(bench.expectCall(t, 'version').callId, { kind: 'version', identity })
    const bind = bench.expectCall(t, 'bind')
    t.same(bind.request.identity, identity)
    t.same(bench.session.identity, identity)
    bench.answer(bind.callId, { kind: 'bound' })
    bench.answer(bench.expectCall(t, 'register').callId, { kind: 'registered' })
    const heartbeat = bench.expectCall(t, 'heartbeat')
    t.equal(heartbeat.request.wantsReportLease, true)
    bench.heartbeatAnswer(heartbeat.callId, { leaseId: 77n })
    const report = bench.expectCall(t, 'block-report')
    t.equal(report.request.leaseId, 77n)
    t.notOk(bench.session.isUpToDate, 'until the report is accepted')
    bench.answer(report.callId, { kind: 'reported', orders: [] })
    t.ok(bench.session.isUpToDate)
    t.same(bench.calls(), [])
    t.equal(bench.session.wakeAt, 2000, 'the next heartbeat')
    bench.advance(999)
    t.same(bench.calls(), [])
    bench.advance(1)
    t.equal(bench.expectCall(t, 'heartbeat').request.wantsReportLease, false)
  },
)

t.test('a report waits for a lease, and asks again with each heartbeat', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.heartbeatAnswer(bench.register(t), { leaseId: 0n })
  t.same(bench.calls(), [])
  bench.advance(1000)
  const second = bench.expectCall(t, 'heartbeat')
  t.equal(second.request.wantsReportLease, true)
  bench.heartbeatAnswer(second.callId, { leaseId: 3n })
  const report = bench.expectCall(t, 'block-report')
  bench.fail(report.callId, 'rejected')
  bench.advance(1000)
  const third = bench.expectCall(t, 'heartbeat')
  t.equal(third.request.wantsReportLease, true, 'the lease had expired: ask for another')
  bench.heartbeatAnswer(third.callId, { leaseId: 4n })
  t.not(bench.expectCall(t, 'block-report').request.reportId, report.request.reportId)
})

t.test('a full report is repeated after its interval, which is spread', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  let reports = 0
  for (let beat = 0; beat < 130; beat += 1) {
    bench.advance(1000)
    const heartbeat = bench.expectCall(t, 'heartbeat')
    bench.heartbeatAnswer(heartbeat.callId, {
      leaseId: heartbeat.request.wantsReportLease ? 9n : 0n,
    })
    for (const action of bench.taken()) {
      if (action.kind !== 'call' || action.request.kind !== 'block-report') continue
      reports += 1
      bench.answer(action.callId, { kind: 'reported', orders: [] })
    }
  }
  t.equal(reports, 2)
})

t.test(
  'received is told at once, receiving rides along, later ones go together in the next report',
  async (t) => {
    const bench = new Bench()
    bench.send({ kind: 'start' })
    bench.report(t)
    bench.send({ kind: 'replica', event: event('receiving', 1) })
    t.same(bench.calls(), [], 'a small block is received before this would be worth a call')
    bench.send({ kind: 'replica', event: event('received', 1) })
    const first = bench.expectCall(t, 'incremental-report')
    t.same(first.request.events, [event('received', 1)])
    bench.send({ kind: 'replica', event: event('receiving', 2) })
    bench.send({ kind: 'replica', event: event('received', 2) })
    bench.send({ kind: 'replica', event: event('receiving', 3) })
    t.same(bench.calls(), [], 'one report at a time')
    bench.answer(first.callId, { kind: 'noted' })
    t.same(bench.expectCall(t, 'incremental-report').request.events, [
      event('received', 2),
      event('receiving', 3),
    ])
  },
)

t.test('deletions ride with the next report or follow the next heartbeat', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.send({ kind: 'replica', event: event('deleted', 1) })
  t.same(bench.calls(), [])
  bench.advance(1000)
  bench.heartbeatAnswer(bench.expectCall(t, 'heartbeat').callId)
  const report = bench.expectCall(t, 'incremental-report')
  t.same(report.request.events, [event('deleted', 1)])
  bench.answer(report.callId, { kind: 'noted' })
  bench.send({ kind: 'replica', event: event('deleted', 2) })
  bench.send({ kind: 'replica', event: event('received', 3) })
  t.same(bench.expectCall(t, 'incremental-report').request.events, [
    event('deleted', 2),
    event('received', 3),
  ])
})

t.test('what happened before a full report was taken is not told twice', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.send({ kind: 'replica', event: event('received', 1) })
  const heartbeat = bench.register(t)
  bench.send({ kind: 'replica', event: event('received', 2) })
  const early = bench.expectCall(t, 'incremental-report')
  t.same(early.request.events, [event('received', 2)], 'the lane is free: no need to wait')
  bench.send({ kind: 'replica', event: event('received', 3) })
  bench.heartbeatAnswer(heartbeat, { leaseId: 1n })
  t.same(bench.calls(), [], 'reports do not overtake each other')
  bench.answer(early.callId, { kind: 'noted' })
  const full = bench.expectCall(t, 'block-report')
  bench.send({ kind: 'replica', event: event('received', 4) })
  bench.answer(full.callId, { kind: 'reported', orders: [] })
  t.same(bench.expectCall(t, 'incremental-report').request.events, [event('received', 4)])
})

t.test(
  'a closed connection is tried again after 100 ms, then ever later, up to a second',
  async (t) => {
    const bench = new Bench()
    bench.send({ kind: 'start' })
    bench.report(t)
    bench.send({ kind: 'connection-lost' })
    t.equal(bench.session.phase, 'waiting')
    bench.send({ kind: 'connection-lost' })
    const pauses: number[] = []
    for (let attempt = 0; attempt < 7; attempt += 1) {
      const pauseMs = (bench.session.wakeAt ?? 0) - bench.now
      pauses.push(pauseMs)
      bench.advance(pauseMs - 1)
      t.same(bench.calls(), [])
      bench.advance(1)
      bench.fail(bench.expectCall(t, 'version').callId, 'connection')
    }
    const bounds = [100, 200, 400, 800, 1000, 1000, 1000]
    t.ok(
      pauses.every((pause, index) => {
        const bound = bounds[index] ?? 0
        return pause <= bound && pause > bound * 0.74
      }),
      pauses.join(' '),
    )
    bench.advance(1000)
    bench.heartbeatAnswer(bench.register(t), { leaseId: 8n })
    bench.expectCall(t, 'block-report')
    bench.send({ kind: 'connection-lost' })
    t.ok((bench.session.wakeAt ?? 0) - bench.now <= 100, 'a registration resets the pause')
  },
)

t.test('answers of an earlier connection are ignored', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.advance(1000)
  const { callId } = bench.expectCall(t, 'heartbeat')
  bench.send({ kind: 'connection-lost' })
  bench.taken()
  bench.heartbeatAnswer(callId, { orders: [invalidate] })
  bench.fail(callId, 'connection')
  t.same(bench.taken(), [])
  t.equal(bench.session.phase, 'waiting')
})

t.test('a heartbeat without an answer in time closes the connection', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.advance(1000)
  bench.expectCall(t, 'heartbeat')
  bench.advance(sessionLimits.heartbeatTimeoutMs - 1)
  t.same(bench.taken(), [])
  bench.advance(1)
  const [first, second] = bench.taken()
  t.match(first, { kind: 'disconnect' })
  t.match(second, { kind: 'phase', phase: 'waiting', message: /no answer to heartbeat/ })
})

t.test('a register order, or an error that says so, registers and reports anew', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.advance(1000)
  bench.heartbeatAnswer(bench.expectCall(t, 'heartbeat').callId, {
    orders: [{ kind: 'register' }, invalidate, { kind: 'register' }],
  })
  t.equal(bench.session.phase, 'registering')
  bench.answer(bench.expectCall(t, 'register').callId, { kind: 'registered' })
  bench.heartbeatAnswer(bench.expectCall(t, 'heartbeat').callId, { leaseId: 2n })
  bench.answer(bench.expectCall(t, 'block-report').callId, { kind: 'reported', orders: [] })
  bench.send({ kind: 'replica', event: event('received', 1) })
  bench.fail(bench.expectCall(t, 'incremental-report').callId, 'unregistered')
  const register = bench.expectCall(t, 'register')
  bench.fail(register.callId, 'unregistered')
  t.equal(bench.session.phase, 'waiting', 'not in a tight loop')
})

t.test('orders are executed only for the active namenode', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.advance(1000)
  bench.heartbeatAnswer(bench.expectCall(t, 'heartbeat').callId, {
    orders: [invalidate],
    isActive: false,
  })
  t.same(bench.taken(), [])
  bench.advance(1000)
  bench.heartbeatAnswer(bench.expectCall(t, 'heartbeat').callId, { orders: [invalidate] })
  t.same(bench.taken(), [{ kind: 'execute', order: invalidate }])
})

t.test('a refused session says why and asks again, seldom', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.answer(bench.expectCall(t, 'version').callId, { kind: 'version', identity })
  bench.fail(bench.expectCall(t, 'bind').callId, 'refused')
  t.match(bench.taken(), [
    { kind: 'disconnect' },
    { kind: 'phase', phase: 'waiting', message: 'bind: no luck' },
  ])
  t.equal((bench.session.wakeAt ?? 0) - bench.now, sessionLimits.refusedRetryMs)
})

t.test('a rejected incremental report is made good by a full one', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.send({ kind: 'replica', event: event('received', 1) })
  bench.fail(bench.expectCall(t, 'incremental-report').callId, 'rejected')
  t.notOk(bench.session.isUpToDate)
  bench.advance(1000)
  bench.heartbeatAnswer(bench.expectCall(t, 'heartbeat').callId, { leaseId: 6n })
  bench.expectCall(t, 'block-report')
})

t.test('more events than fit are made good by a full report', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.send({ kind: 'replica', event: event('received', 0) })
  const { callId } = bench.expectCall(t, 'incremental-report')
  for (let id = 1; id <= sessionLimits.replicaEventsMax + 1; id += 1) {
    bench.send({ kind: 'replica', event: event('received', id) })
  }
  bench.advance(1000)
  bench.heartbeatAnswer(bench.expectCall(t, 'heartbeat').callId, { leaseId: 6n })
  bench.answer(callId, { kind: 'noted' })
  bench.answer(bench.expectCall(t, 'block-report').callId, { kind: 'reported', orders: [] })
  t.ok(bench.session.isUpToDate)
})

t.test(
  'bad replicas are reported once, and again when the connection broke meanwhile',
  async (t) => {
    const bench = new Bench()
    const replica = {
      storage: disk,
      blockId: blockId(4),
      generationStamp: generationStamp(1001),
      length: 5,
    }
    bench.send({ kind: 'start' })
    bench.send({ kind: 'bad-replica', replica })
    bench.send({ kind: 'bad-replica', replica })
    const heartbeat = bench.register(t)
    bench.send({ kind: 'connection-lost' })
    bench.advance(100)
    bench.answer(bench.expectCall(t, 'version').callId, { kind: 'version', identity })
    bench.answer(bench.expectCall(t, 'bind').callId, { kind: 'bound' })
    bench.answer(bench.expectCall(t, 'register').callId, { kind: 'registered' })
    const again = bench.expectCall(t, 'bad-replicas')
    t.same(again.request.replicas, [replica])
    bench.fail(again.callId, 'connection')
    bench.heartbeatAnswer(heartbeat)
    bench.advance(1000)
    bench.answer(bench.expectCall(t, 'version').callId, { kind: 'version', identity })
    bench.answer(bench.expectCall(t, 'bind').callId, { kind: 'bound' })
    bench.answer(bench.expectCall(t, 'register').callId, { kind: 'registered' })
    const last = bench.expectCall(t, 'bad-replicas')
    bench.answer(last.callId, { kind: 'noted' })
    t.same(bench.calls(), [])
  },
)

t.test('an operator can ask for a report at once', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.send({ kind: 'replica', event: event('deleted', 1) })
  bench.send({ kind: 'report-wanted', isIncremental: true })
  bench.answer(bench.expectCall(t, 'incremental-report').callId, { kind: 'noted' })
  bench.send({ kind: 'report-wanted', isIncremental: false })
  bench.heartbeatAnswer(bench.expectCall(t, 'heartbeat').callId, { leaseId: 6n })
  bench.expectCall(t, 'block-report')
})

t.test('a stopped session is silent', async (t) => {
  const bench = new Bench()
  bench.send({ kind: 'start' })
  bench.report(t)
  bench.send({ kind: 'stop' })
  t.match(bench.taken(), [{ kind: 'disconnect' }, { kind: 'phase', phase: 'stopped' }])
  t.equal(bench.session.wakeAt, undefined)
  bench.advance(10_000)
  bench.send({ kind: 'connection-lost' })
  bench.send({ kind: 'replica', event: event('received', 1) })
  bench.send({ kind: 'stop' })
  t.same(bench.taken(), [])
})

t.test(
  'ReportQueue keeps the newest event of each replica, per storage, and is bounded',
  async (t) => {
    const other = storageUuid('DS-2')
    const queue = new ReportQueue(3)
    t.ok(queue.push(event('deleted', 1)))
    t.notOk(queue.isDue)
    t.ok(queue.push(event('receiving', 1, other)))
    t.ok(queue.push(event('receiving', 2)))
    t.notOk(queue.isDue)
    t.ok(queue.push(event('received', 2)), 'a replacement needs no room')
    t.ok(queue.isDue)
    t.notOk(queue.push(event('received', 3)))
    t.equal(queue.count, 3)
    t.same(queue.take(2), [event('deleted', 1), event('received', 2)])
    t.ok(queue.isDue, 'the rest still waits')
    t.same(queue.take(2), [event('receiving', 1, other)])
    t.notOk(queue.isDue)
    queue.makeDue()
    t.notOk(queue.isDue, 'nothing waits')
  },
)
