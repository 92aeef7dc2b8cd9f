/** `dfs namenode backup` and `restore` against namenodes in this process. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../base/log.ts'
import { DfsClient } from '../../client/index.ts'
import { type RunningDatanode, runDatanode } from '../../datanode/main.ts'
import { type RunningNamenode, runNamenode } from '../../namenode/main.ts'
import { readManifest } from '../../ops/backup/directory.ts'
import { offlineSource } from '../../ops/backup/offline-source.ts'
import { type Moment, restore, verifyBackup } from '../../ops/backup/restore.ts'
import { backUp } from '../../ops/backup/run.ts'
import { type BackupSource, onlineSource } from '../../ops/backup/source.ts'
import { type Settings, withSettings } from '../../protocol/settings.ts'

const latest: Moment = { kind: 'latest' }
const incremental = { isFull: false }

/** A namenode and the place for its backup; whatever was started is stopped before the directory goes. */
class World {
  readonly directory: string
  readonly backup: string
  /** Stopped in the opposite order. */
  readonly #daemons: { stop(): Promise<void> }[] = []
  readonly #clients: DfsClient[] = []

  constructor(t: Test) {
    this.directory = t.testdir()
    this.backup = join(this.directory, 'backup')
  }

  async start(name: string, settings: Partial<Settings> = {}): Promise<RunningNamenode> {
    const namenode = await runNamenode(
      withSettings({
        'dfs.namenode.rpc-port': 0,
        'dfs.namenode.http-port': 0,
        'dfs.namenode.resource.du.reserved': 0,
        ...settings,
      }),
      { directory: join(this.directory, name), logger: silentLogger },
    )
    this.#daemons.push(namenode)
    return namenode
  }

  /** The one datanode; it keeps its directory. */
  async startDatanode(namenode: RunningNamenode): Promise<RunningDatanode> {
    const settings = withSettings({
      'fs.defaultFS': `hdfs://${namenode.addresses['rpc'] ?? ''}`,
      'dfs.datanode.port': 0,
      'dfs.datanode.ipc-port': 0,
      'dfs.datanode.http-port': 0,
      'dfs.datanode.reserved-bytes': 0,
      'dfs.heartbeat.interval': 100,
    })
    const directories = [join(this.directory, 'datanode')]
    const datanode = await runDatanode(settings, { directories, logger: silentLogger })
    this.#daemons.push(datanode)
    return datanode
  }

  /** Names of the files of finalized replicas. */
  replicas(): readonly string[] {
    const options = { recursive: true, withFileTypes: true } as const
    return readdirSync(join(this.directory, 'datanode'), options).map(({ name }) => name)
  }

  client(namenode: RunningNamenode, user = 'root'): DfsClient {
    const client = new DfsClient({ uri: `hdfs://${namenode.addresses['rpc'] ?? ''}`, user })
    this.#clients.push(client)
    return client
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) await client.close()
    for (const daemon of this.#daemons.reverse()) await daemon.stop()
  }
}

function withWorld(name: string, test: (t: Test, world: World) => Promise<void>): void {
  t.test(name, async (t) => {
    const world = new World(t)
    try {
      await test(t, world)
    } finally {
      await world.stop()
    }
  })
}

/** Names in the root after a restore. */
async function rootAfter(world: World, name: string, moment: Moment): Promise<readonly string[]> {
  await restore(world.backup, join(world.directory, name), moment)
  const namenode = await world.start(name)
  const names = await world.client(namenode).readdir('/')
  return names.filter((found) => found !== 'tmp')
}

