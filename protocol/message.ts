/**
 * Protobuf (proto2) messages as typed tables. A table is data; encoder and decoder are closures
 * compiled from it once, on first use.
 *
 *     export const block = message('Block', {
 *       blockId: required(1, u64),
 *       genStamp: required(2, u64),
 *       numBytes: withDefault(3, u64, 0),
 *     })
 *     export type Block = MessageOf<typeof block>
 *
 * 1. Required fields are always written, and a decoded message without one is refused (`BAD_FRAME`,
 *    naming message and field).
 * 2. Default values are written when given and filled in when absent.
 * 3. Unknown fields are skipped. An unknown enum number reads as unset. A known field with a wire
 *    type that does not fit is treated as unknown.
 * 4. Repeated scalars are accepted packed and unpacked; `packed` only says how they are written.
 * 5. Of a field that arrives twice the last one counts; messages are not merged.
 * 6. Messages cannot contain themselves, so nesting is bounded by the tables; groups are bounded by
 *    the reader.
 * 7. Decoded `bytes` are views of the input and live as long as it does.
 */
import { assert } from '../base/assert.ts'
import { ByteReader, ByteWriter, wireTypes } from './codec.ts'
import { DfsError } from './errors.ts'
import type { Codec, Kind } from './message-kinds.ts'

export * from './message-kinds.ts'

type AnyKind = Kind<unknown, never>
type Presence = 'required' | 'optional' | 'default' | 'repeated'

/** One row of a message table. */
export interface Field<P extends Presence, K extends AnyKind> {
  readonly presence: P
  readonly number: number
  readonly kind: K
  readonly packed: boolean
  readonly defaultValue: unknown
}

/** A message table by field name. */
export type Fields = Readonly<Record<string, Field<Presence, AnyKind>>>

/** A message: its name (without HDFS's `Proto`), its table, and a kind for fields of other messages. */
export interface MessageType<F extends Fields> extends Kind<DecodedFields<F>, EncodableFields<F>> {
  readonly name: string
  readonly fields: F
  readonly codec: MessageCodec<DecodedFields<F>, EncodableFields<F>>
}

/** The compiled halves of a message, without length prefix. */
export interface MessageCodec<Decoded, Encodable> {
  write(writer: ByteWriter, value: Encodable): void
  /** Decodes everything up to `reader.end`. */
  read(reader: ByteReader): Decoded
}

type DecodedKind<K> =
  K extends MessageType<infer F> ? DecodedFields<F> : K extends Kind<infer D, never> ? D : never
type EncodableKind<K> =
  K extends MessageType<infer F> ? EncodableFields<F> : K extends Kind<unknown, infer E> ? E : never

type DecodedField<T> =
  T extends Field<infer P, infer K>
    ? P extends 'repeated'
      ? readonly DecodedKind<K>[]
      : DecodedKind<K>
    : never
type EncodableField<T> =
  T extends Field<infer P, infer K>
    ? P extends 'repeated'
      ? readonly EncodableKind<K>[]
      : EncodableKind<K>
    : never

type DecodedFields<F> = {
  readonly [N in keyof F as F[N] extends Field<'optional', AnyKind> ? never : N]: DecodedField<F[N]>
} & {
  readonly [N in keyof F as F[N] extends Field<'optional', AnyKind> ? N : never]?:
    | DecodedField<F[N]>
    | undefined
}
type EncodableFields<F> = {
  readonly [N in keyof F as F[N] extends Field<'required', AnyKind> ? N : never]: EncodableField<
    F[N]
  >
} & {
  readonly [N in keyof F as F[N] extends Field<'required', AnyKind> ? never : N]?:
    | EncodableField<F[N]>
    | undefined
}

/** A decoded message. Optional fields may be missing, repeated and defaulted ones never are. */
export type MessageOf<T> = T extends MessageType<infer F> ? DecodedFields<F> : never
/** What may be encoded: only required fields must be there. */
export type EncodableOf<T> = T extends MessageType<infer F> ? EncodableFields<F> : never

/** How a method may be repeated (hdfs-wire: column C of the method tables). */
export type MethodClass = 'read' | 'idempotent' | 'at-most-once'

/** One method of a service. */
export interface Method<Request extends Fields, Response extends Fields> {
  readonly request: MessageType<Request>
  readonly response: MessageType<Response>
  readonly methodClass: MethodClass
}

/** Methods of a service by name. */
export type Methods = Readonly<Record<string, Method<Fields, Fields>>>

/** A Hadoop RPC protocol: its Java name, version 1, its methods. */
export interface Service<M> {
  readonly name: string
  readonly version: number
  readonly methods: M
}

/** Decoded request of method `N` of service `S`. */
export type RequestOf<S, N extends keyof MethodsOf<S>> = MethodsOf<S>[N] extends {
  readonly request: MessageType<infer F>
}
  ? DecodedFields<F>
  : never
/** Request that may be sent to method `N` of service `S`. */
export type EncodableRequestOf<S, N extends keyof MethodsOf<S>> = MethodsOf<S>[N] extends {
  readonly request: MessageType<infer F>
}
  ? EncodableFields<F>
  : never
