import { constants } from 'node:fs'
import { DfsClient, DfsFsError, type InodeStatus } from '../client/index.ts'
import type { NodeAttributes } from './attributes.ts'
import type { Caller } from './caller.ts'
import { MountError } from './errno.ts'
import type { Identities } from './identity.ts'
import { defaultMountSettings } from './mount-settings.ts'
import { NodeTable } from './node-table.ts'
import { NodeXattrs, type XattrSource } from './node-xattrs.ts'
import { OpenDirectories } from './open-directories.ts'
import { OpenInodes } from './open-inodes.ts'
import { SpoolMemory } from './spool.ts'
import { type Changes, type EntryName, TreeNames } from './tree-names.ts'
import { UserClients } from './user-clients.ts'

/** O_ACCMODE of open(2), which Node does not name. */
const accessModeMask = 0o3
const setuid = 0o4000
const setgid = 0o2000
const groupExecute = 0o010
const copyBytes = 1024 * 1024
/** What one call copies: a caller that is killed waits no longer than for this. */
const copyRangeBytesMax = 16 * copyBytes

/** Where the tree comes from. */
export interface TreeOptions {
  readonly uri: string
  /** Who the mount itself is; its rights publish what a caller was allowed to open but may not open again. */
  readonly user?: string
  /** Whoever calls acts as the mount itself, not as himself. */
  readonly isForOneUser?: boolean
  /** As {@link MountSettings} has it. */
  readonly cacheBytes?: number
  readonly attributesMs?: number
  readonly identities: Identities
}

/** An entry of a directory as READDIR tells it. */
export interface TreeEntry {
  readonly name: string
  readonly status: InodeStatus | undefined
  readonly attributes: NodeAttributes
}

/**
 * The cluster as a tree of numbered inodes, in the terms of a kernel: no driver, no paths. Calls go to the namenode as the
 * user who makes them. Failures are errors whose `code` is a name of errno(3).
 */
export class MountedTree {
  /** Names and attributes. */
  readonly names: TreeNames
  readonly #clientOfMount: DfsClient
  readonly #clients: UserClients
  readonly #nodes = new NodeTable()
  readonly #files: OpenInodes
  readonly #directories = new OpenDirectories()
  readonly #xattrs: NodeXattrs
  readonly #attributesMs: number

  constructor({ uri, user, identities, isForOneUser = false, ...more }: TreeOptions) {
    const { cacheBytes = defaultMountSettings.cacheBytes } = more
    // Umasks are the callers'; each call brings what is left to apply of one.
    const settings = { 'fs.permissions.umask-mode': '000' }
    const create = (name?: string): DfsClient =>
      new DfsClient({ uri, settings, ...(name === undefined ? {} : { user: name }) })
    this.#xattrs = new NodeXattrs(identities)
    this.#attributesMs = more.attributesMs ?? defaultMountSettings.attributesMs
    this.#clientOfMount = create(user)
    const { user: own } = this.#clientOfMount
    this.#clients = new UserClients(create, (uid) => (isForOneUser ? own : identities.userOf(uid)))
    const memory = new SpoolMemory(cacheBytes)
    this.#files = new OpenInodes(this.#nodes, this.#clientOfMount, memory)
    this.names = new TreeNames({
      ...{ identities, clients: this.#clients, nodes: this.#nodes, files: this.#files },
    })
  }

  /** The kernel, or who stands for it, knows an inode once more. */
  hold(node: number): void {
    this.#nodes.hold(node)
  }

  /** The kernel has forgotten an inode this many times. */
  forget(node: number, count: number): void {
    this.#nodes.forget(node, count)
  }

  /** chmod(2), chown(2), utimensat(2), truncate(2). */
  async setattr(caller: Caller, node: number, changes: Changes): Promise<NodeAttributes> {
    const { size, ...rest } = changes
    if (size === undefined) return this.names.change(caller, node, rest)
    const isSame = await this.#clients.run(caller.uid, (client) =>
      this.#truncate(client, node, size),
    )
    // The namenode does not learn of a length that stays, but it is a change.
    const others = isSame ? { mtime: 'now' as const, ...rest } : withoutNow(rest)
    if (Object.keys(others).length === 0) return this.names.getattr(caller, node)
    return this.names.change(caller, node, others)
  }

