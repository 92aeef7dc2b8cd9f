import { type Range, RangeSet } from '../base/range-set.ts'
import { type DfsClient, DfsFsError, type FileHandle, type InodeStatus } from '../client/index.ts'
import type { NodeAttributes } from './attributes.ts'
import { MountError } from './errno.ts'
import type { Node, NodeTable } from './node-table.ts'
import { ReadAhead } from './read-ahead.ts'
import { Spool, type SpoolMemory } from './spool.ts'
import { type StreamSlots, streamedBytesMax, streamedBytesMin, TailStream } from './tail-stream.ts'

const copyBytes = 1024 * 1024

/** What the open files of a mount share. */
export interface Mount {
  readonly nodes: NodeTable
  readonly clientOfMount: DfsClient
  readonly memory: SpoolMemory
  readonly slots: StreamSlots
}

/** What of a file's attributes follows its content. */
type Length = Pick<NodeAttributes, 'size' | 'mtimeMs'>

/**
 * A file that is open, whoever has it open: all its handles share one.
 *
 * Writes go to a {@link Spool}, at the same offsets; all other bytes stay where they are, in the cluster. `publish` brings them there:
 * bytes behind the end are appended, many of them while they are still being written; anything else changes the file by
 * `DfsClient.rewrite`, so that readers and crashes find all of it or nothing. Changes and publishing happen one after the other.
 */
