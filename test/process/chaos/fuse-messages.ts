/**
 * The part of the kernel's FUSE protocol (Linux, version 7) that the volatile disk speaks. All numbers are little-endian.
 *
 *     request   offset  size  field
 *                    0     4  length of the whole request
 *                    4     4  operation
 *                    8     8  unique, echoed in the answer
 *                   16     8  node, the inode
 *                   40     -  what the operation needs
 *
 *     answer         0     4  length of the whole answer
 *                    4     4  0 or minus an errno
 *                    8     8  unique
 *                   16     -  what the operation gives
 */
import type { VolatileNode } from './volatile-tree.ts'

export const requestHeaderBytes = 40
export const answerHeaderBytes = 16
export const writeBytesMax = 2 ** 20
/** The kernel refuses to hand a request to a smaller buffer. */
export const requestBytesMax = writeBytesMax + 4096

export const operations = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  access: 34,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  rename2: 45,
} as const

/** Errno numbers of Linux. */
export const errnos = {
  ENOENT: 2,
  EIO: 5,
  EEXIST: 17,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENOSPC: 28,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  EOPNOTSUPP: 95,
} as const

/** Which fields of a setattr request count. */
export const setattrFields = { mode: 1, size: 8, mtime: 32 } as const

const initFlags = {
  asyncRead: 1 << 0,
  bigWrites: 1 << 5,
  asyncDirectIo: 1 << 15,
  maxPages: 1 << 22,
}
const attributeSeconds = 3600n
const attributesBytes = 88
const entryBytes = 128
const openBytes = 16

/** One request, its fields read where the protocol has them. */
export class FuseRequest {
  readonly operation: number
  readonly unique: bigint
  readonly inode: number
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.operation = bytes.readUInt32LE(4)
    this.unique = bytes.readBigUInt64LE(8)
    this.inode = Number(bytes.readBigUInt64LE(16))
  }

  u32(offset: number): number {
    return this.#bytes.readUInt32LE(requestHeaderBytes + offset)
  }

  u64(offset: number): number {
    return Number(this.#bytes.readBigUInt64LE(requestHeaderBytes + offset))
  }

  /** The names behind the fixed fields, each ended by a zero byte. */
  names(offset: number): string[] {
    return this.#bytes
      .toString('utf8', requestHeaderBytes + offset)
      .split('\0')
      .slice(0, -1)
  }

  /** Borrowed: valid until the next request is read. */
  data(offset: number, length: number): Buffer {
    const start = requestHeaderBytes + offset
    return this.#bytes.subarray(start, start + length)
  }
}

/** An answer with room for `length` bytes behind its header. */
export function newAnswer({ unique }: FuseRequest, length: number, errno = 0): Buffer {
  const answer = Buffer.alloc(answerHeaderBytes + length)
  answer.writeUInt32LE(answer.length, 0)
  answer.writeInt32LE(-errno, 4)
  answer.writeBigUInt64LE(unique, 8)
  return answer
}

export function initAnswer(request: FuseRequest): Buffer {
  const { asyncRead, bigWrites, asyncDirectIo, maxPages } = initFlags
  const answer = newAnswer(request, 64)
  answer.writeUInt32LE(7, 16)
  answer.writeUInt32LE(Math.min(request.u32(4), 38), 20)
  answer.writeUInt32LE(2 ** 20, 24)
  answer.writeUInt32LE((asyncRead | bigWrites | asyncDirectIo | maxPages) & request.u32(12), 28)
  answer.writeUInt16LE(64, 32)
  answer.writeUInt16LE(48, 34)
  answer.writeUInt32LE(writeBytesMax, 36)
  answer.writeUInt32LE(1, 40)
  answer.writeUInt16LE(writeBytesMax / 4096, 44)
  return answer
}