  /** Takes set-user-id and set-group-id bits away, whoever writes: the kernel says when that must be. */
  async dropSetBits(node: number): Promise<void> {
    const { mode = 0 } = this.#nodes.get(node)
    const kept = (mode & groupExecute) === 0 ? mode & ~setuid : mode & ~(setuid | setgid)
    if (kept === mode || this.#files.of(node)?.isUnlinked === true) return
    await this.#clientOfMount.nodes.change(this.#nodes.pathOf(node), { mode: kept })
    this.#nodes.get(node).mode = kept
  }

  /** getxattr(2). */
  getxattr(uid: number, node: number, name: string): Promise<Buffer> {
    return this.#withXattrs(uid, node, (source) => this.#xattrs.get(source, name))
  }

  /** listxattr(2). */
  listxattr(uid: number, node: number): Promise<string[]> {
    return this.#withXattrs(uid, node, (source) => this.#xattrs.list(source))
  }

  /** setxattr(2); `flags` are its own. */
  setxattr(
    uid: number,
    node: number,
    {
      name,
      value,
      flags,
    }: { readonly name: string; readonly value: Buffer; readonly flags: number },
  ): Promise<void> {
    return this.#withXattrs(
      uid,
      node,
      (source) => this.#xattrs.set(source, name, value, flags),
      true,
    )
  }

  /** removexattr(2). */
  removexattr(uid: number, node: number, name: string): Promise<void> {
    return this.#withXattrs(uid, node, (source) => this.#xattrs.remove(source, name), true)
  }

