import { join } from 'node:path'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import { beingCopiedDirectoryName } from '../format/block-file.ts'
import { moveReplica, type ReplicaShelf, removeReplica } from './replica-shelf.ts'
import type { ReplicaFiles } from './volume.ts'

/** Deletes replicas, one file at a time: unlinking large files occupies a thread for long. */
export class ReplicaDeletion {
  readonly #shelf: ReplicaShelf
  #removals: Promise<void> = Promise.resolve()
  #asideCount = 0

  constructor(shelf: ReplicaShelf) {
    this.#shelf = shelf
  }

  /**
   * Deletes a replica: it is gone for readers and reports at once, its files when the promise settles.
   *
   * @throws {@link DfsError} REPLICA_NOT_FOUND when there is none with that stamp
   */
  async delete(blockId: BlockId, generationStamp: GenerationStamp): Promise<void> {
    const shelf = this.#shelf
    const replica = {
      ...shelf.require(blockId, (found) => found.generationStamp === generationStamp),
    }
    const volume = shelf.volumeOf(replica.storage)
    try {
      const files = await shelf.mutex.run(blockId, () => this.#setAside(blockId, generationStamp))
      const removal = this.#removals.then(() => removeReplica(files))
      this.#removals = removal.catch(() => undefined)
      await removal
      volume.spaceChanged()
    } catch (error) {
      throw volume.judge(error, `delete block ${blockId}`)
    }
    shelf.notify('deleted', replica)
  }

  /** Resolves when everything set aside so far is unlinked. */
  settled(): Promise<void> {
    return this.#removals
  }

  /** Forgets a replica and frees its file names: the block may come back before its files are unlinked. */
  async #setAside(blockId: BlockId, generationStamp: GenerationStamp): Promise<ReplicaFiles> {
    const shelf = this.#shelf
    shelf.require(blockId, (found) => found.generationStamp === generationStamp)
    await shelf.stopWriter(blockId)
    const replica = shelf.require(blockId)
    const from = shelf.filesOf(replica)
    this.#asideCount += 1
    const directory = shelf.volumeOf(replica.storage).poolPath(beingCopiedDirectoryName)
    const name = `deleted.${this.#asideCount}`
    const data = join(directory, name)
    const to = { directory, data, meta: join(directory, `${name}.meta`), disk: from.disk }
    await moveReplica(from, to)
    shelf.map.remove(blockId)
    return to
  }
}
