/** Extended attributes as rows hold them. */

export type XAttrNamespace = 'user' | 'trusted' | 'security' | 'system' | 'raw'

/** `name` is without the namespace; `value` owns its bytes and is never changed. */
export interface XAttrRow {
  readonly namespace: XAttrNamespace
  readonly name: string
  readonly value: Uint8Array
}

/** `user.name`. */
export function prefixedName({ namespace, name }: Omit<XAttrRow, 'value'>): string {
  return `${namespace}.${name}`
}

/** A copy that keeps no larger buffer alive: decoded bytes are views of a frame or a journal segment. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes.length)
  copy.set(bytes)
  return copy
}
