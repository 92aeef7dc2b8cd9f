import { opcodes, openKillSetBits, setattrBits, writeCache, writeKillSetBits } from './protocol.ts'

/** What every request begins with: `fuse_in_header`, 40 bytes. */
export interface RequestHeader {
  readonly opcode: number
  /** Number the reply carries. */
  readonly unique: bigint
  readonly node: number
  readonly uid: number
  readonly gid: number
  /** Thread that waits for the answer. */
  readonly pid: number
}

/** The namenode's clock, or milliseconds since the epoch and nanoseconds behind them. */
export type RequestTime = 'now' | { readonly ms: number; readonly nanos: number }

/** Changes that a SETATTR request wants; what is absent stays. */
export interface AttributeChanges {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  readonly atime?: RequestTime
  readonly mtime?: RequestTime
}

/** One request, decoded. Byte payloads are views of the buffer it was read into. */
export type RequestBody =
  | {
      readonly kind: 'init'
      readonly major: number
      readonly minor: number
      readonly flags: number
      readonly maxReadahead: number
    }
  | { readonly kind: 'lookup' | 'unlink' | 'rmdir'; readonly name: string }
  | {
      readonly kind: 'forget'
      readonly forgets: readonly { readonly node: number; readonly count: number }[]
    }
  | {
      readonly kind: 'getattr' | 'statfs' | 'destroy' | 'readlink' | 'fsyncdir'
    }
  | { readonly kind: 'symlink'; readonly name: string; readonly target: string }
  | { readonly kind: 'link'; readonly source: number; readonly name: string }
  | { readonly kind: 'interrupt'; readonly unique: bigint }
  | {
      readonly kind: 'setattr'
      readonly changes: AttributeChanges
      readonly killsSetBits: boolean
    }
  | {
      readonly kind: 'mkdir'
      readonly name: string
      readonly mode: number
      readonly umask: number
    }
  | {
      readonly kind: 'mknod'
      readonly name: string
      readonly mode: number
      readonly umask: number
      readonly device: number
    }
  | {
      readonly kind: 'setxattr'
      readonly name: string
      readonly value: Buffer
      readonly flags: number
    }
  | { readonly kind: 'getxattr'; readonly name: string; readonly size: number }
  | { readonly kind: 'listxattr'; readonly size: number }
  | { readonly kind: 'removexattr'; readonly name: string }
  | {
      readonly kind: 'rename'
      readonly name: string
      readonly newParent: number
      readonly newName: string
      readonly flags: number
    }
  | {
      readonly kind: 'open' | 'opendir'
      readonly flags: number
      readonly killsSetBits: boolean
    }
  | {
      readonly kind: 'create'
      readonly name: string
      readonly flags: number
      readonly mode: number
      readonly umask: number
    }
  | {
      readonly kind: 'read' | 'readdir' | 'readdirplus'
      readonly handle: number
      readonly offset: number
      readonly size: number
    }
  | {
      readonly kind: 'write'
      readonly handle: number
      readonly offset: number
      readonly bytes: Buffer
      /** The offset counts whatever the handle was opened with. */
      readonly isFromCache: boolean
      readonly killsSetBits: boolean
    }
  | {
      readonly kind: 'fallocate'
      readonly handle: number
      readonly offset: number
      readonly length: number
      readonly mode: number
    }
  | {
      readonly kind: 'copyFileRange'
      readonly from: { readonly handle: number; readonly offset: number }
      readonly to: { readonly handle: number; readonly offset: number }
      readonly length: number
    }
  | { readonly kind: 'flush' | 'fsync' | 'release' | 'releasedir'; readonly handle: number }
  | { readonly kind: 'unknown' }

/** A request as {@link decodeRequest} understands it. */
export interface Request {
  readonly header: RequestHeader
  readonly body: RequestBody
}

/** Bytes that are no request; `header` is there when at least that could be read, so that an error can be answered. */
export class BadRequest extends Error {
  readonly header: RequestHeader | undefined

  constructor(message: string, header?: RequestHeader) {
    super(message)
    this.name = 'BadRequest'
    this.header = header
  }
}

const headerBytes = 40

/**
 * Decodes one request as it was read from `/dev/fuse`.
 * @throws {@link BadRequest} when it is cut off, holds a number that is not safe, or a name that is none
 */
