/** Random messages from their tables, and the form in which they compare. */
import fc from 'fast-check'
import {
  bool,
  bytes,
  dbl,
  decodeMessage,
  type EncodableOf,
  type EnumKind,
  encodeMessage,
  type Field,
  type Fields,
  i32,
  i64,
  i64big,
  type MessageType,
  s32,
  s64,
  sf32,
  sf64,
  str,
  u32,
  u64,
  u64big,
} from '../../protocol/message.ts'

const safe = Number.MAX_SAFE_INTEGER
const signed32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const signedSafe = fc.integer({ min: -safe, max: safe })

const arbitraryByKind = new Map<unknown, fc.Arbitrary<unknown>>([
  [u32, fc.integer({ min: 0, max: 2 ** 32 - 1 })],
  [i32, signed32],
  [s32, signed32],
  [sf32, signed32],
  [u64, fc.integer({ min: 0, max: safe })],
  [i64, signedSafe],
  [s64, signedSafe],
  [sf64, signedSafe],
  [u64big, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
  [i64big, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
  [dbl, fc.double()],
  [bool, fc.boolean()],
  [str, fc.string({ unit: 'grapheme', maxLength: 80 })],
  [bytes, fc.uint8Array({ maxLength: 200 })],
])

type AnyField = Fields[string]

/** A message that may be encoded, with optional fields sometimes missing. */
export function arbitraryMessage(type: MessageType<Fields>): fc.Arbitrary<Record<string, unknown>> {
  const entries = Object.entries(type.fields)
  const requiredKeys = entries
    .filter(([, field]) => field.presence === 'required')
    .map(([name]) => name)
  const model = Object.fromEntries(entries.map(([name, field]) => [name, arbitraryField(field)]))
  return fc.record(model, { requiredKeys })
}

function arbitraryField(field: AnyField): fc.Arbitrary<unknown> {
  const value = arbitraryKind(field)
  return field.presence === 'repeated' ? fc.array(value, { maxLength: 3 }) : value
}

function arbitraryKind({
  kind,
}: Field<AnyField['presence'], AnyField['kind']>): fc.Arbitrary<unknown> {
  const scalar = arbitraryByKind.get(kind)
  if (scalar !== undefined) return scalar
  if (isMessage(kind)) return arbitraryMessage(kind)
  return fc.constantFrom(...Object.keys((kind as EnumKind<string>).numberByName))
}

/** A table whose fields the compiler does not know, for what types would forbid. */
export function untyped(type: unknown): {
  readonly name: string
  readonly fields: Fields
  encode(value: Readonly<Record<string, unknown>>): Uint8Array
  decode(input: Uint8Array): Record<string, unknown>
} {
  if (!isMessage(type)) throw new Error('not a message')
  return {
    name: type.name,
    fields: type.fields,
    encode: (value) => encodeMessage(type, value as EncodableOf<typeof type>),
    decode: (input) => decodeMessage(type, input),
  }
}

/** Whether a kind, or anything else, is a message table. */
export function isMessage(value: unknown): value is MessageType<Fields> {
  return typeof value === 'object' && value !== null && 'fields' in value && 'codec' in value
}

/** Fills in what decoding fills in, and makes byte strings and negative zeros comparable. */
export function normalized(
  type: MessageType<Fields>,
  value: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(type.fields)) {
    const given = value[name]
    if (field.presence === 'repeated') {
      const elements = (given ?? []) as readonly unknown[]
      result[name] = elements.map((element) => normalizedValue(field, element))
    } else if (given !== undefined) {
      result[name] = normalizedValue(field, given)
    } else if (field.presence === 'default') {
      result[name] = field.defaultValue
    }
  }
  return result
}

function normalizedValue({ kind }: AnyField, value: unknown): unknown {
  if (isMessage(kind)) return normalized(kind, value as Record<string, unknown>)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return value
}
