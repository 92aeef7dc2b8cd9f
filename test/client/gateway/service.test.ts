/** The gateway as a service: health, other origins, senders that trickle, and a stop that lets transfers finish. */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { originsOf } from '../../../client/gateway/cross-origin.ts'
import {
  type GatewayOptions,
  type RunningGateway,
  runGateway,
} from '../../../client/gateway/main.ts'
import { startCluster } from '../../support/cluster.ts'

const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
const client = cluster.client()
t.teardown(async () => {
  await client.close()
  await cluster.stop()
})

async function start(t: Test, options: Partial<GatewayOptions> = {}): Promise<RunningGateway> {
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0, ...options })
  t.teardown(() => gateway.stop())
  return gateway
}

/** A connection, what has come back on it so far, and its end. */
function open(port: number): { socket: Socket; answer: () => string; closed: Promise<unknown> } {
  let answer = ''
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.on('data', (part) => {
    answer += part.toString()
  })
  const closed = new Promise<unknown>((resolve) => socket.once('close', resolve))
  return { socket, answer: () => answer, closed }
}

const put = (path: string, length: number): string =>
  `PUT /files${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n`

t.test('/healthz and /readyz say whether it runs and whether it can serve', async (t) => {
  const gateway = await start(t)
  const base = `http://127.0.0.1:${gateway.port}`
  const health = await fetch(`${base}/healthz`)
  t.equal(health.status, 200)
  t.same(await health.json(), { status: 'ok', checks: { 'event-loop': 'ok' }, reasons: [] })
  const ready = await fetch(`${base}/readyz`)
  t.equal(ready.status, 200)
  t.match(await ready.json(), { checks: { serving: 'ok', namenode: 'ok', tokens: 'ok' } })
  process.kill(cluster.pid('namenode') ?? 0, 'SIGSTOP')
  await sleep(1_100)
  const away = await fetch(`${base}/readyz`)
  process.kill(cluster.pid('namenode') ?? 0, 'SIGCONT')
  t.equal(away.status, 503)
  t.match(await away.json(), {
    status: 'failed',
    checks: { namenode: 'failed' },
    reasons: [/The namenode hdfs:.* did not answer within 2000 ms/],
  })
  t.equal((await fetch(`${base}/healthz`)).status, 200, 'that is no reason to restart it')
  await sleep(1_100)
  t.equal((await fetch(`${base}/readyz`)).status, 200)
})

t.test('pages of other origins get in only when they are named', async (t) => {
  const app = 'https://app.example:8443'
  const gateway = await start(t, { corsOrigins: [app] })
  const closed = await start(t)
  const ask = (
    { port }: RunningGateway,
    method: string,
    origin: string,
    more: Record<string, string> = {},
  ): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}/files/cors`, { method, headers: { origin, ...more } })
  const preflight = { 'access-control-request-method': 'PATCH' }
  const asked = await ask(gateway, 'OPTIONS', app, preflight)
  t.equal(asked.status, 204)
  t.equal(asked.headers.get('access-control-allow-origin'), app)
  t.match(asked.headers.get('access-control-allow-methods'), /PATCH/)
  t.match(asked.headers.get('access-control-allow-headers'), /Authorization.*Upload-Offset/)
  t.match(asked.headers.get('vary'), /Origin/)
  t.notOk(asked.headers.has('access-control-allow-credentials'))
  const made = await ask(gateway, 'PUT', app)
  t.equal(made.status, 201)
  t.match(made.headers.get('access-control-expose-headers'), /Location.*Upload-Offset/)
  const tus = { 'tus-resumable': '1.0.0', 'upload-length': '3', 'upload-metadata': 'filename YQ==' }
  const upload = await fetch(`http://127.0.0.1:${gateway.port}/files/tus`, {
    ...{ method: 'POST', headers: { origin: app, ...tus } },
  })
  t.equal(upload.status, 201)
  t.equal(upload.headers.get('access-control-allow-origin'), app)
  for (const [server, origin] of [
    [gateway, 'https://app.example'],
    [gateway, 'null'],
    [closed, app],
  ] as const) {
    for (const method of ['OPTIONS', 'GET', 'PUT', 'POST', 'DELETE', 'PATCH']) {
      const answer = await ask(server, method, origin, preflight)
      t.notOk(answer.headers.has('access-control-allow-origin'), `${method} of ${origin}`)
      if (!['OPTIONS', 'GET'].includes(method)) t.equal(answer.status, 403, method)
    }
  }
  t.equal((await ask(closed, 'PUT', `http://127.0.0.1:${closed.port}`)).status, 204, 'its own page')
  t.same(originsOf(' https://a.example ,http://localhost:3000,'), [
    'https://a.example',
    'http://localhost:3000',
  ])
  for (const wrong of ['*', 'a.example', 'https://a.example/', 'https://a.example/x', 'ftp://a']) {
    t.throws(() => originsOf(wrong), /need an origin/, wrong)
  }
})

