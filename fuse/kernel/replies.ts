import type { NodeAttributes } from '../attributes.ts'
import { MountError } from '../errno.ts'
import {
  initBits,
  openKeepsCache,
  protocolMajor,
  protocolMinor,
  transferBytesMax,
  wantedInitBits,
} from './protocol.ts'

/** How long the kernel may answer for names and attributes itself. */
export interface Validity {
  readonly entriesMs: number
  readonly attributesMs: number
}

const headerBytes = 16
const attributeBytes = 88
/** Size of `fuse_entry_out`. */
export const entryBytes = 128
/** Times that are set are kept to the nanosecond. */
const timeGranularityNs = 1
/** Requests for read-ahead and the like that the kernel has under way at once. */
const backgroundRequestsMax = 16

/** `fuse_out_header`, before `payload` bytes; `error` is a negative errno or 0. */
export function replyHeader(unique: bigint, error: number, payload: number): Buffer {
  const header = Buffer.alloc(headerBytes)
  header.writeUInt32LE(headerBytes + payload, 0)
  header.writeInt32LE(error, 4)
  header.writeBigUInt64LE(unique, 8)
  return header
}

/** `fuse_init_out`: what of the kernel's offer is taken. */
export function initReply(offer: {
  readonly minor: number
  readonly flags: number
  readonly maxReadahead: number
}): Buffer {
  const reply = Buffer.alloc(64)
  reply.writeUInt32LE(protocolMajor, 0)
  reply.writeUInt32LE(Math.min(offer.minor, protocolMinor), 4)
  reply.writeUInt32LE(Math.min(offer.maxReadahead, transferBytesMax), 8)
  reply.writeUInt32LE((offer.flags & wantedInitBits) >>> 0, 12)
  reply.writeUInt16LE(backgroundRequestsMax, 16)
  reply.writeUInt16LE((backgroundRequestsMax * 3) / 4, 18)
  reply.writeUInt32LE(transferBytesMax, 20)
  reply.writeUInt32LE(timeGranularityNs, 24)
  reply.writeUInt16LE((offer.flags & initBits.maxPages) === 0 ? 0 : transferBytesMax / 4096, 28)
  return reply
}

/** `fuse_entry_out`: an inode the kernel now knows once more. */
export function entryReply(attributes: NodeAttributes, validity: Validity): Buffer {
  const reply = Buffer.alloc(entryBytes)
  writeEntry(reply, 0, attributes, validity)
  return reply
}

/** `fuse_entry_out` and `fuse_open_out`. */
export function createReply(
  attributes: NodeAttributes,
  handle: number,
  validity: Validity,
): Buffer {
  return Buffer.concat([entryReply(attributes, validity), openReply(handle)])
}

/** `fuse_attr_out`. */
export function attributesReply(attributes: NodeAttributes, { attributesMs }: Validity): Buffer {
  const reply = Buffer.alloc(16 + attributeBytes)
  reply.writeUInt32LE(Math.floor(attributesMs / 1000), 0)
  reply.writeUInt32LE((attributesMs % 1000) * 1_000_000, 8)
  writeAttributes(reply, 16, attributes)
  return reply
}

/** `fuse_open_out`; the kernel drops the pages it has of the file unless `keepsPages`. */
export function openReply(handle: number, keepsPages = false): Buffer {
  const reply = Buffer.alloc(16)
  reply.writeBigUInt64LE(BigInt(handle), 0)
  reply.writeUInt32LE(keepsPages ? openKeepsCache : 0, 8)
  return reply
}

/** `fuse_write_out`. */
export function writeReply(size: number): Buffer {
  const reply = Buffer.alloc(8)
  reply.writeUInt32LE(size, 0)
  return reply
}

/**
 * Answer of GETXATTR and LISTXATTR: `fuse_getxattr_out` with the length when `size` is 0, else the bytes.
 * @throws MountError ERANGE when they are more than `size`
 */
export function xattrReply(bytes: Buffer, size: number): Buffer {
  if (size === 0) {
    const reply = Buffer.alloc(8)
    reply.writeUInt32LE(bytes.length, 0)
    return reply
  }
  if (bytes.length <= size) return bytes
  throw new MountError('ERANGE', `${bytes.length} bytes do not fit into ${size}`)
}

