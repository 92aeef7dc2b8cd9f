import { constants } from 'node:fs'
import {
  type DfsClient,
  DfsFsError,
  type InodeStatus,
  type NewNode,
  type NodeCaller,
  type NodeChanges,
  type NodeTime,
  type RenameManner,
} from '../client/index.ts'
import { attributesOf, type NodeAttributes } from './attributes.ts'
import { type Caller, nodeCallerOf } from './caller.ts'
import { MountError } from './errno.ts'
import type { Identities } from './identity.ts'
import type { NodeTable } from './node-table.ts'
import type { OpenInodes } from './open-inodes.ts'
import type { UserClients } from './user-clients.ts'

const unknownId = 0xffffffff
const permissionMask = 0o7777
/** The kernel asks for longer names, too, and expects to be told. */
const nameBytesMax = 255

/** What a SETATTR changes; what is absent stays. */
export interface Changes {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  readonly atime?: NodeTime
  readonly mtime?: NodeTime
}

/** A name in a directory. */
export interface EntryName {
  readonly parent: number
  readonly name: string
}

interface Parts {
  readonly identities: Identities
  readonly clients: UserClients
  readonly nodes: NodeTable
  readonly files: OpenInodes
}

/** Names and attributes of the tree's inodes: what needs no content. Rules are the kernel's and the namenode's. */
export class TreeNames {
  readonly #identities: Identities
  readonly #clients: UserClients
  readonly #nodes: NodeTable
  readonly #files: OpenInodes

  constructor({ identities, clients, nodes, files }: Parts) {
    this.#identities = identities
    this.#clients = clients
    this.#nodes = nodes
    this.#files = files
  }

  /** The entry of a directory; the kernel knows it once more from now on. */
  async lookup(caller: Caller, { parent, name }: EntryName): Promise<NodeAttributes> {
    if (Buffer.byteLength(name) > nameBytesMax) {
      throw new MountError('ENAMETOOLONG', `Names have at most ${nameBytesMax} bytes`)
    }
    const path = this.#nodes.childPath(parent, name)
    const status = await this.#look(caller, (client, as) => client.nodes.stat(path, { caller: as }))
    return this.#remember(status, { parent, name })
  }

  async getattr(caller: Caller, node: number): Promise<NodeAttributes> {
    const status = this.#files.of(node)?.lastStatus ?? (await this.#status(caller, node))
    return this.attributes(status, node)
  }

  /** Mode, owner, group and times; the size is content. */
  async change(caller: Caller, node: number, changes: Changes): Promise<NodeAttributes> {
    const open = this.#files.of(node)
    if (open?.isUnlinked === true) {
      open.changeUnlinked(this.#unlinkedChanges(changes))
      return this.getattr(caller, node)
    }
    const { mode, uid, gid, atime, mtime } = changes
    const status = await this.#do(caller, async (client, as) => {
      // Publishing later would set the time of modification anew.
      if (mtime !== undefined && mtime !== 'now') await open?.publish(client)
      const wanted: NodeChanges = {
        mode: mode === undefined ? undefined : mode & permissionMask,
        owner: nameOf(uid, (id) => this.#identities.userOf(id)),
        group: nameOf(gid, (id) => this.#identities.groupOf(id)),
        ...{ atime, mtime },
      }
      return client.nodes.change(this.#nodes.pathOf(node), wanted, { caller: as })
    })
    return this.attributes(status, node)
  }

  async make(
    caller: Caller,
    entry: EntryName,
    { mode, ...node }: NewNode,
  ): Promise<NodeAttributes> {
    const path = this.#nodes.childPath(entry.parent, entry.name)
    const status = await this.#do(caller, (client, as) =>
      client.nodes.make(path, { ...node, mode: mode & permissionMask }, { caller: as }),
    )
    return this.#remember(status, entry)
  }

  async link(caller: Caller, node: number, entry: EntryName): Promise<NodeAttributes> {
    const path = this.#nodes.childPath(entry.parent, entry.name)
    const status = await this.#do(caller, (client, as) =>
      client.nodes.link(this.#nodes.pathOf(node), path, { caller: as }),
    )
    return this.#remember(status, entry)
  }

  /** Entries of a directory behind a name, for whoever holds `client`. */
  async *list(
    caller: Caller,
    client: DfsClient,
    { path, after }: { readonly path: string; readonly after: string | undefined },
  ): AsyncGenerator<InodeStatus, void, undefined> {
    const as = await nodeCallerOf(caller, this.#identities)
    yield* client.nodes.list(path, { after, caller: as })
  }

  /** Where a symbolic link leads. */
  async readlink(caller: Caller, node: number): Promise<string> {
    return (await this.#status(caller, node)).target ?? ''
  }

  async unlink(caller: Caller, { parent, name }: EntryName): Promise<void> {
    const path = this.#nodes.childPath(parent, name)
    await this.#do(caller, (client, as) =>
      this.#keepingOpen(client, path, as, () => client.nodes.unlink(path, { caller: as })),
    )
  }

  async rmdir(caller: Caller, { parent, name }: EntryName): Promise<void> {
    const path = this.#nodes.childPath(parent, name)
    await this.#do(caller, (client, as) => client.nodes.rmdir(path, { caller: as }))
  }

  /** rename(2) and renameat2(2). */
  async rename(
    caller: Caller,
    from: EntryName,
    to: EntryName,
    manner: RenameManner,
  ): Promise<void> {
    const source = this.#nodes.childPath(from.parent, from.name)
    const target = this.#nodes.childPath(to.parent, to.name)
    await this.#do(caller, async (client, as) => {
      const replaced = manner === 'replace' ? target : undefined
      await this.#keepingOpen(client, replaced, as, () =>
        client.nodes.rename(source, target, manner, { caller: as }),
      )
    })
    const [moved, other] = [from, to].map(({ parent, name }) => this.#nodes.named(parent, name))
    if (moved === other) return
    if (moved !== undefined) this.#nodes.place(moved, to.parent, to.name)
    if (manner === 'exchange' && other !== undefined) {
      this.#nodes.place(other, from.parent, from.name)
    }
  }

