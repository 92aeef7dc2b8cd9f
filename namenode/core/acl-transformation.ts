/**
 * Changes of access control lists, with the rules of org.apache.hadoop.hdfs.server.namenode.AclTransformation and
 * AclStorage. They work on the logical list: the one that a row and its mode make together.
 *
 * 1. Order: access before default; user, group, mask, other; without name first, then by name.
 * 2. Owner, owning group and others are always there; in a default list those that were not given are copied from the
 *    access list.
 * 3. A list with a named entry has a mask. Unless one was given, a change in its scope makes it the union of what the
 *    owning group and the named entries have.
 */
import { DfsError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { type Acl, type AclEntry, type AclScope, type AclType, aclOf, entryText } from './acl.ts'
import type { InodeRow } from './changes.ts'

const typeOrder: Readonly<Record<AclType, number>> = { user: 0, group: 1, mask: 2, other: 3 }
const scopes: readonly AclScope[] = ['access', 'default']
const baseTypes: readonly AclType[] = ['user', 'group', 'other']

/** What of a row a change of its ACL changes. */
export type AclFields = Pick<InodeRow, 'mode'> & { readonly acl: Acl | undefined }

/** True when a row holds entries that its mode does not say in its access list. */
export function hasAccessAcl(row: InodeRow): boolean {
  return row.acl?.entries[0]?.scope === 'access'
}

/** The whole list of a row, its mode included; three entries where it has none. */
export function logicalAcl({ mode, acl }: Pick<InodeRow, 'mode' | 'acl'>): readonly AclEntry[] {
  const kept = acl?.entries ?? []
  const extended = kept.filter(({ scope }) => scope === 'access')
  const groupBits = (mode >> 3) & 7
  return [
    { scope: 'access', type: 'user', permissions: (mode >> 6) & 7 },
    ...extended,
    { scope: 'access', type: extended.length > 0 ? 'mask' : 'group', permissions: groupBits },
    { scope: 'access', type: 'other', permissions: mode & 7 },
    ...kept.filter(({ scope }) => scope === 'default'),
  ]
}

/**
 * Mode and row entries that together say `entries`.
 * @throws {@link DfsError} ACL_INVALID for a default ACL of what is no directory.
 */
export function aclFields(
  row: Pick<InodeRow, 'kind' | 'mode'>,
  entries: readonly AclEntry[],
  path: string,
): AclFields {
  const isDefault = ({ scope }: AclEntry): boolean => scope === 'default'
  if (row.kind !== 'directory' && entries.some(isDefault)) {
    throw invalid(`only directories may have a default ACL. Path: ${path}`, path)
  }
  const access = entries.filter((entry) => !isDefault(entry))
  const of = (type: AclType): number | undefined =>
    access.find((entry) => entry.type === type && entry.name === undefined)?.permissions
  const mask = of('mask')
  const bits = ((of('user') ?? 0) << 6) | ((mask ?? of('group') ?? 0) << 3) | (of('other') ?? 0)
  const isExtended = mask !== undefined || access.length > baseTypes.length
  const kept = isExtended ? access.filter(isKept) : []
  return {
    mode: (row.mode & ~0o777) | bits,
    acl: aclOf([...kept, ...entries.filter(isDefault)]),
  }
}

/** Named entries and the owning group; the others of an access list are in the mode. */
function isKept({ type, name }: AclEntry): boolean {
  return type === 'group' || (type === 'user' && name !== undefined)
}

/** Merges `spec` into the list of `row`. */
export function modifiedAcl(row: InodeRow, spec: readonly AclEntry[]): readonly AclEntry[] {
  const given = checkedSpec(spec)
  return rebuilt({
    kept: logicalAcl(row).filter((entry) => !given.some((other) => isSameKey(entry, other))),
    given,
    changed: given,
  })
}

/** Takes the entries that `spec` names out of the list of `row`; permissions in it mean nothing. */
export function reducedAcl(row: InodeRow, spec: readonly AclEntry[]): readonly AclEntry[] {
  const keys = checkedSpec(spec)
  const existing = logicalAcl(row)
  const isNamed = (entry: AclEntry): boolean => keys.some((key) => isSameKey(entry, key))
  return rebuilt({
    kept: existing.filter((entry) => !isNamed(entry)),
    given: [],
    changed: existing.filter(isNamed),
  })
}

/** Replaces the access list, the default list or both, as far as `spec` has entries of them. */
export function replacedAcl(row: InodeRow, spec: readonly AclEntry[]): readonly AclEntry[] {
  const given = checkedSpec(spec)
  const replaced = new Set(given.map(({ scope }) => scope))
  return rebuilt({
    kept: logicalAcl(row).filter(({ scope }) => !replaced.has(scope)),
    given,
    changed: given,
  })
}

/** The list of `row` without its default entries. */
export function withoutDefaultAcl(row: InodeRow): readonly AclEntry[] {
  return logicalAcl(row).filter(({ scope }) => scope === 'access')
}

/** Mode of `row` when its list is taken away: the owning group gets its own rights back from under the mask. */
export function modeWithoutAcl(row: InodeRow): number {
  if (!hasAccessAcl(row)) return row.mode
  const group = row.acl?.entries.find(
    ({ scope, type, name }) => scope === 'access' && type === 'group' && name === undefined,
  )
  return (row.mode & ~0o070) | ((group?.permissions ?? 0) << 3)
}

/**
 * What a new inode takes over from the default ACL of its directory, undefined without one. The creator's mode limits
 * owner, mask and others, and the owning group when there is no mask; a directory gets the default ACL itself, too.
 * @param mode before the umask, which a default ACL replaces
 */
export function inheritedAcl(
  parent: InodeRow,
  kind: InodeRow['kind'],
  mode: number,
): AclFields | undefined {
  const defaults = parent.acl?.entries.filter(({ scope }) => scope === 'default') ?? []
  if (defaults.length === 0 || kind === 'symlink') return undefined
  const isMinimal = defaults.length === baseTypes.length
  const access = defaults.map((entry): AclEntry => {
    const shift = shiftOf(entry, isMinimal)
    const limit = shift === undefined ? 7 : (mode >> shift) & 7
    return { ...entry, scope: 'access', permissions: entry.permissions & limit }
  })
  const entries = kind === 'directory' ? [...access, ...defaults] : access
  return aclFields({ kind, mode }, entries, parent.name)
}

/** Where the bits are in a mode that limit a default entry; undefined where nothing does. */
function shiftOf({ type, name }: AclEntry, isMinimal: boolean): number | undefined {
  if (type === 'other') return 0
  if (type === 'mask') return 3
  if (type === 'group') return isMinimal ? 3 : undefined
  return name === undefined ? 6 : undefined
}

interface Rebuilding {
  /** Entries of the list before that stay. */
  readonly kept: readonly AclEntry[]
  /** Entries that the caller gave. */
  readonly given: readonly AclEntry[]
  /** Entries that the change adds or takes away: their scopes get new masks. */
  readonly changed: readonly AclEntry[]
}

function rebuilt({ kept, given, changed }: Rebuilding): readonly AclEntry[] {
  const isMask = ({ type }: AclEntry): boolean => type === 'mask'
  const entries = [...kept, ...given].filter((entry) => !isMask(entry))
  copyDefaults(entries)
  for (const scope of scopes) {
    const inScope = entries.filter((entry) => entry.scope === scope)
    if (inScope.length === 0) continue
    const isOf = (entry: AclEntry): boolean => entry.scope === scope
    const mask = maskOf(scope, inScope, {
      provided: given.find((entry) => isOf(entry) && isMask(entry)),
      kept: kept.find((entry) => isOf(entry) && isMask(entry)),
      isChanged: changed.some(isOf),
      isRemoved: given.length === 0 && changed.some((entry) => isOf(entry) && isMask(entry)),
    })
    if (mask !== undefined) entries.push(mask)
  }
  return validated(entries)
}

function maskOf(
  scope: AclScope,
  entries: readonly AclEntry[],
  mask: {
    readonly provided: AclEntry | undefined
    readonly kept: AclEntry | undefined
    readonly isChanged: boolean
    readonly isRemoved: boolean
  },
): AclEntry | undefined {
  const isNeeded = entries.some(({ name }) => name !== undefined)
  if (isNeeded && mask.isRemoved) throw invalid('mask is required and cannot be deleted.')
  if (mask.provided !== undefined) return mask.provided
  if (mask.kept !== undefined && !mask.isChanged) return mask.kept
  if (!isNeeded && mask.kept === undefined) return undefined
  const maskable = entries.filter(({ type, name }) => type === 'group' || name !== undefined)
  const permissions = maskable.reduce((union, entry) => union | entry.permissions, 0)
  return { scope, type: 'mask', permissions }
}

/** A default list without owner, owning group or others takes them from the access list. */
function copyDefaults(entries: AclEntry[]): void {
  if (!entries.some(({ scope }) => scope === 'default')) return
  const find = (scope: AclScope, type: AclType): AclEntry | undefined =>
    entries.find(
      (entry) => entry.scope === scope && entry.type === type && entry.name === undefined,
    )
  for (const type of baseTypes) {
    const access = find('access', type)
    if (find('default', type) === undefined && access !== undefined) {
      entries.push({ ...access, scope: 'default' })
    }
  }
}

function checkedSpec(spec: readonly AclEntry[]): readonly AclEntry[] {
  checkCount(spec)
  return spec
}

function validated(entries: readonly AclEntry[]): readonly AclEntry[] {
  checkCount(entries)
  const sorted = [...entries].sort(compareEntries)
  for (const [index, entry] of sorted.entries()) {
    const previous = sorted[index - 1]
    if (previous !== undefined && isSameKey(previous, entry)) {
      throw invalid('multiple entries with same scope, type and name.')
    }
    checkName(entry)
  }
  for (const scope of scopes) {
    const inScope = sorted.filter((entry) => entry.scope === scope)
    const isWhole = baseTypes.every((type) =>
      inScope.some((entry) => entry.type === type && entry.name === undefined),
    )
    if (isWhole || (scope === 'default' && inScope.length === 0)) continue
    throw invalid(
      'the user, group and other entries are required.',
      undefined,
      scope === 'default' ? 'Invalid default ACL' : 'Invalid ACL',
    )
  }
  return sorted
}

/** Disks hold a list as text, so a name may not hold what separates entries there. */
function checkName(entry: AclEntry): void {
  const { type, name } = entry
  if (name === undefined) return
  if (type === 'mask' || type === 'other') {
    throw invalid(`this entry type must not have a name: ${entryText(entry)}.`)
  }
  if (/[:,\p{Cc}\p{Cs}]/u.test(name)) {
    throw invalid(
      `a name may not hold a colon, a comma or a control character: ${entryText(entry)}.`,
    )
  }
}

function checkCount(entries: readonly AclEntry[]): void {
  const max = limits.aclEntriesPerScopeMax
  for (const wanted of scopes) {
    const count = entries.filter(({ scope }) => scope === wanted).length
    if (count > max) {
      throw invalid(`ACL has ${count} ${wanted} entries, which exceeds maximum of ${max}.`)
    }
  }
}

function isSameKey(left: AclEntry, right: AclEntry): boolean {
  return left.scope === right.scope && left.type === right.type && left.name === right.name
}

function compareEntries(left: AclEntry, right: AclEntry): number {
  if (left.scope !== right.scope) return left.scope === 'access' ? -1 : 1
  if (left.type !== right.type) return typeOrder[left.type] - typeOrder[right.type]
  const [first = '', second = ''] = [left.name, right.name]
  return first < second ? -1 : first > second ? 1 : 0
}

function invalid(what: string, path?: string, prefix = 'Invalid ACL'): DfsError {
  return new DfsError('ACL_INVALID', `${prefix}: ${what}`, path === undefined ? {} : { path })
}
