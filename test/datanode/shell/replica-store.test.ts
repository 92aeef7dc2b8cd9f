import { execFileSync, spawn } from 'node:child_process'
import { cp, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { xxh64 } from '../../../base/checksum.ts'
import { silentLogger } from '../../../base/log.ts'
import { systemClock, systemTimers } from '../../../base/system.ts'
import {
  finalizedDirectory,
  lockFileName,
  metaFileName,
} from '../../../datanode/format/block-file.ts'
import {
  checksumOffset,
  encodeMetaHeader,
  encodeSyncMark,
  metaHeader,
  metaLayout,
  syncMarkOffset,
} from '../../../datanode/format/block-meta.ts'
import { BufferPool, pageBytes, smallBufferBytes } from '../../../datanode/shell/buffer-pool.ts'
import { openReplicaStore, type ReplicaStore } from '../../../datanode/shell/replica-store.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { type Settings, withSettings } from '../../../protocol/settings.ts'
import {
  chunkChecksums,
  DataConnection,
  patternBytes,
  startDataServer,
  testIdentity,
  testPool,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'

async function openStore(
  directories: readonly string[],
  settings: Partial<Settings> = {},
): Promise<ReplicaStore> {
  const store = await openReplicaStore({
    directories,
    settings: withSettings({ 'dfs.datanode.reserved-bytes': 0, ...settings }),
    logger: silentLogger,
    clock: systemClock,
    timers: systemTimers,
  })
  return store
}

const one = blockId(1)
const stamp = generationStamp(1001)
const metaName = metaFileName(one, stamp)

function pool(directory: string): string {
  return join(directory, 'current', testPool)
}

/** Copies a data directory as a crash of its datanode leaves it: without the lock's holder. */
async function crashCopy(directory: string, copy: string): Promise<void> {
  await cp(directory, copy, { recursive: true })
  await rm(join(copy, lockFileName))
}

t.test('one process at a time: the second is told who uses the directory', async (t) => {
  const directory = join(t.testdir(), 'data')
  const store = await openStore([directory])
  await t.rejects(openStore([directory]), {
    code: 'BUSY',
    message: new RegExp(`process ${process.pid} uses the directory`),
  })
  await store.close()
  const child = spawn('sleep', ['60'])
  await writeFile(join(directory, lockFileName), `${child.pid ?? 0} 1\n`)
  const second = await openStore([directory])
  t.pass('a lock whose process was replaced by another one is taken over')
  await second.close()
  child.kill()
  await writeFile(join(directory, lockFileName), '999999999 5\n')
  await (await openStore([directory])).close()
  t.same((await readdir(directory)).sort(), ['current'], 'nothing is left over')
})

t.test('a store belongs to the cluster it was first bound to', async (t) => {
  const root = t.testdir()
  const directories = [join(root, 'a'), join(root, 'b')]
  const fresh = await openStore(directories)
  t.equal(fresh.identity, undefined)
  const meta = metaLayout('crc32c', 512)
  const create = {
    blockId: one,
    generationStamp: stamp,
    layout: meta,
    storage: undefined,
    isCopy: false,
  }
  t.throws(() => fresh.create(create), { message: /belongs to no cluster/ })
  await fresh.bindTo(testIdentity)
  const { datanodeUuid } = fresh
  await fresh.close()
  const again = await openStore(directories)
  t.match(again.identity, { ...testIdentity, datanodeUuid })
  await t.rejects(again.bindTo({ ...testIdentity, clusterId: 'CID-other' }), {
    code: 'UNREGISTERED_NODE',
    message: 'Cannot join the namenode: clusterId is "CID-other" there, "CID-test" here',
  })
  t.equal(new Set(again.storages().map(({ uuid }) => uuid)).size, 2)
  await again.close()
  const version = join(root, 'a', 'current', 'VERSION')
  await writeFile(
    version,
    (await readFile(version, 'utf8')).replace('layoutVersion=1', 'layoutVersion=2'),
  )
  await t.rejects(openStore(directories), { code: 'UNSUPPORTED_LAYOUT', path: version })
  await writeFile(version, 'storageType=DATA_NODE\nlayoutVersion=1\n')
  await t.rejects(openStore(directories), { code: 'CORRUPTION', message: /key "\w+" is missing/ })
})

t.test(
  'a crash in mid-write keeps every flushed byte, and nothing that does not verify',
  async (t) => {
    const root = t.testdir()
    const server = await startDataServer([join(root, 'live')])
    t.teardown(() => server.close())
    const data = patternBytes(3 * 1024 * 1024)
    await writeWholeBlock([server], { blockId: 2, data: data.subarray(0, 70_000) })
    const writer = new DataConnection(server.server.port)
    t.teardown(() => writer.close())
    writer.startWrite({ blockId: 1 })
    await writer.response()
    let seqno = 0
    for (let offset = 0; offset < 2_000_000; offset += 65536) {
      writer.sendPacket({ seqno, offset, data: data.subarray(offset, offset + 65536) })
      await writer.ack()
      seqno += 1
    }
    const flushed = 31 * 65536 + 1000
    writer.sendPacket({ seqno, offset: 31 * 65536, data: data.subarray(31 * 65536, flushed) })
    await writer.ack()
    const copier = new DataConnection(server.server.port)
    t.teardown(() => copier.close())
    copier.startWrite({ blockId: 3, clientName: '' })
    copier.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 1000) })
    await crashCopy(join(root, 'live'), join(root, 'crash'))

    const store = await openStore([join(root, 'crash')])
    t.match(store.find(one), { state: 'rwr', length: flushed, generationStamp: 1001 })
    t.match(store.find(blockId(2)), { state: 'finalized', length: 70_000 })
    t.equal(store.find(blockId(3)), undefined, 'copies do not survive')
    await t.rejects(store.openForRead(one, stamp), { code: 'REPLICA_NOT_FOUND' })

    const recoveryStamp = generationStamp(1007)
    const replica = await store.recovery.initReplicaRecovery(one, stamp, recoveryStamp)
    t.match(replica, { state: 'rwr', length: flushed, generationStamp: 1001 })
    const stale = store.recovery.initReplicaRecovery(one, stamp, generationStamp(1006))
    await t.rejects(stale, { code: 'RECOVERY_IN_PROGRESS' })
    const events: object[] = []
    store.onEvent((event) => events.push(event))
    await store.recovery.updateReplicaUnderRecovery(one, recoveryStamp, 1_999_900)
    t.match(events, [{ kind: 'received', blockId: 1, generationStamp: 1007, length: 1_999_900 }])
    await store.close()

    const reopened = await startDataServer([join(root, 'crash')])
    t.teardown(() => reopened.close())
    t.match(reopened.store.find(one), {
      state: 'finalized',
      length: 1_999_900,
      generationStamp: 1007,
    })
    const reader = new DataConnection(reopened.server.port)
    t.teardown(() => reader.close())
    const read = await reader.read({ blockId: 1, stamp: 1007, length: 1_999_900 })
    t.ok(read.data.equals(data.subarray(0, 1_999_900)))
    const checksums = Buffer.concat(read.packets.map((packet) => packet.checksums))
    t.ok(checksums.equals(chunkChecksums(read.data, 512)), 'the cut chunk has a CRC of its own')
  },
)