/** `fuse_kstatfs`, in units of `blockSize`. */
export function statfsReply({
  blockSize,
  blocks,
  free,
}: {
  readonly blockSize: number
  readonly blocks: number
  readonly free: number
}): Buffer {
  const reply = Buffer.alloc(80)
  reply.writeBigUInt64LE(BigInt(blocks), 0)
  reply.writeBigUInt64LE(BigInt(free), 8)
  reply.writeBigUInt64LE(BigInt(free), 16)
  reply.writeUInt32LE(blockSize, 40)
  reply.writeUInt32LE(255, 44)
  reply.writeUInt32LE(blockSize, 48)
  return reply
}

/** An entry of a directory; `offset` is where the next read goes on. */
export interface DirectoryEntry {
  readonly name: string
  readonly offset: number
  readonly attributes: NodeAttributes
}

/** Entries packed into at most `size` bytes, in order, for READDIR or, with attributes, READDIRPLUS. */
export class DirectoryReply {
  readonly #size: number
  /** Undefined for READDIR, without attributes. */
  readonly #validity: Validity | undefined
  readonly #parts: Buffer[] = []
  #used = 0

  constructor(size: number, validity: Validity | undefined) {
    this.#size = size
    this.#validity = validity
  }

  /** False, and nothing added, when the entry has no room. */
  add({ name, offset, attributes }: DirectoryEntry, isKnown: boolean): boolean {
    const start = this.#validity === undefined ? 0 : entryBytes
    const nameBytes = Buffer.from(name)
    const length = (start + 24 + nameBytes.length + 7) & ~7
    if (this.#used + length > this.#size) return false
    const part = Buffer.alloc(length)
    // A node number of 0 tells the kernel not to count a look-up: so for `.` and `..`.
    if (this.#validity !== undefined && isKnown) writeEntry(part, 0, attributes, this.#validity)
    part.writeBigUInt64LE(BigInt(attributes.ino), start)
    part.writeBigUInt64LE(BigInt(offset), start + 8)
    part.writeUInt32LE(nameBytes.length, start + 16)
    part.writeUInt32LE(attributes.mode >>> 12, start + 20)
    nameBytes.copy(part, start + 24)
    this.#parts.push(part)
    this.#used += length
    return true
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts, this.#used)
  }
}

function writeEntry(
  buffer: Buffer,
  at: number,
  attributes: NodeAttributes,
  { entriesMs, attributesMs }: Validity,
): void {
  buffer.writeBigUInt64LE(BigInt(attributes.node), at)
  buffer.writeUInt32LE(Math.floor(entriesMs / 1000), at + 16)
  buffer.writeUInt32LE(Math.floor(attributesMs / 1000), at + 24)
  buffer.writeUInt32LE((entriesMs % 1000) * 1_000_000, at + 32)
  buffer.writeUInt32LE((attributesMs % 1000) * 1_000_000, at + 36)
  writeAttributes(buffer, at + 40, attributes)
}

function writeAttributes(buffer: Buffer, at: number, attributes: NodeAttributes): void {
  const { ino, size, atimeMs, mtimeMs, ctimeMs, atimeNanos, mtimeNanos } = attributes
  const { mode, nlink, uid, gid, device } = attributes
  buffer.writeBigUInt64LE(BigInt(ino), at)
  buffer.writeBigUInt64LE(BigInt(size), at + 8)
  buffer.writeBigUInt64LE(BigInt(Math.ceil(size / 512)), at + 16)
  const times = [
    [atimeMs, atimeNanos],
    [mtimeMs, mtimeNanos],
    [ctimeMs, 0],
  ] as const
  times.forEach(([ms, nanos], index) => {
    const seconds = Math.floor(ms / 1000)
    buffer.writeBigInt64LE(BigInt(seconds), at + 24 + 8 * index)
    buffer.writeUInt32LE((ms - seconds * 1000) * 1_000_000 + nanos, at + 48 + 4 * index)
  })
  const words = [mode, nlink, uid, gid, device]
  words.forEach((word, index) => {
    buffer.writeUInt32LE(word >>> 0, at + 60 + 4 * index)
  })
  buffer.writeUInt32LE(4096, at + 80)
}
