import { constants } from 'node:fs'
import t from 'tap'
import { silentLogger } from '../../base/log.ts'
import { type ClientEvent, DfsClient, DfsFsError } from '../../client/index.ts'
import { LeaseRenewer } from '../../client/lease-renewer.ts'
import { parseClusterUri, resolvePath } from '../../client/path.ts'
import { DfsError } from '../../protocol/errors.ts'
import { pattern, startSdk } from '../support/sdk.ts'

t.test('a namenode that restarts is a pause for its callers, not an error', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/f', 'before')
  await cluster.stopRpc()
  const calls = [client.stat('/f'), client.exists('/none'), client.writeFile('/g', 'during')]
  await new Promise((resolve) => setTimeout(resolve, 150))
  await cluster.startRpc()
  const [status, exists] = await Promise.all(calls)
  t.match(status, { size: 6 })
  t.equal(exists, false)
  t.equal(await client.readFile('/g', 'utf8'), 'during')
})

t.test('C1: repeated calls carry the call id of the first attempt and count up', async (t) => {
  const { cluster, client } = await startSdk(t)
  cluster.failNext('create', new DfsError('SAFE_MODE', 'Name node is in safe mode.'))
  cluster.failNext('create', new DfsError('RETRIABLE', 'Try later'))
  await client.writeFile('/f', 'x')
  const creates = cluster.identities.filter(({ method }) => method === 'create')
  t.same(
    creates.map(({ retryCount }) => retryCount),
    [0, 1, 2],
  )
  t.equal(new Set(creates.map(({ callId }) => callId)).size, 1)
})

t.test('patience ends after the time of the policy, with the last error', async (t) => {
  const { cluster, client } = await startSdk(t, 1, { retry: { totalMs: 200 } })
  for (let index = 0; index < 50; index += 1) {
    cluster.failNext('getFileInfo', new DfsError('SAFE_MODE', 'Name node is in safe mode.'))
  }
  await t.rejects(client.stat('/f'), { code: 'EROFS', dfsCode: 'SAFE_MODE' })
  await cluster.stopRpc()
  await t.rejects(client.stat('/f'), { code: 'ECONNREFUSED', dfsCode: 'CONNECTION_LOST' })
})

t.test('an abort ends the wait for a namenode that is away', async (t) => {
  const { cluster, client } = await startSdk(t, 1)
  await cluster.stopRpc()
  const signal = AbortSignal.timeout(100)
  await t.rejects(client.stat('/f', { signal }), { name: 'AbortError', code: 'ECANCELED' })
})

t.test('errors of the namenode come with POSIX code, DFS code, path and Java class', async (t) => {
  const { cluster, client } = await startSdk(t)
  await t.rejects(client.stat('/none'), {
    name: 'DfsFsError',
    code: 'ENOENT',
    dfsCode: 'FILE_NOT_FOUND',
    path: '/none',
    javaClass: 'java.io.FileNotFoundException',
  })
  cluster.failNext('getBlockLocations', new DfsError('FILE_NOT_FOUND', 'Path is not a file: /d'))
  await t.rejects(client.readFile('/d'), { code: 'EISDIR', dfsCode: 'IS_A_DIRECTORY' })
  cluster.failNext('delete', new DfsError('PERMISSION_DENIED', 'Permission denied: user=a'))
  await t.rejects(client.rm('/x', { recursive: true }), { code: 'EACCES' })
  await t.rejects(client.rm('/', { recursive: true }), { code: 'EINVAL' })
  await t.rejects(client.readdir('/'), { code: 'ENOSYS', dfsCode: 'NO_SUCH_METHOD' })
  await t.rejects(client.access('/x', constants.R_OK + 8), { code: 'EINVAL' })
  await t.rejects(client.stat(''), { code: 'EINVAL' })
  t.throws(() => client.createReadStream('hdfs://elsewhere:1/f'), DfsFsError)
})

