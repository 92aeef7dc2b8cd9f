import type { DfsClient } from '../client/index.ts'
import { MountError } from './errno.ts'
import type { NodeTable } from './node-table.ts'
import { type Mount, OpenInode } from './open-inode.ts'
import type { SpoolMemory } from './spool.ts'
import { StreamSlots } from './tail-stream.ts'
import type { ClientLease } from './user-clients.ts'

/** One open file description. */
export interface OpenHandle {
  readonly inode: OpenInode
  readonly lease: ClientLease
  readonly isAppending: boolean
}

/** Open files by the number of their handle, and the state that the handles of one inode share. */
export class OpenInodes {
  readonly #mount: Mount
  readonly #byHandle = new Map<number, OpenHandle>()
  readonly #byNode = new Map<number, OpenInode>()
  #next = 1

  constructor(nodes: NodeTable, clientOfMount: DfsClient, memory: SpoolMemory) {
    this.#mount = { nodes, clientOfMount, memory, slots: new StreamSlots() }
  }

  /** A new handle of a node, for the user of `lease`, which is given back when the handle is released. */
  open(id: number, lease: ClientLease, isAppending: boolean): number {
    const inode = this.#hold(id)
    const handle = this.#next
    this.#next += 1
    this.#byHandle.set(handle, { inode, lease, isAppending })
    return handle
  }

  /** @throws MountError EBADF for a number that no open file has */
  get(handle: number): OpenHandle {
    const open = this.#byHandle.get(handle)
    if (open === undefined) throw new MountError('EBADF', `No open file has the number ${handle}`)
    return open
  }

  get isAnyOpen(): boolean {
    return this.#byNode.size > 0
  }

  of(id: number): OpenInode | undefined {
    return this.#byNode.get(id)
  }

  /** Runs `action` on a node's open state, as a handle would that is open only meanwhile. */
  async during<T>(id: number, action: (inode: OpenInode) => Promise<T>): Promise<T> {
    const inode = this.#hold(id)
    try {
      return await action(inode)
    } finally {
      await this.#drop(inode)
    }
  }

  /** Publishes what is left and closes the handle, also when publishing fails. */
  async release(handle: number): Promise<void> {
    const { inode, lease } = this.get(handle)
    this.#byHandle.delete(handle)
    try {
      await inode.publish(lease.client)
    } finally {
      await inode.dropReader()
      await this.#drop(inode)
      lease.release()
    }
  }

  /** Brings the content of every open file to the cluster; they stay open. */
  async publishAll(): Promise<void> {
    const open = [...this.#byHandle.values()]
    await Promise.allSettled(open.map(({ inode, lease }) => inode.publish(lease.client)))
  }

  /**
   * As {@link release}, for every handle.
   * @throws MountError EIO with the names of the files that did not get to the cluster
   */
  async releaseAll(): Promise<void> {
    const lost: string[] = []
    await Promise.all(
      [...this.#byHandle].map(async ([handle, { inode }]) => {
        await this.release(handle).catch((error: unknown) => {
          const why = error instanceof Error ? error.message : String(error)
          lost.push(`"${inode.node.name}": ${why}`)
        })
      }),
    )
    if (lost.length > 0)
      throw new MountError('EIO', `What was written to open files was lost: ${lost.join('; ')}`)
  }

  #hold(id: number): OpenInode {
    let inode = this.#byNode.get(id)
    if (inode === undefined) {
      inode = new OpenInode(this.#mount.nodes.get(id), this.#mount)
      this.#byNode.set(id, inode)
    }
    inode.handles += 1
    return inode
  }

  async #drop(inode: OpenInode): Promise<void> {
    inode.handles -= 1
    if (inode.handles > 0) return
    this.#byNode.delete(inode.node.id)
    await inode.close()
  }
}
