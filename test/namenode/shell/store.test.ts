import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sqlite3 from 'sqlite3'
import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { Prng } from '../../../base/prng.ts'
import type { BlockRow, NamespaceChange, Transaction } from '../../../namenode/core/changes.ts'
import type { Miss } from '../../../namenode/core/requests.ts'
import { tryLockFile } from '../../../namenode/shell/file-lock.ts'
import { FoldBatch } from '../../../namenode/shell/fold-batch.ts'
import type { NamespaceStore, StoredBlock } from '../../../namenode/shell/namespace-store.ts'
import { SqliteStore } from '../../../namenode/shell/store.ts'
import { DatabaseCheck } from '../../../namenode/shell/store-checks.ts'
import {
  blockId,
  datanodeUuid,
  type InodeId,
  inodeId,
  orphanageInodeId,
  rootInodeId,
} from '../../../protocol/ids.ts'
import { MemoryNamespaceStore, testIdentity } from '../../support/memory-namespace-store.ts'
import {
  blockRow,
  creation,
  datanodeRow,
  everyKindOfTransaction,
  inodeRow,
  transaction,
} from '../../support/transactions.ts'

async function openStore(directory: string): Promise<SqliteStore> {
  const file = join(directory, 'namespace.sqlite')
  await SqliteStore.format(file, testIdentity)
  return SqliteStore.open(file)
}

function batchOf(transactions: readonly Transaction[]): FoldBatch {
  const batch = new FoldBatch()
  for (const transaction of transactions) batch.add(transaction)
  return batch
}

async function blocksOf(store: NamespaceStore, pageRows: number): Promise<StoredBlock[]> {
  const all: StoredBlock[] = []
  for await (const page of store.streamBlocks(pageRows)) all.push(...page)
  return all
}

function execute(file: string, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const database = new sqlite3.Database(file)
    database.exec(sql, (error) => {
      database.close()
      if (error === null) resolve()
      else reject(error)
    })
  })
}

t.test('fold() makes every kind of change and survives reopening', async (t) => {
  const directory = t.testdir()
  const store = await openStore(directory)
  t.same(store.identity, testIdentity)
  const transactions = everyKindOfTransaction()
  await store.fold(batchOf(transactions.slice(0, 5)))
  await store.close()
  const reopened = await SqliteStore.open(join(directory, 'namespace.sqlite'))
  t.match(reopened.position, {
    appliedTxid: 5,
    nextIds: { inodeId: 16387, blockId: 1073741826, generationStamp: 1002 },
    totals: { files: 1, directories: 1, symlinks: 1, blocks: 2 },
  })
  const file = inodeId(16386)
  const name = 'größer 🦊'
  const [root, entry, nothing, link, blocks, block] = await reopened.load([
    { kind: 'inode', id: rootInodeId },
    { kind: 'entry', parent: rootInodeId, name },
    { kind: 'entry', parent: rootInodeId, name: 'missing' },
    { kind: 'inode', id: inodeId(16387) },
    { kind: 'blocks-of-inode', inode: file },
    { kind: 'block', id: blockId(1073741826) },
  ])
  t.match(root, { inode: { kind: 'directory', mode: 0o1777, childCount: 2, atime: 0 } })
  t.match(entry, {
    ...{ kind: 'entry', name },
    inode: { id: file, length: 2 ** 53 - 1, lease: { clientHost: '10.0.0.7' } },
  })
  t.same(nothing, { kind: 'entry', parent: rootInodeId, name: 'missing', inode: undefined })
  t.match(link, { inode: { kind: 'symlink', target: '/elsewhere' } })
  t.match(blocks, {
    blocks: [
      { id: 1073741825, index: 0, state: 'committed', digest: 0xffff_ffff_ffff_fff1n },
      { id: 1073741826, index: 1, state: 'under-recovery', digest: undefined },
    ],
  })
  t.match(block, { kind: 'block', id: 1073741826, block: { inode: file, index: 1 } })
  t.match(await reopened.openFiles(), [{ id: file }])
  const repliesTo = async (clientId: string, callId: number) =>
    await reopened.reply({ clientId, callId }, millis(0))
  for (const { answered } of transactions.slice(0, 5)) {
    if (answered === undefined) continue
    const { clientId, callId } = answered.request
    t.same(await repliesTo(clientId, callId), answered.reply)
  }
  t.match(await repliesTo('00112233445566778899aabbccddeeff', 2 ** 31 - 1), {
    ...{ kind: 'file-status', inodeId: file, status: { inode: { name } } },
  })
  t.equal(await repliesTo('ff', 1), undefined)
  await reopened.fold(batchOf(transactions.slice(5)))
  const [attributed] = await reopened.load([{ kind: 'inode', id: rootInodeId }])
  const put = transactions.at(-1)?.changes[0]
  t.match(attributed, { inode: put?.kind === 'inode.put' ? put.inode : 'missing' })
  t.match(attributed, { inode: { acl: { entries: { length: 6 } }, xattrs: { length: 2 } } })
  t.match(reopened.position, { appliedTxid: 18, totals: { files: 5, symlinks: 1, blocks: 1 } })
  t.same(await reopened.datanodes(), [
    datanodeRow({
      ...{ uuid: datanodeUuid('dn-1'), goal: 'in-maintenance', isReached: true },
      expiresAt: millis(1_700_000_360_000),
    }),
  ])
  t.same(await reopened.openFiles(), [])
  for (const { answered } of transactions.slice(5)) {
    if (answered === undefined) continue
    const { clientId, callId } = answered.request
    t.same(await repliesTo(clientId, callId), answered.reply)
  }
  const cut = await reopened.load([{ kind: 'block', id: blockId(1073741825) }])
  t.match(cut, [{ block: { truncateLength: 0, state: 'under-recovery' } }])
  for (const { changes } of transactions.slice(12)) {
    for (const change of changes) {
      if (change.kind !== 'inode.put') continue
      const { inode } = change
      t.same(await reopened.load([{ kind: 'inode', id: inode.id }]), [
        { kind: 'inode', id: inode.id, inode },
      ])
    }
  }
  await reopened.close()
})

