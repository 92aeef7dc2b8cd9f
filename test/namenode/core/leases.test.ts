/** Leases and their recovery with a clock moved by hand, the retry cache, restarts, and reaping. */
import t, { type Test } from 'tap'
import { millis } from '../../../base/brand.ts'
import { LeaseManager, namenodeHolder } from '../../../namenode/core/lease-manager.ts'
import type { BlockReference, Caller, Request } from '../../../namenode/core/requests.ts'
import { RetryCache } from '../../../namenode/core/retry-cache.ts'
import { isDfsError } from '../../../protocol/errors.ts'
import { type BlockId, clientName, generationStamp, inodeId, txId } from '../../../protocol/ids.ts'
import { location, NamespaceWorld, superuser, user } from '../../support/namespace-world.ts'

const softLimitMs = 60_000
const hardLimitMs = 1_200_000
const writer = clientName('writer')
const other = clientName('other')

function create(path: string, holder = writer): Request & { kind: 'create' } {
  return {
    kind: 'create',
    path,
    mode: 0o644,
    clientName: holder,
    overwrite: false,
    createIfMissing: true,
    createParent: true,
    replication: 3,
    blockSize: 1024 * 1024,
  }
}

function addBlock(path: string, previous?: BlockReference): Request & { kind: 'addBlock' } {
  return {
    kind: 'addBlock',
    path,
    clientName: writer,
    previous,
    excluded: [],
    favored: [],
    isLastTry: false,
  }
}

/** An open file with one flushed block of 1000 bytes. */
function openFile(world: NamespaceWorld, path: string) {
  world.run(create(path))
  const { block } = world.run(addBlock(path))
  world.run({ kind: 'fsync', path, clientName: writer, lastBlockLength: 1000 })
  return { ...block, length: 1000 }
}

function inodeOf(world: NamespaceWorld, path: string) {
  return world.run({ kind: 'getFileInfo', path })?.inode
}

function lastState(world: NamespaceWorld, id: BlockId) {
  return world.blocks.rows.get(id)?.state
}

function code(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return isDfsError(error) ? error.code : String(error)
  }
  return 'none'
}

function commitSynchronization(
  world: NamespaceWorld,
  id: BlockId,
  fields: Partial<Request & { kind: 'commitBlockSynchronization' }> = {},
): void {
  const recovery = world.blocks.recoveries.findLast(({ block }) => block.id === id)
  world.run({
    kind: 'commitBlockSynchronization',
    block: { id, generationStamp: generationStamp(1001), length: 1000 },
    newGenerationStamp: recovery?.recoveryStamp ?? generationStamp(0),
    newLength: 1500,
    closeFile: true,
    deleteBlock: false,
    locations: [location(1), location(3)],
    ...fields,
  })
}

/** Runs with everything resident, and with nothing resident at each request. */
function eachWay(name: string, test: (t: Test, world: NamespaceWorld) => void): void {
  for (const isForgetful of [false, true]) {
    t.test(`${name} (${isForgetful ? 'nothing' : 'everything'} resident)`, async (t) => {
      const world = new NamespaceWorld({ isForgetful })
      test(t, world)
      world.namesystem.invariants()
    })
  }
}

eachWay(
  'create() by another client is refused until the soft limit, and then starts recovery',
  (t, world) => {
    const block = openFile(world, '/f')
    world.pass(softLimitMs)
    t.equal(
      code(() => world.run(create('/f', other))),
      'ALREADY_BEING_CREATED',
    )
    world.namesystem.renewLease(world.now, writer)
    world.pass(softLimitMs)
    t.equal(
      code(() => world.run(create('/f', other))),
      'ALREADY_BEING_CREATED',
      'renewed',
    )
    t.equal(world.blocks.recoveries.length, 0)
    world.pass(1)
    t.equal(
      code(() => world.run(create('/f', other))),
      'RECOVERY_IN_PROGRESS',
    )
    t.match(world.blocks.recoveries, [
      { block: { id: block.id, length: 1000, state: 'under-recovery' }, recoveryStamp: 1002 },
    ])
    t.equal(world.blocks.recoveries.length, 1)
    t.equal(inodeOf(world, '/f')?.lease?.holder, writer, 'the holder stays')
    t.equal(
      code(() => world.run(create('/f', other))),
      'RECOVERY_IN_PROGRESS',
    )
    t.equal(world.blocks.recoveries.length, 1, 'one recovery at a time')
    t.equal(
      code(() => world.run({ kind: 'updateBlockForPipeline', block, clientName: writer })),
      'IO_ERROR',
      'the writer is fenced off',
    )
    commitSynchronization(world, block.id)
    t.match(inodeOf(world, '/f'), { lease: undefined, length: 1500, mtime: world.wall })
    t.match(world.blocks.rows.get(block.id), {
      state: 'complete',
      generationStamp: 1002,
      length: 1500,
    })
    t.strictSame(world.blocks.expected.get(block.id), [location(1), location(3)])
    t.equal(
      code(() => world.run(create('/f', other))),
      'FILE_EXISTS',
    )
  },
)

