/** Bytes `start` to `end`, both included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * Reads an HTTP `Range` header against a file of `size` bytes (RFC 9110 §14.2).
 *
 * @returns `undefined` for no range, several, a malformed one or a unit we do not know (then the whole file is sent)
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (match === null) return undefined
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return undefined
  // Backwards is no range at all, and what is no range is ignored.
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined
  const isSuffix = first === ''
  const start = isSuffix ? Math.max(size - Number(last), 0) : Number(first)
  const end = isSuffix || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (start >= size || start > end) return 'unsatisfiable'
  return { start, end }
}
