/** WebHDFS with data at the datanodes: where clients are sent, what they may do there, and who gets in. */
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import t from 'tap'
import { PrivateDirectory } from '../../../client/gateway/private-directory.ts'
import { TokenStore } from '../../../client/gateway/tokens.ts'
import { openDataFace } from '../../../client/gateway/webhdfs/data-face.ts'
import { Grants, grantKeyDirectory } from '../../../client/gateway/webhdfs/grants.ts'
import { type Answer, type AskOptions, askUrl, startWebHdfs } from '../../support/webhdfs.ts'

const mebibyte = 2 ** 20
const world = await startWebHdfs(t, { datanodes: 3 }, { redirect: 'datanode' })
const { client, cluster, gateway, user } = world
const ask: typeof world.ask = (...request) => world.ask(...request)
const content = Buffer.from(Array.from({ length: 3_000_017 }, (_, index) => (index * 31) % 251))
const grants = new Grants(new PrivateDirectory(client, grantKeyDirectory))

/** HTTP addresses of the datanodes, by uuid. */
async function addresses(): Promise<Map<string, string>> {
  const nodes = await client.datanodes('live')
  return new Map(nodes.map(({ uuid, httpPort }) => [uuid, `127.0.0.1:${httpPort}`]))
}

async function redirectOf(method: string, target: string): Promise<URL> {
  const { status, headers, body } = await ask(method, target)
  t.equal(status, 307, `${method} ${target} ${body.toString()}`)
  t.equal(body.length, 0)
  return new URL(headers.location ?? '')
}

/** Both steps. */
async function follow(method: string, target: string, options: AskOptions = {}): Promise<Answer> {
  return await askUrl(method, (await redirectOf(method, target)).href, options)
}

t.test('data goes to and comes from datanodes', async (t) => {
  const nodes = [...(await addresses()).values()]
  const query = `permission=640&blocksize=1048576&replication=2&${user}`
  const first = await redirectOf('PUT', `/d/f?op=CREATE&${query}&noredirect=false`)
  t.ok(nodes.includes(first.host), `${first.host} is a datanode`)
  t.equal(first.pathname, '/webhdfs/v1/d/f')
  t.equal(first.searchParams.get('namenoderpcaddress'), `127.0.0.1:${cluster.port}`)
  t.equal(first.searchParams.get('blocksize'), '1048576')
  for (const name of ['noredirect', 'proxy', 'data', 'user.name']) {
    t.notOk(first.searchParams.has(name), name)
  }
  const made = await askUrl('PUT', first.href, { body: content })
  t.equal(made.status, 201, made.body.toString())
  t.equal(made.headers.location, `${cluster.uri}/d/f`)
  t.ok((await client.readFile('/d/f')).equals(content))
  const { blockSize, replication, mode, owner } = await client.stat('/d/f')
  t.same([blockSize, replication, mode, owner], [mebibyte, 2, 0o640, cluster.user])
  t.equal((await follow('PUT', `/d/f?op=CREATE&${user}`, { body: 'x' })).status, 403)
  const over = `/d/small?op=CREATE&createflag=create,overwrite&${user}`
  for (const body of ['one', 'two']) t.equal((await follow('PUT', over, { body })).status, 201)
  t.equal((await follow('POST', `/d/small?op=APPEND&${user}`, { body: ' more' })).status, 200)
  t.equal((await follow('GET', `/d/small?op=OPEN&${user}`)).body.toString(), 'two more')
  const part = await follow('GET', `/d/f?op=OPEN&offset=1048570&length=20&${user}`)
  t.ok(part.body.equals(content.subarray(1_048_570, 1_048_590)))
  const sum = await follow('GET', `/d/f?op=GETFILECHECKSUM&${user}`)
  const { bytes } = await client.fileChecksum('/d/f')
  t.match(sum.json, { FileChecksum: { bytes: bytes.toString('hex'), length: 28 } })
})

