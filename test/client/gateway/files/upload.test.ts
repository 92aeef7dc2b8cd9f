/** PUT, POST and DELETE of the `/files` face: complete or not at all, each refusal with a reason. */
import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import t from 'tap'
import { expectedDigests } from '../../../../client/gateway/files/digest.ts'
import { runGateway } from '../../../../client/gateway/main.ts'
import { startCluster } from '../../../support/cluster.ts'

t.test('expectedDigests() reads what it can verify and refuses the rest', (t) => {
  const sha256 = createHash('sha256').update('x').digest()
  t.match(expectedDigests({ 'content-digest': `sha-256=:${sha256.toString('base64')}:` }), [
    { algorithm: 'sha256', value: sha256 },
  ])
  t.match(expectedDigests({ 'x-checksum-sha256': sha256.toString('hex') }), [{ value: sha256 }])
  t.same(expectedDigests({}), [])
  for (const bad of ['md5=:AAAA:', 'sha-256=AAAA', 'sha-256=:AAAA:', '']) {
    t.throws(() => expectedDigests({ 'content-digest': bad }), { code: 'INVALID_ARGUMENT' }, bad)
  }
  t.throws(() => expectedDigests({ 'x-checksum-sha256': 'ab' }), { code: 'INVALID_ARGUMENT' })
  t.end()
})

