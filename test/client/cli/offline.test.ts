/** `dfs offline` on the committed directories of earlier layouts, whole and damaged. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import t from 'tap'
import type { CommandIo } from '../../../client/cli/command.ts'
import { runCli } from '../../../client/cli/run.ts'
import { encodeMetaHeader, metaHeader, metaLayout } from '../../../datanode/format/block-meta.ts'
import { MetaBuilder } from '../../../datanode/format/meta-builder.ts'
import { chunkCrc } from '../../../datanode/shell/open-replica.ts'
import { segmentHeader } from '../../../namenode/format/journal-segment.ts'
import { blockId } from '../../../protocol/ids.ts'
import { FakeFileSystem } from '../../support/fake-file-system.ts'
import { repositoryRoot } from '../../support/repository.ts'

const formats = join(repositoryRoot, 'test/formats')
const namenode = join(formats, 'namenode-directory/v1')
const segment = join(namenode, 'journal/journal-0000000000000001')

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function textOf(stream: PassThrough): Promise<string> {
  stream.end()
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

async function offline(...args: string[]): Promise<Result> {
  const stdout = new PassThrough({ highWaterMark: 2 ** 24 })
  const stderr = new PassThrough({ highWaterMark: 2 ** 24 })
  const io: CommandIo = {
    stdin: Readable.from([]),
    ...{ stdout, stderr, openBulkOutput: () => stdout, env: {}, cwd: '/' },
    signal: new AbortController().signal,
    keepUntilDone: () => undefined,
  }
  const code = await runCli(['offline', ...args], io, () => Promise.resolve(new FakeFileSystem()))
  return { code, out: await textOf(stdout), err: await textOf(stderr) }
}

const jsonLines = (text: string): Record<string, unknown>[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

t.test('offline journal shows every transaction of a whole segment', async (t) => {
  const text = await offline('journal', segment)
  t.equal(text.code, 0)
  t.match(text.out, /layout version 1, cluster CID-.*, first transaction 1\n/)
  t.match(text.out, /\n148 2026-11-25T17:11:46\.267Z offset 27551\n/)
  t.match(text.out, /148 transactions, whole\n$/)
  const items = jsonLines((await offline('journal', segment, '--json')).out)
  t.equal(items.length, 149)
  t.match(items[1], { kind: 'record', offset: 96, transaction: { txid: 1, changes: Array } })
})

t.test('offline journal says where bytes are bad and reads on behind them', async (t) => {
  const bytes = readFileSync(segment)
  const items = jsonLines((await offline('journal', segment, '--json')).out)
  const records = items.filter(({ kind }) => kind === 'record') as {
    offset: number
    bytes: number
  }[]
  const file = join(t.testdir(), 'journal-0000000000000001')
  for (const index of [0, 70, 147]) {
    const record = records[index]
    if (record === undefined) throw new Error('the segment has 148 records')
    for (const at of [record.offset, record.offset + 9, record.offset + record.bytes - 1]) {
      const damaged = Buffer.from(bytes)
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at)
      writeFileSync(file, damaged)
      const { code, out } = await offline('journal', file, '--json')
      t.equal(code, 1)
      const found = jsonLines(out)
      t.equal(found.filter(({ kind }) => kind === 'record').length, 147, `damage at ${at}`)
      const bad = found.find(({ kind }) => kind === 'bad')
      t.match(bad, { offset: record.offset, bytes: record.bytes })
      const lost = found.find(({ kind }) => kind === 'lost')
      const txid = index + 1
      t.match(lost, index === 147 ? undefined : { fromTxid: txid, throughTxid: txid })
    }
  }
  writeFileSync(file, bytes.subarray(0, bytes.length - 5))
  t.match(await offline('journal', file), { code: 1, out: /BAD at offset 27551: / })
  const headless = Buffer.from(bytes)
  headless.fill(0, 0, segmentHeader.sizeOf)
  writeFileSync(file, headless)
  const without = await offline('journal', file)
  t.match(without, { code: 1, out: /BAD at offset 0: 96 bytes/ })
  t.match(without.out, /148 transactions, DAMAGED/)
  writeFileSync(file, '')
  t.match(await offline('journal', file), { code: 1, out: /0 of 96 header bytes/ })
  t.match(await offline('journal', '/nonexistent'), { code: 1, err: /No such file/ })
})

t.test('offline schema shows totals, trees and blocks, and writes nothing', async (t) => {
  const before = readdirSync(namenode)
  const text = await offline('schema', namenode)
  t.equal(text.code, 0)
  t.match(text.out, /appliedTxid 141\n[^]*files 3\n[^]*table block: 3 rows\n[^]*whole\n$/)
  const tree = await offline('schema', namenode, '--tree', '/user/alice')
  t.match(tree.out, /^directory 16387 0 alice [^ ]+ \/user\/alice\n/)
  t.match(tree.out, /\nfile 16390 12 root [^ ]+ \/user\/alice\/hello\n/)
  const path = '/user/alice/größer 🦊/two-blocks'
  const blocks = await offline('schema', namenode, '--blocks', path, '--json')
  t.match(JSON.parse(blocks.out), {
    blocks: [
      { index: 0, id: 1073741826, generationStamp: 1002, length: 1048576, state: 'complete' },
      { index: 1, id: 1073741827, length: 5 },
    ],
  })
  t.match(await offline('schema', namenode, '--tree', '/no'), { code: 1, err: /does not exist/ })
  t.match(await offline('schema', join(namenode, 'namespace.sqlite')), { code: 0 })
  t.same(readdirSync(namenode), before)
})

t.test('offline schema reads around damage and says what is lost', async (t) => {
  const file = join(t.testdir(), 'namespace.sqlite')
  const copy = join(t.testdir({ whole: {} }), 'whole')
  cpSync(namenode, copy, { recursive: true })
  // A database without a log: opened by this version, which takes the log over, and closed again.
  const { SqliteStore } = await import('../../../namenode/shell/store.ts')
  await (await SqliteStore.open(join(copy, 'namespace.sqlite'))).close()
  const whole = readFileSync(join(copy, 'namespace.sqlite'))
  mkdirSync(join(file, '..'), { recursive: true })
  let damagedPages = 0
  for (let page = 2; page <= whole.length / 4096; page += 1) {
    const bytes = Buffer.from(whole)
    bytes.fill(0xa5, 4096 * (page - 1), 4096 * page)
    writeFileSync(file, bytes)
    const { code, out, err } = await offline('schema', file)
    t.equal(err, '')
    if (code === 0) continue
    damagedPages += 1
    t.match(out, /(DAMAGED: \d+ rows from the front and \d+ from the back|FOUND: )/, `page ${page}`)
    t.match(await offline('schema', file, '--tree', '/'), { code: Number }, 'a tree ends, too')
  }
  t.ok(damagedPages >= 8, `${damagedPages} of the pages count`)
  writeFileSync(file, 'x'.repeat(10_000))
  t.match(await offline('schema', file), { code: 1, out: /layout version unreadable/ })
  rmSync(file)
})

/** A replica of 200,000 bytes on disk. */
function replica(directory: string, damage: (data: Buffer, meta: Buffer) => void): string {
  const id = blockId(77)
  const layout = metaLayout('crc32c', 512)
  const data = Buffer.from(
    Array.from({ length: 200_000 }, (_, index) => (index * 7 + (index >> 8)) & 255),
  )
  const checksums = Buffer.alloc(4 * Math.ceil(data.length / 512))
  for (let at = 0; at < data.length; at += 512) {
    checksums.writeUInt32BE(chunkCrc(layout, data.subarray(at, at + 512)), (at / 512) * 4)
  }
  const builder = new MetaBuilder(layout)
  builder.hash(data)
  builder.append(0, checksums, data.length)
  const meta = Buffer.concat([
    encodeMetaHeader(layout, id),
    builder.take()?.bytes ?? Buffer.alloc(0),
  ])
  damage(data, meta)
  writeFileSync(join(directory, 'blk_77'), data)
  writeFileSync(join(directory, 'blk_77_1001.meta'), meta)
  return join(directory, 'blk_77')
}

