/** Resumable uploads: pieces, interruptions, checksums, and a gateway that goes away in between. */
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { runGateway } from '../../../../client/gateway/main.ts'
import { startCluster } from '../../../support/cluster.ts'

t.test('resumable uploads', async (t) => {
  const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
  const start = (): ReturnType<typeof runGateway> =>
    runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  const gateway = await start()
  const client = cluster.client()
  t.teardown(async () => {
    await client.close()
    await gateway.stop()
    await cluster.stop()
  })
  const base = `http://127.0.0.1:${gateway.port}`
  const tus = { 'tus-resumable': '1.0.0' }
  const named = (name: string): Record<string, string> => ({
    'upload-metadata': `type dGV4dA==,filename ${Buffer.from(name).toString('base64')}`,
  })
  const create = (
    length: number | string,
    headers: Record<string, string>,
    query = '',
  ): Promise<Response> =>
    fetch(`${base}/files/up${query}`, {
      method: 'POST',
      headers: { ...tus, 'upload-length': String(length), ...headers },
    })
  const patch = (url: string, offset: number, body: Buffer, headers = {}): Promise<Response> =>
    fetch(url, {
      method: 'PATCH',
      body,
      headers: {
        ...tus,
        'content-type': 'application/offset+octet-stream',
        'upload-offset': String(offset),
        ...headers,
      },
    })
  const offsetOf = async (url: string): Promise<string | null> =>
    (await fetch(url, { method: 'HEAD', headers: tus })).headers.get('upload-offset')
  const located = (response: Response): string => base + (response.headers.get('location') ?? '')
  const bytes = randomBytes(3_000_000)

  t.test('OPTIONS tells what is spoken; other versions are refused', async (t) => {
    const options = await fetch(`${base}/files/`, { method: 'OPTIONS' })
    t.equal(options.headers.get('tus-version'), '1.0.0')
    t.match(options.headers.get('tus-checksum-algorithm'), 'sha1')
    const other = await create(1, { 'tus-resumable': '0.2.0', ...named('x') })
    t.equal(other.status, 412)
    t.equal(other.headers.get('tus-version'), '1.0.0')
  })

  t.test('pieces become a file when the last one is there', async (t) => {
    const created = await create(bytes.length, named('ä.bin'))
    t.equal(created.status, 201)
    t.ok(created.headers.get('upload-expires'))
    const url = located(created)
    t.equal(await offsetOf(url), '0')
    const first = await patch(url, 0, bytes.subarray(0, 1_000_000))
    t.equal(first.status, 204)
    t.equal(first.headers.get('upload-offset'), '1000000')
    t.equal((await patch(url, 0, bytes.subarray(0, 10))).status, 409, 'that offset is passed')
    t.equal((await patch(url, 1_000_000, bytes)).status, 413, 'longer than was said')
    t.equal((await fetch(`${base}/files/up/ä.bin`)).status, 404, 'not before it is complete')
    t.equal((await patch(url, 1_000_000, bytes.subarray(1_000_000))).status, 204)
    const whole = await fetch(`${base}/files/up/ä.bin`)
    t.ok(Buffer.from(await whole.arrayBuffer()).equals(bytes))
    t.same(await client.readdir('/up'), ['ä.bin'], 'nothing is left beside')
    t.equal((await fetch(url, { method: 'HEAD', headers: tus })).status, 404)
    t.equal((await create(1, named('ä.bin'))).status, 409)
    t.equal((await create(0, named('ä.bin'), '?duplicates=replace')).status, 201)
    t.equal((await client.stat('/up/ä.bin')).size, 0)
  })

  t.test('a piece that breaks off stays as far as it came, also for another gateway', async (t) => {
    const path = (await create(bytes.length, named('resumed'))).headers.get('location') ?? ''
    const socket = connect(gateway.port, '127.0.0.1')
    socket.write(
      `PATCH ${path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
        `Content-Type: application/offset+octet-stream\r\nContent-Length: ${bytes.length}\r\n\r\n`,
    )
    socket.write(bytes.subarray(0, 500_000))
    await sleep(300)
    socket.destroy()
    t.equal(await offsetOf(base + path), '500000')
    const second = await start()
    const url = `http://127.0.0.1:${second.port}${path}`
    t.equal(await offsetOf(url), '500000')
    t.equal((await patch(url, 500_000, bytes.subarray(500_000))).status, 204)
    await second.stop()
    t.ok((await client.readFile('/up/resumed')).equals(bytes))
  })

  t.test('who comes back while the old connection hangs ends it', async (t) => {
    const path = (await create(bytes.length, named('taken-over'))).headers.get('location') ?? ''
    const socket = connect(gateway.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(
      `PATCH ${path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
        `Content-Type: application/offset+octet-stream\r\nContent-Length: ${bytes.length}\r\n\r\nhello`,
    )
    await sleep(300)
    t.equal(await offsetOf(base + path), '5')
    socket.destroy()
    t.equal((await patch(base + path, 5, bytes.subarray(5))).status, 204)
    t.equal((await client.readFile('/up/taken-over')).subarray(0, 5).toString(), 'hello')
  })

  t.test('a piece with the wrong checksum is taken back', async (t) => {
    const url = located(await create(10, named('checked')))
    const sum = (text: string): Record<string, string> => ({
      'upload-checksum': `sha1 ${createHash('sha1').update(text).digest('base64')}`,
    })
    t.equal((await patch(url, 0, Buffer.from('01234'), sum('01234'))).status, 204)
    const wrong = await patch(url, 5, Buffer.from('56789'), sum('other'))
    t.equal(wrong.status, 460)
    t.match(await wrong.json(), { error: { code: 'CHECKSUM_MISMATCH' } })
    t.equal(await offsetOf(url), '5')
    t.equal((await patch(url, 5, Buffer.from('5'), { 'upload-checksum': 'crc9 x' })).status, 400)
    t.equal((await patch(url, 5, Buffer.from('56789'), sum('56789'))).status, 204)
    t.equal(await client.readFile('/up/checked', 'utf8'), '0123456789')
  })

  t.test('uploads end: by DELETE, and by time', async (t) => {
    const url = located(await create(10, named('deleted')))
    t.equal((await fetch(url, { method: 'DELETE', headers: tus })).status, 204)
    t.equal((await patch(url, 0, Buffer.from('x'))).status, 404)
    const path = (await create(10, named('late'))).headers.get('location') ?? ''
    const notes = `${path.slice('/files'.length)}.json`
    const upload = JSON.parse(await client.readFile(notes, 'utf8')) as object
    await client.writeFile(notes, JSON.stringify({ ...upload, expiresAtMs: 1 }))
    t.equal((await patch(base + path, 0, Buffer.from('x'))).status, 410)
    const old = (await create(10, named('old'))).headers.get('location') ?? ''
    await client.utimes(`${old.slice('/files'.length)}.json`, undefined, new Date(0))
    await (await create(0, named('next'))).text()
    const names = await client.readdir('/up')
    t.notOk(
      names.some((name) => name.startsWith('.uploading-')),
      'creation removes expired ones',
    )
  })

  t.test('what is wrong is refused', async (t) => {
    t.equal((await create('x', named('a'))).status, 400)
    t.equal((await create(1, {})).status, 400)
    t.equal((await create(1, named('../a'))).status, 400)
    const url = located(await create(1, named('a')))
    t.equal((await patch(url, 0, Buffer.from('x'), { 'content-type': 'text/plain' })).status, 415)
    t.equal((await patch(url, 0, Buffer.from('x'), { 'upload-offset': '-1' })).status, 400)
    t.equal((await patch(`${base}/files/up/checked`, 0, Buffer.from('x'))).status, 404)
    t.equal((await fetch(url, { method: 'PATCH', body: 'x' })).status, 412)
  })
})
