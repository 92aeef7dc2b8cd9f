import { join } from 'node:path'
import t from 'tap'
import { Prng } from '../../../base/prng.ts'
import { SqliteStore } from '../../../namenode/shell/store.ts'
import { settled } from '../../support/manual-time.ts'
import { MemoryNamespaceStore, testIdentity } from '../../support/memory-namespace-store.ts'
import {
  addBlock,
  complete,
  create,
  mkdirs,
  NamenodeWorld,
  root,
} from '../../support/namenode-world.ts'

/** Blocks writes to the journal until released. */
function holdJournal(world: NamenodeWorld): () => void {
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  world.journal.beforeWrite = () => held
  return () => {
    world.journal.beforeWrite = () => Promise.resolve()
    release()
  }
}

/** Tells whether `promise` has settled, without waiting for it. */
async function hasSettled(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false
  const note = (): void => {
    isSettled = true
  }
  promise.then(note, note)
  await settled()
  return isSettled
}

async function stat(world: NamenodeWorld, path: string): Promise<unknown> {
  return world.run({ kind: 'getFileInfo', path })
}

t.test('start() makes the root with the first transaction', async (t) => {
  const world = new NamenodeWorld()
  await world.start()
  t.match(await stat(world, '/'), { inode: { kind: 'directory', owner: 'root', mode: 0o755 } })
  t.equal(world.namenode.journal.durableTxid, 1)
  await world.crash()
  await world.start()
  t.equal(world.namenode.journal.durableTxid, 1, 'a second start makes nothing')
  t.same(world.namenode.namesystem.status().totals.directories, 1)
})

t.test('execute() answers a resident and durable read without a promise', async (t) => {
  const world = new NamenodeWorld()
  const namenode = await world.start()
  await world.run(mkdirs('/a'))
  const reply = namenode.execute(root, { kind: 'getFileInfo', path: '/a' })
  t.notOk(reply instanceof Promise)
  t.throws(() => namenode.execute(root, { kind: 'getLinkTarget', path: '/missing' }), {
    code: 'FILE_NOT_FOUND',
  })
})

t.test('execute() lets nobody see a change before it is durable', async (t) => {
  const world = new NamenodeWorld()
  const namenode = await world.start()
  const release = holdJournal(world)
  const change = world.run(mkdirs('/a'))
  const read = world.run({ kind: 'getFileInfo', path: '/a' })
  const other = world.run({ kind: 'getFileInfo', path: '/missing' })
  const refused = world.run({ ...create('/a'), createParent: true })
  const released = Promise.resolve(namenode.release('an order'))
  refused.catch(() => undefined)
  for (const held of [change, read, other, refused, released]) t.notOk(await hasSettled(held))
  release()
  t.equal(await change, true)
  t.match(await read, { inode: { kind: 'directory' } })
  t.equal(await other, undefined)
  await t.rejects(refused, { code: 'FILE_EXISTS' })
  t.equal(await released, 'an order')
})

t.test('execute() refuses a call id that was used for another method', async (t) => {
  const world = new NamenodeWorld()
  const namenode = await world.start()
  const caller = { ...root, request: { clientId: '07'.repeat(16), callId: 1 } }
  const file = create('/a')
  const [first, again] = [namenode.execute(caller, file), namenode.execute(caller, file)]
  const other = { kind: 'delete', path: '/a', recursive: false } as const
  t.throws(() => namenode.execute(caller, other), { code: 'INVALID_ARGUMENT' })
  t.match(await first, { inode: { kind: 'file' } })
  t.same(await again, await first)
  t.throws(() => namenode.execute(caller, other), { code: 'INVALID_ARGUMENT' })
})

t.test('a journal that fails ends the process, and nobody gets an answer', async (t) => {
  const world = new NamenodeWorld()
  await world.start()
  world.journal.beforeWrite = () => Promise.reject(new Error('ENOSPC'))
  const change = world.run(mkdirs('/a'))
  const read = world.run({ kind: 'getFileInfo', path: '/a' })
  t.notOk(await hasSettled(change))
  t.notOk(await hasSettled(read))
  t.match(world.fatal, [{ message: 'ENOSPC' }])
})

