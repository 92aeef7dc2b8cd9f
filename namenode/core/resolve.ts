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
 * @throws {@link DfsError} INVALID_PATH, LIMIT_EXCEEDED, NOT_A_DIRECTORY, PERMISSION_DENIED.
 * @throws {@link RowMiss} when memory cannot tell.
 */
export function lookUp(context: Context, path: string): InodeRow | undefined {
  const checked = checkedPath(path)
  if (isReserved(checked)) return resolve(context, path).last
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
    start = end + 1
  }
  return row
}

/**
 * As {@link lookUp}, with everything an operation needs to change the namespace there.
 */
export function resolve(context: Context, path: string): Resolved {
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
  // The chain holds every row from the root to where the walk stands.
  const chain = start
  for (const [index, row] of chain.entries()) {
    if (index < chain.length - 1) requireTraverse(caller, chain, row)
  }
  for (const [index, name] of parsed.components.entries()) {
    const row = chain.at(-1)
    if (row === undefined) break
    if (name === '..') {
      if (chain.length > 1) chain.pop()
      continue
    }
    requireTraverse(caller, chain, row)
    const child = rows.child(row.id, name)
    if (child === undefined) {
      const missing = parsed.components.slice(index)
      return {
        path: checked,
        ancestors: chain,
        name: missing.at(-1) ?? '',
        last: undefined,
        missing,
      }
    }
    chain.push(child)
  }
  const last = chain.pop()
  const name = last === undefined || last.id === rootInodeId ? '' : last.name
  return { path: checked, ancestors: chain, name, last, missing: [] }
}

/** Rows from the root to the inode a walk starts at; undefined when that inode is not there. */
function startOf(rows: Residency, id: InodeId): InodeRow[] | undefined {
  const row = id === orphanageInodeId ? undefined : rows.inode(id)
  if (row === undefined) return undefined
  if (id === rootInodeId) return [row]
  const chain = rows.ancestors(row)
  chain?.push(row)
  return chain
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