eachWay(
  'create() by another client closes at once what needs no recovery, and then refuses',
  (t, world) => {
    world.run(create('/f'))
    world.pass(softLimitMs + 1)
    t.equal(
      code(() => world.run(create('/f', other))),
      'FILE_EXISTS',
    )
    t.equal(inodeOf(world, '/f')?.lease, undefined)
  },
)

eachWay('recoverLease() ignores the soft limit and passes the lease to the caller', (t, world) => {
  const recover = { kind: 'recoverLease', path: '/f', clientName: other } as const
  const block = openFile(world, '/f')
  t.equal(world.run(recover), false)
  t.equal(inodeOf(world, '/f')?.lease?.holder, other)
  t.equal(world.run(recover), false, 'polled')
  t.equal(world.blocks.recoveries.length, 1)
  t.equal(
    code(() => world.run({ kind: 'fsync', path: '/f', clientName: writer, lastBlockLength: 2000 })),
    'LEASE_EXPIRED',
  )
  t.equal(world.run({ kind: 'isFileClosed', path: '/f' }), false)
  commitSynchronization(world, block.id)
  t.equal(world.run(recover), true)
  t.equal(world.run({ kind: 'isFileClosed', path: '/f' }), true)
  world.run(create('/g'))
  t.equal(world.run({ ...recover, path: '/g' }), true, 'an empty file is closed at once')
  t.equal(
    code(() => world.run(recover, user('eve'))),
    'none',
    'closed: anybody may ask',
  )
  openFile(world, '/h')
  t.equal(
    code(() => world.run({ ...recover, path: '/h' }, user('eve'))),
    'PERMISSION_DENIED',
  )
})

eachWay('commitBlockSynchronization() counts only for the recovery asked for last', (t, world) => {
  const block = openFile(world, '/f')
  t.equal(
    code(() =>
      commitSynchronization(world, block.id, { newGenerationStamp: generationStamp(1002) }),
    ),
    'IO_ERROR',
  )
  world.run({ kind: 'recoverLease', path: '/f', clientName: other })
  const first = world.blocks.recoveries[0]?.recoveryStamp ?? generationStamp(0)
  world.pass(29_999)
  world.settle()
  t.equal(world.blocks.recoveries.length, 1)
  world.pass(1)
  world.settle()
  t.equal(world.blocks.recoveries.length, 2, 'it did not finish: ordered anew')
  t.equal(
    code(() => commitSynchronization(world, block.id, { newGenerationStamp: first })),
    'IO_ERROR',
  )
  commitSynchronization(world, block.id)
  commitSynchronization(world, block.id, { newGenerationStamp: first })
  t.match(
    world.blocks.rows.get(block.id),
    { length: 1500 },
    'a late one for a closed file is ignored',
  )
  const missing = { block: { ...block, id: 99 as BlockId } }
  t.equal(
    code(() => commitSynchronization(world, block.id, missing)),
    'IO_ERROR',
  )
  t.equal(
    code(() => commitSynchronization(world, block.id, { ...missing, deleteBlock: true })),
    'none',
  )
})

