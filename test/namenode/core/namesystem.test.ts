/**
 * Every operation, its replies and its refusals; each test runs twice: with all rows resident, and with
 * nothing in memory at the start of each request, so that everything it needs is a miss.
 */
import t from 'tap'
import { millis } from '../../../base/brand.ts'
import {
  blockId,
  datanodeUuid,
  generationStamp,
  inodeId,
  orphanageInodeId,
  rootInodeId,
} from '../../../protocol/ids.ts'
import {
  addBlock,
  alice,
  complete,
  create,
  eachWay,
  mebibyte,
  mkdirs,
  names,
  other,
  refused,
  stat,
  write,
  writer,
} from '../../support/namespace-requests.ts'
import { location, NamespaceWorld } from '../../support/namespace-world.ts'

eachWay(
  'getFileInfo() shows the root, directories and files, and nothing for a missing path',
  (t, world) => {
    world.run(mkdirs('/a/b', 0o750))
    const { id } = write(world, '/a/b/f', [100, 50])
    t.match(stat(world, '/'), {
      name: '',
      inode: { id: rootInodeId, kind: 'directory', childCount: 1 },
    })
    t.match(stat(world, '/a/b/'), { inode: { kind: 'directory', mode: 0o750, childCount: 1 } })
    t.match(stat(world, '/a/b/f'), {
      length: 150,
      inode: { id, kind: 'file', length: 150, owner: 'hdfs', group: 'supergroup', replication: 3 },
    })
    t.equal(stat(world, '/a/b/g'), undefined)
    t.equal(stat(world, '/x/y'), undefined)
    refused(t, 'NOT_A_DIRECTORY', /^\/a\/b\/f \(is not a directory\)$/, () =>
      stat(world, '/a/b/f/g'),
    )
    const located = world.run({ kind: 'getFileInfo', path: '/a/b/f', needLocation: true })
    t.equal(located?.located?.blocks.length, 2)
  },
)

eachWay('paths: syntax and limits are checked, reserved prefixes resolve', (t, world) => {
  const { id } = write(world, '/d/f', [10])
  for (const path of ['', 'a', '//', '/a//b', '/a/./b', '/..', '/a\0b', '/\ud800']) {
    refused(t, 'INVALID_PATH', /Path ".*"/s, () => stat(world, path))
  }
  refused(t, 'LIMIT_EXCEEDED', /8001 characters/, () => stat(world, `/${'a'.repeat(8000)}`))
  t.equal(stat(world, `/${'a'.repeat(7999)}`), undefined)
  refused(t, 'LIMIT_EXCEEDED', /1001 levels/, () => stat(world, '/a'.repeat(1001)))
  t.equal(stat(world, '/a'.repeat(1000)), undefined)
  t.equal(stat(world, `/.reserved/.inodes/${id}`)?.inode.id, id)
  t.equal(stat(world, `/.reserved/.inodes/${id}/..`)?.inode.name, 'd')
  t.equal(stat(world, `/.reserved/.inodes/${rootInodeId}/d/f`)?.inode.id, id)
  t.equal(stat(world, '/.reserved/raw/d/f')?.inode.id, id)
  t.equal(stat(world, '/.reserved/raw')?.inode.id, rootInodeId)
  for (const path of ['', '/.inodes/', '/.inodes/999999', '/.inodes/x', '/other/a']) {
    t.equal(stat(world, `/.reserved${path}`), undefined, path)
  }
  t.equal(stat(world, `/.reserved/.inodes/${orphanageInodeId}`), undefined)
  refused(t, 'INVALID_PATH', /reserved/, () => world.run(mkdirs('/.reserved/x')))
  refused(t, 'INVALID_PATH', /reserved/, () => world.run(create('/.reserved')))
  const long = 'é'.repeat(127)
  t.equal(world.run(mkdirs(`/${long}a`)), true)
  refused(t, 'NAME_TOO_LONG', /256 bytes, the limit is 255/, () => world.run(mkdirs(`/${long}aa`)))
})

eachWay(
  'mkdirs() makes missing parents with u+wx, takes the group of the parent, masks modes',
  (t, world) => {
    t.equal(world.run(mkdirs('/a')), true)
    world.run({ kind: 'setOwner', path: '/a', owner: 'alice', group: 'staff' })
    world.pass(10)
    t.equal(world.run(mkdirs('/a/b/c', 0o40755), alice), true)
    t.match(stat(world, '/a/b')?.inode, { owner: 'alice', group: 'staff', mode: 0o755, nlink: 3 })
    t.match(stat(world, '/a')?.inode, { childCount: 1, mtime: world.wall })
    t.equal(world.run(mkdirs('/a/r/s', 0o444), alice), true)
    t.equal(stat(world, '/a/r')?.inode.mode, 0o744)
    t.equal(stat(world, '/a/r/s')?.inode.mode, 0o444)
    t.equal(world.run(mkdirs('/t', 0x8000_01ed)), true)
    t.equal(stat(world, '/t')?.inode.mode, 0o755)
    t.equal(world.run(mkdirs('/s', 0o1777)), true)
    t.equal(stat(world, '/s')?.inode.mode, 0o1777)
    t.equal(world.run(mkdirs('/a/b')), true, 'existing')
    t.equal(world.run(mkdirs('/')), true)
    refused(t, 'FILE_NOT_FOUND', /Parent directory doesn't exist: \/x\/y/, () =>
      world.run(mkdirs('/x/y/z', 0o755, false)),
    )
    write(world, '/f', [])
    refused(t, 'FILE_EXISTS', /not a directory: \/f/, () => world.run(mkdirs('/f')))
    refused(t, 'NOT_A_DIRECTORY', /\/f \(is not a directory\)/, () => world.run(mkdirs('/f/g')))
  },
)

