import { constants } from 'node:fs'
import { DfsClient, DfsFsError, type FileStatus } from '../client/index.ts'
import { attributesOf, type NodeAttributes } from './attributes.ts'
import { MountError } from './errno.ts'
import type { Identities } from './identity.ts'
import { defaultMountSettings } from './mount-settings.ts'
import { NodeTable } from './node-table.ts'
import { NodeXattrs, type XattrSource } from './node-xattrs.ts'
import { OpenDirectories } from './open-directories.ts'
import { OpenInodes } from './open-inodes.ts'
import { SpoolMemory } from './spool.ts'
import { UserClients } from './user-clients.ts'

/** O_ACCMODE of open(2), which Node does not name. */
const accessModeMask = 0o3
const permissionMask = 0o7777
const setBits = 0o6000
const unknownUser = 0xffffffff
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

/** What a SETATTR changes; what is absent stays. */
export interface Changes {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  readonly atimeMs?: number | 'now'
  readonly mtimeMs?: number | 'now'
}

/** Permission bits of something new, and those that its maker does not want unless a default ACL says otherwise. */
export interface NewMode {
  readonly mode: number
  readonly umask: number
}

/** An entry of a directory as READDIR tells it. */
export interface TreeEntry {
  readonly name: string
  readonly status: FileStatus | undefined
  readonly attributes: NodeAttributes
}

/**
 * The cluster as a tree of numbered inodes, in the terms of a kernel: no driver, no paths. Calls go to the namenode as the
 * user who makes them. Failures are errors whose `code` is a name of errno(3).
 */
