import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { xxh64 } from '../../../base/checksum.ts'
import {
  blockDigestBytes,
  decodeBlockDigest,
  digestOfSpans,
  encodeBlockDigest,
  spanDigestBytes,
} from '../../../datanode/format/block-digest.ts'
import {
  blockFileName,
  finalizedDirectory,
  metaFileName,
  parseBlockFileName,
  parseMetaFileName,
} from '../../../datanode/format/block-file.ts'
import {
  checksumOffset,
  chunkCount,
  decodeMetaHeader,
  decodeSyncMarks,
  encodeMetaHeader,
  encodeSyncMark,
  metaFileBytes,
  metaHeader,
  metaLayout,
  nextSyncMarkTurn,
  readSpanDigest,
  stripeChecksums,
  stripeOffset,
  syncMarkOffset,
} from '../../../datanode/format/block-meta.ts'
import { MetaBuilder } from '../../../datanode/format/meta-builder.ts'
import { decodeVersionFile, encodeVersionFile } from '../../../datanode/format/version-file.ts'
import { blockId, datanodeUuid, generationStamp, storageUuid } from '../../../protocol/ids.ts'
import { chunkChecksums, javaRandomBytes } from '../../support/data-transfer-client.ts'
import { repositoryRoot } from '../../support/repository.ts'

const id = blockId(1_073_741_825)

/** A whole meta file of `data`, with a sync mark at 100 bytes. */
function metaFile(data: Buffer, bytesPerChecksum: number): Buffer {
  const layout = metaLayout('crc32c', bytesPerChecksum)
  const builder = new MetaBuilder(layout)
  builder.hash(data)
  builder.append(0, chunkChecksums(data, bytesPerChecksum), data.length)
  const stripes = builder.take()?.bytes ?? Buffer.alloc(0)
  const header = encodeMetaHeader(layout, id)
  const start = data.subarray(0, 100)
  const chunkChecksum = chunkChecksums(start, bytesPerChecksum).readUInt32BE()
  const mark = encodeSyncMark({ length: 100, spanDigest: xxh64(start), chunkChecksum })
  mark.copy(header, syncMarkOffset(0))
  return Buffer.concat([header, stripes])
}

t.test('layout version 1 reads and writes the committed meta file', async (t) => {
  const folder = join(repositoryRoot, 'test/formats/block-meta')
  const data = javaRandomBytes(7, 66_000)
  const written = metaFile(data, 4096)
  const layout = metaLayout('crc32c', 4096)
  const describe = (bytes: Buffer): string => {
    const read = decodeMetaHeader(bytes, id, 'fixture')
    const spans = [0, 1].map((span) => {
      const stripe = bytes.subarray(stripeOffset(read, span))
      const spanBytes = Math.min(read.spanBytes, data.length - span * read.spanBytes)
      const checksums = stripeChecksums(read, stripe, 0, chunkCount(read, spanBytes))
      return {
        digest: readSpanDigest(stripe).toString(16),
        checksums: checksums.toString('hex').match(/.{8}/g),
      }
    })
    const [mark] = decodeSyncMarks(bytes)
    const syncMark = mark && { ...mark, spanDigest: mark.spanDigest.toString(16) }
    return `${JSON.stringify({ block: 'javaRandomBytes(7, 66000)', layout: read, syncMark, spans }, null, 2)}\n`
  }
  if (process.env['FIXTURES_REWRITE'] === '1') {
    mkdirSync(folder, { recursive: true })
    const lines = written.toString('hex').match(/.{1,64}/g) ?? []
    writeFileSync(join(folder, 'v1.hex'), `${lines.join('\n')}\n`)
    writeFileSync(join(folder, 'v1.json'), describe(written))
  }
  const text = readFileSync(join(folder, 'v1.hex'), 'utf8').replaceAll('\n', '')
  const committed = Buffer.from(text, 'hex')
  t.ok(committed.equals(written), 'we write the committed bytes')
  t.equal(describe(committed), readFileSync(join(folder, 'v1.json'), 'utf8'), 'and read them')
  t.equal(committed.length, metaFileBytes(layout, data.length))
})

t.test('the dump in the documentation is a real meta file', async (t) => {
  const page = readFileSync(join(repositoryRoot, 'docs/formats/block-files.md'), 'utf8')
  const rows = [...page.matchAll(/^ {4}([0-9a-f]{8}) {2}((?:[0-9a-f]{2} ?){1,16})/gm)]
  const layout = metaLayout('crc32c', 512)
  const hello = Buffer.from('hello world\n')
  const builder = new MetaBuilder(layout)
  builder.hash(hello)
  builder.append(0, chunkChecksums(hello, 512), hello.length)
  const stripes = builder.take()?.bytes ?? Buffer.alloc(0)
  const bytes = Buffer.concat([encodeMetaHeader(layout, id), stripes])
  let covered = 0
  for (const [, offset = '', text = ''] of rows) {
    const at = Number.parseInt(offset, 16)
    const expected = bytes.subarray(at, at + 16).toString('hex')
    t.equal(text.replaceAll(' ', ''), expected, `row ${offset}`)
    covered += text.replaceAll(' ', '').length / 2
  }
  t.ok(covered >= 60, 'it shows header and stripe')
})