  /** Opens a file; O_TRUNC and O_APPEND of `flags` count, rights are the kernel's to check. */
  async open(caller: Caller, node: number, flags: number): Promise<number> {
    const isWriting = (flags & accessModeMask) !== constants.O_RDONLY
    const handle = this.#files.open(
      node,
      this.#clients.lease(caller.uid),
      (flags & constants.O_APPEND) !== 0,
    )
    try {
      if (isWriting && (flags & constants.O_TRUNC) !== 0) {
        await this.setattr(caller, node, { size: 0 })
      }
      return handle
    } catch (error) {
      await this.#files.release(handle).catch(() => undefined) // why opening failed is told
      throw error
    }
  }

  /** Of a handle that was just opened for reading: whether the pages that the kernel has of the file are still right. */
  keepsPages(handle: number): Promise<boolean> {
    const { inode, lease } = this.#files.get(handle)
    return inode.keepsPages(lease.client)
  }

  /** Makes a file and opens it; one that exists is opened unless `flags` has O_EXCL. */
  async create(
    caller: Caller,
    { mode, umask, ...entry }: EntryName & { readonly mode: number; readonly umask?: number },
    flags: number,
  ): Promise<{ readonly attributes: NodeAttributes; readonly handle: number }> {
    const { attributes, isNew } = await this.names
      .make(caller, entry, { kind: 'file', mode, umask })
      .then(
        (made) => ({ attributes: made, isNew: true }),
        async (error: unknown) => {
          const isThere = error instanceof DfsFsError && error.code === 'EEXIST'
          if (!isThere || (flags & constants.O_EXCL) !== 0) throw error
          return { attributes: await this.names.lookup(caller, entry), isNew: false }
        },
      )
    try {
      // What was just made is empty: nothing is to be cut, and the first write need not ask how long it is.
      const left = isNew ? flags & ~constants.O_TRUNC : flags
      const handle = await this.open(caller, attributes.node, left)
      if (isNew) this.#files.get(handle).inode.expect(attributes, this.#attributesMs)
      return { attributes, handle }
    } catch (error) {
      this.forget(attributes.node, 1)
      throw error
    }
  }

  /** Fills `buffer` from `position`; fewer bytes only at the end of the file. */
  read(handle: number, buffer: Buffer, position: number): Promise<number> {
    const { inode, lease } = this.#files.get(handle)
    return inode.read(lease.client, buffer, position)
  }

  /** As {@link read}, `size` bytes at most, in pieces that nobody changes: the faster one where a file is read in order. */
  readPieces(handle: number, position: number, size: number): Promise<readonly Buffer[]> {
    const { inode, lease } = this.#files.get(handle)
    return inode.readPieces(lease.client, position, size)
  }

  /** Writes at `position`; a handle opened with O_APPEND writes at the end, unless `isPlaced` (the pages of a mapping). */
  write(handle: number, bytes: Uint8Array, position: number, isPlaced = false): Promise<number> {
    const { inode, lease, isAppending } = this.#files.get(handle)
    return inode.write(lease.client, bytes, isAppending && !isPlaced ? undefined : position)
  }

  /**
   * fallocate(2): makes the file at least as long as the end of the range unless `keepsSize`, and with `zeroes` the bytes
   * of the range that there are zero.
   *
   * @throws MountError ENOSPC where the cluster has no room for what is added
   */
  async allocate(
    handle: number,
    range: { readonly offset: number; readonly length: number },
    how: { readonly keepsSize: boolean; readonly zeroes: boolean },
  ): Promise<void> {
    const { inode, lease } = this.#files.get(handle)
    const { blockSize, free } = await this.statfs()
    if (!how.zeroes && range.length > free * blockSize)
      throw new MountError('ENOSPC', `The cluster has no room for ${range.length} bytes`)
    await inode.allocate(lease.client, range, how)
  }

  /** copy_file_range(2): returns how many bytes were copied, at most {@link copyRangeBytesMax} at a time. */
  async copyRange(
    from: { readonly handle: number; readonly offset: number },
    to: { readonly handle: number; readonly offset: number },
    length: number,
  ): Promise<number> {
    const total = Math.min(length, copyRangeBytesMax)
    const buffer = Buffer.allocUnsafe(Math.min(total, copyBytes))
    let done = 0
    while (done < total) {
      const piece = buffer.subarray(0, Math.min(buffer.length, total - done))
      const count = await this.read(from.handle, piece, from.offset + done)
      if (count === 0) break
      await this.write(to.handle, piece.subarray(0, count), to.offset + done, true)
      done += count
    }
    return done
  }

  /** fsync(2) and close(2): what was written is in the cluster, on disk on every replica. */
  async sync(handle: number): Promise<void> {
    const { inode, lease } = this.#files.get(handle)
    await inode.publish(lease.client)
  }

  release(handle: number): Promise<void> {
    return this.#files.release(handle)
  }

  /** A handle to read a directory with. */
  opendir(caller: Caller, node: number): number {
    const path = this.#nodes.pathOf(node)
    const lease = this.#clients.lease(caller.uid)
    return this.#directories.open({
      list: (after) => this.names.list(caller, lease.client, { path, after }),
      close: () => {
        lease.release()
      },
    })
  }

  /** Entries from the given index on; `.` and `..` are the first two and have no status. */
  async *entries(
    handle: number,
    node: number,
    start: number,
  ): AsyncGenerator<TreeEntry, void, undefined> {
    for (let index = start; index < 2; index += 1) yield this.#dots(node, index)
    if (start === 0) this.#directories.rewind(handle)
    for (let index = Math.max(0, start - 2); ; index += 1) {
      const status = await this.#directories.entry(handle, index)
      if (status === undefined) return
      yield { name: status.name, status, attributes: this.names.attributes(status, status.inode) }
    }
  }

  /** The kernel was told of an entry of a directory that was listed. */
  rememberEntry(parent: number, { name, status }: TreeEntry): void {
    if (status !== undefined) this.#nodes.remember(status.inode, parent, name)
  }

  closedir(handle: number): void {
    this.#directories.release(handle)
  }

  async statfs(): Promise<{
    readonly blockSize: number
    readonly blocks: number
    readonly free: number
  }> {
    const { capacity, remaining } = await this.#clientOfMount.statfs()
    const blockSize = 4096
    return {
      blockSize,
      blocks: Math.floor(capacity / blockSize),
      free: Math.floor(remaining / blockSize),
    }
  }

  /** Brings what is open and not in the cluster yet there; a file that fails does not keep the others. */
  publishAll(): Promise<void> {
    return this.#files.publishAll()
  }

  /**
   * Publishes what is open and closes all connections.
   * @throws MountError EIO with the names of the files that did not get to the cluster
   */
  async close(): Promise<void> {
    try {
      await this.#files.releaseAll()
    } finally {
      await this.#clients.close()
      await this.#clientOfMount.close()
    }
  }

  #dots(node: number, index: number): TreeEntry {
    const { id, parent } = this.#nodes.get(node)
    const name = index === 0 ? '.' : '..'
    const ino = index === 0 ? id : parent
    const times = { atimeMs: 0, mtimeMs: 0, ctimeMs: 0, atimeNanos: 0, mtimeNanos: 0 }
    const none = { size: 0, uid: 0, gid: 0, nlink: 2, device: 0, ...times }
    return {
      name,
      status: undefined,
      attributes: { ...none, node: ino, ino, mode: constants.S_IFDIR },
    }
  }

  #withXattrs<T>(
    uid: number,
    node: number,
    action: (source: XattrSource) => Promise<T>,
    isChange = false,
  ): Promise<T> {
    const known = this.#nodes.get(node)
    const { acl } = known
    const isFresh = acl !== undefined && performance.now() - acl.seenAtMs < this.#attributesMs
    // The kernel asks for the list of what it has just looked up, again and again: that there is none need not be asked for.
    if (isChange) delete known.acl
    const path = this.#nodes.pathOf(node)
    const hasAcl = isFresh ? acl.isThere : undefined
    return this.#clients.run(uid, (client) => action({ client, path, hasAcl }))
  }

  /** True when the size stays. */
  async #truncate(client: DfsClient, node: number, size: number): Promise<boolean> {
    let isSame = false
    await this.#files.during(node, async (inode) => {
      isSame = await inode.truncate(client, size)
      if (inode.handles === 1) await inode.publish(client)
    })
    return isSame
  }
}

/** What else changes when the length does: its time is the namenode's, or that of this mount until it is published. */
function withoutNow({ mtime, ...rest }: Changes): Changes {
  return mtime === undefined || mtime === 'now' ? rest : { mtime, ...rest }
}
