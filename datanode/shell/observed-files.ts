import type { Clock } from '../../base/clock.ts'
import type { DiskOperation } from '../core/volume-health.ts'
import { type DiskSpace, errnoOf, type FileSystem } from './files.ts'

/** What one kind of file operation has done so far. */
export interface OperationTotals {
  readonly count: number
  readonly errors: number
  readonly bytes: number
  readonly elapsedMs: number
}

type Totals = { -readonly [Field in keyof OperationTotals]: OperationTotals[Field] }

export interface ObservedFilesOptions {
  readonly files: FileSystem
  readonly clock: Clock
  /** Called for every operation that failed with a system error. */
  readonly onError: (operation: DiskOperation, errno: string, error: Error) => void
}

/** The file operations of one volume, counted and timed by kind; every error is shown to `onError`. */
export class ObservedFiles implements FileSystem {
  readonly #options: ObservedFilesOptions
  readonly #totals: Readonly<Record<DiskOperation, Totals>>

  constructor(options: ObservedFilesOptions) {
    this.#options = options
    const none = (): Totals => ({ count: 0, errors: 0, bytes: 0, elapsedMs: 0 })
    this.#totals = { read: none(), write: none(), sync: none(), metadata: none() }
  }

  /** Totals since the start, by kind. */
  totals(): Readonly<Record<DiskOperation, OperationTotals>> {
    const { read, write, sync, metadata } = this.#totals
    return { read: { ...read }, write: { ...write }, sync: { ...sync }, metadata: { ...metadata } }
  }

  openFile(path: string, flags: number): Promise<number> {
    return this.#observe('metadata', this.#options.files.openFile(path, flags))
  }

  closeFile(descriptor: number): Promise<void> {
    return this.#options.files.closeFile(descriptor)
  }

  closeSmallFile(descriptor: number): void {
    this.#options.files.closeSmallFile(descriptor)
  }

  syncFile(descriptor: number): Promise<void> {
    return this.#observe('sync', this.#options.files.syncFile(descriptor))
  }

  syncFileData(descriptor: number): Promise<void> {
    return this.#observe('sync', this.#options.files.syncFileData(descriptor))
  }

  renameFile(source: string, target: string): Promise<void> {
    return this.#observe('metadata', this.#options.files.renameFile(source, target))
  }

  truncateFile(descriptor: number, length: number): Promise<void> {
    return this.#observe('metadata', this.#options.files.truncateFile(descriptor, length))
  }

  removeFile(path: string): Promise<void> {
    return this.#observe('metadata', this.#options.files.removeFile(path))
  }

  makeDirectory(path: string): Promise<void> {
    return this.#observe('metadata', this.#options.files.makeDirectory(path))
  }

  listDirectory(path: string): ReturnType<FileSystem['listDirectory']> {
    return this.#observe('metadata', this.#options.files.listDirectory(path))
  }

  fileBytes(descriptor: number): Promise<number> {
    return this.#observe('metadata', this.#options.files.fileBytes(descriptor))
  }

  fileModifiedAt(descriptor: number): Promise<number> {
    return this.#observe('metadata', this.#options.files.fileModifiedAt(descriptor))
  }

  touchFile(path: string, atMs: number): Promise<void> {
    return this.#observe('metadata', this.#options.files.touchFile(path, atMs))
  }

  pathBytes(path: string): Promise<number> {
    return this.#observe('metadata', this.#options.files.pathBytes(path))
  }

  spaceOf(path: string): Promise<DiskSpace> {
    return this.#observe('metadata', this.#options.files.spaceOf(path))
  }

  writeAt(descriptor: number, bytes: Uint8Array, position: number): Promise<void> {
    const written = this.#options.files.writeAt(descriptor, bytes, position)
    return this.#observe('write', written, bytes.length)
  }

  readAt(descriptor: number, target: Uint8Array, position: number): Promise<number> {
    const read = this.#options.files.readAt(descriptor, target, position)
    return this.#observe('read', read, target.length)
  }

  #observe<T>(operation: DiskOperation, running: Promise<T>, bytes = 0): Promise<T> {
    const { clock } = this.#options
    const totals = this.#totals[operation]
    const startedAt = clock.monotonic()
    return running.then(
      (result) => {
        totals.count += 1
        totals.bytes += bytes
        totals.elapsedMs += clock.monotonic() - startedAt
        return result
      },
      (error: unknown) => {
        totals.count += 1
        totals.elapsedMs += clock.monotonic() - startedAt
        const errno = errnoOf(error)
        if (errno !== undefined && error instanceof Error) {
          // A file that is not there was looked for; that is no fault of the disk.
          if (errno !== 'ENOENT') totals.errors += 1
          this.#options.onError(operation, errno, error)
        }
        throw error
      },
    )
  }
}
