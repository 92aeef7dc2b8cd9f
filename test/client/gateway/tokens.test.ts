/** Bearer tokens: who is let in, as whom and to what, on every face. */
import { execFile } from 'node:child_process'
import { request as httpRequest } from 'node:http'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { isIn, isLoopback } from '../../../client/gateway/authentication.ts'
import { KnownTokens } from '../../../client/gateway/known-tokens.ts'
import { runGateway } from '../../../client/gateway/main.ts'
import { idOf, isTextOf, type Token, TokenStore } from '../../../client/gateway/tokens.ts'
import { startCluster } from '../../support/cluster.ts'

/** Compiled entry of the `dfs` command. */
const entry = join(dirname(fileURLToPath(import.meta.url)), '../../../client/cli/main.js')

t.test('isIn() and isLoopback() draw the borders', (t) => {
  t.ok(isIn('/a/b', '/a') && isIn('/a', '/a') && isIn('/x', '/'))
  t.notOk(isIn('/ab', '/a') || isIn('/a/../b', '/a') || isIn('/', '/a'))
  for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', '::1', '[::1]']) t.ok(isLoopback(host))
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'localhost.example', '127.0.0.1.example']) {
    t.notOk(isLoopback(host), host)
  }
  t.end()
})

t.test('KnownTokens asks once a second, reads each file once and keeps damaged ones', async (t) => {
  let asked = 0
  let ids = ['a', 'bad']
  const read: string[] = []
  const known = new KnownTokens({
    ids: () => {
      asked += 1
      return Promise.resolve(ids)
    },
    read: (id) => {
      read.push(id)
      return id === 'bad' ? Promise.reject(new Error('damaged')) : Promise.resolve({ id } as Token)
    },
  })
  await Promise.all([known.all(), known.all()])
  t.same([...(await known.all()).keys()], ['a', 'bad'])
  t.equal(asked, 1)
  t.same(read, ['a', 'bad'])
  ids = ['bad']
  await sleep(1_050)
  t.same([...(await known.all()).keys()], ['bad'])
})

