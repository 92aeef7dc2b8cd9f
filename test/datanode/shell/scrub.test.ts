import { open, readdir, stat, truncate, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { millis } from '../../../base/brand.ts'
import type { Clock, Timers } from '../../../base/clock.ts'
import { silentLogger } from '../../../base/log.ts'
import { systemClock, systemTimers } from '../../../base/system.ts'
import { encodeBlockDigest } from '../../../datanode/format/block-digest.ts'
import { finalizedDirectory } from '../../../datanode/format/block-file.ts'
import { metaHeader } from '../../../datanode/format/block-meta.ts'
import type { FileSystem } from '../../../datanode/shell/files.ts'
import { openReplicaStore, type ReplicaStore } from '../../../datanode/shell/replica-store.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { withSettings } from '../../../protocol/settings.ts'
import {
  DataConnection,
  patternBytes,
  startDataServer,
  testPool,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'

const dayMs = 24 * 3_600_000
const periodMs = 14 * dayMs
const blockBytes = 200_000

interface Tap {
  testdir(): string
  teardown(action: () => unknown): unknown
}

/** Writes `count` blocks of 200,000 bytes and leaves them as they look when nobody verified them for 15 days. */
async function oldBlocks(t: Tap, count: number): Promise<string> {
  const directory = join(t.testdir(), 'data')
  const server = await startDataServer([directory])
  for (let id = 1; id <= count; id += 1) {
    await writeWholeBlock([server], { blockId: id, data: patternBytes(blockBytes, id) })
  }
  await server.close()
  for (let id = 1; id <= count; id += 1) await age(directory, id, 15 * dayMs + id)
  return directory
}

function dataPath(directory: string, id: number): string {
  return join(directory, 'current', testPool, finalizedDirectory(blockId(id)), `blk_${id}`)
}

function metaPath(directory: string, id: number): string {
  return `${dataPath(directory, id)}_1001.meta`
}

async function age(directory: string, id: number, ageMs: number): Promise<void> {
  const then = new Date(Date.now() - ageMs)
  await utimes(metaPath(directory, id), then, then)
}

async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.length, at)
  await file.close()
}

async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte.writeUInt8(byte.readUInt8() ^ 4)
  await file.write(byte, 0, 1, at)
  await file.close()
}

async function openStore(
  t: Tap,
  directory: string,
  {
    files,
    clock = systemClock,
    timers = systemTimers,
  }: { files?: FileSystem; clock?: Clock; timers?: Timers } = {},
): Promise<ReplicaStore> {
  const store = await openReplicaStore({
    directories: [directory],
    settings: withSettings({ 'dfs.datanode.reserved-bytes': 0 }),
    logger: silentLogger,
    clock,
    timers,
    files,
  })
  t.teardown(() => store.close())
  return store
}

function scrub(store: ReplicaStore): void {
  store.startScrubbing({ periodMs, isBusy: () => false })
}

