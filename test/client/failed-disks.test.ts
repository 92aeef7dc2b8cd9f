import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../base/log.ts'
import { DfsClient } from '../../client/index.ts'
import { type RunningDatanode, runDatanode } from '../../datanode/main.ts'
import { runNamenode } from '../../namenode/main.ts'
import { withSettings } from '../../protocol/settings.ts'
import { pattern } from '../support/sdk.ts'

const files = 6

t.test('replicas of a lost disk are made again while its datanode goes on', async (t) => {
  const root = t.testdir()
  const settings = {
    'dfs.namenode.rpc-port': 0,
    'dfs.namenode.http-port': 0,
    'dfs.heartbeat.interval': 100,
    'dfs.datanode.disk.check.interval': 200,
    'dfs.datanode.reserved-bytes': 0,
  }
  const namenode = await runNamenode(withSettings(settings), {
    directory: join(root, 'namenode'),
    logger: silentLogger,
  })
  const uri = `hdfs://${namenode.addresses['rpc'] ?? ''}`
  const datanodes: RunningDatanode[] = []
  for (let index = 0; index < 3; index += 1) {
    const directories = ['one', 'two'].map((disk) => join(root, `node-${index}`, disk))
    const all = withSettings({ ...settings, 'fs.defaultFS': uri })
    datanodes.push(await runDatanode(all, { directories, logger: silentLogger }))
  }
  const client = new DfsClient({ uri })
  try {
    await loseDisk(t, client, datanodes)
  } finally {
    await client.close()
    for (const datanode of datanodes) await datanode.stop()
    await namenode.stop()
  }
})

async function loseDisk(
  t: Test,
  client: DfsClient,
  datanodes: readonly RunningDatanode[],
): Promise<void> {
  while ((await client.datanodes('live')).length < 3);
  for (let index = 0; index < files; index += 1) {
    await client.writeFile(`/f${index}`, pattern(50_000 + index), { replication: 2 })
  }
  const storages = datanodes.flatMap((datanode) => datanode.status().storages)
  const lost = storages.find(({ replicas }) => replicas > 0)
  if (lost === undefined) throw new Error('a disk must have replicas')
  await rename(join(lost.path, 'current'), join(lost.path, 'away'))
  const failed = async (): Promise<number> => {
    const nodes = await client.datanodes('live')
    return nodes.reduce((sum, { failedVolumes }) => sum + failedVolumes, 0)
  }
  while ((await failed()) === 0);
  for (let index = 0; index < files; index += 1) {
    const path = `/f${index}`
    while ((await client.blockLocations(path)).some(({ datanodes: at }) => at.length < 2));
    t.ok((await client.readFile(path)).equals(pattern(50_000 + index)), `${path} is whole`)
  }
  const working = datanodes.flatMap((datanode) => datanode.status().storages)
  t.equal(working.filter((storage) => storage.failed).length, 1)
  const replicas = working.reduce((sum, storage) => sum + storage.replicas, 0)
  t.ok(replicas >= 2 * files, `${replicas} replicas on the disks that work`)
  t.ok(datanodes.every((datanode) => datanode.status().session === 'registered'))
  await client.writeFile('/later', 'x', { replication: 3 })
  t.equal(await client.readFile('/later', 'utf8'), 'x', 'and every datanode takes new ones')
}
