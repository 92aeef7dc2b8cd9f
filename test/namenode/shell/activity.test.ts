/** What the namenode remembers of its cluster: samples, events, and the methods that tell them. */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { Ring } from '../../../base/ring.ts'
import { DfsClient } from '../../../client/index.ts'
import { runNamenode } from '../../../namenode/main.ts'
import type { AuditRecord } from '../../../namenode/shell/audit.ts'
import {
  type ClusterLook,
  changesBetween,
  type SeenDatanode,
} from '../../../namenode/shell/cluster-changes.ts'
import { DatanodeTraffic } from '../../../namenode/shell/datanode-traffic.ts'
import {
  auditEventsMax,
  type EventKind,
  type EventLevel,
  EventLog,
  type EventQuery,
} from '../../../namenode/shell/event-log.ts'
import { History, historyPeriodMs, historySpanMs } from '../../../namenode/shell/history.ts'
import { LatencyDigest } from '../../../namenode/shell/latency-digest.ts'
import { datanodeUuid } from '../../../protocol/ids.ts'
import { withSettings } from '../../../protocol/settings.ts'

t.test('a Ring keeps the newest, in both directions', async (t) => {
  const ring = new Ring<number>(3)
  t.same([...ring, ...ring.reversed()], [])
  for (const value of [1, 2]) ring.push(value)
  t.same([...ring], [1, 2])
  for (const value of [3, 4, 5]) ring.push(value)
  t.same([...ring], [3, 4, 5])
  t.same([...ring.reversed()], [5, 4, 3])
  t.equal(ring.length, 3)
  t.throws(() => new Ring(0))
})

t.test('LatencyDigest tells percentiles that are at most an eighth too high', async (t) => {
  const digest = new LatencyDigest()
  t.same(digest.take(), { count: 0, p50Micros: undefined, p99Micros: undefined })
  for (let micros = 1; micros <= 1000; micros += 1) digest.observe(micros / 1e6)
  const { count, p50Micros = 0, p99Micros = 0 } = digest.take()
  t.equal(count, 1000)
  t.ok(p50Micros >= 500 && p50Micros <= 500 * 1.125, `p50 ${p50Micros}`)
  t.ok(p99Micros >= 990 && p99Micros <= 990 * 1.125, `p99 ${p99Micros}`)
  t.equal(digest.take().count, 0, 'each interval is its own')
  for (const micros of [0, 7, 8, 1_000_000, 2 ** 31 - 1]) {
    digest.observe(micros / 1e6)
    const { p50Micros: told = -1 } = digest.take()
    t.ok(told >= micros && told <= Math.max(micros * 1.125, micros), `${micros} is told as ${told}`)
  }
  digest.observe(1e9)
  digest.observe(-1)
  t.same(digest.take(), { count: 2, p50Micros: 0, p99Micros: 2 ** 31 - 1 })
})

t.test('DatanodeTraffic adds up growth, also over restarts of datanodes', async (t) => {
  const traffic = new DatanodeTraffic()
  const [a, b] = [datanodeUuid('a'), datanodeUuid('b')]
  traffic.note(a, { receivedBytes: 1_000, sentBytes: 500 })
  t.same(traffic.totals, { receivedBytes: 0, sentBytes: 0 }, 'what was before counts for nothing')
  traffic.note(a, { receivedBytes: 1_100, sentBytes: 500 })
  traffic.note(b, { receivedBytes: 7, sentBytes: 7 })
  traffic.note(a, { receivedBytes: 30, sentBytes: 40 })
  t.same(traffic.totals, { receivedBytes: 130, sentBytes: 40 })
})

t.test('History takes the growth of each interval, and forgets after an hour', async (t) => {
  let now = 0
  const copies = { done: 5, doneBytes: 50, expired: 0 }
  const calls = new LatencyDigest()
  const traffic = new DatanodeTraffic()
  const stats = {
    ...{ missingBlocks: 1, lastReplicaBlocks: 2, underReplicatedBlocks: 3, used: 4 },
    datanodes: { live: 5, disconnected: 0, stale: 0, dead: 0 },
  }
  const history = new History({
    ...{ calls, traffic, syncs: new LatencyDigest() },
    wall: () => 1_000_000 + now,
    now: () => now,
    stats: () => ({ ...stats, copies }),
  })
  const node = datanodeUuid('a')
  traffic.note(node, { receivedBytes: 0, sentBytes: 0 })
  traffic.note(node, { receivedBytes: 10, sentBytes: 20 })
  calls.observe(0.001)
  Object.assign(copies, { done: 7, doneBytes: 80 })
  now = 4_900
  history.sample()
  history.sample()
  const [first, ...others] = history.after(0)
  t.same(others, [], 'no time, no sample')
  t.match(first, {
    ...{ atMs: 1_004_900, spanMs: 4_900, calls: 1, syncP99Micros: undefined },
    ...{ receivedBytes: 10, sentBytes: 20, copiedBlocks: 2, copiedBytes: 30 },
    ...{ endangeredBlocks: 3, lowRedundancyBlocks: 3, usedBytes: 4, liveDatanodes: 5 },
  })
  now += historyPeriodMs
  history.sample()
  t.match(history.after(1_004_900), [{ calls: 0, callP50Micros: undefined, copiedBlocks: 0 }])
  for (let count = 0; count < 1_000; count += 1) {
    now += historyPeriodMs
    history.sample()
  }
  t.equal(history.after(0).length, historySpanMs / historyPeriodMs)
})