/** Waits until what scrubbing did fits. */
async function scrubbed(
  store: ReplicaStore,
  fits: (done: {
    verifiedReplicas: number
    corruptReplicas: number
    oldestAgeMs: number
  }) => boolean,
): Promise<void> {
  const [storage] = store.storages()
  for (;;) {
    const status = storage === undefined ? undefined : store.scrubStatus(storage.uuid)
    if (status !== undefined && fits(status)) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const damages: readonly (readonly [
  what: string,
  spoil: (data: string, meta: string) => Promise<void>,
  reason: RegExp,
])[] = [
  [
    'a flipped byte',
    (data) => flip(data, 130_000),
    /does not match its checksums at offset 129536/,
  ],
  ['a flipped chunk CRC', (_, meta) => flip(meta, 128 + 8), /its chunk checksum at offset 0/],
  ['a flipped span digest', (_, meta) => flip(meta, 128 + 520), /its span digest at offset 65536/],
  [
    'a lost tail',
    (data) => truncate(data, 199_999),
    /does not match its checksums at offset 199680/,
  ],
  ['a damaged head of the meta file', (_, meta) => flip(meta, 12), /header checksum/],
  [
    'a digest of other bytes',
    (_, meta) => overwrite(meta, metaHeader.blockDigest, encodeBlockDigest(5n, blockBytes)),
    /leads to digest .*, expected 5$/,
  ],
]

for (const [what, spoil, reason] of damages) {
  t.test(`scrubbing finds ${what}, reports it and keeps the replica`, async (t) => {
    const directory = await oldBlocks(t, 3)
    await spoil(dataPath(directory, 2), metaPath(directory, 2))
    await age(directory, 2, 15 * dayMs)
    const store = await openStore(t, directory)
    const corrupt: object[] = []
    store.onCorrupt((replica) => corrupt.push(replica))
    scrub(store)
    await scrubbed(store, (done) => done.verifiedReplicas === 2 && done.corruptReplicas === 1)
    t.match(corrupt, [{ blockId: 2, generationStamp: 1001, reason }])
    t.equal(store.find(blockId(2))?.state, 'finalized', 'deleting it is not its business')
    t.ok((await stat(metaPath(directory, 1))).mtimeMs > Date.now() - dayMs, 'progress is on disk')
  })
}

t.test('a replica whose verification the disk could not keep is looked at again', async (t) => {
  const directory = await oldBlocks(t, 2)
  const disk = new FaultyFiles()
  const impatient: Timers = {
    ...systemTimers,
    after: (delayMs, action) => systemTimers.after(delayMs === 600_000 ? 10 : delayMs, action),
  }
  const store = await openStore(t, directory, { files: disk.files, timers: impatient })
  disk.add({ operations: ['touchFile'], path: /blk_1_/, errno: 'ENOSPC', times: 1 })
  scrub(store)
  await scrubbed(store, (done) => done.verifiedReplicas === 2)
  t.ok((await stat(metaPath(directory, 1))).mtimeMs > Date.now() - dayMs, 'progress is on disk')
})

/** Sets up the pipeline of an append, the first time or once more. */
function append(
  store: ReplicaStore,
  id: number,
  event: 'append' | 'reappend' = 'append',
): ReturnType<ReplicaStore['reopen']> {
  return store.reopen({
    ...{ blockId: blockId(id), event },
    ...{ generationStamp: generationStamp(1001), newStamp: generationStamp(1002) },
    ...{ lengthMin: blockBytes, lengthMax: blockBytes },
  })
}

t.test(
  'a replica that has rotted is neither appended to nor recovered, and is reported',
  async (t) => {
    const directory = await oldBlocks(t, 2)
    await flip(dataPath(directory, 2), 1000)
    const store = await openStore(t, directory)
    const corrupt: object[] = []
    store.onCorrupt((replica) => corrupt.push(replica))
    await t.rejects(append(store, 2), { code: 'CHECKSUM_MISMATCH' })
    t.match(corrupt, [{ blockId: 2, generationStamp: 1001 }])
    const reappend = append(store, 2, 'reappend')
    await t.rejects(reappend, { code: 'CHECKSUM_MISMATCH' }, 'nor when the first attempt failed')
    t.equal(corrupt.length, 2)
    t.match(store.find(blockId(2)), { state: 'finalized', generationStamp: 1001 })
    const recover = (id: number) =>
      store.recovery.initReplicaRecovery(blockId(id), generationStamp(1001), generationStamp(1003))
    await t.rejects(recover(2), { code: 'CHECKSUM_MISMATCH' })
    t.equal(corrupt.length, 3)
    t.match(store.find(blockId(2)), { state: 'finalized' }, 'nobody waits for its recovery')
    const writer = await append(store, 1)
    t.match(store.find(blockId(1)), { state: 'rbw', generationStamp: 1002 })
    if (writer !== undefined) await store.release(writer)
  },
)

t.test('a clock that was set back makes nothing look verified', async (t) => {
  const directory = await oldBlocks(t, 2)
  await age(directory, 1, 1000)
  await age(directory, 2, -dayMs)
  let setBackMs = 0
  const clock: Clock = { ...systemClock, wall: () => millis(Date.now() - setBackMs) }
  const store = await openStore(t, directory, { clock })
  t.equal(store.find(blockId(2))?.verifiedAt, 0, 'a time in the future says nothing')
  await flip(dataPath(directory, 1), 1000)
  setBackMs = dayMs
  await t.rejects(append(store, 1), { code: 'CHECKSUM_MISMATCH' })
  scrub(store)
  await scrubbed(store, (done) => done.verifiedReplicas + done.corruptReplicas === 2)
})

t.test('damage that is there before the start counts from the file, not from memory', async (t) => {
  const directory = await oldBlocks(t, 1)
  await truncate(dataPath(directory, 1), 100)
  const store = await openStore(t, directory)
  const corrupt: object[] = []
  store.onCorrupt((replica) => corrupt.push(replica))
  scrub(store)
  await scrubbed(store, (done) => done.corruptReplicas === 1)
  t.match(corrupt, [{ blockId: 1, length: 100, reason: /\.meta" has \d+ bytes, expected 140/ }])
})

t.test('the oldest goes first, what is fresh is left alone, and a restart goes on', async (t) => {
  const directory = await oldBlocks(t, 3)
  await age(directory, 2, dayMs)
  const store = await openStore(t, directory)
  const [storage] = store.storages()
  if (storage === undefined) throw new Error('one storage')
  scrub(store)
  t.ok((store.scrubStatus(storage.uuid)?.oldestAgeMs ?? 0) > 14 * dayMs, 'late')
  await scrubbed(store, (done) => done.verifiedReplicas === 2)
  const age2 = store.scrubStatus(storage.uuid)?.oldestAgeMs ?? 0
  t.ok(age2 >= dayMs && age2 < 2 * dayMs, 'now the second one is the oldest')
  await store.close()
  const again = await openStore(t, directory)
  scrub(again)
  await scrubbed(again, () => true)
  const status = again.scrubStatus(storage.uuid)
  t.equal(status?.verifiedReplicas, 0, 'nothing is verified twice')
  t.ok((status?.oldestAgeMs ?? 0) < 2 * dayMs)
})

t.test('a replica of an earlier release gets its digest and is reported with it', async (t) => {
  const directory = await oldBlocks(t, 1)
  await overwrite(metaPath(directory, 1), metaHeader.blockDigest, Buffer.alloc(24))
  await age(directory, 1, 15 * dayMs)
  const store = await openStore(t, directory)
  t.equal(store.find(blockId(1))?.digest, undefined)
  const events: { readonly kind: string; readonly digest: bigint | undefined }[] = []
  store.onEvent((event) => events.push(event))
  scrub(store)
  await scrubbed(store, (done) => done.verifiedReplicas === 1)
  const digest = store.find(blockId(1))?.digest
  t.type(digest, 'bigint')
  t.match(events, [{ kind: 'received', blockId: 1, digest }])
  await store.close()
  t.equal((await openStore(t, directory)).find(blockId(1))?.digest, digest)
})

t.test('a bad sector is a corrupt replica, and the disk is looked at', async (t) => {
  const directory = await oldBlocks(t, 2)
  const faults = new FaultyFiles()
  const store = await openStore(t, directory, { files: faults.files })
  const corrupt: object[] = []
  store.onCorrupt((replica) => corrupt.push(replica))
  faults.add({ operations: ['readAt'], path: /blk_1$/, errno: 'EIO' })
  scrub(store)
  await scrubbed(store, (done) => done.verifiedReplicas === 1 && done.corruptReplicas === 1)
  t.match(corrupt, [{ blockId: 1, reason: /EIO/ }])
  t.same(store.volumeFailures(), [], 'one bad sector does not condemn it')
})

t.test('a reader that found wrong bytes has the replica verified at once', async (t) => {
  const directory = join(t.testdir(), 'data')
  const server = await startDataServer([directory])
  t.teardown(() => server.close())
  await writeWholeBlock([server], { blockId: 1, data: patternBytes(blockBytes) })
  await flip(dataPath(directory, 1), 70_000)
  const corrupt = new Promise((resolve) => server.store.onCorrupt(resolve))
  scrub(server.store)
  const reader = new DataConnection(server.server.port)
  t.teardown(() => reader.close())
  await reader.read({ blockId: 1, length: blockBytes, verdict: 'ERROR_CHECKSUM' })
  t.match(await corrupt, { blockId: 1, reason: /at offset 69632/ })
  t.ok((await readdir(join(directory, 'current', testPool, 'rbw'))).length === 0)
})

t.test('a stop does not wait for the replica that is being verified', async (t) => {
  const directory = join(t.testdir(), 'data')
  const server = await startDataServer([directory])
  const length = 24 * 1024 * 1024
  await writeWholeBlock([server], { blockId: 1, data: patternBytes(length) })
  await server.close()
  await age(directory, 1, 8 * dayMs)
  const faults = new FaultyFiles()
  const store = await openStore(t, directory, { files: faults.files })
  scrub(store)
  const [storage] = store.storages()
  if (storage === undefined) throw new Error('one storage')
  while (store.operations(storage.uuid).read.bytes < 2 * 1024 * 1024) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  await store.close()
  t.ok(store.operations(storage.uuid).read.bytes < length / 2, 'it gives up in the middle')
  t.ok((await stat(metaPath(directory, 1))).mtimeMs < Date.now() - 7 * dayMs, 'and says so')
})