t.test('fold() lets blocks of a file move while others come between them', async (t) => {
  const store = await openStore(t.testdir())
  const [target, source] = [inodeId(20001), inodeId(20002)]
  const row = (id: number, inode: InodeId, index: number) =>
    blockRow({ id: blockId(id), ...{ inode, index } })
  const put = (created: boolean, ...blocks: readonly BlockRow[]) =>
    blocks.map((block) => ({ kind: 'block.put', created, block }) as const)
  const before = [1, 2, 3].map((id, index) => row(id, target, index))
  const taken = [4, 5].map((id, index) => row(id, source, index))
  await store.fold(batchOf([transaction(1, put(true, ...before, ...taken))]))
  // Block 2 gives way to 4 and 5, in the order in which splice makes its changes.
  const moved = [row(4, target, 1), row(5, target, 2), row(3, target, 3)]
  const gone = { kind: 'block.delete', id: blockId(2), inode: target, index: 4 } as const
  await store.fold(batchOf([transaction(2, [...put(false, ...moved), gone])]))
  const [stored] = await store.load([{ kind: 'blocks-of-inode', inode: target }])
  t.same(stored, {
    ...{ kind: 'blocks-of-inode', inode: target },
    blocks: [1, 4, 5, 3].map((id, index) => row(id, target, index)),
  })
  t.match(store.position, { totals: { blocks: 4 } })
  await store.close()
})

t.test('fold() lets blocks change their file and their place', async (t) => {
  const store = await openStore(t.testdir())
  const [target, source] = [inodeId(20001), inodeId(20002)]
  const row = (id: number, inode: InodeId, index: number) =>
    blockRow({ id: blockId(id), ...{ inode, index, committedLength: 7 } })
  const put = (created: boolean, ...blocks: readonly BlockRow[]) =>
    blocks.map((block) => ({ kind: 'block.put', created, block }) as const)
  const before = [row(1, target, 0), row(2, source, 0), row(3, source, 1)]
  await store.fold(batchOf([transaction(1, put(true, ...before))]))
  const gone = { kind: 'block.delete', id: blockId(1), inode: target, index: 0 } as const
  const after = [row(2, target, 0), row(3, target, 1)]
  await store.fold(batchOf([transaction(2, [gone, ...put(false, ...after)])]))
  const misses = [target, source].map((inode) => ({ kind: 'blocks-of-inode', inode }) as const)
  t.same(await store.load(misses), [
    { kind: 'blocks-of-inode', inode: target, blocks: after },
    { kind: 'blocks-of-inode', inode: source, blocks: [] },
  ])
  t.equal(store.position.totals.blocks, 2)
  await store.close()
})

