import type { FileStatus } from '../client/index.ts'
import { MountError } from './errno.ts'

interface OpenDirectory {
  readonly list: () => Promise<readonly FileStatus[]>
  entries: Promise<readonly FileStatus[]> | undefined
}

/** Directories being read. Each handle sees the entries as they were when it began to read from the start. */
export class OpenDirectories {
  readonly #byHandle = new Map<number, OpenDirectory>()
  #next = 1

  open(list: () => Promise<readonly FileStatus[]>): number {
    const handle = this.#next
    this.#next += 1
    this.#byHandle.set(handle, { list, entries: undefined })
    return handle
  }

  /** All entries; asked for anew with `isFromStart`. */
  entries(handle: number, isFromStart: boolean): Promise<readonly FileStatus[]> {
    const directory = this.#byHandle.get(handle)
    if (directory === undefined)
      throw new MountError('EBADF', `No open directory has the number ${handle}`)
    if (isFromStart) directory.entries = undefined
    directory.entries ??= directory.list()
    return directory.entries
  }

  release(handle: number): void {
    this.#byHandle.delete(handle)
  }
}
