/** append, truncate, concat and getAdditionalDatanode on the namespace: rows, leases, refusals, retries, restarts. */
import t, { type Test } from 'tap'
import type { BlockReference, Request } from '../../../namenode/core/requests.ts'
import { isDfsError } from '../../../protocol/errors.ts'
import { type BlockId, clientName, generationStamp, inodeId } from '../../../protocol/ids.ts'
import { location, NamespaceWorld, superuser, user } from '../../support/namespace-world.ts'

const mebibyte = 1024 * 1024
const writer = clientName('writer')
const other = clientName('other')
const softLimitMs = 60_000

function create(path: string, blockSize = mebibyte): Request & { kind: 'create' } {
  return {
    kind: 'create',
    path,
    mode: 0o644,
    clientName: writer,
    overwrite: false,
    createIfMissing: true,
    createParent: true,
    replication: 3,
    blockSize,
  }
}

function addBlock(
  path: string,
  previous?: BlockReference,
  holder = writer,
): Request & { kind: 'addBlock' } {
  const rest = { excluded: [], favored: [], isLastTry: false }
  return { kind: 'addBlock', path, clientName: holder, previous, ...rest }
}

/** A closed file with blocks of these lengths. */
function closedFile(
  world: NamespaceWorld,
  path: string,
  lengths: readonly number[],
  blockSize = mebibyte,
): readonly BlockReference[] {
  world.run(create(path, blockSize))
  const blocks: BlockReference[] = []
  for (const length of lengths) {
    const { block } = world.run(addBlock(path, blocks.at(-1)))
    blocks.push({ ...block, length })
  }
  world.run({ kind: 'complete', path, clientName: writer, last: blocks.at(-1), isLastTry: false })
  return blocks
}

function append(path: string, newBlock = false, holder = writer): Request & { kind: 'append' } {
  return { kind: 'append', path, clientName: holder, newBlock }
}

function truncate(
  path: string,
  newLength: number,
  holder = writer,
): Request & { kind: 'truncate' } {
  return { kind: 'truncate', path, newLength, clientName: holder }
}

function inodeOf(world: NamespaceWorld, path: string) {
  return world.run({ kind: 'getFileInfo', path })?.inode
}

function blocksOf(world: NamespaceWorld, path: string) {
  const all = { offset: 0, length: Number.MAX_SAFE_INTEGER }
  return world.run({ kind: 'getBlockLocations', path, ...all })
}

function code(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return isDfsError(error) ? error.code : String(error)
  }
  return 'none'
}

function endRecovery(
  world: NamespaceWorld,
  id: BlockId,
  fields: Partial<Request & { kind: 'commitBlockSynchronization' }> = {},
): void {
  const recovery = world.blocks.recoveries.findLast(({ block }) => block.id === id)
  world.run({
    kind: 'commitBlockSynchronization',
    block: { id, generationStamp: generationStamp(1001), length: 0 },
    newGenerationStamp: recovery?.recoveryStamp ?? generationStamp(0),
    newLength: recovery?.block.truncateLength ?? 0,
    closeFile: true,
    deleteBlock: false,
    locations: [location(1), location(2)],
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
      world.fold()
      world.restart()
      world.namesystem.invariants()
    })
  }
}

eachWay('append() hands out the partial last block as it is, and takes the lease', (t, world) => {
  const [first, last] = closedFile(world, '/f', [mebibyte, 100])
  const { block, status } = world.run(append('/f', false, other))
  t.strictSame(block, {
    block: last,
    offset: mebibyte,
    locations: [location(1), location(2), location(3)],
    isCorrupt: false,
  })
  t.match(status, { length: mebibyte + 100, inode: { lease: { holder: other } } })
  t.match(world.blocks.rows.get(last?.id as BlockId), {
    state: 'under-construction',
    generationStamp: last?.generationStamp,
    length: 100,
    committedLength: 100,
  })
  t.match(blocksOf(world, '/f'), {
    fileLength: mebibyte,
    isUnderConstruction: true,
    isLastBlockComplete: false,
    lastBlock: { block: { length: 100 } },
  })
  t.match(world.blocks.rows.get(first?.id as BlockId), { state: 'complete' })
  t.equal(world.run({ kind: 'isFileClosed', path: '/f' }), false)
})

