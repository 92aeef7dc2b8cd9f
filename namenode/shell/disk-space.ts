import { type FileHandle, open, stat, statfs, unlink } from 'node:fs/promises'
import type { TimerHandle, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { DfsError } from '../../protocol/errors.ts'

const mebibyte = 1024 * 1024
/** Room set aside for the batch that finds the disk full, and for folding what the journal holds then. */
const spareBytesMax = 16 * mebibyte
/** Part of the reserved space that the spare may take. */
const spareShare = 4
/** Below it a start gives the spare up at once: SQLite needs some room to open its log. */
const startBytesMin = mebibyte
/** A change costs the journal its bytes, and the store up to twice as many. */
const bytesPerJournalByte = 3

/** A file that is there only to be deleted when the disk is full. */
export interface SpareFile {
  /** Whether it is there, whole. */
  exists(): Promise<boolean>
  /** Writes it anew, durably: proves that so much room is really there. */
  create(): Promise<void>
  /** Deletes it. */
  remove(): Promise<void>
}

export interface DiskSpaceOptions {
  /** Directory of the namenode, for messages. */
  readonly directory: string
  readonly freeBytes: () => Promise<number>
  readonly spare: SpareFile
  /** `dfs.namenode.resource.du.reserved`; 0 turns everything here off. */
  readonly reservedBytes: number
  readonly checkIntervalMs: number
  readonly timers: Timers
  readonly logger: Logger
}

/**
 * Whether the namenode's disk has room for changes.
 *
 *     ample ──free < reserved, or a write found the disk full──▶ low
 *       ◀──free >= reserved, and the spare could be written──────
 *
 * While it is low, changes are refused and everything else goes on. The decision is made early, with the
 * reserved space still there: what is under way can be finished, and folds, which shrink the journal, go
 * on. When the disk fills at once, the spare is deleted: the batch at hand goes there.
 */
export class DiskSpace {
  readonly #options: DiskSpaceOptions
  readonly spareBytes: number
  readonly #lowListeners: (() => void)[] = []
  #isLow = false
  #hasSpare = false
  #freeBytes = Number.POSITIVE_INFINITY
  #writtenBytes = 0
  #checking: Promise<void> | undefined
  #timer: TimerHandle | undefined

  constructor(options: DiskSpaceOptions) {
    this.#options = options
    this.spareBytes = spareBytesFor(options.reservedBytes)
  }

  get isLow(): boolean {
    return this.#isLow
  }

  /** Free bytes as of the last check; absent before the first. */
  get freeBytes(): number | undefined {
    return Number.isFinite(this.#freeBytes) ? this.#freeBytes : undefined
  }

  /** Called whenever the space runs low. */
  onLow(listener: () => void): void {
    this.#lowListeners.push(listener)
  }

  /** Looks before anything is opened, and makes room for that. */
  async beforeStart(): Promise<void> {
    const { freeBytes, reservedBytes, spare } = this.#options
    if (reservedBytes === 0) return
    this.#hasSpare = await spare.exists()
    this.#freeBytes = await freeBytes()
    if (this.#freeBytes < startBytesMin) await this.#release()
    if (this.#freeBytes < reservedBytes) this.#becomeLow()
  }

  /** Checks now and then from now on; the spare is written by the first check, when nobody waits for a start. */
  start(): void {
    if (this.#options.reservedBytes === 0) return
    this.#timer = this.#options.timers.every(this.#options.checkIntervalMs, () => {
      void this.check()
    })
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    await this.#checking
  }

  /** The journal grew; looks at once when that may have used the space up. */
  wrote(bytes: number): void {
    this.#writtenBytes += bytes * bytesPerJournalByte
    const { reservedBytes } = this.#options
    if (this.#isLow || this.#freeBytes - this.#writtenBytes >= reservedBytes) return
    void this.check()
  }

  /**
   * A write found the disk full.
   * @returns whether there is room now that was not there before
   */
  async exhausted(): Promise<boolean> {
    if (this.#options.reservedBytes === 0) return false
    this.#becomeLow()
    return this.#release()
  }

  /** Looks at the disk and decides. */
  check(): Promise<void> {
    if (this.#options.reservedBytes === 0) return Promise.resolve()
    this.#checking ??= this.#check()
      .catch((error: unknown) => {
        this.#options.logger.warn('disk-space-unknown', { error })
      })
      .finally(() => {
        this.#checking = undefined
      })
    return this.#checking
  }

  /** Why a change is refused now. */
  refusal(): DfsError {
    const { directory, reservedBytes } = this.#options
    return new DfsError(
      'SAFE_MODE',
      'Cannot change the namespace: Name node is in safe mode. Resources are low on NN: the disk of ' +
        `"${directory}" has ${mebibytes(this.#freeBytes)} MiB free, ` +
        `dfs.namenode.resource.du.reserved wants ${mebibytes(reservedBytes)} MiB. Free space there; ` +
        'changes go on by themselves then',
    )
  }

  async #check(): Promise<void> {
    const { freeBytes, reservedBytes, logger, directory } = this.#options
    const writtenBefore = this.#writtenBytes
    this.#freeBytes = await freeBytes()
    this.#writtenBytes -= writtenBefore
    const wanted = reservedBytes + (this.#hasSpare ? 0 : this.spareBytes)
    if (this.#freeBytes < wanted) {
      if (this.#freeBytes < reservedBytes) this.#becomeLow()
      return
    }
    if (!this.#hasSpare) await this.#createSpare()
    if (!this.#isLow || !this.#hasSpare) return
    this.#isLow = false
    logger.info('disk-space-back', { directory, freeBytes: this.#freeBytes })
  }

  #becomeLow(): void {
    if (this.#isLow) return
    this.#isLow = true
    const { directory, reservedBytes, logger } = this.#options
    logger.error('disk-space-low', {
      ...{ directory, freeBytes: this.#freeBytes, reservedBytes },
      advice: 'changes are refused until there is space again',
    })
    for (const listener of this.#lowListeners) listener()
  }

  async #createSpare(): Promise<void> {
    try {
      await this.#options.spare.create()
      this.#hasSpare = true
    } catch (error) {
      await this.#options.spare.remove()
      if (!isOutOfSpace(error)) throw error
      this.#becomeLow()
    }
  }

  async #release(): Promise<boolean> {
    if (!this.#hasSpare) return false
    this.#hasSpare = false
    await this.#options.spare.remove()
    return true
  }
}

/** The disk or the quota is full, as the operating system says it. */
export function isOutOfSpace(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  return error.code === 'ENOSPC' || error.code === 'EDQUOT'
}

/** Free bytes of the file system that holds `directory`, as an ordinary user may fill it. */
export async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

/** The spare as a file of `bytes` bytes. */
export function spareFile(path: string, bytes: number): SpareFile {
  return {
    exists: () =>
      stat(path).then(
        ({ size }) => size === bytes,
        () => false,
      ),
    async create() {
      await writeWhole(await open(path, 'w', 0o600), bytes)
    },
    async remove() {
      await unlink(path).catch((error: unknown) => {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      })
    },
  }
}

/** Bytes of the spare when so many are reserved in all. */
export function spareBytesFor(reservedBytes: number): number {
  return Math.min(spareBytesMax, Math.floor(reservedBytes / spareShare))
}

/** Not zeros: some file systems keep no room for those. */
async function writeWhole(file: FileHandle, bytes: number): Promise<void> {
  try {
    const piece = Buffer.alloc(mebibyte)
    for (let index = 0; index < piece.length; index += 4) {
      piece.writeUInt32LE(Math.imul(index, 0x9e3779b1) >>> 0, index)
    }
    for (let at = 0; at < bytes; ) {
      const { bytesWritten } = await file.write(piece, 0, Math.min(piece.length, bytes - at))
      at += bytesWritten
    }
    await file.sync()
  } finally {
    await file.close()
  }
}

function mebibytes(bytes: number): string {
  return (bytes / mebibyte).toFixed(1)
}
