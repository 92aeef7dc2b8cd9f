/**
 * Types that a message field may have. Each kind is bound to one field, whose name its errors carry.
 *
 * 64-bit fields come in two kinds. `u64`, `i64`, `s64` and `sf64` are numbers and refuse values beyond
 * ±(2^53 - 1), both ways; `u64big` and `i64big` are bigints, for fields in which HDFS peers really send
 * 2^63 - 1 or 2^64 - 1 (quotas, "leave unchanged", random ids).
 */
import { type ByteReader, type ByteWriter, wireTypes } from './codec.ts'
import { DfsError } from './errors.ts'

/** Writes and reads one value of a field; the tag is the caller's. */
export interface Codec<Decoded, Encodable> {
  write(writer: ByteWriter, value: Encodable): void
  /** Returns `undefined` when the value counts as unset. */
  read(reader: ByteReader): Decoded | undefined
}

/** A type that a field may have. */
export interface Kind<Decoded, Encodable = Decoded> {
  readonly wireType: number
  /** Binds the kind to the field `what` ("Message.field") that errors are to name. */
  readonly bind: (what: string) => Codec<Decoded, Encodable>
}

/** An enumeration; values are HDFS's member names. */
export interface EnumKind<Name extends string> extends Kind<Name> {
  readonly numberByName: Readonly<Record<Name, number>>
  nameOf(number: number): Name | undefined
}

/** Member names of an enumeration as a union. */
export type EnumOf<T> = T extends EnumKind<infer Name> ? Name : never

const safe = Number.MAX_SAFE_INTEGER
const uint32Max = 0xffff_ffff
const int32Min = -0x8000_0000
const int32Max = 0x7fff_ffff
const uint64Max = 2n ** 64n - 1n
const int64Min = -(2n ** 63n)
const int64Max = 2n ** 63n - 1n

/** Declares an enumeration by member name, as HDFS spells them. */
export function enumeration<const T extends Readonly<Record<string, number>>>(
  numberByName: T,
): EnumKind<keyof T & string> {
  type Name = keyof T & string
  const names = new Map<number, Name>()
  for (const name of Object.keys(numberByName) as Name[]) {
    names.set(numberByName[name] ?? 0, name)
  }
  return {
    wireType: wireTypes.varint,
    numberByName,
    nameOf: (number) => names.get(number),
    bind: (what) => ({
      write(writer, value) {
        const number: number | undefined = numberByName[value]
        if (number === undefined) unfit(what, `one of ${[...names.values()].join(', ')}`, value)
        writer.int32(number)
      },
      read: (reader) => names.get(reader.int32()),
    }),
  }
}

/** `uint32`. */
export const u32: Kind<number> = {
  wireType: wireTypes.varint,
  bind: (what) => ({
    write(writer, value) {
      if (value >>> 0 !== value) checkRange(what, value, 0, uint32Max)
      writer.uint32(value)
    },
    read: (reader) => reader.uint32(),
  }),
}

/** `int32`. */
export const i32: Kind<number> = {
  wireType: wireTypes.varint,
  bind: (what) => ({
    write(writer, value) {
      if ((value | 0) !== value) checkRange(what, value, int32Min, int32Max)
      writer.int32(value)
    },
    read: (reader) => reader.int32(),
  }),
}

/** `sint32`, zig-zag. */
export const s32: Kind<number> = {
  wireType: wireTypes.varint,
  bind: (what) => ({
    write(writer, value) {
      if ((value | 0) !== value) checkRange(what, value, int32Min, int32Max)
      writer.sint32(value)
    },
    read: (reader) => reader.sint32(),
  }),
}

/** `uint64` as a number in `[0, 2^53)`; bigger values are refused. */
export const u64: Kind<number> = {
  wireType: wireTypes.varint,
  bind: (what) => ({
    write(writer, value) {
      if (value >>> 0 !== value) checkRange(what, value, 0, safe)
      writer.uint64(value)
    },
    read(reader) {
      const value = reader.uint64OrMinusOne()
      return value >= 0 ? value : unsafe(what, reader.uint64Big())
    },
  }),
}

/** `int64` as a number in ±(2^53 - 1); other values are refused. */
export const i64: Kind<number> = {
  wireType: wireTypes.varint,
  bind: (what) => ({
    write(writer, value) {
      if (value >>> 0 !== value) checkRange(what, value, -safe, safe)
      writer.int64(value)
    },
    read(reader) {
      const value = reader.uint64OrMinusOne()
      return value >= 0 ? value : readSafe(what, reader.int64Big())
    },
  }),
}

