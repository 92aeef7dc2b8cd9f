import type { Fields, MessageType } from '../../protocol/message.ts'

/** One field of a message table, as far as passing it on needs to know. */
interface Row {
  readonly name: string
  readonly isRepeated: boolean
  readonly defaultValue: unknown
  /** Of a field that is a message itself. */
  readonly nested: MessageType<Fields> | undefined
}

const rowsByType = new WeakMap<object, readonly Row[]>()

/**
 * What decoding the encoded `value` gives, without the bytes: a message of its own, with repeated fields
 * and defaults filled in. Byte arrays are shared with the sender.
 */
export function passMessage(type: MessageType<Fields>, value: object): object {
  const source = value as Readonly<Record<string, unknown>>
  const target: Record<string, unknown> = {}
  for (const { name, isRepeated, defaultValue, nested } of rowsOf(type)) {
    const given = source[name]
    if (given === undefined) {
      if (isRepeated) target[name] = []
      else if (defaultValue !== undefined) target[name] = defaultValue
    } else if (nested === undefined) target[name] = isRepeated ? [...(given as unknown[])] : given
    else if (isRepeated) {
      target[name] = (given as readonly object[]).map((item) => passMessage(nested, item))
    } else target[name] = passMessage(nested, given as object)
  }
  return target
}

function rowsOf(type: MessageType<Fields>): readonly Row[] {
  const known = rowsByType.get(type)
  if (known !== undefined) return known
  const rows = Object.entries(type.fields).map(([name, { presence, defaultValue, kind }]) => ({
    name,
    isRepeated: presence === 'repeated',
    defaultValue,
    nested: 'fields' in kind ? (kind as unknown as MessageType<Fields>) : undefined,
  }))
  rowsByType.set(type, rows)
  return rows
}