export function decodeRequest(buffer: Buffer): Request {
  if (buffer.length < headerBytes)
    throw new BadRequest(`A request has ${buffer.length} bytes, its header ${headerBytes}`)
  const header: RequestHeader = {
    opcode: buffer.readUInt32LE(4),
    unique: buffer.readBigUInt64LE(8),
    node: Number(buffer.readBigUInt64LE(16)),
    uid: buffer.readUInt32LE(24),
    gid: buffer.readUInt32LE(28),
    pid: buffer.readUInt32LE(32),
  }
  const length = buffer.readUInt32LE(0)
  if (length !== buffer.length)
    throw new BadRequest(`A request of ${length} bytes came as ${buffer.length}`, header)
  const decode = decoders.get(header.opcode)
  if (decode === undefined) return { header, body: { kind: 'unknown' } }
  try {
    return { header, body: decode(new Fields(buffer.subarray(headerBytes)), header) }
  } catch (error) {
    if (error instanceof RangeError)
      throw new BadRequest(`Request ${header.opcode}: ${error.message}`, header)
    throw error
  }
}

/** Reads a request's fields at their offsets behind the header; everything outside is a RangeError. */
class Fields {
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u32(at: number): number {
    return this.#bytes.readUInt32LE(at)
  }

  big(at: number): bigint {
    return this.#bytes.readBigUInt64LE(at)
  }

  u64(at: number): number {
    const value = this.big(at)
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new RangeError(`${value} at byte ${at} is too large`)
    return Number(value)
  }

