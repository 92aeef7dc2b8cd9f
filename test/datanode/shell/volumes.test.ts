import { execFileSync } from 'node:child_process'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { systemClock, systemTimers } from '../../../base/system.ts'
import { metaLayout } from '../../../datanode/format/block-meta.ts'
import { openReplicaStore } from '../../../datanode/shell/replica-store.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { type Settings, withSettings } from '../../../protocol/settings.ts'
import {
  DataConnection,
  type DataServer,
  patternBytes,
  startDataServer,
  testPool,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'
import { type Fault, FaultyFiles } from '../../support/faulty-files.ts'

const stamp = generationStamp(1001)
const mebibyte = 1024 * 1024

interface Disks {
  readonly server: DataServer
  readonly faults: FaultyFiles
  readonly directories: readonly string[]
}

/** A datanode with two data directories on disks that fail as told. */
async function twoDisks(t: Tap, settings: Partial<Settings> = {}): Promise<Disks> {
  const root = t.testdir()
  const faults = new FaultyFiles()
  const directories = [join(root, 'one'), join(root, 'two')]
  const server = await startDataServer(directories, settings, { files: faults.files })
  t.teardown(() => server.close())
  return { server, faults, directories }
}

interface Tap {
  testdir(): string
  teardown(action: () => unknown): unknown
}

/** Writes blocks until each directory has one, and returns a block of each. */
async function spread({ server, directories }: Disks): Promise<number[]> {
  const blocks = new Map<string, number>()
  for (let id = 1; id < 20 && blocks.size < directories.length; id += 1) {
    await writeWholeBlock([server], { blockId: id, data: patternBytes(5000, id) })
    blocks.set(directoryOf(server, id), id)
  }
  return directories.map((directory) => blocks.get(directory) ?? 0)
}

function directoryOf({ store }: DataServer, id: number): string {
  const storage = store.find(blockId(id))?.storage
  return store.storages().find(({ uuid }) => uuid === storage)?.path ?? ''
}

async function isReadable(server: DataServer, id: number): Promise<boolean> {
  const connection = new DataConnection(server.server.port)
  const { response, data } = await connection.read({ blockId: id, length: 5000 })
  connection.close()
  return response.status === 'SUCCESS' && data.equals(patternBytes(5000, id))
}

const fatalFaults: readonly (readonly [name: string, fault: Omit<Fault, 'path'>])[] = [
  ['writing a block fails', { operations: ['writeAt'], errno: 'EIO' }],
  ['syncing a block fails', { operations: ['syncFileData'], errno: 'EIO' }],
  ['syncing a directory fails', { operations: ['syncFile'], errno: 'EIO' }],
  ['the disk is mounted read-only', { operations: ['openFile', 'renameFile'], errno: 'EROFS' }],
  ['the device is gone', { operations: ['openFile'], errno: 'ENODEV' }],
]

for (const [name, fault] of fatalFaults) {
  t.test(`when ${name} only that volume goes out of service`, async (t) => {
    const disks = await twoDisks(t)
    const { server, faults, directories } = disks
    const [onFirst = 0, onSecond = 0] = await spread(disks)
    const losses: object[] = []
    server.store.onVolumeFailed((loss) => losses.push(loss))
    faults.add({ ...fault, path: /\/one\// })
    // Volumes take turns: one of two blocks meets the bad disk, and can be written again.
    const outcomes = []
    for (const id of [101, 102]) {
      const write = { blockId: id, data: patternBytes(5000, id) }
      outcomes.push(
        await writeWholeBlock([server], write).then(
          (acks) => acks.length,
          () => 0,
        ),
      )
    }
    t.ok(
      outcomes.some((acks) => acks < 2),
      'a write meets the fault',
    )
    t.match(losses, [{ failure: { directory: directories[0] }, fatal: undefined }])
    t.match(
      server.store.storages().map(({ failed, remaining }) => [failed, remaining > 0]),
      [
        [true, false],
        [false, true],
      ],
    )
    t.equal(server.store.find(blockId(onFirst)), undefined, 'its replicas are gone')
    const [first, second] = server.store.storages()
    if (first === undefined || second === undefined) throw new Error('two storages')
    t.same([...server.store.replicas(first.uuid)], [])
    t.ok(await isReadable(server, onSecond), 'the other disk is served')
    for (const id of [201, 202, onFirst]) {
      await writeWholeBlock([server], { blockId: id, data: patternBytes(5000, id) })
      t.equal(directoryOf(server, id), directories[1], 'and takes new replicas, old blocks too')
      t.ok(await isReadable(server, id))
    }
  })
}

t.test('a writer on a failing disk ends, and its block can go on elsewhere', async (t) => {
  const { server, faults } = await twoDisks(t)
  const writer = new DataConnection(server.server.port)
  t.teardown(() => writer.close())
  writer.startWrite({ blockId: 1 })
  await writer.response()
  writer.sendPacket({ seqno: 0, offset: 0, data: patternBytes(1024) })
  await writer.ack()
  const where = directoryOf(server, 1)
  faults.add({ operations: ['writeAt'], path: new RegExp(`${where}/`), errno: 'EIO' })
  writer.sendPacket({ seqno: 1, offset: 1024, data: patternBytes(1024) })
  t.equal(await writer.ack(), undefined, 'the connection ends without an ack')
  t.equal(server.store.find(blockId(1)), undefined)
  const copier = new DataConnection(server.server.port)
  t.teardown(() => copier.close())
  copier.startWrite({ blockId: 1, stamp: 1002, stage: 'TRANSFER_RBW' })
  copier.sendPacket({ seqno: 0, offset: 0, data: patternBytes(1024) })
  copier.sendPacket({ seqno: 1, offset: 1024, last: true })
  t.match(await copier.response(), { status: 'SUCCESS' })
  t.match(server.store.find(blockId(1)), { state: 'rbw', length: 1024, generationStamp: 1002 })
  t.not(directoryOf(server, 1), where)
})

t.test('a look at the disk finds what no operation met', async (t) => {
  const cases: (readonly [string, (disks: Disks) => Promise<unknown>, RegExp])[] = [
    [
      'directory gone',
      ({ directories: [one = ''] }) => rename(one, `${one}.unmounted`),
      /VERSION file is not the one of DS-.*: it is gone/,
    ],
    [
      'another disk in its place',
      ({ directories: [one = ''] }) =>
        rm(join(one, 'current'), { recursive: true }).then(() =>
          mkdir(join(one, 'current', 'lost+found'), { recursive: true }),
        ),
      /VERSION file is not the one of DS-.*: it is gone/,
    ],
    [
      'listing fails',
      async ({ faults }) =>
        faults.add({ operations: ['listDirectory'], path: /\/one\//, errno: 'EIO' }),
      /EIO: injected, listDirectory/,
    ],
    [
      'read-only',
      async ({ faults }) =>
        faults.add({ operations: ['openFile'], path: /\/one\/.*probe/, errno: 'EROFS' }),
      /EROFS: injected/,
    ],
  ]
  for (const [name, spoil, reason] of cases) {
    await t.test(name, async (t) => {
      const disks = await twoDisks(t)
      await disks.server.store.checkVolumes()
      t.same(disks.server.store.volumeFailures(), [], 'all is well')
      await spoil(disks)
      await disks.server.store.checkVolumes()
      const failures = disks.server.store.volumeFailures()
      t.match(failures, [{ directory: disks.directories[0], reason }])
      t.equal(failures.length, 1)
      await disks.server.store.checkVolumes()
      t.equal(disks.server.store.volumeFailures().length, 1, 'it is said once')
    })
  }
  await t.test('a full disk is not a failed one', async (t) => {
    const { server, faults } = await twoDisks(t)
    faults.add({ operations: ['writeAt'], path: /disk\.probe/, errno: 'ENOSPC' })
    await server.store.checkVolumes()
    t.same(server.store.volumeFailures(), [])
  })
})

t.test('more failed volumes than tolerated end the datanode, at its start too', async (t) => {
  const { server, faults } = await twoDisks(t, { 'dfs.datanode.failed.volumes.tolerated': 0 })
  const fatal: (string | undefined)[] = []
  server.store.onVolumeFailed((loss) => fatal.push(loss.fatal?.message))
  faults.add({ operations: ['listDirectory'], path: /\/two\//, errno: 'EIO' })
  await server.store.checkVolumes()
  t.match(fatal, [/1 of 2 data directories failed, 0 may fail .*"[^"]*two".*replace the disks/])

  const root = t.testdir()
  await writeFile(join(root, 'file'), 'not a directory')
  const open = (tolerated: number): ReturnType<typeof openReplicaStore> =>
    openReplicaStore({
      directories: [join(root, 'file', 'data'), join(root, 'good')],
      settings: withSettings({ 'dfs.datanode.failed.volumes.tolerated': tolerated }),
      logger: silentLogger,
      clock: systemClock,
      timers: systemTimers,
    })
  await t.rejects(open(0), { code: 'IO_ERROR', message: /1 of 2 data directories failed/ })
  const store = await open(-1)
  t.match(store.volumeFailures(), [{ directory: join(root, 'file', 'data'), storage: undefined }])
  t.equal(store.storages().length, 1)
  await store.close()
})

const fullPlaces: readonly (readonly [name: string, fault: Omit<Fault, 'errno'>])[] = [
  ['creating the data file', { operations: ['openFile'], path: /blk_9$/ }],
  ['creating the meta file', { operations: ['openFile'], path: /blk_9_1001\.meta$/ }],
  ['writing data', { operations: ['writeAt'], path: /blk_9$/ }],
  ['writing checksums', { operations: ['writeAt'], path: /blk_9_1001\.meta$/ }],
  ['syncing', { operations: ['syncFileData'], path: /blk_9/ }],
  ['making the directory', { operations: ['makeDirectory'], path: /subdir/ }],
  ['renaming the data file', { operations: ['renameFile'], path: /blk_9$/ }],
  ['renaming the meta file', { operations: ['renameFile'], path: /blk_9_1001\.meta$/ }],
  ['syncing the directory', { operations: ['syncFile'], path: /subdir\d+\/subdir\d+$/ }],
]

for (const [name, fault] of fullPlaces) {
  t.test(`a disk that is full when ${name} leaves nothing half done`, async (t) => {
    const root = t.testdir()
    const directory = join(root, 'data')
    const faults = new FaultyFiles()
    const server = await startDataServer([directory], {}, { files: faults.files })
    t.teardown(() => server.close())
    faults.add({ ...fault, errno: 'ENOSPC' })
    const events: { readonly kind: string }[] = []
    server.store.onEvent((event) => events.push(event))
    const data = patternBytes(3 * mebibyte)
    const copier = new DataConnection(server.server.port)
    copier.startWrite({ blockId: 9, clientName: '', expectedBytes: data.length })
    copier.sendPacket({ seqno: 0, offset: 0, data })
    copier.sendPacket({ seqno: 1, offset: data.length, last: true })
    copier.socket.end()
    await copier.closed()
    t.equal(server.store.find(blockId(9)), undefined, 'the copy is dropped')
    t.same(await readdir(join(directory, 'current', testPool, 'tmp')), [], 'with its files')
    const acks = await writeWholeBlock([server], { blockId: 9, data }).catch(() => [])
    t.ok(acks.length < 50, 'a client is not told that its block is safe')
    t.notOk(
      events.some(({ kind }) => kind === 'received'),
      'nor the namenode',
    )
    t.not(server.store.find(blockId(9))?.state, 'finalized')
    t.match(server.store.storages(), [{ failed: false }], 'the volume is not given up')
    faults.heal()
    await server.store.checkVolumes()
    await writeWholeBlock([server], { blockId: 10, data: patternBytes(5000, 10) })
    t.ok(await isReadable(server, 10), 'it goes on when there is space')
    if (server.store.find(blockId(9)) === undefined) return
    const stored = await server.store.openForRead(blockId(9), stamp)
    const kept = Buffer.alloc(stored.length)
    await stored.readData(kept, 0)
    await stored.close()
    t.ok(kept.equals(data.subarray(0, kept.length)), 'what a client wrote waits for recovery')
  })
}

t.test('space is kept for what is being written and given back at once', async (t) => {
  const disk = join(t.testdir({ disk: {} }), 'disk')
  await t.test('on a disk of 64 MiB', { skip: smallDisk(disk, 64) }, async (t) => {
    t.teardown(() => execFileSync('umount', [disk]))
    const server = await startDataServer([join(disk, 'data')], {
      'dfs.datanode.reserved-bytes': 8 * mebibyte,
    })
    const remaining = (): number => server.store.storages()[0]?.remaining ?? 0
    const before = remaining()
    t.ok(before > 54 * mebibyte && before <= 56 * mebibyte, 'the reserved part is not ours')
    const create = {
      generationStamp: stamp,
      layout: metaLayout('crc32c', 512),
      storage: undefined,
      isCopy: false,
      expectedBytes: 40 * mebibyte,
    }
    const writer = server.store.create({ ...create, blockId: blockId(1) })
    t.equal(remaining(), before - 40 * mebibyte, 'the namenode sees it as used')
    t.throws(() => server.store.create({ ...create, blockId: blockId(2) }), {
      code: 'DISK_FULL',
      message:
        /room for a replica of block 2, need 41943040 bytes: ".*data" has \d+ bytes left; free space/,
    })
    await writer.opened()
    await server.store.release(writer)
    t.equal(remaining(), before, 'a writer that ends gives back what it did not use')
    await writeWholeBlock([server], { blockId: 3, data: patternBytes(30 * mebibyte) })
    const full = await writeWholeBlock([server], { blockId: 4, data: patternBytes(40 * mebibyte) })
    t.ok(full.length < 651, 'the disk is full')
    await server.store.delete(blockId(3), stamp)
    const retry = await writeWholeBlock([server], {
      blockId: 5,
      data: patternBytes(20 * mebibyte),
      expectedBytes: 20 * mebibyte,
    })
    t.equal(retry.length, 327, 'a deletion makes room without waiting')
    await server.close()
  })
})

/** Mounts a file system of some MiB; returns why that cannot be done, or false. */
function smallDisk(directory: string, mebibytes: number): string | false {
  try {
    const options = ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', directory]
    execFileSync('mount', options, { stdio: 'pipe' })
    return false
  } catch {
    return 'mounting a small file system needs root'
  }
}

t.test('a read that meets a deletion is told that there is no replica', async (t) => {
  const root = t.testdir()
  const faults = new FaultyFiles()
  const server = await startDataServer([join(root, 'data')], {}, { files: faults.files })
  t.teardown(() => server.close())
  await writeWholeBlock([server], { blockId: 1, data: patternBytes(5000) })
  let go: () => void = () => undefined
  const until = new Promise<void>((resolve) => {
    go = resolve
  })
  faults.hold({ operations: ['renameFile'], path: /blk_1$/, until, isDone: true })
  const deletion = server.store.delete(blockId(1), stamp)
  while ((await readdir(join(root, 'data', 'current', testPool, 'tmp'))).length === 0);
  const read = server.store.openForRead(blockId(1), stamp)
  await new Promise((resolve) => setImmediate(resolve))
  go()
  await t.rejects(read, { code: 'REPLICA_NOT_FOUND' })
  await deletion
})

t.test('a replica that its pipeline left behind is told once more, a minute later', async (t) => {
  const directory = join(t.testdir(), 'data')
  const notices: (() => void)[] = []
  const store = await openReplicaStore({
    directories: [directory],
    settings: withSettings({ 'dfs.datanode.reserved-bytes': 0 }),
    logger: silentLogger,
    clock: systemClock,
    timers: {
      every: (...args) => systemTimers.every(...args),
      after(delayMs, action) {
        if (delayMs < 60_000) return systemTimers.after(delayMs, action)
        notices.push(action)
        return { cancel: () => undefined }
      },
    },
  })
  t.teardown(() => store.close())
  await store.bindTo({ clusterId: 'CID-test', namespaceId: 1, blockPoolId: testPool })
  const layout = metaLayout('crc32c', 512)
  const start = { generationStamp: stamp, layout, storage: undefined, isCopy: false }
  for (const id of [1, 2]) {
    const writer = store.create({ ...start, blockId: blockId(id) })
    await writer.opened()
    await store.release(writer)
  }
  const events: object[] = []
  store.onEvent((event) => events.push(event))
  await store.delete(blockId(2), stamp)
  for (const notice of notices) notice()
  t.match(events, [
    { kind: 'deleted', blockId: 2 },
    { kind: 'receiving', blockId: 1, generationStamp: 1001 },
  ])
  t.equal(notices.length, 2)
})

t.test('a read that meets a bad sector ends, and the replica is verified at once', async (t) => {
  const disks = await twoDisks(t)
  const { server, faults } = disks
  await writeWholeBlock([server], { blockId: 1, data: patternBytes(5000, 1) })
  faults.add({ operations: ['readAt'], path: /blk_1$/, errno: 'EIO', times: 2 })
  server.store.startScrubbing({ periodMs: 3_600_000, isBusy: () => false })
  const corrupt = new Promise((resolve) => server.store.onCorrupt(resolve))
  await t.rejects(isReadable(server, 1), /the stream ended|the datanode closed/)
  t.match(await corrupt, { blockId: 1, reason: /EIO/ })
  faults.heal()
  t.ok(await isReadable(server, 1), 'the datanode goes on')
  faults.add({ operations: ['readAt'], path: /blk_1$/, errno: 'EIO' })
  const append = new DataConnection(server.server.port)
  t.teardown(() => append.close())
  const stage = 'PIPELINE_SETUP_APPEND'
  append.startWrite({ blockId: 1, stage, min: 5000, max: 5000, newStamp: 1002 })
  t.equal(await append.response(), undefined, 'so does an append that cannot read the last span')
})

t.test('a read that fails closes its files when what it read ahead has ended', async (t) => {
  const faults = new FaultyFiles()
  const server = await startDataServer([join(t.testdir(), 'data')], {}, { files: faults.files })
  t.teardown(() => server.close())
  const data = patternBytes(4 * mebibyte)
  await writeWholeBlock([server], { blockId: 1, data })
  let go: () => void = () => undefined
  const until = new Promise<void>((resolve) => {
    go = resolve
  })
  faults.add({ operations: ['readAt'], path: /blk_1$/, errno: 'EIO', times: 1 })
  faults.hold({ operations: ['readAt'], path: /blk_1$/, until })
  const connection = new DataConnection(server.server.port)
  const read = connection.read({ blockId: 1, length: data.length }).catch(() => undefined)
  // More turns than a close needs that does not wait.
  for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  go()
  await read
  connection.close()
  await server.close()
  t.same(faults.lateUses, [])
})
