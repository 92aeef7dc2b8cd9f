import { assert, defined } from '../base/assert.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import {
  createFlags,
  type DatanodeInfo,
  type ExtendedBlock,
  type FsServerDefaults,
  type HdfsFileStatus,
  type LocatedBlock,
} from '../protocol/messages/hdfs.ts'
import { pause, throwIfAborted, unlessAborted } from './abort.ts'
import type { OpenFile } from './block-pipeline.ts'
import { BlockWriter } from './block-writer.ts'
import type { ClientContext } from './context.ts'
import { ExcludedNodes } from './core/excluded-nodes.ts'
import { backoffMs, type RetryPolicy } from './core/retry.ts'
import { buildPacket, type OutgoingPacket } from './outgoing-packet.ts'
import { PacketChecksums } from './packet-checksums.ts'

/** How a new file is written. */
export interface CreateOptions {
  /** Bytes per block, a multiple of the checksum chunk; the server's default otherwise. */
  readonly blockSize?: number | undefined
  readonly replication?: number | undefined
  /** Replace an existing file (the default); otherwise it is an error, EEXIST. */
  readonly overwrite?: boolean | undefined
  /** Permission bits before the umask, 0o666 by default. */
  readonly mode?: number | undefined
  /** Instead of the umask of the settings. */
  readonly umask?: number | undefined
  /** Create missing parent directories; otherwise they are an error, ENOENT. */
  readonly createParent?: boolean | undefined
  /** Bytes per checksum; the server's default otherwise. */
  readonly bytesPerChecksum?: number | undefined
  /**
   * The caller gives written chunks away: it never changes their bytes again, not even after the write is done. Saves
   * a copy of everything that is written.
   */
  readonly givesChunksAway?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** How an existing file is continued. */
export interface AppendOptions
  extends Pick<CreateOptions, 'bytesPerChecksum' | 'givesChunksAway' | 'signal'> {
  /** Begin a new block instead of filling up the last one. */
  readonly newBlock?: boolean | undefined
}

/** How safe and how visible a flush makes what was written. */
export interface FlushOptions {
  /** On the disks of all datanodes, not only visible. */
  readonly isSync: boolean
  /** The namenode learns the length each time, not only with the first flush of a block. */
  readonly updatesLength?: boolean
}

/** Where a writer starts. */
interface WriterStart {
  readonly file: OpenFile
  readonly givesChunksAway: boolean
  /** Bytes that the file has already. */
  readonly length?: number
  /** Its last block, to be filled up. */
  readonly existing?: LocatedBlock | undefined
  /** Its last block, which is full or stays as it is. */
  readonly previous?: ExtendedBlock | undefined
}

/** `complete` is asked again while the namenode waits for the datanodes' reports of the last block. */
const completePolicy: RetryPolicy = { totalMs: 60_000, firstDelayMs: 10, delayMsMax: 400 }
/** An abandoned file is given back quickly or left to the namenode's lease recovery. */
const abortPolicy: RetryPolicy = { totalMs: 5_000, firstDelayMs: 50, delayMsMax: 1_000 }

/** In `fsync`: no length to note. */
const noLength = -1
const noBytes = Buffer.alloc(0)

/** Slabs of one size that packets take turns in. Bounded by the packets in flight of all writers together. */
class SlabPool {
  readonly #free: Buffer[] = []

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(limits.packetDataBytes)
  }

