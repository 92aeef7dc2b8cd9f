/**
 * Syntax of paths, as HDFS has it: absolute; components separated by one slash, not `.` or `..`, without
 * a colon in what is made (the mount makes such names, so they can be looked up); one slash at the end is allowed; at most 8000 characters and 1000 components. Two reserved
 * prefixes: `/.reserved/.inodes/<id>[/…]` starts at an inode (and there `..` leads to its parent),
 * `/.reserved/raw/…` is the path behind it, since nothing here is encrypted.
 *
 * Beyond HDFS, NUL and lone surrogates are refused: such names cannot be stored or mounted faithfully.
 */
import { DfsError } from '../../protocol/errors.ts'
import { type InodeId, inodeId, rootInodeId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { utf8Length } from './names.ts'

const slash = 0x2f
const dot = 0x2e
const reservedPrefix = '/.reserved'
const inodesPrefix = '/.reserved/.inodes/'
const rawPrefix = '/.reserved/raw'

/** Where a walk starts, and the components behind it. */
export interface ParsedPath {
  readonly start: InodeId
  readonly components: readonly string[]
}

/**
 * Checks the syntax of `path` in one pass and returns it without a slash at the end.
 * @throws {@link DfsError} INVALID_PATH when a rule is broken; LIMIT_EXCEEDED when it is too long or deep.
 */
export function checkedPath(path: string): string {
  if (path.charCodeAt(0) !== slash) {
    throw new DfsError('INVALID_PATH', `Path "${path}" must be absolute`, { path })
  }
  const end =
    path.length > 1 && path.charCodeAt(path.length - 1) === slash ? path.length - 1 : path.length
  let depth = 0
  let start = 1
  for (let index = 1; index <= end; index += 1) {
    const unit = index === end ? slash : path.charCodeAt(index)
    if (unit === slash) {
      if (path.length === 1) break
      depth += 1
      checkComponent(path, start, index)
      start = index + 1
    } else if (unit === 0) {
      throw new DfsError('INVALID_PATH', `Path "${path}" may not contain NUL`, { path })
    } else if (unit >= 0xd800 && unit <= 0xdfff) {
      if (unit > 0xdbff || !isLowSurrogate(path.charCodeAt(index + 1))) {
        throw new DfsError('INVALID_PATH', `Path "${path}" is not well-formed Unicode`, { path })
      }
      index += 1
    }
  }
  if (path.length > limits.pathCharactersMax || depth > limits.pathDepthMax) {
    throw new DfsError(
      'LIMIT_EXCEEDED',
      `Path of ${path.length} characters and ${depth} levels is too long: the limits are ${limits.pathCharactersMax} characters and ${limits.pathDepthMax} levels`,
    )
  }
  return end === path.length ? path : path.slice(0, end)
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff
}

function checkComponent(path: string, start: number, end: number): void {
  const length = end - start
  if (length > 2 || (length > 0 && path.charCodeAt(start) !== dot)) return
  if (length === 2 && path.charCodeAt(start + 1) !== dot) return
  if (length === 2 && path.startsWith(inodesPrefix) && start > inodesPrefix.length) return
  const what = length === 0 ? 'an empty component' : `the component "${path.slice(start, end)}"`
  throw new DfsError('INVALID_PATH', `Path "${path}" may not contain ${what}`, { path })
}

/** True when a checked path needs {@link parseReserved}. */
export function isReserved(path: string): boolean {
  return path.startsWith(reservedPrefix) && (path.length === 10 || path.charCodeAt(10) === slash)
}

/** True below `/.reserved/raw`, where attributes of the namespace `raw` show. */
export function isRawPath(path: string): boolean {
  return path === rawPrefix || path.startsWith(`${rawPrefix}/`)
}

/**
 * Reads a checked path below `/.reserved`.
 * @returns the start of the walk; undefined when nothing can be there.
 */
export function parseReserved(path: string): ParsedPath | undefined {
  if (isRawPath(path)) {
    return { start: rootInodeId, components: componentsOf(path.slice(rawPrefix.length)) }
  }
  if (!path.startsWith(inodesPrefix)) return undefined
  const [digits = '', ...components] = path.slice(inodesPrefix.length).split('/')
  const id = Number(digits)
  if (!/^\d{1,16}$/.test(digits) || !Number.isSafeInteger(id)) return undefined
  return { start: inodeId(id), components }
}

/** Components of a checked path. */
export function componentsOf(path: string): readonly string[] {
  return path === '/' || path === '' ? [] : path.slice(1).split('/')
}

/**
 * Checks a name that HDFS's clients are about to create in a directory.
 * @throws {@link DfsError} as {@link checkNewEntry}; INVALID_PATH for names with a colon.
 */
export function checkNewName(parent: InodeId, name: string, path: string): void {
  if (name.includes(':')) {
    throw new DfsError('INVALID_PATH', `Path "${path}" may not contain ":"`, { path })
  }
  checkNewEntry(parent, name, path)
}

/**
 * Checks a name that is about to be created in a directory.
 * @throws {@link DfsError} NAME_TOO_LONG beyond 255 bytes; INVALID_PATH for `..` and the reserved name in the root.
 */
export function checkNewEntry(parent: InodeId, name: string, path: string): void {
  const bytes = utf8Length(name)
  if (bytes > limits.pathComponentBytesMax) {
    throw new DfsError(
      'NAME_TOO_LONG',
      `Name "${name}" has ${bytes} bytes, the limit is ${limits.pathComponentBytesMax}`,
      { path },
    )
  }
  if (name === '..' || (parent === rootInodeId && name === '.reserved')) {
    throw new DfsError('INVALID_PATH', `Path "${path}" is reserved`, { path })
  }
}