/** Decoded reply of method `N` of service `S`. */
export type ResponseOf<S, N extends keyof MethodsOf<S>> = MethodsOf<S>[N] extends {
  readonly response: MessageType<infer F>
}
  ? DecodedFields<F>
  : never
/** Reply that a handler of method `N` of service `S` may return. */
export type EncodableResponseOf<S, N extends keyof MethodsOf<S>> = MethodsOf<S>[N] extends {
  readonly response: MessageType<infer F>
}
  ? EncodableFields<F>
  : never
/** The method table of a service type. */
export type MethodsOf<S> = S extends Service<infer M> ? M : never

export function required<K extends AnyKind>(number: number, kind: K): Field<'required', K> {
  return { presence: 'required', number, kind, packed: false, defaultValue: undefined }
}

export function optional<K extends AnyKind>(number: number, kind: K): Field<'optional', K> {
  return { presence: 'optional', number, kind, packed: false, defaultValue: undefined }
}

/** An optional field that reads as `defaultValue` when absent. */
export function withDefault<K extends AnyKind>(
  number: number,
  kind: K,
  defaultValue: DecodedKind<K>,
): Field<'default', K> {
  return { presence: 'default', number, kind, packed: false, defaultValue }
}

export function repeated<K extends AnyKind>(number: number, kind: K): Field<'repeated', K> {
  return { presence: 'repeated', number, kind, packed: false, defaultValue: undefined }
}

/** A repeated scalar that is written packed. */
export function packed<K extends AnyKind>(number: number, kind: K): Field<'repeated', K> {
  assert(kind.wireType !== wireTypes.delimited, 'only scalars can be packed')
  return { presence: 'repeated', number, kind, packed: true, defaultValue: undefined }
}

/** Declares a message. Compilation waits for the first use, so unused tables cost nothing at start. */
export function message<const F extends Fields>(name: string, fields: F): MessageType<F> {
  let compiled: MessageCodec<DecodedFields<F>, EncodableFields<F>> | undefined
  const type: MessageType<F> = {
    name,
    fields,
    wireType: wireTypes.delimited,
    get codec() {
      compiled ??= compile<DecodedFields<F>, EncodableFields<F>>(name, fields)
      return compiled
    },
    bind: () => delimitedCodec(type),
  }
  return type
}

export function method<Request extends Fields, Response extends Fields>(
  request: MessageType<Request>,
  response: MessageType<Response>,
  methodClass: MethodClass,
): Method<Request, Response> {
  return { request, response, methodClass }
}

export function service<const M>(name: string, methods: M): Service<M> {
  return { name, version: 1, methods }
}

/** The methods of a service by name, without their types; for dispatch by what the wire says. */
export function methodTable<M>(of: Service<M>): Methods {
  return of.methods as Methods
}

/** Encodes without length prefix into fresh bytes. */
export function encodeMessage<F extends Fields>(
  type: MessageType<F>,
  value: EncodableFields<F>,
): Uint8Array {
  const writer = new ByteWriter()
  type.codec.write(writer, value)
  return writer.view()
}

/** Encodes with a varint length in front into fresh bytes. */
export function encodeDelimited<F extends Fields>(
  type: MessageType<F>,
  value: EncodableFields<F>,
): Uint8Array {
  const writer = new ByteWriter()
  writeDelimited(writer, type, value)
  return writer.view()
}

/** Appends the message without length prefix; for hot paths that own a writer. */
export function writeMessage<F extends Fields>(
  writer: ByteWriter,
  type: MessageType<F>,
  value: EncodableFields<F>,
): void {
  type.codec.write(writer, value)
}

/** Appends the message with a varint length in front. */
export function writeDelimited<F extends Fields>(
  writer: ByteWriter,
  type: MessageType<F>,
  value: EncodableFields<F>,
): void {
  const mark = writer.beginDelimited()
  type.codec.write(writer, value)
  writer.endDelimited(mark)
}

/**
 * Decodes a message that fills `bytes`.
 * @throws {@link DfsError} BAD_FRAME when the bytes do not decode; the message names message and field.
 */
export function decodeMessage<F extends Fields>(
  type: MessageType<F>,
  bytes: Uint8Array,
): DecodedFields<F> {
  return type.codec.read(new ByteReader(bytes))
}

/** Decodes a message with a varint length in front and leaves the reader behind it. */
export function readDelimited<F extends Fields>(
  reader: ByteReader,
  type: MessageType<F>,
): DecodedFields<F> {
  const length = reader.delimiter()
  const outerEnd = reader.end
  const end = reader.position + length
  reader.end = end
  const value = type.codec.read(reader)
  reader.end = outerEnd
  reader.position = end
  return value
}

interface CompiledField {
  readonly name: string
  readonly presence: Presence
  readonly tag: number
  readonly wireType: number
  readonly bit: number
  readonly packed: boolean
  readonly defaultValue: unknown
  readonly codec: Codec<unknown, unknown>
}

