/** Cutting a replica, and what a crash in the middle of it leaves: every state is made, and a start must cope with it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { xxh64 } from '../../../base/checksum.ts'
import { silentLogger } from '../../../base/log.ts'
import { systemClock, systemTimers } from '../../../base/system.ts'
import { digestOfSpans, encodeBlockDigest } from '../../../datanode/format/block-digest.ts'
import { finalizedDirectory, metaFileName } from '../../../datanode/format/block-file.ts'
import {
  encodeMetaHeader,
  encodeSyncMark,
  type MetaLayout,
  metaHeader,
  metaLayout,
  syncMarkOffset,
} from '../../../datanode/format/block-meta.ts'
import { type FileSystem, systemFiles } from '../../../datanode/shell/files.ts'
import { chunkCrc } from '../../../datanode/shell/open-replica.ts'
import { completeCut, cutReplica } from '../../../datanode/shell/replica-cut.ts'
import { recoverPrefix } from '../../../datanode/shell/replica-repair.ts'
import { openReplicaStore, type ReplicaStore } from '../../../datanode/shell/replica-store.ts'
import { verifyReplica } from '../../../datanode/shell/verify-replica.ts'
import type { ReplicaFiles } from '../../../datanode/shell/volume.ts'
import { type BlockId, blockId, generationStamp } from '../../../protocol/ids.ts'
import { withSettings } from '../../../protocol/settings.ts'
import { patternBytes, testIdentity, testPool } from '../../support/data-transfer-client.ts'

const stamp = generationStamp(1001)

type Which = 'data' | 'meta'

/** What was done to a file, in order. */
type Change =
  | { readonly kind: 'write'; readonly which: Which; readonly bytes: Buffer; readonly at: number }
  | { readonly kind: 'truncate'; readonly which: Which; readonly length: number }
  | { readonly kind: 'sync'; readonly which: Which }

type Contents = Readonly<Record<Which, Buffer>>

/** Real file operations that note what changes the files of one replica. */
function recording(changes: Change[]): FileSystem {
  const whichByDescriptor = new Map<number, Which>()
  const whichOf = (descriptor: number): Which => whichByDescriptor.get(descriptor) ?? 'data'
  return {
    ...systemFiles,
    async openFile(path, flags) {
      const descriptor = await systemFiles.openFile(path, flags)
      whichByDescriptor.set(descriptor, path.endsWith('.meta') ? 'meta' : 'data')
      return descriptor
    },
    writeAt(descriptor, bytes, at) {
      changes.push({ kind: 'write', which: whichOf(descriptor), bytes: Buffer.from(bytes), at })
      return systemFiles.writeAt(descriptor, bytes, at)
    },
    truncateFile(descriptor, length) {
      changes.push({ kind: 'truncate', which: whichOf(descriptor), length })
      return systemFiles.truncateFile(descriptor, length)
    },
    syncFileData(descriptor) {
      changes.push({ kind: 'sync', which: whichOf(descriptor) })
      return systemFiles.syncFileData(descriptor)
    },
  }
}

function applied(before: Contents, changes: readonly Change[]): Contents {
  const after = { ...before }
  for (const change of changes) {
    if (change.kind === 'sync') continue
    const { which } = change
    const length =
      change.kind === 'truncate'
        ? change.length
        : Math.max(after[which].length, change.at + change.bytes.length)
    const file = Buffer.alloc(length)
    after[which].copy(file)
    if (change.kind === 'write') change.bytes.copy(file, change.at)
    after[which] = file
  }
  return after
}

/** Every set of changes that a crash may leave on disk: after each step, what is not synced in any choice. */
function* survivors(changes: readonly Change[]): Generator<readonly Change[]> {
  for (let end = 0; end <= changes.length; end += 1) {
    const made = changes.slice(0, end)
    const isSafe = (change: Change, index: number): boolean =>
      made.slice(index).some(({ kind, which }) => kind === 'sync' && which === change.which)
    const pending = made.filter((change, index) => change.kind !== 'sync' && !isSafe(change, index))
    for (let choice = 0; choice < 2 ** pending.length; choice += 1) {
      yield made.filter((change) => {
        const at = pending.indexOf(change)
        return at < 0 || (choice >> at) % 2 === 1
      })
    }
  }
}

