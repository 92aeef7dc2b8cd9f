/** The part of the package `fuse-native` 2.2 that the mount uses; the package ships no types. */
declare module 'fuse-native' {
  type Done = (error: number) => void
  type DoneWith<T> = (error: number, value?: T) => void

  interface Handlers {
    getattr(path: string, done: DoneWith<unknown>): void
    fgetattr(path: string, fd: number, done: DoneWith<unknown>): void
    readdir(path: string, done: (error: number, names?: string[], stats?: unknown[]) => void): void
    mknod(path: string, mode: number, device: number, done: Done): void
    open(path: string, flags: number, done: DoneWith<number>): void
    create(path: string, mode: number, done: DoneWith<number>): void
    read(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      position: number,
      done: (result: number) => void,
    ): void
    write(
      path: string,
      fd: number,
      buffer: Buffer,
      length: number,
      position: number,
      done: (result: number) => void,
    ): void
    flush(path: string, fd: number, done: Done): void
    fsync(path: string, dataOnly: boolean, fd: number, done: Done): void
    release(path: string, fd: number, done: Done): void
    truncate(path: string, size: number, done: Done): void
    ftruncate(path: string, fd: number, size: number, done: Done): void
    unlink(path: string, done: Done): void
    mkdir(path: string, mode: number, done: Done): void
    rmdir(path: string, done: Done): void
    rename(source: string, target: string, done: Done): void
    chmod(path: string, mode: number, done: Done): void
    chown(path: string, uid: number, gid: number, done: Done): void
    utimens(path: string, atime: number, mtime: number, done: Done): void
    statfs(path: string, done: DoneWith<Record<string, number>>): void
  }

  interface Options {
    readonly timeout?: false
    readonly fsname?: string
    readonly allowOther?: boolean
    readonly defaultPermissions?: boolean
  }

  class Fuse {
    constructor(directory: string, handlers: Handlers, options: Options)
    mount(done: (error: Error | null) => void): void
    unmount(done: (error: Error | null) => void): void
    /** Mount options as one `-o…` argument; overridden to add those the package has no name for. */
    _fuseOptions(): string
  }

  export default Fuse
}