const record: AuditRecord = {
  ...{ isAllowed: true, user: 'ada', realUser: undefined, host: '10.0.0.1', command: 'mkdirs' },
  ...{ source: '/a', target: undefined, permission: undefined, callerContext: undefined },
}
const everything: EventQuery = {
  kinds: new Set<EventKind>(['audit', 'cluster', 'operator']),
  levels: new Set<EventLevel>(['info', 'warning', 'danger']),
  ...{ after: 0, before: Number.MAX_SAFE_INTEGER, words: [], limit: 100 },
}

t.test('EventLog', async (t) => {
  t.test('lists both kinds in order, newest first, page by page', async (t) => {
    const log = new EventLog(() => 1_000)
    log.add({ kind: 'cluster', level: 'info', text: 'one' })
    log.audited(record)
    log.add({ kind: 'operator', level: 'info', text: 'three', user: 'bob' })
    log.audited({ ...record, isAllowed: false, realUser: 'proxy', command: 'rename', target: '/b' })
    const { events, hasMore } = log.list(everything)
    t.same(
      events.map(({ kind, level, text, user }) => [kind, level, text, user]),
      [
        ['audit', 'warning', 'denied: rename /a → /b from 10.0.0.1 through proxy', 'ada'],
        ['operator', 'info', 'three', 'bob'],
        ['audit', 'info', 'mkdirs /a from 10.0.0.1', 'ada'],
        ['cluster', 'info', 'one', undefined],
      ],
    )
    t.equal(hasMore, false)
    const first = log.list({ ...everything, limit: 3 })
    t.equal(first.hasMore, true)
    const before = first.events.at(-1)?.id ?? 0
    t.match(log.list({ ...everything, before }).events, [{ text: 'one' }])
    t.same(log.list({ ...everything, after: log.newest }).events, [])
    t.match(log.list({ ...everything, after: log.newest - 1 }).events, [{ level: 'warning' }])
  })

  t.test('filters by kind, level and words', async (t) => {
    const log = new EventLog(() => 1_000)
    log.add({ kind: 'cluster', level: 'danger', text: 'Datanode a:1 is dead' })
    log.audited(record)
    const texts = (query: Partial<EventQuery>): string[] =>
      log.list({ ...everything, ...query }).events.map(({ text }) => text)
    t.same(texts({ kinds: new Set(['audit']) }), ['mkdirs /a from 10.0.0.1'])
    t.same(texts({ levels: new Set(['danger']) }), ['Datanode a:1 is dead'])
    t.same(texts({ words: ['dead', 'datanode'] }), ['Datanode a:1 is dead'])
    t.same(texts({ words: ['ada'] }), ['mkdirs /a from 10.0.0.1'])
    t.same(texts({ words: ['nothing'] }), [])
  })

  t.test(
    'audit lines do not push out what happened to the cluster; ids outlive a restart',
    async (t) => {
      const log = new EventLog(() => 1_000)
      log.add({ kind: 'cluster', level: 'danger', text: 'a datanode died' })
      for (let count = 0; count < auditEventsMax + 5; count += 1) log.audited(record)
      t.match(log.list({ ...everything, kinds: new Set(['cluster']) }).events, [
        { level: 'danger' },
      ])
      const limit = 100_000
      t.equal(log.list({ ...everything, limit }).events.length, auditEventsMax + 1)
      t.ok(new EventLog(() => 1_000 + 60_000).newest > log.newest)
    },
  )
})

const node: SeenDatanode = {
  ...{ name: 'a:1', liveness: 'live', adminState: 'normal', isSteady: true },
  ...{ disks: 3, failedDisks: 0 },
}
const look: ClusterLook = {
  ...{ datanodes: new Map([['u', node]]), safeMode: 'off', isRepairPaused: false },
  ...{ isLowOnSpace: false, missingBlocks: 0, corruptBlocks: 0 },
}