t.test(
  'paths may be absolute, relative to the home directory, or URIs of the cluster',
  async (t) => {
    const cluster = { host: 'nn', port: 8020 }
    const resolved = (path: string): string => resolvePath(path, cluster, '/user/me')
    t.equal(resolved('/a/b'), '/a/b')
    t.equal(resolved('a'), '/user/me/a')
    t.equal(resolved('.'), '/user/me')
    t.equal(resolved('/a//b/../c/./'), '/a/c')
    t.equal(resolved('/../..'), '/')
    t.equal(resolved('/a.b/..c/...'), '/a.b/..c/...')
    t.equal(resolved('hdfs://nn:8020/a%20b'), '/a%20b')
    t.equal(resolved('hdfs://nn/a'), '/a')
    t.equal(resolved('hdfs://nn:8020'), '/')
    t.equal(resolved('hdfs:///a'), '/a')
    t.throws(() => resolved('hdfs://nn:9000/a'), /connected to hdfs:\/\/nn:8020/)
    t.throws(() => resolved('a\0b'), /zero byte/)
    t.same(parseClusterUri('hdfs://h:1/x'), { host: 'h', port: 1 })
    t.same(parseClusterUri('hdfs://[::1]:9'), { host: '::1', port: 9 })
    t.same(parseClusterUri('h'), { host: 'h', port: 8020 })
    for (const bad of ['', 'hdfs://', 'h:x', 'h:99999', 'a b:1']) {
      t.throws(() => parseClusterUri(bad), /need hdfs:\/\/host:port/, bad)
    }
    const client = new DfsClient({ uri: 'hdfs://[::1]:9', user: 'me' })
    t.equal(client.uri, 'hdfs://[::1]:9')
    await client.close()
  },
)

t.test('LeaseRenewer renews while files are open, and survives a failed renewal', async (t) => {
  let beat: (() => void) | undefined
  let renewals = 0
  const renewer = new LeaseRenewer({
    renew() {
      renewals += 1
      return renewals === 1 ? Promise.reject(new Error('away')) : Promise.resolve()
    },
    periodMs: 30_000,
    timers: {
      after: () => ({ cancel: () => undefined }),
      every(periodMs, action) {
        t.equal(periodMs, 30_000)
        beat = action
        return {
          cancel() {
            beat = undefined
          },
        }
      },
    },
    logger: silentLogger,
  })
  const [one, two] = [{}, {}]
  renewer.add(one)
  renewer.add(two)
  t.equal(renewer.openFiles, 2)
  beat?.()
  beat?.()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(renewals, 1, 'a renewal that is under way is not repeated')
  beat?.()
  t.equal(renewals, 2)
  renewer.remove(one)
  t.ok(beat)
  renewer.remove(two)
  t.equal(beat, undefined)
})

t.test('a closed client connects to nobody', async (t) => {
  const { client } = await startSdk(t, 1)
  await client.writeFile('/f', 'x')
  await client.close()
  await t.rejects(client.stat('/f'))
})

t.test('onEvent tells of calls, failed replicas and broken pipelines', async (t) => {
  const events: ClientEvent[] = []
  const { cluster, client } = await startSdk(t, 3, {
    onEvent: (event) => {
      events.push(event)
      throw new Error('a listener that fails changes nothing')
    },
  })
  cluster.failNext('create', new DfsError('RETRIABLE', 'Try later'))
  const [first] = cluster.datanodes
  if (first) first.faults.dieAfterPackets = 2
  const data = pattern(1_000_000)
  await client.writeFile('/f', data)
  const ofKind = (kind: ClientEvent['kind']): ClientEvent[] =>
    events.filter((event) => event.kind === kind)
  t.match(
    ofKind('namenode-call').find((event) => 'method' in event && event.method === 'create'),
    { method: 'create', attempts: 2, durationMs: Number, code: undefined },
  )
  t.match(ofKind('pipeline-broken'), [{ path: '/f', datanodes: [/^127\.0\.0\.1:\d+$/] }])
  for (const { faults } of cluster.datanodes.slice(1, 2)) faults.cutReadAfterBytes = 400_000
  for (let count = 0; count < 4; count += 1) t.ok((await client.readFile('/f')).equals(data))
  t.match(ofKind('replica-read-failed')[0], { path: '/f', datanode: String, code: String })
  events.length = 0
  await t.rejects(client.readFile('/none'))
  t.match(ofKind('namenode-call'), [{ method: 'getBlockLocations', code: 'FILE_NOT_FOUND' }])
})