t.test('offline block verifies a replica and names its wrong bytes', async (t) => {
  const directory = t.testdir()
  const report = async (damage: (data: Buffer, meta: Buffer) => void): Promise<unknown> => {
    const { code, out } = await offline('block', replica(directory, damage), '--json')
    return { code, ...(JSON.parse(out) as object) }
  }
  t.match(await report(() => undefined), {
    ...{ code: 0, blockId: 77, generationStamp: 1001, dataBytes: 200_000, coveredBytes: 200_000 },
    ...{ checksumType: 'crc32c', bytesPerChecksum: 512, faults: [], wrong: [], goodBytes: 200_000 },
  })
  const bad = await report((data) => data.writeUInt8(data.readUInt8(100_000) ^ 1, 100_000))
  t.match(bad, { code: 1, goodBytes: 199_488, wrong: [{ from: 99_840, below: 100_352 }] })
  const crc = await report((_, meta) => meta.writeUInt32BE(1, metaHeader.sizeOf + 8))
  t.match(crc, { code: 1, wrong: [{ from: 0, below: 512, what: /its CRC is damaged/ }] })
  const header = await report((_, meta) => meta.writeUInt8(9, metaHeader.blockId))
  t.match(header, { code: 1, faults: [/header checksum/, /are assumed/], goodBytes: 200_000 })
  const text = await offline('block', join(directory, 'blk_77_1001.meta'))
  t.match(text, { code: 1, out: /FAULT: .*header checksum[^]*200000 of 200000 bytes verified/ })
  const data = readFileSync(replica(directory, () => undefined))
  writeFileSync(join(directory, 'blk_77'), data.subarray(0, 150_000))
  t.match(await offline('block', join(directory, 'blk_77')), {
    ...{ code: 1, out: /the meta file has \d+ bytes more than 150000 bytes of data need/ },
  })
  writeFileSync(join(directory, 'blk_77'), Buffer.concat([data, data]))
  t.match(await offline('block', join(directory, 'blk_77')), {
    ...{ code: 1, out: /WRONG: bytes 2\d+ to 399999: it has no checksums/ },
  })
  rmSync(join(directory, 'blk_77'))
  t.match(await offline('block', join(directory, 'blk_77_1001.meta')), {
    ...{ code: 1, out: /FAULT: the data file .* is missing/ },
  })
  writeFileSync(join(directory, 'blk_77'), data)
  rmSync(join(directory, 'blk_77_1001.meta'))
  t.match(await offline('block', join(directory, 'blk_77')), {
    ...{ code: 1, out: /there is no meta file: nothing can be verified/ },
  })
  t.match(await offline('block', segment), { code: 1, err: /is not named as a block's file/ })
})

t.test('offline wants to know what to read', async (t) => {
  t.match(await offline(), { code: 2, err: /journal, schema or block/ })
  t.match(await offline('tape', 'x'), { code: 2 })
  t.match(await offline('block'), { code: 2, err: /needs a FILE/ })
})

t.test('a daemon that refuses to start says why, without a stack', async (t) => {
  const directory = t.testdir({ 'namespace.sqlite': 'no database' })
  const stderr = new PassThrough()
  const io: CommandIo = {
    ...{ stdin: Readable.from([]), stdout: new PassThrough(), stderr, env: {}, cwd: '/' },
    openBulkOutput: () => new PassThrough(),
    signal: new AbortController().signal,
    keepUntilDone: () => undefined,
  }
  const args = ['namenode', '--dir', directory, '--set', 'dfs.namenode.rpc-port=0']
  t.equal(await runCli(args, io, () => Promise.resolve(new FakeFileSystem())), 1)
  const text = await textOf(stderr)
  t.match(text, /^dfs: namenode: The namespace in .* dfs offline schema .* dfs namenode restore/)
  t.equal(text.trimEnd().split('\n').length, 1)
})