t.test('changesBetween() says what is different, and nothing else', async (t) => {
  t.same(changesBetween(look, look), [])
  const told = (change: Partial<ClusterLook>, before = look): string[] =>
    changesBetween(before, { ...before, ...change }).map(({ level, text }) => `${level}: ${text}`)
  const seen = (change: Partial<SeenDatanode>): string[] =>
    told({ datanodes: new Map([['u', { ...node, ...change }]]) })
  t.same(seen({ liveness: 'dead' }), [
    'danger: Datanode a:1 is dead: what it held is copied from the others',
  ])
  t.same(seen({ liveness: 'stale' }), ['warning: Datanode a:1 is not heard of'])
  t.same(seen({ liveness: 'disconnected' }), ['warning: Datanode a:1 lost its connection'])
  t.same(seen({ adminState: 'decommissioned' }), ['info: Datanode a:1 is drained'])
  t.same(seen({ isSteady: false }), ['warning: Datanode a:1 comes and goes'])
  t.same(seen({ failedDisks: 1 }), ['warning: Datanode a:1 has 1 of 3 disks failed'])
  const two = new Map([...look.datanodes, ['v', { ...node, name: 'b:1' }] as const])
  t.same(told({ datanodes: two }), ['info: Datanode b:1 joined'])
  t.match(told({ isRepairPaused: true }), [/^danger: Repair waits/])
  t.match(told({ safeMode: 'manual' }), [/^warning: Safe mode began/])
  t.match(told({ isLowOnSpace: true }), [/^danger: The disk/])
  t.match(told({ missingBlocks: 1 }), [/^danger: 1 block cannot be read/])
  t.match(told({ corruptBlocks: 2 }), ['warning: 2 blocks with a corrupt replica'])
  const ill = { ...look, isRepairPaused: true, isLowOnSpace: true, missingBlocks: 2 }
  t.same(told(look, { ...ill, safeMode: 'manual', corruptBlocks: 1 }), [
    'info: Repair goes on',
    'info: Safe mode ended',
    'info: The disk of the namenode has room again',
    'info: Every block can be read again',
  ])
})

t.test('a namenode tells its history, repair and events', async (t) => {
  const closers: (() => Promise<void>)[] = []
  t.teardown(async () => {
    for (const close of closers) await close()
  })
  const settings = withSettings({ 'dfs.namenode.rpc-port': 0, 'dfs.namenode.http-port': 0 })
  const namenode = await runNamenode(settings, { directory: t.testdir(), logger: silentLogger })
  const connect = (user?: string): DfsClient => {
    const client = new DfsClient({ uri: `hdfs://${namenode.addresses['rpc'] ?? ''}`, user })
    closers.unshift(() => client.close())
    return client
  }
  closers.push(() => namenode.stop())
  const client = connect()
  const { operator } = client
  const stranger = connect('stranger')

  t.test(
    'events: what clients did is for superusers, what operators did for everybody',
    async (t) => {
      await client.mkdir('/seen')
      await t.rejects(stranger.mkdir('/seen/not'), { code: 'EACCES' })
      await operator.setBalance({ isEnabled: true, thresholdPercent: 5 })
      const { events, newest, isWithoutAudit } = await operator.events({ limit: 10 })
      t.match(events, [
        { kind: 'OPERATOR', level: 'INFO', text: 'Balancing is on, within 5 %', user: client.user },
        { kind: 'AUDIT', level: 'WARNING', text: /^denied: mkdirs \/seen\/not/, user: 'stranger' },
        { kind: 'AUDIT', level: 'INFO', text: /^mkdirs \/seen / },
        { kind: 'CLUSTER', text: 'The namenode started' },
      ])
      t.equal(events[0]?.id, newest)
      t.equal(isWithoutAudit, false)
      const seen = await stranger.operator.events({ limit: 10 })
      t.same(
        seen.events.map(({ kind }) => kind),
        ['OPERATOR', 'CLUSTER'],
      )
      t.equal(seen.isWithoutAudit, true)
      t.equal(
        (await stranger.operator.events({ limit: 10, kinds: ['CLUSTER'] })).isWithoutAudit,
        false,
      )
      const denied = await operator.events({
        levels: ['WARNING', 'DANGER'],
        text: ' DENIED ',
        limit: 9,
      })
      t.equal(denied.events.length, 1)
      t.equal((await operator.events({ after: newest, limit: 9 })).events.length, 0)
      t.match(await operator.events({ limit: 1 }), { hasMore: true, events: { length: 1 } })
    },
  )

  t.test('changes of the cluster become events within a second', async (t) => {
    await client.safeMode('enter')
    const { newest } = await operator.events({ limit: 0 })
    const found = async (): Promise<boolean> =>
      (await operator.events({ kinds: ['CLUSTER'], text: 'safe mode began', limit: 1 })).events
        .length === 1
    while (!(await found())) await delay(50)
    t.ok(newest > 0)
    await client.safeMode('leave')
  })

  t.test('history: samples with calls, and only those asked for', async (t) => {
    let report = await operator.history()
    while (report.samples.length === 0) {
      await delay(100)
      report = await operator.history()
    }
    t.match(report, { periodMs: historyPeriodMs, spanMs: historySpanMs })
    const [first] = report.samples
    t.ok((first?.calls ?? 0) > 0 && (first?.callP99Micros ?? 0) > 0)
    t.ok((first?.syncP99Micros ?? 0) > 0)
    t.equal((await operator.history(first?.atMs)).samples.length, report.samples.length - 1)
  })

  t.test('repair: every queue, and no copies of nothing', async (t) => {
    const { queues, copies, copiesUnderWay } = await stranger.operator.repairState(10)
    t.same(queues[0], { danger: 'last-replica', blocks: 0 })
    t.equal(queues.length, 7)
    t.same([copies, copiesUnderWay], [[], 0])
  })
})
