/**
 * The simulated disk of the namenode: bytes appended and not synced are lost when power is, or a prefix of
 * them stays, and the last bytes of that prefix may be garbage (a torn sector). What the process only
 * appended survives the end of the process. See `faults.ts` for when that happens.
 *
 * Not injected: a sync that lies, the loss of a synced file, a bad byte in the middle of the journal.
 */
import type { Prng } from '../../base/prng.ts'
import type { JournalFile, JournalStorage } from '../../namenode/shell/journal-storage.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { Lifetime, Scheduler } from './scheduler.ts'

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
  /** Longest time for one operation. */
  readonly #delayMsMax: number
  readonly #files = new Map<string, SimFile>()
  #syncCount = 0
  /** Effects left until `action`, which comes right before that one or right after it. */
  #ambush:
    | { left: number; readonly side: 'before' | 'after'; readonly action: () => void }
    | undefined
  /** Every segment that was ever dropped, as it was then. */
  readonly #dropped = new Map<string, Uint8Array>()

  constructor(scheduler: Scheduler, prng: Prng, delayMsMax: number) {
    this.#scheduler = scheduler
    this.#prng = prng
    this.#delayMsMax = delayMsMax
  }

  get syncCount(): number {
    return this.#syncCount
  }

  /** Bytes of a file, synced or not; for checkers. */
  contents(): ReadonlyMap<string, Uint8Array> {
    return new Map([...this.#files].map(([name, file]) => [name, whole(file)]))
  }

  /**
   * Calls `action` at the `count`-th effect from now on: an append, a sync, a file made, cut or removed, a
   * load or a fold of the store.
   */
  atEffect(count: number, side: 'before' | 'after', action: () => void): void {
    this.#ambush = { left: count, side, action }
  }

  /** A disk that holds every segment there ever was. */
  archive(): JournalDisk {
    const disk = new JournalDisk(this.#scheduler, this.#prng, 0)
    const present = [...this.#files].map(([name, file]) => [name, whole(file)] as const)
    for (const [name, synced] of [...this.#dropped, ...present]) {
      disk.#files.set(name, { synced, unsynced: new Uint8Array() })
    }
    return disk
  }

  /** Counts an effect that is about to happen. Returns what to call when it has. */
  effect(): () => void {
    const ambush = this.#ambush
    if (ambush === undefined) return nothing
    ambush.left -= 1
    if (ambush.left > 0) return nothing
    this.#ambush = undefined
    if (ambush.side === 'after') return ambush.action
    // Not at once: the caller is in the middle of asking for the effect.
    this.#scheduler.after(0, ambush.action)
    return nothing
  }

  /** What the end of the process leaves, and, when that is why it ended, of power: call it when it is dead. */
  crash(how: 'kill' | 'power'): void {
    this.#ambush = undefined
    if (how === 'kill') return
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
          this.#dropped.set(name, whole(this.#file(name)))
          this.#files.delete(name)
        }),
    }
  }

  #open(file: SimFile, during: (action: () => void) => Promise<void>): JournalFile {
    return {
      append: (bytes) =>
        during(() => {
          file.unsynced = Buffer.concat([file.unsynced, bytes])
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
    const afterwards = this.effect()
    return new Promise((resolve, reject) => {
      this.#scheduler.after(this.#prng.below(this.#delayMsMax + 1), () => {
        if (!life.isAlive) return
        try {
          const result = action()
          this.#scheduler.within(life, () => {
            resolve(result)
          })
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
        afterwards()
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

function nothing(): void {
  // No ambush.
}
