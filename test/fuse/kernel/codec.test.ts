/** The kernel's requests and our replies, by bytes laid out as `include/uapi/linux/fuse.h` has them. */
import fc from 'fast-check'
import t from 'tap'
import {
  opcodes,
  openKillSetBits,
  setattrBits,
  writeCache,
  writeKillSetBits,
} from '../../../fuse/kernel/protocol.ts'
import {
  attributesReply,
  createReply,
  DirectoryReply,
  entryReply,
  initReply,
  replyHeader,
  statfsReply,
  xattrReply,
} from '../../../fuse/kernel/replies.ts'
import { BadRequest, decodeRequest, type RequestBody } from '../../../fuse/kernel/requests.ts'

const u32 = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, index) => bytes.writeUInt32LE(value >>> 0, index * 4))
  return bytes
}
const u64 = (...values: (number | bigint)[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 8)
  values.forEach((value, index) =>
    bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), index * 8),
  )
  return bytes
}

/** A whole request: number 7 about node 5, from user 1000 of group 100. */
function request(opcode: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([u32(40 + body.length, opcode), u64(7, 5), u32(1000, 100, 4242, 0), body])
}

function bodyOf(opcode: number, ...parts: Buffer[]): RequestBody {
  return decodeRequest(request(opcode, ...parts)).body
}

t.test('requests are decoded field by field', async (t) => {
  const lookup = decodeRequest(
    Buffer.from(
      '2b00000001000000070000000000000005000000000000 00e8030000640000009210000000000000 616200'.replaceAll(
        ' ',
        '',
      ),
      'hex',
    ),
  )
  t.same(lookup.header, { opcode: 1, unique: 7n, node: 5, uid: 1000, gid: 100, pid: 4242 })
  t.same(lookup.body, { kind: 'lookup', name: 'ab' })
  t.same(bodyOf(opcodes.forget, u64(3)), { kind: 'forget', forgets: [{ node: 5, count: 3 }] })
  t.same(bodyOf(opcodes.batchForget, u32(2, 0), u64(8, 1, 9, 2)), {
    kind: 'forget',
    forgets: [
      { node: 8, count: 1 },
      { node: 9, count: 2 },
    ],
  })
  const names = Buffer.from('old\0neu-\u00fc\0')
  const renamed = { kind: 'rename', newParent: 6, name: 'old', newName: 'neu-\u00fc' }
  t.same(bodyOf(opcodes.rename, u64(6), names), { ...renamed, flags: 0 })
  t.same(bodyOf(opcodes.rename2, u64(6), u32(1, 0), names), { ...renamed, flags: 1 })
  t.same(bodyOf(opcodes.create, u32(0x8042, 0o100644, 0o22, 0), Buffer.from('f\0')), {
    kind: 'create',
    flags: 0x8042,
    mode: 0o100644,
    umask: 0o22,
    name: 'f',
  })
  t.same(bodyOf(opcodes.mkdir, u32(0o777, 0o27), Buffer.from('d\0')), {
    ...{ kind: 'mkdir', mode: 0o777, umask: 0o27, name: 'd' },
  })
  t.same(bodyOf(opcodes.mknod, u32(0o100666, 0, 0o27, 0), Buffer.from('n\0')), {
    ...{ kind: 'mknod', mode: 0o100666, umask: 0o27, device: 0, name: 'n' },
  })
  const attribute = Buffer.from('user.ü\0\0\xff', 'utf8')
  t.same(bodyOf(opcodes.setxattr, u32(attribute.length - 8, 1), attribute), {
    kind: 'setxattr',
    ...{ name: 'user.ü', flags: 1, value: attribute.subarray(8) },
  })
  t.same(bodyOf(opcodes.getxattr, u32(7, 0), Buffer.from('user.a\0')), {
    ...{ kind: 'getxattr', size: 7, name: 'user.a' },
  })
  t.same(bodyOf(opcodes.listxattr, u32(7, 0)), { kind: 'listxattr', size: 7 })
  t.same(bodyOf(opcodes.removexattr, Buffer.from('user.a\0')), {
    ...{ kind: 'removexattr', name: 'user.a' },
  })
  t.match(bodyOf(opcodes.open, u32(2, openKillSetBits)), { flags: 2, killsSetBits: true })
  t.same(bodyOf(opcodes.read, u64(11, 2 ** 40), u32(4096, 0), u64(0), u32(0, 0)), {
    kind: 'read',
    handle: 11,
    offset: 2 ** 40,
    size: 4096,
  })
  t.same(bodyOf(opcodes.write, u64(11, 12), u32(3, 0), u64(0), u32(0, 0), Buffer.from('abc')), {
    kind: 'write',
    handle: 11,
    offset: 12,
    bytes: Buffer.from('abc'),
    isFromCache: false,
    killsSetBits: false,
  })
  t.match(
    bodyOf(opcodes.write, u64(11, 12), u32(0, writeCache), u64(0), u32(0, 0)),
    { isFromCache: true, killsSetBits: false },
    'pages of a mapping are placed',
  )
  t.match(bodyOf(opcodes.write, u64(11, 12), u32(0, writeKillSetBits), u64(0), u32(0, 0)), {
    killsSetBits: true,
  })
  t.same(bodyOf(opcodes.fallocate, u64(11, 12, 13), u32(3, 0)), {
    ...{ kind: 'fallocate', handle: 11, offset: 12, length: 13, mode: 3 },
  })
  t.same(bodyOf(opcodes.copyFileRange, u64(11, 12, 13, 14, 15, 16, 0)), {
    kind: 'copyFileRange',
    from: { handle: 11, offset: 12 },
    to: { handle: 14, offset: 15 },
    length: 16,
  })
  t.same(bodyOf(opcodes.mknod, u32(0o020644, 0x103, 0o22, 0), Buffer.from('null\0')), {
    ...{ kind: 'mknod', mode: 0o020644, device: 0x103, umask: 0o22, name: 'null' },
  })
  t.same(bodyOf(opcodes.symlink, Buffer.from('l\0../a b/\0')), {
    ...{ kind: 'symlink', name: 'l', target: '../a b/' },
  })
  t.same(bodyOf(opcodes.link, u64(17), Buffer.from('l\0')), {
    ...{ kind: 'link', source: 17, name: 'l' },
  })
  t.same(bodyOf(opcodes.readlink), { kind: 'readlink' })
  t.same(bodyOf(opcodes.interrupt, u64(99)), { kind: 'interrupt', unique: 99n })
  t.same(bodyOf(999), { kind: 'unknown' })
})