/** The files of a complete replica. */
function replicaOf(id: BlockId, layout: MetaLayout, data: Buffer, isFinal = false): Contents {
  const parts: Buffer[] = []
  const digests: Buffer[] = []
  for (let start = 0; start < data.length; start += layout.spanBytes) {
    const span = data.subarray(start, start + layout.spanBytes)
    const digest = Buffer.alloc(8)
    digest.writeBigUInt64BE(xxh64(span))
    parts.push(digest)
    digests.push(digest)
    for (let at = 0; layout.checksumBytes > 0 && at < span.length; at += layout.bytesPerChecksum) {
      const checksum = Buffer.alloc(4)
      checksum.writeUInt32BE(chunkCrc(layout, span.subarray(at, at + layout.bytesPerChecksum)))
      parts.push(checksum)
    }
  }
  const header = encodeMetaHeader(layout, id)
  const record = encodeBlockDigest(digestOfSpans(Buffer.concat(digests)), data.length)
  if (isFinal) record.copy(header, metaHeader.blockDigest)
  return { data, meta: Buffer.concat([header, ...parts]) }
}

async function openStore(directory: string): Promise<ReplicaStore> {
  return openReplicaStore({
    directories: [directory],
    settings: withSettings({ 'dfs.datanode.reserved-bytes': 0 }),
    logger: silentLogger,
    clock: systemClock,
    timers: systemTimers,
  })
}

function filesIn(directory: string, id: BlockId, disk: FileSystem): ReplicaFiles {
  const [data, meta] = [join(directory, `blk_${id}`), join(directory, metaFileName(id, stamp))]
  return { directory, data, meta, disk }
}

async function put(files: ReplicaFiles, { data, meta }: Contents): Promise<void> {
  await mkdir(files.directory, { recursive: true })
  await writeFile(files.data, data)
  await writeFile(files.meta, meta)
}

interface Cut {
  readonly layout: MetaLayout
  readonly length: number
  readonly newLength: number
}

/** The changes that a cut makes. */
async function changesOf(t: Test, { layout, length, newLength }: Cut, before: Contents) {
  const changes: Change[] = []
  const files = filesIn(t.testdir(), blockId(1), recording(changes))
  await put(files, before)
  await cutReplica(files, blockId(1), { length, newLength })
  const after = { data: await readFile(files.data), meta: await readFile(files.meta) }
  const wanted = replicaOf(blockId(1), layout, before.data.subarray(0, newLength))
  t.ok(after.data.equals(wanted.data) && after.meta.equals(wanted.meta), 'both files are cut')
  return changes
}

/** Puts every state that a crash may leave on one disk, each as a block of its own, and starts a datanode there. */
async function startWith(
  t: Test,
  kind: 'finalized' | 'rbw',
  before: (id: BlockId) => Contents,
  changes: readonly Change[],
) {
  const directory = t.testdir()
  const empty = await openStore(directory)
  await empty.bindTo(testIdentity)
  await empty.close()
  const pool = join(directory, 'current', testPool)
  const ids: BlockId[] = []
  for (const survived of survivors(changes)) {
    const id = blockId(ids.length + 1)
    ids.push(id)
    const place = join(pool, kind === 'finalized' ? finalizedDirectory(id) : kind)
    await put(filesIn(place, id, systemFiles), applied(before(id), survived))
  }
  const store = await openStore(directory)
  t.teardown(() => store.close())
  return { store, pool, ids }
}

async function afterEveryCrash(t: Test, cut: Cut, kind: 'finalized' | 'rbw') {
  const data = patternBytes(cut.length)
  const before = (id: BlockId): Contents => replicaOf(id, cut.layout, data, kind === 'finalized')
  const changes = await changesOf(t, cut, before(blockId(1)))
  return { ...(await startWith(t, kind, before, changes)), data }
}

