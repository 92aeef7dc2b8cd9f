/** Draining and maintenance on a small cluster in this process, through the SDK and over restarts. */
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../base/log.ts'
import { DfsClient, type NodeStatus } from '../../client/index.ts'
import { type RunningDatanode, runDatanode } from '../../datanode/main.ts'
import { type RunningNamenode, runNamenode } from '../../namenode/main.ts'
import { type Settings, withSettings } from '../../protocol/settings.ts'

/** Daemons whose heartbeats are quick. */
class Cluster {
  readonly datanodes: RunningDatanode[] = []
  readonly #directory: string
  #namenode: RunningNamenode | undefined
  #port = 0

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async start(t: Test, count: number): Promise<Cluster> {
    const stoppers: (() => Promise<void>)[] = []
    // Before testdir(): what was registered first ends first, and the directory must outlive the daemons.
    t.teardown(async () => {
      for (const stop of stoppers) await stop()
    })
    const cluster = new Cluster(t.testdir())
    stoppers.push(() => cluster.#stop())
    await cluster.startNamenode()
    for (let index = 0; index < count; index += 1) await cluster.startDatanode(index)
    return cluster
  }

  client(): DfsClient {
    return new DfsClient({ uri: `hdfs://127.0.0.1:${this.#port}` })
  }

  async startNamenode(): Promise<void> {
    const directory = join(this.#directory, 'namenode')
    this.#namenode = await runNamenode(this.#settings(), { directory, logger: silentLogger })
    this.#port = Number(this.#namenode.addresses['rpc']?.split(':').at(-1))
  }

  async stopNamenode(): Promise<void> {
    await this.#namenode?.stop()
    this.#namenode = undefined
  }

  async startDatanode(index: number): Promise<void> {
    const directories = [join(this.#directory, `datanode-${index}`)]
    this.datanodes[index] = await runDatanode(this.#settings(), {
      directories,
      logger: silentLogger,
    })
  }

  async #stop(): Promise<void> {
    for (const datanode of this.datanodes) await datanode.stop()
    await this.stopNamenode()
  }

  #settings(): Settings {
    return withSettings({
      'fs.defaultFS': `hdfs://127.0.0.1:${this.#port}`,
      'dfs.namenode.rpc-port': this.#port,
      'dfs.namenode.http-port': 0,
      'dfs.heartbeat.interval': 100,
      'dfs.datanode.reserved-bytes': 0,
    })
  }
}

/** Asks again until the datanode is as wanted; the answers come over a socket, so others run meanwhile. */
async function until(
  client: DfsClient,
  uuid: string,
  isWanted: (node: NodeStatus) => boolean,
): Promise<NodeStatus> {
  for (;;) {
    const [node] = await client.operator.nodes({ node: uuid, blocksLeftMax: 5 })
    if (node !== undefined && isWanted(node)) return node
  }
}

async function live(client: DfsClient, count: number): Promise<readonly NodeStatus[]> {
  for (;;) {
    const nodes = await client.operator.nodes()
    if (nodes.filter(({ liveness }) => liveness === 'LIVE').length >= count) return nodes
  }
}

const isDrained = ({ adminState }: NodeStatus): boolean => adminState === 'DECOMMISSIONED'

t.test('a datanode is drained, over a restart of the namenode, and switched off', async (t) => {
  const cluster = await Cluster.start(t, 3)
  const client = cluster.client()
  const [first] = await live(client, 3)
  const uuid = first?.uuid ?? ''
  const name = first?.name ?? ''
  for (let index = 0; index < 6; index += 1) {
    await client.writeFile(`/file-${index}`, `content ${index}`, { replication: 2 })
  }
  const open = client.createWriteStream('/open', { replication: 3 })
  open.write('begun')
  await open.hflush()

  await t.rejects(client.operator.drainNode('127.0.0.9'), { message: /No datanode is called/ })
  await t.rejects(client.operator.drainNode('127.0.0.1'), { message: /names 3 datanodes/ })
  t.match(await client.operator.drainNode(name), { uuid, adminState: 'DECOMMISSION_INPROGRESS' })
  t.match(await client.datanodes('decommissioning'), [
    { uuid, adminState: 'DECOMMISSION_INPROGRESS' },
  ])
  await client.writeFile('/new', 'placed elsewhere', { replication: 2 })
  const located = await client.blockLocations('/new')
  t.notOk(located[0]?.datanodes.some((holder) => holder.uuid === uuid))

  open.end()
  await once(open, 'close')
  // Its third replica has nowhere to go on a cluster of three.
  const stuck = await until(client, uuid, ({ blocksLeft }) => blocksLeft.length === 1)
  t.match(stuck, { blocksLeft: [{ path: '/open', reason: /no datanode can take a copy/ }] })
  await cluster.stopNamenode()
  await cluster.startNamenode()
  await live(client, 3)
  t.match(await client.operator.nodes({ node: uuid }), [{ adminState: 'DECOMMISSION_INPROGRESS' }])
  await client.setReplication('/open', 2)
  await until(client, uuid, isDrained)
  t.match(await client.operator.drainNode(uuid), { adminState: 'DECOMMISSIONED' })

  await cluster.datanodes[0]?.stop()
  for (let index = 0; index < 6; index += 1) {
    t.equal(await client.readFile(`/file-${index}`, 'utf8'), `content ${index}`)
  }
  await cluster.stopNamenode()
  await cluster.startNamenode()
  t.match(await until(client, uuid, isDrained), { liveness: 'UNKNOWN', name })
  t.match(await client.operator.resumeNode(uuid), { adminState: 'NORMAL' })
  await client.close()
})

t.test('maintenance ends by itself, and only a superuser may ask for it', async (t) => {
  const cluster = await Cluster.start(t, 2)
  const client = cluster.client()
  const [first] = await live(client, 2)
  const uuid = first?.uuid ?? ''
  await client.writeFile('/file', 'content', { replication: 2 })
  const stranger = new DfsClient({ uri: client.uri, user: 'stranger' })
  await t.rejects(stranger.operator.maintainNode(uuid), { message: /Superuser privilege/ })
  t.match(await stranger.operator.nodes({ node: uuid }), [{ adminState: 'NORMAL' }])
  await stranger.close()

  await client.operator.maintainNode(uuid)
  await until(client, uuid, ({ adminState }) => adminState === 'IN_MAINTENANCE')
  t.match(await client.datanodes('in-maintenance'), [{ uuid }])
  const ending = await client.operator.maintainNode(uuid, { durationMs: 300 })
  t.match(ending, { adminState: 'IN_MAINTENANCE', expiresAtMs: Number })
  await until(client, uuid, ({ adminState }) => adminState === 'NORMAL')
  t.equal((await client.blockStats()).lowRedundancy, 0)
  await client.close()
})