t.test('metaLayout() gives whole chunks to a span, whatever the chunk size', async (t) => {
  const cases: [number, number, number][] = [
    [512, 65_536, 520],
    [4096, 65_536, 72],
    [768, 66_048, 352],
    [1024 * 1024, 1024 * 1024, 12],
    [1, 65_536, 262_152],
  ]
  for (const [bytesPerChecksum, spanBytes, stripeBytes] of cases) {
    t.match(metaLayout('crc32c', bytesPerChecksum), { spanBytes, stripeBytes })
  }
  t.match(metaLayout('null', 512), { stripeBytes: 8, checksumBytes: 0 })
  for (const wrong of [0, -1, 1.5, 1024 * 1024 + 1]) {
    t.throws(() => metaLayout('crc32', wrong), { code: 'INVALID_ARGUMENT' })
  }
  const layout = metaLayout('crc32c', 512)
  t.equal(checksumOffset(layout, 0), 136)
  t.equal(checksumOffset(layout, 127), 136 + 508)
  t.equal(checksumOffset(layout, 128), 128 + 520 + 8)
  t.equal(metaFileBytes(layout, 0), 128)
  t.equal(metaFileBytes(layout, 1), 140)
  t.equal(metaFileBytes(layout, 65_536), 648)
  t.equal(metaFileBytes(layout, 65_537), 660)
})

t.test('a damaged header is refused, whichever bit it is', async (t) => {
  const header = encodeMetaHeader(metaLayout('crc32c', 512), id)
  for (let bit = 0; bit < 8 * metaHeader.syncMarks; bit += 1) {
    const damaged = Buffer.from(header)
    damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    if (!throwsCode(() => decodeMetaHeader(damaged, id, 'x'), 'CORRUPTION')) t.fail(`bit ${bit}`)
  }
  t.throws(() => decodeMetaHeader(header.subarray(0, 127), id, 'x'), { code: 'CORRUPTION' })
  t.throws(() => decodeMetaHeader(header, blockId(5), 'x'), {
    message: /belongs to block 1073741825/,
  })
  t.same(decodeSyncMarks(header), [])
  t.equal(nextSyncMarkTurn(header), 0)
  const short = { length: 100, spanDigest: 1n, chunkChecksum: 2 }
  const long = { length: 200, spanDigest: 3n, chunkChecksum: 4 }
  encodeSyncMark(short).copy(header, syncMarkOffset(0))
  t.equal(nextSyncMarkTurn(header), 1)
  encodeSyncMark(long).copy(header, syncMarkOffset(1))
  t.same(decodeSyncMarks(header), [long, short], 'the longest first')
  t.equal(nextSyncMarkTurn(header), 0, 'the longest is not overwritten')
  header.writeUInt8(0xff, syncMarkOffset(1) + 3)
  t.same(decodeSyncMarks(header), [short], 'a torn mark does not count')
})

function throwsCode(action: () => unknown, code: string): boolean {
  try {
    action()
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === code
  }
}

t.test('MetaBuilder writes the same file however the block is cut and taken', async (t) => {
  const data = javaRandomBytes(3, 300_000)
  const layout = metaLayout('crc32c', 512)
  const whole = metaFile(data, 512)
  whole.fill(0, metaHeader.syncMarks, metaHeader.sizeOf)
  const cuts = fc.array(fc.tuple(fc.integer({ min: 1, max: 90_000 }), fc.boolean()), {
    maxLength: 30,
  })
  fc.assert(
    fc.property(cuts, (pieces) => {
      const file = Buffer.alloc(whole.length)
      encodeMetaHeader(layout, id).copy(file)
      let builder = new MetaBuilder(layout)
      for (const [bytes, takes] of [...pieces, [data.length, true] as const]) {
        const from = builder.length
        const to = Math.min(data.length, from + bytes)
        const chunkStart = from - (from % 512)
        builder.hash(data.subarray(from, to))
        builder.append(chunkStart / 512, chunkChecksums(data.subarray(chunkStart, to), 512), to)
        if (to % 512 !== 0) {
          const last = chunkChecksums(data.subarray(to - (to % 512), to), 512).readUInt32BE()
          if (builder.lastChecksum() !== last) throw new Error('the last checksum differs')
        }
        const write = takes ? builder.take() : undefined
        write?.bytes.copy(file, write.offset)
        if (takes && bytes % 7 === 0) builder = resumed(builder, file, data)
      }
      return file.equals(whole) && builder.blockDigest() === digestOfSpans(digestsIn(whole, layout))
    }),
    { numRuns: 60 },
  )
  t.pass('60 ways to cut it')
})

