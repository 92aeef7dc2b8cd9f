/**
 * The data transfer protocol, version 28: framing of operations, packets and acknowledgements.
 * Messages are in messages/data-transfer.ts, the dialogue in docs/protocol/data-transfer.md.
 *
 *     operation   00 1C · opcode (1 byte) · delimited Op… message
 *     reply       delimited BlockOpResponse
 *     ack         delimited PipelineAck
 *     packet      offset  size       field
 *                      0  4 BE       PLEN = 4 + checksums + data (counts itself, not HLEN and header)
 *                      4  2 BE       HLEN
 *                      6  HLEN       PacketHeader, protobuf with fixed-width fields
 *                 6 + HLEN  4 · chunks   checksums, big-endian, one per chunk
 *                       …  dataLen    data
 *
 * 1. Everything decodes from any split of the bytes: the `try…` functions return `undefined` until
 *    enough is there, the decoder classes keep what is incomplete.
 * 2. Lengths are checked against limits.ts before anything is kept or allocated.
 * 3. A packet without data has no checksums; only such a packet ends a block.
 */

import { asBuffer, ByteReader, ByteWriter } from './codec.ts'
import { DfsError } from './errors.ts'
import { limits } from './limits.ts'
import {
  type EncodableOf,
  type Fields,
  type MessageOf,
  type MessageType,
  readDelimited,
  writeDelimited,
} from './message.ts'
import {
  type OpBlockChecksum,
  type OpBlockGroupChecksum,
  type OpCopyBlock,
  type OpReadBlock,
  type OpReplaceBlock,
  type OpRequestShortCircuitAccess,
  type OpTransferBlock,
  type OpWriteBlock,
  opBlockChecksum,
  opBlockGroupChecksum,
  opCopyBlock,
  opReadBlock,
  opReplaceBlock,
  opRequestShortCircuitAccess,
  opTransferBlock,
  opWriteBlock,
  type PacketHeader,
  packetHeader,
  type ReleaseShortCircuitAccessRequest,
  releaseShortCircuitAccessRequest,
  type ShortCircuitShmRequest,
  shortCircuitShmRequest,
} from './messages/data-transfer.ts'
import type { ChecksumType } from './messages/hdfs.ts'

export type { PacketHeader, PipelineAck } from './messages/data-transfer.ts'

/** Version in front of every operation; a datanode closes the connection on another one. */
export const dataTransferVersion = 28

/** Codes of the operations that have a message. */
export const opcodes = {
  writeBlock: 80,
  readBlock: 81,
  replaceBlock: 83,
  copyBlock: 84,
  blockChecksum: 85,
  transferBlock: 86,
  requestShortCircuitFds: 87,
  releaseShortCircuitFds: 88,
  requestShortCircuitShm: 89,
  blockGroupChecksum: 90,
} as const
export type OperationName = keyof typeof opcodes

/** An operation as it arrives at a datanode. */
export type Operation =
  | { readonly kind: 'writeBlock'; readonly message: OpWriteBlock }
  | { readonly kind: 'readBlock'; readonly message: OpReadBlock }
  | { readonly kind: 'replaceBlock'; readonly message: OpReplaceBlock }
  | { readonly kind: 'copyBlock'; readonly message: OpCopyBlock }
  | { readonly kind: 'blockChecksum'; readonly message: OpBlockChecksum }
  | { readonly kind: 'transferBlock'; readonly message: OpTransferBlock }
  | { readonly kind: 'requestShortCircuitFds'; readonly message: OpRequestShortCircuitAccess }
  | { readonly kind: 'releaseShortCircuitFds'; readonly message: ReleaseShortCircuitAccessRequest }
  | { readonly kind: 'requestShortCircuitShm'; readonly message: ShortCircuitShmRequest }
  | { readonly kind: 'blockGroupChecksum'; readonly message: OpBlockGroupChecksum }

/** A decoded value and the offset behind its bytes. */
export interface Taken<T> {
  readonly value: T
  readonly next: number
}