  /** What stat(2) shows, with what of an open file is not in the cluster yet. */
  attributes(status: InodeStatus, node: number): NodeAttributes {
    const attributes = attributesOf(status, node, this.#identities)
    const known = this.#nodes.find(node)
    if (known !== undefined) {
      known.acl = { isThere: status.hasAcl, seenAtMs: performance.now() }
      known.mode = status.permissions
    }
    const open = this.#files.of(node)
    if (open === undefined) return attributes
    const { unpublished, unlinkedChanges } = open
    if (unpublished === undefined) return { ...attributes, ...unlinkedChanges }
    const { size, mtimeMs } = unpublished
    const ctimeMs = Math.max(mtimeMs, attributes.ctimeMs)
    return { ...attributes, size, mtimeMs, mtimeNanos: 0, ctimeMs, ...unlinkedChanges }
  }

  #remember(status: InodeStatus, { parent, name }: EntryName): NodeAttributes {
    return this.attributes(status, this.#nodes.remember(status.inode, parent, name).id)
  }

  #status(caller: Caller, node: number): Promise<InodeStatus> {
    return this.#look(caller, (client, as) =>
      client.nodes.stat(this.#nodes.pathOf(node), { caller: as }),
    )
  }

  /** Asks once without the groups of the process, which are only needed where they give a right. */
  #look<T>(
    caller: Caller,
    action: (client: DfsClient, as: NodeCaller | undefined) => Promise<T>,
  ): Promise<T> {
    return this.#clients.run(caller.uid, async (client) => {
      try {
        return await action(client, undefined)
      } catch (error) {
        const isRefused = error instanceof DfsFsError && error.code === 'EACCES'
        if (!isRefused || caller.pid === undefined) throw error
        return action(client, await nodeCallerOf(caller, this.#identities))
      }
    })
  }

  async #do<T>(
    caller: Caller,
    action: (client: DfsClient, as: NodeCaller) => Promise<T>,
  ): Promise<T> {
    const as = await nodeCallerOf(caller, this.#identities)
    return this.#clients.run(caller.uid, (client) => action(client, as))
  }

  #unlinkedChanges({ mode, uid, gid, atime, mtime }: Changes): Partial<NodeAttributes> {
    const now = Date.now()
    const [read, written] = [atime, mtime].map((time) =>
      time === 'now' ? { ms: now, nanos: 0 } : time,
    )
    return {
      ...(mode !== undefined && { mode: constants.S_IFREG | (mode & permissionMask) }),
      ...(uid !== undefined && uid !== unknownId && { uid }),
      ...(gid !== undefined && gid !== unknownId && { gid }),
      ...(read !== undefined && { atimeMs: read.ms, atimeNanos: read.nanos }),
      ...(written !== undefined && { mtimeMs: written.ms, mtimeNanos: written.nanos }),
      ctimeMs: now,
    }
  }

  /** Runs `action`, which takes away the name at `path`, so that a file that is open there keeps its content. */
  async #keepingOpen(
    client: DfsClient,
    path: string | undefined,
    as: NodeCaller,
    action: () => Promise<void>,
  ): Promise<void> {
    const isAnythingOpen = path !== undefined && this.#files.isAnyOpen
    const status = isAnythingOpen
      ? await client.nodes.stat(path, { caller: as }).catch(undefinedIfMissing)
      : undefined
    const open = status === undefined ? undefined : this.#files.of(status.inode)
    // A file with another name stays in the cluster.
    if (open === undefined || status === undefined || status.nlink > 1) {
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

function nameOf(id: number | undefined, name: (id: number) => string): string | undefined {
  return id === undefined || id === unknownId ? undefined : name(id)
}

function undefinedIfMissing(error: unknown): undefined {
  if (error instanceof DfsFsError && error.code === 'ENOENT') return undefined
  throw error
}
