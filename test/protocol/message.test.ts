import fc from 'fast-check'
import t from 'tap'
import { ByteReader, ByteWriter, varintSize } from '../../protocol/codec.ts'
import { isDfsError } from '../../protocol/errors.ts'
import {
  bool,
  bytes,
  decodeMessage,
  encodeDelimited,
  encodeMessage,
  enumeration,
  type Fields,
  i32,
  i64,
  i64big,
  type MessageType,
  message,
  optional,
  packed,
  readDelimited,
  repeated,
  required,
  s32,
  s64,
  sf32,
  sf64,
  str,
  u32,
  u64,
  u64big,
  withDefault,
  writeMessage,
} from '../../protocol/message.ts'
import * as admin from '../../protocol/messages/admin.ts'
import * as clientDatanode from '../../protocol/messages/client-datanode.ts'
import * as clientNamenode from '../../protocol/messages/client-namenode.ts'
import { getFileInfoResponse } from '../../protocol/messages/client-namenode.ts'
import * as dataTransfer from '../../protocol/messages/data-transfer.ts'
import * as datanodeNamenode from '../../protocol/messages/datanode-namenode.ts'
import * as ha from '../../protocol/messages/ha.ts'
import * as hdfs from '../../protocol/messages/hdfs.ts'
import { extendedBlock, locatedBlock } from '../../protocol/messages/hdfs.ts'
import * as interDatanode from '../../protocol/messages/inter-datanode.ts'
import * as namenode from '../../protocol/messages/namenode.ts'
import * as rpc from '../../protocol/messages/rpc.ts'
import { arbitraryMessage, isMessage, normalized, untyped } from '../support/arbitrary-message.ts'

const tables: MessageType<Fields>[] = [
  admin,
  clientDatanode,
  clientNamenode,
  dataTransfer,
  datanodeNamenode,
  ha,
  hdfs,
  interDatanode,
  namenode,
  rpc,
].flatMap((module) => Object.values(module).filter(isMessage))

const colour = enumeration({ RED: 0, GREEN: 1, BLUE: 300, BELOW: -2 })
const inner = message('Inner', { id: required(1, u64), note: optional(2, str) })
const sample = message('Sample', {
  id: required(1, u64),
  colour: required(2, colour),
  inner: optional(3, inner),
  many: repeated(4, inner),
  plain: repeated(5, u32),
  packed: packed(6, s64),
  colours: repeated(7, colour),
  level: withDefault(8, i32, 7),
  raw: optional(9, bytes),
  flag: withDefault(10, bool, false),
  texts: repeated(11, str),
  far: optional(2000, u32),
})

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}

/** Decodes; anything but a value or a DfsError fails the test by being thrown. */
function tryDecode(type: unknown, input: Uint8Array): unknown {
  try {
    return untyped(type).decode(input)
  } catch (error) {
    if (isDfsError(error, 'BAD_FRAME')) return error
    throw error
  }
}

t.test('every table has distinct field numbers and round-trips random messages', async (t) => {
  t.ok(tables.length > 250, `${tables.length} tables`)
  for (const type of tables) {
    const numbers = Object.values(type.fields).map(({ number }) => number)
    t.equal(new Set(numbers).size, numbers.length, type.name)
    fc.assert(
      fc.property(arbitraryMessage(type), (value) => {
        const decoded = untyped(type).decode(untyped(type).encode(value))
        t.same(normalized(type, decoded), normalized(type, value))
        return true
      }),
      { numRuns: 8 },
    )
  }
})

