/** GET and HEAD of the `/files` face: files with conditions and ranges, directories by pages. */
import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { contentDisposition, contentType } from '../../../../client/gateway/files/content.ts'
import { pathOfUrl, urlOfPath } from '../../../../client/gateway/files/request-path.ts'
import { runGateway } from '../../../../client/gateway/main.ts'
import { startCluster } from '../../../support/cluster.ts'

t.test('pathOfUrl() takes clean paths and refuses every other', (t) => {
  t.equal(pathOfUrl('/'), '/')
  t.equal(pathOfUrl(''), '/')
  t.equal(pathOfUrl('/a/b%20c/'), '/a/b c')
  t.equal(pathOfUrl('/%C3%A4'), '/ä')
  t.equal(pathOfUrl(urlOfPath('/ä?#%/x')), '/ä?#%/x')
  for (const bad of [
    '//a',
    '/a//b',
    '/..',
    '/a/../b',
    '/%2e%2e/b',
    '/.',
    '/a%2Fb',
    '/a%00',
    '/%0a',
  ]) {
    t.throws(() => pathOfUrl(bad), { code: 'INVALID_PATH' }, bad)
  }
  for (const bad of ['/%', '/%zz', '/%ff'])
    t.throws(() => pathOfUrl(bad), { code: 'INVALID_PATH' }, bad)
  t.equal(pathOfUrl(`/${'n'.repeat(255)}`).length, 256)
  t.throws(() => pathOfUrl(`/${'n'.repeat(256)}`), { code: 'INVALID_PATH' })
  t.throws(() => pathOfUrl('/aaaaaaaaa'.repeat(801)), /at most 8000/)
  t.end()
})

t.test('content headers: what a browser may show, and names in every script', (t) => {
  t.equal(contentType('a.PNG'), 'image/png')
  for (const name of ['a.html', 'a.svg', 'a.xml', 'a', 'constructor.']) {
    t.equal(contentType(name), 'application/octet-stream', name)
  }
  t.equal(
    contentDisposition('attachment', `ä "b'.txt`),
    `attachment; filename="_ _b'.txt"; filename*=UTF-8''%C3%A4%20%22b%27.txt`,
  )
  t.end()
})

