import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silentLogger } from '../../../base/log.ts'
import { Prng } from '../../../base/prng.ts'
import type { Transaction } from '../../../namenode/core/changes.ts'
import { recordHeader, segmentHeader } from '../../../namenode/format/journal-segment.ts'
import { Journal, type JournalOptions } from '../../../namenode/shell/journal.ts'
import { type RecoveredJournal, recoverJournal } from '../../../namenode/shell/journal-recovery.ts'
import {
  DirectoryJournalStorage,
  type JournalStorage,
} from '../../../namenode/shell/journal-storage.ts'
import { txId } from '../../../protocol/ids.ts'
import { MemoryJournalStorage } from '../../support/memory-journal-storage.ts'
import { creation, transaction } from '../../support/transactions.ts'

const clusterId = 'CID-journal-test'

function openJournal(storage: JournalStorage, options: Partial<JournalOptions> = {}): Journal {
  return new Journal({
    ...{ storage, clusterId, epoch: 1, nextTxid: txId(1), segments: [], logger: silentLogger },
    onFatal: (error) => {
      throw error
    },
    ...options,
  })
}

interface Recovery extends RecoveredJournal {
  readonly replayed: readonly Transaction[]
}

async function recover(storage: JournalStorage, appliedTxid = 0): Promise<Recovery> {
  const replayed: Transaction[] = []
  const recovered = await recoverJournal({
    ...{ storage, clusterId, appliedTxid: txId(appliedTxid), logger: silentLogger },
    replay: (transaction) => replayed.push(transaction),
  })
  return { ...recovered, replayed }
}

const txids = (transactions: readonly Transaction[]): number[] =>
  transactions.map(({ txid }) => txid)

async function appendEach(journal: Journal, from: number, to: number): Promise<void> {
  for (let txid = from; txid <= to; txid += 1)
    await journal.append(creation(txid, txid, `f${txid}`))
}

t.test('append() syncs once for everything that arrives together', async (t) => {
  const storage = new MemoryJournalStorage()
  const batches: number[] = []
  const journal = openJournal(storage, { onBatch: (transactions) => batches.push(transactions) })
  const first = [1, 2, 3].map((txid) => journal.append(creation(txid, txid, `f${txid}`)))
  t.equal(new Set(first).size, 1, 'the batch shares one promise')
  t.equal(journal.waitingCount, 3)
  await Promise.all(first)
  t.equal(storage.syncCount, 1)
  t.equal(journal.durableTxid, 3)
  t.same(batches, [3])
})

t.test('append() collects the next batch while one is being synced', async (t) => {
  const storage = new MemoryJournalStorage()
  const batches: number[] = []
  const journal = openJournal(storage, { onBatch: (transactions) => batches.push(transactions) })
  let letSync = (): void => undefined
  const isSyncing = new Promise<void>((reached) => {
    storage.beforeWrite = (action) => {
      if (action !== 'sync') return Promise.resolve()
      reached()
      return new Promise((resolve) => {
        letSync = resolve
      })
    }
  })
  const first = journal.append(creation(1, 1, 'a'))
  await isSyncing
  const second = journal.append(creation(2, 2, 'b'))
  const third = journal.append(creation(3, 3, 'c'))
  t.equal(journal.durableTxid, 0, 'nothing is durable before the sync')
  storage.beforeWrite = () => Promise.resolve()
  letSync()
  await first
  t.equal(journal.durableTxid, 1)
  await Promise.all([second, third])
  t.same(batches, [1, 2])
})

t.test('a journal that cannot be written ends the process and answers nobody', async (t) => {
  const storage = new MemoryJournalStorage()
  const fatal: unknown[] = []
  const journal = openJournal(storage, { onFatal: (error) => fatal.push(error) })
  await journal.append(creation(1, 1, 'a'))
  storage.beforeWrite = () => Promise.reject(new Error('EIO'))
  const answered: number[] = []
  void journal.append(creation(2, 2, 'b')).then(() => answered.push(2))
  await new Promise((resolve) => setImmediate(resolve))
  void journal.append(creation(3, 3, 'c')).then(() => answered.push(3))
  storage.beforeWrite = () => Promise.resolve()
  await new Promise((resolve) => setImmediate(resolve))
  t.match(fatal, [{ message: 'EIO' }])
  t.same(answered, [], 'what follows a failure is never acknowledged')
  t.equal(journal.durableTxid, 1)
})