t.test('every acknowledged change survives 30 crashes at random moments', async (t) => {
  const prng = new Prng(5)
  const store = new MemoryNamespaceStore()
  const world = new NamenodeWorld({}, { store, segmentBytesMax: 2000 })
  const acknowledged = new Set<string>()
  for (let life = 0; life < 30; life += 1) {
    await world.start()
    for (const path of acknowledged) {
      if ((await stat(world, path)) === undefined) t.fail(`life ${life} lost ${path}`)
    }
    let storeWork = prng.below(4)
    const halt = new Promise<never>(() => undefined)
    store.beforeWork = (work) =>
      work === 'fold' && (storeWork -= 1) < 0 ? halt : Promise.resolve()
    let writes = 3 + prng.below(30)
    world.journal.beforeWrite = () => ((writes -= 1) < 0 ? halt : Promise.resolve())
    for (let burst = 0; burst < 6; burst += 1) {
      for (let index = 0; index < 4; index += 1) {
        const path = `/dir-${life % 7}/life-${life}-${burst}-${index}`
        void world.run(mkdirs(path)).then(() => acknowledged.add(path))
      }
      await world.time.advance(prng.below(200))
    }
    await world.crash(prng)
    world.journal.beforeWrite = () => Promise.resolve()
    store.beforeWork = () => Promise.resolve()
  }
  await world.start()
  t.ok(acknowledged.size > 200, `${acknowledged.size} acknowledged`)
  const { totals } = world.namenode.namesystem.status()
  await world.time.advance(5000)
  t.same(world.store.position.totals, totals, 'the store counts as the namesystem does')
  world.namenode.namesystem.invariants()
})

t.test(
  'a crash between a fold and the deletion of its segments replays nothing twice',
  async (t) => {
    const world = new NamenodeWorld({}, { segmentBytesMax: 1 })
    await world.start()
    for (const name of ['a', 'b', 'c']) await world.run(mkdirs(`/${name}`))
    const before = world.journal
    const copies = new Map<string, Uint8Array>()
    for (const name of await before.list()) copies.set(name, await before.read(name))
    await world.time.advance(1000)
    t.equal(world.namenode.checkpointer.lag, 0)
    t.ok((await before.list()).length < copies.size, 'segments behind the fold are gone')
    await world.crash()
    for (const [name, bytes] of copies) before.write(name, bytes)
    await world.start()
    t.same(world.namenode.namesystem.status().totals.directories, 4)
    t.match(await stat(world, '/'), { inode: { childCount: 3 } })
  },
)

t.test('an at-most-once call repeated after a restart gets its first answer', async (t) => {
  const world = new NamenodeWorld()
  await world.start()
  await world.run(mkdirs('/a'))
  t.equal(await world.run({ kind: 'delete', path: '/a', recursive: true }, 7), true)
  t.equal(await world.run({ kind: 'delete', path: '/a', recursive: true }, 7), true)
  t.equal(await world.run({ kind: 'delete', path: '/a', recursive: true }, 8), false)
  const created = await world.run(create('/f'), 9)
  await world.crash()
  await world.start()
  t.equal(await world.run({ kind: 'delete', path: '/a', recursive: true }, 7), true, 'replayed')
  t.match(await world.run(create('/f'), 9), { inode: { id: created.inode.id } })
  await world.time.advance(1000)
  t.equal(world.namenode.checkpointer.lag, 0)
  await world.crash()
  await world.start()
  t.equal(await world.run({ kind: 'delete', path: '/a', recursive: true }, 7), true, 'loaded')
  t.match(await world.run(create('/f'), 9), { inode: { id: created.inode.id } })
  await t.rejects(world.run({ kind: 'delete', path: '/f', recursive: true }, 9), {
    code: 'INVALID_ARGUMENT',
  })
  await t.rejects(world.run(create('/f'), 10), { code: 'ALREADY_BEING_CREATED' })
})

t.test('an identical call that still runs is joined, not executed again', async (t) => {
  const world = new NamenodeWorld()
  await world.start()
  const release = holdJournal(world)
  const first = world.run(create('/f'), 3)
  const second = world.run(create('/f'), 3)
  await settled()
  release()
  t.equal((await first).inode.id, (await second).inode.id)
  t.equal(world.namenode.namesystem.status().totals.files, 1)
})

t.test('complete() waits for the report of the last block', async (t) => {
  const world = new NamenodeWorld()
  await world.start()
  world.addDatanodes(3)
  await world.run(create('/f'))
  const { block, locations } = await world.run(addBlock('/f'))
  const last = { ...block, length: 100 }
  const done = world.run(complete('/f', last))
  t.notOk(await hasSettled(done))
  t.equal(world.namenode.waits.count, 1)
  for (const location of locations) world.received(location, last)
  t.equal(await done, true)
  t.equal(world.namenode.waits.count, 0)
  t.match(await stat(world, '/f'), { length: 100, inode: { lease: undefined } })
})

