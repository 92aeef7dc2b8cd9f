/**
 * From a path to rows. Every walk checks, directory by directory, what HDFS checks: the inode on the way
 * is a directory, and the caller may execute it; only then the next name is looked up. So a caller learns
 * nothing about names below a directory that is closed to them.
 *
 *     /a/b/c   ancestors = [/, a, b]   last = c            b exists, c may be undefined
 *     /a/x/c   ancestors = [/, a]      missing = [x, c]    last = undefined
 */
import { DfsError } from '../../protocol/errors.ts'
import { type InodeId, orphanageInodeId, rootInodeId } from '../../protocol/ids.ts'
import type { InodeRow } from './changes.ts'
import type { Context } from './context.ts'
import { checkedPath, componentsOf, isReserved, parseReserved } from './paths.ts'
import { access, mayAccess, requireAccess } from './permissions.ts'
import type { Caller } from './requests.ts'
import type { Residency } from './residency.ts'
import { RowMiss } from './row-miss.ts'

export interface Resolved {
  /** As the caller wrote it, without a slash at the end. */
  readonly path: string
  /** Directories from the root down to the deepest existing one above the last component. */
  readonly ancestors: readonly InodeRow[]
  /** The last component; empty for the root. */
  readonly name: string
  readonly last: InodeRow | undefined
  /** Components that do not exist, in order; empty exactly when `last` is there. */
  readonly missing: readonly string[]
}

/** The directory that holds, or would hold, the last component; undefined when it does not exist. */
export function parentOf({ ancestors, missing }: Resolved): InodeRow | undefined {
  return missing.length > 1 ? undefined : ancestors.at(-1)
}

/** Path of `ancestors[index]`, from the rows' names. */
export function ancestorPath({ ancestors }: Resolved, index: number): string {
  return pathOfRows(ancestors.slice(0, index + 1))
}

/** A path of `row`, whichever of its entries leads to it; undefined when it is deleted. */
export function livingPath(rows: Residency, row: InodeRow): string | undefined {
  const place = rows.place(row)
  if (place === undefined) return undefined
  const above = pathOfRows(place.ancestors)
  return place.ancestors.length <= 1 ? `/${place.name}` : `${above}/${place.name}`
}

/** What a walk does with a symbolic link that is the last component. A link before it always ends the walk. */
export interface WalkOptions {
  /** The link itself is meant. */
  readonly keepsLastLink?: boolean | undefined
}

/** Path spelled by rows from the root down. */
export function pathOfRows(rows: readonly InodeRow[]): string {
  return rows.length <= 1
    ? '/'
    : `/${rows
        .slice(1)
        .map(({ name }) => name)
        .join('/')}`
}

/**
 * The inode at `path`, undefined when it or a directory on the way does not exist. The hot path of reads.
 * @throws {@link DfsError} INVALID_PATH, LIMIT_EXCEEDED, NOT_A_DIRECTORY, PERMISSION_DENIED, UNRESOLVED_LINK.
 * @throws {@link RowMiss} when memory cannot tell.
 */
export function lookUp(
  context: Context,
  path: string,
  options: WalkOptions = {},
): InodeRow | undefined {
  const checked = checkedPath(path)
  if (isReserved(checked)) return resolve(context, path, options).last
  const { rows, caller } = context
  let row = rows.inode(rootInodeId)
  let start = 1
  while (row !== undefined && start < checked.length) {
    if (row.kind !== 'directory') throw notADirectory(checked.slice(0, start - 1))
    if (!mayAccess(caller, row, access.execute)) {
      requireAccess(caller, row, access.execute, () => checked.slice(0, start - 1) || '/')
    }
    const slash = checked.indexOf('/', start)
    const end = slash === -1 ? checked.length : slash
    row = rows.child(row.id, checked.slice(start, end))
    if (row?.kind === 'symlink' && (slash !== -1 || options.keepsLastLink !== true)) {
      throw unresolved(checked, row, checked.slice(0, start - 1), checked.slice(end))
    }
    start = end + 1
  }
  return row
}

/**
 * As {@link lookUp}, with everything an operation needs to change the namespace there.
 */
export function resolve(context: Context, path: string, options: WalkOptions = {}): Resolved {
  const checked = checkedPath(path)
  const { rows, caller } = context
  const parsed = isReserved(checked)
    ? parseReserved(checked)
    : { start: rootInodeId, components: componentsOf(checked) }
  const start = parsed && startOf(rows, parsed.start)
  if (parsed === undefined || start === undefined) {
    const root = rows.inode(rootInodeId)
    const missing = componentsOf(checked)
    return {
      path: checked,
      ancestors: root === undefined ? [] : [root],
      name: missing.at(-1) ?? '',
      last: undefined,
      missing,
    }
  }
  return walk(caller, rows, { path: checked, components: parsed.components, ...start }, options)
}