t.test('encodeMessage() gives the bytes HDFS gives', async (t) => {
  const answer = hex(`0a 36 08 01 12 00 18 00 22 03 08 ed 03 2a 04 72 6f 6f 74
    32 0a 73 75 70 65 72 67 72 6f 75 70 38 80 e2 cf aa bd 31 40 00 50 00 58 00 68 81 80 01
    70 01 80 01 00 90 01 08`)
  const decoded = decodeMessage(getFileInfoResponse, answer)
  t.match(decoded, {
    fs: { fileType: 'IS_DIR', permission: { perm: 0o755 }, fileId: 16385, flags: 8 },
  })
  t.same(Buffer.from(encodeMessage(getFileInfoResponse, decoded)), answer)
  t.same(
    Buffer.from(encodeMessage(extendedBlock, { poolId: 'p', blockId: 1, generationStamp: 2 })),
    hex('0a0170 1001 1802'),
    'a default that is not given is not written',
  )
  t.same(
    Buffer.from(
      encodeMessage(extendedBlock, { poolId: '', blockId: 0, generationStamp: 0, numBytes: 0 }),
    ),
    hex('0a00 1000 1800 2000'),
    'zeros that are given are written',
  )
})

t.test('a missing required field is refused by name, both ways', async (t) => {
  t.throws(() => decodeMessage(extendedBlock, hex('0a0170 1801')), {
    code: 'BAD_FRAME',
    message: 'Required field ExtendedBlock.blockId is missing',
  })
  t.throws(() => decodeMessage(locatedBlock, hex('0a02 1001')), {
    code: 'BAD_FRAME',
    message: 'Required field ExtendedBlock.poolId, ExtendedBlock.generationStamp is missing',
  })
  t.throws(() => untyped(extendedBlock).encode({ poolId: 'p', blockId: 1 }), {
    code: 'INVALID_ARGUMENT',
    message: 'Required field ExtendedBlock.generationStamp is missing',
  })
})

t.test('unknown fields of every wire type are skipped', async (t) => {
  const known = encodeMessage(inner, { id: 5, note: 'x' })
  const unknown = [
    '78 ffffffffffffffffff01',
    '79 0102030405060708',
    '7a 03 aabbcc',
    '7b 08 01 7b 10 02 7c 7c',
    '7d 01020304',
  ]
  for (const field of unknown) {
    const decoded = decodeMessage(inner, Buffer.concat([hex(field), known, hex(field)]))
    t.same(decoded, { id: 5, note: 'x' }, field)
  }
  const refused: [string, RegExp][] = [
    ['7b 08 01', /end at offset/],
    ['7b 08 01 84 01', /Group 15 is closed as 16/],
    ['7c', /wire type 4/],
    ['7e', /wire type 6/],
    ['00 01', /number 0/],
    [`${'7b'.repeat(20)}${'7c'.repeat(20)}`, /deeper than/],
    ['7a 05 aabb', /exceeds the 2 bytes/],
    ['78 ffffffffffffffffffff01', /longer than 10 bytes/],
  ]
  for (const [field, message] of refused) {
    t.throws(() => decodeMessage(inner, Buffer.concat([known, hex(field)])), {
      code: 'BAD_FRAME',
      message,
    })
  }
})

t.test('repeated scalars are accepted packed and unpacked', async (t) => {
  const head = '0801 1001'
  const unpacked = decodeMessage(sample, hex(`${head} 2801 28ac02 3001 3004 3800 38ac02`))
  const asPacked = decodeMessage(sample, hex(`${head} 2a0301ac02 32020104 3a0300ac02`))
  for (const decoded of [unpacked, asPacked]) {
    t.same(decoded.plain, [1, 300])
    t.same(decoded.packed, [-1, 2])
    t.same(decoded.colours, ['RED', 'BLUE'])
  }
  const written = encodeMessage(sample, { id: 1, colour: 'GREEN', plain: [1, 2], packed: [-1, 2] })
  t.same(Buffer.from(written), hex(`${head} 2801 2802 32020104`))
  t.throws(() => decodeMessage(sample, hex(`${head} 2a02 01ac`)), { code: 'BAD_FRAME' })
})

