import type { InodeStatus } from '../client/index.ts'
import { MountError } from './errno.ts'

/** Entries that are kept behind the one read last, and apart from each other the names where reading can go on. */
const windowMax = 1024

/** Where the entries of a directory come from. */
export interface DirectorySource {
  /** Entries in the order of their names, behind the name `after`. */
  list(after: string | undefined): AsyncIterator<InodeStatus>
  /** Nobody reads it any more. */
  close(): void
}

/**
 * One directory being read, by the index of entries. What is kept does not grow with the directory but for one name per
 * thousand: who goes back farther than that has the listing go on behind the nearest of these names.
 */
class OpenDirectory {
  readonly source: DirectorySource
  #entries: AsyncIterator<InodeStatus>
  /** The entries read last; the first of them has the index `#start`. */
  #window: InodeStatus[] = []
  #start = 0
  /** Name of the entry before each index that is a multiple of the window's size. */
  #names: string[] = []
  #last: Promise<unknown> = Promise.resolve()

  constructor(source: DirectorySource) {
    this.source = source
    this.#entries = source.list(undefined)
  }

  rewind(): void {
    this.#names = []
    this.#goTo(0, undefined)
  }

  /** Undefined behind the last. */
  entry(index: number): Promise<InodeStatus | undefined> | InodeStatus {
    const known = this.#window[index - this.#start]
    if (known !== undefined) return known
    const result = this.#last.then(() => this.#read(index))
    this.#last = result.catch(() => undefined)
    return result
  }

  async #read(index: number): Promise<InodeStatus | undefined> {
    if (index < this.#start) {
      const page = Math.floor(index / windowMax)
      this.#goTo(page * windowMax, page === 0 ? undefined : this.#names[page - 1])
    }
    while (index >= this.#start + this.#window.length) {
      const next = await this.#entries.next()
      if (next.done === true) return undefined
      this.#add(next.value)
    }
    return this.#window[index - this.#start]
  }

  #add(status: InodeStatus): void {
    this.#window.push(status)
    const end = this.#start + this.#window.length
    if (end % windowMax === 0) this.#names[end / windowMax - 1] = status.name
    if (this.#window.length < 2 * windowMax) return
    this.#window = this.#window.slice(windowMax)
    this.#start += windowMax
  }

  #goTo(index: number, after: string | undefined): void {
    this.#entries = this.source.list(after)
    this.#window = []
    this.#start = index
  }
}

/** Directories being read, by the number of their handle. Reading from the start shows what is there then. */
export class OpenDirectories {
  readonly #byHandle = new Map<number, OpenDirectory>()
  #next = 1

  open(source: DirectorySource): number {
    const handle = this.#next
    this.#next += 1
    this.#byHandle.set(handle, new OpenDirectory(source))
    return handle
  }

  /** The next entry asked for may be the first, as it is then. */
  rewind(handle: number): void {
    this.#get(handle).rewind()
  }

  /** The entry with an index from 0 on; undefined behind the last. */
  entry(handle: number, index: number): Promise<InodeStatus | undefined> | InodeStatus {
    return this.#get(handle).entry(index)
  }

  release(handle: number): void {
    this.#byHandle.get(handle)?.source.close()
    this.#byHandle.delete(handle)
  }

  #get(handle: number): OpenDirectory {
    const directory = this.#byHandle.get(handle)
    if (directory === undefined)
      throw new MountError('EBADF', `No open directory has the number ${handle}`)
    return directory
  }
}
