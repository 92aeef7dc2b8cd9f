/** What Hadoop's `dfsadmin` asks of the namenode's own state, over RPC against a namenode in this process. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../base/log.ts'
import { systemTimers } from '../../base/system.ts'
import { DfsClient } from '../../client/index.ts'
import { runNamenode } from '../../namenode/main.ts'
import {
  getUserMappingsProtocol,
  refreshUserMappingsProtocol,
} from '../../protocol/messages/user-mappings.ts'
import { withSettings } from '../../protocol/settings.ts'
import { RpcClient } from '../../transport/rpc-client.ts'

interface World {
  readonly directory: string
  readonly client: DfsClient
  readonly stranger: DfsClient
  readonly rpc: (user: string) => RpcClient
}

async function start(t: Test): Promise<World> {
  const stoppers: (() => unknown)[] = []
  // Before testdir(): what was registered first ends first, and the directory must outlive the namenode.
  t.teardown(async () => {
    for (const stop of stoppers.reverse()) await stop()
  })
  const directory = join(t.testdir(), 'namenode')
  const settings = withSettings({
    ...{ 'dfs.namenode.rpc-port': 0, 'dfs.namenode.http-port': 0 },
    // With no datanode a restart must not wait for one.
    'dfs.namenode.safemode.threshold-permille': 0,
  })
  const namenode = await runNamenode(settings, { directory, logger: silentLogger })
  stoppers.push(() => namenode.stop())
  const [host = '', port = ''] = (namenode.addresses['rpc'] ?? '').split(':')
  const connect = (user: string): DfsClient => {
    const client = new DfsClient({ uri: `hdfs://${host}:${port}`, user })
    stoppers.push(() => client.close())
    return client
  }
  const rpc = (user: string): RpcClient => {
    const client = new RpcClient({
      ...{ host, port: Number(port), user, connectTimeoutMs: 1000, callTimeoutMs: 5000 },
      ...{ logger: silentLogger, timers: systemTimers },
    })
    stoppers.push(() => {
      client.close()
    })
    return client
  }
  return { directory, client: connect('root'), stranger: connect('mallory'), rpc }
}

t.test('saveNamespace empties the journal into the database, in safe mode only', async (t) => {
  const { directory, client } = await start(t)
  const save = (timeWindow = 0, txGap = 0) =>
    client.callNamenode('saveNamespace', { timeWindow, txGap })
  await t.rejects(save(), { message: /Safe mode should be turned ON/ })
  await client.mkdir('/made')
  await client.callNamenode('setSafeMode', { action: 'SAFEMODE_ENTER', checked: false })
  t.match(await save(), { saved: true })
  t.match(await save(), { saved: true }, 'HDFS saves whenever it is asked to')
  t.match(await save(10_800, 3_000_000), { saved: false }, 'unless it is asked to save if needed')
  await client.callNamenode('setSafeMode', { action: 'SAFEMODE_LEAVE', checked: false })
  await client.mkdir('/after')
  const segments = readdirSync(join(directory, 'journal'))
  t.ok(segments.includes('journal-0000000000000003'), 'what comes next is in a segment of its own')
})

t.test('rollEdits begins a segment at the transaction that it names', async (t) => {
  const { directory, client } = await start(t)
  await client.mkdir('/one')
  const { newSegmentTxId } = await client.callNamenode('rollEdits', {})
  const { txid } = await client.callNamenode('getCurrentEditLogTxid', {})
  t.equal(newSegmentTxId, txid + 1)
  await client.mkdir('/two')
  const name = `journal-${newSegmentTxId.toString(16).padStart(16, '0')}`
  t.ok(readdirSync(join(directory, 'journal')).includes(name), name)
})

t.test(
  'metaSave writes the queues of repair into the log directory, and nowhere else',
  async (t) => {
    const { directory, client } = await start(t)
    await client.mkdir('/a')
    await client.callNamenode('metaSave', { filename: 'meta.txt' })
    const text = readFileSync(join(directory, 'logs', 'meta.txt'), 'utf8')
    t.match(text, /^\d+ files and directories, 0 blocks = \d+ total filesystem objects$/m)
    t.match(text, /^Live Datanodes: 0$/m)
    t.match(text, /^Metasave: Blocks currently missing: 0$/m)
    for (const filename of ['../meta.txt', '/tmp/meta.txt', '..', '', 'a b']) {
      await t.rejects(client.callNamenode('metaSave', { filename }), {
        message: /is not a name for a file in the log directory/,
      })
    }
    mkdirSync(join(directory, 'logs', 'taken'))
    await t.rejects(client.callNamenode('metaSave', { filename: 'taken' }), {
      message: /Cannot write .*taken/,
    })
  },
)

t.test('what there is nothing to do for succeeds, and only a superuser may ask', async (t) => {
  const { client, stranger, rpc } = await start(t)
  await client.callNamenode('finalizeUpgrade', {})
  t.match(await client.callNamenode('restoreFailedStorage', { arg: 'check' }), { result: false })
  const denied = { message: /Superuser privilege is required/ }
  await t.rejects(stranger.callNamenode('saveNamespace', { timeWindow: 0, txGap: 0 }), denied)
  await t.rejects(stranger.callNamenode('rollEdits', {}), denied)
  await t.rejects(stranger.callNamenode('finalizeUpgrade', {}), denied)
  await t.rejects(stranger.callNamenode('restoreFailedStorage', { arg: 'true' }), denied)
  await t.rejects(stranger.callNamenode('metaSave', { filename: 'x' }), denied)
  for (const method of [
    'refreshUserToGroupsMappings',
    'refreshSuperUserGroupsConfiguration',
  ] as const) {
    await rpc('root').call(refreshUserMappingsProtocol, method, {})
    await t.rejects(rpc('mallory').call(refreshUserMappingsProtocol, method, {}), denied)
  }
  const groupsOf = (user: string) =>
    rpc('mallory').call(getUserMappingsProtocol, 'getGroupsForUser', { user })
  t.match((await groupsOf('root')).groups[0], 'root')
  t.same((await groupsOf('nobody-of-that-name')).groups, [])
})
