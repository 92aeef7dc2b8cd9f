/** The API of the page, over a real cluster and real HTTP. */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { healthOf } from '../../../client/gateway/api/health.ts'
import type { Observation } from '../../../client/gateway/api/observe.ts'
import type {
  BalanceView,
  FileMapView,
  HistoryView,
  LogView,
  NodeDetailView,
  NodesEvent,
  NodeView,
  OverviewView,
  SampleView,
  TrashView,
} from '../../../client/gateway/api/views.ts'
import { ClusterWatch } from '../../../client/gateway/api/watch.ts'
import { runGateway } from '../../../client/gateway/main.ts'
import { TokenStore } from '../../../client/gateway/tokens.ts'
import { startCluster } from '../../support/cluster.ts'

const well: Omit<OverviewView, 'health'> = {
  cluster: 'hdfs://example:8020',
  user: 'ada',
  space: { capacity: 100, used: 10, remaining: 90 },
  nodes: { live: 3, stale: 0, dead: 0, outOfService: 0 },
  blocks: { missing: 0, corrupt: 0, lowRedundancy: 0, lastReplica: 0, pendingDeletion: 0 },
  repair: { isPaused: false, pausedAtMs: null, lost: [] },
  isSafeMode: false,
}

t.test('healthOf() says the most serious thing first and everything else after it', async (t) => {
  t.match(healthOf(well), { level: 'good', sentence: /3 datanodes live/, details: [] })
  const oneDead = { ...well, nodes: { ...well.nodes, live: 2, dead: 1 } }
  t.match(healthOf(oneDead), { level: 'warning', sentence: '1 datanode dead.' })
  const lost = { ...oneDead, blocks: { ...well.blocks, missing: 2, lastReplica: 1 } }
  const health = healthOf(lost)
  t.equal(health.level, 'danger')
  t.match(health.sentence, /^2 blocks cannot be read/)
  t.match(health.details, [/^1 block hang/, '1 datanode dead.'])
  t.match(healthOf({ ...well, isSafeMode: true }), { level: 'warning', sentence: /^Safe mode/ })
  const full = { ...well, space: { capacity: 100, used: 95, remaining: 5 } }
  t.match(healthOf(full), { level: 'warning', sentence: 'The cluster is 95 % full.' })
  const paused = {
    ...well,
    repair: { isPaused: true, pausedAtMs: 1, lost: [{ name: 'a:1', lostAtMs: 1 }] },
  }
  t.match(healthOf(paused), { level: 'danger', sentence: /^Repair waits/ })
  const none = { ...well, nodes: { live: 0, stale: 3, dead: 0, outOfService: 0 } }
  t.match(healthOf(none), { level: 'danger', sentence: /^No datanode is live/ })
  const doubtful = { ...well, blocks: { ...well.blocks, corrupt: 1, lowRedundancy: 1 } }
  t.equal(healthOf(doubtful).level, 'warning')
})

const node: NodeView = {
  ...{ uuid: 'u1', name: 'a:1', rack: '/r', liveness: 'live', adminState: 'normal' },
  ...{ isUnsteady: false, capacity: 1, used: 0, remaining: 1, replicas: 0, activeTransfers: 0 },
  ...{ disks: 1, failedDisks: 0, lastHeartbeatMs: 1_000, softwareVersion: '1' },
  ...{ expiresAtMs: null, drain: null, obstacle: null, unverifiedHours: null },
}
const overview: OverviewView = { ...well, health: healthOf(well) }

const sample: SampleView = {
  ...{ atMs: 1_000, spanMs: 5_000, calls: 1, callP50Micros: 1, callP99Micros: 1 },
  ...{ syncP99Micros: null, receivedBytes: 0, sentBytes: 0, copiedBlocks: 0, copiedBytes: 0 },
  ...{ endangeredBlocks: 0, lowRedundancyBlocks: 0, usedBytes: 0, liveDatanodes: 1 },
}
const history = { isWhole: true, periodMs: 5_000, spanMs: 3_600_000, samples: [sample] }
const observation: Observation = {
  ...{ overview, nodes: [node], balance: null, work: null, history, newestEvent: 7 },
}
const noNews = { ...history, isWhole: false, samples: [] }