type Target = Record<string, unknown>

/** Compiles a table into its two closures. The casts here are where tables become types. */
function compile<Decoded, Encodable>(
  name: string,
  fields: Fields,
): MessageCodec<Decoded, Encodable> {
  const rows = compileFields(name, fields)
  const byNumber: (CompiledField | undefined)[] = []
  for (const row of rows) byNumber[row.tag >>> 3] = row
  const read = compileReader(name, rows, byNumber)
  const write = compileWriter(name, rows)
  return { read, write } as unknown as MessageCodec<Decoded, Encodable>
}

function compileFields(name: string, fields: Fields): readonly CompiledField[] {
  let requiredCount = 0
  return Object.entries(fields).map(([fieldName, field]) => {
    const isRequired = field.presence === 'required'
    const bit = isRequired ? 1 << requiredCount : 0
    if (isRequired) requiredCount += 1
    assert(requiredCount < 31, `${name} has more required fields than fit a mask`)
    return {
      name: fieldName,
      presence: field.presence,
      tag: (field.number << 3) | (field.packed ? wireTypes.delimited : field.kind.wireType),
      wireType: field.kind.wireType,
      bit,
      packed: field.packed,
      defaultValue: field.defaultValue,
      codec: field.kind.bind(`${name}.${fieldName}`),
    }
  })
}

function compileReader(
  name: string,
  rows: readonly CompiledField[],
  byNumber: readonly (CompiledField | undefined)[],
): (reader: ByteReader) => Target {
  const requiredMask = rows.reduce((mask, row) => mask | row.bit, 0)
  const preset = rows.filter((row) => row.presence === 'default' || row.presence === 'repeated')
  return (reader) => {
    const target: Target = {}
    for (const row of preset) {
      target[row.name] = row.presence === 'repeated' ? [] : row.defaultValue
    }
    let seen = 0
    while (reader.position < reader.end) {
      const tag = reader.uint32()
      const wireType = tag & 7
      const row = byNumber[tag >>> 3]
      if (row === undefined) {
        if (tag >>> 3 === 0) throw new DfsError('BAD_FRAME', `${name} has a field with number 0`)
        reader.skip(wireType, tag >>> 3)
      } else if (row.presence === 'repeated') {
        readElements(reader, row, wireType, target[row.name] as unknown[])
      } else if (wireType === row.wireType) {
        const value = row.codec.read(reader)
        if (value !== undefined) {
          target[row.name] = value
          seen |= row.bit
        }
      } else {
        reader.skip(wireType, tag >>> 3)
      }
    }
    if (seen !== requiredMask) refuseMissing(name, rows, seen)
    return target
  }
}

function readElements(
  reader: ByteReader,
  row: CompiledField,
  wireType: number,
  elements: unknown[],
): void {
  if (wireType === row.wireType) {
    const value = row.codec.read(reader)
    if (value !== undefined) elements.push(value)
  } else if (wireType === wireTypes.delimited) {
    const length = reader.delimiter()
    const outerEnd = reader.end
    reader.end = reader.position + length
    while (reader.position < reader.end) {
      const value = row.codec.read(reader)
      if (value !== undefined) elements.push(value)
    }
    reader.end = outerEnd
  } else {
    reader.skip(wireType, row.tag >>> 3)
  }
}

function refuseMissing(name: string, rows: readonly CompiledField[], seen: number): never {
  const missing = rows.filter((row) => (row.bit & ~seen) !== 0).map((row) => `${name}.${row.name}`)
  throw new DfsError('BAD_FRAME', `Required field ${missing.join(', ')} is missing`)
}

function compileWriter(
  name: string,
  rows: readonly CompiledField[],
): (writer: ByteWriter, value: Target) => void {
  return (writer, value) => {
    for (const row of rows) {
      const fieldValue = value[row.name]
      if (fieldValue === undefined) {
        if (row.bit !== 0) {
          throw new DfsError('INVALID_ARGUMENT', `Required field ${name}.${row.name} is missing`)
        }
      } else if (row.presence === 'repeated') {
        writeElements(writer, row, fieldValue as readonly unknown[])
      } else {
        writer.uint32(row.tag)
        row.codec.write(writer, fieldValue)
      }
    }
  }
}

function writeElements(writer: ByteWriter, row: CompiledField, elements: readonly unknown[]): void {
  if (elements.length === 0) return
  if (row.packed) {
    writer.uint32(row.tag)
    const mark = writer.beginDelimited()
    for (const element of elements) row.codec.write(writer, element)
    writer.endDelimited(mark)
    return
  }
  for (const element of elements) {
    writer.uint32(row.tag)
    row.codec.write(writer, element)
  }
}

function delimitedCodec<F extends Fields>(
  type: MessageType<F>,
): Codec<DecodedFields<F>, EncodableFields<F>> {
  return {
    write(writer, value) {
      const mark = writer.beginDelimited()
      type.codec.write(writer, value)
      writer.endDelimited(mark)
    },
    read: (reader) => readDelimited(reader, type),
  }
}
