import { constants } from 'node:fs'
import { DfsError } from '../protocol/errors.ts'
import type { FsAction, HdfsFileStatus } from '../protocol/messages/hdfs.ts'
import { type BlockLocation, toBlockLocation } from './block-location.ts'
import type { ClientContext } from './context.ts'
import { FileStatus, textOf } from './file-status.ts'
import { joinPath } from './path.ts'

/** Options that every verb takes. */
export interface VerbOptions {
  readonly signal?: AbortSignal | undefined
}

/** Options of `opendir`. */
export interface OpendirOptions extends VerbOptions {
  /** Begin behind this name, in the namenode's order: that of the names' bytes. */
  readonly after?: string | undefined
}

/** Options of `mkdir`. */
export interface MkdirOptions extends VerbOptions {
  /** Create missing parents, and accept a directory that exists. */
  readonly recursive?: boolean | undefined
  /** Permission bits before the umask, 0o777 by default. */
  readonly mode?: number | undefined
  /** Bits that a new directory does not get unless its parent has a default ACL; by default those of the settings. */
  readonly umask?: number | undefined
}

/** Options of `rm`. */
export interface RmOptions extends VerbOptions {
  /** Delete directories with all that is in them. */
  readonly recursive?: boolean | undefined
  /** Accept a path that does not exist. */
  readonly force?: boolean | undefined
}

/** Options of `rename`. */
export interface RenameOptions extends VerbOptions {
  /** Replace a file or an empty directory at the target, as `rename(2)` does: the default. */
  readonly overwrite?: boolean | undefined
  /** The target is in the trash: the namenode checks the right to delete the source as well. */
  readonly toTrash?: boolean | undefined
}

/** Sums over a tree. */
export interface ContentSummary {
  /** Bytes in files, each counted once. */
  readonly length: number
  readonly fileCount: number
  /** Includes the directory asked about. */
  readonly directoryCount: number
  /** Bytes on datanodes, replicas counted. */
  readonly spaceConsumed: number
  /** Entries the tree may have; `undefined` without quota. */
  readonly quota: bigint | undefined
  /** Bytes on datanodes the tree may take; `undefined` without quota. */
  readonly spaceQuota: bigint | undefined
}

/** A file's status together with where its blocks are. */
export class LocatedFileStatus extends FileStatus {
  readonly blocks: readonly BlockLocation[]
  /** Somebody is writing it. */
  readonly isOpen: boolean

  constructor(path: string, wire: HdfsFileStatus) {
    super(path, wire)
    this.isOpen = wire.locations?.underConstruction === true
    this.blocks = wire.locations?.blocks.map(toBlockLocation) ?? []
  }
}

/** A time as `node:fs` takes it: seconds since the epoch, or a date. */
export type FileTime = number | string | Date

/** -1 in an unsigned field: leave a time as it is, and no quota. */
const minusOne = 2n ** 64n - 1n
const noStart = new Uint8Array(0)

/**
 * Status of a path, or `undefined` when it does not exist.
 * @param shown the path as the caller knows it: `path` has the links on the way resolved
 */
export async function find(
  { namenode }: ClientContext,
  path: string,
  { signal }: VerbOptions = {},
  shown = path,
): Promise<FileStatus | undefined> {
  const { fs } = await namenode.call('getFileInfo', { src: path }, { signal })
  return fs === undefined ? undefined : new FileStatus(shown, fs)
}

/** As {@link stat}, a file with the locations of its blocks. */
export async function statWithLocations(
  { namenode }: ClientContext,
  path: string,
  { signal }: VerbOptions = {},
  shown = path,
): Promise<LocatedFileStatus> {
  const { fs } = await namenode.call('getLocatedFileInfo', { src: path }, { signal })
  return fs === undefined ? notFound(path) : new LocatedFileStatus(shown, fs)
}

export async function stat(
  context: ClientContext,
  path: string,
  options?: VerbOptions,
  shown = path,
): Promise<FileStatus> {
  return (await find(context, path, options, shown)) ?? notFound(path)
}

export async function lstat(
  { namenode }: ClientContext,
  path: string,
  options?: VerbOptions,
  shown = path,
): Promise<FileStatus> {
  return (await findLink({ namenode }, path, options, shown)) ?? notFound(path)
}