/** Bytes of version and opcode. */
export const operationPrefixBytes = 3
/** Bytes of PLEN and HLEN. */
export const packetLengthsBytes = 6
/** Encoded header without `syncBlock`. */
export const packetHeaderBytesMin = 25
/** Encoded header with `syncBlock`. */
export const packetHeaderBytesWithSync = 27
/** Bytes of one chunk checksum on the wire. */
export const checksumBytes = 4
/** Seqno of a packet that only keeps the connection alive; it is acknowledged under the same number. */
export const heartbeatSeqno = -1
/** Seqno of an ack that answers no packet in particular: a restart, or a dead downstream node. */
export const unsolicitedSeqno = -2

/** Layout of the fixed-width header: tags and offsets within the message. */
const header = {
  offsetTag: 0,
  offset: 1,
  seqnoTag: 9,
  seqno: 10,
  lastTag: 18,
  last: 19,
  dataLenTag: 20,
  dataLen: 21,
  syncTag: 25,
  sync: 26,
} as const
const tags = { offset: 0x09, seqno: 0x11, last: 0x18, dataLen: 0x25, sync: 0x28 } as const
const two32 = 0x1_0000_0000

/** Encodes an operation with version, opcode and length. */
export function encodeOperation<F extends Fields>(
  opcode: number,
  type: MessageType<F>,
  value: EncodableOf<MessageType<F>>,
): Uint8Array {
  const writer = new ByteWriter(512)
  writer.byte(dataTransferVersion >>> 8)
  writer.byte(dataTransferVersion & 255)
  writer.byte(opcode)
  writeDelimited(writer, type, value)
  return writer.view()
}

/**
 * Decodes the operation at `start`, or returns `undefined` while it is incomplete.
 * @throws {@link DfsError} VERSION_MISMATCH on another version, UNSUPPORTED_OPERATION on an opcode
 * without message, BAD_FRAME when it is too long or does not decode
 */
export function tryDecodeOperation(
  buffer: Uint8Array,
  start: number,
  end: number,
): Taken<Operation> | undefined {
  if (end - start < operationPrefixBytes) return undefined
  const version = ((buffer[start] ?? 0) << 8) | (buffer[start + 1] ?? 0)
  if (version !== dataTransferVersion) {
    throw new DfsError(
      'VERSION_MISMATCH',
      `Data transfer version must be ${dataTransferVersion}, got ${version}`,
    )
  }
  const opcode = buffer[start + 2] ?? 0
  const from = start + operationPrefixBytes
  if (!hasDelimited(buffer, from, end, limits.operationBytesMax)) {
    if (nameOfOpcode(opcode) === undefined) refuseOpcode(opcode)
    return undefined
  }
  const reader = new ByteReader(buffer, from, end)
  const value = readOperation(reader, opcode)
  return { value, next: reader.position }
}

/**
 * Decodes the delimited message at `start`, or returns `undefined` while it is incomplete.
 * @throws {@link DfsError} BAD_FRAME when it is longer than `bytesMax` or does not decode
 */
export function tryDecodeDelimited<F extends Fields>(
  type: MessageType<F>,
  buffer: Uint8Array,
  start: number,
  end: number,
): Taken<MessageOf<MessageType<F>>> | undefined {
  if (!hasDelimited(buffer, start, end, limits.operationBytesMax)) return undefined
  const reader = new ByteReader(buffer, start, end)
  const value = readDelimited(reader, type)
  return { value, next: reader.position }
}

/** Decodes a stream of delimited messages of one type, such as acks, from any split of its bytes. */
export class DelimitedDecoder<F extends Fields> {
  readonly #type: MessageType<F>
  #pending: Buffer | undefined

  constructor(type: MessageType<F>) {
    this.#type = type
  }

  /** True when no message is incomplete. */
  get isClean(): boolean {
    return this.#pending === undefined
  }