t.test('setattr takes what its bits name, times before 1970 too', async (t) => {
  const fields = (valid: number): Buffer[] => [
    u32(valid, 0),
    u64(0, 77, 0, -2n, 1_600_000_000, 0),
    u32(500_000_000, 123_999_999, 0, 0o104755, 0, 8, 9, 0),
  ]
  const { mode, uid, gid, size, atime, mtime, atimeNow } = setattrBits
  t.same(bodyOf(opcodes.setattr, ...fields(0)), {
    ...{ kind: 'setattr', changes: {}, killsSetBits: false },
  })
  t.same(bodyOf(opcodes.setattr, ...fields(mode | uid | gid | size | atime | mtime)), {
    kind: 'setattr',
    killsSetBits: false,
    changes: {
      ...{ mode: 0o4755, uid: 8, gid: 9, size: 77, atime: { ms: -1500, nanos: 0 } },
      mtime: { ms: 1_600_000_000_123, nanos: 999_999 },
    },
  })
  t.same(bodyOf(opcodes.setattr, ...fields(atime | atimeNow)), {
    kind: 'setattr',
    killsSetBits: false,
    changes: { atime: 'now' },
  })
})

t.test('what is no request is refused, with its number where that is known', async (t) => {
  const refused = (bytes: Buffer): BadRequest => {
    try {
      decodeRequest(bytes)
    } catch (error) {
      if (error instanceof BadRequest) return error
      throw error
    }
    throw new Error('it was decoded')
  }
  t.equal(refused(Buffer.alloc(39)).header, undefined)
  t.equal(refused(request(opcodes.lookup, Buffer.from('a\0')).subarray(0, 41)).header?.unique, 7n)
  t.match(refused(request(opcodes.lookup, Buffer.from('no end'))).message, /no name/)
  t.match(refused(request(opcodes.lookup, Buffer.from('\0'))).message, /no name/)
  t.match(refused(request(opcodes.lookup, Buffer.from('a/b\0'))).message, /slash/)
  t.match(refused(request(opcodes.lookup, Buffer.from([0xff, 0]))).message, /not UTF-8/)
  t.match(refused(request(opcodes.rename, u64(6), Buffer.from('one\0'))).message, /no name/)
  t.match(refused(request(opcodes.read, u64(1, 2n ** 60n), u32(1, 0))).message, /too large/)
  t.match(
    refused(request(opcodes.write, u64(1, 0), u32(4, 0), u64(0), u32(0, 0), Buffer.from('abc')))
      .message,
    /cut off/,
  )
  t.match(
    refused(request(opcodes.setxattr, u32(9, 0), Buffer.from('user.a\0abc'))).message,
    /cut off/,
  )
  t.match(refused(request(opcodes.batchForget, u32(0xffff, 0), u64(1, 1))).message, /cut off/)
})

