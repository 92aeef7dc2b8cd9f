import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type LogFields, type Logger, silentLogger } from '../../../base/log.ts'
import { BackupService } from '../../../namenode/shell/backup-service.ts'
import { FoldBatch } from '../../../namenode/shell/fold-batch.ts'
import { Journal } from '../../../namenode/shell/journal.ts'
import { JournalArchive } from '../../../namenode/shell/journal-archive.ts'
import { DirectoryJournalStorage } from '../../../namenode/shell/journal-storage.ts'
import { SqliteStore } from '../../../namenode/shell/store.ts'
import { txId } from '../../../protocol/ids.ts'
import { ManualTime } from '../../support/manual-time.ts'
import { MemoryJournalStorage } from '../../support/memory-journal-storage.ts'
import { testIdentity } from '../../support/memory-namespace-store.ts'
import { creation } from '../../support/transactions.ts'

const segmentName = (txid: number): string => `journal-${String(txid).padStart(16, '0')}`

function warningsOf(): { logger: Logger; warnings: (LogFields | undefined)[] } {
  const warnings: (LogFields | undefined)[] = []
  const logger: Logger = { ...silentLogger, warn: (_event, fields) => warnings.push(fields) }
  return { logger, warnings }
}

t.test(
  'the archive keeps the newest segments within its bound, all while a backup reads',
  async (t) => {
    const directory = t.testdir()
    const { logger, warnings } = warningsOf()
    const archive = new JournalArchive({
      directory: join(directory, 'archive'),
      bytesMax: 250,
      logger,
    })
    const take = async (txid: number): Promise<void> => {
      const path = join(directory, segmentName(txid))
      writeFileSync(path, Buffer.alloc(100))
      await archive.take(path, segmentName(txid))
      t.notOk(existsSync(path))
    }
    const kept = async (): Promise<number[]> =>
      (await archive.list()).map((found) => found.firstTxid)
    for (const txid of [1, 11, 21]) await take(txid)
    t.same(await kept(), [11, 21])
    t.same(warnings, [], 'nobody makes backups')
    const release = archive.hold()
    for (const txid of [31, 41]) await take(txid)
    t.same(await kept(), [11, 21, 31, 41])
    await archive.taken(txId(20))
    await release()
    await release()
    t.same(await kept(), [31, 41])
    t.match(
      warnings,
      [{ segment: segmentName(21), takenThrough: 20 }],
      'what no backup has is told',
    )
    await archive.prune(0)
    t.same(await kept(), [])
    const none = new JournalArchive({ directory: join(directory, 'none'), bytesMax: 0, logger })
    writeFileSync(join(directory, 'segment'), '')
    await none.take(join(directory, 'segment'), segmentName(1))
    t.notOk(existsSync(join(directory, 'none')))
  },
)

t.test('roll() closes what was appended, also while a batch is being written', async (t) => {
  const storage = new MemoryJournalStorage()
  const journal = new Journal({
    ...{ storage, clusterId: 'CID-roll', epoch: 1, nextTxid: txId(1), segments: [] },
    logger: silentLogger,
    onFatal: (error) => {
      throw error
    },
  })
  t.same(await journal.roll(), { segments: [], through: 0 })
  await journal.append(creation(1, 1, 'a'))
  const [first] = await Promise.all([journal.roll(), journal.append(creation(2, 2, 'b'))])
  t.same(first.segments, [{ name: segmentName(1), firstTxid: 1 }])
  t.equal(first.through, 1)
  const writing = journal.append(creation(3, 3, 'c'))
  await Promise.resolve()
  const second = await journal.roll()
  await writing
  await journal.append(creation(4, 4, 'd'))
  const names = [...(await storage.list())].sort()
  t.same(
    second.segments.map(({ name }) => name),
    names.slice(0, 2),
  )
  t.equal(second.through, 3)
  t.same(names.at(-1), segmentName(4))
  t.same((await journal.roll()).segments.length, 3)
  t.same((await journal.roll()).segments.length, 3, 'nothing was appended: no segment is begun')
})

t.test('a backup session ends when nobody reads, and the database goes on', async (t) => {
  const directory = t.testdir()
  const time = new ManualTime()
  const file = join(directory, 'namespace.sqlite')
  const journalDirectory = join(directory, 'journal')
  mkdirSync(journalDirectory)
  await SqliteStore.format(file, testIdentity)
  const store = await SqliteStore.open(file)
  const archive = new JournalArchive({
    ...{ directory: join(directory, 'archive'), bytesMax: 1e9, logger: silentLogger },
  })
  const journal = new Journal({
    storage: new DirectoryJournalStorage(journalDirectory, undefined, archive),
    ...{ clusterId: testIdentity.clusterId, epoch: 1, nextTxid: txId(1), segments: [] },
    logger: silentLogger,
    onFatal: (error) => {
      throw error
    },
  })
  const backup = new BackupService({
    ...{ store, journal, archive, journalDirectory, logger: silentLogger },
    ...{ clock: time, timers: time },
  })
  await journal.append(creation(1, 20_000, 'a'))
  const { session, segments = [], database } = await backup.begin(undefined, false)
  t.match(database, { txid: 0 })
  t.match(segments, [{ name: segmentName(1), firstTxid: 1 }])
  const frozen = readFileSync(file)
  const batch = new FoldBatch()
  batch.add(creation(1, 20_000, 'a'))
  await store.fold(batch)
  await journal.dropThrough(txId(1))
  await journal.append(creation(2, 20_001, 'b'))
  await journal.dropThrough(txId(1))
  t.same(readdirSync(journalDirectory), [segmentName(2)], 'the segment was archived meanwhile')
  t.equal((await backup.read(session, segmentName(1), 0, 1e6)).length, segments[0]?.bytes)
  t.ok(frozen.equals(readFileSync(file)), 'folds leave the file alone')
  const whole = await backup.read(session, 'namespace.sqlite', 0, 1e6)
  t.ok(frozen.equals(whole))
  t.equal((await backup.read(session, 'namespace.sqlite', frozen.length, 10)).length, 0)
  await time.advance(59_000)
  await backup.read(session, 'namespace.sqlite', 0, 1)
  await time.advance(62_000)
  await t.rejects(backup.read(session, 'namespace.sqlite', 0, 1), { message: /run it again/ })
  const [gone, last] = await Promise.all([backup.begin(1, true), backup.begin(1, true)])
  await t.rejects(backup.read(gone.session, 'namespace.sqlite', 0, 1), { code: 'IO_ERROR' })
  t.equal((await backup.read(last.session, 'namespace.sqlite', 0, 1)).length, 1)
  const next = await backup.begin(1, false)
  t.equal(next.database, undefined)
  await backup.end(next.session, 2)
  await backup.end(next.session, 2)
  await journal.close(txId(0))
  await store.close()
})