/** Writes an unfinished replica of block 1 by hand and returns what a start makes of it. */
async function recovered(
  t: { testdir(): string },
  bytes: { data: Buffer; checksums: Buffer; marks?: { length: number; data: Buffer }[] },
): Promise<number | undefined> {
  const directory = join(t.testdir(), 'data')
  const store = await openStore([directory])
  await store.bindTo(testIdentity)
  await store.close()
  const layout = metaLayout('crc32c', 512)
  const header = encodeMetaHeader(layout, one)
  for (const [turn, { length, data }] of (bytes.marks ?? []).entries()) {
    const chunk = data.subarray(length - (length % 512), length)
    const chunkChecksum = chunkChecksums(chunk, 512).readUInt32BE()
    const mark = encodeSyncMark({
      length,
      spanDigest: xxh64(data.subarray(0, length)),
      chunkChecksum,
    })
    mark.copy(header, syncMarkOffset(turn))
  }
  await writeFile(join(pool(directory), 'rbw', 'blk_1'), bytes.data)
  const meta = Buffer.concat([header, Buffer.alloc(8), bytes.checksums])
  await writeFile(join(pool(directory), 'rbw', metaName), meta)
  const again = await openStore([directory])
  const length = again.find(one)?.length
  if (length !== undefined && length > 0) {
    await again.recovery.initReplicaRecovery(one, stamp, generationStamp(1002))
    await again.recovery.updateReplicaUnderRecovery(one, generationStamp(1002), length)
    const stored = await again.openForRead(one, stamp)
    const stripe = await stored.readStripes(0, 0)
    const found = Buffer.alloc(length)
    await stored.readData(found, 0)
    const checksums = chunkChecksums(found, 512)
    if (!stripe.subarray(8).equals(checksums)) throw new Error('CRCs do not fit the recovered data')
    if (stripe.readBigUInt64BE(0) !== xxh64(found)) throw new Error('the digest does not fit')
    await stored.close()
  }
  await again.close()
  return length
}

