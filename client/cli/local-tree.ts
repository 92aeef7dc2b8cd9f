/** The local side of put and get. */

import type { Stats } from 'node:fs'
import { createReadStream, createWriteStream, readFileSync } from 'node:fs'
import { chmod, chown, lstat, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { Attributes, CopySource, CopyTarget, SourceNode } from './copy.ts'
import { CommandError, isMissing } from './failures.ts'

/** Reads and writes of local files; below it pieces cost more than they carry. */
const chunkBytes = 1024 * 1024

export class LocalSource implements CopySource {
  readonly #followsSymlinks: boolean
  readonly #owners = new LocalAccounts()

  constructor(followsSymlinks: boolean) {
    this.#followsSymlinks = followsSymlinks
  }

  /** A source named on the command line; a symbolic link there means what it points to. */
  async root(path: string): Promise<SourceNode> {
    return this.#node(path, basename(resolve(path)), await stat(path))
  }

  async *children(directory: SourceNode): AsyncIterable<SourceNode> {
    const names = (await readdir(directory.path)).sort()
    for (const name of names) {
      const path = join(directory.path, name)
      const stats = await this.#look(path)
      if (stats === undefined) continue
      if (stats.isDirectory() && this.#followsSymlinks) await refuseLoop(path, stats)
      yield this.#node(path, name, stats)
    }
  }

  open(file: SourceNode): Readable {
    return createReadStream(file.path, { highWaterMark: chunkBytes })
  }

  /** Undefined for a file that went away since its directory was read. */
  async #look(path: string): Promise<Stats | undefined> {
    try {
      const own = await lstat(path)
      if (!own.isSymbolicLink() || !this.#followsSymlinks) return own
      return await stat(path).catch(() => own)
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  #node(path: string, name: string, stats: Stats): SourceNode {
    return {
      name,
      path,
      kind: kindOf(stats),
      size: stats.size,
      attributes: {
        mode: stats.mode & 0o1777,
        owner: this.#owners.user(stats.uid),
        group: this.#owners.group(stats.gid),
        atimeMs: stats.atimeMs,
        mtimeMs: stats.mtimeMs,
      },
    }
  }
}

function kindOf(stats: Stats): SourceNode['kind'] {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'special'
}

/** A followed link may lead back to a directory above it. */
async function refuseLoop(path: string, stats: Stats): Promise<void> {
  for (let above = dirname(path); ; above = dirname(above)) {
    const ancestor = await stat(above)
    if (ancestor.dev === stats.dev && ancestor.ino === stats.ino) {
      throw new CommandError(`Leads back to ${above}, which contains it`, path)
    }
    if (above === dirname(above)) return
  }
}

/** Writes local files; an owner that has no account here is left out. */
export class LocalTarget implements CopyTarget {
  readonly #accounts = new LocalAccounts()

  join(directory: string, name: string): string {
    if (name === '.' || name === '..' || name.includes('/')) {
      throw new CommandError(`Refusing the name ${JSON.stringify(name)} for a local file`)
    }
    return join(directory, name)
  }

  parent(path: string): string {
    return dirname(path)
  }

  async kindOf(path: string): Promise<'file' | 'directory' | undefined> {
    try {
      return (await stat(path)).isDirectory() ? 'directory' : 'file'
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  async makeDirectory(path: string): Promise<void> {
    await mkdir(path)
  }

  create(path: string): Writable {
    return createWriteStream(path, { highWaterMark: chunkBytes })
  }

  async publish(temporary: string, path: string): Promise<void> {
    await rename(temporary, path)
  }

  async discard(path: string): Promise<void> {
    await rm(path, { force: true })
  }

  async preserve(path: string, attributes: Attributes): Promise<void> {
    if (process.getuid?.() === 0) {
      const uid = this.#accounts.userId(attributes.owner)
      const gid = this.#accounts.groupId(attributes.group)
      if (uid !== undefined || gid !== undefined) {
        const own = await stat(path)
        await chown(path, uid ?? own.uid, gid ?? own.gid)
      }
    }
    await chmod(path, attributes.mode)
    await utimes(path, attributes.atimeMs / 1000, attributes.mtimeMs / 1000)
  }
}

/** Names of numeric users and groups, and back, from /etc/passwd and /etc/group. */
class LocalAccounts {
  #users: ReadonlyMap<number, string> | undefined
  #groups: ReadonlyMap<number, string> | undefined

  user(id: number): string {
    this.#users ??= readAccounts('/etc/passwd')
    return this.#users.get(id) ?? String(id)
  }

  group(id: number): string {
    this.#groups ??= readAccounts('/etc/group')
    return this.#groups.get(id) ?? String(id)
  }

  userId(name: string | undefined): number | undefined {
    this.#users ??= readAccounts('/etc/passwd')
    return idOf(this.#users, name)
  }

  groupId(name: string | undefined): number | undefined {
    this.#groups ??= readAccounts('/etc/group')
    return idOf(this.#groups, name)
  }
}

function idOf(
  nameById: ReadonlyMap<number, string>,
  wanted: string | undefined,
): number | undefined {
  for (const [id, name] of nameById) if (name === wanted) return id
  return undefined
}

/** Empty on systems without the file. */
function readAccounts(file: string): ReadonlyMap<number, string> {
  const nameById = new Map<number, string>()
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  for (const line of text.split('\n')) {
    const [name = '', , id = ''] = line.split(':')
    if (/^\d+$/.test(id) && !nameById.has(Number(id))) nameById.set(Number(id), name)
  }
  return nameById
}
