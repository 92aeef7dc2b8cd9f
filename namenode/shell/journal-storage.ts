import { constants } from 'node:fs'
import { type FileHandle, open, readdir, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectoryDurably, syncDirectory } from './durable-directory.ts'
import type { JournalArchive } from './journal-archive.ts'

/** A segment open for appending. */
export interface JournalFile {
  /** Writes all of `bytes` at the end. They are only safe after {@link sync}. */
  append(bytes: Uint8Array): Promise<void>
  /** Resolves when everything appended is on disk. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** Where segments live: a directory, or what a simulation makes of one. */
export interface JournalStorage {
  /** For messages: the path of the segment called `name`. */
  pathOf(name: string): string
  /** Names of all files, in no particular order. */
  list(): Promise<readonly string[]>
  /** Creates an empty file, which must not exist; its name survives a power failure from then on. */
  create(name: string): Promise<JournalFile>
  read(name: string): Promise<Uint8Array>
  /** Resolves when everything in the file is on disk, whoever wrote it. */
  sync(name: string): Promise<void>
  /** Shortens a file; durable when it resolves. */
  truncate(name: string, lengthBytes: number): Promise<void>
  /** Deletes a file; durable when it resolves. */
  remove(name: string): Promise<void>
  /** Puts a whole segment away that the store has taken over; without it, such a segment is removed. */
  archive?(name: string): Promise<void>
}

/** Journal segments in a directory of the file system. */
export class DirectoryJournalStorage implements JournalStorage {
  readonly #directory: string
  readonly #onSync: (seconds: number) => void
  readonly #archive: JournalArchive | undefined

  /** @param onSync gets how long each `fdatasync` took */
  constructor(
    directory: string,
    onSync: (seconds: number) => void = () => undefined,
    archive?: JournalArchive,
  ) {
    this.#directory = directory
    this.#onSync = onSync
    this.#archive = archive
  }

  /** Creates the directory when it is missing. */
  async prepare(): Promise<void> {
    await makeDirectoryDurably(this.#directory)
  }

  pathOf(name: string): string {
    return join(this.#directory, name)
  }

  async list(): Promise<readonly string[]> {
    return readdir(this.#directory)
  }

  async create(name: string): Promise<JournalFile> {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_APPEND
    const handle = await open(this.pathOf(name), flags, 0o600)
    try {
      await syncDirectory(this.#directory)
    } catch (error) {
      await handle.close()
      await unlink(this.pathOf(name))
      throw error
    }
    return new DirectoryJournalFile(handle, this.#onSync)
  }

  async read(name: string): Promise<Uint8Array> {
    return readFile(this.pathOf(name))
  }

  async sync(name: string): Promise<void> {
    const handle = await open(this.pathOf(name), 'r+')
    try {
      await handle.datasync()
    } finally {
      await handle.close()
    }
  }

  async truncate(name: string, lengthBytes: number): Promise<void> {
    const handle = await open(this.pathOf(name), 'r+')
    try {
      await handle.truncate(lengthBytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  async remove(name: string): Promise<void> {
    await unlink(this.pathOf(name))
    await syncDirectory(this.#directory)
  }

  async archive(name: string): Promise<void> {
    if (this.#archive === undefined) return this.remove(name)
    await this.#archive.take(this.pathOf(name), name)
    await syncDirectory(this.#directory)
  }
}

class DirectoryJournalFile implements JournalFile {
  readonly #handle: FileHandle
  readonly #onSync: (seconds: number) => void

  constructor(handle: FileHandle, onSync: (seconds: number) => void) {
    this.#handle = handle
    this.#onSync = onSync
  }

  async append(bytes: Uint8Array): Promise<void> {
    let written = 0
    while (written < bytes.length) {
      const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written)
      written += bytesWritten
    }
  }

  async sync(): Promise<void> {
    const startedAt = process.hrtime.bigint()
    await this.#handle.datasync()
    this.#onSync(Number(process.hrtime.bigint() - startedAt) / 1e9)
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}
