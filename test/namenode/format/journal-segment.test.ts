import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { defined } from '../../../base/assert.ts'
import { xxh64 } from '../../../base/checksum.ts'
import {
  encodeRecord,
  encodeSegmentHeader,
  type JournalRecord,
  journalLayoutVersion,
  parseSegmentName,
  recordHeader,
  type SegmentEnd,
  scanSegment,
  segmentHeader,
  segmentName,
} from '../../../namenode/format/journal-segment.ts'
import { decodeTransaction, encodeTransaction } from '../../../namenode/format/transaction-codec.ts'
import { isDfsError } from '../../../protocol/errors.ts'
import { txId } from '../../../protocol/ids.ts'
import {
  bytes,
  encodeMessage,
  i64,
  message,
  repeated,
  required,
} from '../../../protocol/message.ts'
import { repositoryRoot } from '../../support/repository.ts'
import { everyKindOfTransaction } from '../../support/transactions.ts'

const clusterId = 'CID-test'
const file = 'journal-under-test'

interface Scan extends SegmentEnd {
  readonly records: readonly JournalRecord[]
}

function scan(content: Uint8Array, firstTxid = 1, isLast = true): Scan {
  const source = { file, bytes: content, firstTxid: txId(firstTxid), isLast, clusterId }
  const generator = scanSegment(source)
  const records: JournalRecord[] = []
  for (;;) {
    const step = generator.next()
    if (step.done === true) return { ...step.value, records }
    records.push(step.value)
  }
}

/** A segment of `batches`, each a list of payload texts that were synced together. */
function segment(...batches: readonly (readonly string[])[]): Buffer {
  const parts: Uint8Array[] = [encodeSegmentHeader(txId(1), clusterId)]
  let txid = 1
  for (const batch of batches) {
    const durableThrough = txid - 1
    for (const text of batch) {
      const payload = Buffer.from(text)
      parts.push(encodeRecord({ txid: txId(txid), epoch: 1, durableThrough, payload }))
      txid += 1
    }
  }
  return Buffer.concat(parts)
}

const texts = ({ records }: Scan): string[] =>
  records.map(({ payload }) => Buffer.from(payload).toString())

t.test('scanSegment() yields what was written, with positions and epochs', async (t) => {
  const content = segment(['one', ''], ['three'])
  const { records, validBytes, torn } = scan(content)
  t.equal(validBytes, content.length)
  t.equal(torn, undefined)
  t.match(
    records.map(({ txid, epoch, durableThrough, payload }) => [
      txid,
      epoch,
      durableThrough,
      Buffer.from(payload).toString(),
    ]),
    [
      [1, 1, 0, 'one'],
      [2, 1, 0, ''],
      [3, 1, 2, 'three'],
    ],
  )
})

t.test('segment names sort as the journal goes and name their first transaction', async (t) => {
  t.equal(segmentName(txId(7)), 'journal-0000000000000007')
  t.ok(segmentName(txId(99)) < segmentName(txId(100)))
  t.equal(parseSegmentName(segmentName(txId(2 ** 53 - 1))), 2 ** 53 - 1)
  t.equal(parseSegmentName('journal-7'), undefined)
  t.equal(parseSegmentName('journal-0000000000000007.foreign'), undefined)
})

t.test('scanSegment() cuts the tail of the last segment wherever it tears', async (t) => {
  const content = segment(['first'], ['second', 'third'])
  const starts = [segmentHeader.sizeOf, segmentHeader.sizeOf + 37, segmentHeader.sizeOf + 75]
  for (let length = 0; length < content.length; length += 1) {
    const result = scan(content.subarray(0, length))
    const whole = starts.findLast((start) => start <= length) ?? 0
    t.equal(result.validBytes, whole, `validBytes of ${length} bytes`)
    t.equal(result.torn === undefined, length > 0 && whole === length, `torn at ${length}`)
    t.equal(result.records.length, Math.max(0, starts.indexOf(whole)), `records in ${length} bytes`)
  }
})