t.test('a finalized replica has a digest, which is reported, kept and renewed', async (t) => {
  const root = t.testdir()
  const live = join(root, 'live')
  const server = await startDataServer([live])
  t.teardown(() => server.close())
  const data = patternBytes(200_000)
  const digests: (bigint | undefined)[] = []
  server.store.onEvent(({ kind, digest }) => {
    if (kind === 'received') digests.push(digest)
    else t.equal(digest, undefined, `${kind} has none`)
  })
  await writeWholeBlock([server], { blockId: 1, data: data.subarray(0, 150_000) })
  await writeWholeBlock([server], { blockId: 2, data })
  const append = new DataConnection(server.server.port)
  t.teardown(() => append.close())
  const stage = 'PIPELINE_SETUP_APPEND'
  append.startWrite({ blockId: 1, stage, min: 150_000, max: 150_000, newStamp: 1002 })
  t.match(await append.response(), { status: 'SUCCESS' })
  t.equal(server.store.find(one)?.digest, undefined, 'none while it is written')
  append.sendPacket({ seqno: 0, offset: 149_504, data: data.subarray(149_504) })
  append.sendPacket({ seqno: 1, offset: 200_000, last: true })
  await append.ack()
  await append.ack()
  const [short, whole, appended] = digests
  t.type(short, 'bigint')
  t.not(short, whole)
  t.equal(appended, whole, 'equal bytes, equal digests, however they came')
  await crashCopy(live, join(root, 'copy'))
  const store = await openStore([join(root, 'copy')])
  t.match(store.find(one), { generationStamp: 1002, digest: whole })
  t.match(store.find(blockId(2)), { digest: whole })
  await store.recovery.initReplicaRecovery(one, stamp, generationStamp(1005))
  await store.recovery.updateReplicaUnderRecovery(one, generationStamp(1005), 150_000)
  t.match(store.find(one), { state: 'finalized', digest: short }, 'cut, it has that of the prefix')
  await store.close()
})

t.test('a pipeline rebuilt only to close leaves a durable replica with a digest', async (t) => {
  const directory = join(t.testdir(), 'data')
  const server = await startDataServer([directory])
  t.teardown(() => server.close())
  const data = patternBytes(100_000)
  const writer = new DataConnection(server.server.port)
  writer.startWrite({ blockId: 1 })
  await writer.response()
  writer.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 65_536) })
  writer.sendPacket({ seqno: 1, offset: 65_536, data: data.subarray(65_536) })
  await writer.ack()
  await writer.ack()
  writer.close()
  const closer = new DataConnection(server.server.port)
  t.teardown(() => closer.close())
  const stage = 'PIPELINE_CLOSE_RECOVERY'
  closer.startWrite({ blockId: 1, stage, min: 100_000, max: 100_000, newStamp: 1002 })
  t.match(await closer.response(), { status: 'SUCCESS' })
  await writeWholeBlock([server], { blockId: 2, data })
  const replica = server.store.find(one)
  t.match(replica, { state: 'finalized', generationStamp: 1002, length: 100_000 })
  t.equal(replica?.digest, server.store.find(blockId(2))?.digest)
})

t.test('a copy that does not end with the digest of its source is dropped', async (t) => {
  const directory = join(t.testdir(), 'data')
  const server = await startDataServer([directory])
  t.teardown(() => server.close())
  const data = patternBytes(70_000)
  await writeWholeBlock([server], { blockId: 1, data })
  const digest = server.store.find(one)?.digest ?? 0n
  const events: object[] = []
  server.store.onEvent((event) => events.push(event))
  for (const [id, blockDigest] of [
    [2, digest],
    [3, digest ^ 1n],
  ] as const) {
    const copier = new DataConnection(server.server.port)
    copier.startWrite({ blockId: id, clientName: '', blockDigest })
    copier.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 65_536) })
    copier.sendPacket({ seqno: 1, offset: 65_536, data: data.subarray(65_536) })
    copier.sendPacket({ seqno: 2, offset: 70_000, last: true })
    copier.socket.end()
    await copier.closed()
  }
  t.match(server.store.find(blockId(2)), { state: 'finalized', digest })
  t.equal(server.store.find(blockId(3)), undefined)
  t.match(events, [{ kind: 'received', blockId: 2, digest }], 'only the good one was reported')
  t.same(await readdir(join(pool(directory), 'tmp')), [], 'nothing of the other is left')
})