eachWay('create() by a third client says what it waits for', (t, world) => {
  openFile(world, '/f')
  world.run({ kind: 'recoverLease', path: '/f', clientName: other })
  t.equal(
    code(() => world.run(create('/f', clientName('third')))),
    'RECOVERY_IN_PROGRESS',
  )
  world.run(create('/g'))
  const { block } = world.run(addBlock('/g'))
  world.blocks.isReplicating = false
  const last = { ...block, length: 5 }
  world.run({ kind: 'complete', path: '/g', clientName: writer, last, isLastTry: true })
  world.pass(softLimitMs + 1)
  t.equal(
    code(() => world.run(create('/g', other))),
    'ALREADY_BEING_CREATED',
  )
  t.equal(world.run({ kind: 'recoverLease', path: '/g', clientName: other }), false)
  const complete = {
    kind: 'complete',
    path: '/g',
    clientName: other,
    last,
    isLastTry: false,
  } as const
  world.blocks.isReplicating = true
  t.equal(world.run(complete), true, 'whoever holds the lease may complete')
  openFile(world, '/h')
  const stored = world.run({
    kind: 'getBlockLocations',
    path: '/h',
    offset: 0,
    length: 1,
  }).lastBlock
  world.run({ kind: 'recoverLease', path: '/h', clientName: other })
  const early = { ...complete, path: '/h', last: stored?.block }
  t.equal(
    code(() => world.run(early)),
    'IO_ERROR',
    'nobody commits a block under recovery',
  )
})

eachWay(
  'a block with bytes that nobody has is neither given up nor asked for in vain',
  (t, world) => {
    const block = openFile(world, '/f')
    const locations = world.blocks.expected.get(block.id) ?? []
    world.blocks.expected.delete(block.id)
    t.equal(world.run({ kind: 'recoverLease', path: '/f', clientName: other }), false)
    const changes = world.journal.length
    for (let second = 0; second < 30; second += 1) {
      world.pass(1000)
      world.settle()
    }
    t.equal(world.journal.length, changes, 'waiting costs nothing')
    world.blocks.expected.set(block.id, locations)
    world.pass(3000)
    world.settle()
    t.equal(
      world.blocks.recoveries.length,
      1,
      'a datanode came back: the poller need not ask again',
    )
    commitSynchronization(world, block.id)
    t.equal(world.run({ kind: 'isFileClosed', path: '/f' }), true)
  },
)

eachWay('a recovery whose primary died is ordered anew at once', (t, world) => {
  const block = openFile(world, '/f')
  world.run({ kind: 'recoverLease', path: '/f', clientName: other })
  const first = world.blocks.recoveries[0]?.recoveryStamp ?? generationStamp(0)
  world.settle()
  t.equal(world.blocks.recoveries.length, 1)
  world.blocks.isPrimaryAlive = false
  world.tick()
  world.blocks.isPrimaryAlive = true
  world.settle()
  t.equal(world.blocks.recoveries.length, 2)
  t.equal(
    code(() => commitSynchronization(world, block.id, { newGenerationStamp: first })),
    'IO_ERROR',
    'what the first one may still say does not count',
  )
  commitSynchronization(world, block.id)
  t.match(inodeOf(world, '/f'), { lease: undefined, length: 1500 })
})

eachWay('a recovery that no datanode could be asked for is tried again soon', (t, world) => {
  openFile(world, '/f')
  world.blocks.hasPrimary = false
  t.equal(world.run({ kind: 'recoverLease', path: '/f', clientName: other }), false)
  world.blocks.hasPrimary = true
  world.pass(2_999)
  world.settle()
  t.equal(world.blocks.recoveries.length, 0)
  world.pass(1)
  world.settle()
  t.equal(world.blocks.recoveries.length, 1)
})

eachWay('commitBlockSynchronization() may drop the block, or leave the file open', (t, world) => {
  const block = openFile(world, '/f')
  world.run({ kind: 'recoverLease', path: '/f', clientName: other })
  commitSynchronization(world, block.id, { deleteBlock: true, newLength: 0 })
  t.match(inodeOf(world, '/f'), { lease: undefined, length: 0 })
  t.strictSame(world.blocks.deleted, [block.id])
  const second = openFile(world, '/g')
  world.run({ kind: 'recoverLease', path: '/g', clientName: other })
  commitSynchronization(world, second.id, { closeFile: false })
  t.match(inodeOf(world, '/g'), { lease: { holder: other }, length: 1500 })
  t.equal(lastState(world, second.id), 'under-construction')
})

