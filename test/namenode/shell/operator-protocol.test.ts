import t, { type Test } from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { DfsClient } from '../../../client/index.ts'
import { runNamenode } from '../../../namenode/main.ts'
import { withSettings } from '../../../protocol/settings.ts'

/** A namenode in this process, and clients of it. */
async function startNamenode(t: Test): Promise<(user?: string) => DfsClient> {
  const closers: (() => Promise<void>)[] = []
  // Before testdir(): what was registered first ends first, and the directory must outlive the namenode.
  t.teardown(async () => {
    for (const close of closers) await close()
  })
  const settings = withSettings({ 'dfs.namenode.rpc-port': 0, 'dfs.namenode.http-port': 0 })
  const namenode = await runNamenode(settings, { directory: t.testdir(), logger: silentLogger })
  closers.push(() => namenode.stop())
  return (user) => {
    const client = new DfsClient({ uri: `hdfs://${namenode.addresses['rpc'] ?? ''}`, user })
    closers.unshift(() => client.close())
    return client
  }
}

t.test('anybody may read the repair guard, only a superuser may override it', async (t) => {
  const connect = await startNamenode(t)
  const stranger = connect('stranger')
  t.same(await stranger.operator.repairGuard(), {
    isPaused: false,
    lost: [],
    remaining: 0,
  })
  await t.rejects(stranger.operator.resumeRepair(), {
    dfsCode: 'PERMISSION_DENIED',
    message: /stranger/,
  })
  const superuser = connect()
  t.equal((await superuser.operator.resumeRepair()).isPaused, false)
})

t.test('chooseDatanode() names nobody while there is nobody', async (t) => {
  const connect = await startNamenode(t)
  const wanted = { clientHost: '127.0.0.1', blockSize: 1024, excluded: [] }
  t.equal(await connect('stranger').operator.chooseDatanode(wanted), undefined)
})