const layouts = [metaLayout('crc32c', 512), metaLayout('null', 512)] as const
const shapes = [
  ['within a chunk', 1400, 1100],
  ['at the end of a chunk', 1400, 1024],
  ['at the end of a span', 70_000, 65_536],
  ['within a span', 140_000, 66_000],
  ['to nothing', 1400, 0],
] as const

for (const layout of layouts) {
  for (const [where, length, newLength] of shapes) {
    const name = `${where}, ${layout.checksumType}`
    t.test(`a crash while a final replica is cut ${name} leaves a whole one`, async (t) => {
      const { store, pool, ids } = await afterEveryCrash(
        t,
        { layout, length, newLength },
        'finalized',
      )
      const pace = (): Promise<void> => Promise.resolve()
      const lengths = new Set<number>()
      for (const id of ids) {
        const replica = store.find(id)
        if (replica?.state !== 'finalized') throw new Error(`block ${id} is ${replica?.state}`)
        const { digest } = replica
        const files = filesIn(join(pool, finalizedDirectory(id)), id, systemFiles)
        lengths.add(replica.length)
        await verifyReplica({
          ...{ files, blockId: id, length: replica.length, digest, isDirect: false, pace },
        })
      }
      t.same(
        [...lengths].sort((one, other) => one - other),
        [newLength, length],
      )
    })

    t.test(`a crash while an unfinished replica is cut ${name} keeps what is wanted`, async (t) => {
      const cut = { layout, length, newLength }
      const { store, pool, ids, data } = await afterEveryCrash(t, cut, 'rbw')
      for (const id of ids) {
        const found = store.find(id)?.length ?? 0
        if (found < newLength) throw new Error(`block ${id} has ${found} of ${newLength} bytes`)
        const bytes = await readFile(join(pool, 'rbw', `blk_${id}`))
        if (!bytes.equals(data.subarray(0, found))) throw new Error(`block ${id} has other bytes`)
      }
      t.ok(ids.length > 8, 'there are many ways to crash')
    })
  }
}

t.test('a loss of power while a start settles a replica leaves what was synced', async (t) => {
  const [layout] = layouts
  const data = patternBytes(1400)
  const synced = (id: BlockId): Contents => {
    const { meta } = replicaOf(id, layout, data.subarray(0, 1100))
    const [spanDigest, chunkChecksum] = [xxh64(data.subarray(0, 1100)), meta.readUInt32BE(144)]
    encodeSyncMark({ length: 1100, spanDigest, chunkChecksum }).copy(meta, syncMarkOffset(0))
    return { data: data.subarray(0, 1100), meta }
  }
  // The process wrote on and was killed: the kernel has it, the disk need not.
  const { meta: grown } = replicaOf(blockId(1), layout, data)
  const changes: Change[] = [
    { kind: 'write', which: 'data', bytes: data.subarray(1100), at: 1100 },
    { kind: 'write', which: 'meta', bytes: grown.subarray(metaHeader.sizeOf), at: 128 },
  ]
  const files = filesIn(t.testdir(), blockId(1), recording(changes))
  await put(files, applied(synced(blockId(1)), changes))
  t.equal(await recoverPrefix(files, blockId(1)), 1400)
  const { store, pool, ids } = await startWith(t, 'rbw', synced, changes)
  for (const id of ids) {
    const found = store.find(id)?.length ?? 0
    if (found < 1100) throw new Error(`block ${id} has ${found} bytes`)
    const bytes = await readFile(join(pool, 'rbw', `blk_${id}`))
    if (!bytes.equals(data.subarray(0, found))) throw new Error(`block ${id} has other bytes`)
  }
})

t.test(
  'a final replica without a digest is taken for cut only where a mark vouches for it',
  async (t) => {
    const [layout] = layouts
    const id = blockId(1)
    const files = filesIn(t.testdir(), id, systemFiles)
    const before = replicaOf(id, layout, patternBytes(1400))
    await put(files, before)
    t.equal(await completeCut(files, id, 1400), false, 'of an earlier release, without marks')
    await cutReplica(files, id, { length: 1400, newLength: 1100 })
    t.equal(await completeCut(files, id, 1100), false, 'the cut is complete')
    t.ok((await readFile(files.data)).equals(before.data.subarray(0, 1100)))
  },
)