eachWay('append() is finished with the stamp of the block, or with a newer one', (t, world) => {
  closedFile(world, '/go', [100])
  const go = world.run(append('/go')).block?.block
  const complete = { kind: 'complete', clientName: writer, isLastTry: false } as const
  t.ok(go)
  t.equal(
    code(() => world.run({ ...complete, path: '/go', last: go && { ...go, length: 99 } })),
    'IO_ERROR',
    'what was there stays',
  )
  t.equal(world.run({ ...complete, path: '/go', last: go && { ...go, length: 150 } }), true)
  t.match(inodeOf(world, '/go'), { length: 150, lease: undefined })

  closedFile(world, '/java', [100])
  const old = world.run(append('/java')).block?.block
  t.ok(old)
  if (old === undefined) return
  const stamped = world.run({ kind: 'updateBlockForPipeline', block: old, clientName: writer })
  t.ok(stamped.generationStamp > old.generationStamp)
  const locations = [location(2), location(3)]
  const pipeline = { clientName: writer, oldBlock: old, newBlock: stamped, locations }
  world.run({ kind: 'updatePipeline', ...pipeline })
  t.strictSame(world.blocks.expected.get(old.id), locations)
  world.run({ kind: 'fsync', path: '/java', clientName: writer, lastBlockLength: 130 })
  t.equal(inodeOf(world, '/java')?.length, 130, 'visible length')
  const last = { ...stamped, length: 150 }
  t.equal(world.run({ ...complete, path: '/java', last }), true)
  t.equal(world.run({ ...complete, path: '/java', last }), true, 'asked again')
  t.strictSame(world.blocks.rows.get(old.id), {
    ...{ id: old.id, inode: inodeOf(world, '/java')?.id, index: 0 },
    ...{ generationStamp: stamped.generationStamp, length: 150, state: 'complete' },
  })
})

eachWay('append() gives no block for an empty file and for a full last block', (t, world) => {
  world.run(create('/empty'))
  world.run({ kind: 'complete', path: '/empty', clientName: writer, isLastTry: false })
  t.equal(world.run(append('/empty')).block, undefined)
  const added = world.run(addBlock('/empty')).block
  t.strictSame(world.run(addBlock('/empty')).block, added, 'the repeated call')

  closedFile(world, '/full', [mebibyte])
  t.equal(world.run(append('/full')).block, undefined)
  const next = world.run(addBlock('/full'))
  t.equal(next.offset, mebibyte)
  t.strictSame(world.run(addBlock('/full')).block, next.block, 'the repeated call')
  const last = { ...next.block, length: 5 }
  world.run({ kind: 'complete', path: '/full', clientName: writer, last, isLastTry: false })
  t.equal(inodeOf(world, '/full')?.length, mebibyte + 5)
})

eachWay('append() with NEW_BLOCK leaves the partial block alone', (t, world) => {
  const [first] = closedFile(world, '/f', [100])
  const { block } = world.run(append('/f', true))
  t.match(block, { block: first, locations: [] })
  t.match(world.blocks.rows.get(first?.id as BlockId), { state: 'complete' })
  const next = world.run(addBlock('/f', block?.block))
  t.equal(next.offset, 100)
  const last = { ...next.block, length: 7 }
  world.run({ kind: 'complete', path: '/f', clientName: writer, last, isLastTry: false })
  t.match(
    blocksOf(world, '/f').blocks.map(({ offset, block: { length } }) => [offset, length]),
    [
      [0, 100],
      [100, 7],
    ],
  )
  t.equal(world.run(append('/f', true, other)).block?.block.length, 7)
})

eachWay('append() refuses what cannot be appended to', (t, world) => {
  t.equal(
    code(() => world.run(append('/none'))),
    'FILE_NOT_FOUND',
  )
  world.run({ kind: 'mkdirs', path: '/d', mode: 0o755, createParent: true })
  t.equal(
    code(() => world.run(append('/d'))),
    'FILE_EXISTS',
  )
  closedFile(world, '/f', [100])
  t.equal(
    code(() => world.run(append('/f'), user('eve'))),
    'PERMISSION_DENIED',
  )
  world.blocks.isReplicating = false
  t.equal(
    code(() => world.run(append('/f'))),
    'IO_ERROR',
    'no replica',
  )
  world.blocks.isReplicating = true
  world.run(append('/f'))
  t.throws(() => world.run(append('/f')), {
    code: 'ALREADY_BEING_CREATED',
    message: /^Failed to APPEND_FILE \/f for writer on .* because writer is already the current/,
  })
  t.throws(() => world.run(append('/f', false, other)), {
    code: 'ALREADY_BEING_CREATED',
    message: /because this file lease is currently owned by writer on 10\.0\.0\.1/,
  })
  world.pass(softLimitMs + 1)
  t.equal(
    code(() => world.run(append('/f', false, other))),
    'RECOVERY_IN_PROGRESS',
  )
  world.blocks.safeMode = 'manual'
  t.equal(
    code(() => world.run(append('/f', false, other))),
    'SAFE_MODE',
  )
  world.blocks.safeMode = 'off'
})