t.test('load() pages through children in UTF-8 byte order', async (t) => {
  const store = await openStore(t.testdir())
  const names = ['Z', 'a', 'é', '～', '🦊', 'a\u0000b', 'quote\'"', 'ß']
  const sorted = [...names].sort((left, right) =>
    Buffer.compare(Buffer.from(left), Buffer.from(right)),
  )
  await store.fold(batchOf(names.map((name, index) => creation(index + 1, 20_000 + index, name))))
  const seen: string[] = []
  let startAfter = ''
  let isEnd = false
  while (!isEnd) {
    const [page] = await store.load([
      { kind: 'children', parent: rootInodeId, startAfter, limit: 3 },
    ])
    if (page?.kind !== 'children') throw new Error('expected a page')
    seen.push(...page.children.map(({ name }) => name))
    t.ok(page.children.every(({ name, inode }) => inode.name === name))
    startAfter = seen.at(-1) ?? ''
    isEnd = page.isEnd
  }
  t.same(seen, sorted)
  const [whole] = await store.load([
    { kind: 'children', parent: rootInodeId, startAfter: '', limit: names.length },
  ])
  t.match(whole, { isEnd: true }, 'a page that ends with the last entry knows it')
  const [empty] = await store.load([
    { kind: 'children', parent: inodeId(1), startAfter: '', limit: 5 },
  ])
  t.match(empty, { children: [], isEnd: true })
  await store.close()
})

t.test('fold() lets a new row take the key of one that goes in the same batch', async (t) => {
  const store = await openStore(t.testdir())
  const file = inodeId(30_000)
  const target = inodeId(30_001)
  const put = (id: number, inode: number, index: number): NamespaceChange => ({
    kind: 'block.put',
    created: true,
    block: blockRow({ id: blockId(id), inode: inodeId(inode), index }),
  })
  await store.fold(batchOf([transaction(1, [put(1, file, 0), put(2, file, 1), put(3, target, 0)])]))
  await store.fold(
    batchOf([
      transaction(2, [
        { kind: 'block.delete', id: blockId(1), inode: file, index: 0 },
        put(4, file, 0),
        put(2, target, 1),
        { kind: 'entry.delete', parent: rootInodeId, name: 'old' },
        { kind: 'entry.put', parent: orphanageInodeId, name: '30000', inode: file },
      ]),
    ]),
  )
  const [left, right] = await store.load([
    { kind: 'blocks-of-inode', inode: file },
    { kind: 'blocks-of-inode', inode: target },
  ])
  t.match(left, { blocks: [{ id: 4 }] })
  t.match(right, { blocks: [{ id: 3 }, { id: 2 }] })
  await store.close()
})

t.test('streamBlocks() pages through every block with the replication of its file', async (t) => {
  const store = await openStore(t.testdir())
  const changes: NamespaceChange[] = []
  for (let file = 0; file < 7; file += 1) {
    const id = inodeId(40_000 + file)
    changes.push({
      kind: 'inode.put',
      created: true,
      inode: inodeRow({ id, replication: file + 1 }),
    })
    for (let index = 0; index < file; index += 1) {
      const block = blockRow({ id: blockId(file * 100 + index), inode: id, index })
      changes.push({ kind: 'block.put', created: true, block })
    }
  }
  await store.fold(batchOf([transaction(1, changes)]))
  for (const pageRows of [1, 4, 21, 1000]) {
    const blocks = await blocksOf(store, pageRows)
    t.equal(blocks.length, 21)
    t.ok(blocks.every(({ block, replication }) => block.inode === 40_000 + replication - 1))
  }
  await store.close()
})