t.test('recoverJournal() replays what the store does not have', async (t) => {
  const storage = new MemoryJournalStorage()
  const journal = openJournal(storage)
  await appendEach(journal, 1, 6)
  t.same(txids((await recover(storage, 0)).replayed), [1, 2, 3, 4, 5, 6])
  const later = await recover(storage, 4)
  t.same(later.replayed, [creation(5, 5, 'f5'), creation(6, 6, 'f6')])
  t.equal(later.nextTxid, 7)
  const all = await recover(storage, 6)
  t.same(all.replayed, [], 'a second replay changes nothing')
  t.equal(all.nextTxid, 7)
})

t.test(
  'sim seed 1238: what recoverJournal() replays survives a power failure from then on',
  async (t) => {
    const storage = new MemoryJournalStorage()
    const journal = openJournal(storage)
    await appendEach(journal, 1, 2)
    storage.beforeWrite = (action) =>
      action === 'sync' ? new Promise(() => undefined) : Promise.resolve()
    void journal.append(creation(3, 3, 'f3'))
    await new Promise((resolve) => setImmediate(resolve))
    storage.kill()
    t.same(txids((await recover(storage)).replayed), [1, 2, 3], 'the kernel had the third')
    storage.crash('nothing')
    t.same(txids((await recover(storage)).replayed), [1, 2, 3])
    t.equal((await recover(storage, 3)).nextTxid, 4, 'a store that folded it still fits')
  },
)

t.test('recoverJournal() cuts a tail torn at any byte and appends behind it', async (t) => {
  const storage = new MemoryJournalStorage()
  const journal = openJournal(storage)
  await appendEach(journal, 1, 2)
  const [name = ''] = await storage.list()
  const acknowledged = (await storage.read(name)).length
  await appendEach(journal, 3, 3)
  const whole = await storage.read(name)
  for (let length = acknowledged; length < whole.length; length += 1) {
    const torn = new MemoryJournalStorage()
    torn.write(name, whole.subarray(0, length))
    const { replayed, nextTxid, segments } = await recover(torn)
    t.same(txids(replayed), [1, 2], `torn at ${length}`)
    t.equal((await torn.read(name)).length, acknowledged, 'the tail is gone from the disk')
    const next = openJournal(torn, { nextTxid, segments })
    await next.append(creation(3, 33, 'instead'))
    t.same((await recover(torn)).replayed.at(-1), creation(3, 33, 'instead'))
  }
})

