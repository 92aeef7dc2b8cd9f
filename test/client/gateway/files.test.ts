/** The `/files` face of the gateway, over a real cluster and real HTTP. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { runGateway } from '../../../client/gateway/main.ts'
import { parseRange } from '../../../client/gateway/range.ts'
import { startCluster } from '../../support/cluster.ts'

t.test('parseRange() reads one range and refuses what the file does not have', (t) => {
  t.same(parseRange('bytes=0-9', 100), { start: 0, end: 9 })
  t.same(parseRange('bytes=90-', 100), { start: 90, end: 99 })
  t.same(parseRange('bytes=-5', 100), { start: 95, end: 99 })
  t.same(parseRange('bytes=-500', 100), { start: 0, end: 99 })
  t.same(parseRange('bytes=50-500', 100), { start: 50, end: 99 })
  t.equal(parseRange('bytes=100-', 100), 'unsatisfiable')
  t.equal(parseRange('bytes=9-3', 100), undefined)
  t.equal(parseRange('bytes=0-', 0), 'unsatisfiable')
  t.equal(parseRange('bytes=0-1,5-6', 100), undefined, 'several ranges get the whole file')
  t.equal(parseRange('lines=0-1', 100), undefined)
  t.equal(parseRange(undefined, 100), undefined)
  t.end()
})

t.test('files travel through HTTP in both directions', async (t) => {
  const cluster = await startCluster({ datanodes: 3 })
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await gateway.stop()
    await cluster.stop()
  })
  const base = `http://127.0.0.1:${gateway.port}/files`

  t.test('PUT stores a body and GET returns it, whole or in part', async (t) => {
    const body = Buffer.alloc(3 * 2 ** 20 + 5, 'abcdefg')
    const put = await fetch(`${base}/g/name with spaces.bin`, { method: 'PUT', body })
    t.equal(put.status, 201)
    const got = await fetch(`${base}/g/name with spaces.bin`)
    t.ok(Buffer.from(await got.arrayBuffer()).equals(body))
    const part = await fetch(`${base}/g/name with spaces.bin`, {
      headers: { range: 'bytes=1000-1999' },
    })
    t.equal(part.status, 206)
    t.equal(part.headers.get('content-range'), `bytes 1000-1999/${body.length}`)
    t.ok(Buffer.from(await part.arrayBuffer()).equals(body.subarray(1000, 2000)))
    const beyond = await fetch(`${base}/g/name with spaces.bin`, {
      headers: { range: 'bytes=99999999-' },
    })
    t.equal(beyond.status, 416)
  })

  t.test('POST stores every part of a form and says what became of each', async (t) => {
    const form = new FormData()
    form.append('first', new Blob(['one']), 'one.txt')
    form.append('second', new Blob(['']), 'empty.txt')
    form.append('third', new Blob(['sly']), '../sly.txt')
    const posted = await fetch(`${base}/uploads`, { method: 'POST', body: form })
    t.equal(posted.status, 201)
    t.match(await posted.json(), {
      files: [
        { path: '/uploads/one.txt', bytes: 3 },
        { path: '/uploads/empty.txt', bytes: 0 },
        { path: '/uploads/sly.txt', bytes: 3 },
      ],
    })
    const listing = (await (await fetch(`${base}/uploads`)).json()) as {
      entries: { name: string }[]
    }
    t.same(
      listing.entries.map(({ name }) => name),
      ['empty.txt', 'one.txt', 'sly.txt'],
    )
  })

  t.test('mistakes get the status and the code of the error table', async (t) => {
    const missing = await fetch(`${base}/none`)
    t.equal(missing.status, 404)
    t.match(await missing.json(), { error: { code: 'FILE_NOT_FOUND' } })
    const noForm = await fetch(`${base}/uploads`, { method: 'POST', body: 'text' })
    t.equal(noForm.status, 415)
    t.match(await noForm.json(), { error: { code: 'INVALID_ARGUMENT' } })
    const foreign = await fetch(`${base}/uploads/x`, {
      method: 'PUT',
      body: 'x',
      headers: { origin: 'http://elsewhere.example' },
    })
    t.equal(foreign.status, 403)
    const full = await fetch(`${base}/uploads`, { method: 'DELETE' })
    t.equal(full.status, 409)
    t.match(await full.json(), { error: { code: 'IS_A_DIRECTORY' } })
  })

  t.test('DELETE removes a tree when asked to', async (t) => {
    const removed = await fetch(`${base}/uploads?recursive`, { method: 'DELETE' })
    t.equal(removed.status, 200)
    t.match(await removed.json(), { trash: /\.Trash\/Current\/uploads$/ })
    t.equal((await fetch(`${base}/uploads`)).status, 404)
  })

  t.test('/metrics counts requests by face, method and class of status', async (t) => {
    await fetch(`${base}/none?secret=1`, { method: 'HEAD' })
    await fetch(`http://127.0.0.1:${gateway.port}/made-up/by-a-client`)
    const metrics = await (await fetch(`http://127.0.0.1:${gateway.port}/metrics`)).text()
    const valueOf = (name: string): number => {
      const line = metrics.split('\n').find((candidate) => candidate.startsWith(`${name} `))
      return Number(line?.slice(name.length))
    }
    const requests = 'trefoil_gateway_requests_total'
    t.equal(valueOf(`${requests}{face="files",method="PUT",status="2xx"}`), 1)
    t.equal(valueOf(`${requests}{face="files",method="PUT",status="4xx"}`), 1)
    t.equal(valueOf(`${requests}{face="files",method="HEAD",status="4xx"}`), 1)
    t.equal(valueOf(`${requests}{face="other",method="GET",status="4xx"}`), 1)
    t.ok(valueOf('trefoil_gateway_received_bytes_total{face="files"}') > 3 * 2 ** 20)
    t.ok(valueOf('trefoil_gateway_sent_bytes_total{face="files"}') > 3 * 2 ** 20)
    t.equal(valueOf('trefoil_gateway_requests_in_flight{face="files"}'), 0)
    t.equal(valueOf('trefoil_gateway_requests_in_flight{face="metrics"}'), 1)
    t.notMatch(metrics, /made-up|secret/, 'nothing a client makes up is a label')
  })

  t.test('an upload that is cut off leaves nothing under its name', async (t) => {
    const abort = new AbortController()
    const endless = new ReadableStream({
      pull(controller) {
        // fetch() goes on reading after the abort, and a timer would keep this process alive for good.
        if (abort.signal.aborted) {
          controller.close()
          return undefined
        }
        controller.enqueue(new Uint8Array(65_536))
        return new Promise((resolve) => setTimeout(resolve, 5))
      },
    })
    const upload = fetch(`${base}/cut`, {
      method: 'PUT',
      body: endless,
      signal: abort.signal,
      duplex: 'half',
    })
    setTimeout(() => abort.abort(), 200)
    await t.rejects(upload)
    t.equal((await fetch(`${base}/cut`)).status, 404)
    const client = cluster.client()
    await retry(async () => {
      const names = await client.readdir('/')
      return names.every((name) => !name.startsWith('.uploading-'))
    })
    await client.close()
    const metrics = await fetch(`http://127.0.0.1:${gateway.port}/metrics`)
    t.match(
      await metrics.text(),
      /trefoil_gateway_requests_total\{face="files",method="PUT",status="aborted"\} 1/,
    )
  })
})

/** Waits until the gateway has noticed what its client did; the test's own time limit ends it. */
async function retry(isDone: () => Promise<boolean>): Promise<void> {
  while (!(await isDone())) await sleep(20)
}