t.test('complete() answers false when no report comes in time', async (t) => {
  const world = new NamenodeWorld({ 'dfs.namenode.reports.wait': 700 })
  await world.start()
  world.addDatanodes(3)
  await world.run(create('/f'))
  const { block } = await world.run(addBlock('/f'))
  const done = world.run(complete('/f', { ...block, length: 5 }))
  await world.time.advance(690)
  t.notOk(await hasSettled(done))
  await world.time.advance(20)
  t.equal(await done, false)
})

t.test('changes wait for start-up safe mode, and fail in one an operator wants', async (t) => {
  const world = new NamenodeWorld({ 'dfs.namenode.safemode.threshold-permille': 1000 })
  await world.start()
  world.addDatanodes(3)
  await world.run(create('/f'))
  const { block, locations } = await world.run(addBlock('/f'))
  const last = { ...block, length: 100 }
  for (const location of locations) world.received(location, last)
  await world.run(complete('/f', last))
  await world.crash()
  await world.start()
  t.equal(world.namenode.blocks.safeMode, 'pending-threshold')
  t.match(await stat(world, '/f'), { length: 100 }, 'reads are served at once')
  const patient = world.run(mkdirs('/a'))
  await world.time.advance(2000)
  t.notOk(await hasSettled(patient))
  const [first] = world.addDatanodes(1)
  if (first !== undefined) world.received(first, last)
  await world.time.advance(1000)
  t.equal(await patient, true)
  world.namenode.blocks.setSafeMode('enter')
  await t.rejects(world.run(mkdirs('/b')), { code: 'SAFE_MODE', message: /operator/ })
  await world.crash()
  await world.start()
  const late = world.run(mkdirs('/c'))
  late.catch(() => undefined)
  await world.time.advance(10_100)
  await t.rejects(late, { code: 'SAFE_MODE', message: /have been reported, and 1 are needed/ })
})

t.test('rows that left memory come back from SQLite', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'namespace.sqlite')
  await SqliteStore.format(file, testIdentity)
  const store = await SqliteStore.open(file)
  const world = new NamenodeWorld({ 'dfs.namenode.resident-inodes': 1000 }, { store })
  await world.start()
  const made: Promise<unknown>[] = []
  for (let index = 0; index < 3000; index += 1)
    made.push(world.run(mkdirs(`/d${index % 50}/s${index}`)))
  await Promise.all(made)
  await world.namenode.checkpointer.stop()
  await world.time.advance(3000)
  const { residentInodes } = world.namenode.namesystem.status()
  t.ok(residentInodes <= 1100, `${residentInodes} resident`)
  for (let index = 0; index < 3000; index += 97) {
    t.match(await stat(world, `/d${index % 50}/s${index}`), { inode: { kind: 'directory' } })
  }
  t.equal(await stat(world, '/d1/missing'), undefined)
  t.ok(world.namenode.loader.loadCount > 0)
  const seen: string[] = []
  let startAfter = ''
  let remainingEntries = 1
  while (remainingEntries > 0) {
    const listing = await world.run({
      ...{ kind: 'getListing', path: '/d7', startAfter, needLocation: false, limit: 7 },
    })
    seen.push(...(listing?.entries.map(({ name }) => name) ?? []))
    startAfter = seen.at(-1) ?? ''
    remainingEntries = listing?.remainingEntries ?? 0
  }
  t.equal(seen.length, 60)
  t.equal(new Set(seen).size, 60)
  await world.namenode.stop()
})

t.test('a lease expires though memory holds fewer rows than the path has', async (t) => {
  const world = new NamenodeWorld({
    'dfs.namenode.resident-inodes': 3,
    'dfs.namenode.lease.soft-limit': 2000,
    'dfs.namenode.lease.hard-limit': 4000,
  })
  await world.start()
  const path = '/a/b/c/d/e/f/g'
  await world.run(create(path))
  await world.time.advance(30_000)
  t.equal(await world.run({ kind: 'isFileClosed', path }), true)
})

t.test('a call that needs more rows than memory keeps is answered', async (t) => {
  const store = new MemoryNamespaceStore()
  const world = new NamenodeWorld({ 'dfs.namenode.resident-inodes': 3 }, { store })
  await world.start()
  const path = '/a/b/c/d/e/f/g/h'
  await world.run(mkdirs(path))
  await world.time.advance(3000)
  let loads = 0
  store.beforeWork = (work) => {
    if (work !== 'load') return Promise.resolve()
    loads += 1
    // Each load takes so long that rows leave meanwhile.
    world.namenode.tick()
    return loads > 100 ? Promise.reject(new Error('it loads for ever')) : Promise.resolve()
  }
  t.match(await stat(world, path), { inode: { kind: 'directory' } })
  t.ok(loads > 1, `${loads} loads`)
  await world.time.advance(3000)
  const { residentInodes } = world.namenode.namesystem.status()
  t.ok(residentInodes <= 3, 'then they leave')
})

