/** `dfs node drain --wait` on real daemons: when it returns, the datanode may be switched off for good. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startCluster } from '../support/cluster.ts'
import { type ProgramResult, run } from '../support/foreign-program.ts'

/** Compiled entry of the `dfs` command, beside the compiled tests. */
const entry = join(dirname(fileURLToPath(import.meta.url)), '../../client/cli/main.js')
const fileCount = 20

t.test('a datanode that node drain --wait is done with has nothing that is needed', async (t) => {
  t.setTimeout(120_000)
  const cluster = await startCluster({
    datanodes: 4,
    settings: {
      'dfs.heartbeat.interval': 500,
      'dfs.namenode.stale.datanode.interval': 3_000,
      'dfs.namenode.dead.datanode.interval': 6_000,
    },
  })
  t.teardown(() => cluster.stop())
  const client = cluster.client()
  t.teardown(() => client.close())
  const dfs = (...args: string[]): Promise<ProgramResult> =>
    run(process.execPath, [entry, 'node', ...args, '--fs', cluster.uri], { env: {} })

  const before = new Set((await client.datanodes('live')).map(({ uuid }) => uuid))
  t.teardown(() => cluster.kill('datanode-5'))
  cluster.start('datanode-5')
  await cluster.ready(5)
  const joined = (await client.datanodes('live')).find(({ uuid }) => !before.has(uuid))
  if (joined === undefined) throw new Error('datanode-5 is not live')
  const { uuid } = joined
  const contents = Array.from({ length: fileCount }, (_, index) =>
    Buffer.alloc(1000 + 50_000 * index, index + 1),
  )
  const pathOf = (index: number): string => `/file-${index}`
  const isHeld = async (path: string): Promise<boolean> =>
    (await client.blockLocations(path)).some(({ datanodes }) =>
      datanodes.some((datanode) => datanode.uuid === uuid),
    )
  await Promise.all(
    contents.map((content, index) =>
      client.writeFile(pathOf(index), content, { replication: index % 2 === 0 ? 1 : 3 }),
    ),
  )
  const held = await Promise.all(contents.map((_, index) => isHeld(pathOf(index))))
  t.ok(held.includes(true), 'the datanode has some of it')

  const drained = await dfs('drain', uuid, '--wait')
  t.equal(drained.status, 0, drained.stderr)
  t.match(drained.stdout, /: live, draining[^]*: live, drained\n$/)
  await client.writeFile('/later', Buffer.alloc(100))
  t.notOk(await isHeld('/later'), 'nothing new goes there')
  await cluster.kill('datanode-5')
  for (const [index, content] of contents.entries())
    t.ok(content.equals(await client.readFile(pathOf(index))), pathOf(index))

  cluster.start('datanode-5')
  await cluster.ready(5)
  const resumed = await dfs('resume', uuid)
  t.match(
    resumed,
    { status: 0, stdout: /: (live|disconnected)\n$/ },
    'it belongs to the cluster again',
  )
})