t.test('downloads', async (t) => {
  const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  const client = cluster.client()
  t.teardown(async () => {
    await client.close()
    await gateway.stop()
    await cluster.stop()
  })
  const base = `http://127.0.0.1:${gateway.port}/files`
  const get = (
    path: string,
    headers: Record<string, string> = {},
    method = 'GET',
  ): Promise<Response> => fetch(base + path, { headers, method })
  await client.mkdir('/d')
  await client.writeFile('/d/file.txt', '0123456789', { replication: 1 })
  const tag = (await get('/d/file.txt')).headers.get('etag') ?? ''
  const modified = (await get('/d/file.txt')).headers.get('last-modified') ?? ''

  t.test('HEAD tells what GET would, without bytes', async (t) => {
    const head = await get('/d/file.txt', {}, 'HEAD')
    t.equal(head.status, 200)
    t.equal(head.headers.get('content-length'), '10')
    t.equal(head.headers.get('etag'), tag)
    t.equal(head.headers.get('accept-ranges'), 'bytes')
    t.equal(head.headers.get('x-content-type-options'), 'nosniff')
    t.equal(await head.text(), '')
    const named = await get('/d/file.txt?download', {}, 'HEAD')
    t.match(named.headers.get('content-disposition'), /^attachment; filename="file.txt"/)
  })

  t.test('conditions: 304 and 412 as the file is', async (t) => {
    t.equal((await get('/d/file.txt', { 'if-none-match': tag })).status, 304)
    t.equal((await get('/d/file.txt', { 'if-none-match': `"x", W/${tag}` })).status, 304)
    t.equal((await get('/d/file.txt', { 'if-none-match': '*' })).status, 304)
    t.equal((await get('/d/file.txt', { 'if-none-match': '"x"' })).status, 200)
    t.equal((await get('/d/file.txt', { 'if-modified-since': modified })).status, 304)
    const old = new Date(0).toUTCString()
    t.equal((await get('/d/file.txt', { 'if-modified-since': old })).status, 200)
    const both = { 'if-none-match': '"x"', 'if-modified-since': modified }
    t.equal((await get('/d/file.txt', both)).status, 200, 'the tag decides')
    t.equal((await get('/d/file.txt', { 'if-match': tag })).status, 200)
    t.equal((await get('/d/file.txt', { 'if-match': '"x"' })).status, 412)
    t.equal((await get('/d/file.txt', { 'if-match': `W/${tag}` })).status, 412, 'strong comparison')
    t.equal((await get('/d/file.txt', { 'if-unmodified-since': old })).status, 412)
    t.equal((await get('/d/file.txt', { 'if-unmodified-since': modified })).status, 200)
    t.equal((await get('/d/file.txt', { 'if-modified-since': 'yesterday' })).status, 200)
  })

  t.test('If-Range: the part while the file is the same, else all of it', async (t) => {
    for (const current of [tag, modified]) {
      const part = await get('/d/file.txt', { range: 'bytes=2-4', 'if-range': current })
      t.equal(part.status, 206)
      t.equal(await part.text(), '234')
    }
    for (const other of ['"x"', `W/${tag}`, new Date(0).toUTCString()]) {
      const whole = await get('/d/file.txt', { range: 'bytes=2-4', 'if-range': other })
      t.equal(whole.status, 200)
      t.equal(await whole.text(), '0123456789')
    }
    const several = await get('/d/file.txt', { range: 'bytes=0-1,4-5' })
    t.equal(several.status, 200)
    t.equal(await several.text(), '0123456789')
  })

  t.test('the tag changes when the file does', async (t) => {
    await client.writeFile('/d/tagged', 'one', { replication: 1 })
    const first = (await get('/d/tagged')).headers.get('etag')
    await client.writeFile('/d/tagged', 'two', { replication: 1 })
    const second = (await get('/d/tagged')).headers.get('etag')
    await client.appendFile('/d/tagged', 'more')
    const third = (await get('/d/tagged')).headers.get('etag')
    t.equal(new Set([first, second, third]).size, 3)
    await client.rm('/d/tagged')
  })

  t.test('a directory is listed whole or by pages', async (t) => {
    const names = Array.from({ length: 600 }, (_, index) => `n${String(index).padStart(4, '0')}`)
    for (const name of names) await client.mkdir(`/many/${name}`, { recursive: true })
    const whole = (await (await get('/many/')).json()) as Listing
    t.same(
      whole.entries.map(({ name }) => name),
      names,
    )
    t.equal(whole.next, null)
    const seen: string[] = []
    for (let after: string | null = ''; after !== null; ) {
      const page = (await (await get(`/many?limit=250&after=${after}`)).json()) as Listing
      t.ok(page.entries.length <= 250)
      seen.push(...page.entries.map(({ name }) => name))
      after = page.next
    }
    t.same(seen, names)
    const bad = await get('/many?limit=0')
    t.equal(bad.status, 400)
    t.match(await bad.json(), { error: { code: 'INVALID_ARGUMENT' } })
    t.equal((await get('/many?after=a&after=b')).status, 400)
    t.same(await (await get('/many/n0000')).json(), {
      path: '/many/n0000',
      entries: [],
      next: null,
    })
    t.match(await (await get('/')).json(), {
      path: '/',
      entries: [{ name: 'd' }, { name: 'many' }],
    })
  })

  t.test('a directory as one tar or zip', async (t) => {
    const big = Buffer.alloc(2 ** 20 + 3, 'x')
    const long = 'l'.repeat(150)
    await client.mkdir('/tree/sub', { recursive: true })
    await client.writeFile(`/tree/sub/${long}`, big, { replication: 1 })
    await client.writeFile('/tree/empty', '', { replication: 1 })
    await client.writeFile('/tree/ä', 'text', { replication: 1 })
    const directory = t.testdir()
    for (const [format, tool] of [
      ['tar', ['tar', '-xf']],
      ['zip', ['python3', '-m', 'zipfile', '-e']],
    ] as const) {
      const response = await get(`/tree?archive=${format}`)
      t.equal(response.status, 200)
      t.match(response.headers.get('content-disposition'), `filename="tree.${format}"`)
      const file = join(directory, `tree.${format}`)
      await writeFile(file, Buffer.from(await response.arrayBuffer()))
      const target = join(directory, format)
      await mkdir(target)
      const [program, ...args] = tool
      const into = format === 'tar' ? ['-C', target] : [target]
      await promisify(execFile)(program, [...args, file, ...into])
      t.same((await readdir(join(target, 'tree'))).sort(), ['empty', 'sub', 'ä'])
      t.equal(await readFile(join(target, 'tree/ä'), 'utf8'), 'text')
      t.ok((await readFile(join(target, 'tree/sub', long))).equals(big))
    }
    t.equal((await get('/tree?archive=rar')).status, 400)
    t.equal((await get('/tree?archive=tar', {}, 'HEAD')).status, 200)
  })

  t.test('an archive with a file that cannot be read is cut, not completed', async (t) => {
    await client.mkdir('/broken')
    await client.writeFile('/broken/a', Buffer.alloc(2 ** 21, 'a'), { replication: 1 })
    await client.writeFile('/broken/b', 'b', { replication: 1 })
    await client.chmod('/broken/b', 0)
    await client.chmod('/broken', 0o755)
    for (const format of ['tar', 'zip']) {
      const response = await get(`/broken?archive=${format}&user.name=nobody`)
      await t.rejects(response.arrayBuffer(), format)
    }
    t.equal((await get('/broken?archive=tar')).status, 200, 'the superuser reads it')
  })

  t.test('hostile paths get 400 before anything is asked', async (t) => {
    for (const path of [
      '/../etc/passwd',
      '/d/%2e%2e/d/file.txt',
      '/d%2Ffile.txt',
      '/d/%00',
      '/d/%',
    ]) {
      t.match(
        await rawGet(gateway.port, `/files${path}`),
        { status: 400, body: /INVALID_PATH/ },
        path,
      )
    }
    t.match(await rawGet(gateway.port, '/files/.trefoil/gateway'), { status: 403 })
    t.match(await rawGet(gateway.port, '/files/d?user.name=a%20b'), { status: 400 })
  })
})

interface Listing {
  readonly entries: readonly { readonly name: string }[]
  readonly next: string | null
}

/** A request whose path is sent as it is: fetch() would tidy it. */
function rawGet(port: number, path: string): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, path }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      response.on('end', () => {
        resolve({ status: response.statusCode, body })
      })
    })
    sent.on('error', reject).end()
  })
}