interface WalkStart {
  readonly path: string
  readonly components: readonly string[]
  /** Every row from the root to where the walk begins, and the name of the last of them. */
  readonly chain: InodeRow[]
  readonly name: string
}

function walk(
  caller: Caller,
  rows: Residency,
  { path: checked, components, chain, name: startName }: WalkStart,
  options: WalkOptions,
): Resolved {
  const requireFollowed = (row: InodeRow, rest: readonly string[]): void => {
    if (row.kind !== 'symlink' || (rest.length === 0 && options.keepsLastLink === true)) return
    const above = chain.slice(0, chain.lastIndexOf(row))
    const preceding = above.length <= 1 ? '' : pathOfRows(above)
    throw unresolved(checked, row, preceding, ['', ...rest].join('/'))
  }
  let lastName = startName
  for (const [index, row] of chain.entries()) {
    if (index < chain.length - 1) requireTraverse(caller, chain, row)
  }
  for (const [index, name] of components.entries()) {
    const row = chain.at(-1)
    if (row === undefined) break
    requireFollowed(row, components.slice(index))
    if (name === '..') {
      if (chain.length > 1) chain.pop()
      lastName = chain.length > 1 ? (chain.at(-1)?.name ?? '') : ''
      continue
    }
    requireTraverse(caller, chain, row)
    const child = rows.child(row.id, name)
    if (child === undefined) {
      const missing = components.slice(index)
      return {
        path: checked,
        ancestors: chain,
        name: missing.at(-1) ?? '',
        last: undefined,
        missing,
      }
    }
    chain.push(child)
    lastName = name
  }
  const last = chain.at(-1)
  if (last !== undefined) requireFollowed(last, [])
  return { path: checked, ancestors: chain.slice(0, -1), name: lastName, last, missing: [] }
}

/** Rows from the root to the inode a walk starts at; undefined when that inode is not there. */
function startOf(
  rows: Residency,
  id: InodeId,
): { readonly chain: InodeRow[]; readonly name: string } | undefined {
  const row = id === orphanageInodeId ? undefined : rows.inode(id)
  const place = row && rows.place(row)
  if (row === undefined || place === undefined) return undefined
  return { chain: [...place.ancestors, row], name: place.name }
}

/** HDFS's way of sending a client on: the message is the path with the link in it replaced by its target. */
function unresolved(path: string, link: InodeRow, preceding: string, remainder: string): DfsError {
  const target = link.target ?? ''
  const isUri = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\//.test(target)
  const resolved = `${isUri || target.startsWith('/') ? target : `${preceding}/${target}`}${remainder}`
  return new DfsError('UNRESOLVED_LINK', isUri ? resolved : withoutDots(resolved), { path })
}

function withoutDots(path: string): string {
  const kept: string[] = []
  for (const component of path.split('/')) {
    if (component === '..') kept.pop()
    else if (component !== '' && component !== '.') kept.push(component)
  }
  return `/${kept.join('/')}`
}

function requireTraverse(caller: Caller, chain: readonly InodeRow[], row: InodeRow): void {
  const path = (): string => pathOfRows(chain.slice(0, chain.indexOf(row) + 1))
  if (row.kind !== 'directory') throw notADirectory(path())
  if (!mayAccess(caller, row, access.execute)) requireAccess(caller, row, access.execute, path)
}

function notADirectory(path: string): DfsError {
  return new DfsError('NOT_A_DIRECTORY', `${path} (is not a directory)`, { path })
}

/**
 * The file a lease holder writes, by inode id when it gives one (so that it is found after a rename),
 * else by path.
 * @returns undefined when it does not exist or is deleted.
 */
export function writtenFile(
  context: Context,
  request: { readonly path: string; readonly inodeId?: InodeId | undefined },
): InodeRow | undefined {
  const { rows } = context
  const { path, inodeId } = request
  if (inodeId === undefined) return lookUp(context, path)
  if (inodeId === orphanageInodeId) return undefined
  const row = rows.inode(inodeId)
  return row === undefined || rows.ancestors(row) === undefined ? undefined : row
}

/** Runs `read`, or returns undefined when a row it needs is not resident. */
export function ifResident<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof RowMiss) return undefined
    throw error
  }
}
