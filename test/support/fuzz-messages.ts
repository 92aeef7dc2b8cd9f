/**
 * Encoded messages that are nearly right: every field of a table with plausible, extreme or malformed
 * content, as bytes, because our own encoder refuses most of it.
 */
import fc from 'fast-check'
import { wireTypes } from '../../protocol/codec.ts'
import {
  bytes,
  type EnumKind,
  type Field,
  type Fields,
  type MessageType,
  s32,
  s64,
  str,
} from '../../protocol/message.ts'
import { isMessage } from './arbitrary-message.ts'

/** Values for the fields whose names match. They are asked for with each message, so they may change. */
export interface Hint<T> {
  readonly field: RegExp
  readonly values: () => readonly T[]
}

/** Values that make a message reach deep into a server; the first hint that matches counts. */
export interface Hints {
  readonly strings: readonly Hint<string>[]
  readonly numbers: readonly Hint<number>[]
}

const noValues = (): readonly never[] => []

type AnyField = Fields[string]
type AnyKind = Field<AnyField['presence'], AnyField['kind']>['kind']

/** Paths at and beyond the rules of syntax. */
export const oddPaths: readonly string[] = [
  '',
  '/',
  '//',
  '///',
  '.',
  '..',
  '/.',
  '/..',
  '/a/../b',
  '/a/./b',
  '/fuzz//file',
  '/fuzz/file/',
  'relative/path',
  '/fuzz/file/below-a-file',
  `/${'x'.repeat(9_999)}`,
  `/${'x'.repeat(256)}`,
  `/${'é'.repeat(128)}`,
  '/d'.repeat(1001),
  '/nul\0inside',
  '/colon:inside',
  '/line\nbreak',
  '/\u202e\u{1f600}',
  '/.reserved',
  '/.reserved/',
  '/.reserved/raw',
  '/.reserved/raw/fuzz',
  '/.reserved/.inodes',
  '/.reserved/.inodes/',
  '/.reserved/.inodes/16384',
  '/.reserved/.inodes/16385',
  '/.reserved/.inodes/16385/fuzz',
  '/.reserved/.inodes/-1',
  '/.reserved/.inodes/9007199254740993',
  '/.reserved/.inodes/99999999999999999999',
  '/.reserved/.inodes/1e3',
  '/.reserved/.inodes/x',
  '/fuzz/.snapshot',
  '/__proto__',
  '__proto__',
  'constructor',
  'hdfs://127.0.0.1:1/fuzz',
]

const badUtf8: readonly Buffer[] = ['ff', 'c0af', '2fed a080', '2ff0 9f98', '2f80', '2ff4 9080 80']
  .map((hex) => hex.replaceAll(' ', ''))
  .map((hex) => Buffer.from(hex, 'hex'))

const extremes: readonly bigint[] = [
  0n,
  1n,
  2n,
  -1n,
  -2n,
  127n,
  128n,
  2n ** 31n - 1n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n - 1n,
  -(2n ** 63n),
  2n ** 64n - 1n,
]

/** One of the values there are when it is drawn. */
export function oneOf<T>(values: () => readonly T[]): fc.Arbitrary<T> {
  return fc.nat(2 ** 30).map((at) => {
    const now = values()
    return now[at % now.length] as T
  })
}

/** Any byte string a text field may hold. */
export function wildText(plausible: () => readonly string[], calm = 1): fc.Arbitrary<Buffer> {
  const choices: fc.WeightedArbitrary<Buffer>[] = [
    { weight: 4, arbitrary: fc.constantFrom(...oddPaths).map((path) => Buffer.from(path)) },
    { weight: 1, arbitrary: fc.constantFrom(...badUtf8) },
    {
      weight: 1,
      arbitrary: fc
        .string({ unit: 'grapheme', maxLength: 40 })
        .map((name) => Buffer.from(`/fuzz/${name}`)),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((raw) => Buffer.from(raw)) },
  ]
  if (plausible().length > 0) {
    const arbitrary = oneOf(plausible).map((text) => Buffer.from(text))
    choices.push({ weight: 14 * calm, arbitrary })
  }
  return fc.oneof(...choices)
}

/** Any 64-bit pattern, mostly one a field could mean. */
export function wildNumber(plausible: () => readonly number[], calm = 1): fc.Arbitrary<bigint> {
  const usual = plausible().length > 0 ? plausible : () => [0, 1, 2, 3, 100]
  return fc.oneof(
    { weight: 14 * calm, arbitrary: oneOf(usual).map((value) => BigInt(value)) },
    { weight: 4, arbitrary: fc.constantFrom(...extremes) },
    { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }) },
  )
}

/** Encodes the low 64 bits of `value` as a varint. */
export function varint(value: bigint): Buffer {
  const encoded: number[] = []
  let rest = BigInt.asUintN(64, value)
  do {
    const low = Number(rest & 127n)
    rest >>= 7n
    encoded.push(rest === 0n ? low : low | 128)
  } while (rest !== 0n)
  return Buffer.from(encoded)
}