t.test('retry entries expire with the folds that pass by', async (t) => {
  const store = await openStore(t.testdir())
  const answered = (txid: number, wallTime: number): Transaction =>
    transaction(txid, [], {
      wallTime: millis(wallTime),
      answered: { request: { clientId: 'aa', callId: txid }, reply: { kind: 'void' } },
    })
  await store.fold(batchOf([answered(1, 1_000_000), answered(2, 1_400_000)]))
  const known = async (since: number): Promise<number[]> => {
    const found: number[] = []
    for (let callId = 1; callId <= 3; callId += 1) {
      const reply = await store.reply({ clientId: 'aa', callId }, millis(since))
      if (reply?.kind === 'void') found.push(callId)
    }
    return found
  }
  t.same(await known(0), [1, 2])
  t.same(await known(1_200_000), [2], 'older ones are not returned')
  await store.fold(batchOf([answered(3, 1_700_000)]))
  t.same(await known(0), [2, 3])
  await store.close()
})

t.test('a batch that could not be folded merges with what came after it', async (t) => {
  const store = await openStore(t.testdir())
  const twin = new MemoryNamespaceStore()
  const older = batchOf([creation(1, 20_001, 'a'), creation(2, 20_002, 'b')])
  const newer = batchOf([
    transaction(3, [
      { kind: 'entry.delete', parent: rootInodeId, name: 'a' },
      { kind: 'inode.delete', id: inodeId(20_001), inodeKind: 'file' },
    ]),
  ])
  older.merge(newer)
  older.merge(new FoldBatch())
  t.equal(older.transactionCount, 3)
  await store.fold(older)
  await twin.fold(older)
  t.same(store.position, twin.position)
  t.match(store.position, { appliedTxid: 3, totals: { files: 1 } })
  await store.close()
})

t.test('SQLite and the store in memory answer alike to random histories', async (t) => {
  const prng = new Prng(11)
  const store = await openStore(t.testdir())
  const memory = new MemoryNamespaceStore()
  let txid = 1
  for (let round = 0; round < 12; round += 1) {
    const transactions: Transaction[] = []
    for (let count = 1 + prng.below(30); count > 0; count -= 1) {
      transactions.push(transaction(txid, randomChanges(prng)))
      txid += 1
    }
    await store.fold(batchOf(transactions))
    await memory.fold(batchOf(transactions))
    t.same(store.position, memory.position)
    const misses: Miss[] = []
    for (let id = 0; id < 12; id += 1) {
      misses.push(
        { kind: 'inode', id: inodeId(id) },
        { kind: 'blocks-of-inode', inode: inodeId(id) },
      )
      misses.push({ kind: 'entry', parent: inodeId(id % 3), name: `n${id}` })
      misses.push({ kind: 'block', id: blockId(id) })
    }
    t.same(await store.load(misses), await memory.load(misses))
    t.same(
      await blocksOf(store, 5),
      (await blocksOf(memory, 5)).filter(({ replication }) => replication > 0),
    )
    t.same(await store.openFiles(), await memory.openFiles())
  }
  await store.close()
})

/** Changes over a dozen ids, so that histories collide; a block keeps its id and place together. */
function randomChanges(prng: Prng): NamespaceChange[] {
  const id = prng.below(12)
  const inode = inodeId(id)
  const entry = { parent: inodeId(id % 3), name: `n${id}` }
  const place = { inode: inodeId(id % 4), index: Math.floor(id / 4) }
  switch (prng.below(6)) {
    case 0:
    case 1:
      return [
        {
          kind: 'inode.put',
          created: true,
          inode: inodeRow({ id: inode, length: prng.below(99) }),
        },
        { kind: 'entry.put', ...entry, inode },
      ]
    case 2:
      return [
        { kind: 'entry.delete', ...entry },
        { kind: 'inode.delete', id: inode, inodeKind: 'file' },
      ]
    case 3:
      return [{ kind: 'block.delete', id: blockId(id), ...place }]
    default:
      return [{ kind: 'block.put', created: false, block: blockRow({ id: blockId(id), ...place }) }]
  }
}