eachWay('a block whose replicas may yet be reported is not given up', (t, world) => {
  world.run(create('/restarted'))
  const { block } = world.run(addBlock('/restarted'))
  world.blocks.expected.delete(block.id)
  world.blocks.isStarting = true
  const recover = { kind: 'recoverLease', path: '/restarted', clientName: other } as const
  t.equal(world.run(recover), false, 'the caller has to wait')
  t.equal(world.blocks.deleted.length, 0)
  world.blocks.isStarting = false
  t.equal(world.run(recover), true, 'nobody has it: it was never written')
  t.strictSame(world.blocks.deleted, [block.id])
})

eachWay(
  'a block that is being written is not shown empty before its datanodes reported',
  (t, world) => {
    const { id } = openFile(world, '/read-early')
    const locations = world.blocks.expectedLocations(id)
    world.blocks.expected.delete(id)
    world.blocks.isStarting = true
    const range = { kind: 'getBlockLocations', path: '/read-early', offset: 0, length: 10 } as const
    t.match(world.propose(range), { kind: 'wait', blocks: [id] })
    t.throws(() => world.run({ ...range, isLastTry: true }), {
      code: 'RETRIABLE',
      message: /^Zero blocklocations for \/read-early/,
    })
    world.blocks.isStarting = false
    t.match(world.run(range), { lastBlock: { locations: [] } }, 'nobody is going to have it')
    world.blocks.isStarting = true
    world.blocks.expected.set(id, locations)
    t.match(world.run(range), { lastBlock: { locations: [{}, {}, {}] } })
  },
)

/** A file whose writer committed its block of 7 bytes, of which no datanode reports a final replica; length 0 for none. */
function committedFile(world: NamespaceWorld, path: string, length = 7): BlockId {
  world.run(create(path))
  const { block } = world.run(addBlock(path))
  world.blocks.isReplicating = false
  const last = { ...block, length }
  const complete = { kind: 'complete', path, clientName: writer, last, isLastTry: true } as const
  if (world.run(complete)) throw new Error('the file must stay open')
  return block.id
}

eachWay('a committed block that nobody reports is recovered at its length', (t, world) => {
  const id = committedFile(world, '/f')
  const recover = { kind: 'recoverLease', path: '/f', clientName: other } as const
  t.equal(world.run(recover), false, 'reports have a moment to come')
  t.equal(lastState(world, id), 'committed')
  for (let second = 0; second < 2; second += 1) {
    world.pass(1000)
    t.equal(world.run(recover), false, 'asking again does not make it longer')
  }
  world.pass(1000)
  world.settle()
  t.equal(lastState(world, id), 'under-recovery', 'the poller need not ask again')
  t.match(world.blocks.recoveries, [{ block: { id, truncateLength: 7 } }])
  for (const wrong of [{ newLength: 6 }, { newLength: 8 }, { newLength: 0, deleteBlock: true }]) {
    t.equal(
      code(() => commitSynchronization(world, id, wrong)),
      'IO_ERROR',
    )
  }
  commitSynchronization(world, id, { newLength: 7 })
  t.match(inodeOf(world, '/f'), { lease: undefined, length: 7 })
  t.equal(lastState(world, id), 'complete')
})

eachWay('a committed block waits for whom it may still come from', (t, world) => {
  const id = committedFile(world, '/f')
  const recover = { kind: 'recoverLease', path: '/f', clientName: other } as const
  world.run(recover)
  world.blocks.isStarting = true
  world.pass(4000)
  t.equal(world.run(recover), false, 'datanodes are still to come back after a start')
  t.equal(lastState(world, id), 'committed')
  world.blocks.isStarting = false
  const locations = world.blocks.expected.get(id) ?? []
  world.blocks.expected.delete(id)
  t.equal(world.run(recover), false, 'nobody has it')
  t.equal(lastState(world, id), 'committed')
  world.blocks.expected.set(id, locations)
  world.blocks.isReplicating = true
  t.equal(world.run(recover), true, 'one that has it came back')
  t.match(inodeOf(world, '/f'), { lease: undefined, length: 7 })
  t.equal(world.blocks.recoveries.length, 0)
})

eachWay('a committed block without bytes may be recovered or dropped', (t, world) => {
  const id = committedFile(world, '/f', 0)
  const recover = { kind: 'recoverLease', path: '/f', clientName: other } as const
  world.run(recover)
  world.pass(3000)
  world.run(recover)
  t.match(world.blocks.recoveries, [{ block: { id, truncateLength: undefined } }])
  commitSynchronization(world, id, { newLength: 0, deleteBlock: true })
  t.match(inodeOf(world, '/f'), { lease: undefined, length: 0 })
})