export class OpenInode {
  readonly node: Node
  readonly #nodes: NodeTable
  readonly #clientOfMount: DfsClient
  readonly #memory: SpoolMemory
  handles = 0
  /** The name is gone; the content lives in the spool until the last handle is closed. */
  #unlinked: InodeStatus | undefined
  #unlinkedChanges: Partial<NodeAttributes> = {}
  /** What the first write begins with, where that is known without asking. */
  #expected: (Length & { readonly untilMs: number }) | undefined
  #spool: Spool | undefined
  /** Bytes that the spool has, of those below {@link #kept}; from there on it has all. */
  readonly #spooled = new RangeSet()
  /** Bytes the file has for programs of this machine, and in the cluster; meaningful with a spool. */
  #size = 0
  #publishedSize = 0
  /** The file was cut to that since it was published, if it is less: what the cluster has behind is not the file's any more. */
  #kept = 0
  #mtimeMs = 0
  /** An append broke off: the cluster may have a part of it. */
  #isTailUncertain = false
  /** The bytes behind the published end, on their way there already. */
  #tail: TailStream | undefined
  /** Streaming failed since the file was published. */
  #isTailRefused = false
  readonly #slots: StreamSlots
  #reader: Promise<FileHandle> | undefined
  #ahead: ReadAhead | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(node: Node, { nodes, clientOfMount, memory, slots }: Mount) {
    this.#memory = memory
    this.#slots = slots
    this.node = node
    this.#nodes = nodes
    this.#clientOfMount = clientOfMount
  }

  get isUnlinked(): boolean {
    return this.#unlinked !== undefined
  }

  /** The status when the name went. */
  get lastStatus(): InodeStatus | undefined {
    return this.#unlinked
  }

  /** What is not in the cluster yet, of what stat(2) shows. */
  get unpublished(): { readonly size: number; readonly mtimeMs: number } | undefined {
    if (!this.#isChanged && !this.isUnlinked) return undefined
    return this.#spool === undefined ? undefined : { size: this.#size, mtimeMs: this.#mtimeMs }
  }

  /**
   * The file was just made with these attributes: a write within `validMs` does not ask for them again. Who has changed it meanwhile
   * is noticed when it is published.
   */
  expect({ size, mtimeMs }: Length, validMs: number): void {
    this.#expected = { size, mtimeMs, untilMs: performance.now() + validMs }
  }

  /** Fills `buffer` from `position`; fewer bytes only at the end of the file. */
  async read(client: DfsClient, buffer: Buffer, position: number): Promise<number> {
    if (this.#spool === undefined) return this.#readPublished(client, buffer, position)
    return this.#inTurn(async () => {
      const spool = this.#spool
      if (spool === undefined) return this.#readPublished(client, buffer, position)
      const end = Math.min(position + buffer.length, this.#size)
      for (const piece of this.#pieces(position, end)) {
        const part = buffer.subarray(piece.start - position, piece.end - position)
        if (piece.isIn) part.fill(0, await spool.read(part, piece.start))
        else await this.#fetch(client, part, piece.start)
      }
      return Math.max(0, end - position)
    })
  }

  /**
   * The file was opened for reading once more, by whoever has `client`: whether the pages that the kernel has of it are what the cluster has now.
   * They are from the last time that it was opened so, if the content is the same, nothing was written here since, and nobody read an older
   * one meanwhile.
   */
  async keepsPages(client: DfsClient): Promise<boolean> {
    const { node } = this
    if (this.#spool !== undefined) return false
    // Who had it open before goes on with what is there now.
    this.#forgetReader()
    this.#reader = client.open(this.#nodes.pathOf(node.id), 'r')
    // Why it cannot be opened is told to who reads.
    const version = await this.#reader.then(
      (reader) => reader.version,
      () => undefined,
    )
    const isSame = version !== undefined && version === node.cachedVersion
    if (!isSame) node.cachedVersion = this.handles === 1 ? version : undefined
    return isSame
  }

  /** As {@link read}, the bytes in pieces that nobody changes; who reads in order finds them asked for. */
  async readPieces(client: DfsClient, position: number, size: number): Promise<readonly Buffer[]> {
    if (this.#spool === undefined) {
      this.#reader ??= client.open(this.#nodes.pathOf(this.node.id), 'r')
      const opening = this.#reader
      const reader = await opening.catch(() => undefined) // reading once more tells why
      // Who begins to write meanwhile takes the reader away.
      if (reader !== undefined && this.#reader === opening) {
        this.#ahead ??= new ReadAhead(
          (part, start) => this.#readPublished(client, part, start),
          reader.size,
          this.#memory,
        )
        return this.#ahead.read(position, size)
      }
    }
    const buffer = Buffer.allocUnsafe(size)
    return [buffer.subarray(0, await this.read(client, buffer, position))]
  }

  /** Writes at `position`, or with `undefined` at the end. */
  write(client: DfsClient, bytes: Uint8Array, position: number | undefined): Promise<number> {
    return this.#inTurn(async () => {
      const spool = await this.#writable(client)
      const start = position ?? this.#size
      const end = start + bytes.length
      if (start < (this.#tail?.end ?? 0)) await this.#completeTail()
      const sending = this.#tail?.end === start ? this.#send(spool, end, bytes) : undefined
      await Promise.all([spool.write(bytes, start), sending])
      this.#changed({ start, end }, Math.max(this.#size, end))
      await this.#stream(client, spool)
      return bytes.length
    })
  }

  /** True when the size stays. */
  truncate(client: DfsClient, size: number): Promise<boolean> {
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
        await this.#completeTail()
        await spool.clear(offset, end, size)
        this.#changed({ start: offset, end }, size)
      }
      if (!keepsSize && offset + length > size) await this.#truncate(client, offset + length)
    })
  }

  /** Returns when everything written is in the cluster, on disk on every replica. */
  publish(client: DfsClient): Promise<void> {
    return this.#inTurn(() => this.#publish(client))
  }

  /** The name is about to go: keeps the content for those who have the file open, whoever takes the name away. */
  keepUnlinked(status: InodeStatus): Promise<void> {
    const client = this.#clientOfMount
    return this.#inTurn(async () => {
      await this.#completeTail()
      await this.#fetchAll(client, await this.#writable(client))
      this.#unlinked = status
    })
  }

  /** What stat(2) shows of a file without a name beside what it had with one. */
  get unlinkedChanges(): Partial<NodeAttributes> {
    return this.isUnlinked ? { ...this.#unlinkedChanges, nlink: 0 } : {}
  }

  changeUnlinked(changes: Partial<NodeAttributes>): void {
    this.#unlinkedChanges = { ...this.#unlinkedChanges, ...changes }
  }

  /** The name could not be taken away after all. */
  keepLinked(): void {
    this.#unlinked = undefined
  }

  /** Another reader is opened for the next read: its client may be closed, or the file has changed. */
  async dropReader(): Promise<void> {
    const reader = this.#reader
    this.#forgetReader()
    await (await reader?.catch(() => undefined))?.close()
  }

  /** Drops what was not published. */
  async close(): Promise<void> {
    await this.#last
    await this.#completeTail()
    await this.dropReader()
    await this.#spool?.close()
    this.#spool = undefined
  }

  #forgetReader(): void {
    this.#reader = undefined
    this.#ahead?.drop()
    this.#ahead = undefined
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#last.then(action)
    this.#last = result.catch(() => undefined)
    return result
  }

  async #truncate(client: DfsClient, size: number): Promise<boolean> {
    const spool = await this.#writable(client)
    if (size === this.#size) return true
    await this.#completeTail()
    await spool.truncate(size)
    if (size < this.#kept) {
      this.#kept = size
      this.#spooled.cut(size)
    }
    this.#changed({ start: size, end: size }, size)
    return false
  }

  #changed({ start, end }: Range, size: number): void {
    this.#spooled.add(start, Math.min(end, this.#kept))
    this.#size = size
    this.#mtimeMs = Date.now()
  }

  /** Something differs from what the cluster has. */
  get #isChanged(): boolean {
    const isSame = this.#kept === this.#publishedSize && this.#size === this.#publishedSize
    return !isSame || !this.#spooled.isEmpty || this.#isTailUncertain
  }

  /** A range of the file, by what the spool has and what it has not. */
  *#pieces(start: number, end: number): Generator<Range & { readonly isIn: boolean }, undefined> {
    yield* this.#spooled.pieces(start, Math.min(end, this.#kept))
    const behind = Math.max(start, this.#kept)
    if (behind < end) yield { start: behind, end, isIn: true }
    return undefined
  }

  async #readPublished(client: DfsClient, buffer: Buffer, position: number): Promise<number> {
    for (let isRepeated = false; ; isRepeated = true) {
      this.#reader ??= client.open(this.#nodes.pathOf(this.node.id), 'r')
      const opening = this.#reader
      try {
        const reader = await opening
        return (await reader.read(buffer, 0, buffer.length, position)).bytesRead
      } catch (error) {
        if (this.#reader === opening) this.#forgetReader()
        // Somebody may have changed the file since: then its blocks are others now.
        const isOutdated = error instanceof DfsFsError && error.dfsCode === 'BLOCK_MISSING'
        if (isRefused(error) && client !== this.#clientOfMount) {
          return this.#readPublished(this.#clientOfMount, buffer, position)
        }
        if (!isOutdated || isRepeated) throw error
      }
    }
  }

  /** Fills `buffer` with bytes that the cluster has. */
  async #fetch(client: DfsClient, buffer: Buffer, position: number): Promise<void> {
    const count = await this.#readPublished(client, buffer, position)
    if (count === buffer.length) return
    throw new MountError('EIO', `"${this.node.name}" became shorter while it was open for writing`)
  }

  async #writable(client: DfsClient): Promise<Spool> {
    if (this.#spool !== undefined) return this.#spool
    const path = this.#nodes.pathOf(this.node.id)
    const expected = this.#expected
    this.#expected = undefined
    const isKnown = expected !== undefined && performance.now() < expected.untilMs
    const { size, mtimeMs } = isKnown ? expected : await this.#ask(client, path)
    this.#forgetReader()
    this.node.cachedVersion = undefined
    this.#spool = new Spool(this.#memory)
    this.#kept = this.#publishedSize = this.#size = size
    this.#mtimeMs = mtimeMs
    return this.#spool
  }

  #ask(client: DfsClient, path: string): Promise<Length> {
    return client.stat(path).catch((error: unknown) => {
      if (!isRefused(error)) throw error
      return this.#clientOfMount.stat(path)
    })
  }

  async #fetchAll(client: DfsClient, spool: Spool): Promise<void> {
    const buffer = Buffer.allocUnsafe(copyBytes)
    for (const piece of [...this.#pieces(0, this.#kept)]) {
      for (let at = piece.start; at < piece.end && !piece.isIn; at += copyBytes) {
        const part = buffer.subarray(0, Math.min(copyBytes, piece.end - at))
        await this.#fetch(client, part, at)
        await spool.write(part, at)
        this.#spooled.add(at, at + part.length)
      }
    }
  }

  /** Gives the cluster what was written at the end, when that is much. */
  async #stream(client: DfsClient, spool: Spool): Promise<void> {
    if (this.#tail === undefined) {
      if (!this.#isTail || this.#isTailRefused || this.isUnlinked) return
      if (this.#size - this.#publishedSize < streamedBytesMin) return
      const path = this.#nodes.pathOf(this.node.id)
      const where = { end: this.#publishedSize, slots: this.#slots }
      this.#tail = await TailStream.open(client, path, where)
      this.#isTailRefused = this.#tail === undefined
    }
    if (this.#tail !== undefined && this.#tail.end < this.#size) await this.#send(spool, this.#size)
    if (this.#tail !== undefined && this.#tail.end - this.#publishedSize >= streamedBytesMax)
      await this.#completeTail()
  }

  /** Publishing sends anew what a stream could not. */
  async #send(spool: Spool, end: number, bytes?: Uint8Array): Promise<void> {
    try {
      await this.#tail?.send(spool, end, bytes)
    } catch {
      await this.#completeTail()
    }
  }

  /** What is being streamed is published, or a part of it may be. */
  async #completeTail(): Promise<void> {
    const tail = this.#tail
    if (tail === undefined) return
    this.#tail = undefined
    try {
      await tail.complete()
    } catch {
      this.#isTailUncertain = this.#isTailRefused = true
      return
    }
    this.#publishedSize = tail.end
    // Less is left where the local disk failed what the cluster took.
    this.#kept = Math.min(tail.end, this.#size)
    if (!this.#isChanged) await this.#spool?.truncate(0)
    await this.dropReader()
  }

  /** Only bytes behind the published end differ from what the cluster has. */
  get #isTail(): boolean {
    const isBehind = this.#spooled.isEmpty && this.#kept === this.#publishedSize
    return isBehind && !this.#isTailUncertain
  }

  async #publish(client: DfsClient): Promise<void> {
    await this.#completeTail()
    const spool = this.#spool
    if (spool === undefined || !this.#isChanged || this.isUnlinked) return
    const isAppended = this.#isTail && this.#size > this.#kept
    // Rights are checked when a file is opened; a file made read-only since, or from the start, may still be written.
    const clients = client === this.#clientOfMount ? [client] : [client, this.#clientOfMount]
    const ways = [
      ...(isAppended ? clients.map((who) => () => this.#append(who, spool)) : []),
      ...clients.map((who) => () => this.#rewrite(who, spool)),
    ]
    for (const [index, way] of ways.entries()) {
      try {
        await way()
        break
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? error.code : undefined
        if (code === 'ENOENT') {
          throw new MountError(
            'ESTALE',
            `"${this.node.name}" was removed or replaced by another client while it was open here`,
          )
        }
        if (code !== 'EACCES' || index === ways.length - 1) throw error
      }
    }
    this.#kept = this.#publishedSize = this.#size
    this.#spooled.clear()
    this.#isTailUncertain = this.#isTailRefused = false
    await spool.truncate(0)
    await this.dropReader()
  }

  async #append(client: DfsClient, spool: Spool): Promise<void> {
    const file = await client.open(this.#nodes.pathOf(this.node.id), 'a', { givesChunksAway: true })
    if (file.size !== this.#publishedSize) {
      await file.close()
      throw new MountError(
        'EIO',
        `"${this.node.name}" was changed by another client while it was open here`,
      )
    }
    this.#isTailUncertain = true
    try {
      for await (const piece of spool.pieces(this.#publishedSize, this.#size))
        await file.write(piece)
    } finally {
      await file.close()
    }
  }

  async #rewrite(client: DfsClient, spool: Spool): Promise<void> {
    const { node } = this
    const path = this.#nodes.pathOf(node.id)
    // An append of ours that broke off has left the file open.
    if (this.#isTailUncertain) await client.recoverLease(path, { wait: true })
    const behind = { start: this.#kept, end: this.#size }
    await client.rewrite(path, {
      ...{ length: this.#size, inode: node.id, scratch: this.#nodes.pathOf(node.parent) },
      changed: [...this.#spooled.ranges, behind],
      content: (start, end) => spool.pieces(start, end),
    })
  }
}

/**
 * The namenode refuses what the kernel has allowed: rights are checked when a file is opened and may be others since, and the
 * process may be in groups that the namenode does not know of. The mount itself does it then.
 */
function isRefused(error: unknown): boolean {
  return error instanceof DfsFsError && error.code === 'EACCES'
}