t.test('the longest prefix that stored checksums vouch for survives a torn tail', async (t) => {
  const data = patternBytes(1400)
  const upTo = (length: number): Buffer => chunkChecksums(data.subarray(0, length), 512)
  t.equal(await recovered(t, { data, checksums: upTo(1400) }), 1400, 'both files whole')
  t.equal(await recovered(t, { data, checksums: upTo(1200) }), 1200, 'data ahead of its CRC')
  const short = data.subarray(0, 1200)
  t.equal(await recovered(t, { data: short, checksums: upTo(1400) }), 1024, 'CRC ahead of its data')
  const mark = { length: 1100, data }
  t.equal(
    await recovered(t, { data: short, checksums: upTo(1400), marks: [mark] }),
    1100,
    'but synced bytes stay',
  )
  const unfinished = { length: 1300, data }
  for (const marks of [
    [mark, unfinished],
    [unfinished, mark],
  ]) {
    t.equal(
      await recovered(t, { data: short, checksums: upTo(1400), marks }),
      1100,
      'also when the mark of a later sync, which never ended, is there without its bytes',
    )
  }
  const damaged = Buffer.from(data)
  damaged.writeUInt8(data.readUInt8(600) ^ 1, 600)
  t.equal(
    await recovered(t, { data: damaged, checksums: upTo(1400), marks: [mark] }),
    512,
    'a damaged chunk',
  )
  t.equal(await recovered(t, { data, checksums: upTo(512) }), 512, 'CRCs missing')
  t.equal(await recovered(t, { data: Buffer.alloc(0), checksums: upTo(512) }), 0)
})

t.test('a start settles what a crash left half done', async (t) => {
  const root = t.testdir()
  const live = join(root, 'live')
  const server = await startDataServer([live])
  for (const id of [1, 2, 3])
    await writeWholeBlock([server], { blockId: id, data: patternBytes(1000, id) })
  await server.close()
  const final = join(pool(live), finalizedDirectory(one))
  const rbw = join(pool(live), 'rbw')
  await rename(join(final, metaName), join(rbw, metaName))
  await rename(join(final, 'blk_2'), join(rbw, 'blk_2'))
  await rm(join(final, metaFileName(blockId(3), stamp)))
  await writeFile(join(rbw, 'blk_4'), 'x')
  await writeFile(join(rbw, metaFileName(blockId(4), stamp)), 'no header')
  await writeFile(join(pool(live), 'tmp', 'blk_5'), 'copy')
  const store = await openStore([live])
  t.match(store.find(one), { state: 'finalized', length: 1000 })
  t.match(store.find(blockId(2)), { state: 'finalized', length: 1000 })
  for (const id of [3, 4, 5]) t.equal(store.find(blockId(id)), undefined)
  t.same(await readdir(join(pool(live), 'tmp')), [])
  await store.close()

  const other = join(root, 'other')
  const twin = await openStore([other, live])
  t.equal(twin.datanodeUuid, store.datanodeUuid)
  await twin.bindTo(testIdentity)
  await twin.close()
  await mkdir(join(pool(other), finalizedDirectory(one)), { recursive: true })
  await cp(final, join(pool(other), finalizedDirectory(one)), { recursive: true })
  const younger = metaFileName(one, generationStamp(1002))
  const copied = join(pool(other), finalizedDirectory(one))
  await rename(join(copied, metaName), join(copied, younger))
  const merged = await openStore([live, other])
  t.match(merged.find(one), { generationStamp: 1002 })
  t.equal([...merged.storages()].flatMap(({ uuid }) => [...merged.replicas(uuid)]).length, 2)
  t.notOk((await readdir(final)).includes('blk_1'), 'the older twin is gone from disk')
  await merged.close()
})

t.test('delete() frees the name at once and the files soon', async (t) => {
  const directory = join(t.testdir(), 'data')
  const server = await startDataServer([directory])
  t.teardown(() => server.close())
  const { store } = server
  await writeWholeBlock([server], { blockId: 1, data: patternBytes(5000) })
  await t.rejects(store.delete(one, generationStamp(1002)), { code: 'REPLICA_NOT_FOUND' })
  const events: object[] = []
  store.onEvent((event) => events.push(event))
  const deletion = store.delete(one, stamp)
  await deletion
  t.match(events, [{ kind: 'deleted', blockId: 1, length: 5000 }])
  t.same(await readdir(join(pool(directory), 'tmp')), [])
  await writeWholeBlock([server], { blockId: 1, data: patternBytes(10) })
  t.equal(store.find(one)?.length, 10)
  t.match(store.storages(), [{ used: 10, failed: false, path: directory }])
})