eachWay('create() opens a file, and follows the rules for what is there already', (t, world) => {
  const status = world.run(create('/p/q/f', { mode: 0o100644 }))
  t.match(status, {
    name: '',
    length: 0,
    inode: { kind: 'file', mode: 0o644, replication: 3, blockSize: 128 * mebibyte, name: 'f' },
  })
  t.equal(status.inode.lease?.holder, writer)
  t.equal(status.inode.mtime, status.inode.atime)
  t.equal(world.namesystem.status().openFiles, 1)
  refused(t, 'ALREADY_BEING_CREATED', /already the current lease holder/, () =>
    world.run(create('/p/q/f')),
  )
  refused(t, 'ALREADY_BEING_CREATED', /owned by client-1/, () =>
    world.run(create('/p/q/f', { clientName: other })),
  )
  t.equal(world.run(complete('/p/q/f')), true)
  refused(t, 'FILE_EXISTS', /already exists/, () => world.run(create('/p/q/f')))
  refused(t, 'FILE_EXISTS', /already exists as a directory/, () => world.run(create('/p/q')))
  refused(t, 'NOT_A_DIRECTORY', /is not a directory/, () => world.run(create('/p/q/f/g')))
  refused(t, 'FILE_NOT_FOUND', /Parent directory/, () =>
    world.run(create('/n/f', { createParent: false })),
  )
  refused(t, 'FILE_NOT_FOUND', /Can't overwrite non-existent/, () =>
    world.run(create('/n', { createIfMissing: false, overwrite: true })),
  )
  refused(t, 'LIMIT_EXCEEDED', /Block size of 1048575/, () =>
    world.run(create('/n', { blockSize: mebibyte - 1 })),
  )
  refused(t, 'LIMIT_EXCEEDED', /between 1 and 512/, () =>
    world.run(create('/n', { replication: 0 })),
  )
  refused(t, 'LIMIT_EXCEEDED', /between 1 and 512/, () =>
    world.run(create('/n', { replication: 513 })),
  )
  world.run(create('/n', { blockSize: mebibyte, replication: 512 }))
})

eachWay(
  'create() with OVERWRITE replaces a file, open or closed, and frees its blocks',
  (t, world) => {
    const first = write(world, '/f', [10])
    const second = world.run(create('/f', { overwrite: true, clientName: other }))
    t.not(second.inode.id, first.id)
    const third = world.run(create('/f', { overwrite: true }))
    t.not(third.inode.id, second.inode.id, 'also while it is open')
    refused(t, 'FILE_NOT_FOUND', /File does not exist/, () =>
      world.run({ ...addBlock('/f'), clientName: other, inodeId: second.inode.id }),
    )
    t.equal(stat(world, '/')?.inode.childCount, 1)
    world.settle()
    t.strictSame(world.namesystem.status().totals, {
      files: 1,
      directories: 1,
      symlinks: 0,
      blocks: 0,
    })
    t.equal(world.blocks.deleted.length, 1)
  },
)

