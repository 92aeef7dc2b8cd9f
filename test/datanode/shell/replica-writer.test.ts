import { join } from 'node:path'
import t from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { systemClock, systemTimers } from '../../../base/system.ts'
import { metaLayout } from '../../../datanode/format/block-meta.ts'
import { openReplicaStore, type ReplicaStore } from '../../../datanode/shell/replica-store.ts'
import type { ReplicaWriter } from '../../../datanode/shell/replica-writer.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { withSettings } from '../../../protocol/settings.ts'
import { chunkChecksums, patternBytes, testIdentity } from '../../support/data-transfer-client.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'

const one = blockId(1)
const stamp = generationStamp(1001)
const data = patternBytes(3000)

interface Started {
  readonly faults: FaultyFiles
  readonly store: ReplicaStore
  readonly writer: ReplicaWriter
}

interface Tap {
  testdir(): string
  teardown(action: () => unknown): unknown
}

async function startWriter(t: Tap): Promise<Started> {
  const faults = new FaultyFiles()
  const store = await openReplicaStore({
    directories: [join(t.testdir(), 'data')],
    settings: withSettings({ 'dfs.datanode.reserved-bytes': 0 }),
    logger: silentLogger,
    clock: systemClock,
    timers: systemTimers,
    files: faults.files,
  })
  t.teardown(() => store.close())
  await store.bindTo(testIdentity)
  const layout = metaLayout('crc32c', 512)
  const request = { blockId: one, generationStamp: stamp, layout, storage: undefined }
  const writer = store.create({ ...request, isCopy: false })
  await writer.opened()
  return { faults, store, writer }
}

/** Receives the block's bytes up to `length` as a packet would, from a chunk's beginning on. */
function receive({ store, writer }: Started, length: number): void {
  const chunk = Math.floor(writer.length / 512)
  const fresh = data.subarray(writer.length, length)
  fresh.copy(writer.space(fresh.length, () => false) ?? Buffer.alloc(0))
  writer.landed(fresh.length)
  for (const { bytes } of writer.arrived()) writer.meta.hash(bytes)
  writer.accept(chunk, chunkChecksums(data.subarray(chunk * 512, length), 512))
  store.noteLength(writer)
}

function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

for (const end of ['finalized', 'released'] as const) {
  t.test(`a replica is ${end} while a sync runs and another one waits for it`, async (t) => {
    const started = await startWriter(t)
    const { faults, store, writer } = started
    const { opened, open } = gate()
    faults.hold({ operations: ['syncFileData'], path: /blk_1/, until: opened })
    receive(started, 700)
    const syncs = [writer.sync()]
    receive(started, 900)
    syncs.push(writer.sync())
    const over = end === 'finalized' ? store.finalize(writer, 'finalized') : store.release(writer)
    open()
    await over
    await Promise.all(syncs)
    await writer.closed
    t.same(faults.lateUses, [], 'no mark is written to a descriptor closed before')
    t.match(store.find(one), { state: end === 'finalized' ? 'finalized' : 'rbw', length: 900 })
  })
}

t.test('files stay open while a write is under way that a failed one left behind', async (t) => {
  const started = await startWriter(t)
  const { faults, store, writer } = started
  const { opened, open } = gate()
  faults.hold({ operations: ['writeAt'], path: /blk_1$/, until: opened })
  faults.add({ operations: ['writeAt'], path: /\.meta$/, errno: 'ENOSPC', times: 1 })
  receive(started, 700)
  await t.rejects(writer.flush(), { code: 'DISK_FULL' })
  const released = store.release(writer)
  // More turns than a close needs that does not wait.
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  open()
  await released
  t.same(faults.lateUses, [], 'the data is not written to a descriptor closed before')
})

t.test('a closed writer refuses to touch its files', async (t) => {
  const started = await startWriter(t)
  const { faults, store, writer } = started
  receive(started, 700)
  await store.release(writer)
  await t.rejects(writer.sync(), { code: 'IO_ERROR', message: /its files are closed/ })
  t.same(faults.lateUses, [])
})

t.test('whoever takes a replica over a second time waits for its files, too', async (t) => {
  const started = await startWriter(t)
  const { faults, writer } = started
  const { opened, open } = gate()
  faults.hold({ operations: ['writeAt'], path: /blk_1$/, until: opened })
  receive(started, 700)
  writer.requireOpen()
  let isOver = false
  const takeovers = [writer.abandon(), writer.abandon()].map((takeover) =>
    takeover.then(() => {
      isOver = true
    }),
  )
  t.throws(() => writer.requireOpen(), { code: 'REPLICA_NOT_FOUND' })
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  t.notOk(isOver)
  open()
  await Promise.all(takeovers)
  t.same(faults.lateUses, [])
})
