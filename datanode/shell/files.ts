import fs, { type Dirent } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { DfsError } from '../../protocol/errors.ts'

/**
 * File operations on descriptors as promises. They wrap the callback functions of node:fs, which cost
 * about half of what node:fs/promises costs per call, and none of them blocks the event loop but the close of a small file.
 */

type Done = (error: NodeJS.ErrnoException | null) => void

function run(operation: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    operation((error) => {
      if (error === null) resolve()
      else reject(error)
    })
  })
}

export function openFile(path: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, 0o644, (error, descriptor) => {
      if (error === null) resolve(descriptor)
      else reject(error)
    })
  })
}

export function closeFile(descriptor: number): Promise<void> {
  return run((done) => fs.close(descriptor, done))
}

/** Files up to this length may be closed at once. */
export const smallFileBytes = 1024 * 1024

/**
 * Closes a descriptor at once. For small files only: behind the last descriptor of a large one that was removed the kernel frees
 * all its blocks, and that takes time. A trip to another thread costs a hundred times as much as this.
 */
export function closeSmallFile(descriptor: number): void {
  fs.closeSync(descriptor)
}

export function syncFile(descriptor: number): Promise<void> {
  return run((done) => fs.fsync(descriptor, done))
}

export function syncFileData(descriptor: number): Promise<void> {
  return run((done) => fs.fdatasync(descriptor, done))
}

export function renameFile(source: string, target: string): Promise<void> {
  return run((done) => fs.rename(source, target, done))
}

export function truncateFile(descriptor: number, length: number): Promise<void> {
  return run((done) => fs.ftruncate(descriptor, length, done))
}

/** Unlinks `path`; that it is gone already is fine. */
export function removeFile(path: string): Promise<void> {
  return run((done) => {
    fs.unlink(path, (error) => {
      done(error?.code === 'ENOENT' ? null : error)
    })
  })
}

/** Makes a directory and its parents; that it exists is fine. */
export function makeDirectory(path: string): Promise<void> {
  return run((done) => {
    fs.mkdir(path, { recursive: true }, (error) => done(error))
  })
}

/**
 * Makes a directory and its parents durably: not only what is in it, also its own name survives a loss of power. One that is
 * there may have been made just before the process that made it was killed, so its name is synced all the same.
 */
export async function makeDirectoryDurably(path: string): Promise<void> {
  const target = resolve(path)
  const first = await mkdir(target, { recursive: true })
  const highest = dirname(first ?? target)
  for (let parent = dirname(target); ; parent = dirname(parent)) {
    await syncNames(parent)
    if (parent === highest || parent === dirname(parent)) return
  }
}

async function syncNames(directory: string): Promise<void> {
  let descriptor: number
  try {
    descriptor = await openFile(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  } catch (error) {
    // What we may not read we did not write to: the name in it is somebody else's care.
    if (errnoOf(error) === 'EACCES') return
    throw error
  }
  try {
    await syncFile(descriptor)
  } finally {
    await closeFile(descriptor)
  }
}

/** Size of an open file. */
export function fileBytes(descriptor: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.fstat(descriptor, (error, stats) => {
      if (error === null) resolve(stats.size)
      else reject(error)
    })
  })
}

/** Writes all of `bytes` at `position`; they must not change until the promise settles. */
export function writeAt(descriptor: number, bytes: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const step = (done: number): void => {
      fs.write(descriptor, bytes, done, bytes.length - done, position + done, (error, written) => {
        if (error !== null) reject(error)
        else if (done + written === bytes.length) resolve()
        else step(done + written)
      })
    }
    step(0)
  })
}

/** Reads into `target` from `position` on and returns how many bytes there were: fewer only at the end of the file. */
export function readAt(descriptor: number, target: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const step = (done: number): void => {
      fs.read(descriptor, target, done, target.length - done, position + done, (error, read) => {
        if (error !== null) reject(error)
        else if (read === 0 || done + read === target.length) resolve(done + read)
        else step(done + read)
      })
    }
    if (target.length === 0) resolve(0)
    else step(0)
  })
}

/** Entries of a directory, in no order. */
export function listDirectory(path: string): Promise<Dirent[]> {
  return new Promise((resolve, reject) => {
    fs.readdir(path, { withFileTypes: true }, (error, entries) => {
      if (error === null) resolve(entries)
      else reject(error)
    })
  })
}

/** When an open file was last changed, in milliseconds of the wall clock. */
export function fileModifiedAt(descriptor: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.fstat(descriptor, (error, stats) => {
      if (error === null) resolve(Math.floor(stats.mtimeMs))
      else reject(error)
    })
  })
}

/** Sets the time at which the file at `path` was last changed. */
export function touchFile(path: string, atMs: number): Promise<void> {
  return run((done) => fs.utimes(path, atMs / 1000, atMs / 1000, done))
}

/** Size of the file at `path`. */
export function pathBytes(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.stat(path, (error, stats) => {
      if (error === null) resolve(stats.size)
      else reject(error)
    })
  })
}

/** Size of the file system that holds `path`, and what of it unprivileged programs may still use. */
export function spaceOf(path: string): Promise<DiskSpace> {
  return new Promise((resolve, reject) => {
    fs.statfs(path, (error, figures) => {
      if (error !== null) {
        reject(error)
        return
      }
      const { bavail, blocks, bsize } = figures
      resolve({ totalBytes: blocks * bsize, availableBytes: bavail * bsize })
    })
  })
}

export interface DiskSpace {
  readonly totalBytes: number
  readonly availableBytes: number
}

/** The file operations of a data directory; tests put failing ones in their place. */
export interface FileSystem {
  openFile(path: string, flags: number): Promise<number>
  closeFile(descriptor: number): Promise<void>
  closeSmallFile(descriptor: number): void
  syncFile(descriptor: number): Promise<void>
  syncFileData(descriptor: number): Promise<void>
  renameFile(source: string, target: string): Promise<void>
  truncateFile(descriptor: number, length: number): Promise<void>
  removeFile(path: string): Promise<void>
  makeDirectory(path: string): Promise<void>
  listDirectory(path: string): Promise<Dirent[]>
  fileBytes(descriptor: number): Promise<number>
  fileModifiedAt(descriptor: number): Promise<number>
  touchFile(path: string, atMs: number): Promise<void>
  pathBytes(path: string): Promise<number>
  spaceOf(path: string): Promise<DiskSpace>
  writeAt(descriptor: number, bytes: Uint8Array, position: number): Promise<void>
  readAt(descriptor: number, target: Uint8Array, position: number): Promise<number>
}

/** The real ones. */
export const systemFiles: FileSystem = {
  openFile,
  closeFile,
  closeSmallFile,
  syncFile,
  syncFileData,
  renameFile,
  truncateFile,
  removeFile,
  makeDirectory,
  listDirectory,
  fileBytes,
  fileModifiedAt,
  touchFile,
  pathBytes,
  spaceOf,
  writeAt,
  readAt,
}

/** Reads exactly `target.length` bytes. @throws DfsError CORRUPTION when the file ends before */
export async function readExactlyAt(
  files: Pick<FileSystem, 'readAt'>,
  descriptor: number,
  target: Uint8Array,
  position: number,
  path: string,
): Promise<void> {
  const read = await files.readAt(descriptor, target, position)
  if (read === target.length) return
  throw new DfsError(
    'CORRUPTION',
    `Cannot read "${path}": it ends at offset ${position + read}, ` +
      `need ${target.length} bytes from offset ${position}`,
    { path },
  )
}

/** The errno name of a system error, or `undefined` for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