/** Puts a length in front, as protobuf's delimited messages have it. */
export function delimited(content: Uint8Array): Buffer {
  return Buffer.concat([varint(BigInt(content.length)), content])
}

function tagged(number: number, wireType: number, content: Uint8Array): Buffer {
  return Buffer.concat([varint(BigInt(number * 8 + wireType)), content])
}

/** Builds arbitraries of encoded messages; one per table is kept. */
export class WildMessages {
  readonly #hints: Hints
  readonly #calm: number
  readonly #byType = new Map<MessageType<Fields>, fc.Arbitrary<Buffer>>()

  /** @param calm how much oftener than usual a field gets a plausible value */
  constructor(hints: Hints, calm: number) {
    this.#hints = hints
    this.#calm = calm
  }

  /** The encoded message, without a length in front. */
  of(type: MessageType<Fields>): fc.Arbitrary<Buffer> {
    const known = this.#byType.get(type)
    if (known !== undefined) return known
    const fields = Object.entries(type.fields).map(([name, field]) => this.#field(name, field))
    const arbitrary =
      fields.length === 0
        ? fc.constant(Buffer.alloc(0))
        : fc.tuple(...fields).map((parts) => Buffer.concat(parts))
    this.#byType.set(type, arbitrary)
    return arbitrary
  }

  #field(name: string, field: AnyField): fc.Arbitrary<Buffer> {
    const { kind, number } = field
    const one = this.#content(name, kind).map((content) => tagged(number, kind.wireType, content))
    const none = fc.constant(Buffer.alloc(0))
    const several = fc.array(one, { maxLength: 3 }).map((parts) => Buffer.concat(parts))
    const misfit = fc
      .tuple(fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7), fc.uint8Array({ maxLength: 12 }))
      .map(([wireType, raw]) => tagged(number, wireType, raw))
    const isRequired = field.presence === 'required'
    return fc.oneof(
      { weight: (isRequired ? 150 : 50) * this.#calm, arbitrary: one },
      { weight: isRequired ? 1 : 50 * this.#calm, arbitrary: none },
      { weight: field.presence === 'repeated' ? 60 * this.#calm : 1, arbitrary: several },
      { weight: 1, arbitrary: misfit },
    )
  }

  #content(name: string, kind: AnyKind): fc.Arbitrary<Buffer> {
    if (isMessage(kind)) return this.of(kind).map(delimited)
    if (kind === str)
      return wildText(plausibleFor(this.#hints.strings, name), this.#calm).map(delimited)
    if (kind === bytes) {
      const raw = fc.uint8Array({ maxLength: 100 })
      return fc.oneof(fc.constantFrom(new Uint8Array(0), new Uint8Array(16)), raw).map(delimited)
    }
    const known =
      'numberByName' in kind
        ? () => Object.values((kind as EnumKind<string>).numberByName)
        : plausibleFor(this.#hints.numbers, name)
    return wildNumber(known, this.#calm).map((value) => numberContent(kind, value))
  }
}

function numberContent(kind: AnyKind, value: bigint): Buffer {
  if (kind.wireType === wireTypes.varint) {
    const isZigZag = kind === s32 || kind === s64
    return varint(isZigZag ? (value << 1n) ^ (value >> 63n) : value)
  }
  const raw = Buffer.alloc(8)
  raw.writeBigUInt64LE(BigInt.asUintN(64, value))
  return kind.wireType === wireTypes.fixed32 ? raw.subarray(0, 4) : raw
}

function plausibleFor<T>(hints: readonly Hint<T>[], name: string): () => readonly T[] {
  return hints.find(({ field }) => field.test(name))?.values ?? noValues
}

/** What may happen to bytes on their way. */
export const damage = fc.oneof(
  { weight: 10, arbitrary: fc.constant((sound: Buffer): Buffer => sound) },
  {
    weight: 1,
    arbitrary: fc.nat(1_000_000).map(
      (at) =>
        (sound: Buffer): Buffer =>
          sound.subarray(0, at % (sound.length + 1)),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.array(fc.nat(80_000_000), { minLength: 1, maxLength: 6 }).map(
      (bits) =>
        (sound: Buffer): Buffer =>
          flipped(sound, bits),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.uint8Array({ maxLength: 40 }).map(
      (tail) =>
        (sound: Buffer): Buffer =>
          Buffer.concat([sound, tail]),
    ),
  },
)

function flipped(sound: Buffer, bits: readonly number[]): Buffer {
  const copy = Buffer.from(sound)
  if (copy.length === 0) return copy
  for (const bit of bits) {
    const at = (bit >>> 3) % copy.length
    copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7))
  }
  return copy
}