t.test(
  'readers are sent to a datanode with the block, and past those they cannot reach',
  async (t) => {
    await client.writeFile('/d/one', content, { replication: 1, blockSize: mebibyte })
    const hosts = await addresses()
    for (const { offset, datanodes } of await client.blockLocations('/d/one')) {
      const { host } = await redirectOf('GET', `/d/one?op=OPEN&offset=${offset}&${user}`)
      t.equal(host, hosts.get(datanodes[0]?.uuid ?? ''), `offset ${offset}`)
    }
    const last = (await client.blockLocations('/d/one')).at(-1)?.datanodes[0]?.uuid ?? ''
    const appended = await redirectOf('POST', `/d/one?op=APPEND&${user}`)
    t.equal(appended.host, hosts.get(last))
    const [excluded = '', other = '', third = ''] = [...hosts.values()]
    for (const op of ['PUT /d/new?op=CREATE', 'GET /d/one?op=OPEN']) {
      const [method = '', target = ''] = op.split(' ')
      const names = `${excluded},${other}`
      const { host } = await redirectOf(method, `${target}&excludedatanodes=${names}&${user}`)
      t.equal(host, third, op)
    }
    const nobody = [...hosts.values()].join(',')
    const own = await redirectOf('PUT', `/d/new?op=CREATE&excludedatanodes=${nobody}&${user}`)
    t.equal(own.host, `localhost:${gateway.port}`, 'without a datanode the gateway does it')
    t.match(own.search, /data=true/)
    await client.writeFile('/d/empty', '')
    t.equal((await follow('GET', `/d/empty?op=OPEN&${user}`)).status, 200)
  },
)

t.test('a request chooses: here at once, here in two steps, or at a datanode', async (t) => {
  const direct = await ask('GET', `/d/small?op=OPEN&proxy=true&${user}`)
  t.equal(direct.body.toString(), 'two more')
  const named = await ask('GET', `/d/small?op=OPEN&noredirect=true&${user}`)
  const { Location } = named.json as { Location: string }
  t.notMatch(Location, /noredirect|data=true/)
  t.equal((await askUrl('GET', Location)).body.toString(), 'two more')
  await world.refused(t, ['GET', `/d/none?op=OPEN&${user}`], 404, 'FileNotFoundException', /none/)
  const offset = `/d/small?op=OPEN&offset=8&${user}`
  await world.refused(t, ['GET', offset], 403, 'IOException', /out of the range/)
})

t.test('a grant is for one user, operation and path, until it is over', async (t) => {
  const [host = ''] = (await addresses()).values()
  const open = `http://${host}/webhdfs/v1/d/small?op=OPEN`
  const granted = { user: cluster.user, operation: 'OPEN', path: '/d/small' }
  const good = await grants.sign(granted, Date.now() + 60_000)
  const at = (url: string, grant: string, more = ''): Promise<Answer> =>
    askUrl('GET', `${url}&delegation=${grant}${more}`)
  t.equal((await at(open, good)).status, 200)
  t.equal((await at(open, good, `&${user}`)).status, 200, 'the same user may be named')
  t.equal((await at(open, good, '&user.name=eve')).status, 400)
  const elsewhere = `http://${host}/webhdfs/v1/d/f?op=OPEN`
  const refusals: [string, Promise<Answer>, RegExp][] = [
    ['another path', at(elsewhere, good), /not for this request/],
    ['another operation', at(open.replace('OPEN', 'GETFILECHECKSUM'), good), /not for this/],
    ['expired', at(open, await grants.sign(granted, Date.now() - 1)), /expired/],
    ['another key', at(open, good.replace(/_[0-9a-f]{16}_/, `_${'0'.repeat(16)}_`)), /not for/],
    ['a changed signature', at(open, good.slice(0, -3) + 'AAA'), /not for this/],
    ['a changed user', at(open, good.replace(/_[^_]+_(.{43})$/, `_${body('root')}_$1`)), /not for/],
    ['no signature', at(open, 'grant_'), /not for this/],
  ]
  for (const [name, answer, message] of refusals) {
    const { status, json } = await answer
    t.equal(status, 401, name)
    t.match(json, { RemoteException: { message } }, name)
  }
  const eve = await grants.sign({ ...granted, user: 'eve', path: '/d/f' }, Date.now() + 60_000)
  t.equal((await at(elsewhere, eve)).status, 403, 'the namenode still asks who it is')
  const own = { ...granted, path: `${grantKeyDirectory}/x.json` }
  const secret = await grants.sign(own, Date.now() + 60_000)
  const secretUrl = `http://${host}/webhdfs/v1${own.path}?op=OPEN`
  t.equal((await at(secretUrl, secret)).status, 403, 'nobody reads the keys')
  const other = await askUrl('GET', `http://${host}/webhdfs/v1/d?op=LISTSTATUS&${user}`)
  t.equal(other.status, 400, 'a datanode serves data alone')
  const cross = { origin: 'http://elsewhere.example' }
  const posted = await askUrl('POST', open.replace('OPEN', 'APPEND'), { headers: cross })
  t.equal(posted.status, 403, 'no page of another site writes')

  function body(name: string): string {
    return Buffer.from(JSON.stringify({ user: name, until: 9e15 })).toString('base64url')
  }
})