/** Waits until the database holds everything, so that a copy of it does. */
async function folded(namenode: RunningNamenode): Promise<void> {
  while (namenode.status().checkpoint.txid < lastTxid(namenode)) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const lastTxid = (namenode: RunningNamenode): number => namenode.status().journal.durableTxid

withWorld('backUp() copies the database once, then only what is new', async (t, world) => {
  const namenode = await world.start('namenode')
  const client = world.client(namenode)
  const source = onlineSource(client.operator)
  await client.mkdir('/a')
  const first = await backUp(source, world.backup, incremental)
  t.match(first, { copiedBase: true, bases: 1, txid: lastTxid(namenode) })
  const nothing = await backUp(source, world.backup, incremental)
  t.match(nothing, { copiedBase: false, copiedSegments: 0, copiedBytes: 0, bases: 1 })
  await client.mkdir('/b')
  const second = await backUp(source, world.backup, incremental)
  t.match(second, { copiedBase: false, copiedSegments: 1, bases: 1, txid: lastTxid(namenode) })
  await client.mkdir('/c')
  await namenode.stop()
  const restarted = await world.start('namenode')
  const again = onlineSource(world.client(restarted).operator)
  const third = await backUp(again, world.backup, incremental)
  t.match(third, { copiedBase: false, bases: 1 }, 'a restart in between breaks nothing')
  t.match(await verifyBackup(world.backup), { spans: [{ throughTxid: third.txid }] })
  t.same(await rootAfter(world, 'restored', latest), ['a', 'b', 'c'])
  const full = await backUp(again, world.backup, { isFull: true })
  t.match(full, { copiedBase: true, bases: 2 })
})

withWorld(
  'restore() goes back to any transaction or time since the first copy',
  async (t, world) => {
    const namenode = await world.start('namenode')
    const client = world.client(namenode)
    const source = onlineSource(client.operator)
    await client.mkdir('/a')
    await folded(namenode)
    await backUp(source, world.backup, incremental)
    const base = lastTxid(namenode)
    await client.mkdir('/b')
    const before = lastTxid(namenode)
    const time = Date.now()
    while (Date.now() <= time) await new Promise((resolve) => setImmediate(resolve))
    await client.mkdir('/c')
    await client.rm('/a', { recursive: true })
    const { txid } = await backUp(source, world.backup, incremental)
    t.same(await rootAfter(world, 'latest', latest), ['b', 'c'])
    t.same(await rootAfter(world, 'base', { kind: 'txid', txid: base }), ['a'])
    t.same(await rootAfter(world, 'txid', { kind: 'txid', txid: before }), ['a', 'b'])
    t.same(await rootAfter(world, 'time', { kind: 'time', time }), ['a', 'b'])
    const report = await restore(world.backup, join(world.directory, 'told'), {
      ...{ kind: 'txid', txid: before },
    })
    t.match(report, { txid: before, baseTxid: base, directories: 3, files: 0, time: Number })
    for (const [moment, message] of [
      [{ kind: 'txid', txid: txid + 1 }, /ends with transaction/],
      [{ kind: 'txid', txid: 0 }, /begins with transaction/],
      [{ kind: 'time', time: 1000 }, /begins with transaction/],
    ] as const) {
      const target = join(world.directory, 'never')
      await t.rejects(restore(world.backup, target, moment), { code: 'INVALID_ARGUMENT', message })
      t.notOk(existsSync(target), 'nothing was made')
    }
  },
)

withWorld(
  'a restored namenode hands out no id twice and goes on with its backups',
  async (t, world) => {
    const namenode = await world.start('namenode')
    const client = world.client(namenode)
    await client.mkdir('/a')
    await backUp(onlineSource(client.operator), world.backup, incremental)
    await client.mkdir('/lost')
    const lost = (await client.stat('/lost')).inode
    await namenode.stop()
    await restore(world.backup, join(world.directory, 'restored'), latest)
    const restored = await world.start('restored')
    const other = world.client(restored)
    await other.mkdir('/new')
    t.ok((await other.stat('/new')).inode > lost + 1_000_000)
    const report = await backUp(onlineSource(other.operator), world.backup, incremental)
    t.match(report, { copiedBase: true, bases: 2 }, 'which begin with a new copy')
    t.same(await rootAfter(world, 'again', latest), ['a', 'new'])
    await t.rejects(
      backUp(offlineSource(join(world.directory, 'namenode')), world.backup, incremental),
      { code: 'INVALID_ARGUMENT', message: /an older state or another history/ },
    )
  },
)

withWorld(
  'restore() refuses a directory that holds anything, and damaged files',
  async (t, world) => {
    const namenode = await world.start('namenode')
    const client = world.client(namenode)
    const source = onlineSource(client.operator)
    await client.mkdir('/a')
    await backUp(source, world.backup, incremental)
    await client.mkdir('/b')
    await folded(namenode)
    await backUp(source, world.backup, { isFull: true })
    await client.mkdir('/c')
    await backUp(source, world.backup, incremental)
    await t.rejects(restore(world.backup, world.directory, latest), { code: 'FILE_EXISTS' })
    await t.rejects(restore(world.directory, join(world.directory, 'x'), latest), {
      ...{ code: 'FILE_NOT_FOUND', message: /no manifest/ },
    })
    const manifest = await readManifest(world.backup)
    const files = [...(manifest?.bases ?? []), ...(manifest?.segments ?? [])]
    for (const { file, bytes } of files) {
      const path = join(world.backup, file)
      const whole = readFileSync(path)
      const flipped = Buffer.from(whole)
      flipped.writeUInt8(flipped.readUInt8(bytes >> 1) ^ 1, bytes >> 1)
      for (const damaged of [flipped, whole.subarray(0, bytes - 1)]) {
        writeFileSync(path, damaged)
        await t.rejects(verifyBackup(world.backup), { code: 'CORRUPTION', message: file })
      }
      rmSync(path)
      await t.rejects(verifyBackup(world.backup), { message: /it is missing/ })
      writeFileSync(path, whole)
    }
    const newest = join(world.backup, manifest?.bases[1]?.file ?? '')
    writeFileSync(newest, '')
    const fallback = await restore(world.backup, join(world.directory, 'older'), latest)
    t.match(fallback, { skippedBases: [/^base-/], txid: lastTxid(namenode) })
    const text = readFileSync(join(world.backup, 'backup.json'), 'utf8')
    writeFileSync(join(world.backup, 'backup.json'), text.replace('"bytes": ', '"bytes": 1'))
    await t.rejects(verifyBackup(world.backup), { code: 'CORRUPTION', message: /manifest/ })
  },
)

withWorld('a backup that dies leaves the one before it usable', async (t, world) => {
  const namenode = await world.start('namenode')
  const client = world.client(namenode)
  const source = onlineSource(client.operator)
  await client.mkdir('/a')
  await backUp(source, world.backup, incremental)
  await client.mkdir('/b')
  await folded(namenode)
  for (const dieAt of [0, 1, 2]) {
    let reads = 0
    const dying: BackupSource = {
      begin: async (through) => {
        const session = await source.begin(through, true)
        return {
          ...session,
          read: (...piece) => {
            if (reads++ === dieAt) return Promise.reject(new Error('the machine stops'))
            return session.read(...piece)
          },
        }
      },
    }
    const before = readFileSync(join(world.backup, 'backup.json'), 'utf8')
    await backUp(dying, world.backup, incremental).then(
      () => t.equal(dieAt, 2, 'it had no more to read'),
      (error: unknown) => {
        t.match(error, { message: 'the machine stops' })
        t.equal(readFileSync(join(world.backup, 'backup.json'), 'utf8'), before)
      },
    )
    await verifyBackup(world.backup)
  }
  writeFileSync(join(world.backup, 'base-0000000000000009.sqlite.part'), 'left over')
  await backUp(source, world.backup, incremental)
  t.notOk(readdirSync(world.backup).some((name) => name.endsWith('.part')))
  t.same(await rootAfter(world, 'restored', latest), ['a', 'b'])
})

withWorld('--keep drops the oldest copies and what lies before the others', async (t, world) => {
  const namenode = await world.start('namenode')
  const client = world.client(namenode)
  const source = onlineSource(client.operator)
  for (const name of ['a', 'b', 'c', 'd']) {
    await client.mkdir(`/${name}`)
    await folded(namenode)
    await backUp(source, world.backup, { isFull: true, keep: 2 })
  }
  const manifest = await readManifest(world.backup)
  t.equal(manifest?.bases.length, 2)
  const oldest = manifest?.bases[0]?.txid ?? 0
  t.ok(manifest?.segments.every(({ lastTxid: last }) => last > oldest))
  const named = [...(manifest?.bases ?? []), ...(manifest?.segments ?? [])].length
  t.equal(readdirSync(world.backup).length, named + 1, 'no other file is left')
  t.same(await rootAfter(world, 'restored', { kind: 'txid', txid: oldest }), ['a', 'b', 'c'])
})

withWorld(
  'without an archive, or with a hole in it, the next backup begins anew',
  async (t, world) => {
    const namenode = await world.start('namenode', { 'dfs.namenode.journal.archive.bytes': 0 })
    const client = world.client(namenode)
    await client.mkdir('/a')
    await backUp(onlineSource(client.operator), world.backup, incremental)
    await client.mkdir('/b')
    await namenode.stop()
    t.notOk(existsSync(join(world.directory, 'namenode/journal-archive/journal-0000000000000001')))
    const restarted = await world.start('namenode', { 'dfs.namenode.journal.archive.bytes': 0 })
    const again = world.client(restarted)
    await again.mkdir('/c')
    const report = await backUp(onlineSource(again.operator), world.backup, incremental)
    t.match(report, { copiedBase: true, bases: 2 })
    t.same(await rootAfter(world, 'restored', latest), ['a', 'b', 'c'])
  },
)

withWorld('a backup of a busy namenode is one moment of it', async (t, world) => {
  const namenode = await world.start('namenode')
  const client = world.client(namenode)
  const made: string[] = []
  let isBusy = true
  const work = async (writer: number): Promise<void> => {
    for (let index = 0; isBusy; index += 1) {
      await client.mkdir(`/w${writer}-${index}`)
      made.push(`w${writer}-${index}`)
    }
  }
  const working = [1, 2, 3, 4].map(work)
  const source = onlineSource(client.operator)
  const counts: number[] = []
  for (let run = 0; run < 4; run += 1) {
    const acknowledged = [...made]
    const { txid } = await backUp(source, world.backup, { isFull: run % 2 === 0 })
    const name = `restored-${run}`
    const names = new Set(await rootAfter(world, name, { kind: 'txid', txid }))
    t.same(
      acknowledged.filter((path) => !names.has(path)),
      [],
      'all acknowledged before is in it',
    )
    counts.push(names.size)
  }
  isBusy = false
  await Promise.all(working)
  t.same(
    counts,
    [...counts].sort((left, right) => left - right),
  )
  await verifyBackup(world.backup)
})

withWorld(
  'a stopped directory can be backed up, a running one only through its port',
  async (t, world) => {
    const namenode = await world.start('namenode')
    const client = world.client(namenode)
    const directory = join(world.directory, 'namenode')
    await client.mkdir('/a')
    await t.rejects(backUp(offlineSource(directory), world.backup, incremental), {
      ...{ code: 'IO_ERROR', message: /is in use by process/ },
    })
    const crashed = join(world.directory, 'crashed')
    cpSync(directory, crashed, { recursive: true })
    await namenode.stop()
    await backUp(offlineSource(directory), world.backup, incremental)
    const nothing = await backUp(offlineSource(directory), world.backup, incremental)
    t.match(nothing, { copiedBase: false, copiedBytes: 0 })
    t.same(await rootAfter(world, 'restored', latest), ['a'])
    const second = join(world.directory, 'second')
    await backUp(offlineSource(crashed), second, incremental)
    const report = await restore(second, join(world.directory, 'after-crash'), latest)
    t.equal(report.txid, 2, 'what is only in the journal counts')
    await t.rejects(backUp(offlineSource(join(world.directory, 'none')), second, incremental), {
      ...{ code: 'FILE_NOT_FOUND' },
    })
  },
)

withWorld('only a superuser may copy the state, into a directory of its own', async (t, world) => {
  const namenode = await world.start('namenode')
  const source = onlineSource(world.client(namenode, 'mallory').operator)
  await t.rejects(backUp(source, world.backup, incremental), { code: 'EACCES' })
  const root = onlineSource(world.client(namenode).operator)
  await t.rejects(backUp(root, world.directory, incremental), {
    ...{ code: 'INVALID_ARGUMENT', message: /no part of a backup/ },
  })
  await backUp(root, world.backup, incremental)
  const stranger = await world.start('stranger')
  await t.rejects(
    backUp(onlineSource(world.client(stranger).operator), world.backup, incremental),
    {
      ...{ code: 'INVALID_ARGUMENT', message: /holds the backup of cluster/ },
    },
  )
  const old = await root.begin(-1, true)
  const next = await root.begin(-1, true)
  await t.rejects(old.read('namespace.sqlite', 0, 100), { message: /ended by the namenode/ })
  t.equal((await next.read('namespace.sqlite', 0, 100)).length, 100)
  await t.rejects(next.read('../in_use.pid', 0, 100), { code: 'ENOENT' })
  await next.end()
})

withWorld(
  'datanodes keep what a restored namenode does not know, and serve what it does',
  async (t, world) => {
    const namenode = await world.start('namenode')
    const first = await world.startDatanode(namenode)
    const client = world.client(namenode)
    const once = { replication: 1 }
    await client.writeFile('/known', 'known', once)
    await backUp(onlineSource(client.operator), world.backup, incremental)
    await client.writeFile('/future', 'written after the backup', once)
    const future = (await client.blockLocations('/future'))[0]?.blockId ?? 0
    await first.stop()
    await namenode.stop()

    await restore(world.backup, join(world.directory, 'restored'), latest)
    const restored = await world.start('restored')
    await world.startDatanode(restored)
    const other = world.client(restored)
    t.equal(await other.readFile('/known', 'utf8'), 'known')
    t.notOk(await other.exists('/future'))
    await other.writeFile('/new', 'new', once)
    t.ok(((await other.blockLocations('/new'))[0]?.blockId ?? 0) > future + 1_000_000)
    await other.writeFile('/garbage', 'garbage', once)
    const garbage = (await other.blockLocations('/garbage'))[0]?.blockId ?? 0
    await other.unlink('/garbage')
    while (world.replicas().some((name) => name.startsWith(`blk_${garbage}`))) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    t.ok(world.replicas().includes(`blk_${future}`), 'what came after is still there')
  },
)
