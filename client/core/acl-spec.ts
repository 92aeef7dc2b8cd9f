/**
 * Access control lists as people write them, `[default:]user|group|mask|other:[NAME]:rwx,…`, and as HDFS's messages have
 * them (org.apache.hadoop.fs.permission.AclEntry, AclUtil). Pure.
 */
import { DfsError } from '../../protocol/errors.ts'
import type { AclEntry, AclEntryType, FsAction } from '../../protocol/messages/hdfs.ts'

/** Rights by their bits: 4 read, 2 write, 1 execute. */
export const fsActions: readonly FsAction[] = [
  'NONE',
  'EXECUTE',
  'WRITE',
  'WRITE_EXECUTE',
  'READ',
  'READ_EXECUTE',
  'READ_WRITE',
  'PERM_ALL',
]

const types: readonly AclEntryType[] = ['USER', 'GROUP', 'MASK', 'OTHER']

/** Bits of a right. */
export function bitsOf(action: FsAction): number {
  return fsActions.indexOf(action)
}

/** The right of these bits. */
export function actionOf(bits: number): FsAction {
  return fsActions[bits & 7] ?? 'NONE'
}

/** `rwx` of a right. */
export function actionText(action: FsAction): string {
  const bits = bitsOf(action)
  const letter = (bit: number, shown: string): string => ((bits & bit) === 0 ? '-' : shown)
  return letter(4, 'r') + letter(2, 'w') + letter(1, 'x')
}

/** `default:user:bob:rwx`. */
export function aclEntryText({ scope, type, name = '', permissions }: AclEntry): string {
  const prefix = scope === 'DEFAULT' ? 'default:' : ''
  return `${prefix}${type.toLowerCase()}:${name}:${actionText(permissions)}`
}

/**
 * Reads entries separated by commas.
 * @param hasPermissions whether each ends with its rights; those of entries to be removed do not
 * @throws {@link DfsError} INVALID_ARGUMENT, in HDFS's words
 */
export function parseAclSpec(text: string, hasPermissions: boolean): AclEntry[] {
  const parts = text.split(',').map((part) => part.trim())
  return parts.filter((part) => part !== '').map((part) => parseEntry(part, hasPermissions))
}

function parseEntry(text: string, hasPermissions: boolean): AclEntry {
  const fields = text.split(':')
  // As Java's split does it: what is empty at the end does not count.
  while (fields.at(-1) === '') fields.pop()
  const isDefault = fields[0] === 'default'
  if (isDefault) fields.shift()
  const [word, name = '', rights, ...rest] = fields
  if (word === undefined) throw refused(`Invalid <aclSpec> : ${text}`)
  const type = types.find((candidate) => candidate === word.toUpperCase())
  if (type === undefined) throw refused(`Invalid type of acl in <aclSpec> :${text}`)
  if ((rights === undefined) === hasPermissions || rest.length > 0) {
    throw refused(`Invalid <aclSpec> : ${text}`)
  }
  const permissions =
    rights === undefined ? 'NONE' : fsActions.find((action) => actionText(action) === rights)
  if (permissions === undefined) throw refused(`Invalid permission in <aclSpec> : ${text}`)
  return {
    type,
    scope: isDefault ? 'DEFAULT' : 'ACCESS',
    permissions,
    name: name === '' ? undefined : name,
  }
}

/** The whole list of a path: what its mode says together with the entries beside it. */
export function wholeAcl(mode: number, entries: readonly AclEntry[]): readonly AclEntry[] {
  const access = entries.filter(({ scope }) => scope === 'ACCESS')
  const base = (type: AclEntryType, bits: number): AclEntry => ({
    ...{ type, scope: 'ACCESS', permissions: actionOf(bits), name: undefined },
  })
  return [
    base('USER', mode >> 6),
    ...access,
    base(access.length > 0 ? 'MASK' : 'GROUP', mode >> 3),
    base('OTHER', mode),
    ...entries.filter(({ scope }) => scope === 'DEFAULT'),
  ]
}

/**
 * Lines of a whole list, as `getfacl` shows them: where the mask takes rights of an entry away, what is left follows it
 * (org.apache.hadoop.fs.shell.AclCommands).
 */
export function effectiveLines(entries: readonly AclEntry[]): string[] {
  const maskOf = (wanted: AclEntry['scope']): number =>
    bitsOf(
      entries.find(({ scope, type }) => scope === wanted && type === 'MASK')?.permissions ??
        'PERM_ALL',
    )
  return entries.map((entry) => {
    const text = aclEntryText(entry)
    if (entry.name === undefined && entry.type !== 'GROUP') return text
    const left = actionOf(bitsOf(entry.permissions) & maskOf(entry.scope))
    return left === entry.permissions ? text : `${text}\t#effective:${actionText(left)}`
  })
}

function refused(message: string): DfsError {
  return new DfsError('INVALID_ARGUMENT', message)
}
