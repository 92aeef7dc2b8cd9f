import { constants } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { systemTimers } from '../../../base/system.ts'
import { copyPaceLimits, ForegroundUse } from '../../../datanode/core/copy-pace.ts'
import {
  type FileSystem,
  openFile,
  readAt,
  syncFileData,
  systemFiles,
  writeAt,
} from '../../../datanode/shell/files.ts'
import { LoopTurns } from '../../../datanode/shell/loop-turns.ts'
import { transferReplica } from '../../../datanode/shell/replica-transfer.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import {
  DataConnection,
  type DataServer,
  patternBytes,
  startDataServer,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'

const blockBytes = 3 * 1024 * 1024
const blocks = [1, 2, 3, 4, 5, 6, 7, 8]

/** Real files on a disk that counts how many long operations it has at once, each of which takes some milliseconds. */
class CrowdedDisk {
  readonly files: FileSystem
  isCounting = false
  crowd = 0
  #underWay = 0

  constructor() {
    const slow =
      <A extends unknown[], R>(operate: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        if (!this.isCounting) return operate(...args)
        this.#underWay += 1
        this.crowd = Math.max(this.crowd, this.#underWay)
        try {
          await new Promise((resolve) => setTimeout(resolve, 2))
          return await operate(...args)
        } finally {
          this.#underWay -= 1
        }
      }
    const openBlock = slow(openFile)
    this.files = {
      ...systemFiles,
      // Directories are opened for their syncs, which copies share.
      openFile: (path, flags) =>
        (flags & constants.O_DIRECTORY) === 0 ? openBlock(path, flags) : openFile(path, flags),
      readAt: slow(readAt),
      writeAt: slow(writeAt),
      syncFileData: slow(syncFileData),
    }
  }
}

interface Tap {
  testdir(): string
  teardown(action: () => unknown): unknown
}

async function start(t: Tap): Promise<{ disks: CrowdedDisk[]; servers: DataServer[] }> {
  const disks = [new CrowdedDisk(), new CrowdedDisk()]
  const root = t.testdir()
  const servers: DataServer[] = []
  for (const [index, { files }] of disks.entries()) {
    const server = await startDataServer([join(root, `datanode-${index}`)], {}, { files })
    t.teardown(() => server.close())
    servers.push(server)
  }
  return { disks, servers }
}

/** Copies every block from the first datanode to the second, all at once; resolves when all are final there. */
async function copyAll(
  [source, target]: readonly DataServer[],
  urgency?: 'urgent' | 'usual',
): Promise<void> {
  if (source === undefined || target === undefined) throw new Error('two datanodes')
  const finished = new Promise<void>((resolve) => {
    let left = blocks.length
    target.store.onEvent(({ kind }) => {
      if (kind === 'received' && --left === 0) resolve()
    })
  })
  const targets = [{ datanode: target.info, storage: undefined, storageType: 'DISK' }] as const
  const generation = generationStamp(1001)
  await Promise.all(
    blocks.map((id) =>
      transferReplica({
        store: source.store,
        block: { blockId: blockId(id), generationStamp: generation, length: blockBytes },
        targets,
        ...(urgency === undefined ? {} : { urgency }),
      }),
    ),
  )
  await finished
}

const cases = [
  { urgency: 'urgent', isUsed: true, crowdMax: copyPaceLimits.operationsBusy },
  { urgency: 'usual', isUsed: true, crowdMax: copyPaceLimits.usualOperationsBusy },
  { urgency: 'usual', isUsed: false, crowdMax: copyPaceLimits.operationsQuiet },
] as const

for (const { urgency, isUsed, crowdMax } of cases) {
  const when = isUsed ? 'while a client is there' : 'while no client is there'
  t.test(`${urgency} copies give each disk ${crowdMax} operations at once ${when}`, async (t) => {
    const { disks, servers } = await start(t)
    const [source] = servers
    if (source === undefined) throw new Error('a source')
    for (const id of blocks) {
      await writeWholeBlock([source], { blockId: id, data: patternBytes(blockBytes, id) })
    }
    for (const { store } of servers) if (isUsed) store.usedByClient()
    // Writing the blocks was a client's doing.
    if (!isUsed) await new Promise((resolve) => setTimeout(resolve, copyPaceLimits.quietAfterMs))
    for (const disk of disks) disk.isCounting = true
    const using = setInterval(() => {
      for (const { store } of servers) if (isUsed) store.usedByClient()
    }, 50)
    await copyAll(servers, urgency)
    clearInterval(using)
    for (const { crowd } of disks) t.ok(crowd >= 1 && crowd <= crowdMax, `${crowd} at once`)
    for (const disk of disks) disk.isCounting = false
    for (const id of blocks) {
      const reader = new DataConnection(servers[1]?.server.port ?? 0)
      const { data } = await reader.read({ blockId: id, length: blockBytes })
      reader.close()
      t.ok(data.equals(patternBytes(blockBytes, id)))
    }
  })
}

t.test('a copy within a client’s pipeline waits for nobody', async (t) => {
  const { disks, servers } = await start(t)
  const [source] = servers
  if (source === undefined) throw new Error('a source')
  for (const id of blocks) {
    await writeWholeBlock([source], { blockId: id, data: patternBytes(blockBytes, id) })
  }
  const [sending] = disks
  if (sending === undefined) throw new Error('a disk')
  sending.isCounting = true
  for (const { store } of servers) store.usedByClient()
  await copyAll(servers)
  t.ok(sending.crowd > copyPaceLimits.operationsBusy, `${sending.crowd} at once`)
})

/** Turns on a clock that the test moves, and what they asked of timers. */
function turnsAt() {
  const state = { now: 0, rests: [] as number[] }
  const foreground = new ForegroundUse()
  const clock = { wall: () => millis(0), monotonic: () => millis(state.now) }
  const timers = {
    every: systemTimers.every.bind(systemTimers),
    after(delayMs: number, action: () => void) {
      state.rests.push(delayMs)
      state.now += delayMs
      setImmediate(action)
      return { cancel: () => undefined }
    },
  }
  return { state, foreground, turns: new LoopTurns({ clock, timers, foreground }) }
}

t.test('LoopTurns gives one turn in each second round of the loop, in order', async (t) => {
  const { turns, state } = turnsAt()
  const seen: string[] = []
  const rounds = { count: 0 }
  const count = (): void => {
    rounds.count += 1
    if (rounds.count < 10) setImmediate(count)
  }
  for (const name of ['a', 'b', 'c']) turns.ask('usual', () => seen.push(`${name}${rounds.count}`))
  setImmediate(count)
  await turns.next('urgent')
  t.same(seen, ['a0', 'b2', 'c4'])
  t.same(state.rests, [], 'no client is there')
})

t.test('LoopTurns rests behind turns that took time while a client is there', async (t) => {
  const { turns, state, foreground } = turnsAt()
  const work = (urgency: 'urgent' | 'usual', tookMs: number): Promise<void> =>
    new Promise((resolve) => {
      turns.ask(urgency, () => {
        state.now += tookMs
        foreground.used(state.now)
        resolve()
      })
    })
  await work('usual', 2)
  await work('urgent', 4)
  await work('urgent', 1)
  await work('urgent', 1)
  await turns.next('urgent')
  t.same(state.rests, [6, 3, 1], '3 × 2, 0.75 × 4, and 0.75 + 0.75 as soon as a timer can do it')
})
