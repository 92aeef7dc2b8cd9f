/** File modes as chmod takes them: octal (`644`, `1777`) or symbolic (`u+rwx,go-w`, `a=rX`, `+t`). */
import { UsageError } from './failures.ts'

/** Computes the new mode of one inode from its old mode. */
export type ModeChange = (mode: number, isDirectory: boolean) => number

const whoBits: Readonly<Record<string, number>> = { u: 0o700, g: 0o070, o: 0o007, a: 0o777 }
const permissionBits: Readonly<Record<string, number>> = { r: 0o444, w: 0o222, x: 0o111 }
const stickyBit = 0o1000

/** Arguments such as `-w` or `-rwx,g+s` look like options but are modes. */
export const dashedMode = /^-[rwxXt]+(,.*)?$/

interface Clause {
  readonly who: number
  readonly mentionsOthers: boolean
  readonly actions: readonly { readonly operator: string; readonly permissions: string }[]
}

/**
 * Parses a mode.
 *
 * @throws {@link UsageError} when it is neither octal up to 1777 nor symbolic
 */
export function parseMode(text: string): ModeChange {
  if (/^[0-7]{1,5}$/.test(text)) {
    const mode = Number.parseInt(text, 8)
    if (mode > 0o1777) throw new UsageError(`Mode ${text} has bits that HDFS lacks: need 0 to 1777`)
    return () => mode
  }
  const clauses = text.split(',').map((clause) => parseClause(clause, text))
  return (mode, isDirectory) =>
    clauses.reduce((current, clause) => applyClause(current, clause, isDirectory), mode & 0o1777)
}

function parseClause(clause: string, whole: string): Clause {
  const match = /^([ugoa]*)((?:[+=-](?:[ugo]|[rwxXt]*))+)$/.exec(clause)
  if (match === null) {
    throw new UsageError(`Mode "${whole}" is neither octal (755) nor symbolic (u+rw,go-w)`)
  }
  const [, letters = '', rest = ''] = match
  const who =
    letters === '' ? 0o777 : Array.from(letters).reduce((bits, c) => bits | (whoBits[c] ?? 0), 0)
  const actions = [...rest.matchAll(/([+=-])([ugo]|[rwxXt]*)/g)].map(
    ([, operator = '', permissions = '']) => ({ operator, permissions }),
  )
  const mentionsOthers = letters === '' || /[oa]/.test(letters)
  return { who, mentionsOthers, actions }
}

function applyClause(mode: number, clause: Clause, isDirectory: boolean): number {
  let result = mode
  for (const { operator, permissions } of clause.actions) {
    const bits = bitsOf(permissions, result, isDirectory) & clause.who
    const sticky = permissions.includes('t') ? stickyBit : 0
    if (operator === '+') result |= bits | sticky
    else if (operator === '-') result &= ~(bits | sticky)
    else {
      const cleared = clause.who | (clause.mentionsOthers ? stickyBit : 0)
      result = (result & ~cleared) | bits | sticky
    }
  }
  return result
}

/** The permissions for all three classes; the caller keeps those of its own. */
function bitsOf(permissions: string, mode: number, isDirectory: boolean): number {
  if (permissions === 'u') return spread(mode >> 6)
  if (permissions === 'g') return spread(mode >> 3)
  if (permissions === 'o') return spread(mode)
  let bits = 0
  for (const letter of permissions) {
    if (letter === 'X') bits |= isDirectory || (mode & 0o111) !== 0 ? 0o111 : 0
    else bits |= permissionBits[letter] ?? 0
  }
  return bits
}

function spread(triple: number): number {
  const bits = triple & 7
  return (bits << 6) | (bits << 3) | bits
}
