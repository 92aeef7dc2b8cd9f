/** What gateways that were killed leave behind, and clients that are kept while somebody needs them. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Clients } from '../../../client/gateway/clients.ts'
import { Leftovers } from '../../../client/gateway/leftovers.ts'
import { isTemporaryName, temporaryName } from '../../../client/gateway/temporary-name.ts'
import { DfsClient } from '../../../client/index.ts'
import { startWebHdfs } from '../../support/webhdfs.ts'

const dayMs = 86_400_000

t.test('isTemporaryName() knows the names that temporaryName() makes, and no others', (t) => {
  for (const prefix of ['.uploading-', '.webhdfs-'] as const) {
    const name = temporaryName(prefix)
    t.match(name, /^\.[a-z]+-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    t.ok(isTemporaryName(name))
    t.not(temporaryName(prefix), name)
    const last = name.endsWith('0') ? '1' : '0'
    for (const other of [name.slice(0, -1) + last, `${name}.json`, `x${name}`, name.slice(1)]) {
      t.notOk(isTemporaryName(other), other)
    }
  }
  t.notOk(isTemporaryName('.webhdfs-3f2504e0-4f89-41d3-9a0c-0305e82c3301'), "somebody else's UUID")
  t.end()
})

t.test('old files of killed gateways go when something is stored beside them', async (t) => {
  const world = await startWebHdfs(t, { datanodes: 1, settings: { 'dfs.replication': 1 } })
  const { client, cluster, user } = world
  for (const directory of ['/l', '/m']) await client.mkdir(directory)
  const settled = [temporaryName('.webhdfs-'), temporaryName('.uploading-')]
  const resumable = temporaryName('.uploading-')
  const written = temporaryName('.webhdfs-')
  const foreign = '.webhdfs-3f2504e0-4f89-41d3-9a0c-0305e82c3301'
  for (const name of [...settled, resumable, foreign, 'plain']) {
    await client.writeFile(`/l/${name}`, 'x', { replication: 1 })
  }
  await client.writeFile(`/l/${resumable}.json`, '{}', { replication: 1 })
  await using open = await client.open(`/l/${written}`, 'wx', { replication: 1 })
  await open.write(Buffer.from('x'))
  let now = Date.now() + dayMs - 60_000
  const leftovers = new Leftovers({ now: () => now })
  t.equal(await leftovers.visit(client, '/l'), 0, 'younger than a day')
  now += 120_000
  t.equal(await leftovers.visit(client, '/l'), 0, 'a directory is left alone for an hour')
  now += 3_600_000
  const stranger = new DfsClient({ uri: cluster.uri, user: 'stranger' })
  t.teardown(() => stranger.close())
  t.equal(await new Leftovers({ now: () => now }).visit(stranger, '/l'), 0, 'without the right')
  t.equal(await leftovers.visit(client, '/none'), 0, 'a directory that is not there')
  t.equal(await leftovers.visit(client, '/l'), settled.length)
  const expected = [written, foreign, resumable, `${resumable}.json`, 'plain']
  t.same(new Set(await client.readdir('/l')), new Set(expected))
  const old = new Date(Date.now() - 2 * dayMs)
  const sent = temporaryName('.webhdfs-')
  await client.writeFile(`/m/${sent}`, 'x', { replication: 1 })
  await client.utimes(`/m/${sent}`, old, old)
  const options = { body: 'y' }
  t.equal((await world.ask('PUT', `/m/new?op=CREATE&data=true&${user}`, options)).status, 201)
  for (let left = 200; (await client.readdir('/m')).length > 1 && left > 0; left -= 1)
    await sleep(10)
  t.same(await client.readdir('/m'), ['new'], 'a request gives the occasion')
})

t.test('Clients closes the least recently used that nobody needs, and no other', async (t) => {
  const clients = new Clients('hdfs://127.0.0.1:1', 'own', 2)
  t.teardown(() => clients.close())
  t.equal(clients.hold('own').client, clients.own)
  const first = clients.hold('a')
  const held = clients.hold('b')
  clients.hold('c').release()
  t.equal(clients.count, 2, 'c was closed: a and b are in use')
  clients.hold('d')
  t.equal(clients.count, 3, 'what is used may be more')
  t.equal(clients.hold('a').client, first.client, 'and stays the same')
  held.release()
  held.release()
  t.equal(clients.count, 2)
  t.not(clients.hold('b').client, held.client, 'b was the one')
})