t.test('64-bit values are exact or refused, never rounded', async (t) => {
  const numbers = message('Numbers', {
    u: optional(1, u64),
    i: optional(2, i64),
    s: optional(3, s64),
    ub: optional(4, u64big),
    ib: optional(5, i64big),
    f: optional(6, sf64),
    w: optional(7, u32),
    n: optional(8, i32),
    z: optional(9, s32),
    x: optional(10, sf32),
  })
  const safe = Number.MAX_SAFE_INTEGER
  for (const value of [
    { ub: 2n ** 64n - 1n, ib: 2n ** 63n - 1n },
    { ub: 2n ** 63n - 1n, ib: -(2n ** 63n) },
    { ub: 2n ** 28n, ib: -1n },
    { u: safe, i: safe, s: safe, f: safe },
    { u: 2 ** 32, i: -safe, s: -safe, f: -safe },
    { u: 2 ** 49, i: -1, s: 2 ** 52, f: -1 },
    { u: 2 ** 32 - 1, i: -(2 ** 32), s: -(2 ** 52), f: 2 ** 32 },
    { w: 2 ** 32 - 1, n: -(2 ** 31), z: -(2 ** 31), x: -(2 ** 31) },
    { w: 0, n: 2 ** 31 - 1, z: 2 ** 31 - 1, x: 2 ** 31 - 1 },
  ]) {
    t.same(decodeMessage(numbers, untyped(numbers).encode(value)), value)
  }
  const all = 'ffffffffffffffffff01'
  t.same(decodeMessage(numbers, hex(`20${all} 28${all} 10${all} 38${all} 40${all}`)), {
    ub: 2n ** 64n - 1n,
    ib: -1n,
    i: -1,
    w: 2 ** 32 - 1,
    n: -1,
  })
  t.same(decodeMessage(numbers, hex('20 ffffffffffffffff7f')).ub, 2n ** 63n - 1n)
  t.same(decodeMessage(numbers, hex('08 ffffffffffffff0f')).u, safe)
  t.same(decodeMessage(numbers, hex('08 818080808080808000')).u, 1, 'an overlong varint')
  const refused: [string, RegExp][] = [
    ['08 8080808080808010', /Numbers\.u is 9007199254740992, which is beyond/],
    [`08 ${all}`, /Numbers\.u is 18446744073709551615/],
    ['10 ffffffffffffffff7f', /Numbers\.i is 9223372036854775807/],
    [`18 ${all}`, /Numbers\.s is -9223372036854775808/],
    ['31 0000000000002000', /Numbers\.f is 9007199254740992/],
  ]
  for (const [input, message] of refused) {
    t.throws(() => decodeMessage(numbers, hex(input)), { code: 'BAD_FRAME', message })
  }
  for (const value of [
    { u: -1 },
    { u: 2 ** 53 },
    { u: 1.5 },
    { u: Number.NaN },
    { i: 2 ** 53 },
    { s: -(2 ** 53) },
    { f: 0.5 },
    { w: 2 ** 32 },
    { w: -1 },
    { n: 2 ** 31 },
    { z: -(2 ** 31) - 1 },
    { x: 2 ** 31 },
    { ub: -1n },
    { ub: 2n ** 64n },
    { ub: 5 },
    { ib: 2n ** 63n },
  ]) {
    t.throws(() => untyped(numbers).encode(value), {
      code: 'INVALID_ARGUMENT',
      message: /^Numbers\.\w+ must be a/,
    })
  }
})

t.test('an unknown enum number reads as unset', async (t) => {
  t.throws(() => decodeMessage(sample, hex('0801 1002')), {
    code: 'BAD_FRAME',
    message: 'Required field Sample.colour is missing',
  })
  const decoded = decodeMessage(sample, hex('0801 1001 3800 3805 38ac02 3a02 0105'))
  t.same(decoded.colours, ['RED', 'BLUE', 'GREEN'])
  t.equal(decodeMessage(sample, encodeMessage(sample, { id: 1, colour: 'BELOW' })).colour, 'BELOW')
  t.throws(() => untyped(sample).encode({ id: 1, colour: 'PINK' }), {
    code: 'INVALID_ARGUMENT',
    message: 'Sample.colour must be one of RED, GREEN, BLUE, BELOW, got PINK',
  })
})