eachWay('append() after the soft limit closes at once what needs no recovery', (t, world) => {
  const [first] = closedFile(world, '/f', [100])
  world.run(append('/f', true))
  world.pass(softLimitMs + 1)
  t.match(world.run(append('/f', false, other)), { block: { block: first } })
  t.equal(inodeOf(world, '/f')?.lease?.holder, other)

  closedFile(world, '/g', [100])
  const previous = world.run(append('/g', true)).block?.block
  const never = world.run(addBlock('/g', previous)).block
  world.blocks.expected.delete(never.id)
  world.pass(softLimitMs + 1)
  t.match(world.run(append('/g', false, other)), { block: { block: { length: 100 } } })
  t.ok(world.blocks.deleted.includes(never.id), 'the block that nobody wrote is gone')
})

eachWay('append() answers a repeated call as the first time', (t, world) => {
  closedFile(world, '/f', [100])
  const request = { clientId: '00ff', callId: 3 }
  const first = world.run(append('/f'), { ...superuser, request })
  const kept = world.namesystem.cachedReply(request)
  t.match(kept, { kind: 'appended', block: first.block, status: { length: 100 } })
})

eachWay('the recovery of an appended block never undoes what was complete', (t, world) => {
  const [block] = closedFile(world, '/f', [100])
  const id = block?.id as BlockId
  world.run(append('/f'))
  world.run({ kind: 'recoverLease', path: '/f', clientName: other })
  t.equal(world.blocks.recoveries.length, 1)
  t.throws(() => endRecovery(world, id, { newLength: 99 }), { message: /complete with 100 before/ })
  t.equal(
    code(() => endRecovery(world, id, { deleteBlock: true })),
    'IO_ERROR',
  )
  t.equal(world.run({ kind: 'isFileClosed', path: '/f' }), false)
  endRecovery(world, id, { newLength: 120 })
  t.match(inodeOf(world, '/f'), { length: 120, lease: undefined })
  t.match(world.blocks.rows.get(id), { state: 'complete', committedLength: undefined })
})

eachWay('abandonBlock() does not take back a block with bytes', (t, world) => {
  const [block] = closedFile(world, '/f', [100])
  world.run(append('/f'))
  if (block === undefined) return
  t.equal(
    code(() => world.run({ kind: 'abandonBlock', path: '/f', clientName: writer, block })),
    'IO_ERROR',
  )
})

eachWay(
  'truncate() at a block boundary, to nothing and to the same length is done at once',
  (t, world) => {
    const blocks = closedFile(world, '/f', [mebibyte, mebibyte, 100])
    t.equal(world.run(truncate('/f', 2 * mebibyte + 100)), true, 'unchanged')
    t.equal(world.blocks.deleted.length, 0)
    t.equal(world.run(truncate('/f', mebibyte)), true)
    t.strictSame(world.blocks.deleted, [blocks[2]?.id, blocks[1]?.id])
    t.match(inodeOf(world, '/f'), { length: mebibyte, lease: undefined, mtime: world.wall })
    t.equal(world.run(truncate('/f', 0)), true)
    t.match(inodeOf(world, '/f'), { length: 0, lease: undefined })
    t.equal(world.run(truncate('/f', 0)), true)
    t.equal(world.namesystem.status().totals.blocks, 0)
  },
)

