import { createHash, randomBytes } from 'node:crypto'

/** Begins the name of a file whose body is being received. */
export type TemporaryPrefix = '.uploading-' | '.webhdfs-'

const prefixes: readonly TemporaryPrefix[] = ['.uploading-', '.webhdfs-']
const checkDigits = 12

/**
 * A name of its own for a file that is not complete: the prefix and 32 hex digits grouped as in a UUID, of which the last
 * twelve follow from the others. So {@link isTemporaryName} knows our names from any that somebody else gave.
 */
export function temporaryName(prefix: TemporaryPrefix): string {
  const random = randomBytes(10).toString('hex')
  const digits = random + checkOf(random)
  return prefix + digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** Whether {@link temporaryName} made the name. */
export function isTemporaryName(name: string): boolean {
  const prefix = prefixes.find((known) => name.startsWith(known))
  if (prefix === undefined) return false
  const rest = name.slice(prefix.length)
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(rest)) return false
  const digits = rest.replaceAll('-', '')
  return checkOf(digits.slice(0, -checkDigits)) === digits.slice(-checkDigits)
}

function checkOf(random: string): string {
  return createHash('sha256').update(`trefoil ${random}`).digest('hex').slice(0, checkDigits)
}
