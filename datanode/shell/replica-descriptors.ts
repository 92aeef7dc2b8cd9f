import { constants } from 'node:fs'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId } from '../../protocol/ids.ts'
import type { ReplicaFiles } from './volume.ts'

/**
 * The open files of one replica that is being written. Closed only when every operation on them has ended, and none begins
 * afterwards: the number of a closed descriptor is given to the next file or socket, and a late write would go into
 * another block (D27).
 */
export class ReplicaDescriptors {
  /** Of the block file and the meta file; they reject when a file could not be opened. */
  readonly data: Promise<number>
  readonly meta: Promise<number>
  readonly #blockId: BlockId
  readonly #files: ReplicaFiles
  #direct: Promise<number> | undefined
  /** Operations that are under way. */
  readonly #uses = new Set<Promise<unknown>>()
  #isClosed = false

  /** @param isNew the files are to be created, empty */
  constructor(blockId: BlockId, files: ReplicaFiles, isNew: boolean) {
    this.#blockId = blockId
    this.#files = files
    const creation = isNew ? constants.O_CREAT | constants.O_TRUNC : 0
    this.data = files.disk.openFile(files.data, constants.O_RDWR | creation)
    this.meta = files.disk.openFile(files.meta, constants.O_RDWR | creation)
  }

  /**
   * The block file once more, for writes around the page cache; opened when it is first asked for.
   *
   * @throws {@link DfsError} IO_ERROR when the files are closed
   */
  direct(): Promise<number> {
    this.#requireOpen()
    const flags = constants.O_WRONLY | constants.O_DIRECT
    this.#direct ??= this.#files.disk.openFile(this.#files.data, flags)
    return this.#direct
  }

  /**
   * Does something with one of the descriptors, which stays open meanwhile.
   *
   * @throws {@link DfsError} IO_ERROR when the files are closed
   */
  async use<T>(file: Promise<number>, operate: (descriptor: number) => Promise<T>): Promise<T> {
    this.#requireOpen()
    const using = file.then(operate)
    this.#uses.add(using)
    const done = (): void => {
      this.#uses.delete(using)
    }
    using.then(done, done)
    return await using
  }

  /** Closes the files, which are small or not, when what is being done with them has ended. */
  async close(isSmall: boolean): Promise<void> {
    while (this.#uses.size > 0) await Promise.allSettled(this.#uses)
    this.#isClosed = true
    const opened = [this.data, this.meta, this.#direct].filter((file) => file !== undefined)
    const { disk } = this.#files
    const close = async (file: Promise<number>): Promise<void> => {
      const descriptor = await file
      if (isSmall) disk.closeSmallFile(descriptor)
      else await disk.closeFile(descriptor)
    }
    await Promise.allSettled(opened.map(close))
  }

  #requireOpen(): void {
    if (!this.#isClosed) return
    const what = `Cannot write block ${this.#blockId}: its files are closed`
    throw new DfsError('IO_ERROR', what, { blockId: this.#blockId })
  }
}