t.test('senders that trickle are cut off, those that wait for the cluster are not', async (t) => {
  const bodyRate = { bytesPerSecond: 100, windowMs: 1_000 }
  const gateway = await start(t, { bodyRate })
  const slow = open(gateway.port)
  slow.socket.write(`${put('/rate/slow', 1_000_000)}\r\n`)
  const trickle = setInterval(() => slow.socket.write('x'), 100)
  await slow.closed
  clearInterval(trickle)
  t.match(slow.answer(), /^HTTP\/1.1 408 .*fewer than 100 bytes a second for 1 s/s)
  t.notOk(await client.exists('/rate/slow'))
  const steady = open(gateway.port)
  steady.socket.write(`${put('/rate/steady', 600)}Connection: close\r\n\r\n`)
  for (let sent = 0; sent < 600; sent += 20) {
    steady.socket.write('y'.repeat(20))
    await sleep(90)
  }
  await steady.closed
  t.match(steady.answer(), /^HTTP\/1.1 201 /)
  const held = open(gateway.port)
  const bytes = 40 * 2 ** 20
  process.kill(cluster.pid('datanode-1') ?? 0, 'SIGSTOP')
  held.socket.write(`${put('/rate/held', bytes)}Connection: close\r\n\r\n`)
  held.socket.write(Buffer.alloc(bytes, 'z'))
  await sleep(3_000)
  process.kill(cluster.pid('datanode-1') ?? 0, 'SIGCONT')
  await held.closed
  t.match(held.answer(), /^HTTP\/1.1 201 /, 'it was the cluster that was slow')
  t.equal((await client.stat('/rate/held')).size, bytes)
})

t.test('a stop lets transfers finish, for as long as it is told', async (t) => {
  const gateway = await start(t, { drainMs: 10_000 })
  const upload = open(gateway.port)
  upload.socket.write(`${put('/stop/finished', 10)}\r\n01234`)
  const idle = open(gateway.port)
  while (!(await client.exists('/stop'))) await sleep(20)
  let isStopped = false
  const stopped = gateway.stop().then(() => {
    isStopped = true
  })
  await sleep(300)
  t.equal(isStopped, false, 'it waits')
  const late = open(gateway.port)
  await late.closed
  t.equal(late.answer(), '', 'nobody new is taken')
  upload.socket.write('56789')
  await stopped
  await Promise.all([upload.closed, idle.closed])
  t.match(upload.answer(), /^HTTP\/1.1 201 /)
  t.equal(await client.readFile('/stop/finished', 'utf8'), '0123456789')

  const hasty = await start(t, { drainMs: 200 })
  const cut = open(hasty.port)
  cut.socket.write(`${put('/stop/cut', 10)}\r\n01234`)
  const temporary = async (): Promise<boolean> => (await client.readdir('/stop')).length > 1
  while (!(await temporary())) await sleep(20)
  const startedAt = performance.now()
  await hasty.stop()
  t.ok(performance.now() - startedAt < 5_000)
  await cut.closed
  t.equal(cut.answer(), '')
  t.same(await client.readdir('/stop'), ['finished'], 'nothing is left')
})
