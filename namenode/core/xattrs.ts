/** Extended attributes as rows hold them. */

export type XAttrNamespace = 'user' | 'trusted' | 'security' | 'system' | 'raw'

/** `name` is without the namespace; `value` owns its bytes and is never changed. */
export interface XAttrRow {
  readonly namespace: XAttrNamespace
  readonly name: string
  readonly value: Uint8Array
}

/** On a file: its content is not for superusers. It has no value and stays for ever. */
export const unreadableBySuperuser = 'security.hdfs.unreadable.by.superuser'

/** True when both name the same attribute, whatever its value. */
export function isSameAttribute(
  left: Omit<XAttrRow, 'value'>,
  right: Omit<XAttrRow, 'value'>,
): boolean {
  return left.namespace === right.namespace && left.name === right.name
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