/** Digests of all spans in a meta file, whose header alone is not a stripe. */
function digestsIn(file: Buffer, { stripeBytes }: { readonly stripeBytes: number }): Buffer {
  const digests: Buffer[] = []
  for (let at: number = metaHeader.sizeOf; at < file.length; at += stripeBytes) {
    digests.push(file.subarray(at, at + spanDigestBytes))
  }
  return Buffer.concat(digests)
}

t.test('a block digest counts only whole and for the length it was made for', async (t) => {
  const digest = digestOfSpans(Buffer.alloc(16, 7))
  const record = encodeBlockDigest(digest, 70_000)
  t.equal(record.length, blockDigestBytes)
  t.equal(decodeBlockDigest(record, 70_000), digest)
  t.equal(decodeBlockDigest(record, 69_999), undefined, 'the block has grown since')
  t.equal(decodeBlockDigest(record.subarray(0, 23), 70_000), undefined)
  t.equal(decodeBlockDigest(Buffer.alloc(blockDigestBytes), 0), undefined, 'no digest at all')
  for (let bit = 0; bit < 8 * record.length; bit += 1) {
    const damaged = Buffer.from(record)
    damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    if (decodeBlockDigest(damaged, 70_000) !== undefined) t.fail(`bit ${bit}`)
  }
  t.not(digestOfSpans(Buffer.alloc(0)), 0n, 'an empty block has one too')
})

/** The builder that a writer gets which goes on with the files as they are. */
function resumed(builder: MetaBuilder, file: Buffer, data: Buffer): MetaBuilder {
  const { layout, length } = builder
  const span = Math.floor(length / layout.spanBytes)
  const stripe = Buffer.from(
    file.subarray(stripeOffset(layout, span), metaFileBytes(layout, length)),
  )
  const spanData = data.subarray(span * layout.spanBytes, length)
  const spanDigests = Buffer.concat(
    Array.from({ length: span }, (_, index) => {
      const at = stripeOffset(layout, index)
      return file.subarray(at, at + spanDigestBytes)
    }),
  )
  return MetaBuilder.resume(layout, { length, spanDigests, stripe, spanData })
}

t.test('names of block and meta files go both ways and refuse others', async (t) => {
  t.equal(parseBlockFileName(blockFileName(id)), id)
  t.same(parseMetaFileName(metaFileName(id, generationStamp(1001))), {
    blockId: id,
    generationStamp: 1001,
  })
  for (const name of ['blk_', 'blk_-1', 'blk_1x', 'blk_99999999999999999', 'blk_1_2.meta.tmp']) {
    t.equal(parseBlockFileName(name), undefined, name)
    t.equal(parseMetaFileName(name), undefined, name)
  }
  t.equal(parseMetaFileName('blk_9999999999999999_1.meta'), undefined, 'beyond 2^53')
  t.equal(finalizedDirectory(id), 'finalized/subdir0/subdir0')
  t.equal(finalizedDirectory(blockId(1_073_741_825 + 256 * 33)), 'finalized/subdir0/subdir1')
  t.equal(finalizedDirectory(blockId(0x1f_ff_ff)), 'finalized/subdir31/subdir31')
})

t.test('a VERSION file is read back, and refused when it says something else', async (t) => {
  const version = {
    storage: storageUuid('DS-1'),
    datanodeUuid: datanodeUuid('d-1'),
    clusterId: 'CID-1',
    namespaceId: 42,
    blockPoolId: 'BP-1-127.0.0.1-5',
  }
  const text = encodeVersionFile(version)
  t.same(decodeVersionFile(text, 'VERSION'), version)
  t.same(decodeVersionFile(`${text}future=1\n# note=2\n`, 'VERSION'), version)
  const wrong: [RegExp, string, string][] = [
    [/DATA_NODE/, 'NAME_NODE', 'UNSUPPORTED_LAYOUT'],
    [/layoutVersion=1/, 'layoutVersion=-57', 'UNSUPPORTED_LAYOUT'],
    [/namespaceID=42/, 'namespaceID=x', 'CORRUPTION'],
    [/BP-1/, '../BP', 'CORRUPTION'],
    [/clusterID=.*/, '', 'CORRUPTION'],
  ]
  for (const [pattern, replacement, code] of wrong) {
    t.throws(() => decodeVersionFile(text.replace(pattern, replacement), 'V'), { code, path: 'V' })
  }
})