t.test('a full disk refuses new replicas and fails only the one that fills it', async (t) => {
  const root = t.testdir({ small: {} })
  const directory = join(root, 'reserved')
  const server = await startDataServer([directory], {
    'dfs.datanode.reserved-bytes': Number.MAX_SAFE_INTEGER,
  })
  t.teardown(() => server.close())
  const refused = new DataConnection(server.server.port)
  refused.startWrite({ blockId: 1 })
  t.equal(await refused.response(), undefined)
  t.equal(server.store.find(one), undefined)
  t.match(server.store.storages(), [{ remaining: 0 }])
  const layout = metaLayout('crc32c', 512)
  const create = {
    blockId: one,
    generationStamp: stamp,
    layout,
    storage: undefined,
    isCopy: false,
  }
  t.throws(() => server.store.create(create), {
    code: 'DISK_FULL',
    message: /need 1048576 bytes: ".*reserved" has 0 bytes left/,
  })
  await t.test('on a disk of 4 MiB', { skip: smallDisk(join(root, 'small')) }, async (t) => {
    t.teardown(() => execFileSync('umount', [join(root, 'small')]))
    const full = await startDataServer([join(root, 'small', 'data')])
    await writeWholeBlock([full], { blockId: 1, data: patternBytes(1_000_000) })
    const acks = await writeWholeBlock([full], { blockId: 2, data: patternBytes(6_000_000) })
    t.ok(acks.length < 94, 'the stream ends without the last ack')
    t.not(full.store.find(blockId(2))?.state, 'finalized')
    const read = await new DataConnection(full.server.port).read({ blockId: 1, length: 1_000_000 })
    t.ok(read.data.equals(patternBytes(1_000_000)), 'what was there is served')
    t.match(full.store.storages(), [{ failed: false }], 'and the volume is not given up')
    await full.close()
  })
})

/** Mounts a file system of 4 MiB; returns why that cannot be done, or false. */
function smallDisk(directory: string): string | false {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory], { stdio: 'pipe' })
    return false
  } catch {
    return 'mounting a small file system needs root'
  }
}

t.test('a damaged last chunk cannot be appended to', async (t) => {
  const directory = join(t.testdir(), 'data')
  const server = await startDataServer([directory])
  t.teardown(() => server.close())
  await writeWholeBlock([server], { blockId: 1, data: patternBytes(700) })
  const file = await open(join(pool(directory), finalizedDirectory(one), metaName), 'r+')
  await file.write(Buffer.from([1, 2, 3, 4]), 0, 4, checksumOffset(metaLayout('crc32c', 512), 1))
  await file.close()
  const writer = new DataConnection(server.server.port)
  writer.startWrite({
    blockId: 1,
    stage: 'PIPELINE_SETUP_APPEND',
    min: 700,
    max: 700,
    newStamp: 1002,
  })
  t.equal(await writer.response(), undefined)
  t.equal(metaHeader.sizeOf, 128)
})

t.test(
  'BufferPool hands out aligned memory up to its limit and wakes waiters in order',
  async (t) => {
    const pool = new BufferPool(0)
    const taken = Array.from({ length: 8 }, () => pool.take('large'))
    t.ok(taken.every((buffer) => (buffer?.bytes.byteOffset ?? 1) % pageBytes === 0))
    t.equal(pool.take('large'), undefined)
    t.equal(pool.take('small'), undefined)
    t.equal(pool.usedShare, 1)
    const woken: string[] = []
    pool.wait(() => {
      woken.push('gone')
      return false
    })
    for (const name of ['first', 'second']) {
      pool.wait(() => {
        woken.push(name)
        return true
      })
    }
    taken[0]?.retain()
    taken[0]?.release()
    await Promise.resolve()
    t.same(woken, [], 'an owner is left')
    taken[0]?.release()
    await Promise.resolve()
    t.same(woken, ['gone', 'first'], 'one buffer, one waiter that wants it')
    t.throws(() => taken[0]?.release(), /must not be released twice/)
    const small = Array.from({ length: 8 }, () => pool.take('small'))
    t.ok(small.every((buffer) => buffer?.bytes.length === smallBufferBytes))
    t.equal(pool.take('small'), undefined)
  },
)