t.test('open() refuses other layouts, other databases and damage', async (t) => {
  const directory = t.testdir()
  await (await openStore(directory)).close()
  const file = join(directory, 'namespace.sqlite')
  await t.rejects(SqliteStore.format(file, testIdentity), { code: 'FILE_EXISTS' })
  await execute(file, 'PRAGMA user_version = 99')
  await t.rejects(SqliteStore.open(file), {
    code: 'UNSUPPORTED_LAYOUT',
    message: /layout version 99, this program reads .*: a newer version of the program wrote it/,
  })
  await execute(file, 'PRAGMA user_version = 0')
  await t.rejects(SqliteStore.open(file), { message: /it is too old/ })
  await execute(file, 'PRAGMA application_id = 5')
  await t.rejects(SqliteStore.open(file), {
    code: 'UNSUPPORTED_LAYOUT',
    message: /not a Trefoil namespace/,
  })
  const garbage = t.testdir({ 'namespace.sqlite': 'x'.repeat(5000) })
  await t.rejects(SqliteStore.open(join(garbage, 'namespace.sqlite')), {
    code: 'CORRUPTION',
    message: /dfs offline schema .*namespace.sqlite; .* dfs namenode restore --from/,
  })
  await t.rejects(SqliteStore.open(join(garbage, 'no', 'such', 'folder')), { code: 'IO_ERROR' })
})

/** A closed database with enough rows that most pages are neither a root nor at an edge. */
async function bigDatabase(directory: string): Promise<string> {
  const store = await openStore(directory)
  const genesis = everyKindOfTransaction()[0]
  const creations = Array.from({ length: 5000 }, (_, index) =>
    creation(index + 2, 20_000 + index, `file-${index}`),
  )
  await store.fold(batchOf([...(genesis === undefined ? [] : [genesis]), ...creations]))
  await store.close()
  return store.file
}

function damagePage(file: string, page: number): void {
  const bytes = readFileSync(file)
  bytes.fill(0xa5, 4096 * (page - 1), 4096 * page)
  writeFileSync(file, bytes)
}

t.test('open() finds damage of roots, edges, meta and the file itself', async (t) => {
  const directory = t.testdir()
  const original = readFileSync(await bigDatabase(directory))
  const pages = original.length / 4096
  const written = (name: string, bytes: Uint8Array): string => {
    const file = join(directory, `${name}.sqlite`)
    writeFileSync(file, bytes)
    return file
  }
  for (let page = 2; page <= 9; page += 1) {
    const file = written(`page-${page}`, original)
    damagePage(file, page)
    const message = /is damaged: .*dfs offline schema .*dfs namenode restore/
    await t.rejects(SqliteStore.open(file), { code: 'CORRUPTION', message }, `root page ${page}`)
  }
  const short = written('short', original.subarray(0, 4096 * (pages - 3)))
  await t.rejects(SqliteStore.open(short), { code: 'CORRUPTION' }, 'the end is missing')
  const empty = written('empty', Buffer.alloc(0))
  await t.rejects(SqliteStore.open(empty), { code: 'CORRUPTION', message: /it is empty/ })
  const headless = written('headless', original)
  await execute(headless, "DELETE FROM meta WHERE key = 'appliedTxid'")
  await t.rejects(SqliteStore.open(headless), { code: 'CORRUPTION', message: /"appliedTxid"/ })
  const rootless = written('rootless', original)
  await execute(rootless, 'DELETE FROM inode WHERE id = 16385')
  await t.rejects(SqliteStore.open(rootless), { code: 'CORRUPTION', message: /root directory/ })
})

t.test('damage in the middle is told when a query meets it, and found by a check', async (t) => {
  const file = await bigDatabase(t.testdir())
  t.same(await new DatabaseCheck(file).run(), [], 'a whole database has no findings')
  const cancelled = new DatabaseCheck(file)
  cancelled.cancel()
  t.same(await cancelled.run(), [])
  damagePage(file, 60)
  t.not((await new DatabaseCheck(file).run()).length, 0)
  const store = await SqliteStore.open(file)
  const damage: unknown[] = []
  store.onDamage((error) => damage.push(error))
  const misses = Array.from({ length: 5000 }, (_, index): Miss => {
    return { kind: 'entry', parent: rootInodeId, name: `file-${index}` }
  })
  await t.rejects(store.load(misses), { code: 'CORRUPTION' })
  t.match(damage, [{ code: 'CORRUPTION', message: /dfs namenode restore/ }])
  await store.close()
})

t.test('tryLockFile() holds a file until released', async (t) => {
  const file = join(t.testdir(), 'lock')
  const lock = await tryLockFile(file)
  t.equal(await tryLockFile(file), undefined)
  await lock?.release()
  const again = await tryLockFile(file)
  t.not(again, undefined)
  await again?.release()
})
