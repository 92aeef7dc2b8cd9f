import { assert } from '../../base/assert.ts'
import type { TimerHandle, Timers } from '../../base/clock.ts'
import { JoinedRuns } from '../../base/joined-runs.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import type { SpacePromise } from '../core/space-ledger.ts'
import {
  encodeSyncMark,
  metaHeader,
  nextSyncMarkTurn,
  syncMarkOffset,
} from '../format/block-meta.ts'
import type { MetaBuilder } from '../format/meta-builder.ts'
import { type BufferPool, largeBufferBytes, pageBytes, smallBufferBytes } from './buffer-pool.ts'
import { type FileSystem, smallFileBytes } from './files.ts'
import { MetaFile } from './meta-file.ts'
import { ReplicaDescriptors } from './replica-descriptors.ts'
import type { ReplicaFiles, Volume } from './volume.ts'
import { WriteWindow } from './write-window.ts'

/** Bytes of one replica that may be on their way to the disk: four large writes keep it busy. */
const inFlightBytesMax = 4 * largeBufferBytes
/** Bytes received are handed to the kernel when nothing followed them for about this long. */
const idleFlushMs = 4
/** Checksums of a stream are written in pieces of about this size, or when it is flushed. */
const metaWriteBytes = 64 * 1024
/** A stretch shorter than this goes through the page cache although it could be written directly. */
const directBytesMin = 64 * 1024

export interface ReplicaWriterOptions {
  readonly blockId: BlockId
  readonly volume: Volume
  readonly files: ReplicaFiles
  readonly meta: MetaBuilder
  readonly pool: BufferPool
  readonly timers: Timers
  /** True when the files are to be created, false when they exist with `meta.length` bytes. */
  readonly isNew: boolean
  /** Digest that the block must end with, when its sender said so. */
  readonly wantedDigest?: bigint | undefined
  /** Bytes the replica may still grow by: the volume keeps room for them. */
  readonly expectedBytes: number
}

/** `ending`: no bytes are taken any more, and the files are closed when all that was begun has ended. */
type WriterState = 'open' | 'ending' | 'closed'

/**
 * Puts a growing replica on disk. Bytes land in page-aligned windows, straight from the socket, and
 * leave them for the disk without a copy: full windows around the page cache, the tail through it.
 *
 *     0          written windows            window being filled
 *     |------------------------------------|=======+-------+......|
 *                                           written length  landed  end
 *
 * `length` bytes are verified; those from there to `landed` belong to a packet that is still arriving.
 */
export class ReplicaWriter {
  readonly blockId: BlockId
  readonly files: ReplicaFiles
  readonly meta: MetaBuilder
  readonly volume: Volume
  readonly wantedDigest: bigint | undefined
  readonly #disk: FileSystem
  readonly #space: SpacePromise
  readonly #pool: BufferPool
  readonly #timers: Timers
  readonly #descriptors: ReplicaDescriptors
  #windows: WriteWindow[] = []
  #landed: number
  /** Somebody fills the memory that {@link space} gave: its window must stay. */
  #isLanding = false
  readonly #inFlight = new Set<Promise<void>>()
  #inFlightBytes = 0
  readonly #metaFile: MetaFile
  readonly #flushes = new JoinedRuns(() => this.#flushOnce())
  #flushedLength: number
  readonly #syncs = new JoinedRuns(() => this.#syncOnce())
  /** Undefined until the marks of the writer before this one were looked at. */
  #syncMarkTurn: number | undefined
  #wasSynced = false
  #idleTimer: TimerHandle | undefined
  #lengthAtTimer = 0
  #failure: DfsError | undefined
  #state: WriterState = 'open'
  #closing: Promise<void> = Promise.resolve()
  #onAbandoned: (() => void) | undefined
  #onSpace: (() => boolean) | undefined

  constructor(options: ReplicaWriterOptions) {
    this.blockId = options.blockId
    this.files = options.files
    this.meta = options.meta
    this.volume = options.volume
    this.wantedDigest = options.wantedDigest
    this.#disk = options.files.disk
    this.#space = options.volume.promise(options.expectedBytes)
    this.#pool = options.pool
    this.#timers = options.timers
    this.#landed = options.meta.length
    this.#flushedLength = options.meta.length
    this.#descriptors = new ReplicaDescriptors(options.blockId, options.files, options.isNew)
    for (const opened of [this.#descriptors.data, this.#descriptors.meta]) {
      opened.catch((error: unknown) => this.#fail(error))
    }
    const { blockId, meta, isNew } = options
    this.#metaFile = new MetaFile({
      ...{ blockId, meta, isNew },
      writeAt: (bytes, offset) => this.#writeAt(this.#descriptors.meta, bytes, offset),
      onFailed: (error) => this.#fail(error),
    })
    if (isNew) this.#syncMarkTurn = 0
  }