eachWay('truncate() inside a block has it recovered to exactly that length', (t, world) => {
  const blocks = closedFile(world, '/f', [mebibyte, mebibyte, 100])
  const id = blocks[1]?.id as BlockId
  world.pass(5)
  t.equal(world.run(truncate('/f', mebibyte + 17)), false)
  t.strictSame(world.blocks.deleted, [blocks[2]?.id])
  t.match(world.blocks.recoveries, [
    { block: { id, state: 'under-recovery', length: mebibyte, truncateLength: 17 } },
  ])
  t.match(inodeOf(world, '/f'), { length: 2 * mebibyte, lease: { holder: writer } })
  t.equal(world.run({ kind: 'isFileClosed', path: '/f' }), false)
  t.equal(world.run(truncate('/f', mebibyte + 17)), false, 'asked again')
  t.equal(world.blocks.recoveries.length, 1)
  t.equal(
    code(() => world.run(truncate('/f', mebibyte + 16))),
    'ALREADY_BEING_CREATED',
  )
  t.equal(
    code(() => world.run(append('/f', false, other))),
    'RECOVERY_IN_PROGRESS',
  )
  t.equal(
    code(() => endRecovery(world, id, { newLength: 18 })),
    'IO_ERROR',
  )
  endRecovery(world, id)
  t.match(inodeOf(world, '/f'), { length: mebibyte + 17, lease: undefined, mtime: world.wall })
  t.strictSame(Object.keys(world.blocks.rows.get(id) ?? {}).sort(), [
    ...['generationStamp', 'id', 'index', 'inode', 'length', 'state'],
  ])
  t.equal(world.run(append('/f')).block?.block.length, 17)
})

eachWay('a truncate survives restarts, overdue recoveries and the caller', (t, world) => {
  const id = closedFile(world, '/f', [100])[0]?.id as BlockId
  world.run(truncate('/f', 40))
  world.fold()
  world.restart()
  world.settle()
  t.equal(world.blocks.recoveries.length, 2, 'ordered anew after the restart')
  world.pass(30_000)
  world.settle()
  t.equal(world.blocks.recoveries.length, 3, 'ordered anew when it took too long')
  t.ok(world.blocks.recoveries.every(({ block }) => block.truncateLength === 40))
  t.equal(world.run({ kind: 'recoverLease', path: '/f', clientName: other }), false)
  endRecovery(world, id)
  t.match(inodeOf(world, '/f'), { length: 40, lease: undefined })
})

eachWay('truncate() refuses what cannot be cut', (t, world) => {
  t.equal(
    code(() => world.run(truncate('/none', 1))),
    'FILE_NOT_FOUND',
  )
  world.run({ kind: 'mkdirs', path: '/d', mode: 0o755, createParent: true })
  t.equal(
    code(() => world.run(truncate('/d', 1))),
    'IS_A_DIRECTORY',
  )
  closedFile(world, '/f', [100])
  t.throws(() => world.run(truncate('/f', 101)), {
    code: 'INVALID_ARGUMENT',
    message: /Cannot truncate \/f to a larger file size\. Current size: 100, truncate size: 101/,
  })
  t.equal(
    code(() => world.run(truncate('/f', 1), user('eve'))),
    'PERMISSION_DENIED',
  )
  world.run(append('/f'))
  t.throws(() => world.run(truncate('/f', 1, other)), {
    code: 'ALREADY_BEING_CREATED',
    message: /^Failed to TRUNCATE_FILE/,
  })
})

eachWay('concat() moves the blocks of the sources behind the target', (t, world) => {
  const lengths = { '/d/a': [mebibyte, 10], '/d/b': [20], '/d/c': [mebibyte, 30] }
  const ids = Object.entries(lengths).flatMap(([path, parts]) =>
    closedFile(world, path, parts).map(({ id }) => id),
  )
  world.pass(3)
  world.run({ kind: 'concat', path: '/d/a', sources: ['/d/b', '/d/c'] })
  t.match(inodeOf(world, '/d/a'), { length: 2 * mebibyte + 60, mtime: world.wall })
  t.equal(inodeOf(world, '/d/b'), undefined)
  t.equal(inodeOf(world, '/d/c'), undefined)
  t.match(inodeOf(world, '/d'), { childCount: 1, mtime: world.wall })
  const { blocks, fileLength } = blocksOf(world, '/d/a')
  t.strictSame(
    blocks.map(({ block: { id, length }, offset }) => [id, length, offset]),
    [
      [ids[0], mebibyte, 0],
      [ids[1], 10, mebibyte],
      [ids[2], 20, mebibyte + 10],
      [ids[3], mebibyte, mebibyte + 30],
      [ids[4], 30, 2 * mebibyte + 30],
    ],
  )
  t.equal(fileLength, 2 * mebibyte + 60)
  t.equal(world.blocks.deleted.length, 0, 'no block is garbage')
  t.match(world.namesystem.status().totals, { files: 1, blocks: 5 })
  world.run({ kind: 'delete', path: '/d/a', recursive: false })
  world.settle()
  t.strictSame(world.blocks.deleted.toSorted(), ids.toSorted(), 'they belong to the target now')
})