/** As {@link find}, of a link at the end itself. */
async function findLink(
  { namenode }: Pick<ClientContext, 'namenode'>,
  path: string,
  { signal }: VerbOptions = {},
  shown = path,
): Promise<FileStatus | undefined> {
  const { fs } = await namenode.call('getFileLinkInfo', { src: path }, { signal })
  return fs === undefined ? undefined : new FileStatus(shown, fs)
}

/** Makes a symbolic link at `path`; its directory has to exist. */
export async function symlink(
  { namenode }: ClientContext,
  target: string,
  path: string,
  { signal }: VerbOptions = {},
): Promise<void> {
  const request = { target, link: path, dirPerm: { perm: 0o755 }, createParent: false }
  await namenode.call('createSymlink', request, { signal })
}

/** Where a symbolic link leads, as it was made. */
export async function readlink(
  context: ClientContext,
  path: string,
  options?: VerbOptions,
): Promise<string> {
  const { target } = await lstat(context, path, options)
  if (target !== undefined) return target
  throw new DfsError('INVALID_ARGUMENT', `Path is not a symbolic link: ${path}`, { path })
}

export async function access(
  context: ClientContext,
  path: string,
  mode: number,
  options: VerbOptions = {},
): Promise<void> {
  if (mode === constants.F_OK) {
    await stat(context, path, options)
    return
  }
  const action = actions[mode]
  if (action === undefined) {
    throw new DfsError('INVALID_ARGUMENT', `Access mode must be 0 to 7, got ${mode}`, { path })
  }
  await context.namenode.call('checkAccess', { path, mode: action }, { signal: options.signal })
}

/** Rights by the bits of `fs.constants.R_OK`, `W_OK` and `X_OK`. */
const actions: readonly FsAction[] = [
  'NONE',
  'EXECUTE',
  'WRITE',
  'WRITE_EXECUTE',
  'READ',
  'READ_EXECUTE',
  'READ_WRITE',
  'PERM_ALL',
]

/** Entries of a directory in the namenode's order, page by page; memory stays that of one page. */
export async function* list(
  context: ClientContext,
  path: string,
  options: OpendirOptions = {},
  shown = path,
): AsyncGenerator<FileStatus, void, undefined> {
  for await (const wire of entries(context, path, { ...options, needLocation: false })) {
    yield new FileStatus(joinPath(shown, textOf(wire.path)), wire)
  }
}

/** As {@link list}, each file with the locations of its blocks. */
export async function* listWithLocations(
  context: ClientContext,
  path: string,
  options: VerbOptions = {},
  shown = path,
): AsyncGenerator<LocatedFileStatus, void, undefined> {
  for await (const wire of entries(context, path, { ...options, needLocation: true })) {
    yield new LocatedFileStatus(joinPath(shown, textOf(wire.path)), wire)
  }
}

async function* entries(
  { namenode }: ClientContext,
  path: string,
  { signal, needLocation, after }: OpendirOptions & { readonly needLocation: boolean },
): AsyncGenerator<HdfsFileStatus, void, undefined> {
  let startAfter = after === undefined ? noStart : Uint8Array.from(Buffer.from(after))
  for (;;) {
    const request = { src: path, startAfter, needLocation }
    const { dirList } = await namenode.call('getListing', request, { signal })
    if (dirList === undefined) notFound(path)
    const { partialListing, remainingEntries } = dirList
    const last = partialListing.at(-1)
    if (last?.path.length === 0) {
      throw new DfsError('NOT_A_DIRECTORY', `Path is not a directory: ${path}`, { path })
    }
    yield* partialListing
    if (last === undefined || remainingEntries === 0) return
    startAfter = Uint8Array.from(last.path)
  }
}

export async function mkdir(
  context: ClientContext,
  path: string,
  { recursive = false, mode = 0o777, signal, ...options }: MkdirOptions = {},
): Promise<void> {
  if (!recursive && (await findLink(context, path, { signal })) !== undefined) {
    throw new DfsError('FILE_EXISTS', `Path exists already: ${path}`, { path })
  }
  const umask = options.umask ?? Number.parseInt(context.settings['fs.permissions.umask-mode'], 8)
  const { result } = await context.namenode.call(
    'mkdirs',
    {
      src: path,
      masked: { perm: mode & ~umask },
      unmasked: { perm: mode },
      createParent: recursive,
    },
    { signal },
  )
  if (!result) throw new DfsError('IO_ERROR', `The namenode did not create "${path}"`, { path })
}