/** What a watch tells of these observations, until they end. */
async function told(answers: readonly Partial<Observation>[]): Promise<{
  readonly seen: { readonly name: string; readonly data: Record<string, unknown> }[]
  readonly askedAfterMs: number[]
  readonly watch: ClusterWatch
  readonly snapshots: string[][]
}> {
  const askedAfterMs: number[] = []
  const snapshots: string[][] = []
  const watch = new ClusterWatch({
    observe: (afterMs) => {
      const answer = answers[askedAfterMs.length]
      askedAfterMs.push(afterMs)
      if (answer === undefined) return Promise.reject(new Error('nobody there'))
      return Promise.resolve({ ...observation, ...answer })
    },
    periodMs: 1,
  })
  const seen: { name: string; data: Record<string, unknown> }[] = []
  await new Promise<void>((resolve) => {
    const stop = watch.subscribe((events) => {
      for (const { name, text } of events) {
        seen.push({ name, data: JSON.parse(text) as Record<string, unknown> })
      }
      snapshots.push(watch.snapshot().map(({ name, text }) => `${name} ${text}`))
      if (!events.some(({ name }) => name === 'trouble')) return
      stop()
      resolve()
    })
  })
  return { seen, askedAfterMs, watch, snapshots }
}

t.test('a watch tells what changed, and asks only while somebody listens', async (t) => {
  const { seen, askedAfterMs, watch } = await told([
    {},
    { nodes: [{ ...node, lastHeartbeatMs: 4_000 }], history: noNews },
    { nodes: [{ ...node, lastHeartbeatMs: 14_000 }], history: noNews },
    { nodes: [{ ...node, lastHeartbeatMs: 14_000, replicas: 5 }], history: noNews },
    { nodes: [], history: noNews },
  ])
  const news = seen.filter(({ name }) => !['balance', 'work', 'log', 'history'].includes(name))
  t.match(news, [
    { name: 'overview' },
    { name: 'nodes', data: { isWhole: true, nodes: [{ uuid: 'u1' }] } },
    { name: 'nodes', data: { isWhole: false, nodes: [{ lastHeartbeatMs: 14_000, replicas: 0 }] } },
    { name: 'nodes', data: { nodes: [{ replicas: 5 }] } },
    { name: 'nodes', data: { nodes: [], removed: ['u1'] } },
    { name: 'trouble', data: { message: 'nobody there' } },
  ])
  t.equal(news.length, 6, 'the second heartbeat was no news')
  const askedThen = askedAfterMs.length
  await delay(20)
  t.equal(askedAfterMs.length, askedThen, 'without listeners the namenode is left alone')
  t.same(watch.snapshot(), [])
})

