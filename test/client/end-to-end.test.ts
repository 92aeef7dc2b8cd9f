import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../base/log.ts'
import { DfsClient } from '../../client/index.ts'
import { type RunningDatanode, runDatanode } from '../../datanode/main.ts'
import { type RunningNamenode, runNamenode } from '../../namenode/main.ts'
import { type Settings, settings as settingsTable } from '../../protocol/settings.ts'
import { pattern } from '../support/sdk.ts'

const mebibyte = 1024 * 1024

/** A namenode and datanodes of ours in this process. */
class InProcessCluster {
  readonly datanodes: RunningDatanode[] = []
  readonly #directory: string
  #namenode: RunningNamenode | undefined
  #port = 0

  constructor(directory: string) {
    this.#directory = directory
  }

  get uri(): string {
    return `hdfs://127.0.0.1:${this.#port}`
  }

  async start(datanodeCount: number): Promise<void> {
    await this.startNamenode()
    for (let index = 0; index < datanodeCount; index += 1) {
      this.datanodes.push(
        await runDatanode(this.#settings(), {
          directories: [join(this.#directory, `datanode-${index}`)],
          logger: silentLogger,
        }),
      )
    }
  }

  async startNamenode(): Promise<void> {
    this.#namenode = await runNamenode(this.#settings(), {
      directory: join(this.#directory, 'namenode'),
      logger: silentLogger,
    })
    this.#port = Number(this.#namenode.addresses['rpc']?.split(':').at(-1))
  }

  async stopNamenode(): Promise<void> {
    await this.#namenode?.stop()
  }

  async stop(): Promise<void> {
    for (const datanode of this.datanodes) await datanode.stop()
    await this.stopNamenode()
  }

  #settings(): Settings {
    const defaults = Object.entries(settingsTable).map(([name, row]) => [name, row.default])
    return {
      ...(Object.fromEntries(defaults) as Settings),
      'fs.defaultFS': this.uri,
      'dfs.namenode.rpc-port': this.#port,
      'dfs.namenode.http-port': 0,
      'dfs.heartbeat.interval': 200,
    }
  }
}

t.test('the SDK works on our own cluster, through failures', async (t) => {
  const cluster = new InProcessCluster(t.testdir())
  await cluster.start(3)
  const client = new DfsClient({ uri: cluster.uri })
  try {
    await exercise(t, cluster, client)
  } finally {
    await client.close()
    await cluster.stop()
  }
})

async function exercise(t: Test, cluster: InProcessCluster, client: DfsClient): Promise<void> {
  await live(client, 3)
  const content = pattern(3 * mebibyte + 4711)

  await client.mkdir('/a/b', { recursive: true })
  await client.writeFile('/a/b/f', content, { blockSize: mebibyte })
  t.ok((await client.readFile('/a/b/f')).equals(content))
  t.ok(
    (await client.readFile('/a/b/f', { start: 500, end: 2 * mebibyte })).equals(
      content.subarray(500, 2 * mebibyte + 1),
    ),
  )
  const [node] = await client.datanodes('live')
  t.match(node, { volumes: 1, failedVolumes: 0 })
  t.type(node?.oldestUnverifiedMs, 'number', 'datanodes say how far verifying is')
  t.same(await client.readdir('/a'), ['b'])
  const located = await client.blockLocations('/a/b/f')
  t.same(
    located.map(({ datanodes }) => datanodes.length),
    [3, 3, 3, 3],
  )
  await t.rejects(client.mkdir('/a'), { code: 'EEXIST' })
  await t.rejects(client.rmdir('/a/b'), { code: 'ENOTEMPTY' })
  await t.rejects(client.stat('/a/b/f/x'), { code: 'ENOTDIR' })
  await t.rejects(client.writeFile('/none/f', 'x'), { code: 'ENOENT' })

  const log = client.createWriteStream('/a/log')
  log.write(content.subarray(0, 700))
  await log.hflush()
  t.equal((await client.readFile('/a/log')).length, 700)
  log.write(content.subarray(700, 1000))
  await log.hsync()
  log.end(content.subarray(1000, 2000))
  await once(log, 'close')
  t.ok((await client.readFile('/a/log')).equals(content.subarray(0, 2000)))

  const stream = client.createWriteStream('/a/large', { blockSize: 4 * mebibyte })
  stream.write(content.subarray(0, 2 * mebibyte))
  await stream.hflush()
  await cluster.datanodes.shift()?.stop()
  stream.end(content.subarray(2 * mebibyte))
  await once(stream, 'close')
  t.ok((await client.readFile('/a/large')).equals(content), 'a datanode went away in mid-block')
  t.ok((await client.readFile('/a/b/f')).equals(content))

  await cluster.stopNamenode()
  const waiting = [client.writeFile('/a/late', 'late'), client.stat('/a/b/f')]
  await cluster.startNamenode()
  await Promise.all(waiting)
  t.equal(await client.readFile('/a/late', 'utf8'), 'late', 'a restart is a pause')

  await explains(t, client, '/a/late')
  await keepsTrash(t, client)

  await client.rename('/a/late', '/a/log')
  t.equal((await client.stat('/a/log')).size, 4)
  await client.rm('/a', { recursive: true })
  t.notOk(await client.exists('/a'))
}

async function explains(t: Test, client: DfsClient, path: string): Promise<void> {
  const [location] = await client.blockLocations(path)
  const { block } = await client.operator.explainBlock(location?.blockId ?? 0)
  t.match(block, { path, state: 'complete', wanted: 3, generationStamp: location?.generationStamp })
  t.ok((block?.replicas ?? []).some(({ worth }) => worth === 'GOOD' || worth === 'UNCONFIRMED'))
  t.same(await client.operator.explainBlock(1), {}, 'a block that nobody knows')
  const [node] = await client.datanodes('live')
  const { datanode } = await client.operator.explainDatanode(node?.uuid ?? '')
  t.match(datanode, { uuid: node?.uuid, liveness: 'live', storages: 1 })
}

async function keepsTrash(t: Test, client: DfsClient): Promise<void> {
  t.equal((await client.serverDefaults()).trashInterval, 1440, 'told to shells of HDFS as well')
  await client.mkdir('/t')
  await client.writeFile('/t/x', 'precious')
  const moved = await client.trash.moveIn('/t/x')
  t.equal(moved, `/user/${client.user}/.Trash/Current/t/x`)
  t.notOk(await client.exists('/t/x'))
  t.equal((await client.stat(`/user/${client.user}/.Trash/Current/t`)).mode, 0o700)
  const { value: entry } = await client.trash.list().next()
  t.match(entry, { originalPath: '/t/x', checkpoint: 'Current' })
  await client.trash.restore('/t/x')
  t.equal(await client.readFile('/t/x', 'utf8'), 'precious')
  await client.rm(client.trash.root, { recursive: true })
  await t.rejects(client.trash.moveIn('/nope'), { code: 'ENOENT' })
  t.notOk(await client.exists(client.trash.root), 'nothing was made for a path that does not exist')
}

async function live(client: DfsClient, count: number): Promise<void> {
  while ((await client.datanodes('live')).length < count) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