t.test('tokens', async (t) => {
  const cluster = await startCluster({ datanodes: 1, settings: { 'dfs.replication': 1 } })
  const client = cluster.client()
  const tokens = new TokenStore(client)
  const gateway = await runGateway({ uri: cluster.uri, host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await client.close()
    await gateway.stop()
    await cluster.stop()
  })
  const base = `http://127.0.0.1:${gateway.port}`
  const get = (
    path: string,
    headers: Record<string, string> = {},
    method = 'GET',
  ): Promise<Response> => fetch(base + path, { headers, method })
  const bearer = (text: string): Record<string, string> => ({ authorization: `Bearer ${text}` })
  const grant = { user: client.user, paths: ['/'], right: 'write', expiresAtMs: null } as const

  t.test('without tokens: loopback only, and no page under another name', async (t) => {
    await t.rejects(runGateway({ uri: cluster.uri, host: '0.0.0.0', port: 0 }), {
      message: /dfs token create/,
    })
    t.equal((await get('/files/')).status, 200)
    t.equal((await get('/files/', bearer('made-up'))).status, 401, 'a wrong token is not ignored')
    const rebound = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { host: 'rebound.example' }
      httpRequest({ host: '127.0.0.1', port: gateway.port, path: '/files/', headers }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
        .on('error', reject)
        .end()
    })
    t.equal(rebound, 403)
  })

  t.test('with a token every face asks for one; what is stored is a hash', async (t) => {
    const { token, text } = await tokens.create(grant)
    await sleep(1_050)
    for (const path of ['/files/', '/webhdfs/v1/?op=LISTSTATUS']) {
      const refused = await get(path)
      t.equal(refused.status, 401, path)
      t.match(refused.headers.get('www-authenticate'), 'Bearer')
      t.equal((await get(path, bearer(text))).status, 200, path)
    }
    const basic = `Basic ${Buffer.from(`any:${text}`).toString('base64')}`
    t.equal((await get('/files/', { authorization: basic })).status, 200)
    t.equal((await get(`/files/?delegation=${text}`)).status, 200)
    t.equal((await get('/files/?user.name=eve', bearer(text))).status, 403)
    const stored = await client.readFile(`/.trefoil/gateway/tokens/${token.id}.json`, 'utf8')
    t.notOk(stored.includes(text))
    t.equal((await client.stat(`/.trefoil/gateway/tokens/${token.id}.json`)).mode, 0o600)
    t.equal((await client.stat('/.trefoil/gateway/tokens')).mode, 0o700)
    t.equal((await get('/files/.trefoil/gateway/tokens', bearer(text))).status, 403)
    const hdfs = await get('/webhdfs/v1/.trefoil/gateway/tokens?op=LISTSTATUS', bearer(text))
    t.equal(hdfs.status, 403)
  })

  t.test('forged, expired and revoked tokens let nobody in', async (t) => {
    const { token, text } = await tokens.create(grant)
    const old = await tokens.create({ ...grant, expiresAtMs: Date.now() - 1 })
    await sleep(1_050)
    t.equal((await get('/files/', bearer(text))).status, 200)
    const last = text.endsWith('A') ? 'B' : 'A'
    for (const forged of [
      text.slice(0, -1) + last,
      text.slice(0, -1),
      `dfs_${token.id}_${'A'.repeat(43)}`,
      `dfs_${'0'.repeat(16)}_${'A'.repeat(43)}`,
      `dfs_../x_${'A'.repeat(43)}`,
      token.sha256,
      'x'.repeat(5_000),
    ]) {
      t.equal((await get('/files/', bearer(forged))).status, 401, forged.slice(0, 80))
    }
    t.match(await (await get('/files/', bearer(old.text))).json(), {
      error: { code: 'UNAUTHORIZED', message: /expired/ },
    })
    await tokens.revoke(token.id)
    await sleep(1_050)
    t.equal((await get('/files/', bearer(text))).status, 401)
    await t.rejects(tokens.revoke(token.id), { code: 'ENOENT' })
    await t.rejects(tokens.revoke('../../x'), { code: 'INVALID_ARGUMENT' })
    t.equal(idOf(text), token.id)
    t.notOk(isTextOf(text, undefined))
  })

  t.test('a token covers its paths and rights, no more', async (t) => {
    const { text } = await tokens.create({ ...grant, user: 'ada', paths: ['/in'], right: 'write' })
    const reader = await tokens.create({ ...grant, paths: ['/in'], right: 'read' })
    await client.mkdir('/in')
    await client.chown('/in', 'ada')
    await client.mkdir('/inside')
    await sleep(1_050)
    const put = (path: string, token: string): Promise<Response> =>
      fetch(`${base}/files${path}`, { method: 'PUT', body: 'x', headers: bearer(token) })
    t.equal((await put('/in/a', text)).status, 201)
    t.equal((await client.stat('/in/a')).owner, 'ada', 'it acts as its user')
    t.equal((await put('/inside/a', text)).status, 403)
    t.equal((await put('/in/b', reader.text)).status, 403)
    t.equal((await get('/files/in/a', bearer(reader.text))).status, 200)
    t.equal((await get('/files/in/a', bearer(reader.text), 'DELETE')).status, 403)
    t.equal((await get('/files/', bearer(reader.text))).status, 403)
    const move = await fetch(`${base}/files/in/a`, {
      method: 'POST',
      body: JSON.stringify({ move: { to: '/inside/a' } }),
      headers: { ...bearer(text), 'content-type': 'application/json' },
    })
    t.equal(move.status, 403)
    const renamed = '/webhdfs/v1/in/a?op=RENAME&destination=/inside/a'
    t.equal((await get(renamed, bearer(text), 'PUT')).status, 403)
    t.equal((await get('/webhdfs/v1/in/a?op=DELETE', bearer(reader.text), 'DELETE')).status, 403)
  })

  t.test('a directory of tokens that others may enter counts for nothing', async (t) => {
    await client.chmod('/.trefoil/gateway/tokens', 0o755)
    await sleep(1_050)
    const answer = await get('/files/')
    t.equal(answer.status, 503)
    t.match(await answer.json(), { error: { message: /need mode 700/ } })
    await client.chmod('/.trefoil/gateway/tokens', 0o700)
  })

  t.test('dfs token makes, lists and revokes them', async (t) => {
    const dfs = async (...args: string[]): Promise<string> =>
      (await promisify(execFile)(process.execPath, [entry, '--fs', cluster.uri, 'token', ...args]))
        .stdout
    const grants = [
      '--path',
      '/in',
      '--path',
      '/out',
      '--read-only',
      '--expires',
      '2d',
      '--for',
      'bob',
    ]
    const text = (await dfs('create', ...grants)).trim()
    const id = idOf(text) ?? ''
    const line = (await dfs('list')).split('\n').find((shown) => shown.startsWith(id)) ?? ''
    t.match(line, /user=bob rights=read paths=\/in,\/out expires=20/)
    t.ok(isTextOf(text, await tokens.read(id)))
    t.match(await dfs('revoke', id), `Revoked: ${id}`)
    t.notMatch(await dfs('list'), id)
    const wrong = [
      ['erase'],
      ['create', '--expires', 'soon'],
      ['create', '--path', '/a/../b'],
      ['revoke'],
    ]
    for (const args of [...wrong, ['create', '--path', 'a'], ['revoke', 'x']]) {
      await t.rejects(dfs(...args), args.join(' '))
    }
  })

  t.test('with tokens the gateway may listen on any address', async (t) => {
    // Loopback all the same: what is tested is that another spelling of "everywhere" is let through the check.
    const wide = await runGateway({ uri: cluster.uri, host: '::ffff:127.0.0.1', port: 0 })
    t.equal((await fetch(`http://127.0.0.1:${wide.port}/files/`)).status, 401)
    await wide.stop()
  })
})
