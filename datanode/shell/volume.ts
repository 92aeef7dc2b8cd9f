import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { unreachable } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  type BlockId,
  type GenerationStamp,
  type StorageUuid,
  storageUuid,
} from '../../protocol/ids.ts'
import { SpaceLedger, type SpacePromise } from '../core/space-ledger.ts'
import { type DiskOperation, VolumeHealth } from '../core/volume-health.ts'
import {
  beingCopiedDirectoryName,
  beingWrittenDirectoryName,
  blockFileName,
  currentDirectoryName,
  finalizedDirectory,
  finalizedDirectoryName,
  metaFileName,
  versionFileName,
} from '../format/block-file.ts'
import {
  type DatanodeIdentity,
  decodeVersionFile,
  encodeVersionFile,
  type VersionFile,
} from '../format/version-file.ts'
import { allocateAligned, pageBytes } from './buffer-pool.ts'
import { type DirectoryLock, lockDirectory } from './directory-lock.ts'
import { DirectorySyncer } from './directory-sync.ts'
import { errnoOf, type FileSystem, makeDirectoryDurably, readExactlyAt } from './files.ts'
import { ObservedFiles, type OperationTotals } from './observed-files.ts'

/** How long a figure from statfs is believed; what we write meanwhile is subtracted. */
const spaceFigureMs = 1000

/** The two files of a replica. */
export interface ReplicaFiles {
  readonly directory: string
  readonly data: string
  readonly meta: string
  /** The file operations to use on them. */
  readonly disk: FileSystem
}

export interface VolumeOptions {
  readonly directory: string
  readonly reservedBytes: number
  readonly useDirectIo: boolean
  readonly logger: Logger
  readonly clock: Clock
  readonly files: FileSystem
}

/** A data directory that was taken out of service. */
export interface VolumeFailure {
  readonly directory: string
  /** Absent when the directory could not even be opened. */
  readonly storage: StorageUuid | undefined
  readonly reason: string
  /** When it was noticed, by the wall clock. */
  readonly failedAt: Millis
  /** Bytes it could hold. */
  readonly capacityBytes: number
}

/** One data directory: its lock, its identity, its space, where its files are, and whether it works. */
export class Volume {
  readonly directory: string
  readonly storage: StorageUuid
  /** File operations here, observed. */
  readonly disk: FileSystem
  readonly syncer: DirectorySyncer
  readonly #options: VolumeOptions
  readonly #lock: DirectoryLock
  readonly #knownDirectories = new Set<string>()
  #version: VersionFile | undefined
  /** Its VERSION file is on disk. */
  #isFormatted: boolean
  #supportsDirectIo = false
  #failure: VolumeFailure | undefined
  #onFailed: ((failure: VolumeFailure) => void) | undefined
  #onSuspect: (() => void) | undefined
  readonly #observed: ObservedFiles
  readonly #health = new VolumeHealth()
  readonly #space: SpaceLedger
  #figuresFrom = Number.NEGATIVE_INFINITY