function putAttributes(answer: Buffer, at: number, node: VolatileNode): void {
  const size = node.kind === 'file' ? node.size : 4096
  const seconds = BigInt(Math.floor(node.mtimeMs / 1000))
  const nanoseconds = (node.mtimeMs % 1000) * 1_000_000
  answer.writeBigUInt64LE(BigInt(node.inode), at)
  answer.writeBigUInt64LE(BigInt(size), at + 8)
  answer.writeBigUInt64LE(BigInt(Math.ceil(size / 512)), at + 16)
  for (const offset of [24, 32, 40]) answer.writeBigUInt64LE(seconds, at + offset)
  for (const offset of [48, 52, 56]) answer.writeUInt32LE(Math.floor(nanoseconds), at + offset)
  answer.writeUInt32LE(node.mode, at + 60)
  answer.writeUInt32LE(node.kind === 'file' ? node.linkCount : 2, at + 64)
  answer.writeUInt32LE(4096, at + 80)
}

export function attributesAnswer(request: FuseRequest, node: VolatileNode): Buffer {
  const answer = newAnswer(request, 16 + attributesBytes)
  answer.writeBigUInt64LE(attributeSeconds, 16)
  putAttributes(answer, 32, node)
  return answer
}

/** The answer to lookup and mkdir; with room for that of open behind it, the one to create. */
export function entryAnswer(request: FuseRequest, node: VolatileNode, isOpened = false): Buffer {
  const answer = newAnswer(request, entryBytes + (isOpened ? openBytes : 0))
  answer.writeBigUInt64LE(BigInt(node.inode), 16)
  answer.writeBigUInt64LE(attributeSeconds, 32)
  answer.writeBigUInt64LE(attributeSeconds, 40)
  putAttributes(answer, 56, node)
  return answer
}

export function openAnswer(request: FuseRequest): Buffer {
  return newAnswer(request, openBytes)
}

export function writeAnswer(request: FuseRequest, written: number): Buffer {
  const answer = newAnswer(request, 8)
  answer.writeUInt32LE(written, 16)
  return answer
}

export function statfsAnswer(
  request: FuseRequest,
  { free, total }: { readonly free: number; readonly total: number },
): Buffer {
  const answer = newAnswer(request, 80)
  answer.writeBigUInt64LE(BigInt(Math.floor(total / 4096)), 16)
  answer.writeBigUInt64LE(BigInt(Math.floor(free / 4096)), 24)
  answer.writeBigUInt64LE(BigInt(Math.floor(free / 4096)), 32)
  answer.writeBigUInt64LE(1_000_000n, 40)
  answer.writeBigUInt64LE(1_000_000n, 48)
  answer.writeUInt32LE(4096, 56)
  answer.writeUInt32LE(255, 60)
  answer.writeUInt32LE(4096, 64)
  return answer
}

/** As many entries as fit in `bytesMax`, from the `start`th on. */
export function directoryAnswer(
  request: FuseRequest,
  entries: readonly (readonly [name: string, node: VolatileNode])[],
  { start, bytesMax }: { readonly start: number; readonly bytesMax: number },
): Buffer {
  const parts: Buffer[] = []
  let used = 0
  for (const [index, [name, node]] of entries.entries()) {
    if (index < start) continue
    const text = Buffer.from(name)
    const part = Buffer.alloc(Math.ceil((24 + text.length) / 8) * 8)
    if (used + part.length > bytesMax) break
    part.writeBigUInt64LE(BigInt(node.inode), 0)
    part.writeBigUInt64LE(BigInt(index + 1), 8)
    part.writeUInt32LE(text.length, 16)
    part.writeUInt32LE(node.mode >> 12, 20)
    text.copy(part, 24)
    parts.push(part)
    used += part.length
  }
  return dataAnswer(request, Buffer.concat(parts))
}

export function dataAnswer(request: FuseRequest, data: Buffer): Buffer {
  const answer = newAnswer(request, data.length)
  data.copy(answer, answerHeaderBytes)
  return answer
}