eachWay('a file that closed while its recovery waited is let alone', (t, world) => {
  const id = committedFile(world, '/f')
  const recover = { kind: 'recoverLease', path: '/f', clientName: other } as const
  world.run(recover)
  world.blocks.isReplicating = true
  t.equal(world.run(recover), true)
  const append = { kind: 'append', path: '/f', clientName: writer, newBlock: false } as const
  world.run(append)
  world.pass(4000)
  world.settle()
  t.equal(lastState(world, id), 'under-construction', 'its new writer goes on')
  t.equal(inodeOf(world, '/f')?.lease?.holder, writer)
})

eachWay('delete() of a file that is given up only hits the file its writer has', (t, world) => {
  openFile(world, '/f')
  const file = inodeOf(world, '/f')
  if (file === undefined) throw new Error('the file is there')
  const onlyHeld = { inodeId: file.id, by: writer }
  const give = { kind: 'delete', path: '/f', recursive: false, onlyHeld } as const
  t.equal(world.run({ ...give, onlyHeld: { ...onlyHeld, by: other } }), false)
  t.equal(world.run({ ...give, onlyHeld: { ...onlyHeld, inodeId: inodeId(1) } }), false)
  world.run({ kind: 'recoverLease', path: '/f', clientName: other })
  t.equal(world.run(give), false, 'another client has recovered it meanwhile')
  t.ok(inodeOf(world, '/f'))
  openFile(world, '/g')
  const second = inodeOf(world, '/g')
  if (second === undefined) throw new Error('the file is there')
  const held = { inodeId: second.id, by: writer }
  t.equal(world.run({ ...give, path: '/g', onlyHeld: held }), true)
  t.equal(inodeOf(world, '/g'), undefined)
  t.equal(world.run({ ...give, path: '/g', onlyHeld: held }), false, 'there is none any more')
})

eachWay('tick() closes files past the hard limit at their last consistent length', (t, world) => {
  world.run(create('/empty'))
  const flushed = openFile(world, '/flushed')
  world.run(create('/never'))
  const never = world.run(addBlock('/never')).block
  world.blocks.expected.delete(never.id)
  world.run(create('/committed'))
  const committed = world.run(addBlock('/committed')).block
  world.blocks.isReplicating = false
  t.equal(
    world.run({
      kind: 'complete',
      path: '/committed',
      clientName: writer,
      last: { ...committed, length: 7 },
      isLastTry: true,
    }),
    false,
  )
  world.pass(hardLimitMs)
  world.settle()
  t.equal(world.namesystem.status().openFiles, 4, 'not yet')
  world.pass(1)
  world.settle()
  t.match(inodeOf(world, '/empty'), { lease: undefined })
  t.match(inodeOf(world, '/never'), { lease: undefined, length: 0 })
  t.ok(world.blocks.deleted.includes(never.id))
  t.equal(inodeOf(world, '/flushed')?.lease?.holder, namenodeHolder)
  t.equal(lastState(world, flushed.id), 'under-recovery')
  t.equal(inodeOf(world, '/committed')?.lease?.holder, namenodeHolder, 'waits for a replica')
  world.blocks.isReplicating = true
  world.settle()
  t.match(inodeOf(world, '/committed'), { lease: undefined, length: 7 })
  t.equal(lastState(world, committed.id), 'complete')
  commitSynchronization(world, flushed.id)
  world.settle()
  t.equal(world.namesystem.status().openFiles, 0)
})

t.test('tick() expires every lease past its hard limit, oldest first', async (t) => {
  const world = new NamespaceWorld()
  for (const name of ['a', 'b', 'c']) {
    world.run(create(`/${name}`, clientName(name)))
    world.pass(10)
  }
  world.namesystem.renewLease(world.now, clientName('a'))
  world.namesystem.renewLease(world.now, clientName('nobody'))
  world.pass(hardLimitMs - 5)
  const closed = world.namesystem.tick(world.now, world.wall).changes
  t.match(closed, [{ inode: { name: 'b' } }, { inode: { name: 'c' } }])
  t.equal(closed.length, 2)
})