  give(slab: Buffer): void {
    if (this.#free.length < slabsKeptMax) this.#free.push(slab)
  }
}

const slabsKeptMax = 2 * limits.packetsInFlightMax
const slabs = new SlabPool()

/**
 * Writes one file, new or from its end on: cuts bytes into packets and packets into blocks. The calls must not overlap;
 * a stream or a caller that awaits each of them sees to that.
 *
 * A packet starts at a chunk. After a flush in the middle of a chunk the next packet starts at that chunk again and
 * repeats its bytes, so that every checksum covers its chunk from the start (as HDFS's client does). Only of the chunk
 * that an append begins in the start is not here: its packets start where the append does, end with the chunk, and
 * their checksum covers their own bytes; the datanode composes the chunk's.
 */
export class FileWriter {
  readonly path: string
  /** Called when the file cannot be written any more, also while no call waits. */
  onFailed: ((error: Error) => void) | undefined
  readonly #context: ClientContext
  readonly #file: OpenFile
  readonly #checksums: PacketChecksums
  readonly #givesChunksAway: boolean
  /** Data bytes of a full packet, whole chunks. */
  readonly #packetBytes: number
  #block: BlockWriter | undefined
  #previous: ExtendedBlock | undefined
  #finishing: Promise<void> | undefined
  #seqno = 0
  /** Bytes for the next packet: `[0, #used)` of `#slab`, of which `[0, #sent)` went out in a flush already. */
  #slab: Buffer | undefined
  #used = 0
  #sent = 0
  /** Position in the block of the first byte of the next packet. */
  #packetStart = 0
  #written = 0
  /** What is there may be read by others: it is not deleted when the write is given up. */
  #hasFlushed: boolean
  #flushedStamp = 0
  #isOver = false
  readonly #lengthBefore: number

  private constructor(context: ClientContext, start: WriterStart) {
    const { file, existing, length } = start
    this.path = file.path
    this.#context = context
    this.#file = file
    this.#givesChunksAway = start.givesChunksAway
    this.#previous = start.previous
    this.#hasFlushed = length !== undefined
    this.#lengthBefore = length ?? 0
    this.#packetStart = existing?.b.numBytes ?? 0
    this.#checksums = new PacketChecksums(file.checksum)
    const { bytesPerChecksum } = file.checksum
    const chunks = Math.max(1, Math.floor(limits.packetDataBytes / bytesPerChecksum))
    this.#packetBytes = chunks * bytesPerChecksum
    context.leases.add(this)
    if (existing !== undefined) this.#block = this.#startBlock(existing)
  }

  /**
   * Creates the file and takes its lease. An abort meanwhile is obeyed at once; if the namenode creates the file all
   * the same, it is given back when its answer comes.
   */
  static create(
    context: ClientContext,
    path: string,
    options: CreateOptions = {},
  ): Promise<FileWriter> {
    return orGiveBack(context, FileWriter.#create(context, path, options), options.signal)
  }

  /**
   * Takes the lease of a file that exists, to write from its end on. An abort meanwhile is obeyed as by
   * {@link FileWriter.create}.
   *
   * @throws {@link DfsError} FILE_NOT_FOUND, ALREADY_BEING_CREATED when somebody writes it, RECOVERY_IN_PROGRESS
   */
  static append(
    context: ClientContext,
    path: string,
    options: AppendOptions = {},
  ): Promise<FileWriter> {
    return orGiveBack(context, FileWriter.#append(context, path, options), options.signal)
  }

  static async #append(
    context: ClientContext,
    path: string,
    options: AppendOptions,
  ): Promise<FileWriter> {
    const defaults = await context.serverDefaults(options.signal)
    throwIfAborted(options.signal)
    const { block, stat } = await context.namenode.call('append', {
      src: path,
      clientName: context.clientName,
      flag: createFlags.APPEND | (options.newBlock === true ? createFlags.NEW_BLOCK : 0),
    })
    if (stat === undefined) {
      throw new DfsError('BAD_FRAME', `Cannot append to "${path}": the namenode answered no status`)
    }
    const { blocksize: blockSize } = stat
    const checksum = checksumFor(defaults, { ...options, blockSize })
    // A block without datanodes is the one to continue after: it is full, or a new one was asked for.
    const isFilledUp = block !== undefined && block.locs.length > 0 && options.newBlock !== true
    return new FileWriter(context, {
      file: openFile(path, stat, checksum),
      givesChunksAway: options.givesChunksAway ?? false,
      length: stat.length,
      existing: isFilledUp ? block : undefined,
      previous: isFilledUp ? undefined : block?.b,
    })
  }

  static async #create(
    context: ClientContext,
    path: string,
    options: CreateOptions,
  ): Promise<FileWriter> {
    const defaults = await context.serverDefaults(options.signal)
    const checksum = checksumFor(defaults, options)
    const mode = options.mode ?? 0o666
    const umask = options.umask ?? Number.parseInt(context.settings['fs.permissions.umask-mode'], 8)
    const overwrite = options.overwrite === false ? 0 : createFlags.OVERWRITE
    throwIfAborted(options.signal)
    const { fs } = await context.namenode.call('create', {
      src: path,
      masked: { perm: mode & ~umask },
      unmasked: { perm: mode },
      clientName: context.clientName,
      createFlag: createFlags.CREATE | overwrite,
      createParent: options.createParent ?? false,
      replication: options.replication ?? defaults.replication,
      blockSize: options.blockSize ?? defaults.blockSize,
      cryptoProtocolVersion: ['ENCRYPTION_ZONES'],
    })
    if (fs === undefined) {
      throw new DfsError('BAD_FRAME', `Cannot create "${path}": the namenode answered no status`)
    }
    return new FileWriter(context, {
      file: openFile(path, fs, checksum),
      givesChunksAway: options.givesChunksAway ?? false,
    })
  }