t.test('scanSegment() refuses a segment that ends early when another follows', async (t) => {
  const content = segment(['first'], ['second'])
  for (const length of [0, 50, segmentHeader.sizeOf + 5, content.length - 1]) {
    t.throws(() => scan(content.subarray(0, length), 1, false), { code: 'CORRUPTION' })
  }
  t.doesNotThrow(() => scan(content, 1, false))
})

t.test('scanSegment() never yields a record with a flipped bit', async (t) => {
  const content = segment(['first'], ['second'], ['third'])
  const whole = texts(scan(content))
  for (let offset = 0; offset < content.length; offset += 1) {
    for (const bit of [0x01, 0x80]) {
      const damaged = Buffer.from(content)
      damaged[offset] = (damaged[offset] ?? 0) ^ bit
      try {
        const kept = texts(scan(damaged))
        t.same(kept, whole.slice(0, kept.length), `prefix at ${offset}`)
        t.ok(offset >= segmentHeader.sizeOf + 37, `a durable record was dropped at ${offset}`)
      } catch (error) {
        if (!isDfsError(error, 'CORRUPTION', 'UNSUPPORTED_LAYOUT')) throw error
      }
    }
  }
})

t.test(
  'scanSegment() stops at damage that a later record proves to have been durable',
  async (t) => {
    const content = segment(['first'], ['second', 'third'], ['fourth'])
    const second = segmentHeader.sizeOf + recordHeader.sizeOf + 'first'.length
    content[second + recordHeader.sizeOf] = 0
    t.throws(() => scan(content), {
      code: 'CORRUPTION',
      message: new RegExp(
        `"${file}" is damaged at offset ${second}: expected the record of transaction 2, found a record ` +
          'with checksum [0-9a-f]{16} where its bytes give [0-9a-f]{16}.*run: truncate -s ' +
          `${second} ${file}`,
      ),
    })
  },
)

t.test('scanSegment() takes a hole in the last unsynced write for a torn tail', async (t) => {
  const content = segment(['first'], ['second', 'third', 'fourth'])
  const second = segmentHeader.sizeOf + recordHeader.sizeOf + 'first'.length
  content.fill(0, second, second + 20)
  t.same(texts(scan(content)), ['first'])
  t.equal(scan(content).validBytes, second)
})

t.test('scanSegment() refuses a gap between valid records', async (t) => {
  const header = encodeSegmentHeader(txId(1), clusterId)
  const record = (txid: number): Uint8Array =>
    encodeRecord({ txid: txId(txid), epoch: 1, durableThrough: 0, payload: Buffer.from('x') })
  t.throws(() => scan(Buffer.concat([header, record(1), record(3)])), {
    code: 'CORRUPTION',
    message: /expected the record of transaction 2, found a valid record of transaction 3/,
  })
})

t.test('scanSegment() refuses headers of other versions, clusters and positions', async (t) => {
  const resealed = (change: (header: Buffer) => void): Buffer => {
    const header = Buffer.from(encodeSegmentHeader(txId(1), clusterId))
    change(header)
    const checksum = xxh64(header.subarray(0, segmentHeader.checksum))
    header.writeBigUInt64BE(checksum, segmentHeader.checksum)
    return header
  }
  const newer = resealed((header) => header.writeUInt32BE(99, segmentHeader.layoutVersion))
  t.throws(() => scan(newer), {
    code: 'UNSUPPORTED_LAYOUT',
    message: /layout version 99, this program reads .*: a newer version of the program wrote it/,
  })
  const older = resealed((header) => header.writeUInt32BE(0, segmentHeader.layoutVersion))
  t.throws(() => scan(older), { message: /it is too old/ })
  const foreign = Buffer.from(encodeSegmentHeader(txId(1), 'CID-other'))
  t.throws(() => scan(foreign), {
    code: 'CORRUPTION',
    message: /belongs to cluster "CID-other", this namespace to "CID-test"; .* mv /,
  })
  t.throws(() => scan(Buffer.from(encodeSegmentHeader(txId(1), clusterId)), 5), {
    code: 'CORRUPTION',
    message: /expected the record of transaction 5, found a header for transaction 1/,
  })
  t.throws(() => encodeSegmentHeader(txId(1), 'x'.repeat(65)), /too long/)
  t.throws(() => encodeSegmentHeader(txId(1), 'ü'), /printable/)
})

