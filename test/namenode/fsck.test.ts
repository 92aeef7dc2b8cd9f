/** `/fsck` of the namenode as Hadoop's `hdfs fsck` asks for it, on a small cluster in this process. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { silentLogger } from '../../base/log.ts'
import { DfsClient } from '../../client/index.ts'
import { type RunningDatanode, runDatanode } from '../../datanode/main.ts'
import { runNamenode } from '../../namenode/main.ts'
import { withSettings } from '../../protocol/settings.ts'

interface Answer {
  readonly status: number
  readonly lines: readonly string[]
}

interface World {
  readonly client: DfsClient
  readonly datanode: RunningDatanode
  readonly fsck: (query: string, headers?: Record<string, string>) => Promise<Answer>
}

async function start(t: Test): Promise<World> {
  const stoppers: (() => Promise<unknown>)[] = []
  // Before testdir(): what was registered first ends first, and the directory must outlive the daemons.
  t.teardown(async () => {
    for (const stop of stoppers.reverse()) await stop()
  })
  const directory = t.testdir()
  const settings = {
    'dfs.namenode.rpc-port': 0,
    'dfs.namenode.http-port': 0,
    'dfs.namenode.stale.datanode.interval': 500,
    'dfs.namenode.dead.datanode.interval': 1000,
    'dfs.heartbeat.interval': 100,
    'dfs.datanode.reserved-bytes': 0,
    'dfs.replication': 1,
  }
  const namenode = await runNamenode(withSettings(settings), {
    directory: join(directory, 'namenode'),
    logger: silentLogger,
  })
  stoppers.push(() => namenode.stop())
  const uri = `hdfs://${namenode.addresses['rpc'] ?? ''}`
  const datanode = await runDatanode(withSettings({ ...settings, 'fs.defaultFS': uri }), {
    directories: [join(directory, 'datanode')],
    logger: silentLogger,
  })
  stoppers.push(() => datanode.stop())
  const client = new DfsClient({ uri, user: 'root', settings: { 'dfs.replication': 1 } })
  stoppers.push(() => client.close())
  const base = `http://${namenode.addresses['http'] ?? ''}/fsck`
  return {
    client,
    datanode,
    fsck: async (query, headers = {}) => {
      const response = await fetch(`${base}?${query}`, { headers })
      return { status: response.status, lines: (await response.text()).split('\n') }
    },
  }
}

/** The last line that says something, by which Hadoop's client chooses its exit code. */
function verdict({ lines }: Answer): string | undefined {
  return lines.findLast((line) => line !== '')
}