  /** Bytes written so far. */
  get bytesWritten(): number {
    return this.#written
  }

  /** Bytes of the file: those it had before, and those written. */
  get length(): number {
    return this.#lengthBefore + this.#written
  }

  /**
   * Takes `data`. Returns `undefined` when it was taken at once, else a promise that settles when it was: then the
   * bound on packets in flight was reached, or a block came to its end.
   */
  write(data: Uint8Array): Promise<void> | undefined {
    let offset = 0
    while (offset < data.length) {
      const obstacle = this.#obstacle()
      if (obstacle !== undefined) return this.#writeRest(obstacle, data, offset)
      offset += this.#take(data, offset)
    }
    return undefined
  }

  /**
   * Returns when every datanode of the pipeline has all bytes written so far, so that new readers see them; with
   * `isSync` also when they are on disk there.
   */
  async flush({ isSync, updatesLength = false }: FlushOptions): Promise<void> {
    await this.#ready()
    const block = this.#block
    if (block === undefined) return
    this.#hasFlushed = true
    block.noteFlushed()
    if (this.#used > this.#sent) this.#sendPacket({ isSync, isFlush: true })
    else if (isSync) this.#enqueue({ data: noBytes, isSync, slab: undefined, isLast: false })
    await block.drained()
    await this.#tellLength(block, updatesLength)
  }

  /** Ends the block, whatever room it has: what is written next begins another (HDFS: SyncFlag.END_BLOCK). Durable as by {@link close}. */
  async endBlock(): Promise<void> {
    await this.#ready()
    if (this.#block === undefined) return
    if (this.#used > this.#sent) this.#sendPacket({ isSync: false, isFlush: false })
    await this.#endBlock(this.#block)
  }

  /** Finishes the file; when it returns, every byte is on disk on every datanode left, and the lease is given back. */
  async close(): Promise<void> {
    await this.endBlock()
    await this.#complete()
    this.#release()
  }

  /**
   * Gives up: drops the connections, leaves no lease. The file is deleted, unless something of it was flushed: then a
   * reader may count on it, and the namenode closes it at the length that its datanodes agree on.
   */
  async abort(error: Error): Promise<void> {
    if (this.#isOver) return
    this.#block?.abort(error)
    this.#release()
    const { namenode, clientName } = this.#context
    const options = { policy: abortPolicy }
    const src = this.path
    if (this.#hasFlushed) {
      await namenode.call('recoverLease', { src, clientName }, options)
      return
    }
    const { fs } = await namenode.call('getFileInfo', { src }, options)
    const { fileId } = this.#file
    if (fs?.fileId === fileId && (await this.#hasLease())) {
      // Asked for first because HDFS's namenode skips the condition; without that a late call deletes what another wrote.
      const onlyHeld = { leaseHolder: clientName, fileId }
      await namenode.call('delete', { src, recursive: false, ...onlyHeld }, options)
    }
  }

  /** False when another client has recovered the file, and perhaps gone on with it. */
  async #hasLease(): Promise<boolean> {
    const { namenode, clientName: client } = this.#context
    const nothingNew = { client, fileId: this.#file.fileId, lastBlockLength: noLength }
    try {
      await namenode.call('fsync', { src: this.path, ...nothingNew }, { policy: abortPolicy })
      return true
    } catch (error) {
      if (isDfsError(error, 'LEASE_EXPIRED', 'FILE_NOT_FOUND')) return false
      throw error
    }
  }

  #release(): void {
    this.#isOver = true
    this.#context.leases.remove(this)
    if (this.#slab !== undefined) slabs.give(this.#slab)
    this.#slab = undefined
  }

  /** What must happen before the next packet can be cut. */
  #obstacle(): Promise<void> | undefined {
    if (this.#isOver) throw new DfsError('ABORTED', `Writing of "${this.path}" is over`)
    if (this.#finishing !== undefined) return this.#finishing
    return this.#block === undefined || this.#block.hasRoom
      ? undefined
      : this.#block.roomAvailable()
  }

  async #ready(): Promise<void> {
    for (let obstacle = this.#obstacle(); obstacle !== undefined; obstacle = this.#obstacle()) {
      await obstacle
    }
  }

  async #writeRest(obstacle: Promise<void>, data: Uint8Array, start: number): Promise<void> {
    await obstacle
    for (let offset = start; offset < data.length; ) {
      await this.#ready()
      offset += this.#take(data, offset)
    }
  }

  /** Takes bytes for at most one packet and sends it when it is full; returns how many. */
  #take(data: Uint8Array, offset: number): number {
    this.#block ??= this.#startBlock()
    const packetBytes = Math.min(
      this.#packetBytes,
      this.#file.blockSizeBytes - this.#packetStart,
      this.#restOfChunk() ?? Number.POSITIVE_INFINITY,
    )
    const isWhole = this.#used === 0 && data.length - offset >= packetBytes
    const count = Math.min(packetBytes - this.#used, data.length - offset)
    this.#written += count
    if (isWhole && this.#givesChunksAway) {
      this.#enqueueData(data.subarray(offset, offset + count), undefined)
    } else {
      this.#slab ??= this.#newSlab()
      this.#slab.set(data.subarray(offset, offset + count), this.#used)
      this.#used += count
      if (this.#used === packetBytes) this.#sendPacket({ isSync: false, isFlush: false })
    }
    if (this.#packetStart === this.#file.blockSizeBytes) {
      this.#finishing = this.#endBlock(this.#block)
      this.#finishing.catch(() => undefined) // whoever writes next meets it
    }
    return count
  }

  #startBlock(existing?: LocatedBlock): BlockWriter {
    return new BlockWriter(this.#context, this.#file, {
      previous: this.#previous,
      existing,
      firstSeqno: this.#seqno,
      onAcknowledged: recycle,
      onFailed: (error) => this.onFailed?.(error),
    })
  }

  /** Bytes up to the end of the chunk that an append began in, while the next packet starts inside it. */
  #restOfChunk(): number | undefined {
    const { bytesPerChecksum } = this.#file.checksum
    const used = this.#packetStart % bytesPerChecksum
    return used === 0 ? undefined : bytesPerChecksum - used
  }

  #newSlab(): Buffer {
    return this.#packetBytes <= limits.packetDataBytes
      ? slabs.take()
      : Buffer.allocUnsafeSlow(this.#packetBytes)
  }

  /** Sends what is in the slab; a flush keeps the bytes of the last, incomplete chunk for the next packet. */
  #sendPacket({ isSync, isFlush }: { isSync: boolean; isFlush: boolean }): void {
    const slab = defined(this.#slab, 'slab of the packet')
    assert(this.#used > 0, 'a packet must have bytes')
    const data = slab.subarray(0, this.#used)
    const isInsideChunk = this.#restOfChunk() !== undefined
    const keptOfFlush = isInsideChunk
      ? this.#used
      : this.#used % this.#file.checksum.bytesPerChecksum
    const kept = isFlush ? keptOfFlush : 0
    let next: Buffer | undefined
    if (kept > 0) {
      next = this.#newSlab()
      next.set(data.subarray(this.#used - kept))
    }
    this.#enqueueData(data, slab, isSync)
    this.#packetStart -= kept
    this.#slab = next
    this.#used = this.#sent = kept
  }

  #enqueueData(data: Uint8Array, slab: Buffer | undefined, isSync = false): void {
    this.#enqueue({ data, slab, isSync, isLast: false })
    this.#packetStart += data.length
  }

  #enqueue(part: {
    readonly data: Uint8Array
    readonly slab: Buffer | undefined
    readonly isSync: boolean
    readonly isLast: boolean
  }): void {
    const hasOwnData = part.data.length > 0
    const offsetInBlock = hasOwnData ? this.#packetStart : this.#packetStart + this.#sent
    const packet = buildPacket({ ...part, seqno: this.#seqno, offsetInBlock }, this.#checksums)
    this.#seqno += 1
    this.#block?.enqueue(packet)
  }

  /** Sends the closing packet, which asks for everything to be on disk, and waits for it. */
  async #endBlock(block: BlockWriter): Promise<void> {
    this.#enqueue({ data: noBytes, slab: undefined, isSync: true, isLast: true })
    this.#previous = await block.closed()
    this.#block = undefined
    this.#finishing = undefined
    this.#packetStart = 0
    if (this.#slab !== undefined) slabs.give(this.#slab)
    this.#slab = undefined
    this.#used = this.#sent = 0
    this.#flushedStamp = 0
  }

  /** The namenode learns a length once per block and again when a recovery gave it a new stamp, as HDFS's client does. */
  async #tellLength(writer: BlockWriter, isWanted: boolean): Promise<void> {
    const block = writer.block
    if (block === undefined || (block.generationStamp === this.#flushedStamp && !isWanted)) return
    await this.#context.namenode.call('fsync', {
      src: this.path,
      client: this.#context.clientName,
      lastBlockLength: this.#packetStart + this.#sent,
      fileId: this.#file.fileId,
    })
    this.#flushedStamp = block.generationStamp
  }

  async #complete(): Promise<void> {
    const startedAt = this.#context.clock.monotonic()
    for (let attempt = 1; ; attempt += 1) {
      const { result } = await this.#context.namenode.call('complete', {
        src: this.path,
        clientName: this.#context.clientName,
        fileId: this.#file.fileId,
        ...(this.#previous === undefined ? {} : { last: this.#previous }),
      })
      if (result) return
      const delayMs = backoffMs(attempt, 999, completePolicy)
      if (this.#context.clock.monotonic() - startedAt + delayMs > completePolicy.totalMs) {
        throw new DfsError(
          'NOT_REPLICATED_YET',
          `Cannot close "${this.path}": the namenode has no datanode's report of its last block after ${completePolicy.totalMs} ms`,
          { path: this.path },
        )
      }
      await pause(delayMs)
    }
  }
}

/** An abort while the lease is being taken is obeyed at once; what comes of it after that is given back. */
function orGiveBack(
  context: ClientContext,
  opening: Promise<FileWriter>,
  signal: AbortSignal | undefined,
): Promise<FileWriter> {
  return unlessAborted(opening, signal, (writer, error) => {
    writer.abort(error).catch((cause: unknown) => {
      context.logger.warn('abandoned-file-left-open', { path: writer.path, error: cause })
    })
  })
}

function openFile(path: string, status: HdfsFileStatus, checksum: OpenFile['checksum']): OpenFile {
  return {
    path,
    fileId: status.fileId,
    blockSizeBytes: status.blocksize,
    replication: status.block_replication,
    checksum,
    excluded: new ExcludedNodes<DatanodeInfo>(),
  }
}

function recycle({ slab }: OutgoingPacket): void {
  if (slab?.length === limits.packetDataBytes) slabs.give(slab)
}

function checksumFor(
  defaults: FsServerDefaults,
  { bytesPerChecksum = defaults.bytesPerChecksum, blockSize = defaults.blockSize }: CreateOptions,
): OpenFile['checksum'] {
  if (!Number.isInteger(bytesPerChecksum) || bytesPerChecksum < 1) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Bytes per checksum must be positive, got ${bytesPerChecksum}`,
    )
  }
  if (blockSize % bytesPerChecksum !== 0) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Block size must be a multiple of the ${bytesPerChecksum} bytes per checksum, got ${blockSize}`,
    )
  }
  const { checksumType } = defaults
  return { type: checksumType, bytesPerChecksum }
}