t.test('attributes are told by length first, and refused where they do not fit', async (t) => {
  const bytes = Buffer.from('value')
  t.same(xattrReply(bytes, 0), u32(5, 0))
  t.same(xattrReply(bytes, 5), bytes)
  t.throws(() => xattrReply(bytes, 4), { code: 'ERANGE' })
})

t.test('no bytes make the decoder fail in another way', async () => {
  const codes = Object.values(opcodes)
  fc.assert(
    fc.property(fc.constantFrom(...codes), fc.uint8Array({ maxLength: 160 }), (opcode, bytes) => {
      try {
        decodeRequest(request(opcode, Buffer.from(bytes)))
      } catch (error) {
        if (!(error instanceof BadRequest)) throw error
      }
    }),
    { numRuns: 2_000 },
  )
})

const attributes = {
  node: 5,
  ino: 5,
  mode: 0o100644,
  size: 513,
  uid: 1,
  gid: 2,
  nlink: 1,
  atimeMs: 1_500,
  mtimeMs: -1,
  ctimeMs: 0,
  atimeNanos: 7,
  mtimeNanos: 999_999,
  device: 0x103,
}
const validity = { entriesMs: 1500, attributesMs: 250 }
const attributeBytes = Buffer.concat([
  u64(5, 513, 2, 1, -1n, 0),
  u32(500_000_007, 999_999_999, 0, 0o100644, 1, 1, 2, 0x103, 4096, 0),
])

t.test('replies are laid out as the kernel reads them', async (t) => {
  t.equal(replyHeader(7n, -2, 8).toString('hex'), '18000000feffffff0700000000000000')
  t.same(
    attributesReply(attributes, validity),
    Buffer.concat([u64(0), u32(250_000_000, 0), attributeBytes]),
  )
  const entry = Buffer.concat([u64(5, 0, 1, 0), u32(500_000_000, 250_000_000), attributeBytes])
  t.same(entryReply(attributes, validity), entry)
  t.same(createReply(attributes, 9, validity), Buffer.concat([entry, u64(9), u32(0, 0)]))
  const statfs = statfsReply({ blockSize: 4096, blocks: 10, free: 3 })
  t.same(statfs, Buffer.concat([u64(10, 3, 3, 0, 0), u32(4096, 255, 4096, 0, 0, 0, 0, 0, 0, 0)]))
  const init = initReply({ minor: 45, flags: 0xffffffff, maxReadahead: 131_072 })
  t.equal(init.length, 64)
  t.equal(init.readUInt32LE(4), 33, 'a newer kernel is asked for the version we know')
  t.equal(
    init.readUInt32LE(12) & (1 << 16),
    0,
    'no write-back cache: fsync would not see its bytes',
  )
  t.equal(init.readUInt16LE(28), 256, 'requests of 1 MiB')
  t.equal(initReply({ minor: 20, flags: 0, maxReadahead: 0 }).readUInt32LE(4), 20)
})

t.test('a directory reply holds whole entries only', async (t) => {
  const reply = new DirectoryReply(64, undefined)
  t.ok(reply.add({ name: '.', offset: 1, attributes: { ...attributes, mode: 0o40755 } }, false))
  t.ok(reply.add({ name: '12345678', offset: 2, attributes }, true))
  t.notOk(reply.add({ name: 'x', offset: 3, attributes }, true), 'there is no room')
  t.same(
    reply.bytes(),
    Buffer.concat([
      ...[u64(5, 1), u32(1, 4), Buffer.from('.\0\0\0\0\0\0\0')],
      ...[u64(5, 2), u32(8, 8), Buffer.from('12345678')],
    ]),
  )
  const plus = new DirectoryReply(160, validity)
  t.ok(plus.add({ name: 'a', offset: 1, attributes }, true))
  t.notOk(plus.add({ name: 'b', offset: 2, attributes }, true))
  t.same(plus.bytes().subarray(0, 128), entryReply(attributes, validity))
  const dots = new DirectoryReply(160, validity)
  dots.add({ name: '..', offset: 2, attributes }, false)
  t.same(dots.bytes().subarray(0, 128), Buffer.alloc(128), 'the kernel is not told of dots')
})
