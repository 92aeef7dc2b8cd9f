/**
 * Reading and writing of protobuf primitives in plain byte buffers.
 *
 * 1. All reads stay inside `[position, end)`; running past it throws `BAD_FRAME`, never garbage.
 * 2. A 64-bit value is a `number` only when it is exact: outside ±(2^53 - 1) the number readers throw,
 *    and the bigint readers must be used.
 * 3. A varint longer than 10 bytes is refused; bits beyond 64 are dropped, as protobuf does.
 * 4. Strings are UTF-8; invalid sequences read as U+FFFD, because HDFS peers are lenient, too.
 * 5. The writer owns one growing buffer. Nothing is allocated per value.
 */
import { DfsError } from './errors.ts'

/** Wire types of protobuf. */
export const wireTypes = {
  varint: 0,
  fixed64: 1,
  delimited: 2,
  startGroup: 3,
  endGroup: 4,
  fixed32: 5,
} as const

const groupDepthMax = 16
const two32 = 0x1_0000_0000
const scratch = new DataView(new ArrayBuffer(8))

/** Bytes a varint of a non-negative safe integer takes. */
export function varintSize(value: number): number {
  let size = 1
  let rest = value
  while (rest >= 128) {
    rest = Math.floor(rest / 128)
    size += 1
  }
  return size
}