t.test('a datanode that listens on more than loopback serves grants alone', async (t) => {
  const face = openDataFace({
    ...{ uri: cluster.uri, host: '0.0.0.0', corsOrigins: [] },
    bodyRate: { bytesPerSecond: 0, windowMs: 0 },
  })
  const application = express().use(face.path, face.handle)
  const server = http.createServer((request, response) => void application(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(async () => {
    server.close()
    await face.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${face.path}/d/small?op=OPEN`
  t.equal((await askUrl('GET', `${url}&${user}`)).status, 401)
  const granted = { user: cluster.user, operation: 'OPEN', path: '/d/small' }
  const grant = await grants.sign(granted, Date.now() + 60_000)
  t.equal((await askUrl('GET', `${url}&delegation=${grant}`)).status, 200)
})

t.test(
  'with tokens nobody gets in by asking a datanode, but for whom the gateway lets',
  async (t) => {
    const store = new TokenStore(client)
    const grant = { user: cluster.user, paths: ['/d'], expiresAtMs: null }
    const { token, text } = await store.create({ ...grant, right: 'read' })
    t.teardown(() => store.revoke(token.id))
    await sleep(1_050)
    const [host = ''] = (await addresses()).values()
    const direct = `http://${host}/webhdfs/v1/d/small?op=OPEN`
    t.equal((await askUrl('GET', `${direct}&${user}`)).status, 401)
    t.equal((await ask('GET', `/d/small?op=OPEN&${user}`)).status, 401)
    const headers = { authorization: `Bearer ${text}` }
    for (const first of [
      await ask('GET', '/d/small?op=OPEN', { headers }),
      await ask('GET', `/d/small?op=OPEN&delegation=${text}`),
    ]) {
      t.equal(first.status, 307)
      t.notOk(first.headers.location?.includes(text), 'the token stays here')
      const second = await askUrl('GET', first.headers.location ?? '')
      t.equal(second.body.toString(), 'two more')
      const write = (first.headers.location ?? '').replace('op=OPEN', 'op=CREATE&overwrite=true')
      t.equal((await askUrl('PUT', write, { body: 'x' })).status, 401)
    }
    t.equal((await ask('PUT', '/d/new?op=CREATE', { headers })).status, 403)
    t.equal((await askUrl('GET', direct, { headers })).status, 200, 'a token counts there, too')
    t.equal((await askUrl('PUT', direct.replace('OPEN', 'CREATE'), { headers })).status, 403)
  },
)

t.test('keys change every day, are shared, and damaged ones count for nothing', async (t) => {
  const files = new PrivateDirectory(client, '/.trefoil/gateway/test-keys')
  const dayMs = 86_400_000
  let now = Date.now()
  const gateway = new Grants(files, () => now)
  const second = new Grants(files, () => now)
  const datanode = new Grants(files, () => now)
  const granted = { user: 'ada', operation: 'OPEN', path: '/x' }
  const old = await gateway.sign(granted, now + 10 * dayMs)
  await second.sign(granted, now + 1000)
  t.equal((await files.ids()).length, 1, 'gateways share a key')
  t.same(await datanode.verify(old, granted), { kind: 'valid', user: 'ada' })
  now += dayMs + 1
  const young = await gateway.sign(granted, now + 1000)
  t.not(young.split('_')[1], old.split('_')[1])
  t.same(
    await datanode.verify(young, granted),
    { kind: 'valid', user: 'ada' },
    'a new key is found',
  )
  t.equal((await datanode.verify(old, granted)).kind, 'valid', 'the old one counts for a day more')
  now += dayMs
  t.equal((await datanode.verify(old, granted)).kind, 'forged')
  await gateway.sign(granted, now + 1000)
  t.notOk((await files.ids()).includes(old.split('_')[1] ?? ''), 'and is removed')
  await files.add('f'.repeat(16), { id: 'f'.repeat(16), secret: 'short', createdAtMs: now })
  const damaged = young.replace(/_[0-9a-f]{16}_/, `_${'f'.repeat(16)}_`)
  t.equal((await new Grants(files, () => now).verify(damaged, granted)).kind, 'forged')
  await client.chmod(files.path, 0o755)
  await t.rejects(new Grants(files, () => now).verify(young, granted), /need mode 700/)
})
