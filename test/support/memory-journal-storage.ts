import { defined } from '../../base/assert.ts'
import type { Prng } from '../../base/prng.ts'
import type { JournalFile, JournalStorage } from '../../namenode/shell/journal-storage.ts'

/** How much of what was never synced a crash leaves behind. */
export type Tear = 'nothing' | 'everything' | { readonly keepBytes: number } | Prng

interface StoredFile {
  bytes: Uint8Array
  syncedBytes: number
}

/**
 * Journal segments in memory, with a disk's bad habits: what was appended and not synced may be lost, in
 * whole or in part, when the machine stops. Survives its users, as a disk does.
 */
export class MemoryJournalStorage implements JournalStorage {
  readonly #files = new Map<string, StoredFile>()
  #crashes = 0
  /** Completed `sync` calls. */
  syncCount = 0
  /** Called before every append and sync; a rejection fails it, a pending promise delays it. */
  beforeWrite: (action: 'append' | 'sync' | 'create') => Promise<void> = () => Promise.resolve()

  pathOf(name: string): string {
    return `memory/${name}`
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve([...this.#files.keys()])
  }

  async create(name: string): Promise<JournalFile> {
    await this.beforeWrite('create')
    if (this.#files.has(name)) throw new Error(`${name} exists`)
    const file: StoredFile = { bytes: new Uint8Array(0), syncedBytes: 0 }
    this.#files.set(name, file)
    return this.#handle(file)
  }

  read(name: string): Promise<Uint8Array> {
    return Promise.resolve(Uint8Array.from(this.#file(name).bytes))
  }

  sync(name: string): Promise<void> {
    const file = this.#file(name)
    file.syncedBytes = file.bytes.length
    return Promise.resolve()
  }

  truncate(name: string, lengthBytes: number): Promise<void> {
    this.write(name, this.#file(name).bytes.subarray(0, lengthBytes))
    return Promise.resolve()
  }

  remove(name: string): Promise<void> {
    this.#file(name)
    this.#files.delete(name)
    return Promise.resolve()
  }

  /** Puts `bytes` on the disk as they are, synced. */
  write(name: string, bytes: Uint8Array): void {
    this.#files.set(name, { bytes: Uint8Array.from(bytes), syncedBytes: bytes.length })
  }

  /** The process ends and the machine goes on: handles opened before are dead, the kernel keeps every byte. */
  kill(): void {
    this.#crashes += 1
  }

  /** The machine stops: handles opened before are dead, and unsynced bytes are torn. */
  crash(tear: Tear): void {
    this.#crashes += 1
    for (const file of this.#files.values()) {
      const unsynced = file.bytes.length - file.syncedBytes
      const kept = file.syncedBytes + keptBytes(unsynced, tear)
      file.bytes = file.bytes.slice(0, kept)
      file.syncedBytes = kept
    }
  }

  #handle(file: StoredFile): JournalFile {
    const life = this.#crashes
    const check = (): void => {
      if (life !== this.#crashes) throw new Error('the machine has stopped')
    }
    return {
      append: async (bytes) => {
        await this.beforeWrite('append')
        check()
        file.bytes = Buffer.concat([file.bytes, bytes])
      },
      sync: async () => {
        const length = file.bytes.length
        await this.beforeWrite('sync')
        check()
        file.syncedBytes = length
        this.syncCount += 1
      },
      close: () => Promise.resolve(),
    }
  }

  #file(name: string): StoredFile {
    return defined(this.#files.get(name), name)
  }
}

function keptBytes(unsynced: number, tear: Tear): number {
  if (tear === 'nothing') return 0
  if (tear === 'everything') return unsynced
  if ('keepBytes' in tear) return Math.min(unsynced, tear.keepBytes)
  return tear.below(unsynced + 1)
}
