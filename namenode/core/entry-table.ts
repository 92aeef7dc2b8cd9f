/**
 * Resident directory entries. Per directory a map from name to inode id, where an absent id means
 * "known not to exist"; a directory may be `complete`: every entry it has is resident, so a name that is
 * not in the map does not exist. A directory made by a transaction is born complete; evicting one of its
 * entries ends that.
 *
 * Names are kept in order from the first listing on, or once there are many, so that no listing ever
 * sorts a large directory at one go.
 */
import type { InodeId, TxId } from '../../protocol/ids.ts'
import { evictionStepsMax, loadedTxId } from './inode-table.ts'
import { SortedNames } from './names.ts'

/** Directories with more resident names than this keep them sorted always. */
const sortedFrom = 1024

interface EntrySlot {
  inode: InodeId | undefined
  changedAt: TxId
  isUsed: boolean
}

interface Directory {
  readonly slotByName: Map<string, EntrySlot>
  isComplete: boolean
  isUsed: boolean
  /** Present names in order, once needed. */
  sorted: SortedNames | undefined
}

/** Result of a look-up: an id, 'absent', or undefined when memory cannot tell. */
export type EntryLookup = InodeId | 'absent' | undefined

export class EntryTable {
  readonly #directories = new Map<InodeId, Directory>()
  #size = 0
  #directoryHand: IterableIterator<[InodeId, Directory]> | undefined
  #swept: { id: InodeId; directory: Directory } | undefined
  #entryHand: IterableIterator<[string, EntrySlot]> | undefined

  find(parent: InodeId, name: string): EntryLookup {
    const directory = this.#directories.get(parent)
    if (directory === undefined) return undefined
    directory.isUsed = true
    const slot = directory.slotByName.get(name)
    if (slot === undefined) return directory.isComplete ? 'absent' : undefined
    slot.isUsed = true
    return slot.inode ?? 'absent'
  }

  /** The id of a present entry, without marking it as used. */
  peek(parent: InodeId, name: string): InodeId | undefined {
    return this.#directories.get(parent)?.slotByName.get(name)?.inode
  }

  isComplete(parent: InodeId): boolean {
    return this.#directories.get(parent)?.isComplete === true
  }

  /** Notes a directory that was just made: it is complete and empty. */
  created(parent: InodeId): void {
    const directory = this.#directory(parent)
    if (directory.slotByName.size === 0) directory.isComplete = true
  }

  /** Sets an entry, or its absence, as of transaction `at`. */
  set(parent: InodeId, name: string, inode: InodeId | undefined, at: TxId): void {
    this.#store(this.#directory(parent), name, inode, at)
  }

  /** Takes a loaded entry unless memory knows better. */
  provide(parent: InodeId, name: string, inode: InodeId | undefined): void {
    const directory = this.#directory(parent)
    if (directory.isComplete || directory.slotByName.has(name)) return
    this.#store(directory, name, inode, loadedTxId)
  }

  /** Takes all entries of a directory as loaded; from then on it is complete. */
  provideAll(parent: InodeId, entries: Iterable<{ name: string; inode: InodeId }>): void {
    const directory = this.#directory(parent)
    if (directory.isComplete) return
    for (const { name, inode } of entries) {
      if (!directory.slotByName.has(name)) this.#store(directory, name, inode, loadedTxId)
    }
    directory.isComplete = true
  }

  /** Resident names of a directory strictly after `startAfter`, in order. */
  namesAfter(parent: InodeId, startAfter: string): Iterable<string> {
    const directory = this.#directories.get(parent)
    return directory === undefined ? [] : sortedOf(directory).after(startAfter)
  }

  /** Number of {@link namesAfter}. */
  countAfter(parent: InodeId, startAfter: string): number {
    const directory = this.#directories.get(parent)
    return directory === undefined ? 0 : sortedOf(directory).countAfter(startAfter)
  }

  /** Forgets an entry whose inode left memory, if it is not newer than `through`. */
  drop(parent: InodeId, name: string, through: TxId): void {
    const directory = this.#directories.get(parent)
    const slot = directory?.slotByName.get(name)
    if (directory === undefined || slot === undefined || slot.changedAt > through) return
    this.#remove(parent, directory, name, slot)
  }

  /** As the inodes' eviction: a clock over all entries, and over directories that hold none. */
  evict(target: number, through: TxId): void {
    let steps = Math.min(2 * (this.#size + this.#directories.size), evictionStepsMax)
    while (this.#size + this.#directories.size > target && steps > 0) {
      steps -= 1
      const next = this.#entryHand?.next()
      if (next === undefined || next.done === true || this.#swept === undefined) {
        this.#advance()
        continue
      }
      const [name, slot] = next.value
      if (slot.changedAt > through) continue
      if (slot.isUsed) slot.isUsed = false
      else this.#remove(this.#swept.id, this.#swept.directory, name, slot)
    }
  }

  /** Every resident directory with its present entries, for checks. */
  *all(): Generator<
    { parent: InodeId; isComplete: boolean; entries: ReadonlyMap<string, InodeId> },
    undefined
  > {
    for (const [parent, { slotByName, isComplete }] of this.#directories) {
      const entries = new Map<string, InodeId>()
      for (const [name, { inode }] of slotByName) if (inode !== undefined) entries.set(name, inode)
      yield { parent, isComplete, entries }
    }
  }

  #directory(id: InodeId): Directory {
    let directory = this.#directories.get(id)
    if (directory === undefined) {
      directory = { slotByName: new Map(), isComplete: false, isUsed: true, sorted: undefined }
      this.#directories.set(id, directory)
    }
    return directory
  }

  #store(directory: Directory, name: string, inode: InodeId | undefined, at: TxId): void {
    const slot = directory.slotByName.get(name)
    if (slot === undefined) {
      directory.slotByName.set(name, { inode, changedAt: at, isUsed: true })
      this.#size += 1
    } else {
      slot.inode = inode
      slot.changedAt = at
      slot.isUsed = true
    }
    if (directory.sorted !== undefined) {
      if (inode === undefined) directory.sorted.delete(name)
      else directory.sorted.add(name)
    } else if (directory.slotByName.size > sortedFrom) sortedOf(directory)
  }

  #remove(parent: InodeId, directory: Directory, name: string, slot: EntrySlot): void {
    directory.slotByName.delete(name)
    this.#size -= 1
    // Forgetting that a name does not exist leaves a complete directory complete.
    if (slot.inode !== undefined) {
      directory.isComplete = false
      directory.sorted?.delete(name)
    }
    if (directory.slotByName.size === 0 && !directory.isComplete) this.#directories.delete(parent)
  }

  /** Moves the clock to the next directory. */
  #advance(): void {
    this.#directoryHand ??= this.#directories.entries()
    const next = this.#directoryHand.next()
    if (next.done === true) {
      this.#directoryHand = undefined
      this.#entryHand = undefined
      return
    }
    const [id, directory] = next.value
    this.#swept = { id, directory }
    this.#entryHand = directory.slotByName.entries()
    if (directory.slotByName.size > 0) return
    if (directory.isUsed) directory.isUsed = false
    else this.#directories.delete(id)
  }
}

function sortedOf(directory: Directory): SortedNames {
  directory.sorted ??= new SortedNames(presentNames(directory.slotByName))
  return directory.sorted
}

function* presentNames(slots: Map<string, EntrySlot>): Generator<string, undefined> {
  for (const [name, { inode }] of slots) if (inode !== undefined) yield name
}