  /**
   * Decodes what `bytes` complete. `bytes` may be reused afterwards unless a decoded message has
   * `bytes` fields, which are views.
   * @throws {@link DfsError} BAD_FRAME as {@link tryDecodeDelimited}
   */
  push(bytes: Uint8Array): MessageOf<MessageType<F>>[] {
    const input =
      this.#pending === undefined ? asBuffer(bytes) : Buffer.concat([this.#pending, bytes])
    const messages: MessageOf<MessageType<F>>[] = []
    let position = 0
    for (;;) {
      const taken = tryDecodeDelimited(this.#type, input, position, input.length)
      if (taken === undefined) break
      messages.push(taken.value)
      position = taken.next
    }
    this.#pending = position === input.length ? undefined : Buffer.from(input.subarray(position))
    return messages
  }
}

/** Bytes that PLEN, HLEN and header of a packet take. */
export function packetPrefixBytes(syncBlock: boolean): number {
  return packetLengthsBytes + (syncBlock ? packetHeaderBytesWithSync : packetHeaderBytesMin)
}

/** What {@link encodePacketHeader} writes. */
export interface PacketHeaderFields {
  readonly offsetInBlock: number
  readonly seqno: number
  readonly lastPacketInBlock: boolean
  readonly dataLen: number
  readonly syncBlock?: boolean | undefined
}

/**
 * Writes PLEN, HLEN and header of a packet at `offset` and returns the offset behind them. `syncBlock`
 * is written only when true, as HDFS does; see {@link packetPrefixBytes}.
 */
export function encodePacketHeader(
  target: Buffer,
  offset: number,
  fields: PacketHeaderFields,
  checksumsBytes: number,
): number {
  const hasSync = fields.syncBlock === true
  const headerBytes = hasSync ? packetHeaderBytesWithSync : packetHeaderBytesMin
  target.writeUInt32BE(4 + checksumsBytes + fields.dataLen, offset)
  target.writeUInt16BE(headerBytes, offset + 4)
  const start = offset + packetLengthsBytes
  target[start + header.offsetTag] = tags.offset
  writeFixed64(target, start + header.offset, fields.offsetInBlock)
  target[start + header.seqnoTag] = tags.seqno
  writeFixed64(target, start + header.seqno, fields.seqno)
  target[start + header.lastTag] = tags.last
  target[start + header.last] = fields.lastPacketInBlock ? 1 : 0
  target[start + header.dataLenTag] = tags.dataLen
  target.writeInt32LE(fields.dataLen, start + header.dataLen)
  if (hasSync) {
    target[start + header.syncTag] = tags.sync
    target[start + header.sync] = 1
  }
  return start + headerBytes
}

/**
 * Decodes the header message in `[start, end)`: without the generic codec when it has HDFS's usual
 * form, with it otherwise.
 * @throws {@link DfsError} BAD_FRAME when it does not decode or its values cannot be
 */
export function decodePacketHeader(buffer: Buffer, start: number, end: number): PacketHeader {
  const size = end - start
  const isUsual =
    (size === packetHeaderBytesMin ||
      (size === packetHeaderBytesWithSync && buffer[start + header.syncTag] === tags.sync)) &&
    buffer[start + header.offsetTag] === tags.offset &&
    buffer[start + header.seqnoTag] === tags.seqno &&
    buffer[start + header.lastTag] === tags.last &&
    (buffer[start + header.last] ?? 2) < 2 &&
    buffer[start + header.dataLenTag] === tags.dataLen
  const decoded = isUsual
    ? {
        offsetInBlock: readFixed64(buffer, start + header.offset),
        seqno: readFixed64(buffer, start + header.seqno),
        lastPacketInBlock: buffer[start + header.last] === 1,
        dataLen: buffer.readInt32LE(start + header.dataLen),
        syncBlock: size === packetHeaderBytesWithSync && buffer[start + header.sync] !== 0,
      }
    : packetHeader.codec.read(new ByteReader(buffer, start, end))
  const { dataLen, offsetInBlock, lastPacketInBlock, seqno } = decoded
  if (
    dataLen < 0 ||
    !(offsetInBlock >= 0 && offsetInBlock <= Number.MAX_SAFE_INTEGER) ||
    !(seqno >= heartbeatSeqno && seqno <= Number.MAX_SAFE_INTEGER) ||
    (lastPacketInBlock && dataLen !== 0)
  ) {
    throw new DfsError(
      'BAD_FRAME',
      `Packet header cannot be: seqno ${seqno}, offset ${offsetInBlock}, ${dataLen} bytes, last ${lastPacketInBlock}`,
    )
  }
  return decoded
}

/** Throws BAD_FRAME unless PLEN and HLEN are within the limits. */
export function checkPacketLengths(payloadBytes: number, headerBytes: number): void {
  if (payloadBytes < 4 || payloadBytes + headerBytes > limits.packetBytesMax) {
    throw new DfsError(
      'BAD_FRAME',
      `Packet payload must be 4 to ${limits.packetBytesMax} bytes with its header, got ${payloadBytes}`,
    )
  }
  if (headerBytes < 1 || headerBytes > limits.packetHeaderBytesMax) {
    throw new DfsError(
      'BAD_FRAME',
      `Packet header must be 1 to ${limits.packetHeaderBytesMax} bytes, got ${headerBytes}`,
    )
  }
}

/** Bytes of checksums that go with `dataBytes` of data. */
export function checksumsBytesFor(
  type: ChecksumType,
  bytesPerChecksum: number,
  dataBytes: number,
): number {
  return type === 'CHECKSUM_NULL' ? 0 : Math.ceil(dataBytes / bytesPerChecksum) * checksumBytes
}

/** PLEN, HLEN and header of a packet. */
export interface PacketPrefix {
  readonly header: PacketHeader
  /** Bytes of checksums that follow, from PLEN and `dataLen`. */
  readonly checksumsBytes: number
  /** Bytes of PLEN, HLEN and header themselves. */
  readonly prefixBytes: number
}

/**
 * Decodes PLEN, HLEN and header at `start`, or returns `undefined` while they are incomplete.
 * @throws {@link DfsError} BAD_FRAME when the lengths are out of bounds or contradict each other
 */
export function tryDecodePacketPrefix(
  buffer: Buffer,
  start: number,
  end: number,
): PacketPrefix | undefined {
  if (end - start < packetLengthsBytes) return undefined
  const payloadBytes = buffer.readInt32BE(start)
  const headerBytes = buffer.readUInt16BE(start + 4)
  checkPacketLengths(payloadBytes, headerBytes)
  const prefixBytes = packetLengthsBytes + headerBytes
  if (end - start < prefixBytes) return undefined
  const decoded = decodePacketHeader(buffer, start + packetLengthsBytes, start + prefixBytes)
  const checksumsBytes = payloadBytes - 4 - decoded.dataLen
  if (checksumsBytes < 0 || checksumsBytes % checksumBytes !== 0) {
    throw new DfsError(
      'BAD_FRAME',
      `Packet of ${decoded.dataLen} bytes cannot have a payload of ${payloadBytes} bytes`,
    )
  }
  return { header: decoded, checksumsBytes, prefixBytes }
}

/** Throws BAD_FRAME unless a packet has one checksum per chunk of its data. */
export function checkPacketChecksums(
  { header: { dataLen, seqno }, checksumsBytes }: PacketPrefix,
  type: ChecksumType,
  bytesPerChecksum: number,
): void {
  const wanted = checksumsBytesFor(type, bytesPerChecksum, dataLen)
  if (checksumsBytes !== wanted) {
    throw new DfsError(
      'BAD_FRAME',
      `Packet ${seqno} of ${dataLen} bytes must have ${wanted} bytes of checksums, got ${checksumsBytes}`,
    )
  }
}

/** Collects PLEN, HLEN and header of one packet after another from any split of the bytes. */
export class PacketHeaderDecoder {
  readonly #buffer = Buffer.allocUnsafe(packetLengthsBytes + limits.packetHeaderBytesMax)
  #length = 0