/** Views `bytes` as a Buffer without copying. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A cursor over bytes that somebody else owns; `bytes()` returns views, not copies. */
export class ByteReader {
  #buffer: Buffer
  position: number
  end: number

  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.#buffer = asBuffer(bytes)
    this.position = position
    this.end = end
  }

  /** Starts over on other bytes, so that one reader can serve a whole connection. */
  reset(bytes: Buffer, position: number, end: number): void {
    this.#buffer = bytes
    this.position = position
    this.end = end
  }

  get buffer(): Buffer {
    return this.#buffer
  }

  get remaining(): number {
    return this.end - this.position
  }

  byte(): number {
    if (this.position >= this.end) this.#truncated('a byte')
    return this.#buffer[this.position++] ?? 0
  }

  /** Reads a varint and keeps its low 32 bits, unsigned. */
  uint32(): number {
    const buffer = this.#buffer
    const first =
      this.position < this.end ? (buffer[this.position] ?? 0) : this.#truncated('a varint')
    if (first < 128) {
      this.position += 1
      return first
    }
    let value = first & 127
    let shift = 7
    let position = this.position + 1
    for (;;) {
      if (position >= this.end) this.#truncated('a varint')
      const next = buffer[position] ?? 0
      position += 1
      if (shift < 32) value |= (next & 127) << shift
      if (next < 128) break
      shift += 7
      if (shift >= 70) this.#overlong()
    }
    this.position = position
    return value >>> 0
  }

  /** Reads a varint and keeps its low 32 bits, signed. */
  int32(): number {
    return this.uint32() | 0
  }

  sint32(): number {
    const value = this.uint32()
    return (value >>> 1) ^ -(value & 1)
  }

  /** Reads an unsigned 64-bit varint, or returns -1 when it is beyond 2^53 - 1 (nothing is consumed then). */
  uint64OrMinusOne(): number {
    const buffer = this.#buffer
    let value = 0
    let scale = 1
    let position = this.position
    for (let count = 0; ; count += 1) {
      if (position >= this.end) this.#truncated('a varint')
      if (count === 10) this.#overlong()
      const next = buffer[position] ?? 0
      position += 1
      if (count === 7 && (next & 127) > 15) return -1
      if (count > 7 && (next & 127) !== 0) return -1
      value += (next & 127) * scale
      if (next < 128) break
      scale *= 128
    }
    this.position = position
    return value
  }

  /** Reads a 64-bit varint as an unsigned bigint. */
  uint64Big(): bigint {
    let low = 0
    let high = 0
    for (let shift = 0; ; shift += 7) {
      if (shift >= 70) this.#overlong()
      const next = this.byte()
      const bits = next & 127
      if (shift < 28) low |= bits << shift
      else if (shift === 28) {
        low |= bits << 28
        high |= bits >>> 4
      } else if (shift < 64) high |= bits << (shift - 32)
      if (next < 128) break
    }
    return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  }

  /** Reads a 64-bit varint as a signed bigint. */
  int64Big(): bigint {
    return BigInt.asIntN(64, this.uint64Big())
  }

  fixed32(): number {
    const position = this.#advance(4, 'a 32-bit value')
    return this.#buffer.readInt32LE(position)
  }

  fixed64Big(): bigint {
    const position = this.#advance(8, 'a 64-bit value')
    return this.#buffer.readBigInt64LE(position)
  }

  /** Reads a signed little-endian 64-bit value; not exact beyond ±(2^53 - 1), which the caller checks. */
  fixed64(): number {
    const position = this.#advance(8, 'a 64-bit value')
    const low = this.#buffer.readUInt32LE(position)
    return this.#buffer.readInt32LE(position + 4) * two32 + low
  }

  double(): number {
    const position = this.#advance(8, 'a 64-bit value')
    return this.#buffer.readDoubleLE(position)
  }

  /** Reads a length and checks that as many bytes follow. */
  delimiter(): number {
    const length = this.uint32()
    if (length > this.end - this.position) {
      throw new DfsError(
        'BAD_FRAME',
        `Length ${length} at offset ${this.position} exceeds the ${this.end - this.position} bytes that follow`,
      )
    }
    return length
  }

  /** Reads a length and that many bytes, as a view that lives as long as the source. */
  bytes(): Buffer {
    const length = this.delimiter()
    const start = this.position
    this.position = start + length
    return this.#buffer.subarray(start, start + length)
  }

  string(): string {
    const length = this.delimiter()
    if (length === 0) return ''
    const start = this.position
    this.position = start + length
    return this.#buffer.toString('utf8', start, start + length)
  }

  /** Skips a field of wire type `wireType` whose tag has just been read. */
  skip(wireType: number, fieldNumber: number, depth = 0): void {
    switch (wireType) {
      case wireTypes.varint:
        this.#skipVarint()
        return
      case wireTypes.fixed64:
        this.#advance(8, 'a 64-bit value')
        return
      case wireTypes.delimited: {
        const length = this.delimiter()
        this.position += length
        return
      }
      case wireTypes.startGroup:
        this.#skipGroup(fieldNumber, depth + 1)
        return
      case wireTypes.fixed32:
        this.#advance(4, 'a 32-bit value')
        return
      default:
        throw new DfsError(
          'BAD_FRAME',
          `Field ${fieldNumber} at offset ${this.position} has impossible wire type ${wireType}`,
        )
    }
  }

  #skipVarint(): void {
    for (let count = 0; count < 10; count += 1) {
      if (this.byte() < 128) return
    }
    this.#overlong()
  }

  #skipGroup(fieldNumber: number, depth: number): void {
    if (depth > groupDepthMax) {
      throw new DfsError('BAD_FRAME', `Groups are nested deeper than ${groupDepthMax}`)
    }
    for (;;) {
      const tag = this.uint32()
      if ((tag & 7) === wireTypes.endGroup) {
        if (tag >>> 3 === fieldNumber) return
        throw new DfsError('BAD_FRAME', `Group ${fieldNumber} is closed as ${tag >>> 3}`)
      }
      this.skip(tag & 7, tag >>> 3, depth)
    }
  }

  #advance(size: number, what: string): number {
    const position = this.position
    if (size > this.end - position) this.#truncated(what)
    this.position = position + size
    return position
  }

  #truncated(what: string): never {
    throw new DfsError('BAD_FRAME', `Bytes end at offset ${this.end} inside ${what}`)
  }

  #overlong(): never {
    throw new DfsError('BAD_FRAME', `Varint at offset ${this.position} is longer than 10 bytes`)
  }
}

/** Appends to one growing buffer; `length` is what has been written and may be set back. */
export class ByteWriter {
  buffer: Buffer
  length = 0

  constructor(capacityBytes = 256) {
    this.buffer = Buffer.allocUnsafe(capacityBytes)
  }

  /** Makes room for `size` more bytes. */
  reserve(size: number): void {
    if (this.length + size > this.buffer.length) this.#grow(size)
  }

  /** Returns what was written as a view; the next write may overwrite it. */
  view(start = 0): Buffer {
    return this.buffer.subarray(start, this.length)
  }

  /** Returns a copy of what was written. */
  copy(start = 0): Buffer {
    return Buffer.from(this.buffer.subarray(start, this.length))
  }

  /** Hands the buffer to the caller and starts a new one of the same capacity. */
  take(): Buffer {
    const taken = this.view()
    this.buffer = Buffer.allocUnsafe(this.buffer.length)
    this.length = 0
    return taken
  }

