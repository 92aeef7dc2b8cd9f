import { randomUUID } from 'node:crypto'
import type { DfsClient, FileHandle, FileStatus } from '../client/index.ts'
import { MountError } from './errno.ts'
import { type Node, type NodeTable, rootNode } from './node-table.ts'
import { Spool } from './spool.ts'

const copyBytes = 1024 * 1024

/** What of the local copy differs from the cluster: nothing, only bytes behind the cluster's end, or anything. */
type Difference = 'none' | 'tail' | 'anything'

/**
 * A file that is open, whoever has it open: all its handles share one.
 *
 * Writes go to a {@link Spool}. `publish` brings them to the cluster: bytes behind the end that is published are
 * appended; anything else becomes a new file that takes the old one's place in one rename, so that readers and crashes
 * find the old or the new content. Bytes below the published end come from the cluster until one of them is changed
 * (then all are fetched). Changes and publishing happen one after the other.
 */
export class OpenInode {
  readonly node: Node
  readonly #nodes: NodeTable
  readonly #clientOfMount: DfsClient
  handles = 0
  /** The name is gone; the content lives in the spool until the last handle is closed. */
  #unlinked: FileStatus | undefined
  #spool: Spool | undefined
  #isWhole = false
  #difference: Difference = 'none'
  /** Bytes the file has for programs of this machine, and in the cluster; meaningful with a spool. */
  #size = 0
  #publishedSize = 0
  #mtimeMs = 0
  #reader: Promise<FileHandle> | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(node: Node, nodes: NodeTable, clientOfMount: DfsClient) {
    this.node = node
    this.#nodes = nodes
    this.#clientOfMount = clientOfMount
  }

  get isUnlinked(): boolean {
    return this.#unlinked !== undefined
  }

  /** The status when the name went. */
  get lastStatus(): FileStatus | undefined {
    return this.#unlinked
  }

  /** What is not in the cluster yet, of what stat(2) shows. */
  get unpublished(): { readonly size: number; readonly mtimeMs: number } | undefined {
    if (this.#difference === 'none' && !this.isUnlinked) return undefined
    return this.#spool === undefined ? undefined : { size: this.#size, mtimeMs: this.#mtimeMs }
  }

  /** Fills `buffer` from `position`; fewer bytes only at the end of the file. */
  async read(client: DfsClient, buffer: Buffer, position: number): Promise<number> {
    if (this.#spool === undefined) return this.#readPublished(client, buffer, position)
    return this.#inTurn(async () => {
      const wanted = buffer.subarray(0, Math.max(0, Math.min(buffer.length, this.#size - position)))
      if (this.#spool === undefined) return this.#readPublished(client, buffer, position)
      const fromCluster = this.#isWhole
        ? 0
        : Math.max(0, Math.min(wanted.length, this.#publishedSize - position))
      if (fromCluster > 0)
        await this.#readPublished(client, wanted.subarray(0, fromCluster), position)
      const rest = wanted.subarray(fromCluster)
      const found = await this.#spool.read(rest, position + fromCluster)
      rest.fill(0, found)
      return wanted.length
    })
  }

  /** Writes at `position`, or with `undefined` at the end. */
  write(client: DfsClient, bytes: Uint8Array, position: number | undefined): Promise<number> {
    return this.#inTurn(async () => {
      const spool = await this.#writable(client)
      const at = position ?? this.#size
      if (at < this.#publishedSize) await this.#fetchAll(client, spool)
      await spool.write(bytes, at)
      this.#changed(
        at < this.#publishedSize ? 'anything' : 'tail',
        Math.max(this.#size, at + bytes.length),
      )
      return bytes.length
    })
  }

  truncate(client: DfsClient, size: number): Promise<void> {
    return this.#inTurn(() => this.#truncate(client, size))
  }

  /** As `MountedTree.allocate`. */
  allocate(
    client: DfsClient,
    { offset, length }: { readonly offset: number; readonly length: number },
    { keepsSize, zeroes }: { readonly keepsSize: boolean; readonly zeroes: boolean },
  ): Promise<void> {
    return this.#inTurn(async () => {
      const spool = await this.#writable(client)
      const size = this.#size
      const end = Math.min(offset + length, size)
      if (zeroes && offset < end) {
        if (offset < this.#publishedSize) await this.#fetchAll(client, spool)
        await spool.clear(offset, end, size)
        this.#changed(offset < this.#publishedSize ? 'anything' : 'tail', size)
      }
      if (!keepsSize && offset + length > size) await this.#truncate(client, offset + length)
    })
  }

  /** Returns when everything written is in the cluster, on disk on every replica. */
  publish(client: DfsClient): Promise<void> {
    return this.#inTurn(() => this.#publish(client))
  }

  /** The name is about to go: keeps the content for those who have the file open, whoever takes the name away. */
  keepUnlinked(status: FileStatus): Promise<void> {
    const client = this.#clientOfMount
    return this.#inTurn(async () => {
      await this.#fetchAll(client, await this.#writable(client))
      this.#unlinked = status
    })
  }

  /** The name could not be taken away after all. */
  keepLinked(): void {
    this.#unlinked = undefined
  }

  /** Another reader is opened for the next read: its client may be closed, or the file has changed. */
  async dropReader(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    await (await reader?.catch(() => undefined))?.close()
  }

  /** Drops what was not published. */
  async close(): Promise<void> {
    await this.#last
    await this.dropReader()
    await this.#spool?.close()
    this.#spool = undefined
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#last.then(action)
    this.#last = result.catch(() => undefined)
    return result
  }

  async #truncate(client: DfsClient, size: number): Promise<void> {
    const spool = await this.#writable(client)
    if (size === this.#size) return
    if (size > 0 && size < this.#publishedSize) await this.#fetchAll(client, spool)
    if (size === 0) this.#isWhole = true
    await spool.truncate(size)
    this.#changed(size < this.#publishedSize ? 'anything' : 'tail', size)
  }

  #changed(difference: Difference, size: number): void {
    this.#difference = this.#difference === 'anything' ? 'anything' : difference
    this.#size = size
    this.#mtimeMs = Date.now()
  }

  async #readPublished(client: DfsClient, buffer: Buffer, position: number): Promise<number> {
    this.#reader ??= client.open(this.#nodes.pathOf(this.node.id), 'r')
    const opening = this.#reader
    try {
      const reader = await opening
      return (await reader.read(buffer, 0, buffer.length, position)).bytesRead
    } catch (error) {
      if (this.#reader === opening) this.#reader = undefined
      throw error
    }
  }

  async #writable(client: DfsClient): Promise<Spool> {
    if (this.#spool !== undefined) return this.#spool
    const { size, mtimeMs } = await client.stat(this.#nodes.pathOf(this.node.id))
    this.#spool = await Spool.create()
    this.#publishedSize = this.#size = size
    this.#isWhole = size === 0
    this.#mtimeMs = mtimeMs
    return this.#spool
  }

  async #fetchAll(client: DfsClient, spool: Spool): Promise<void> {
    if (this.#isWhole) return
    const buffer = Buffer.allocUnsafe(copyBytes)
    for (let at = 0; at < this.#publishedSize; ) {
      const wanted = buffer.subarray(0, Math.min(copyBytes, this.#publishedSize - at))
      const count = await this.#readPublished(client, wanted, at)
      if (count === 0)
        throw new MountError(
          'EIO',
          `"${this.node.name}" became shorter while it was open for writing`,
        )
      await spool.write(wanted.subarray(0, count), at)
      at += count
    }
    this.#isWhole = true
  }

  async #publish(client: DfsClient): Promise<void> {
    const spool = this.#spool
    if (spool === undefined || this.#difference === 'none' || this.isUnlinked) return
    // Rights are checked when a file is opened; a file made read-only since, or from the start, may still be written.
    const ways = [
      () => this.#send(client, spool),
      ...(client === this.#clientOfMount ? [] : [() => this.#send(this.#clientOfMount, spool)]),
      async () => {
        await this.#fetchAll(client, spool)
        await this.#replace(client, spool)
      },
    ]
    for (const [index, way] of ways.entries()) {
      try {
        await way()
        break
      } catch (error) {
        const isRefused = error instanceof Error && 'code' in error && error.code === 'EACCES'
        if (!isRefused || index === ways.length - 1) throw error
      }
    }
    this.#publishedSize = this.#size
    this.#difference = 'none'
    await this.dropReader()
  }

  async #send(client: DfsClient, spool: Spool): Promise<void> {
    if (this.#difference === 'tail') {
      if (this.#size > this.#publishedSize) await this.#append(client, spool)
    } else await this.#replace(client, spool)
  }

  async #append(client: DfsClient, spool: Spool): Promise<void> {
    const file = await client.open(this.#nodes.pathOf(this.node.id), 'a', { givesChunksAway: true })
    try {
      if (file.size !== this.#publishedSize) {
        throw new MountError(
          'EIO',
          `"${this.node.name}" was changed by another client while it was open here`,
        )
      }
      for await (const piece of spool.pieces(this.#publishedSize, this.#size))
        await file.write(piece)
    } finally {
      await file.close()
    }
  }

  async #replace(client: DfsClient, spool: Spool): Promise<void> {
    const { node } = this
    const target = this.#nodes.childPath(node.parent, node.name)
    const before = await client.stat(target)
    if (before.inode !== node.fileId || node.id === rootNode) {
      throw new MountError(
        'ESTALE',
        `"${node.name}" was replaced by another client while it was open here`,
      )
    }
    const path = this.#nodes.childPath(node.parent, `.trefoil-${randomUUID()}`)
    const { mode, owner, group, replication, blockSize } = before
    try {
      const file = await client.open(path, 'wx', {
        mode,
        replication,
        blockSize,
        givesChunksAway: true,
      })
      try {
        for await (const piece of spool.pieces(0, this.#size)) await file.write(piece)
      } finally {
        await file.close()
      }
      const made = await client.stat(path)
      if (made.mode !== mode) await client.chmod(path, mode)
      if (made.owner !== owner || made.group !== group) await client.chown(path, owner, group)
      await client.rename(path, target, { overwrite: true })
      this.#nodes.replaceFile(node, made.inode)
    } catch (error) {
      await client.rm(path, { force: true }).catch(() => undefined) // what failed is told
      throw error
    }
  }
}