  /** Seconds since the epoch, which may be before it, and nanoseconds. */
  time(secondsAt: number, nanosecondsAt: number): { readonly ms: number; readonly nanos: number } {
    const nanoseconds = this.u32(nanosecondsAt)
    const behind = Math.floor(nanoseconds / 1e6)
    const ms = Number(this.#bytes.readBigInt64LE(secondsAt)) * 1000 + behind
    if (!Number.isSafeInteger(ms) || nanoseconds >= 1e9)
      throw new RangeError(`the time at byte ${secondsAt} is too far away`)
    return { ms, nanos: nanoseconds - behind * 1e6 }
  }

  /** Names that end with NUL, one after the other, from `at` on. */
  names(at: number, count: number): string[] {
    const names: string[] = []
    let start = at
    while (names.length < count) {
      const { text, end } = this.text(start)
      if (text.includes('/')) throw new RangeError(`the name at byte ${start} has a slash`)
      names.push(text)
      start = end
    }
    return names
  }

  /** Text that ends with NUL, and where what follows begins. */
  text(at: number): { readonly text: string; readonly end: number } {
    const end = this.#bytes.indexOf(0, at)
    if (end <= at) throw new RangeError(`there is no name at byte ${at}`)
    const bytes = this.#bytes.subarray(at, end)
    const text = bytes.toString('utf8')
    if (!Buffer.from(text).equals(bytes))
      throw new RangeError(`the name at byte ${at} is not UTF-8`)
    return { text, end: end + 1 }
  }

  name(at: number): string {
    return this.names(at, 1)[0] ?? ''
  }

  bytes(at: number, length: number): Buffer {
    if (at + length > this.#bytes.length)
      throw new RangeError(`${length} bytes at byte ${at} are cut off`)
    return this.#bytes.subarray(at, at + length)
  }
}

type Decode = (fields: Fields, header: RequestHeader) => RequestBody

const plain =
  (kind: 'getattr' | 'statfs' | 'destroy' | 'readlink' | 'fsyncdir'): Decode =>
  () => ({ kind })
const named =
  (kind: 'lookup' | 'unlink' | 'rmdir'): Decode =>
  (fields) => ({ kind, name: fields.name(0) })
const opened =
  (kind: 'open' | 'opendir'): Decode =>
  (fields) => ({
    kind,
    flags: fields.u32(0),
    killsSetBits: (fields.u32(4) & openKillSetBits) !== 0,
  })
const handled =
  (kind: 'flush' | 'fsync' | 'release' | 'releasedir'): Decode =>
  (fields) => ({ kind, handle: fields.u64(0) })
const ranged =
  (kind: 'read' | 'readdir' | 'readdirplus'): Decode =>
  (fields) => ({
    kind,
    handle: fields.u64(0),
    offset: fields.u64(8),
    size: fields.u32(16),
  })

const decoders = new Map<number, Decode>([
  [
    opcodes.init,
    (fields) => ({
      kind: 'init',
      major: fields.u32(0),
      minor: fields.u32(4),
      maxReadahead: fields.u32(8),
      flags: fields.u32(12),
    }),
  ],
  [opcodes.lookup, named('lookup')],
  [
    opcodes.forget,
    (fields, { node }) => ({ kind: 'forget', forgets: [{ node, count: fields.u64(0) }] }),
  ],
  [opcodes.batchForget, batchForget],
  [opcodes.getattr, plain('getattr')],
  [opcodes.setattr, setattr],
  [opcodes.readlink, plain('readlink')],
  [opcodes.symlink, symlink],
  [opcodes.link, (fields) => ({ kind: 'link', source: fields.u64(0), name: fields.name(8) })],
  [
    opcodes.mknod,
    (fields) => ({
      ...{ kind: 'mknod', mode: fields.u32(0), device: fields.u32(4) },
      umask: fields.u32(8),
      name: fields.name(16),
    }),
  ],
  [
    opcodes.mkdir,
    (fields) => ({
      kind: 'mkdir',
      mode: fields.u32(0),
      umask: fields.u32(4),
      name: fields.name(8),
    }),
  ],
  [opcodes.setxattr, setxattr],
  [opcodes.getxattr, (fields) => ({ kind: 'getxattr', size: fields.u32(0), name: fields.name(8) })],
  [opcodes.listxattr, (fields) => ({ kind: 'listxattr', size: fields.u32(0) })],
  [opcodes.removexattr, (fields) => ({ kind: 'removexattr', name: fields.name(0) })],
  [opcodes.unlink, named('unlink')],
  [opcodes.rmdir, named('rmdir')],
  [opcodes.rename, (fields) => rename(fields, 8, 0)],
  [opcodes.rename2, (fields) => rename(fields, 16, fields.u32(8))],
  [opcodes.open, opened('open')],
  [opcodes.opendir, opened('opendir')],
  [
    opcodes.create,
    (fields) => ({
      kind: 'create',
      flags: fields.u32(0),
      mode: fields.u32(4),
      umask: fields.u32(8),
      name: fields.name(16),
    }),
  ],
  [opcodes.read, ranged('read')],
  [opcodes.readdir, ranged('readdir')],
  [opcodes.readdirplus, ranged('readdirplus')],
  [
    opcodes.write,
    (fields) => ({
      kind: 'write',
      handle: fields.u64(0),
      offset: fields.u64(8),
      bytes: fields.bytes(40, fields.u32(16)),
      isFromCache: (fields.u32(20) & writeCache) !== 0,
      killsSetBits: (fields.u32(20) & writeKillSetBits) !== 0,
    }),
  ],
  [
    opcodes.fallocate,
    (fields) => ({
      kind: 'fallocate',
      handle: fields.u64(0),
      offset: fields.u64(8),
      length: fields.u64(16),
      mode: fields.u32(24),
    }),
  ],
  [
    opcodes.copyFileRange,
    (fields) => ({
      kind: 'copyFileRange',
      from: { handle: fields.u64(0), offset: fields.u64(8) },
      to: { handle: fields.u64(24), offset: fields.u64(32) },
      length: fields.u64(40),
    }),
  ],
  [opcodes.statfs, plain('statfs')],
  [opcodes.flush, handled('flush')],
  [opcodes.fsync, handled('fsync')],
  [opcodes.release, handled('release')],
  [opcodes.releasedir, handled('releasedir')],
  [opcodes.fsyncdir, plain('fsyncdir')],
  [opcodes.interrupt, (fields) => ({ kind: 'interrupt', unique: fields.big(0) })],
  [opcodes.destroy, plain('destroy')],
])

function symlink(fields: Fields): RequestBody {
  const { text: name, end } = fields.text(0)
  return { kind: 'symlink', name: fields.names(0, 1)[0] ?? name, target: fields.text(end).text }
}

function rename(fields: Fields, namesAt: number, flags: number): RequestBody {
  const [name = '', newName = ''] = fields.names(namesAt, 2)
  return { kind: 'rename', newParent: fields.u64(0), name, newName, flags }
}

function setxattr(fields: Fields): RequestBody {
  const size = fields.u32(0)
  const name = fields.name(8)
  const value = fields.bytes(8 + Buffer.byteLength(name) + 1, size)
  return { kind: 'setxattr', flags: fields.u32(4), name, value: Buffer.from(value) }
}

function batchForget(fields: Fields): RequestBody {
  const count = fields.u32(0)
  fields.bytes(8, count * 16)
  const forgets = Array.from({ length: count }, (_, index) => ({
    node: fields.u64(8 + index * 16),
    count: fields.u64(16 + index * 16),
  }))
  return { kind: 'forget', forgets }
}

function setattr(fields: Fields): RequestBody {
  const valid = fields.u32(0)
  const has = (bit: number): boolean => (valid & bit) !== 0
  fields.bytes(0, 88)
  return {
    kind: 'setattr',
    killsSetBits: has(setattrBits.killSetBits),
    changes: {
      ...(has(setattrBits.size) ? { size: fields.u64(16) } : {}),
      ...(has(setattrBits.atime)
        ? { atime: has(setattrBits.atimeNow) ? ('now' as const) : fields.time(32, 56) }
        : {}),
      ...(has(setattrBits.mtime)
        ? { mtime: has(setattrBits.mtimeNow) ? ('now' as const) : fields.time(40, 60) }
        : {}),
      ...(has(setattrBits.mode) ? { mode: fields.u32(68) & 0o7777 } : {}),
      ...(has(setattrBits.uid) ? { uid: fields.u32(76) } : {}),
      ...(has(setattrBits.gid) ? { gid: fields.u32(80) } : {}),
    },
  }
}