t.test('strings of any length and content survive; invalid UTF-8 is read leniently', async (t) => {
  for (const length of [0, 1, 62, 63, 64, 126, 127, 128, 129, 16383, 16384, 70_000]) {
    for (const unit of ['a', 'é', '€', '😀']) {
      const note = unit.repeat(length)
      t.equal(decodeMessage(inner, encodeMessage(inner, { id: 1, note })).note, note)
    }
  }
  t.equal(decodeMessage(inner, hex('0801 1203 61ff62')).note, 'a\uFFFDb')
  t.equal(
    decodeMessage(inner, encodeMessage(inner, { id: 1, note: 'a\uD800' })).note,
    'a\uFFFD',
    'a lone surrogate cannot be UTF-8',
  )
})

t.test(
  'of a field that comes twice the last one counts, a wrong wire type is ignored',
  async (t) => {
    t.same(decodeMessage(inner, hex('0801 0802')), { id: 2 })
    t.same(decodeMessage(inner, hex('0801 0a0101 1005')), { id: 1 })
    t.same(decodeMessage(sample, hex('0801 1001 2101020304050607085d01020304')).plain, [])
  },
)

t.test('nested lengths grow in place whatever their size', async (t) => {
  for (const size of [0, 100, 120, 127, 128, 129, 300, 16_383, 16_384, 20_000, 2_100_000]) {
    const value = { id: 1, colour: 'RED', raw: Buffer.alloc(size, 1), many: [{ id: 3 }] } as const
    const decoded = decodeMessage(sample, encodeMessage(sample, value))
    t.equal(decoded.raw?.length, size)
    t.same(decoded.many, [{ id: 3 }])
    const delimited = encodeDelimited(sample, value)
    const reader = new ByteReader(delimited)
    t.equal(readDelimited(reader, sample).raw?.length, size)
    t.equal(reader.remaining, 0)
  }
  for (const value of [0, 127, 128, 16_383, 16_384, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const writer = new ByteWriter(1)
    writer.uint64(value)
    t.equal(varintSize(value), writer.length)
  }
})

t.test('truncated and damaged bytes give a value or BAD_FRAME, nothing else', async (t) => {
  const whole = encodeMessage(sample, {
    id: 2 ** 40,
    colour: 'BLUE',
    inner: { id: 1, note: 'héllo' },
    many: [{ id: 3 }, { id: 4, note: '' }],
    plain: [1, 2 ** 32 - 1],
    packed: [-1, 2 ** 52],
    colours: ['RED', 'BELOW'],
    level: -1,
    raw: Buffer.from('raw'),
    flag: true,
    texts: ['', 'x'.repeat(200)],
    far: 9,
  })
  for (let length = 0; length < whole.length; length += 1)
    tryDecode(sample, whole.subarray(0, length))
  for (let bit = 0; bit < whole.length * 8; bit += 1) {
    const damaged = Buffer.from(whole)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    tryDecode(sample, damaged)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (input) => {
      for (const type of [sample, locatedBlock, rpc.rpcRequestHeader]) tryDecode(type, input)
      return true
    }),
    { numRuns: 300 },
  )
  t.pass('no other error')
})

t.test('ByteWriter appends, hands over and starts again', async (t) => {
  const writer = new ByteWriter(4)
  writeMessage(writer, inner, { id: 1, note: 'abc' })
  const first = writer.copy()
  t.same(decodeMessage(inner, writer.take()), { id: 1, note: 'abc' })
  t.equal(writer.length, 0)
  writer.raw(first)
  t.same(writer.view(), first)
  writer.double(-1.5)
  t.equal(new ByteReader(writer.view(first.length)).double(), -1.5)
  t.throws(() => new ByteReader(hex('')).byte(), { code: 'BAD_FRAME' })
})
