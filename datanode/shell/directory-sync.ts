import { constants } from 'node:fs'
import type { FileSystem } from './files.ts'

const openDirectoriesMax = 64

interface SyncedDirectory {
  readonly descriptor: Promise<number>
  running: Promise<void> | undefined
  next: Promise<void> | undefined
}

/**
 * Makes entries of directories durable, one fsync for everybody who asked while the last one ran: a
 * caller's entry may be newer than a running fsync, so it joins the next.
 */
export class DirectorySyncer {
  readonly #disk: FileSystem
  readonly #directories = new Map<string, SyncedDirectory>()

  constructor(disk: FileSystem) {
    this.#disk = disk
  }

  /** Resolves once all entries that `path` had at the call are durable. */
  sync(path: string): Promise<void> {
    const directory = this.#open(path)
    if (directory.next !== undefined) return directory.next
    const running = directory.running
    if (running === undefined) return this.#start(directory)
    const start = (): Promise<void> => {
      directory.next = undefined
      return this.#start(directory)
    }
    directory.next = running.then(start, start)
    return directory.next
  }

  async close(): Promise<void> {
    const directories = [...this.#directories.values()]
    this.#directories.clear()
    await Promise.allSettled(directories.map((directory) => this.#closeOne(directory)))
  }

  async #start(directory: SyncedDirectory): Promise<void> {
    const running = directory.descriptor.then((descriptor) => this.#disk.syncFile(descriptor))
    directory.running = running
    try {
      await running
    } finally {
      if (directory.running === running) directory.running = undefined
    }
  }

  #open(path: string): SyncedDirectory {
    const known = this.#directories.get(path)
    if (known !== undefined) {
      // Moved to the end: the map's order is that of last use.
      this.#directories.delete(path)
      this.#directories.set(path, known)
      return known
    }
    const descriptor = this.#disk.openFile(path, constants.O_RDONLY | constants.O_DIRECTORY)
    descriptor.catch(() => this.#directories.delete(path))
    const directory = { descriptor, running: undefined, next: undefined }
    this.#directories.set(path, directory)
    this.#evict()
    return directory
  }

  #evict(): void {
    if (this.#directories.size <= openDirectoriesMax) return
    for (const [path, directory] of this.#directories) {
      if (directory.running !== undefined || directory.next !== undefined) continue
      this.#directories.delete(path)
      // A failed close of a directory that was only synced loses nothing.
      this.#closeOne(directory).catch(() => undefined)
      return
    }
  }

  async #closeOne(directory: SyncedDirectory): Promise<void> {
    await directory.next?.catch(() => undefined)
    await directory.running?.catch(() => undefined)
    await this.#disk.closeFile(await directory.descriptor)
  }
}
