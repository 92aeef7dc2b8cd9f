import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { readFile, rename, rm, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  type BlockId,
  type GenerationStamp,
  type StorageUuid,
  storageUuid,
} from '../../protocol/ids.ts'
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
import { closeFile, errnoOf, makeDirectory, openFile, syncFile, writeAt } from './files.ts'

/** How long a figure from statfs is believed; what we write meanwhile is subtracted. */
const spaceFigureMs = 1000

/** The two files of a replica. */
export interface ReplicaFiles {
  readonly directory: string
  readonly data: string
  readonly meta: string
}

export interface VolumeOptions {
  readonly directory: string
  readonly reservedBytes: number
  readonly useDirectIo: boolean
  readonly logger: Logger
  readonly clock: Clock
}

/** One data directory: its lock, its identity, its space, where its files are, and whether it works. */
export class Volume {
  readonly directory: string
  readonly storage: StorageUuid
  readonly syncer = new DirectorySyncer()
  readonly #options: VolumeOptions
  readonly #lock: DirectoryLock
  readonly #knownDirectories = new Set<string>()
  #version: VersionFile | undefined
  #supportsDirectIo = false
  #failure: string | undefined
  #capacityBytes = 0
  #availableBytes = 0
  #figuresFrom = Number.NEGATIVE_INFINITY

  private constructor(
    options: VolumeOptions,
    lock: DirectoryLock,
    version: VersionFile | undefined,
  ) {
    this.#options = options
    this.directory = options.directory
    this.#lock = lock
    this.#version = version
    this.storage = version?.storage ?? storageUuid(`DS-${randomUUID()}`)
  }

  /**
   * Locks and inspects a data directory, creating it when absent.
   *
   * @throws {@link DfsError} BUSY when another process holds it, UNSUPPORTED_LAYOUT or CORRUPTION from
   * its VERSION file
   */
  static async open(options: VolumeOptions): Promise<Volume> {
    await makeDirectory(join(options.directory, currentDirectoryName))
    const lock = await lockDirectory(options.directory)
    try {
      const volume = new Volume(options, lock, await readVersion(options.directory))
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

  /** Size of the disk less what is reserved for others. */
  get capacityBytes(): number {
    return Math.max(0, this.#capacityBytes - this.#options.reservedBytes)
  }

  /** Bytes that may still be written here. */
  get remainingBytes(): number {
    if (this.isFailed) return 0
    return Math.max(0, this.#availableBytes - this.#options.reservedBytes)
  }

  /** Asks the file system again, unless its last answer is fresh. */
  async refreshSpace(): Promise<void> {
    const now = this.#options.clock.monotonic()
    if (now - this.#figuresFrom < spaceFigureMs) return
    this.#figuresFrom = now
    const figures = await statfs(this.directory)
    this.#capacityBytes = figures.blocks * figures.bsize
    this.#availableBytes = figures.bavail * figures.bsize
  }

  /** Counts `bytes` about to be written against the space left. */
  consume(bytes: number): void {
    this.#availableBytes -= bytes
  }

  /** Binds the directory to a cluster: writes VERSION and makes the block pool's directories. */
  async format(identity: DatanodeIdentity): Promise<void> {
    const version: VersionFile = { ...identity, storage: this.storage }
    const current = join(this.directory, currentDirectoryName)
    this.#version = version
    await this.prepare()
    const draft = join(current, `${versionFileName}.tmp`)
    await rm(draft, { force: true })
    const descriptor = await openFile(draft, constants.O_CREAT | constants.O_WRONLY)
    try {
      await writeAt(descriptor, Buffer.from(encodeVersionFile(version)), 0)
      await syncFile(descriptor)
    } finally {
      await closeFile(descriptor)
    }
    await rename(draft, join(current, versionFileName))
    await this.syncer.sync(current)
    await this.syncer.sync(this.directory)
  }

  /** Makes the directories of the block pool and empties that of unfinished copies. */
  async prepare(): Promise<void> {
    await rm(this.poolPath(beingCopiedDirectoryName), { recursive: true, force: true })
    const names = [finalizedDirectoryName, beingWrittenDirectoryName, beingCopiedDirectoryName]
    for (const name of names) await makeDirectory(this.poolPath(name))
    await this.syncer.sync(this.poolPath(''))
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
    }
  }

  /** Makes sure, durably, that the directory of a finalized replica exists. */
  async ensureDirectory(directory: string): Promise<void> {
    if (this.#knownDirectories.has(directory)) return
    await makeDirectory(directory)
    const upper = join(directory, '..')
    await this.syncer.sync(upper)
    await this.syncer.sync(join(upper, '..'))
    this.#knownDirectories.add(directory)
  }

  /**
   * Judges a failed file operation: a full disk is the operation's own trouble; anything else means
   * that the disk cannot be trusted, and the volume is taken out of service. Returns the error to pass on.
   */
  judge(error: unknown, what: string): DfsError {
    if (error instanceof DfsError) return error
    const errno = errnoOf(error)
    const reason = error instanceof Error ? error.message : String(error)
    const message = `Cannot ${what} in "${this.directory}": ${reason}`
    if (errno === 'ENOSPC' || errno === 'EDQUOT') {
      this.#availableBytes = 0
      return new DfsError('DISK_FULL', message, { path: this.directory, cause: error })
    }
    if (errno === 'EIO' || errno === 'EROFS' || errno === 'ENODEV' || errno === 'ENXIO') {
      this.#fail(message)
    }
    return new DfsError('IO_ERROR', message, { path: this.directory, cause: error })
  }

  async close(): Promise<void> {
    await this.syncer.close()
    await this.#lock.release()
  }

  #fail(reason: string): void {
    if (this.isFailed) return
    this.#failure = reason
    this.#options.logger.error('volume-failed', {
      directory: this.directory,
      storage: this.storage,
      reason,
      effect: 'its replicas are no longer served or reported; replace the disk and restart',
    })
  }

  async #detectDirectIo(): Promise<void> {
    if (!this.#options.useDirectIo) return
    const path = join(this.directory, currentDirectoryName, 'direct-io.probe')
    const page = Buffer.from(allocateAligned(pageBytes), 0, pageBytes)
    const flags = constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | constants.O_DIRECT
    try {
      const descriptor = await openFile(path, flags)
      try {
        await writeAt(descriptor, page, 0)
      } finally {
        await closeFile(descriptor)
      }
      this.#supportsDirectIo = true
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL' && errnoOf(error) !== 'EOPNOTSUPP') {
        throw this.judge(error, 'write')
      }
      this.#options.logger.info('direct-io-unsupported', { directory: this.directory })
    }
    await unlink(path).catch(() => undefined)
  }
}

async function readVersion(directory: string): Promise<VersionFile | undefined> {
  const path = join(directory, currentDirectoryName, versionFileName)
  try {
    return decodeVersionFile(await readFile(path, 'utf8'), path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
