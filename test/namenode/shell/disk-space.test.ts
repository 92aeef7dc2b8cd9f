import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { DiskSpace, spareBytesFor, spareFile } from '../../../namenode/shell/disk-space.ts'
import { DfsError } from '../../../protocol/errors.ts'
import { ManualTime } from '../../support/manual-time.ts'
import { MemoryNamespaceStore } from '../../support/memory-namespace-store.ts'
import { mkdirs, NamenodeWorld } from '../../support/namenode-world.ts'

const mebibyte = 1024 * 1024

/** What the operating system says. */
function noSpace(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}

/** A disk of which only the free bytes are real. */
class FakeDisk {
  readonly time = new ManualTime()
  freeBytes = 200 * mebibyte
  hasSpare = false
  canWriteSpare = true
  readonly space: DiskSpace

  constructor(reservedBytes = 100 * mebibyte) {
    const spareBytes = spareBytesFor(reservedBytes)
    this.space = new DiskSpace({
      ...{ directory: '/namenode', reservedBytes, timers: this.time, logger: silentLogger },
      checkIntervalMs: 5000,
      freeBytes: () => Promise.resolve(this.freeBytes),
      spare: {
        exists: () => Promise.resolve(this.hasSpare),
        create: () => {
          if (!this.canWriteSpare) return Promise.reject(noSpace())
          this.hasSpare = true
          this.freeBytes -= spareBytes
          return Promise.resolve()
        },
        remove: () => {
          if (this.hasSpare) this.freeBytes += spareBytes
          this.hasSpare = false
          return Promise.resolve()
        },
      },
    })
  }

  async start(): Promise<DiskSpace> {
    await this.space.beforeStart()
    this.space.start()
    await this.space.check()
    return this.space
  }
}

t.test('check() turns low below the reserved space and back with room for the spare', async (t) => {
  const disk = new FakeDisk()
  const space = await disk.start()
  t.ok(disk.hasSpare, 'room is set aside')
  for (const [free, isLow] of [
    [100 * mebibyte, false],
    [100 * mebibyte - 1, true],
    [100 * mebibyte, false],
  ] as const) {
    disk.freeBytes = free
    await disk.time.advance(5000)
    await space.check()
    t.equal(space.isLow, isLow, `${free} bytes free`)
  }
  await space.stop()
})

t.test(
  'exhausted() gives the spare up once, and space is back only when it can be written',
  async (t) => {
    const disk = new FakeDisk()
    const space = await disk.start()
    let lowCount = 0
    space.onLow(() => {
      lowCount += 1
    })
    disk.freeBytes = 0
    t.equal(await space.exhausted(), true)
    t.notOk(disk.hasSpare)
    t.equal(await space.exhausted(), false, 'there is no second spare')
    t.equal(lowCount, 1)
    disk.freeBytes = 100 * mebibyte
    await space.check()
    t.ok(space.isLow, 'without room for the spare it stays low')
    disk.freeBytes = 200 * mebibyte
    disk.canWriteSpare = false
    await space.check()
    t.ok(space.isLow, 'what is free by the count cannot be used, as under a quota')
    disk.canWriteSpare = true
    await space.check()
    t.notOk(space.isLow)
    await space.stop()
  },
)

t.test('wrote() looks at once when the journal may have used the space up', async (t) => {
  const disk = new FakeDisk()
  const space = await disk.start()
  disk.freeBytes = 50 * mebibyte
  space.wrote(1000)
  await disk.time.advance(0)
  t.notOk(space.isLow, 'a small write is no reason to look')
  space.wrote(30 * mebibyte)
  await space.check()
  t.ok(space.isLow)
  await space.stop()
})

t.test('beforeStart() gives the spare up on a full disk, and 0 turns everything off', async (t) => {
  const full = new FakeDisk()
  full.hasSpare = true
  full.freeBytes = 0
  await full.space.beforeStart()
  t.notOk(full.hasSpare)
  t.ok(full.space.isLow)
  const off = new FakeDisk(0)
  off.freeBytes = 0
  await off.start()
  t.notOk(off.space.isLow)
  t.equal(await off.space.exhausted(), false)
})

t.test('a disk that cannot be looked at changes nothing', async (t) => {
  const disk = new FakeDisk()
  const space = await disk.start()
  Object.defineProperty(disk, 'freeBytes', {
    get: () => {
      throw new Error('EIO')
    },
  })
  await space.check()
  t.notOk(space.isLow)
  await space.stop()
})