export class MountedTree {
  readonly #identities: Identities
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
    this.#identities = identities
    this.#xattrs = new NodeXattrs(identities)
    this.#attributesMs = more.attributesMs ?? defaultMountSettings.attributesMs
    this.#clientOfMount = create(user)
    const { user: own } = this.#clientOfMount
    this.#clients = new UserClients(create, (uid) => (isForOneUser ? own : identities.userOf(uid)))
    const memory = new SpoolMemory(cacheBytes)
    this.#files = new OpenInodes(this.#nodes, this.#clientOfMount, memory)
  }

  /** The entry of a directory; the kernel knows it once more from now on. */
  async lookup(uid: number, parent: number, name: string): Promise<NodeAttributes> {
    const status = await this.#clients.run(uid, (client) =>
      client.lstat(this.#nodes.childPath(parent, name)),
    )
    return this.#remember(status, parent, name)
  }

  /** The kernel, or who stands for it, knows an inode once more. */
  hold(node: number): void {
    this.#nodes.hold(node)
  }

  /** The kernel has forgotten an inode this many times. */
  forget(node: number, count: number): void {
    this.#nodes.forget(node, count)
  }

  async getattr(uid: number, node: number): Promise<NodeAttributes> {
    const last = this.#files.of(node)?.lastStatus
    return this.#attributes(
      last ?? (await this.#clients.run(uid, (client) => this.#status(client, node))),
      node,
    )
  }

  async setattr(uid: number, node: number, changes: Changes): Promise<NodeAttributes> {
    await this.#clients.run(uid, async (client) => {
      const path = this.#nodes.pathOf(node)
      const { size } = changes
      if (size !== undefined) await this.#truncate(client, node, size)
      const open = this.#files.of(node)
      if (open?.isUnlinked === true) return
      if (changes.mode !== undefined) await client.chmod(path, changes.mode & permissionMask)
      await this.#chown(client, path, changes)
      const { atimeMs, mtimeMs } = changes
      if (atimeMs === undefined && mtimeMs === undefined) return
      // Publishing later would set the time of modification anew.
      await open?.publish(client)
      await client.utimes(this.#nodes.pathOf(node), timeOf(atimeMs), timeOf(mtimeMs))
    })
    return this.getattr(uid, node)
  }

  async mkdir(
    uid: number,
    parent: number,
    name: string,
    { mode, umask }: NewMode,
  ): Promise<NodeAttributes> {
    const path = this.#nodes.childPath(parent, name)
    const status = await this.#clients.run(uid, async (client) => {
      await client.mkdir(path, { mode: mode & permissionMask, umask })
      return client.lstat(path)
    })
    return this.#remember(status, parent, name)
  }

  /** An empty file; other kinds of nodes are refused with EPERM. */
  async mknod(
    uid: number,
    parent: number,
    name: string,
    { mode, umask }: NewMode,
  ): Promise<NodeAttributes> {
    if ((mode & constants.S_IFMT) !== constants.S_IFREG && (mode & constants.S_IFMT) !== 0) {
      throw new MountError(
        'EPERM',
        `Cannot make "${name}": the cluster keeps files and directories only`,
      )
    }
    const path = this.#nodes.childPath(parent, name)
    const status = await this.#clients.run(uid, async (client) => {
      await client.writeFile(path, '', { mode: mode & permissionMask, umask, flags: 'wx' })
      return client.lstat(path)
    })
    return this.#remember(status, parent, name)
  }

  /** Takes set-user-id and set-group-id bits away, whoever writes: the kernel says when that must be. */
  async dropSetBits(node: number): Promise<void> {
    const { mode = 0 } = this.#nodes.get(node)
    if ((mode & setBits) === 0) return
    await this.#clientOfMount.chmod(this.#nodes.pathOf(node), mode & ~setBits)
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

  async unlink(uid: number, parent: number, name: string): Promise<void> {
    const path = this.#nodes.childPath(parent, name)
    await this.#clients.run(uid, (client) =>
      this.#keepingOpen(client, path, () => client.unlink(path)),
    )
  }

  async rmdir(uid: number, parent: number, name: string): Promise<void> {
    await this.#clients.run(uid, (client) => client.rmdir(this.#nodes.childPath(parent, name)))
  }

  /** rename(2); with `isExclusive` a target that exists is an error. */
  async rename(
    uid: number,
    from: { readonly parent: number; readonly name: string },
    to: { readonly parent: number; readonly name: string },
    isExclusive: boolean,
  ): Promise<void> {
    const source = this.#nodes.childPath(from.parent, from.name)
    const target = this.#nodes.childPath(to.parent, to.name)
    await this.#clients.run(uid, async (client) => {
      const moved = await client.lstat(source)
      const replaced = await client.lstat(target).catch(undefinedIfMissing)
      if (replaced !== undefined) {
        if (isExclusive) throw new MountError('EEXIST', `"${to.name}" exists already`)
        if (replaced.inode === moved.inode) return
        if (replaced.isDirectory() !== moved.isDirectory()) {
          throw new MountError(
            replaced.isDirectory() ? 'EISDIR' : 'ENOTDIR',
            `"${from.name}" and "${to.name}" are of different kinds`,
          )
        }
      }
      await this.#keepingOpen(client, replaced === undefined ? undefined : target, () =>
        client.rename(source, target, { overwrite: !isExclusive }),
      )
      const node = this.#nodes.named(from.parent, from.name)
      if (node !== undefined) this.#nodes.place(node, to.parent, to.name)
    })
  }

  /** Opens a file; O_TRUNC and O_APPEND of `flags` count, rights are the kernel's to check. */
  async open(uid: number, node: number, flags: number): Promise<number> {
    const isWriting = (flags & accessModeMask) !== constants.O_RDONLY
    const handle = this.#files.open(
      node,
      this.#clients.lease(uid),
      (flags & constants.O_APPEND) !== 0,
    )
    try {
      const { inode, lease } = this.#files.get(handle)
      if (isWriting && (flags & constants.O_TRUNC) !== 0) await inode.truncate(lease.client, 0)
      return handle
    } catch (error) {
      await this.#files.release(handle).catch(() => undefined) // why opening failed is told
      throw error
    }
  }

  /** Makes a file and opens it; one that exists is opened unless `flags` has O_EXCL. */
  async create(
    uid: number,
    entry: NewMode & { readonly parent: number; readonly name: string },
    flags: number,
  ): Promise<{ readonly attributes: NodeAttributes; readonly handle: number }> {
    const attributes = await this.mknod(uid, entry.parent, entry.name, {
      mode: entry.mode & permissionMask,
      umask: entry.umask,
    }).catch((error: unknown) => {
      const isThere = error instanceof DfsFsError && error.code === 'EEXIST'
      if (!isThere || (flags & constants.O_EXCL) !== 0) throw error
      return this.lookup(uid, entry.parent, entry.name)
    })
    try {
      return { attributes, handle: await this.open(uid, attributes.node, flags) }
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
  opendir(uid: number, node: number): number {
    const path = this.#nodes.pathOf(node)
    const lease = this.#clients.lease(uid)
    return this.#directories.open({
      list: (after) => lease.client.opendir(path, { after }),
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
      yield { name: status.name, status, attributes: this.#attributes(status, status.inode) }
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
    const none = { size: 0, uid: 0, gid: 0, nlink: 2, atimeMs: 0, mtimeMs: 0, ctimeMs: 0 }
    return {
      name,
      status: undefined,
      attributes: { ...none, node: ino, ino, mode: constants.S_IFDIR },
    }
  }

  async #status(client: DfsClient, node: number): Promise<FileStatus> {
    return client.lstat(this.#nodes.pathOf(node))
  }

  #remember(status: FileStatus, parent: number, name: string): NodeAttributes {
    return this.#attributes(status, this.#nodes.remember(status.inode, parent, name).id)
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

  #attributes(status: FileStatus, node: number): NodeAttributes {
    const acl = { isThere: status.hasAcl, seenAtMs: performance.now() }
    const known = this.#nodes.find(node)
    if (known !== undefined) {
      known.acl = acl
      known.mode = status.mode
    }
    const attributes = attributesOf(status, node, this.#identities)
    const open = this.#files.of(node)
    const unpublished = open?.unpublished
    if (unpublished === undefined) return attributes
    const { size, mtimeMs } = unpublished
    const nlink = open?.isUnlinked === true ? 0 : attributes.nlink
    return { ...attributes, size, mtimeMs, ctimeMs: mtimeMs, nlink }
  }

  async #truncate(client: DfsClient, node: number, size: number): Promise<void> {
    await this.#files.during(node, async (inode) => {
      await inode.truncate(client, size)
      if (inode.handles === 1) await inode.publish(client)
    })
  }

  async #chown(client: DfsClient, path: string, { uid, gid }: Changes): Promise<void> {
    const user = uid === undefined || uid === unknownUser ? undefined : this.#identities.userOf(uid)
    const group =
      gid === undefined || gid === unknownUser ? undefined : this.#identities.groupOf(gid)
    if (user !== undefined || group !== undefined) await client.chown(path, user, group)
  }

  /** Runs `action`, which takes away the name at `path`, so that a file that is open there keeps its content. */
  async #keepingOpen(
    client: DfsClient,
    path: string | undefined,
    action: () => Promise<void>,
  ): Promise<void> {
    const isAnythingOpen = path !== undefined && this.#files.isAnyOpen
    const status = isAnythingOpen ? await client.lstat(path) : undefined
    const open = status === undefined ? undefined : this.#files.of(status.inode)
    if (open === undefined || status === undefined) {
      await action()
      return
    }
    await open.keepUnlinked(status)
    try {
      await action()
    } catch (error) {
      open.keepLinked()
      throw error
    }
  }
}

function timeOf(time: number | 'now' | undefined): Date | undefined {
  if (time === undefined) return undefined
  return new Date(time === 'now' ? Date.now() : time)
}

function undefinedIfMissing(error: unknown): undefined {
  if (error instanceof DfsFsError && error.code === 'ENOENT') return undefined
  throw error
}