t.test('LeaseManager: one renewal covers all files of a holder', async (t) => {
  const leases = new LeaseManager({ softLimitMs: 10, hardLimitMs: 100, recoveryMs: 5 })
  t.ok(leases.isSoftExpired(millis(0), writer), 'who holds nothing holds nobody up')
  const world = new NamespaceWorld()
  for (const name of ['a', 'b']) leases.filePut(world.run(create(`/${name}`)).inode)
  t.equal(leases.openFileCount, 2)
  leases.renew(millis(50), writer)
  t.notOk(leases.isSoftExpired(millis(60), writer))
  t.ok(leases.isSoftExpired(millis(61), writer))
  t.strictSame([...leases.expired(millis(150))], [])
  t.equal([...leases.expired(millis(151))].length, 2)
  leases.fileDeleted(inodeId(16386))
  t.equal([...leases.openFiles()].length, 1)
})

eachWay(
  'a restart keeps leases, gives holders their time anew, and resumes recoveries',
  (t, world) => {
    const block = openFile(world, '/f')
    world.run({ kind: 'recoverLease', path: '/f', clientName: other })
    world.run(create('/g'))
    const started = world.blocks.recoveries[0]?.recoveryStamp ?? generationStamp(0)
    world.fold(world.lastTxid - 1)
    world.pass(hardLimitMs * 2)
    world.restart()
    world.namesystem.invariants()
    t.equal(world.namesystem.status().openFiles, 2)
    t.equal(
      code(() => world.run(create('/g', other))),
      'ALREADY_BEING_CREATED',
    )
    t.equal(
      code(() => commitSynchronization(world, block.id)),
      'IO_ERROR',
      'the old recovery is forgotten',
    )
    world.settle()
    t.ok(
      (world.blocks.recoveries.at(-1)?.recoveryStamp ?? 0) > started,
      'and one with a newer stamp begins',
    )
    commitSynchronization(world, block.id)
    t.equal(inodeOf(world, '/f')?.lease, undefined)
  },
)

eachWay('a deleted file is not recovered, and its lease ends', (t, world) => {
  openFile(world, '/d/f')
  openFile(world, '/g')
  world.run({ kind: 'recoverLease', path: '/d/f', clientName: other })
  world.run({ kind: 'delete', path: '/d', recursive: true })
  world.run({ kind: 'delete', path: '/g', recursive: false })
  world.pass(hardLimitMs * 2)
  world.settle()
  t.equal(world.blocks.recoveries.length, 1)
  t.match(world.namesystem.status(), { openFiles: 0, totals: { files: 0, blocks: 0 } })
})

t.test('tick() reaps a deleted tree in bounded pieces, also across a restart', async (t) => {
  for (const isForgetful of [false, true]) {
    const world = new NamespaceWorld({ isForgetful })
    for (let index = 0; index < 700; index += 1) {
      world.run({
        kind: 'mkdirs',
        path: `/t/a${index % 5}/b/c${index}`,
        mode: 0o755,
        createParent: true,
      })
    }
    for (let index = 0; index < 700; index += 1) world.run(create(`/t/files/f${index}`))
    const block = openFile(world, '/t/a1/b/c1/deep')
    world.fold()
    const removed = world.run({ kind: 'delete', path: '/t', recursive: true })
    t.equal(removed, true)
    t.ok((world.journal.at(-1)?.changes.length ?? 99) <= 5)
    for (let round = 0; round < 6; round += 1) world.tick()
    world.restart()
    let largest = 0
    for (let round = 0; ; round += 1) {
      const { misses, changes } = world.namesystem.tick(world.now, world.wall)
      largest = Math.max(largest, changes.length)
      if (changes.length > 0) world.commit(changes)
      world.load(misses)
      if (isForgetful && round % 10 === 9) world.forget()
      if (changes.length + misses.length === 0) break
      if (round > 1000) t.fail('never done')
      if (round > 1000) break
    }
    t.ok(largest <= 3000, `at most a few thousand changes at a time, not ${largest}`)
    world.namesystem.invariants()
    t.strictSame(world.namesystem.status().totals, {
      files: 0,
      directories: 1,
      symlinks: 0,
      blocks: 0,
    })
    t.ok(world.blocks.deleted.includes(block.id))
    world.fold()
    t.strictSame([...world.store.inodes.keys()], [16385, 16384], 'nothing is left in the store')
    t.ok([...world.store.entries.values()].every(({ size }) => size === 0))
  }
})