t.test('spareFile() is written whole and deleted whether or not it is there', async (t) => {
  const path = join(t.testdir(), 'spare')
  const spare = spareFile(path, 3 * mebibyte + 17)
  t.notOk(await spare.exists())
  await spare.create()
  t.equal(statSync(path).size, 3 * mebibyte + 17)
  t.ok(await spare.exists())
  t.notOk(await spareFile(path, mebibyte).exists(), 'of another size it must be made anew')
  await spare.remove()
  await spare.remove()
  t.notOk(existsSync(path))
  t.equal(spareBytesFor(100 * mebibyte), 16 * mebibyte)
  t.equal(spareBytesFor(16 * mebibyte), 4 * mebibyte)
})

/** A namenode in memory over a disk that can fill. */
async function startWorld(t: Test, store = new MemoryNamespaceStore()) {
  const disk = new FakeDisk()
  await disk.start()
  const world = new NamenodeWorld({}, { store, space: disk.space, segmentBytesMax: 1 })
  await world.start()
  await world.time.advance(60_000)
  t.teardown(() => disk.space.stop())
  return { disk, world, store }
}

const lowOnSpace = { code: 'SAFE_MODE', message: /Resources are low on NN.*100\.0 MiB/ }

t.test(
  'ENOSPC in an append or a roll loses nothing, refuses what follows, and ends by itself',
  async (t) => {
    for (const failing of ['append', 'create'] as const) {
      const { disk, world } = await startWorld(t)
      if (failing === 'append') await world.run(mkdirs('/before'))
      let isFull = true
      world.journal.beforeWrite = (action) =>
        isFull && action === failing ? Promise.reject(noSpace()) : Promise.resolve()
      disk.freeBytes = 0
      const remove = disk.space.exhausted.bind(disk.space)
      disk.space.exhausted = async () => {
        isFull = false
        return remove()
      }
      t.equal(
        await world.run(mkdirs('/during')),
        true,
        'the batch at hand goes where the spare was',
      )
      t.same(world.fatal, [])
      await t.rejects(world.run(mkdirs('/refused')), lowOnSpace)
      t.ok(
        await world.run({ kind: 'getFileInfo', path: '/during', followsLast: true }),
        'reads go on',
      )
      disk.freeBytes = 500 * mebibyte
      await disk.space.check()
      t.equal(await world.run(mkdirs('/after')), true, 'it ends by itself')
      await world.crash()
      await world.start()
      for (const path of ['/during', '/after']) {
        t.ok(await world.run({ kind: 'getFileInfo', path, followsLast: true }), `${path} survives`)
      }
      const refused = await world.run({ kind: 'getFileInfo', path: '/refused', followsLast: true })
      t.equal(refused, undefined)
    }
  },
)

t.test(
  'a disk that is full without a spare ends the process, and nothing acknowledged is lost',
  async (t) => {
    const { disk, world } = await startWorld(t)
    await world.run(mkdirs('/before'))
    disk.space.exhausted = () => Promise.resolve(false)
    world.journal.beforeWrite = () => Promise.reject(noSpace())
    let isAnswered = false
    void world.run(mkdirs('/during')).finally(() => {
      isAnswered = true
    })
    await world.time.advance(0)
    t.match(world.fatal, [{ code: 'ENOSPC' }])
    t.notOk(isAnswered)
    world.journal.beforeWrite = () => Promise.resolve()
    await world.crash()
    await world.start()
    t.ok(await world.run({ kind: 'getFileInfo', path: '/before', followsLast: true }))
  },
)

t.test(
  'a fold that finds the disk full is repeated, and changes are refused meanwhile',
  async (t) => {
    const { disk, world, store } = await startWorld(t)
    let folds = 0
    store.beforeWork = (work) => {
      if (work !== 'fold') return Promise.resolve()
      folds += 1
      if (folds > 2) return Promise.resolve()
      return Promise.reject(new DfsError('DISK_FULL', 'Cannot write the namespace'))
    }
    disk.freeBytes = 0
    await world.run(mkdirs('/before'))
    await world.time.advance(500)
    t.ok(disk.space.isLow)
    await t.rejects(world.run(mkdirs('/refused')), lowOnSpace)
    await world.time.advance(5000)
    t.ok(folds > 2)
    t.equal(world.namenode.checkpointer.lag, 0, 'it was folded')
    t.same(world.fatal, [])
  },
)

t.test('a stop on a full disk leaves the journal for the next start', async (t) => {
  const { world, store } = await startWorld(t)
  await world.run(mkdirs('/kept'))
  store.beforeWork = () => Promise.reject(new DfsError('DISK_FULL', 'Cannot write the namespace'))
  await world.namenode.stop()
  store.beforeWork = () => Promise.resolve()
  t.ok((await world.journal.list()).length > 0)
  await world.start()
  t.ok(await world.run({ kind: 'getFileInfo', path: '/kept', followsLast: true }))
})