t.test('loads of many requests go together, and a failing one fails its requests', async (t) => {
  const store = new MemoryNamespaceStore()
  const world = new NamenodeWorld({}, { store })
  await world.start()
  for (let index = 0; index < 20; index += 1) await world.run(mkdirs(`/d${index}`))
  await world.time.advance(1000)
  await world.crash()
  await world.start()
  const reads = Array.from({ length: 20 }, (_, index) => stat(world, `/d${index}`))
  await Promise.all(reads)
  t.ok(world.namenode.loader.loadCount <= 4, `${world.namenode.loader.loadCount} loads`)
  store.beforeWork = () => Promise.reject(new Error('disk on fire'))
  await t.rejects(stat(world, '/unseen'), { message: 'disk on fire' })
})

t.test('changes wait when the store cannot keep up', async (t) => {
  const store = new MemoryNamespaceStore()
  const world = new NamenodeWorld({}, { store, unfoldedMax: 10 })
  await world.start()
  store.beforeWork = (work) =>
    work === 'fold' ? Promise.reject(new Error('SQLITE_FULL')) : Promise.resolve()
  const made: Promise<unknown>[] = []
  for (let index = 0; index < 12; index += 1) made.push(world.run(mkdirs(`/d${index}`)))
  await world.time.advance(5000)
  t.ok(world.namenode.checkpointer.lag <= 11, `lag ${world.namenode.checkpointer.lag}`)
  const [last] = made.slice(-1)
  if (last !== undefined) t.notOk(await hasSettled(last))
  store.beforeWork = () => Promise.resolve()
  await world.time.advance(5000)
  await Promise.all(made)
  await world.time.advance(1000)
  t.equal(world.namenode.checkpointer.lag, 0, 'a failed batch is folded with the next')
  t.match(world.store.position.totals, { directories: 13 })
})

t.test(
  'a deleted tree is reaped piece after piece, without waiting for the next tick',
  async (t) => {
    const world = new NamenodeWorld()
    await world.start()
    const fileCount = 1500
    const made: Promise<unknown>[] = []
    for (let index = 0; index < fileCount; index += 1) {
      made.push(world.run(create(`/d/${index % 10}/${index}`)))
    }
    await world.time.advance(1000)
    await Promise.all(made)
    await world.crash()
    await world.start()
    t.equal(await world.run({ kind: 'delete', path: '/d', recursive: true }), true)
    t.match(world.namenode.namesystem.status().totals, { files: fileCount, directories: 12 })
    await world.time.advance(600)
    t.match(world.namenode.namesystem.status().totals, { files: 0, directories: 1 })
    await world.time.advance(1000)
    t.match(world.store.position.totals, { files: 0, directories: 1 }, 'and the store follows')
  },
)

t.test('stop() leaves everything in the store and an empty journal', async (t) => {
  const world = new NamenodeWorld()
  await world.start()
  await world.run(mkdirs('/a/b'))
  await world.namenode.stop()
  t.same(await world.journal.list(), [])
  t.equal(world.store.position.appliedTxid, 2)
  await world.start()
  t.match(await stat(world, '/a/b'), { inode: { kind: 'directory' } })
  t.equal(await world.run(mkdirs('/c')), true)
})

t.test('blocks stream in after a start and meet what changed meanwhile', async (t) => {
  const world = new NamenodeWorld()
  await world.start()
  const nodes = world.addDatanodes(3)
  const written = []
  for (const path of ['/keep', '/drop', '/more']) {
    await world.run(create(path))
    const { block, locations } = await world.run(addBlock(path))
    const last = { ...block, length: 9 }
    for (const location of locations) world.received(location, last)
    t.equal(await world.run(complete(path, last)), true)
    written.push(last)
  }
  await world.time.advance(1000)
  t.equal(world.namenode.checkpointer.lag, 0)
  await world.run({ kind: 'setReplication', path: '/more', replication: 1 })
  await world.run({ kind: 'delete', path: '/drop', recursive: false })
  await world.time.advance(600)
  await world.crash()
  await world.start()
  await world.time.advance(100)
  t.ok(world.namenode.blockLoading.isDone)
  world.addDatanodes(3)
  for (const node of nodes) for (const block of written) world.received(node, block)
  const wanted = written.map(({ id }) => world.namenode.blocks.replicaCounts(id)?.wanted)
  t.same([wanted[0], wanted[2]], [3, 1])
  world.namenode.blocks.invariants()
})