t.test('recoverJournal() loses nothing acknowledged in 200 random crashes', async (t) => {
  const prng = new Prng(7)
  for (let round = 0; round < 200; round += 1) {
    const storage = new MemoryJournalStorage()
    let acknowledged = 0
    let recovered = await recover(storage)
    for (let life = 0; life < 3; life += 1) {
      const journal = openJournal(storage, {
        ...{ nextTxid: recovered.nextTxid, segments: recovered.segments },
        ...{ segmentBytesMax: 300, onFatal: () => undefined },
      })
      let writes = 1 + prng.below(12)
      const halt = new Promise<never>(() => undefined)
      storage.beforeWrite = () => ((writes -= 1) < 0 ? halt : Promise.resolve())
      for (let burst = 0; burst < 4; burst += 1) {
        for (let count = prng.below(4); count > 0; count -= 1) {
          const txid = journal.nextTxid
          void journal.append(creation(txid, txid, `r${round}`)).then(() => {
            acknowledged = Math.max(acknowledged, txid)
          })
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
      storage.crash(prng)
      recovered = await recover(storage)
      t.ok(recovered.nextTxid > acknowledged, `round ${round}: ${acknowledged} acknowledged`)
      t.same(
        txids(recovered.replayed),
        Array.from({ length: recovered.nextTxid - 1 }, (_, index) => index + 1),
      )
    }
  }
})

t.test(
  'segments roll by size, are dropped behind a fold, and begin anew with each process',
  async (t) => {
    const storage = new MemoryJournalStorage()
    const journal = openJournal(storage, { segmentBytesMax: 400 })
    await appendEach(journal, 1, 12)
    const names = [...(await storage.list())].sort()
    t.ok(names.length >= 3, `${names.length} segments`)
    const second = journal.segments[1]?.firstTxid ?? txId(0)
    await journal.dropThrough(txId(second - 2))
    t.equal((await storage.list()).length, names.length, 'a segment with one unfolded record stays')
    await journal.dropThrough(txId(second - 1))
    t.equal((await storage.list()).length, names.length - 1)
    await journal.dropThrough(txId(12))
    t.equal((await storage.list()).length, 1, 'the open segment stays')
    const { replayed, nextTxid, segments } = await recover(storage, 12)
    t.same([replayed, nextTxid, segments.length], [[], 13, 1])
    const next = openJournal(storage, { nextTxid, segments })
    await appendEach(next, 13, 13)
    t.equal((await storage.list()).length, 2)
    await next.close(txId(13))
    t.same(await storage.list(), [], 'a clean stop leaves nothing to replay')
  },
)

t.test('recoverJournal() removes segments that a crash left behind a fold', async (t) => {
  const storage = new MemoryJournalStorage()
  const journal = openJournal(storage, { segmentBytesMax: 1 })
  await appendEach(journal, 1, 4)
  const { replayed, segments } = await recover(storage, 2)
  t.same(txids(replayed), [3, 4])
  t.same(
    segments.map(({ firstTxid }) => firstTxid),
    [3, 4],
  )
  t.equal((await storage.list()).length, 2)
})

t.test('recoverJournal() says which transactions are missing', async (t) => {
  const storage = new MemoryJournalStorage()
  const journal = openJournal(storage, { segmentBytesMax: 1 })
  await appendEach(journal, 1, 4)
  const [, second] = [...(await storage.list())].sort()
  await storage.remove(second ?? '')
  await t.rejects(recover(storage), {
    code: 'CORRUPTION',
    message: /Transactions 2 to 2 are missing: .*journal-0000000000000003" begins behind them/,
  })
  const [first] = [...(await storage.list())].sort()
  await storage.remove(first ?? '')
  await t.rejects(recover(storage, 1), { message: /Transactions 2 to 2 are missing/ })
})

t.test('recoverJournal() refuses a journal that ends before the store', async (t) => {
  const storage = new MemoryJournalStorage()
  await appendEach(openJournal(storage), 1, 3)
  await t.rejects(recover(storage, 5), {
    code: 'CORRUPTION',
    message: /ends with transaction 3, but the namespace holds everything up to 5.*mv memory/,
  })
  await t.resolves(recover(new MemoryJournalStorage(), 5), 'an empty journal belongs to any store')
})

t.test('recoverJournal() refuses records that a fenced namenode wrote', async (t) => {
  const storage = new MemoryJournalStorage()
  const journal = openJournal(storage)
  await journal.append(transaction(1, [], { epoch: 2 }))
  await journal.append(transaction(2, [], { epoch: 1 }))
  await t.rejects(recover(storage), {
    code: 'CORRUPTION',
    message: /epoch 1 behind one of epoch 2/,
  })
})

t.test('recoverJournal() names file and offset of damage in a directory', async (t) => {
  const directory = t.testdir()
  const storage = new DirectoryJournalStorage(directory)
  await storage.prepare()
  const syncs: number[] = []
  const journal = openJournal(new DirectoryJournalStorage(directory, (s) => syncs.push(s)))
  await appendEach(journal, 1, 3)
  t.equal(syncs.length, 3)
  const [name = ''] = readdirSync(directory)
  const path = join(directory, name)
  const content = readFileSync(path)
  const offset = segmentHeader.sizeOf
  content[offset + recordHeader.sizeOf] = 0
  writeFileSync(path, content)
  await t.rejects(recover(storage), {
    code: 'CORRUPTION',
    message: new RegExp(`"${path}" is damaged at offset ${offset}`),
  })
  t.equal(statSync(path).size, content.length, 'nothing was cut')
  await t.rejects(storage.create(name), { code: 'EEXIST' })
})