export async function rm(
  context: ClientContext,
  path: string,
  { recursive = false, force = false, signal }: RmOptions = {},
): Promise<void> {
  refuseRoot(path)
  if (!recursive) {
    const status = await findLink(context, path, { signal })
    if (status?.isDirectory() === true) {
      throw new DfsError('IS_A_DIRECTORY', `Path is a directory: ${path}`, { path })
    }
  }
  const isDeleted = await remove(context, path, recursive, signal)
  if (!isDeleted && !force) notFound(path)
}

export async function unlink(
  context: ClientContext,
  path: string,
  { signal }: VerbOptions = {},
): Promise<void> {
  await rm(context, path, { signal })
}

export async function rmdir(
  context: ClientContext,
  path: string,
  { signal }: VerbOptions = {},
): Promise<void> {
  refuseRoot(path)
  const status = await lstat(context, path, { signal })
  if (!status.isDirectory()) {
    throw new DfsError('NOT_A_DIRECTORY', `Path is not a directory: ${path}`, { path })
  }
  if (!(await remove(context, path, false, signal))) notFound(path)
}

async function remove(
  { namenode }: ClientContext,
  path: string,
  recursive: boolean,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { result } = await namenode.call('delete', { src: path, recursive }, { signal })
  return result
}

export async function rename(
  context: ClientContext,
  source: string,
  target: string,
  { overwrite = true, toTrash = false, signal }: RenameOptions = {},
): Promise<void> {
  if (source === target) {
    await lstat(context, source, { signal })
    return
  }
  const request = { src: source, dst: target, overwriteDest: overwrite, moveToTrash: toTrash }
  await context.namenode.call('rename2', request, { signal })
}

export async function chmod(
  { namenode }: ClientContext,
  path: string,
  mode: number,
  { signal }: VerbOptions = {},
): Promise<void> {
  const permission = { perm: mode & 0o1777 }
  await namenode.call('setPermission', { src: path, permission }, { signal })
}

export async function chown(
  { namenode }: ClientContext,
  path: string,
  { owner, group }: { readonly owner?: string | undefined; readonly group?: string | undefined },
  { signal }: VerbOptions = {},
): Promise<void> {
  const request = {
    src: path,
    ...(owner === undefined || owner === '' ? {} : { username: owner }),
    ...(group === undefined || group === '' ? {} : { groupname: group }),
  }
  await namenode.call('setOwner', request, { signal })
}

export async function utimes(
  { namenode }: ClientContext,
  path: string,
  { atime, mtime }: { readonly atime: FileTime | undefined; readonly mtime: FileTime | undefined },
  { signal }: VerbOptions = {},
): Promise<void> {
  const request = { src: path, mtime: wireTime(mtime, path), atime: wireTime(atime, path) }
  await namenode.call('setTimes', request, { signal })
}

function wireTime(time: FileTime | undefined, path: string): bigint {
  if (time === undefined) return minusOne
  const ms = time instanceof Date ? time.getTime() : Math.round(Number(time) * 1000)
  if (Number.isSafeInteger(ms) && ms >= 0) return BigInt(ms)
  throw new DfsError('INVALID_ARGUMENT', `Time must be after 1970, got ${String(time)}`, { path })
}

export async function setReplication(
  { namenode }: ClientContext,
  path: string,
  replication: number,
  { signal }: VerbOptions = {},
): Promise<boolean> {
  const { result } = await namenode.call('setReplication', { src: path, replication }, { signal })
  return result
}

export async function contentSummary(
  { namenode }: ClientContext,
  path: string,
  { signal }: VerbOptions = {},
): Promise<ContentSummary> {
  const { summary } = await namenode.call('getContentSummary', { path }, { signal })
  const { length, fileCount, directoryCount, spaceConsumed, quota, spaceQuota } = summary
  return {
    length,
    fileCount,
    directoryCount,
    spaceConsumed,
    quota: quota === minusOne ? undefined : quota,
    spaceQuota: spaceQuota === minusOne ? undefined : spaceQuota,
  }
}

function refuseRoot(path: string): void {
  if (path === '/') {
    throw new DfsError('INVALID_ARGUMENT', 'Cannot delete the root directory', { path })
  }
}

function notFound(path: string): never {
  throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
}