t.test('scanSegment() refuses a damaged header in front of durable records', async (t) => {
  const content = segment(['first'], ['second'])
  content[3] = 0
  t.throws(() => scan(content), { code: 'CORRUPTION', message: /offset 0/ })
})

t.test('decodeTransaction() returns every kind of change and answer unchanged', async (t) => {
  for (const transaction of everyKindOfTransaction()) {
    const payload = encodeTransaction(transaction)
    t.strictSame(decodeTransaction(transaction.txid, 1, payload), transaction)
  }
})

t.test('decodeTransaction() refuses truncated payloads and unknown changes', async (t) => {
  const second = defined(everyKindOfTransaction()[1], 'second transaction')
  const payload = encodeTransaction(second)
  for (let length = 1; length < payload.length; length += 1) {
    const cut = payload.subarray(0, length)
    try {
      t.notSame(decodeTransaction(txId(2), 1, cut), second)
    } catch (error) {
      t.ok(isDfsError(error, 'BAD_FRAME'), `cut at ${length}`)
    }
  }
  const foreign = message('Foreign', { wallTime: required(1, i64), changes: repeated(2, bytes) })
  const unknown = encodeMessage(foreign, {
    wallTime: 1,
    changes: [Buffer.from([0xfa, 0x01, 0x00])],
  })
  t.throws(() => decodeTransaction(txId(1), 1, unknown), {
    code: 'BAD_FRAME',
    message: /change of a kind this program does not know/,
  })
})

const folder = join(repositoryRoot, 'test/formats/journal')
const current = `v${journalLayoutVersion}`
const asJson = (value: unknown): string =>
  `${JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item), 2)}\n`

function readTransactions(bytes: Uint8Array) {
  return scan(bytes).records.map(({ txid, epoch, payload }) =>
    decodeTransaction(txid, epoch, payload),
  )
}

t.test('the current layout version writes the committed segment', async (t) => {
  const parts: Uint8Array[] = [encodeSegmentHeader(txId(1), clusterId)]
  for (const transaction of everyKindOfTransaction()) {
    const { txid, epoch } = transaction
    const payload = encodeTransaction(transaction)
    parts.push(encodeRecord({ txid, epoch, durableThrough: txid - 1, payload }))
  }
  const written = Buffer.concat(parts)
  if (process.env['FIXTURES_REWRITE'] === '1') {
    const lines = written.toString('hex').match(/.{1,64}/g) ?? []
    writeFileSync(join(folder, `${current}.hex`), `${lines.join('\n')}\n`)
    writeFileSync(join(folder, `${current}.json`), asJson(readTransactions(written)))
  }
  t.ok(committedSegment(current).equals(written), 'we write the committed bytes')
})

function committedSegment(version: string): Buffer {
  const hex = readFileSync(join(folder, `${version}.hex`), 'utf8')
  return Buffer.from(hex.replaceAll('\n', ''), 'hex')
}

for (const file of readdirSync(folder).filter((name) => name.endsWith('.hex'))) {
  const version = file.replace('.hex', '')
  t.test(`the committed segment of layout ${version} reads as ever`, async (t) => {
    const expected = readFileSync(join(folder, `${version}.json`), 'utf8')
    t.equal(asJson(readTransactions(committedSegment(version))), expected)
  })
}
