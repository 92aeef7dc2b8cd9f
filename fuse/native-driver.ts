import Fuse from 'fuse-native'
import { errnoOf } from './errno.ts'
import type { MountOperations } from './operations.ts'

/** Largest read and write libfuse 2.9 passes on. */
const transferBytesMax = 131_072

/** Adds the options that make libfuse pass more than 4 KiB per request. */
class BigTransferFuse extends Fuse {
  override _fuseOptions(): string {
    const rest = super._fuseOptions()
    const big = `big_writes,max_read=${transferBytesMax},max_write=${transferBytesMax}`
    return rest === '' ? `-o${big}` : `${rest},${big}`
  }
}

/** A mount in the kernel's table. */
export interface NativeMount {
  /** Completes open files and takes the mount away. */
  unmount(): Promise<void>
}

/** Mounts `operations` at `directory` through libfuse; resolves once the kernel serves it. */
export async function mountNative(
  directory: string,
  operations: MountOperations,
): Promise<NativeMount> {
  // No time-out: a write may wait while a pipeline is rebuilt, and a late answer must not find its buffer reused.
  const options = { timeout: false, fsname: 'trefoil', defaultPermissions: true } as const
  const fuse = new BigTransferFuse(directory, handlersOf(operations), options)
  await new Promise<void>((resolve, reject) => {
    fuse.mount((error) => (error === null ? resolve() : reject(error)))
  })
  return {
    async unmount() {
      await operations.releaseAll()
      await new Promise<void>((resolve, reject) => {
        fuse.unmount((error) => (error === null ? resolve() : reject(error)))
      })
    },
  }
}

type Handlers = ConstructorParameters<typeof Fuse>[1]

function answer(work: Promise<unknown>, done: (error: number) => void): void {
  work.then(
    () => done(0),
    (error: unknown) => done(errnoOf(error)),
  )
}

function answerWith<T>(work: Promise<T>, done: (error: number, value?: T) => void): void {
  work.then(
    (value) => done(0, value),
    (error: unknown) => done(errnoOf(error)),
  )
}

function answerCount(work: Promise<number>, done: (result: number) => void): void {
  work.then(done, (error: unknown) => done(errnoOf(error)))
}

function handlersOf(operations: MountOperations): Handlers {
  return {
    getattr: (path, done) => answerWith(operations.getattr(path), done),
    fgetattr: (path, _fd, done) => answerWith(operations.getattr(path), done),
    readdir: (path, done) => answerWith(operations.readdir(path), done),
    open: (path, flags, done) => answerWith(operations.open(path, flags), done),
    create: (path, mode, done) => answerWith(operations.create(path, mode), done),
    // eslint-disable-next-line max-params -- the package's callback has six
    read: (_path, fd, buffer, length, position, done) =>
      answerCount(operations.read(fd, buffer.subarray(0, length), position), done),
    // eslint-disable-next-line max-params -- the package's callback has six
    write: (_path, fd, buffer, length, position, done) =>
      answerCount(operations.write(fd, buffer.subarray(0, length), position), done),
    flush: (_path, fd, done) => answer(operations.sync(fd), done),
    fsync: (_path, _dataOnly, fd, done) => answer(operations.sync(fd), done),
    release: (_path, fd, done) => answer(operations.release(fd), done),
    truncate: (path, size, done) => answer(operations.truncate(path, size), done),
    ftruncate: (path, _fd, size, done) => answer(operations.truncate(path, size), done),
    unlink: (path, done) => answer(operations.unlink(path), done),
    mkdir: (path, mode, done) => answer(operations.mkdir(path, mode), done),
    rmdir: (path, done) => answer(operations.rmdir(path), done),
    rename: (source, target, done) => answer(operations.rename(source, target), done),
    chmod: (path, mode, done) => answer(operations.chmod(path, mode), done),
    chown: (path, uid, gid, done) => answer(operations.chown(path, uid, gid), done),
    utimens: (path, atime, mtime, done) =>
      answer(operations.utimens(path, new Date(atime), new Date(mtime)), done),
    statfs: (_path, done) => answerWith(operations.statfs().then(statfsFields), done),
  }
}

function statfsFields({
  blockSize,
  blocks,
  free,
}: Awaited<ReturnType<MountOperations['statfs']>>): Record<string, number> {
  return {
    bsize: blockSize,
    frsize: blockSize,
    blocks,
    bfree: free,
    bavail: free,
    namemax: 255,
    files: 0,
    ffree: 0,
  }
}