eachWay('addBlock() commits the previous block and allocates the next', (t, world) => {
  const { inode } = world.run(create('/f'))
  const first = world.run(addBlock('/f'))
  t.match(first, {
    offset: 0,
    isCorrupt: false,
    block: { id: 1073741825, generationStamp: 1001, length: 0 },
  })
  t.strictSame(first.locations, [location(1), location(2), location(3)])
  t.strictSame(world.blocks.expected.get(first.block.id), first.locations)
  const repeated = world.run(addBlock('/f'))
  t.strictSame(repeated, first, 'the same call again gets the same block')
  const second = world.run({
    ...addBlock('/elsewhere', { ...first.block, length: 100 }),
    inodeId: inode.id,
  })
  t.match(second, { offset: 100, block: { length: 0 } })
  t.equal(stat(world, '/f')?.length, 100)
  t.strictSame(world.run(addBlock('/f', { ...first.block, length: 100 })), second, 'again')
  refused(t, 'IO_ERROR', /does not match actual last block/, () => world.run(addBlock('/f')))
  refused(t, 'IO_ERROR', /Cannot allocate block in \/f/, () =>
    world.run(addBlock('/f', { ...second.block, generationStamp: generationStamp(7) })),
  )
  world.run({ kind: 'fsync', path: '/f', clientName: writer, lastBlockLength: 5 })
  refused(t, 'IO_ERROR', /looked like a retry .* already contains 5 bytes/, () =>
    world.run(addBlock('/f', { ...first.block, length: 100 })),
  )
  refused(t, 'IO_ERROR', /with 4 bytes: 5 were declared/, () =>
    world.run(addBlock('/f', { ...second.block, length: 4 })),
  )
  refused(t, 'FILE_NOT_FOUND', /File does not exist: \/g/, () => world.run(addBlock('/g')))
  refused(t, 'FILE_NOT_FOUND', /\(inode 99\)/, () =>
    world.run({ ...addBlock('/f'), inodeId: inodeId(99) }),
  )
  refused(t, 'LEASE_EXPIRED', /client-2.*is not the lease owner \(=client-1/, () =>
    world.run({ ...addBlock('/f'), clientName: other }),
  )
  world.run(mkdirs('/d'))
  refused(t, 'LEASE_EXPIRED', /not a regular file/, () => world.run(addBlock('/d')))
  write(world, '/closed', [])
  refused(t, 'LEASE_EXPIRED', /not open for writing/, () => world.run(addBlock('/closed')))
})

eachWay('addBlock() passes wishes on and explains why no datanode would do', (t, world) => {
  world.run(create('/f', { replication: 2 }))
  const excluded = [datanodeUuid('dn-9')]
  world.run({ ...addBlock('/f'), excluded, favored: ['h1'] })
  t.match(world.blocks.requests[0], {
    count: 2,
    blockSizeBytes: 128 * mebibyte,
    favored: ['h1'],
    existing: [],
  })
  t.ok(world.blocks.requests[0]?.excluded.has(datanodeUuid('dn-9')))
  world.blocks.targets = []
  world.blocks.refusals = [
    { datanode: '127.0.0.1:9866', reason: 'only 3 MiB remain' },
    { datanode: '127.0.0.1:9867', reason: 'excluded by the client' },
  ]
  world.run(create('/g'))
  refused(
    t,
    'NO_DATANODES',
    /File \/g could only be written to 0 of the 1 minReplication nodes: 127\.0\.0\.1:9866: only 3 MiB remain; 127\.0\.0\.1:9867: excluded/,
    () => world.run(addBlock('/g')),
  )
  world.blocks.refusals = []
  refused(t, 'NO_DATANODES', /there is no datanode/, () => world.run(addBlock('/g')))
  world.blocks.targets = [location(5)]
  world.blocks.expected.clear()
  const again = world.run(addBlock('/f'))
  t.strictSame(again.locations, [location(5)], 'a forgotten pipeline is chosen anew')
  t.equal(world.namesystem.status().totals.blocks, 1)
})

eachWay('addBlock() waits for the block before the previous one', (t, world) => {
  world.blocks.isReplicating = false
  world.run(create('/f'))
  const first = world.run(addBlock('/f')).block
  const second = world.run(addBlock('/f', { ...first, length: 10 })).block
  const third = addBlock('/f', { ...second, length: 10 })
  t.strictSame(world.propose(third), { kind: 'wait', blocks: [first.id] })
  refused(t, 'NOT_REPLICATED_YET', /Not replicated yet: \/f/, () => world.run(third))
  world.blocks.isReplicating = true
  t.equal(world.run(third).offset, 20)
})

eachWay('complete() waits for replicas, and may be repeated', (t, world) => {
  world.blocks.isReplicating = false
  const { inode } = world.run(create('/f'))
  const { block } = world.run(addBlock('/f'))
  const last = { ...block, length: 42 }
  t.strictSame(world.propose(complete('/f', last)), { kind: 'wait', blocks: [block.id] })
  world.pass(1000)
  t.equal(world.run(complete('/f', last)), false, 'on the last try')
  t.equal(stat(world, '/f')?.length, 42, 'the length is known by then')
  world.blocks.isReplicating = true
  t.equal(world.run({ ...complete('/moved', last), inodeId: inode.id }), true)
  t.match(stat(world, '/f')?.inode, { lease: undefined, length: 42, mtime: world.wall })
  t.equal(world.run(complete('/f', last)), true, 'again')
  refused(t, 'LEASE_EXPIRED', /not open for writing/, () => world.run(complete('/f')))
  refused(t, 'LEASE_EXPIRED', /not open/, () =>
    world.run(complete('/f', { ...last, generationStamp: generationStamp(1) })),
  )
  t.equal(world.namesystem.status().openFiles, 0)
  world.run(create('/g'))
  refused(t, 'IO_ERROR', /the file has no blocks/, () => world.run(complete('/g', last)))
  const mine = world.run(addBlock('/g')).block
  t.equal(world.run(complete('/g')), false, 'without a last block nothing is committed')
  refused(t, 'IO_ERROR', /mismatching GS. NN has 1002, client submits 5/, () =>
    world.run(complete('/g', { ...mine, generationStamp: generationStamp(5) })),
  )
  refused(t, 'IO_ERROR', /inconsistent block/, () => world.run(complete('/g', last)))
})

eachWay(
  'abandonBlock() takes back the last block, unless some of it is acknowledged',
  (t, world) => {
    world.run(create('/f'))
    const { block } = world.run(addBlock('/f'))
    const abandon = { kind: 'abandonBlock', path: '/f', clientName: writer, block } as const
    world.run(abandon)
    t.equal(world.namesystem.status().totals.blocks, 0)
    t.strictSame(world.blocks.deleted, [block.id])
    world.run(abandon)
    const next = world.run(addBlock('/f'))
    t.not(next.block.id, block.id)
    refused(t, 'LEASE_EXPIRED', /lease owner/, () => world.run({ ...abandon, clientName: other }))
    world.run({ kind: 'fsync', path: '/f', clientName: writer, lastBlockLength: 5 })
    refused(t, 'IO_ERROR', /5 bytes of it are acknowledged/, () =>
      world.run({ ...abandon, block: next.block }),
    )
    t.equal(stat(world, '/f')?.length, 5)
    world.blocks.isReplicating = false
    const third = { ...next.block, length: 5 }
    world.run(complete('/f', third))
    refused(t, 'IO_ERROR', /it is committed/, () => world.run({ ...abandon, block: third }))
  },
)

eachWay(
  'fsync() declares a length that readers may count on, and never takes one back',
  (t, world) => {
    world.run(create('/f'))
    const sync = { kind: 'fsync', path: '/f', clientName: writer, lastBlockLength: 100 } as const
    world.run(sync)
    world.run(addBlock('/f'))
    world.run(sync)
    t.equal(stat(world, '/f')?.length, 100)
    world.run({ ...sync, lastBlockLength: -1 })
    world.run({ ...sync, lastBlockLength: 50 })
    const read = { kind: 'getBlockLocations', path: '/f', offset: 0, length: 10 } as const
    t.match(world.run(read), {
      fileLength: 0,
      isUnderConstruction: true,
      isLastBlockComplete: false,
      lastBlock: { offset: 0, block: { length: 100 } },
      blocks: [{ offset: 0 }],
    })
    refused(t, 'LEASE_EXPIRED', /lease owner/, () => world.run({ ...sync, clientName: other }))
  },
)

eachWay('updateBlockForPipeline() hands out a stamp and leaves the block as it is', (t, world) => {
  world.run(create('/f'))
  const { block } = world.run(addBlock('/f'))
  const ask = { kind: 'updateBlockForPipeline', block, clientName: writer } as const
  t.strictSame(world.run(ask), { ...block, generationStamp: 1002 })
  const stamp = world.run(ask).generationStamp
  t.equal(stamp, 1003, 'stamps are never handed out twice')
  t.equal(world.run(complete('/f', { ...block, length: 9 })), true, 'with the old stamp')
  refused(t, 'IO_ERROR', /it is complete and must be under-construction/, () => world.run(ask))
})

eachWay(
  'updatePipeline() needs a newer stamp that was handed out, and a length that is not shorter',
  (t, world) => {
    world.run(create('/f'))
    const { block } = world.run(addBlock('/f'))
    const stamp = world.run({
      kind: 'updateBlockForPipeline',
      block,
      clientName: writer,
    }).generationStamp
    const update = {
      kind: 'updatePipeline',
      clientName: writer,
      oldBlock: block,
      newBlock: { id: block.id, generationStamp: stamp, length: 70 },
      locations: [location(2)],
    } as const
    refused(t, 'IO_ERROR', /to an older state/, () =>
      world.run({
        ...update,
        newBlock: { ...update.newBlock, generationStamp: block.generationStamp },
      }),
    )
    refused(t, 'IO_ERROR', /never handed out/, () =>
      world.run({
        ...update,
        newBlock: { ...update.newBlock, generationStamp: generationStamp(stamp + 1) },
      }),
    )
    refused(t, 'IO_ERROR', /Cannot update block \d+ to block 5/, () =>
      world.run({ ...update, newBlock: { ...update.newBlock, id: blockId(5) } }),
    )
    refused(t, 'LEASE_EXPIRED', /Lease mismatch/, () => world.run({ ...update, clientName: other }))
    world.run(update)
    t.strictSame(world.blocks.expected.get(block.id), [location(2)])
    t.equal(stat(world, '/f')?.length, 70)
    const newer = world.run({
      kind: 'updateBlockForPipeline',
      block,
      clientName: writer,
    }).generationStamp
    refused(t, 'IO_ERROR', /older state/, () =>
      world.run({ ...update, newBlock: { id: block.id, generationStamp: newer, length: 69 } }),
    )
    t.equal(world.run(complete('/f', update.newBlock)), true, 'and is committed with the new stamp')
    refused(t, 'IO_ERROR', /it is complete and must be under-construction/, () => world.run(update))
    refused(t, 'IO_ERROR', /Block 77 does not exist/, () =>
      world.run({
        ...update,
        oldBlock: { ...block, id: blockId(77) },
        newBlock: { ...block, id: blockId(77) },
      }),
    )
  },
)

eachWay('writers find their file by id after a rename, and not once it is deleted', (t, world) => {
  world.run(mkdirs('/d/e'))
  const { inode } = world.run(create('/d/e/f'))
  world.run({ kind: 'rename', source: '/d/e', target: '/moved' })
  const { block } = world.run({ ...addBlock('/d/e/f'), inodeId: inode.id })
  world.run({ kind: 'delete', path: '/moved', recursive: true })
  refused(t, 'FILE_NOT_FOUND', /File does not exist: \/d\/e\/f/, () =>
    world.run({ ...addBlock('/d/e/f'), inodeId: inode.id }),
  )
  t.equal(stat(world, `/.reserved/.inodes/${inode.id}`), undefined)
  refused(t, 'IO_ERROR', /does not exist or is not under construction/, () =>
    world.run({ kind: 'updateBlockForPipeline', block, clientName: writer }),
  )
  refused(t, 'FILE_NOT_FOUND', /is deleted/, () =>
    world.run({
      kind: 'commitBlockSynchronization',
      block,
      newGenerationStamp: generationStamp(1002),
      newLength: 1,
      closeFile: true,
      deleteBlock: false,
      locations: [],
    }),
  )
  t.equal(world.namesystem.pathOf(inode.id), undefined)
})

t.test('addBlock() stops at the limit of blocks per file', async (t) => {
  const world = new NamespaceWorld()
  const { inode } = world.run(create('/f'))
  const row = {
    inode: inode.id,
    generationStamp: generationStamp(1001),
    state: 'complete',
  } as const
  for (let index = 0; index < 9_999; index += 1) {
    const block = { ...row, id: blockId(2_000_000_000 + index), index, length: 0 }
    world.commit([{ kind: 'block.put', created: true, block }])
  }
  const previous = { ...row, id: blockId(2_000_009_998), length: 0 }
  const { block } = world.run(addBlock('/f', previous))
  refused(t, 'LIMIT_EXCEEDED', /limit of 10000 blocks/, () => world.run(addBlock('/f', block)))
})

eachWay('addBlock() goes on behind a full last block without naming it', (t, world) => {
  world.run(create('/f', { blockSize: mebibyte }))
  const { block } = world.run(addBlock('/f'))
  world.run({ kind: 'fsync', path: '/f', clientName: writer, lastBlockLength: mebibyte })
  refused(t, 'IO_ERROR', /looked like a retry/, () => world.run(addBlock('/f')))
  const full = { ...block, length: mebibyte }
  const second = world.run(addBlock('/f', full)).block
  world.run({ kind: 'abandonBlock', path: '/f', clientName: writer, block: second })
  t.equal(world.run(addBlock('/f')).offset, mebibyte, 'as the first call of an append does')
})

t.test('symbolic links: shown, read, and not walked through', async (t) => {
  const world = new NamespaceWorld()
  world.run(mkdirs('/d'))
  const row = stat(world, '/d')?.inode
  if (row === undefined) return
  const link = { ...row, id: inodeId(17000), kind: 'symlink', name: 'l', parent: row.id } as const
  world.commit([
    { kind: 'inode.put', created: true, inode: { ...link, target: '/elsewhere', mode: 0o777 } },
    { kind: 'inode.put', created: false, inode: { ...row, childCount: 1 } },
    { kind: 'entry.put', parent: row.id, name: 'l', inode: link.id },
    { kind: 'ids.allocated', nextInodeId: inodeId(17001) },
  ])
  const itself = { kind: 'getFileInfo', path: '/d/l', keepsLastLink: true } as const
  t.equal(world.run(itself)?.inode.kind, 'symlink')
  t.equal(world.run({ kind: 'getLinkTarget', path: '/d/l' }), '/elsewhere')
  t.equal(world.run({ kind: 'getLinkTarget', path: '/d/l/x' }), '/elsewhere/x')
  refused(t, 'UNRESOLVED_LINK', /^\/elsewhere$/, () => stat(world, '/d/l'))
  refused(t, 'UNRESOLVED_LINK', /^\/elsewhere\/x\/y$/, () => stat(world, '/d/l/x/y'))
  refused(t, 'UNRESOLVED_LINK', /^\/elsewhere\/x$/, () => world.run(mkdirs('/d/l/x')))
  const byId = `/.reserved/.inodes/${row.id}/l/x`
  refused(t, 'UNRESOLVED_LINK', /^\/elsewhere\/x$/, () => stat(world, byId))
  t.equal(world.run({ ...itself, needLocation: true })?.located, undefined)
  t.equal(world.namesystem.status().totals.symlinks, 1)
  t.equal(world.run({ kind: 'delete', path: '/d', recursive: true }), true)
  world.settle()
  t.equal(world.namesystem.status().totals.symlinks, 0)
})

eachWay('getBlockLocations() covers the range, and gives the last block once more', (t, world) => {
  write(world, '/f', [100, 100, 30])
  const read = {
    kind: 'getBlockLocations',
    path: '/f',
    offset: 0,
    length: Number.MAX_SAFE_INTEGER,
  } as const
  const all = world.run(read)
  t.match(all, { fileLength: 230, isUnderConstruction: false, isLastBlockComplete: true })
  t.strictSame(
    all.blocks.map(({ offset }) => offset),
    [0, 100, 200],
  )
  t.strictSame(all.lastBlock, all.blocks[2])
  t.strictSame(all.lastBlock?.locations.length, 3)
  const some = world.run({ ...read, offset: 100, length: 100 })
  t.strictSame(
    some.blocks.map(({ offset }) => offset),
    [100],
  )
  t.strictSame(world.run({ ...read, offset: 230 }).blocks, [])
  write(world, '/empty', [])
  t.match(world.run({ ...read, path: '/empty' }), {
    fileLength: 0,
    blocks: [],
    lastBlock: undefined,
    isLastBlockComplete: false,
  })
  refused(t, 'FILE_NOT_FOUND', /File does not exist: \/x/, () => world.run({ ...read, path: '/x' }))
  refused(t, 'IS_A_DIRECTORY', /Path is not a file: \//, () => world.run({ ...read, path: '/' }))
  refused(t, 'INVALID_ARGUMENT', /must not be negative/, () => world.run({ ...read, offset: -1 }))
})

eachWay('getListing() pages through a directory in the order of UTF-8 bytes', (t, world) => {
  const sorted = ['B', 'a', 'b', 'é', '\uffee', '😀']
  for (const name of sorted.toReversed()) world.run(mkdirs(`/d/${name}`))
  t.strictSame(names(world, '/d'), [...sorted, 0])
  t.match(names(world, '/d', '', 2)?.slice(0, 2), ['B', 'a'])
  t.ok(Number(names(world, '/d', '', 2)?.at(-1)) > 0)
  t.strictSame(names(world, '/d', 'b', 10), ['é', '\uffee', '😀', 0])
  t.strictSame(names(world, '/d', 'zzz😀', 10)?.at(-1), 0)
  t.strictSame(names(world, '/d', '😀'), [0])
  t.equal(names(world, '/x'), undefined)
  write(world, '/f', [5])
  t.strictSame(names(world, '/f'), ['', 0])
  const located = {
    kind: 'getListing',
    path: '/',
    startAfter: '',
    needLocation: true,
    limit: 10,
  } as const
  const listing = world.run(located)
  t.equal(listing?.entries[0]?.located, undefined)
  t.match(listing?.entries[1]?.located, { fileLength: 5, blocks: [{ block: { length: 5 } }] })
  t.equal(world.run({ ...located, path: '/f' })?.entries[0]?.located?.fileLength, 5)
  for (const name of ['p', 'q', 'r']) write(world, `/g/${name}`, [1])
  const few = world.run({ ...located, path: '/g', limit: 2 })
  t.equal(few?.entries.length, 1, 'three replicas fill a page of two')
  t.ok(Number(few?.remainingEntries) > 0)
})

eachWay(
  'delete() answers false for what is missing, and takes trees away in one step',
  (t, world) => {
    const remove = (path: string, recursive = false): boolean =>
      world.run({ kind: 'delete', path, recursive })
    t.equal(remove('/x'), false)
    t.equal(remove('/x/y', true), false)
    t.equal(remove('/', true), false)
    write(world, '/d/e/f', [10, 20])
    world.run(create('/d/open'))
    world.pass(5)
    refused(t, 'DIRECTORY_NOT_EMPTY', /\/d is non empty/, () => remove('/d'))
    const before = world.journal.length
    t.equal(remove('/d', true), true)
    t.equal(world.journal.length, before + 1)
    t.ok((world.journal.at(-1)?.changes.length ?? 99) <= 4)
    t.equal(stat(world, '/d'), undefined)
    t.match(stat(world, '/')?.inode, { childCount: 0, mtime: world.wall })
    world.settle()
    t.strictSame(world.namesystem.status(), {
      totals: { files: 0, directories: 1, symlinks: 0, blocks: 0 },
      residentInodes: world.namesystem.status().residentInodes,
      openFiles: 0,
    })
    t.equal(world.blocks.deleted.length, 2)
    world.run(mkdirs('/empty'))
    t.equal(remove('/empty'), true)
    write(world, '/f', [1])
    t.equal(remove('/f/'), true)
    refused(t, 'NOT_A_DIRECTORY', /is not a directory/, () => {
      write(world, '/g', [])
      remove('/g/h')
    })
  },
)

eachWay('rename() never overwrites, moves into directories, and answers false', (t, world) => {
  const rename = (source: string, target: string): boolean =>
    world.run({ kind: 'rename', source, target })
  const { id } = write(world, '/a/f', [1])
  world.run(mkdirs('/b/c'))
  world.pass(5)
  t.equal(rename('/a/f', '/b/g'), true)
  t.match(stat(world, '/b/g')?.inode, { id, name: 'g' })
  t.match(
    [stat(world, '/a')?.inode, stat(world, '/b')?.inode],
    [
      { childCount: 0, mtime: world.wall },
      { childCount: 2, mtime: world.wall },
    ],
  )
  t.equal(rename('/b/g', '/a'), true, 'into a directory')
  t.equal(stat(world, '/a/g')?.inode.id, id)
  t.equal(rename('/a/g', '/a/g'), true, 'onto itself')
  t.equal(rename('/x', '/y'), false)
  t.equal(rename('/', '/y'), false)
  write(world, '/b/c/g', [])
  t.equal(rename('/a/g', '/b/c'), false, 'target exists in the directory')
  t.equal(rename('/a/g', '/b/c/g'), false, 'target file exists')
  t.equal(rename('/a/g', '/n/m/g'), false, 'no parent')
  t.equal(rename('/b', '/b/c/d'), false, 'below itself')
  t.equal(rename('/b', '/b'), false, 'into itself')
  refused(t, 'NOT_A_DIRECTORY', /\/a\/g/, () => rename('/b', '/a/g/x'))
  refused(t, 'NAME_TOO_LONG', /256 bytes/, () => rename('/a/g', `/${'n'.repeat(256)}`))
  t.equal(world.namesystem.pathOf(id), '/a/g')
})

eachWay('rename2() is POSIX-like and says what is wrong', (t, world) => {
  const rename2 = (source: string, target: string, overwrite = false): undefined =>
    world.run({ kind: 'rename2', source, target, overwrite, toTrash: false })
  const { id } = write(world, '/a/f', [1])
  rename2('/a/f', '/a/g')
  t.equal(stat(world, '/a/g')?.inode.id, id)
  t.equal(stat(world, '/a')?.inode.childCount, 1)
  write(world, '/a/h', [7])
  refused(t, 'FILE_EXISTS', /already exists/, () => rename2('/a/g', '/a/h'))
  rename2('/a/g', '/a/h', true)
  t.equal(stat(world, '/a/h')?.inode.id, id)
  t.equal(stat(world, '/a')?.inode.childCount, 1)
  world.run(mkdirs('/d/e'))
  world.run(mkdirs('/empty'))
  refused(t, 'FILE_NOT_FOUND', /rename source \/x is not found/, () => rename2('/x', '/y'))
  refused(t, 'FILE_NOT_FOUND', /rename destination parent of \/n\/x not found/, () =>
    rename2('/d', '/n/x'),
  )
  refused(t, 'NOT_A_DIRECTORY', /\/a\/h/, () => rename2('/d', '/a/h/x'))
  refused(t, 'FILE_EXISTS', /are the same/, () => rename2('/d', '/d'))
  refused(t, 'IO_ERROR', /must both be directories/, () => rename2('/d', '/a/h', true))
  refused(t, 'IO_ERROR', /must both be files/, () => rename2('/a/h', '/d', true))
  refused(t, 'IO_ERROR', /not empty: \/d/, () => rename2('/empty', '/d', true))
  refused(t, 'IO_ERROR', /under source \/d/, () => rename2('/d', '/d/e/x'))
  refused(t, 'IO_ERROR', /source cannot be the root/, () => rename2('/', '/x'))
  refused(t, 'IO_ERROR', /destination cannot be the root/, () => rename2('/d', '/', true))
  rename2('/d', '/empty', true)
  t.equal(stat(world, '/empty/e')?.inode.kind, 'directory')
  world.settle()
  t.match(world.namesystem.status().totals, { files: 1, directories: 4, blocks: 1 })
})

eachWay('setPermission, setOwner, setTimes and setReplication change one row', (t, world) => {
  write(world, '/f', [1, 2])
  world.run(mkdirs('/d'))
  world.run({ kind: 'setPermission', path: '/f', mode: 0o107640 })
  t.equal(stat(world, '/f')?.inode.mode, 0o1640)
  world.run({ kind: 'setOwner', path: '/f', owner: 'alice' })
  world.run({ kind: 'setOwner', path: '/f', group: 'staff' })
  t.match(stat(world, '/f')?.inode, { owner: 'alice', group: 'staff' })
  world.run({ kind: 'setTimes', path: '/f', mtime: millis(5) })
  world.run({ kind: 'setTimes', path: '/f', atime: millis(6) })
  t.match(stat(world, '/f')?.inode, { mtime: 5, atime: 6 })
  t.equal(world.run({ kind: 'setReplication', path: '/f', replication: 2 }), true)
  t.equal(world.run({ kind: 'setReplication', path: '/f', replication: 2 }), true)
  t.equal(stat(world, '/f')?.inode.replication, 2)
  t.strictSame([...world.blocks.replication.values()], [2, 2])
  t.equal(world.run({ kind: 'setReplication', path: '/d', replication: 2 }), false)
  t.equal(world.run({ kind: 'setReplication', path: '/x', replication: 2 }), false)
  refused(t, 'LIMIT_EXCEEDED', /513/, () =>
    world.run({ kind: 'setReplication', path: '/f', replication: 513 }),
  )
  for (const request of [
    { kind: 'setPermission', path: '/x', mode: 0 },
    { kind: 'setOwner', path: '/x', owner: 'u' },
    { kind: 'setTimes', path: '/x' },
    { kind: 'isFileClosed', path: '/x' },
    { kind: 'checkAccess', path: '/x', access: 4 },
    { kind: 'getPreferredBlockSize', path: '/x' },
    { kind: 'getLinkTarget', path: '/x' },
    { kind: 'recoverLease', path: '/x', clientName: writer },
    { kind: 'summarizeDirectory', path: '/x', startAfter: '' },
  ] as const) {
    refused(t, 'FILE_NOT_FOUND', /File does not exist: \/x/, () => world.run(request))
  }
})

eachWay(
  'small questions: isFileClosed, getPreferredBlockSize, getLinkTarget, summarizeDirectory',
  (t, world) => {
    world.run(create('/d/open', { blockSize: 2 * mebibyte }))
    write(world, '/d/f', [100])
    world.run(mkdirs('/d/sub/deeper'))
    t.equal(world.run({ kind: 'isFileClosed', path: '/d/open' }), false)
    t.equal(world.run({ kind: 'isFileClosed', path: '/d/f' }), true)
    t.equal(world.run({ kind: 'getPreferredBlockSize', path: '/d/open' }), 2 * mebibyte)
    refused(t, 'IO_ERROR', /not a symbolic link/, () =>
      world.run({ kind: 'getLinkTarget', path: '/d' }),
    )
    refused(t, 'IS_A_DIRECTORY', /not a file/, () =>
      world.run({ kind: 'isFileClosed', path: '/d' }),
    )
    t.strictSame(world.run({ kind: 'summarizeDirectory', path: '/d', startAfter: '' }), {
      isDirectory: true,
      length: 100,
      fileCount: 2,
      spaceConsumed: 300,
      subdirectories: ['sub'],
    })
    t.strictSame(world.run({ kind: 'summarizeDirectory', path: '/d/f', startAfter: '' }), {
      isDirectory: false,
      length: 100,
      fileCount: 1,
      spaceConsumed: 300,
      subdirectories: [],
    })
  },
)

eachWay('safe mode refuses changes and serves reads', (t, world) => {
  write(world, '/f', [1])
  world.blocks.safeMode = 'manual'
  refused(t, 'SAFE_MODE', /Cannot mkdirs \/d. Name node is in safe mode/, () =>
    world.run(mkdirs('/d')),
  )
  refused(t, 'SAFE_MODE', /Cannot rename/, () =>
    world.run({ kind: 'rename', source: '/f', target: '/g' }),
  )
  t.equal(stat(world, '/f')?.length, 1)
  t.strictSame(world.namesystem.tick(world.now, world.wall), {
    misses: [],
    changes: [],
    effects: [],
    isReaping: false,
  })
})

t.test('fs.protected.directories are neither deleted nor renamed while in use', async (t) => {
  const world = new NamespaceWorld({
    settings: { 'fs.protected.directories': '/warehouse/db, /gone, /warehouse/f/x' },
  })
  const rename2 = { kind: 'rename2', overwrite: false, toTrash: false } as const
  world.run(mkdirs('/warehouse/db'))
  write(world, '/warehouse/f', [10])
  const { inode } = stat(world, '/warehouse') ?? {}
  t.equal(
    world.run({ kind: 'delete', path: '/warehouse/db', recursive: true }),
    true,
    'it is empty',
  )
  write(world, '/warehouse/db/table/part-0', [10])
  const text = /^Cannot delete\/rename non-empty protected directory \/warehouse\/db$/
  for (const path of ['/warehouse/db', '/warehouse', `/.reserved/.inodes/${inode?.id ?? 0}`]) {
    const target = '/elsewhere'
    refused(t, 'PERMISSION_DENIED', text, () =>
      world.run({ kind: 'delete', path, recursive: true }),
    )
    refused(t, 'PERMISSION_DENIED', text, () => world.run({ ...rename2, source: path, target }))
    refused(t, 'PERMISSION_DENIED', text, () => world.run({ kind: 'rename', source: path, target }))
  }
  t.equal(world.run({ kind: 'delete', path: '/warehouse/db/table', recursive: true }), true)
  t.equal(world.run({ kind: 'rename', source: '/warehouse/db', target: '/warehouse/e' }), true)
  t.throws(() => new NamespaceWorld({ settings: { 'fs.protected.directories': 'a' } }), {
    code: 'INVALID_ARGUMENT',
    message: /fs\.protected\.directories names "a"/,
  })
})

eachWay('getBlockPath() names the file of a block, also after a rename', (t, world) => {
  write(world, '/a/f', [10])
  const [block] = world.run({
    kind: 'getBlockLocations',
    path: '/a/f',
    offset: 0,
    length: 10,
  }).blocks
  const id = block?.block.id ?? blockId(1)
  t.equal(world.run({ kind: 'getBlockPath', block: id }), '/a/f')
  world.run({ kind: 'rename', source: '/a', target: '/b' })
  t.equal(world.run({ kind: 'getBlockPath', block: id }), '/b/f')
  t.equal(world.run({ kind: 'getBlockPath', block: blockId(5) }), undefined)
  world.run({ kind: 'delete', path: '/b', recursive: true })
  t.equal(world.run({ kind: 'getBlockPath', block: id }), undefined)
})