eachWay('concat() refuses files that do not fit together', (t, world) => {
  const concat = (path: string, ...sources: string[]): string =>
    code(() => world.run({ kind: 'concat', path, sources }))
  closedFile(world, '/d/a', [10])
  closedFile(world, '/d/b', [20])
  closedFile(world, '/e/c', [30])
  closedFile(world, '/d/large', [40], 2 * mebibyte)
  world.run(create('/d/empty'))
  world.run({ kind: 'complete', path: '/d/empty', clientName: writer, isLastTry: false })
  world.run(create('/d/open'))
  t.equal(concat('/d/a'), 'INVALID_ARGUMENT', 'no sources')
  t.equal(concat('/d/a', '/d/b', '/d/b'), 'INVALID_ARGUMENT', 'twice')
  t.equal(concat('/d/a', '/d/a'), 'INVALID_ARGUMENT', 'itself')
  t.equal(concat('/d/a', '/e/c'), 'INVALID_ARGUMENT', 'another directory')
  t.equal(concat('/d/a', '/d/large'), 'INVALID_ARGUMENT', 'larger blocks')
  t.equal(concat('/d/a', '/d/empty'), 'INVALID_ARGUMENT')
  t.equal(concat('/d/a', '/d/open'), 'INVALID_ARGUMENT')
  t.equal(concat('/d/open', '/d/a'), 'INVALID_ARGUMENT')
  t.equal(concat('/d/none', '/d/a'), 'FILE_NOT_FOUND')
  t.equal(concat('/d/a', '/d/none'), 'FILE_NOT_FOUND')
  t.equal(concat('/d', '/d/a'), 'IS_A_DIRECTORY')
  t.equal(concat('/d/a', '/d'), 'IS_A_DIRECTORY')
  t.equal(
    code(() => world.run({ kind: 'concat', path: '/d/a', sources: ['/d/b'] }, user('eve'))),
    'PERMISSION_DENIED',
  )
  t.equal(concat('/d/empty', '/d/a'), 'none', 'an empty target is fine')
  t.match(inodeOf(world, '/d/empty'), { length: 10 })
})

eachWay('getAdditionalDatanode() adds to what is left of the pipeline', (t, world) => {
  world.run(create('/f'))
  const { block } = world.run(addBlock('/f'))
  const request = {
    kind: 'getAdditionalDatanode',
    ...{ path: '/f', clientName: writer, block: { ...block, length: 77 }, count: 1 },
    existing: [location(1), location(2)],
    excluded: [location(3).datanode],
  } as const
  world.blocks.targets = [location(4)]
  const answer = world.run(request)
  t.strictSame(answer.locations, [location(1), location(2), location(4)])
  t.equal(answer.block.length, 77)
  t.match(world.blocks.requests.at(-1), {
    ...{ count: 1, blockSizeBytes: mebibyte, existing: request.existing },
    excluded: new Set(request.excluded),
  })
  world.blocks.targets = []
  t.strictSame(world.run(request).locations, request.existing, 'nobody else')
  t.equal(
    code(() => world.run({ ...request, clientName: other })),
    'LEASE_EXPIRED',
  )
  t.equal(
    code(() => world.run({ ...request, path: '/none' })),
    'FILE_NOT_FOUND',
  )
  t.equal(
    code(() => world.run({ ...request, inodeId: inodeId(99) })),
    'FILE_NOT_FOUND',
  )
  t.equal(
    code(() => world.run({ ...request, block: { ...block, id: 99 as BlockId } })),
    'IO_ERROR',
  )
  world.blocks.safeMode = 'manual'
  t.equal(
    code(() => world.run(request)),
    'SAFE_MODE',
  )
  world.blocks.safeMode = 'off'
})