  byte(value: number): void {
    if (this.length >= this.buffer.length) this.#grow(1)
    this.buffer[this.length++] = value
  }

  /** Writes a varint of an integer in `[0, 2^32)`. */
  uint32(value: number): void {
    if (this.length + 5 > this.buffer.length) this.#grow(5)
    const buffer = this.buffer
    let rest = value >>> 0
    while (rest > 127) {
      buffer[this.length++] = (rest & 127) | 128
      rest >>>= 7
    }
    buffer[this.length++] = rest
  }

  /** Writes a varint of a signed 32-bit integer; negative ones take 10 bytes, as protobuf demands. */
  int32(value: number): void {
    if (value >= 0) this.uint32(value)
    else this.uint64Big(BigInt.asUintN(64, BigInt(value)))
  }

  sint32(value: number): void {
    this.uint32(((value << 1) ^ (value >> 31)) >>> 0)
  }

  /** Writes a varint of a safe integer >= 0. */
  uint64(value: number): void {
    if (value < two32) {
      this.uint32(value)
      return
    }
    this.reserve(10)
    const buffer = this.buffer
    let rest = value
    while (rest >= two32) {
      buffer[this.length++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.uint32(rest)
  }

  /** Writes a varint of a safe integer of either sign, in two's complement. */
  int64(value: number): void {
    if (value >= 0) this.uint64(value)
    else this.uint64Big(BigInt.asUintN(64, BigInt(value)))
  }

  /** Writes a varint of an integer in `[0, 2^64)`. */
  uint64Big(value: bigint): void {
    this.reserve(10)
    const buffer = this.buffer
    let low = Number(value & 0xffff_ffffn)
    let high = Number(value >> 32n)
    while (high !== 0 || low > 127) {
      buffer[this.length++] = (low & 127) | 128
      low = ((low >>> 7) | (high << 25)) >>> 0
      high >>>= 7
    }
    buffer[this.length++] = low
  }

  fixed32(value: number): void {
    this.reserve(4)
    this.length = this.buffer.writeInt32LE(value | 0, this.length)
  }

  /** Writes a safe integer of either sign as 8 bytes, little-endian. */
  fixed64(value: number): void {
    this.reserve(8)
    const high = Math.floor(value / two32)
    this.buffer.writeUInt32LE(value - high * two32, this.length)
    this.length = this.buffer.writeInt32LE(high, this.length + 4)
  }

  double(value: number): void {
    this.reserve(8)
    scratch.setFloat64(0, value, true)
    for (let index = 0; index < 8; index += 1) this.buffer[this.length++] = scratch.getUint8(index)
  }

  /** Writes bytes as they are, without a length. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.length)
    this.length += bytes.length
  }

  /** Writes a length and the bytes. */
  bytes(bytes: Uint8Array): void {
    this.uint32(bytes.length)
    this.raw(bytes)
  }

  /** Writes a length and the string in UTF-8. */
  string(value: string): void {
    const count = value.length
    if (count < 64) {
      this.reserve(count + 1)
      const buffer = this.buffer
      const start = this.length + 1
      let index = 0
      for (; index < count; index += 1) {
        const unit = value.charCodeAt(index)
        if (unit > 127) break
        buffer[start + index] = unit
      }
      if (index === count) {
        buffer[start - 1] = count
        this.length = start + count
        return
      }
    }
    const size = Buffer.byteLength(value)
    this.uint32(size)
    this.reserve(size)
    this.length += this.buffer.write(value, this.length, size, 'utf8')
  }

  /**
   * Opens a length-delimited stretch and returns its mark for {@link endDelimited}. One byte is kept
   * for the length; longer stretches are moved when they end.
   */
  beginDelimited(): number {
    this.reserve(1)
    this.length += 1
    return this.length
  }

  /** Closes the stretch opened at `mark`. */
  endDelimited(mark: number): void {
    const size = this.length - mark
    if (size < 128) {
      this.buffer[mark - 1] = size
      return
    }
    const extra = varintSize(size) - 1
    this.reserve(extra)
    this.buffer.copyWithin(mark + extra, mark, this.length)
    this.length = mark - 1
    this.uint32(size)
    this.length += size
  }

  #grow(size: number): void {
    const needed = this.length + size
    const grown = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(grown, 0, 0, this.length)
    this.buffer = grown
  }
}
