import { constants } from 'node:fs'
import { type DfsClient, DfsFsError, type FileStatus } from '../client/index.ts'
import { DfsError } from '../protocol/errors.ts'
import type { Identities } from './identity.ts'
import { OpenFiles, openReader, openWriter } from './open-files.ts'

/** What stat(2) shows, in the kernel's terms. */
export interface Attributes {
  readonly mode: number
  readonly size: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly ino: number
  readonly mtime: Date
  readonly atime: Date
  readonly ctime: Date
}

const typeBits = {
  file: constants.S_IFREG,
  directory: constants.S_IFDIR,
  symlink: constants.S_IFLNK,
}
const permissionMask = 0o7777
/** O_ACCMODE of open(2), which Node does not name. */
const accessModeMask = 0o3

/**
 * File operations of a mount over the SDK, one short adapter each. Files are written from start to end;
 * opening a file with content for writing without truncating it is refused with ENOTSUP.
 */
export class MountOperations {
  readonly #client: DfsClient
  readonly #identities: Identities
  readonly #files = new OpenFiles()

  constructor(client: DfsClient, identities: Identities) {
    this.#client = client
    this.#identities = identities
  }

  async getattr(path: string): Promise<Attributes> {
    const status = await this.#client.lstat(path)
    const writer = this.#files.writerOf(path)
    return this.#attributes(status, writer?.position ?? status.size)
  }

  async readdir(path: string): Promise<string[]> {
    const names: string[] = []
    for await (const { name } of this.#client.opendir(path)) names.push(name)
    return names
  }

  async open(path: string, flags: number): Promise<number> {
    const isReading = (flags & accessModeMask) === constants.O_RDONLY
    if (isReading) return this.#files.add(await openReader(this.#client, path))
    const { size, mode } = await this.#client.stat(path)
    if (size > 0 && (flags & constants.O_TRUNC) === 0) {
      const text = `Cannot open "${path}" for writing: it has ${size} bytes and this mount only writes files anew`
      throw new DfsFsError(new DfsError('UNSUPPORTED_OPERATION', text), path)
    }
    return this.#files.add(openWriter(this.#client, path, mode))
  }

  async create(path: string, mode: number): Promise<number> {
    await this.#client.writeFile(path, '', { mode: mode & permissionMask, overwrite: true })
    return this.#files.add(openWriter(this.#client, path, mode & permissionMask))
  }

  /** Fills `buffer` from `position`; returns the bytes read, fewer only at the end of the file. */
  async read(number: number, buffer: Buffer, position: number): Promise<number> {
    const file = this.#files.get(number)
    if (file.kind === 'writer') {
      throw new DfsFsError(
        new DfsError('UNSUPPORTED_OPERATION', `"${file.path}" is open for writing`),
      )
    }
    const { bytesRead } = await file.handle.read(buffer, 0, buffer.length, position)
    return bytesRead
  }

  async write(number: number, bytes: Uint8Array, position: number): Promise<number> {
    const file = this.#files.get(number)
    if (file.kind === 'reader') {
      throw new DfsFsError(new DfsError('PERMISSION_DENIED', `"${file.path}" is open for reading`))
    }
    return file.writer.write(bytes, position)
  }

  /** close(2) and fsync(2): what was written is on disk on every replica. The file may still be written. */
  async sync(number: number): Promise<void> {
    const file = this.#files.get(number)
    if (file.kind === 'writer') await file.writer.sync()
  }

  /** The last reference to an open file is gone. */
  async release(number: number): Promise<void> {
    const file = this.#files.get(number)
    try {
      await (file.kind === 'writer' ? file.writer.close() : file.handle.close())
    } finally {
      this.#files.remove(number)
    }
  }

  /** Completes what is still open, before the mount goes away. */
  async releaseAll(): Promise<void> {
    await Promise.allSettled(this.#files.numbers.map((number) => this.release(number)))
  }

  async truncate(path: string, size: number): Promise<void> {
    const status = await this.#client.stat(path)
    if (size === status.size) return
    if (size !== 0) {
      const text = `Cannot cut "${path}" to ${size} bytes: this mount only truncates to 0`
      throw new DfsFsError(new DfsError('UNSUPPORTED_OPERATION', text), path)
    }
    await this.#client.writeFile(path, '', { mode: status.mode, overwrite: true })
  }

  async unlink(path: string): Promise<void> {
    await this.#client.unlink(path)
  }

  async mkdir(path: string, mode: number): Promise<void> {
    await this.#client.mkdir(path, { mode: mode & permissionMask })
  }

  async rmdir(path: string): Promise<void> {
    await this.#client.rmdir(path)
  }

  async rename(source: string, target: string): Promise<void> {
    await this.#client.rename(source, target, { overwrite: true })
  }

  async chmod(path: string, mode: number): Promise<void> {
    await this.#client.chmod(path, mode & permissionMask)
  }

  /** `uid` and `gid` of 2³²−1 mean unchanged, as in chown(2). */
  async chown(path: string, uid: number, gid: number): Promise<void> {
    const unchanged = 0xffffffff
    const user = uid >>> 0 === unchanged ? undefined : this.#identities.userOf(uid)
    const group = gid >>> 0 === unchanged ? undefined : this.#identities.groupOf(gid)
    await this.#client.chown(path, user, group)
  }

  async utimens(path: string, atime: Date, mtime: Date): Promise<void> {
    await this.#client.utimes(path, atime, mtime)
  }

  async statfs(): Promise<{ blockSize: number; blocks: number; free: number }> {
    const { capacity, remaining } = await this.#client.statfs()
    const blockSize = 4096
    return {
      blockSize,
      blocks: Math.floor(capacity / blockSize),
      free: Math.floor(remaining / blockSize),
    }
  }

  #attributes(status: FileStatus, size: number): Attributes {
    return {
      mode: typeBits[status.type] | status.mode,
      size,
      uid: this.#identities.uidOf(status.owner),
      gid: this.#identities.gidOf(status.group),
      nlink: status.isDirectory() ? 2 : 1,
      ino: status.inode,
      mtime: status.mtime,
      atime: new Date(status.atimeMs),
      ctime: status.mtime,
    }
  }
}