t.test('uploads', async (t) => {
  const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  const client = cluster.client()
  t.teardown(async () => {
    await client.close()
    await gateway.stop()
    await cluster.stop()
  })
  const base = `http://127.0.0.1:${gateway.port}/files`
  const put = (
    path: string,
    body: string,
    headers: Record<string, string> = {},
  ): Promise<Response> => fetch(base + path, { method: 'PUT', body, headers })
  const verb = (path: string, body: unknown, type = 'application/json'): Promise<Response> =>
    fetch(base + path, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'content-type': type },
    })
  const text = async (path: string): Promise<string> => (await fetch(base + path)).text()

  t.test('PUT under conditions', async (t) => {
    const created = await put('/c/file', 'one', { 'if-none-match': '*' })
    t.equal(created.status, 201)
    const tag = created.headers.get('etag') ?? ''
    t.equal((await put('/c/file', 'two', { 'if-none-match': '*' })).status, 412)
    t.equal((await put('/c/file', 'two', { 'if-match': '"other"' })).status, 412)
    t.equal((await put('/c/none', 'two', { 'if-match': '*' })).status, 412)
    t.equal(await text('/c/file'), 'one')
    const replaced = await put('/c/file', 'two', { 'if-match': tag })
    t.equal(replaced.status, 204)
    t.equal((await put('/c/file', 'three', { 'if-match': tag })).status, 412, 'the tag is old')
    t.equal(await text('/c/file'), 'two')
    t.equal((await put('/c', 'x')).status, 409, 'a directory stays')
    t.equal((await put('/c/file/x', 'x')).status, 409, 'a file is no directory')
    t.equal((await put('/c/file', 'x', { 'content-encoding': 'gzip' })).status, 415)
    t.equal((await put('/c/file', 'x', { 'content-range': 'bytes 0-0/1' })).status, 400)
    t.same(await client.readdir('/c'), ['file'], 'nothing is left beside')
  })

  t.test('two PUTs that both want a new file: one of them gets it', async (t) => {
    const answers = await Promise.all(
      ['one', 'two', 'three'].map((body) => put('/race', body, { 'if-none-match': '*' })),
    )
    t.same(answers.map(({ status }) => status).sort(), [201, 412, 412])
  })

  t.test('a checksum is verified before the file gets its name', async (t) => {
    const sha256 = createHash('sha256').update('right').digest('base64')
    const header = { 'content-digest': `sha-256=:${sha256}:` }
    t.equal((await put('/sum/a', 'right', header)).status, 201)
    const wrong = await put('/sum/a', 'wrong', header)
    t.equal(wrong.status, 400)
    t.match(await wrong.json(), { error: { code: 'CHECKSUM_MISMATCH' } })
    t.equal((await put('/sum/b', 'wrong', header)).status, 400)
    t.equal(await text('/sum/a'), 'right')
    t.same(await client.readdir('/sum'), ['a'])
  })

  t.test('forms: names, duplicates, results', async (t) => {
    const post = async (
      query: string,
      ...files: [string, string][]
    ): Promise<[number, unknown]> => {
      const form = new FormData()
      for (const [name, content] of files) form.append('f', new Blob([content]), name)
      const response = await fetch(`${base}/forms${query}`, { method: 'POST', body: form })
      return [response.status, await response.json()]
    }
    t.match(await post('', ['ä.txt', 'one'], ['..\\up', 'two'], [' b ', '3']), [
      201,
      { files: [{ path: '/forms/ä.txt', bytes: 3 }, { path: '/forms/up' }, { path: '/forms/b' }] },
    ])
    t.match(await post('', ['ä.txt', 'again'], ['new', 'n'], ['..', 'x']), [
      207,
      {
        files: [
          { error: { code: 'FILE_EXISTS' } },
          { bytes: 1 },
          { error: { code: 'INVALID_PATH' } },
        ],
      },
    ])
    t.equal(await text('/forms/ä.txt'), 'one')
    t.match(await post('?duplicates=rename', ['ä.txt', '2'], ['ä.txt', '3']), [
      201,
      { files: [{ bytes: 1 }, { bytes: 1 }] },
    ])
    t.same(
      (await client.readdir('/forms')).filter((name) => name.startsWith('ä')),
      ['ä (1).txt', 'ä (2).txt', 'ä.txt'],
    )
    t.match(await post('?duplicates=replace', ['ä.txt', 'last']), [201, {}])
    t.equal(await text('/forms/ä.txt'), 'last')
    t.match(await post('?duplicates=maybe', ['a', 'a']), [400, {}])
  })

  t.test('a form that breaks off stores complete files only, and says so', async (t) => {
    const part = (name: string): string =>
      `--b\r\nContent-Disposition: form-data; name="f"; filename="${name}"\r\n\r\n`
    const body = `${part('whole')}whole\r\n${part('half')}hal`
    const response = await verb('/broken', body, 'multipart/form-data; boundary=b')
    t.equal(response.status, 400)
    t.match(await response.json(), {
      error: { code: 'INVALID_ARGUMENT', message: /breaks off/ },
      files: [{ path: '/broken/whole', bytes: 5 }, { error: {} }],
    })
    t.same(await client.readdir('/broken'), ['whole'])
    t.equal((await verb('/broken', body, 'multipart/form-data')).status, 400, 'no boundary')
  })

  t.test('10,000 parts are taken, one more is not', async (t) => {
    const field = '--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nv\r\n'
    const file =
      '--b\r\nContent-Disposition: form-data; name="f"; filename="last"\r\n\r\nv\r\n--b--\r\n'
    const type = 'multipart/form-data; boundary=b'
    const full = await verb('/parts', field.repeat(9999) + file, type)
    t.equal(full.status, 201)
    t.match(await full.json(), { files: [{ path: '/parts/last' }] })
    const over = await verb('/parts', field.repeat(10_000) + file, type)
    t.equal(over.status, 413)
    t.match(await over.json(), { error: { code: 'LIMIT_EXCEEDED' } })
  })

  t.test('many small files of one form are all stored', async (t) => {
    const form = new FormData()
    for (let index = 0; index < 100; index += 1) form.append('f', new Blob(['x']), `n${index}`)
    const response = await fetch(`${base}/small`, { method: 'POST', body: form })
    t.equal(response.status, 201)
    t.equal((await client.readdir('/small')).length, 100)
  })

  t.test('verbs move, make directories and set permissions', async (t) => {
    t.match(await (await verb('/v/dir', { mkdir: { mode: '750' } })).json(), {
      path: '/v/dir',
      type: 'directory',
      mode: '750',
    })
    t.equal((await verb('/v/dir', { mkdir: { parents: false } })).status, 409)
    await put('/v/file', 'moved')
    t.match(await (await verb('/v/file', { move: { to: '/v/new/place' } })).json(), {
      path: '/v/new/place',
      size: 5,
    })
    t.equal((await verb('/v/file', { move: { to: '/v/x' } })).status, 404)
    await put('/v/taken', 'taken')
    t.equal((await verb('/v/taken', { move: { to: '/v/new/place' } })).status, 409)
    t.equal(await text('/v/new/place'), 'moved')
    const overwrite = { move: { to: '/v/new/place', overwrite: true } }
    t.equal((await verb('/v/taken', overwrite)).status, 200)
    const permissions = { permissions: { mode: '600', group: 'staff' } }
    t.match(await (await verb('/v/new/place', permissions)).json(), { mode: '600', group: 'staff' })
    t.equal((await verb('/v/new/place', { replication: { factor: 2 } })).status, 200)
    for (const bad of [
      {},
      [],
      '{',
      '7',
      { mkdir: {}, move: {} },
      { erase: {} },
      { constructor: {} },
      { mkdir: { mode: '999' } },
      { mkdir: { Mode: '755' } },
      { move: { to: 'relative' } },
      { move: { to: '/a/../b' } },
      { permissions: {} },
      { replication: { factor: 0 } },
    ]) {
      t.equal((await verb('/v/dir', bad)).status, 400, JSON.stringify(bad))
    }
    t.equal((await verb('/v/dir', { move: { to: '/.trefoil/x' } })).status, 403)
    t.equal((await verb('/v/dir', `"${'x'.repeat(70_000)}"`)).status, 413)
    const patched = await fetch(`${base}/v/dir`, { method: 'PROPFIND' })
    t.equal(patched.status, 405)
    t.match(patched.headers.get('allow'), 'PUT')
  })

  t.test('DELETE moves to the trash unless it is asked not to', async (t) => {
    const remove = (path: string, headers = {}): Promise<Response> =>
      fetch(base + path, { method: 'DELETE', headers })
    await put('/gone/a', 'a')
    t.equal((await remove('/gone/a', { 'if-match': '"x"' })).status, 412)
    t.equal((await remove('/gone')).status, 409)
    const { trash } = (await (await remove('/gone/a')).json()) as { trash: string }
    t.equal(await text(trash), 'a')
    t.equal((await remove(trash)).status, 204, 'what is in the trash is gone')
    t.equal((await remove('/gone/a')).status, 404)
    t.equal((await remove('/gone?recursive&skipTrash')).status, 204)
    t.equal((await remove('/?recursive')).status, 400)
  })

  t.test('a body shorter than its Content-Length leaves nothing', async (t) => {
    await client.mkdir('/lying')
    const socket = connect(gateway.port, '127.0.0.1')
    socket.write(
      'PUT /files/lying/short HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf',
    )
    while ((await client.readdir('/lying')).length === 0);
    socket.destroy()
    while ((await client.readdir('/lying')).length > 0);
    t.pass('the temporary file is gone')
  })
})