t.test('a watch tells jobs, the log and new samples when there are any', async (t) => {
  const balance = { isEnabled: true } as BalanceView
  const late = { ...sample, atMs: 3_605_000 }
  const { seen, askedAfterMs, snapshots } = await told([
    {},
    { history: noNews },
    { history: noNews, balance, newestEvent: 8 },
    { history: { ...noNews, samples: [late] }, balance, newestEvent: 8 },
  ])
  const news = seen.filter(({ name }) => !['overview', 'nodes', 'trouble'].includes(name))
  t.match(news, [
    { name: 'balance', data: null },
    { name: 'work', data: null },
    { name: 'log', data: { newest: 7 } },
    { name: 'history', data: { isWhole: true, samples: [{ atMs: 1_000 }] } },
    { name: 'balance', data: { isEnabled: true } },
    { name: 'log', data: { newest: 8 } },
    { name: 'history', data: { isWhole: false, samples: [{ atMs: 3_605_000 }] } },
  ])
  t.equal(news.length, 7)
  t.same(askedAfterMs, [0, 1_000, 1_000, 1_000, 3_605_000])
  const last = snapshots.at(-2)?.find((text) => text.startsWith('history')) ?? ''
  t.match(last, /"isWhole":true,.*"samples":\[\{"atMs":3605000/, 'what is an hour old is gone')
})

/** Reads events of a stream until `isEnough`. */
async function readEvents(
  url: string,
  isEnough: (name: string, data: unknown) => boolean,
): Promise<void> {
  const response = await fetch(url)
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString()
    const events = text.split('\n\n')
    text = events.pop() ?? ''
    for (const event of events) {
      const [, name = '', data = ''] = /^event: (.*)\ndata: (.*)$/.exec(event) ?? []
      if (name !== '' && isEnough(name, JSON.parse(data))) return
    }
  }
  throw new Error('the stream ended')
}

t.test('the API of a real cluster', async (t) => {
  const cluster = await startCluster({ datanodes: 3 })
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await gateway.stop()
    await cluster.stop()
  })
  const site = `http://127.0.0.1:${gateway.port}`
  const api = `${site}/api/v1`
  const get = async <T>(path: string): Promise<T> => (await fetch(`${api}${path}`)).json() as T
  const post = (path: string, body: unknown = {}): Promise<Response> =>
    fetch(`${api}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })

  t.test('GET /overview and /nodes', async (t) => {
    t.match(await get<OverviewView>('/overview'), {
      cluster: cluster.uri,
      user: cluster.user,
      health: { level: 'good' },
      nodes: { live: 3, stale: 0, dead: 0, outOfService: 0 },
      repair: { isPaused: false },
    })
    const { nodes } = await get<{ nodes: NodeView[] }>('/nodes')
    t.equal(nodes.length, 3)
    t.match(nodes[0], { liveness: 'live', adminState: 'normal', disks: 1, failedDisks: 0 })
    t.ok((nodes[0]?.capacity ?? 0) > 0)
  })

  t.test('a datanode is drained, maintained and resumed', async (t) => {
    const { nodes } = await get<{ nodes: NodeView[] }>('/nodes')
    const at = `/nodes/${nodes[0]?.uuid ?? ''}`
    const drained = await post(`${at}/drain`)
    t.equal(drained.status, 200)
    t.match(((await drained.json()) as NodeDetailView).adminState, /^drain/)
    await readEvents(`${api}/events`, (name, data) => {
      return name === 'overview' && (data as OverviewView).nodes.outOfService === 1
    })
    t.match(await (await post(`${at}/resume`)).json(), { adminState: 'normal', blocksLeft: [] })
    const maintained = await post(`${at}/maintain`, { durationMs: 3_600_000 })
    const view = (await maintained.json()) as NodeDetailView
    t.match(view.adminState, /maintenance$/)
    t.ok((view.expiresAtMs ?? 0) > Date.now(), 'it ends by itself')
    t.match(await get(at), { adminState: /maintenance$/ })
    await post(`${at}/resume`)
  })

  t.test('the event stream tells of a change without being asked', async (t) => {
    let uuid = ''
    await readEvents(`${api}/events`, (name, data) => {
      if (name !== 'nodes') return false
      const { isWhole, nodes } = data as NodesEvent
      if (isWhole) {
        uuid = nodes[1]?.uuid ?? ''
        void post(`/nodes/${uuid}/drain`)
      }
      return nodes.some((changed) => changed.uuid === uuid && changed.adminState !== 'normal')
    })
    t.equal((await post(`/nodes/${uuid}/resume`)).status, 200)
  })

  t.test('mistakes get a status, a code and a message', async (t) => {
    const unknown = await post('/nodes/no-such-node/drain')
    t.ok(unknown.status >= 400 && unknown.status < 500)
    t.match(await unknown.json(), { error: { message: /no-such-node/ } })
    const { nodes } = await get<{ nodes: NodeView[] }>('/nodes')
    const bad = await post(`/nodes/${nodes[0]?.uuid ?? ''}/maintain`, { durationMs: -1 })
    t.equal(bad.status, 400)
    t.match(await bad.json(), { error: { code: 'INVALID_ARGUMENT', message: /durationMs/ } })
    const nothing = await fetch(`${api}/nothing`)
    t.equal(nothing.status, 404)
    t.match(await nothing.json(), { error: { message: /There is no GET/ } })
    const garbled = await fetch(`${api}/nodes/x/drain`, {
      method: 'POST',
      body: '{"',
      headers: { 'content-type': 'application/json' },
    })
    t.equal(garbled.status, 400)
    const foreign = await fetch(`${api}/repair/resume`, {
      method: 'POST',
      headers: { origin: 'http://elsewhere.example' },
    })
    t.equal(foreign.status, 403)
    t.match(await (await post('/repair/resume')).json(), { isPaused: false })
    t.match(await get('/repair'), { isPaused: false, lost: [] })
  })

  t.test('balancing is started, planned and stopped', async (t) => {
    const started = await post('/jobs/balance', { isEnabled: true, thresholdPercent: 5 })
    t.match(await started.json(), { isEnabled: true, thresholdPercent: 5, flows: [] })
    t.match(await get<BalanceView>('/jobs/balance?thresholdPercent=2'), { thresholdPercent: 2 })
    const rate = await post('/jobs/balance', { isEnabled: false, bytesPerSecond: 1_000_000 })
    t.match(await rate.json(), { isEnabled: false, thresholdPercent: 5, bytesPerSecond: 1_000_000 })
    for (const bad of [
      { isEnabled: 'yes' },
      { thresholdPercent: 0 },
      { thresholdPercent: 1.5 },
      { bytesPerSecond: 0 },
      { bytesPerSecond: -1 },
      { speed: 7 },
    ]) {
      const refused = await post('/jobs/balance', bad)
      t.equal(refused.status, 400, JSON.stringify(bad))
    }
    t.equal((await fetch(`${api}/jobs/balance?thresholdPercent=x`)).status, 400)
  })

  t.test('what happened is listed, filtered and told to the stream', async (t) => {
    const { entries, newest } = await get<LogView>('/log?kind=operator&text=balancing')
    t.match(entries[0], { kind: 'operator', level: 'info', text: /^Balancing is off/ })
    t.equal(entries[0]?.user, cluster.user)
    const audit = await get<LogView>('/log?kind=audit&kind=cluster&level=info&limit=1')
    t.equal(audit.entries.length, 1)
    t.same((await get<LogView>(`/log?after=${newest}&limit=0`)).entries, [])
    await readEvents(`${api}/events`, (name, data) => {
      return name === 'log' && (data as { newest: number }).newest >= newest
    })
    for (const bad of ['kind=x', 'level=INFO', 'kind=toString', 'limit=-1', 'text=a&text=b']) {
      t.equal((await fetch(`${api}/log?${bad}`)).status, 400, bad)
    }
  })

  t.test('the last hour is told in samples', async (t) => {
    let history = await get<HistoryView>('/history')
    while (history.samples.length === 0) {
      await delay(100)
      history = await get<HistoryView>('/history')
    }
    t.match(history, { isWhole: true, periodMs: 5_000, spanMs: 3_600_000 })
    t.ok((history.samples[0]?.calls ?? 0) > 0)
    t.equal(history.samples[0]?.liveDatanodes, 3)
    const last = history.samples.at(-1)?.atMs ?? 0
    t.equal((await get<HistoryView>(`/history?afterMs=${last + 60_000}`)).samples.length, 0)
    const { work } = await get<{ work: { queues: unknown[]; copies: unknown[] } }>('/repair')
    t.equal(work.queues.length, 7)
  })

  t.test('a file is drawn block by block, deleted and restored', async (t) => {
    const client = cluster.client()
    await client.mkdir('/drawn')
    await client.writeFile('/drawn/file.bin', Buffer.alloc(3 * 2 ** 20), {
      ...{ blockSize: 2 ** 20, replication: 2 },
    })
    const map = await get<FileMapView>('/blocks?path=/drawn/file.bin')
    t.match(map, { size: 3 * 2 ** 20, replication: 2, total: 3 })
    t.same(
      map.blocks.map(({ offset, length, holders }) => [offset, length, holders.length]),
      [0, 1, 2].map((index) => [index * 2 ** 20, 2 ** 20, 2]),
    )
    const gone = await fetch(`${site}/files/drawn/file.bin`, { method: 'DELETE' })
    t.equal(gone.status, 200)
    const { entries } = await get<TrashView>('/trash')
    t.match(entries, [{ originalPath: '/drawn/file.bin', checkpoint: 'Current', type: 'file' }])
    const { originalPath: path, checkpoint: from } = entries[0] ?? {}
    t.same(await (await post('/trash/restore', { path, from })).json(), { restored: [path] })
    t.ok(await client.exists('/drawn/file.bin'))
    t.same((await get<TrashView>('/trash')).entries, [])
    const again = await post('/trash/restore', { path, from })
    t.equal(again.status, 404)
    t.equal((await post('/trash/restore', { path, from: 7 })).status, 400)
    for (const bad of ['drawn', '/', '/a/../b', '/a//b']) {
      t.equal((await post('/trash/restore', { path: bad })).status, 400, bad)
      t.equal((await fetch(`${api}/blocks?path=${bad}`)).status, 400, bad)
    }
    t.equal((await fetch(`${api}/blocks?path=/drawn`)).status, 409)
    t.equal((await fetch(`${api}/blocks?path=/none`)).status, 404)
    await client.close()
  })

  t.test('too many followers are turned away', async (t) => {
    const abort = new AbortController()
    const streams = await Promise.all(
      Array.from({ length: 100 }, () => fetch(`${api}/events`, { signal: abort.signal })),
    )
    t.ok(streams.every(({ status }) => status === 200))
    const refused = await fetch(`${api}/events`)
    t.equal(refused.status, 503)
    t.equal(refused.headers.get('retry-after'), '10')
    abort.abort()
    await Promise.all(streams.map((stream) => stream.text().catch(() => undefined)))
  })

  t.test('a token of a part of the tree shows that part alone', async (t) => {
    const client = cluster.client()
    await client.mkdir('/part')
    await client.writeFile('/part/mine', 'mine')
    await client.writeFile('/other', 'not mine')
    const { text } = await new TokenStore(client).create({
      user: cluster.user,
      paths: ['/part'],
      right: 'write',
      expiresAtMs: Date.now() + 60_000,
    })
    await client.close()
    const status = async (path: string): Promise<number> => {
      const headers = { authorization: `Bearer ${text}` }
      const response = await fetch(`${api}${path}`, { headers })
      await response.body?.cancel()
      return response.status
    }
    // The gateway learns of the first token a moment later; until then it is refused.
    while ((await status('/blocks?path=/part/mine')) !== 200) await delay(50)
    t.equal(await status('/blocks?path=/other'), 403)
    t.equal(await status('/trash'), 200)
    for (const path of [
      '/overview',
      '/nodes',
      '/repair',
      '/events',
      '/jobs/balance',
      '/history',
      '/log',
    ]) {
      t.equal(await status(path), 403, path)
      t.equal((await fetch(`${api}${path}`)).status, 401, `${path} without a token`)
    }
  })

  t.test('the page is served under a strict policy, its assets for a year', async (t) => {
    const page = await fetch(`${site}/`)
    t.equal(page.status, 200)
    const policy = page.headers.get('content-security-policy') ?? ''
    t.match(policy, /default-src 'none'/)
    t.notMatch(policy, /unsafe/)
    t.equal(page.headers.get('cache-control'), 'no-cache')
    const html = await page.text()
    t.notMatch(html, /<script(?![^>]*\bsrc=)/, 'no script is inline')
    const [asset = ''] = /\/assets\/[^"]+\.js/.exec(html) ?? []
    const script = await fetch(`${site}${asset}`)
    t.equal(script.status, 200)
    t.match(script.headers.get('cache-control'), /max-age=31536000, immutable/)
    t.equal((await fetch(`${site}/assets/none.js`)).status, 404)
  })
})