function caller(callId: number): Caller {
  return { ...superuser, request: { clientId: '00ff', callId } }
}

t.test('cachedReply() gives a repeated call its first answer for a while', async (t) => {
  const world = new NamespaceWorld()
  const created = world.run(create('/f'), caller(1))
  world.run({ kind: 'delete', path: '/f', recursive: false }, caller(2))
  world.run(create('/a'), caller(3))
  world.fold()
  t.equal(world.run({ kind: 'rename', source: '/a', target: '/b' }, caller(4)), true)
  world.run(
    { kind: 'rename2', source: '/b', target: '/c', overwrite: false, toTrash: false },
    caller(5),
  )
  world.run({ kind: 'setTimes', path: '/c', mtime: millis(1) }, caller(6))
  const check = (): void => {
    const cached = (callId: number) => world.namesystem.cachedReply({ clientId: '00ff', callId })
    t.strictSame(cached(1), { kind: 'file-status', inodeId: created.inode.id, status: created })
    t.strictSame(cached(2), { kind: 'boolean', value: true })
    t.strictSame(cached(4), { kind: 'boolean', value: true })
    t.strictSame(cached(5), { kind: 'void' })
    t.equal(cached(6), undefined, 'idempotent calls are not kept')
    t.equal(world.namesystem.cachedReply({ clientId: '00fe', callId: 1 }), undefined)
  }
  check()
  world.pass(600_000)
  world.tick()
  check()
  t.ok(world.namesystem.hasEveryReply(world.now))
  world.pass(600_000)
  world.tick()
  t.equal(
    world.namesystem.cachedReply({ clientId: '00ff', callId: 1 }),
    undefined,
    'in time forgotten',
  )
  world.run({ kind: 'delete', path: '/c', recursive: false }, caller(7))
  world.fold()
  world.run({ kind: 'delete', path: '/c', recursive: false }, caller(8))
  world.run(create('/g'), caller(9))
  world.restart()
  const cached = (callId: number) => world.namesystem.cachedReply({ clientId: '00ff', callId })
  t.strictSame(cached(9)?.kind, 'file-status', 'replay brings what is not folded')
  t.equal(cached(7), undefined, 'the store has the rest')
  t.notOk(world.namesystem.hasEveryReply(world.now), 'and may be asked')
})

t.test('RetryCache holds a bounded number of answers, the newest', async (t) => {
  const cache = new RetryCache({ lifetimeMs: 1000, entriesMax: 10 })
  for (let callId = 0; callId < 100; callId += 1) {
    const reply = { kind: 'boolean', value: callId % 2 === 0 } as const
    cache.put({ clientId: `c${callId % 3}`, callId }, reply, txId(callId + 1))
    cache.folded(txId(callId + 1))
  }
  let kept = 0
  for (let callId = 0; callId < 100; callId += 1) {
    if (cache.find({ clientId: `c${callId % 3}`, callId }) !== undefined) kept += 1
  }
  t.ok(kept >= 5 && kept <= 10, String(kept))
  t.strictSame(cache.find({ clientId: 'c0', callId: 99 }), { kind: 'boolean', value: false })
  t.notOk(cache.isWhole(millis(0)), 'the store may have others')
  cache.tick(millis(500))
  t.notOk(cache.isWhole(millis(1499)))
  t.ok(cache.isWhole(millis(1500)), 'until they have expired')
})

t.test('RetryCache keeps every answer that the store does not have', async (t) => {
  const cache = new RetryCache({ lifetimeMs: 1000, entriesMax: 4 })
  const put = (callId: number): void => {
    cache.put({ clientId: 'c', callId }, { kind: 'void' }, txId(callId))
  }
  for (let callId = 1; callId <= 50; callId += 1) put(callId)
  const isKnown = (callId: number): boolean =>
    cache.find({ clientId: 'c', callId })?.kind === 'void'
  for (let callId = 1; callId <= 50; callId += 1) t.ok(isKnown(callId), String(callId))
  cache.folded(txId(49))
  put(51)
  t.ok(isKnown(50), 'call 50 is not folded')
  cache.folded(txId(50))
  for (let callId = 52; callId <= 54; callId += 1) put(callId)
  t.notOk(isKnown(1))
  t.ok(isKnown(51))
})
