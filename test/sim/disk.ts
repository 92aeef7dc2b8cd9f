/**
 * Simulated disks. The atlas of faults that may be injected, because the design promises to survive them:
 *
 *   crash of the namenode    bytes appended and not synced are lost, or a prefix of them stays, and the last
 *                            bytes of that prefix may be garbage (a torn sector)
 *   crash of a datanode      the same for replicas being written; finalized replicas are synced
 *   bit rot                  of a finalized replica of which another intact one exists
 *   at most replication - 1  datanodes down at once, so that one holder of every acknowledged block lives
 *
 * Not injected: lying fsync, misdirected writes, loss of a synced file, a full disk.
 */
import type { Prng } from '../../base/prng.ts'
import type { JournalFile, JournalStorage } from '../../namenode/shell/journal-storage.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { Lifetime, Scheduler } from './scheduler.ts'

/** Longest time a disk takes for one operation, milliseconds. */
const diskDelayMsMax = 3

interface SimFile {
  /** What would be there after a power failure. */
  synced: Uint8Array
  /** What the process wrote since. */
  unsynced: Uint8Array
}

/** The files of the namenode's journal directory; they outlive its processes. */
export class JournalDisk {
  readonly #scheduler: Scheduler
  readonly #prng: Prng
  readonly #files = new Map<string, SimFile>()
  #syncCount = 0
  #atNextAppend: (() => void) | undefined

  constructor(scheduler: Scheduler, prng: Prng) {
    this.#scheduler = scheduler
    this.#prng = prng
  }

  get syncCount(): number {
    return this.#syncCount
  }

  /** Bytes of a file, synced or not; for checkers. */
  contents(): ReadonlyMap<string, Uint8Array> {
    return new Map([...this.#files].map(([name, file]) => [name, whole(file)]))
  }

  /** Calls `action` right after the next append, before it can be synced. */
  atNextAppend(action: () => void): void {
    this.#atNextAppend = action
  }

  /** What the power failure leaves: call it when the process is dead. */
  crash(): void {
    this.#atNextAppend = undefined
    for (const file of this.#files.values()) {
      const { unsynced } = file
      const kept = unsynced.slice(0, this.#prng.below(unsynced.length + 1))
      if (kept.length > 0 && this.#prng.chance(1, 3)) {
        const torn = 1 + this.#prng.below(Math.min(kept.length, 512))
        for (let index = kept.length - torn; index < kept.length; index += 1) {
          kept[index] = this.#prng.below(256)
        }
      }
      file.synced = Buffer.concat([file.synced, kept])
      file.unsynced = new Uint8Array()
    }
  }

  /** The directory as one process sees it: operations of a dead process neither happen nor answer. */
  mount(life: Lifetime): JournalStorage {
    const during = <Result>(action: () => Result): Promise<Result> => this.#during(life, action)
    return {
      pathOf: (name) => `/journal/${name}`,
      list: () => during(() => [...this.#files.keys()]),
      create: (name) =>
        during(() => {
          if (this.#files.has(name)) throw new DfsError('FILE_EXISTS', `File "${name}" exists`)
          const file: SimFile = { synced: new Uint8Array(), unsynced: new Uint8Array() }
          this.#files.set(name, file)
          return this.#open(file, during)
        }),
      read: (name) => during(() => whole(this.#file(name))),
      sync: (name) =>
        during(() => {
          const file = this.#file(name)
          file.synced = whole(file)
          file.unsynced = new Uint8Array()
        }),
      truncate: (name, lengthBytes) =>
        during(() => {
          const file = this.#file(name)
          file.synced = whole(file).slice(0, lengthBytes)
          file.unsynced = new Uint8Array()
        }),
      remove: (name) =>
        during(() => {
          this.#file(name)
          this.#files.delete(name)
        }),
    }
  }

  #open(file: SimFile, during: (action: () => void) => Promise<void>): JournalFile {
    return {
      append: (bytes) =>
        during(() => {
          file.unsynced = Buffer.concat([file.unsynced, bytes])
          const action = this.#atNextAppend
          this.#atNextAppend = undefined
          if (action !== undefined) this.#scheduler.after(0, action)
        }),
      sync: () =>
        during(() => {
          this.#syncCount += 1
          file.synced = whole(file)
          file.unsynced = new Uint8Array()
        }),
      close: () => during(() => undefined),
    }
  }

  #during<Result>(life: Lifetime, action: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#scheduler.after(this.#prng.below(diskDelayMsMax + 1), () => {
        if (!life.isAlive) return
        try {
          resolve(action())
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      })
    })
  }

  #file(name: string): SimFile {
    const file = this.#files.get(name)
    if (file === undefined) throw new DfsError('FILE_NOT_FOUND', `No file "${name}"`)
    return file
  }
}

function whole(file: SimFile): Uint8Array {
  return Buffer.concat([file.synced, file.unsynced])
}