t.test('fsck over HTTP tells what is there, in the words of HDFS', async (t) => {
  const { client, fsck } = await start(t)
  await client.mkdir('/a/b', { recursive: true })
  await client.writeFile('/a/one', Buffer.alloc(3000, 1))
  await client.writeFile('/a/three', 'xyz', { replication: 3 })
  const all = await fsck('ugi=root&path=%2F')
  t.equal(all.status, 200)
  t.match(
    all.lines[0],
    /^FSCK started by root \(auth:SIMPLE\) from \/.*127\.0\.0\.1 for path \/ at /,
  )
  t.match(all.lines.join('\n'), / Total dirs:\t\t\t3\n.* Total symlinks:\t\t0\n/)
  t.match(all.lines.join('\n'), / Total files:\t2\n.* Default replication factor:\t1\n/s)
  t.equal(verdict(all), "The filesystem under path '/' is HEALTHY")
  const details = await fsck('ugi=root&files=1&blocks=1&locations=1&path=%2Fa')
  const text = details.lines.join('\n')
  t.match(text, /^\/a <dir>$/m)
  t.match(text, /^\/a\/b <dir>$/m)
  t.match(text, /^\/a\/one 3000 bytes, replicated: replication=1, 1 block\(s\): {2}OK$/m)
  t.match(
    text,
    /^0\. BP-\S+:blk_\d+_\d+ len=3000 Live_repl=1 {2}\[DatanodeInfoWithStorage\[127\.0\.0\.1:\d+,DS-\S+,DISK\]\]$/m,
  )
  t.match(
    text,
    /^\/a\/three: Under replicated BP-.* Target Replicas is 3 but found 1 live replica/m,
  )
  const one = await fsck('ugi=root&path=%2Fa%2Fone&files=1&blocks=1&racks=1')
  t.match(one.lines.join('\n'), / Total files:\t1\n/)
  t.match(one.lines.join('\n'), / {2}\[\/default-rack\/127\.0\.0\.1:\d+\]$/m)
  t.equal(verdict(await fsck('ugi=root&path=%2Fnope')), "Path '/nope' does not exist")
  const none = await fsck('ugi=root&path=%2F&listcorruptfileblocks=1&startblockafter=0')
  t.equal(verdict(none), "The filesystem under path '/' has no CORRUPT files")
  const [block] = await client.blockLocations('/a/one')
  const told = await fsck(`ugi=root&path=%2F&blockId=blk_${block?.blockId}+blk_77+nonsense`)
  t.match(told.lines.join('\n'), /Block belongs to: \/a\/one\nNo\. of Expected Replica: 1\n/)
  t.match(told.lines.join('\n'), /127\.0\.0\.1:\d+\/default-rack is HEALTHY\n/)
  t.match(
    told.lines.join('\n'),
    /Block blk_77 does not exist\n\nIncorrect blockId format: nonsense/,
  )
})

t.test('fsck sees only what its user may, and leaves moving to the shell', async (t) => {
  const { client, fsck } = await start(t)
  await client.mkdir('/secret', { mode: 0o700 })
  const denied = await fsck('ugi=alice&path=%2F')
  t.match(denied.lines.join('\n'), /Permission denied: user=alice/)
  t.equal(verdict(denied), "Fsck on path '/' FAILED")
  t.equal(verdict(await fsck('path=%2F')), "Fsck on path '/' FAILED", 'nor who does not say a name')
  const moved = await fsck('ugi=root&path=%2F&move=1')
  t.match(moved.lines.join('\n'), /`dfs fsck PATH -move` does/)
  t.equal(verdict(moved), "Fsck on path '/' FAILED")
})

t.test(
  'what nobody can read is listed, and deleted when a client, not a page, says so',
  async (t) => {
    const { client, datanode, fsck } = await start(t)
    await client.writeFile('/lost', 'gone')
    await client.writeFile('/empty', '')
    await datanode.stop()
    let answer = await fsck('ugi=root&path=%2F')
    while (verdict(answer) !== "The filesystem under path '/' is CORRUPT") {
      await sleep(100)
      answer = await fsck('ugi=root&path=%2F')
    }
    t.match(answer.lines.join('\n'), /^ {2}MISSING BLOCKS:\t1\n {2}MISSING SIZE:\t\t4 B$/m)
    const list = 'ugi=root&listcorruptfileblocks=1&path=%2F'
    const listed = await fsck(list)
    t.match(listed.lines.join('\n'), /^Cookie:\t1\nblk_\d+\t1\t\/lost$/m)
    t.equal(verdict(listed), "The filesystem under path '/' has 1 CORRUPT files")
    const more = await fsck(`${list}&startblockafter=1`)
    t.equal(verdict(more), "The filesystem under path '/' has no more CORRUPT files")
    const deletion = 'ugi=root&path=%2F&delete=1'
    for (const name of ['origin', 'referer', 'sec-fetch-site']) {
      t.equal((await fsck(deletion, { [name]: 'http://127.0.0.1:1' })).status, 403, name)
    }
    t.ok(await client.exists('/lost'))
    t.ok((await fsck(deletion)).lines.includes('/lost: deleted'))
    t.notOk(await client.exists('/lost'))
    t.ok(await client.exists('/empty'))
    t.equal(verdict(await fsck('ugi=root&path=%2F')), "The filesystem under path '/' is HEALTHY")
  },
)