  private constructor(
    options: VolumeOptions,
    lock: DirectoryLock,
    version: VersionFile | undefined,
  ) {
    this.#options = options
    this.directory = options.directory
    const { files, clock } = options
    this.#observed = new ObservedFiles({
      files,
      clock,
      onError: (operation, errno, error) => this.#judged(operation, errno, error),
    })
    this.disk = this.#observed
    this.syncer = new DirectorySyncer(this.disk)
    this.#space = new SpaceLedger(options.reservedBytes)
    this.#lock = lock
    this.#version = version
    this.#isFormatted = version !== undefined
    this.storage = version?.storage ?? storageUuid(`DS-${randomUUID()}`)
  }

  /**
   * Locks and inspects a data directory, creating it when absent.
   *
   * @throws {@link DfsError} BUSY when another process holds it, UNSUPPORTED_LAYOUT or CORRUPTION from
   * its VERSION file
   */
  static async open(options: VolumeOptions): Promise<Volume> {
    const { directory, files } = options
    await makeDirectoryDurably(directory)
    await files.makeDirectory(join(directory, currentDirectoryName))
    const lock = await lockDirectory(directory)
    try {
      const volume = new Volume(options, lock, await readVersion(files, directory))
      await volume.#detectDirectIo()
      await volume.refreshSpace()
      return volume
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  /** What the VERSION file says; `undefined` until the directory is formatted. */
  get version(): VersionFile | undefined {
    return this.#version
  }

  get supportsDirectIo(): boolean {
    return this.#supportsDirectIo
  }

  get isFailed(): boolean {
    return this.#failure !== undefined
  }

  /** Why and when it was taken out of service, if it was. */
  get failure(): VolumeFailure | undefined {
    return this.#failure
  }

  /** What its file operations have done so far. */
  operations(): Readonly<Record<DiskOperation, OperationTotals>> {
    return this.#observed.totals()
  }

  /** Says who is told when the disk fails, and when it should be looked at because an operation failed. */
  watch(watchers: {
    readonly onFailed: (failure: VolumeFailure) => void
    readonly onSuspect: () => void
  }): void {
    this.#onFailed = watchers.onFailed
    this.#onSuspect = watchers.onSuspect
  }

  /** Size of the disk less what is reserved for others. */
  get capacityBytes(): number {
    return this.#space.capacityBytes
  }

  /** Bytes that may still be promised to replicas here. */
  get remainingBytes(): number {
    return this.isFailed ? 0 : this.#space.remainingBytes
  }

  /** Asks the file system again, unless its last answer is fresh. */
  async refreshSpace(): Promise<void> {
    const now = this.#options.clock.monotonic()
    if (now - this.#figuresFrom < spaceFigureMs) return
    this.#figuresFrom = now
    const { totalBytes, availableBytes } = await this.disk.spaceOf(this.directory)
    this.#space.measured(totalBytes, availableBytes)
  }

  /** Files were removed: the next look at the space asks the file system again. */
  spaceChanged(): void {
    this.#figuresFrom = Number.NEGATIVE_INFINITY
    // Whoever asks next gets the new figure; an error is judged where it happens.
    this.refreshSpace().catch(() => undefined)
  }

  /** Sets `bytes` of the space aside for a replica that is being written. */
  promise(bytes: number): SpacePromise {
    return this.#space.promise(bytes)
  }

  /** Binds the directory to a cluster: writes VERSION and makes the block pool's directories. */
  async format(identity: DatanodeIdentity): Promise<void> {
    const version: VersionFile = { ...identity, storage: this.storage }
    const current = join(this.directory, currentDirectoryName)
    this.#version = version
    await this.prepare()
    const draft = join(current, `${versionFileName}.tmp`)
    const { disk } = this
    await disk.removeFile(draft)
    const descriptor = await disk.openFile(draft, constants.O_CREAT | constants.O_WRONLY)
    try {
      await disk.writeAt(descriptor, Buffer.from(encodeVersionFile(version)), 0)
      await disk.syncFile(descriptor)
    } finally {
      await disk.closeFile(descriptor)
    }
    await disk.renameFile(draft, join(current, versionFileName))
    await this.syncer.sync(current)
    await this.syncer.sync(this.directory)
    this.#isFormatted = true
  }

  /** Makes the directories of the block pool and empties that of unfinished copies. */
  async prepare(): Promise<void> {
    await rm(this.poolPath(beingCopiedDirectoryName), { recursive: true, force: true })
    const names = [finalizedDirectoryName, beingWrittenDirectoryName, beingCopiedDirectoryName]
    for (const name of names) await this.disk.makeDirectory(this.poolPath(name))
    await this.syncer.sync(this.poolPath(''))
  }

  /** Now, by the wall clock. */
  wallTime(): Millis {
    return this.#options.clock.wall()
  }

  /** Absolute path of `name` in the block pool's directory. */
  poolPath(name: string): string {
    const pool = this.#version?.blockPoolId
    if (pool === undefined) {
      throw new DfsError('IO_ERROR', `Cannot use "${this.directory}": it belongs to no cluster yet`)
    }
    return join(this.directory, currentDirectoryName, pool, name)
  }

  /** Files of a replica in one of the three directories of the block pool. */
  files(
    kind: 'finalized' | 'rbw' | 'temporary',
    id: BlockId,
    generationStamp: GenerationStamp,
  ): ReplicaFiles {
    const name =
      kind === 'finalized'
        ? finalizedDirectory(id)
        : kind === 'rbw'
          ? beingWrittenDirectoryName
          : beingCopiedDirectoryName
    const directory = this.poolPath(name)
    return {
      directory,
      data: join(directory, blockFileName(id)),
      meta: join(directory, metaFileName(id, generationStamp)),
      disk: this.disk,
    }
  }

  /** Makes sure, durably, that the directory of a finalized replica exists. */
  async ensureDirectory(directory: string): Promise<void> {
    if (this.#knownDirectories.has(directory)) return
    await this.disk.makeDirectory(directory)
    const upper = join(directory, '..')
    await this.syncer.sync(upper)
    await this.syncer.sync(join(upper, '..'))
    this.#knownDirectories.add(directory)
  }

  /** Wraps the error of a failed file operation for whoever asked for it; what it means was judged before. */
  judge(error: unknown, what: string): DfsError {
    if (error instanceof DfsError) return error
    const errno = errnoOf(error)
    const reason = error instanceof Error ? error.message : String(error)
    const message = `Cannot ${what} in "${this.directory}": ${reason}`
    const isFull = errno === 'ENOSPC' || errno === 'EDQUOT'
    const code = isFull ? 'DISK_FULL' : 'IO_ERROR'
    return new DfsError(code, message, { path: this.directory, cause: error })
  }

  /**
   * Looks whether the disk still works: its VERSION file is there, a file can be written, synced and
   * removed, its directories can be listed. Takes it out of service when not; a full disk is fine.
   */
  async check(): Promise<void> {
    if (this.isFailed) return
    const current = join(this.directory, currentDirectoryName)
    try {
      const version = await readVersion(this.disk, this.directory)
      if (this.#isFormatted && version?.storage !== this.storage) {
        const found = version === undefined ? 'it is gone' : `it names ${version.storage}`
        this.fail(`its VERSION file is not the one of ${this.storage}: ${found}`)
        return
      }
      await this.disk.listDirectory(current)
      await this.#probe(join(current, 'disk.probe'))
      this.#figuresFrom = Number.NEGATIVE_INFINITY
      await this.refreshSpace()
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOSPC' || errno === 'EDQUOT') return
      this.fail(error instanceof Error ? error.message : String(error))
    }
  }

  /** Takes the volume out of service, for good. */
  fail(reason: string): void {
    if (this.isFailed) return
    const { directory, storage, capacityBytes } = this
    const failedAt = this.#options.clock.wall()
    this.#failure = { directory, storage, reason, failedAt, capacityBytes }
    this.#options.logger.error('volume-failed', {
      directory,
      storage,
      reason,
      effect: 'its replicas are no longer served or reported; replace the disk and restart',
    })
    this.#onFailed?.(this.#failure)
  }

  async close(): Promise<void> {
    await this.syncer.close()
    await this.#lock.release()
  }

  #judged(operation: DiskOperation, errno: string, error: Error): void {
    const verdict = this.#health.judge(this.#options.clock.monotonic(), operation, errno)
    switch (verdict) {
      case 'nothing':
        return
      case 'full':
        this.#space.exhausted()
        return
      case 'check':
        this.#onSuspect?.()
        return
      case 'failed':
        this.fail(error.message)
        return
      default:
        unreachable(verdict)
    }
  }

  async #probe(path: string): Promise<void> {
    const descriptor = await this.disk.openFile(path, constants.O_CREAT | constants.O_WRONLY)
    try {
      await this.disk.writeAt(descriptor, Buffer.from('trefoil'), 0)
      await this.disk.syncFile(descriptor)
    } finally {
      await this.disk.closeFile(descriptor)
    }
    await this.disk.removeFile(path)
  }

  async #detectDirectIo(): Promise<void> {
    if (!this.#options.useDirectIo) return
    const path = join(this.directory, currentDirectoryName, 'direct-io.probe')
    const page = Buffer.from(allocateAligned(pageBytes), 0, pageBytes)
    const flags = constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | constants.O_DIRECT
    try {
      const descriptor = await this.disk.openFile(path, flags)
      try {
        await this.disk.writeAt(descriptor, page, 0)
      } finally {
        await this.disk.closeFile(descriptor)
      }
      this.#supportsDirectIo = true
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL' && errnoOf(error) !== 'EOPNOTSUPP') {
        throw this.judge(error, 'write')
      }
      this.#options.logger.info('direct-io-unsupported', { directory: this.directory })
    }
    await this.disk.removeFile(path)
  }
}

async function readVersion(disk: FileSystem, directory: string): Promise<VersionFile | undefined> {
  const path = join(directory, currentDirectoryName, versionFileName)
  try {
    const descriptor = await disk.openFile(path, constants.O_RDONLY)
    try {
      const bytes = Buffer.alloc(await disk.fileBytes(descriptor))
      await readExactlyAt(disk, descriptor, bytes, 0, path)
      return decodeVersionFile(bytes.toString('utf8'), path)
    } finally {
      await disk.closeFile(descriptor)
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
