import { cp, mkdir, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { systemClock, systemTimers } from '../../../base/system.ts'
import { finalizedDirectory } from '../../../datanode/format/block-file.ts'
import { openReplicaStore, type ReplicaStore } from '../../../datanode/shell/replica-store.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { withSettings } from '../../../protocol/settings.ts'
import {
  patternBytes,
  startDataServer,
  testPool,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'

const periodMs = 3_600_000

interface Tap {
  testdir(): string
  teardown(action: () => unknown): unknown
}

/** A directory below `root` with `count` blocks of 1,000 bytes, all in one directory. */
async function withBlocks(root: string, count: number): Promise<string> {
  const directory = join(root, 'data')
  const server = await startDataServer([directory])
  for (let id = 1; id <= count; id += 1) {
    await writeWholeBlock([server], { blockId: id, data: patternBytes(1000, id) })
  }
  await server.close()
  return directory
}

async function openStore(t: Tap, directories: readonly string[]): Promise<ReplicaStore> {
  const store = await openReplicaStore({
    directories,
    settings: withSettings({ 'dfs.datanode.reserved-bytes': 0 }),
    logger: silentLogger,
    clock: systemClock,
    timers: systemTimers,
  })
  t.teardown(() => store.close())
  store.startDirectoryScans(periodMs)
  return store
}

function blocksOf(directory: string): string {
  return join(directory, 'current', testPool, finalizedDirectory(blockId(1)))
}

function totals(store: ReplicaStore, index = 0): Record<string, number> {
  const storage = store.storages()[index]
  const found = storage === undefined ? undefined : store.scanTotals(storage.uuid)
  const all: Record<string, number> = found === undefined ? {} : { ...found }
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count > 0))
}

t.test('a scan of an untouched directory finds nothing', async (t) => {
  const store = await openStore(t, [await withBlocks(t.testdir(), 3)])
  await store.scanDirectories()
  t.same(totals(store), {})
})

t.test(
  'a scan says what differs, reports what is gone or wrong, and deletes nothing',
  async (t) => {
    const directory = await withBlocks(t.testdir(), 6)
    const store = await openStore(t, [directory])
    const events: object[] = []
    const corrupt: object[] = []
    store.onEvent((event) => events.push(event))
    store.onCorrupt((replica) => corrupt.push(replica))
    const blocks = blocksOf(directory)
    await rm(join(blocks, 'blk_1'))
    await rm(join(blocks, 'blk_2_1001.meta'))
    await truncate(join(blocks, 'blk_3'), 999)
    await writeFile(join(blocks, 'blk_77'), 'data alone')
    await writeFile(join(blocks, 'notes.txt'), 'what is this')
    const elsewhere = join(directory, 'current', testPool, 'finalized', 'subdir7', 'subdir7')
    await mkdir(elsewhere, { recursive: true })
    await rename(join(blocks, 'blk_5'), join(elsewhere, 'blk_5'))
    const before = (await readdir(blocks)).length
    await store.scanDirectories()
    t.same(totals(store), { gone: 3, 'wrong-length': 1, incomplete: 1, misplaced: 1, foreign: 1 })
    t.match(
      events,
      [1, 2, 5].map((id) => ({ kind: 'deleted', blockId: id, generationStamp: 1001 })),
    )
    t.match(corrupt, [{ blockId: 3 }])
    t.equal((await readdir(blocks)).length, before, 'every file is where it was')
    for (const id of [1, 2, 5]) t.equal(store.find(blockId(id)), undefined)
    t.equal(store.find(blockId(6))?.state, 'finalized')
    await store.close()
    const again = await openStore(t, [directory])
    t.equal(again.find(blockId(5)), undefined, 'a misplaced file does not keep it from starting')
    t.equal(again.find(blockId(6))?.length, 1000)
  },
)

t.test(
  'complete files that nobody knew of become a replica, those of another disk do not',
  async (t) => {
    const root = t.testdir()
    const one = await withBlocks(root, 2)
    const two = join(root, 'two')
    const saved = join(root, 'saved')
    await cp(blocksOf(one), saved, { recursive: true })
    for (const name of ['blk_2', 'blk_2_1001.meta']) await rm(join(blocksOf(one), name))
    const store = await openStore(t, [one, two])
    await store.bindTo({ clusterId: 'CID-test', namespaceId: 1, blockPoolId: testPool })
    await mkdir(blocksOf(two), { recursive: true })
    await cp(saved, blocksOf(two), { recursive: true })
    const events: object[] = []
    store.onEvent((event) => events.push(event))
    await store.scanDirectories()
    t.same(totals(store, 1), { unknown: 1, duplicate: 1 })
    t.match(events, [{ kind: 'received', blockId: 2, length: 1000 }])
    t.type(store.find(blockId(2))?.digest, 'bigint')
    t.equal(store.find(blockId(1))?.storage, store.storages()[0]?.uuid)
  },
)

t.test('a directory that is gone as a whole is a failed disk, not lost replicas', async (t) => {
  const root = t.testdir()
  const directory = await withBlocks(root, 2)
  const other = join(root, 'other')
  const store = await openStore(t, [directory, other])
  const kinds: string[] = []
  store.onEvent(({ kind }) => kinds.push(kind))
  await rename(join(directory, 'current'), join(directory, 'away'))
  await store.scanDirectories()
  t.same(kinds, [], 'nothing is said to be deleted one by one')
  await store.checkVolumes()
  t.match(store.volumeFailures(), [{ directory }])
})

t.test('a reader that misses a file has the replica reported gone at once', async (t) => {
  const directory = await withBlocks(t.testdir(), 2)
  const store = await openStore(t, [directory])
  await rm(join(blocksOf(directory), 'blk_1'))
  const gone = new Promise((resolve) => store.onEvent(resolve))
  await t.rejects(store.openForRead(blockId(1), generationStamp(1001)), { code: 'IO_ERROR' })
  t.match(await gone, { kind: 'deleted', blockId: 1 })
  t.equal(store.find(blockId(1)), undefined)
  t.equal(store.find(blockId(2))?.state, 'finalized')
})