  /** Resolves when both files are open. @throws {@link DfsError} when they cannot be */
  async opened(): Promise<void> {
    try {
      await Promise.all([this.#descriptors.data, this.#descriptors.meta])
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /** Bytes received and verified. */
  get length(): number {
    return this.meta.length
  }

  /** Resolves when the descriptors of a finished writer are closed. */
  get closed(): Promise<void> {
    return this.#closing
  }

  get failure(): DfsError | undefined {
    return this.#failure
  }

  /** @throws {@link DfsError} REPLICA_NOT_FOUND when the replica was taken from this writer */
  requireOpen(): void {
    if (this.#state === 'open') return
    throw new DfsError(
      'REPLICA_NOT_FOUND',
      `Cannot write block ${this.blockId}: a recovery or a newer pipeline took the replica over`,
      { blockId: this.blockId },
    )
  }

  /** Has `stop` called when the replica is taken from this writer; it must let go of lent memory at once. */
  onAbandoned(stop: () => void): void {
    this.#onAbandoned = stop
  }

  /**
   * Returns memory for the next bytes of the block, at most `wanted`, or `undefined` when there is none
   * now; `retry` is then called when there may be, and says whether it is still interested.
   */
  space(wanted: number, retry: () => boolean): Buffer | undefined {
    let window = this.#windows.at(-1)
    if (window === undefined || this.#landed === window.end) {
      if (this.#inFlightBytes >= inFlightBytesMax) {
        this.#onSpace = retry
        return undefined
      }
      window = this.#addWindow()
      if (window === undefined) {
        this.#pool.wait(retry)
        return undefined
      }
    }
    this.#isLanding = true
    return window.view(this.#landed, Math.min(this.#landed + wanted, window.end))
  }

  /** Notes that `count` bytes were put where {@link space} said. */
  landed(count: number): void {
    this.#isLanding = false
    this.#landed += count
  }

  /**
   * Lists the landed bytes that are not accepted yet; each part with the window that holds it, to be
   * retained by whoever needs the part after {@link accept}.
   */
  arrived(): { readonly window: WriteWindow; readonly bytes: Buffer }[] {
    const parts: { window: WriteWindow; bytes: Buffer }[] = []
    for (const window of this.#windows) {
      const from = Math.max(this.length, window.base)
      const to = Math.min(this.#landed, window.end)
      if (from < to) parts.push({ window, bytes: window.view(from, to) })
    }
    return parts
  }

  /** Forgets landed bytes that did not pass verification. */
  reject(): void {
    this.#isLanding = false
    this.#landed = this.length
  }

  /**
   * Takes the landed bytes as verified: their chunk CRCs go to the meta file from chunk `chunk` on,
   * and windows that are full go to the disk.
   */
  accept(chunk: number, checksums: Uint8Array): void {
    this.meta.append(chunk, checksums, this.#landed)
    for (let window = this.#windows[0]; window !== undefined; window = this.#windows[0]) {
      if (this.length < window.end) break
      this.#windows.shift()
      this.#startWindowWrite(window)
    }
    if (this.#windows.length > 0) this.#armIdleFlush()
  }

  /**
   * Hands everything received so far to the kernel, data and checksums, so that readers see it and
   * the end of this process does not lose it.
   *
   * @throws {@link DfsError} when the disk failed
   */
  flush(): Promise<void> {
    return this.#flushes.run()
  }

  /**
   * Makes everything received so far durable. One at a time: the mark of the sync before must stay until this one's is true,
   * and there is place for two.
   *
   * @throws {@link DfsError} when the disk failed
   */
  sync(): Promise<void> {
    return this.#syncs.run()
  }

  /** Notes that no byte follows: if the head of the meta file is still to be written, the block's digest goes with it. */
  noteEnd(): void {
    this.#metaFile.noteEnd()
  }

  /**
   * Makes the complete replica durable, with the digest it returns, and lets its files go.
   *
   * @throws {@link DfsError} when the disk failed
   */
  async finish(): Promise<bigint> {
    const digest = this.meta.blockDigest()
    this.#metaFile.noteEnd()
    // A sync asked for before may not have begun; its mark goes into the meta file, too.
    await this.#syncs.settled()
    await this.flush()
    try {
      await this.#metaFile.recordDigest(digest)
      await this.#syncFiles()
    } catch (error) {
      throw this.#fail(error)
    }
    assert(this.#state === 'open', `writer of block ${this.blockId} must end once`)
    this.#state = 'ending'
    // Everything is durable: nobody need wait for the descriptors.
    this.#closing = this.#close()
    return digest
  }

  /** Ends in mid-block: keeps what was received, as far as the disk lets it, and closes the files. */
  async abandon(): Promise<void> {
    if (this.#state === 'open') {
      this.#state = 'ending'
      const stop = this.#onAbandoned
      this.#onAbandoned = undefined
      stop?.()
      this.reject()
      this.#closing = this.#closeFlushed()
    }
    await this.#closing
  }

  #addWindow(): WriteWindow | undefined {
    const isLong = this.#landed >= largeBufferBytes
    const large = isLong ? this.#pool.take('large') : undefined
    const buffer = large ?? this.#pool.take('small')
    if (buffer === undefined) return undefined
    const size = large === undefined ? smallBufferBytes : largeBufferBytes
    const base = Math.floor(this.#landed / pageBytes) * pageBytes
    const end = (Math.floor(this.#landed / size) + 1) * size
    const window = new WriteWindow(buffer, { base, end, written: this.#landed })
    this.#space.spend(end - this.#landed)
    this.#windows.push(window)
    return window
  }

  #startWindowWrite(window: WriteWindow): void {
    const bytes = window.end - window.written
    this.#inFlightBytes += bytes
    const written = window.tailWrite
      .then(() => this.#writeStretch(window, window.end, pageBytes))
      .finally(() => {
        this.#inFlightBytes -= bytes
        window.release()
        const retry = this.#onSpace
        this.#onSpace = undefined
        retry?.()
      })
    this.#track(written)
    if (this.meta.pendingBytes >= metaWriteBytes) this.#writeMeta(written)
  }

  /** Writes what the meta file lacks, once `data`, the bytes it speaks of, may be overtaken by it. */
  #writeMeta(data: Promise<unknown>): void {
    // A chunk CRC that replaces one of bytes flushed before must not be there before the new bytes.
    const replaces = this.#flushedLength % this.meta.layout.bytesPerChecksum !== 0
    this.#metaFile.writePending(replaces ? data : undefined)
  }

  /** Writes a window up to `to`: directly what is aligned and worth it, the rest through the page cache. */
  async #writeStretch(window: WriteWindow, to: number, directMin: number): Promise<void> {
    const from = window.written
    if (to <= from) return
    const { data } = this.#descriptors
    const alignedFrom = Math.ceil(from / pageBytes) * pageBytes
    const alignedTo = Math.floor(to / pageBytes) * pageBytes
    const isDirect = this.volume.supportsDirectIo && alignedTo - alignedFrom >= directMin
    if (!isDirect) {
      await this.#writeAt(data, window.view(from, to), from)
    } else {
      if (from < alignedFrom) {
        await this.#writeAt(data, window.view(from, alignedFrom), from)
      }
      const direct = this.#descriptors.direct()
      await this.#writeAt(direct, window.view(alignedFrom, alignedTo), alignedFrom)
      if (alignedTo < to) await this.#writeAt(data, window.view(alignedTo, to), alignedTo)
    }
    window.written = to
  }

  async #syncOnce(): Promise<void> {
    const mark = this.#takeSyncMark()
    await this.flush()
    try {
      if (mark !== undefined)
        await this.#metaFile.write(mark, syncMarkOffset(await this.#takeSyncMarkTurn()))
      await this.#syncFiles()
      if (!this.#wasSynced) await this.volume.syncer.sync(this.files.directory)
      this.#wasSynced = true
    } catch (error) {
      throw this.#fail(error)
    }
  }

  async #takeSyncMarkTurn(): Promise<number> {
    this.#syncMarkTurn ??= await this.#turnAfterMarksOnDisk()
    const turn = this.#syncMarkTurn
    this.#syncMarkTurn += 1
    return turn
  }

  /** A writer that goes on finds the marks of the one before it: true after a sync, whatever that one had acknowledged. */
  async #turnAfterMarksOnDisk(): Promise<number> {
    await this.#syncFiles()
    const header = Buffer.alloc(metaHeader.sizeOf)
    const read = (meta: number): Promise<number> => this.#disk.readAt(meta, header, 0)
    await this.#descriptors.use(this.#descriptors.meta, read)
    return nextSyncMarkTurn(header)
  }

  async #flushOnce(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const target = this.length
    const isFlushed = target === this.#flushedLength && this.#inFlight.size === 0
    if (isFlushed && !this.#metaFile.isHeadPending) return this.#metaFile.written
    const window = this.#windows[0]
    try {
      const dataWrites: Promise<void>[] = [...this.#inFlight]
      if (window !== undefined && window.written < target) {
        window.tailWrite = this.#writeStretch(window, target, directBytesMin)
        dataWrites.push(window.tailWrite)
      }
      const written = Promise.all(dataWrites)
      this.#writeMeta(written)
      await Promise.all([written, this.#metaFile.written])
    } catch (error) {
      throw this.#fail(error)
    }
    this.#flushedLength = Math.max(this.#flushedLength, target)
  }

  #takeSyncMark(): Buffer | undefined {
    const { bytesPerChecksum, checksumBytes } = this.meta.layout
    if (this.length % bytesPerChecksum === 0 || checksumBytes === 0) return undefined
    return encodeSyncMark({
      length: this.length,
      spanDigest: this.meta.openDigest(),
      chunkChecksum: this.meta.lastChecksum(),
    })
  }

  async #syncFiles(): Promise<void> {
    const { data, meta } = this.#descriptors
    const sync = (descriptor: number): Promise<void> => this.#disk.syncFileData(descriptor)
    await Promise.all([data, meta].map((file) => this.#descriptors.use(file, sync)))
  }

  #writeAt(file: Promise<number>, bytes: Buffer, position: number): Promise<void> {
    const write = (descriptor: number): Promise<void> =>
      this.#disk.writeAt(descriptor, bytes, position)
    return this.#descriptors.use(file, write)
  }

  #track(operation: Promise<void>): void {
    this.#inFlight.add(operation)
    operation.then(
      () => this.#inFlight.delete(operation),
      (error: unknown) => {
        this.#inFlight.delete(operation)
        this.#fail(error)
      },
    )
  }

  #armIdleFlush(): void {
    if (this.#idleTimer !== undefined || this.#state !== 'open') return
    this.#lengthAtTimer = this.length
    this.#idleTimer = this.#timers.after(idleFlushMs, () => {
      this.#idleTimer = undefined
      if (this.#state !== 'open' || this.#failure !== undefined) return
      if (this.length !== this.#lengthAtTimer) this.#armIdleFlush()
      else this.#flushIdle()
    })
  }

  #flushIdle(): void {
    this.flush().then(
      () => {
        const window = this.#windows[0]
        const hasArrived = this.#landed === this.length && !this.#isLanding
        const isSettled = hasArrived && this.#windows.length === 1
        if (!isSettled || window === undefined || window.written !== this.length) return
        // An idle writer holds no memory: the next byte starts a new window at this very place.
        this.#windows = []
        window.release()
      },
      () => undefined,
    )
  }

  #fail(error: unknown): DfsError {
    this.#failure ??= this.volume.judge(error, `write block ${this.blockId}`)
    return this.#failure
  }

  async #closeFlushed(): Promise<void> {
    // The failure, if any, was reported when it happened.
    await this.flush().catch(() => undefined)
    await this.#syncs.settled()
    await this.#close()
  }

  async #close(): Promise<void> {
    this.#idleTimer?.cancel()
    this.#space.end()
    await this.#settleWrites()
    for (const window of this.#windows) window.release()
    this.#windows = []
    await this.#descriptors.close(this.length <= smallFileBytes)
    this.#state = 'closed'
  }

  /** Waits for all writes, also those that a failed flush left behind; nothing starts another one any more. */
  async #settleWrites(): Promise<void> {
    await this.#flushes.settled()
    const tails = this.#windows.map((window) => window.tailWrite)
    await Promise.allSettled([...this.#inFlight, ...tails, this.#metaFile.written])
  }
}