/** `sint64`, zig-zag, as a number in ±(2^53 - 1); other values are refused. */
export const s64: Kind<number> = {
  wireType: wireTypes.varint,
  bind: (what) => ({
    write(writer, value) {
      checkRange(what, value, -safe, safe)
      if (value >= 0 && value < 2 ** 52) writer.uint64(value * 2)
      else if (value < 0 && value >= -(2 ** 52)) writer.uint64(-value * 2 - 1)
      else writer.uint64Big(zigZag(BigInt(value)))
    },
    read(reader) {
      const value = reader.uint64OrMinusOne()
      if (value >= 0) return value % 2 === 0 ? value / 2 : -((value + 1) / 2)
      const raw = reader.uint64Big()
      return readSafe(what, (raw >> 1n) ^ -(raw & 1n))
    },
  }),
}

function zigZag(value: bigint): bigint {
  return BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
}

/** `uint64` as a bigint, for fields in which HDFS sends 2^63 - 1 or 2^64 - 1. */
export const u64big: Kind<bigint> = {
  wireType: wireTypes.varint,
  bind: (what) => ({
    write(writer, value) {
      checkBig(what, value, 0n, uint64Max)
      writer.uint64Big(value)
    },
    read(reader) {
      const value = reader.uint64OrMinusOne()
      return value >= 0 ? BigInt(value) : reader.uint64Big()
    },
  }),
}

/** `int64` as a bigint. */
export const i64big: Kind<bigint> = {
  wireType: wireTypes.varint,
  bind: (what) => ({
    write(writer, value) {
      checkBig(what, value, int64Min, int64Max)
      writer.uint64Big(BigInt.asUintN(64, value))
    },
    read: (reader) => reader.int64Big(),
  }),
}

/** `sfixed32`, little-endian. */
export const sf32: Kind<number> = {
  wireType: wireTypes.fixed32,
  bind: (what) => ({
    write(writer, value) {
      checkRange(what, value, int32Min, int32Max)
      writer.fixed32(value)
    },
    read: (reader) => reader.fixed32(),
  }),
}

/** `sfixed64`, little-endian, as a number in ±(2^53 - 1). */
export const sf64: Kind<number> = {
  wireType: wireTypes.fixed64,
  bind: (what) => ({
    write(writer, value) {
      checkRange(what, value, -safe, safe)
      writer.fixed64(value)
    },
    read(reader) {
      const value = reader.fixed64()
      if (Number.isSafeInteger(value)) return value
      reader.position -= 8
      return unsafe(what, reader.fixed64Big())
    },
  }),
}

/** `double`. */
export const dbl: Kind<number> = {
  wireType: wireTypes.fixed64,
  bind: () => ({
    write: (writer, value) => {
      writer.double(value)
    },
    read: (reader) => reader.double(),
  }),
}

export const bool: Kind<boolean> = {
  wireType: wireTypes.varint,
  bind: () => ({
    write: (writer, value) => {
      writer.byte(value ? 1 : 0)
    },
    read(reader) {
      const value = reader.uint64OrMinusOne()
      return value >= 0 ? value !== 0 : reader.uint64Big() !== 0n
    },
  }),
}

/** `string`; invalid UTF-8 reads as U+FFFD. */
export const str: Kind<string> = {
  wireType: wireTypes.delimited,
  bind: () => ({
    write: (writer, value) => {
      writer.string(value)
    },
    read: (reader) => reader.string(),
  }),
}

/** `bytes`; decoded as a view of the input. */
export const bytes: Kind<Uint8Array> = {
  wireType: wireTypes.delimited,
  bind: () => ({
    write: (writer, value) => {
      writer.bytes(value)
    },
    read: (reader) => reader.bytes(),
  }),
}

function unfit(what: string, wanted: string, value: unknown): never {
  throw new DfsError('INVALID_ARGUMENT', `${what} must be ${wanted}, got ${String(value)}`)
}

function checkRange(what: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    unfit(what, `an integer from ${min} to ${max}`, value)
  }
}

function checkBig(what: string, value: bigint, min: bigint, max: bigint): void {
  if (typeof value !== 'bigint' || value < min || value > max) {
    unfit(what, `a bigint from ${min.toString()} to ${max.toString()}`, value)
  }
}

function unsafe(what: string, value: bigint): never {
  throw new DfsError(
    'BAD_FRAME',
    `${what} is ${value.toString()}, which is beyond 2^53-1 and not supported here`,
  )
}

function readSafe(what: string, value: bigint): number {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : unsafe(what, value)
}