  /** True between packets. */
  get isClean(): boolean {
    return this.#length === 0
  }

  /**
   * Takes bytes from `bytes` at `start`. When the prefix is complete it is returned with the offset
   * behind it, where checksums and data follow; otherwise all bytes are kept and `undefined` returned.
   * @throws {@link DfsError} BAD_FRAME as {@link tryDecodePacketPrefix}
   */
  push(bytes: Buffer, start: number, end: number): Taken<PacketPrefix> | undefined {
    if (this.#length === 0) {
      const whole = tryDecodePacketPrefix(bytes, start, end)
      if (whole !== undefined) return { value: whole, next: start + whole.prefixBytes }
    }
    let position = start
    while (position < end) {
      const goal = this.#goal()
      const count = Math.min(goal - this.#length, end - position)
      bytes.copy(this.#buffer, this.#length, position, position + count)
      this.#length += count
      position += count
      const prefix = tryDecodePacketPrefix(this.#buffer, 0, this.#length)
      if (prefix !== undefined) {
        this.#length = 0
        return { value: prefix, next: position }
      }
    }
    return undefined
  }

  #goal(): number {
    if (this.#length < packetLengthsBytes) return packetLengthsBytes
    return packetLengthsBytes + this.#buffer.readUInt16BE(4)
  }
}

/** A packet with views of its parts. */
export interface Packet {
  readonly header: PacketHeader
  /** 4 bytes big-endian per chunk. */
  readonly checksums: Buffer
  readonly data: Buffer
}

/**
 * Decodes the whole packet at `start`, or returns `undefined` while it is incomplete. For tools and
 * tests; bulk paths read prefix, checksums and data into their own buffers.
 * @throws {@link DfsError} BAD_FRAME as {@link tryDecodePacketPrefix}
 */
export function tryDecodePacket(
  buffer: Buffer,
  start: number,
  end: number,
): Taken<Packet> | undefined {
  const prefix = tryDecodePacketPrefix(buffer, start, end)
  if (prefix === undefined) return undefined
  const checksumsStart = start + prefix.prefixBytes
  const dataStart = checksumsStart + prefix.checksumsBytes
  const next = dataStart + prefix.header.dataLen
  if (next > end) return undefined
  return {
    value: {
      header: prefix.header,
      checksums: buffer.subarray(checksumsStart, dataStart),
      data: buffer.subarray(dataStart, next),
    },
    next,
  }
}

function readOperation(reader: ByteReader, opcode: number): Operation {
  const kind = nameOfOpcode(opcode)
  switch (kind) {
    case 'writeBlock':
      return { kind, message: readDelimited(reader, opWriteBlock) }
    case 'readBlock':
      return { kind, message: readDelimited(reader, opReadBlock) }
    case 'replaceBlock':
      return { kind, message: readDelimited(reader, opReplaceBlock) }
    case 'copyBlock':
      return { kind, message: readDelimited(reader, opCopyBlock) }
    case 'blockChecksum':
      return { kind, message: readDelimited(reader, opBlockChecksum) }
    case 'transferBlock':
      return { kind, message: readDelimited(reader, opTransferBlock) }
    case 'requestShortCircuitFds':
      return { kind, message: readDelimited(reader, opRequestShortCircuitAccess) }
    case 'releaseShortCircuitFds':
      return { kind, message: readDelimited(reader, releaseShortCircuitAccessRequest) }
    case 'requestShortCircuitShm':
      return { kind, message: readDelimited(reader, shortCircuitShmRequest) }
    case 'blockGroupChecksum':
      return { kind, message: readDelimited(reader, opBlockGroupChecksum) }
    case undefined:
      return refuseOpcode(opcode)
  }
}

const nameByOpcode = new Map<number, OperationName>(
  Object.entries(opcodes).map(([name, opcode]) => [opcode, name as OperationName]),
)

function nameOfOpcode(opcode: number): OperationName | undefined {
  return nameByOpcode.get(opcode)
}

function refuseOpcode(opcode: number): never {
  throw new DfsError('UNSUPPORTED_OPERATION', `Data transfer operation ${opcode} is not supported`)
}

/** True when a length and that many bytes are there. */
function hasDelimited(buffer: Uint8Array, start: number, end: number, bytesMax: number): boolean {
  let length = 0
  let scale = 1
  for (let position = start; position < end; position += 1) {
    const byte = buffer[position] ?? 0
    length += (byte & 127) * scale
    if (length > bytesMax || position - start > 4) {
      throw new DfsError('BAD_FRAME', `Message must be at most ${bytesMax} bytes, got ${length}`)
    }
    if (byte < 128) return end - position - 1 >= length
    scale *= 128
  }
  return false
}

function writeFixed64(target: Buffer, offset: number, value: number): void {
  const high = Math.floor(value / two32)
  target.writeUInt32LE(value - high * two32, offset)
  target.writeInt32LE(high, offset + 4)
}

function readFixed64(buffer: Buffer, offset: number): number {
  return buffer.readInt32LE(offset + 4) * two32 + buffer.readUInt32LE(offset)
}
