/**
 * A disk with a volatile write cache, as a tree of files: what was written is visible at once, and safe only once it was
 * synced. Losing power keeps all that was synced and, of the rest, what {@link VolatileTree.losePower} draws: any subset of
 * the dirty pages of each file, and a prefix of the name changes. So the rules are POSIX's, not those of a kinder file
 * system:
 *
 *  1. fsync or fdatasync of a file makes its bytes and its length safe, not its name.
 *  2. fsync of a directory makes the names in it safe, and what those depend on, not the bytes of its files.
 *  3. A rename is kept or lost as a whole, and never overtakes an earlier change of the same directory.
 *  4. Direct I/O goes around the page cache of the kernel, not around the cache of the disk: it needs the sync, too.
 *  5. After some seconds everything is written back by itself, as kernels do.
 *
 * Safe bytes are in files of a real directory, `bytes/INODE`; safe names in a log there, `names.jsonl`. All else is memory of
 * the process, and gone with it.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Prng } from '../../../base/prng.ts'

export const pageBytes = 4096
export const rootInode = 1
/** Left free on the disk below, for names and for the rounding of files to its blocks. */
const reserveBytes = 256 * 1024

/** An error with a name that errno has. */
export class DiskError extends Error {
  readonly code: 'ENOENT' | 'EEXIST' | 'ENOTEMPTY' | 'ENOTDIR' | 'EISDIR' | 'ENOSPC' | 'EINVAL'

  constructor(code: DiskError['code']) {
    super(code)
    this.code = code
  }
}

export interface VolatileFile {
  readonly kind: 'file'
  readonly inode: number
  mode: number
  mtimeMs: number
  /** Names it has as seen now. */
  linkCount: number
  size: number
  /** Bytes of the file below that are still valid here: a truncation lowers it until it is synced. */
  validBelow: number
  readonly dirtyPages: Map<number, Buffer>
  /** When the oldest change that is not synced was made. */
  dirtySinceMs: number | undefined
  openCount: number
  descriptor: number | undefined
}

export interface VolatileDirectory {
  readonly kind: 'directory'
  readonly inode: number
  mode: number
  mtimeMs: number
  readonly entries: Map<string, number>
}

export type VolatileNode = VolatileFile | VolatileDirectory

type NameChange = { readonly atMs: number } & (
  | {
      readonly kind: 'added'
      readonly directory: number
      readonly name: string
      readonly inode: number
      readonly isDirectory: boolean
      readonly mode: number
    }
  | {
      readonly kind: 'linked'
      readonly directory: number
      readonly name: string
      readonly inode: number
    }
  | { readonly kind: 'removed'; readonly directory: number; readonly name: string }
  | {
      readonly kind: 'renamed'
      readonly directory: number
      readonly name: string
      readonly toDirectory: number
      readonly toName: string
    }
)

function directoriesOf(change: NameChange): number[] {
  return change.kind === 'renamed' ? [change.directory, change.toDirectory] : [change.directory]
}

export class VolatileTree {
  readonly #below: string
  readonly #log: number
  readonly #nodes = new Map<number, VolatileNode>()
  /** Names as a loss of power would leave them at least, by directory. */
  readonly #safeNames = new Map<number, Map<string, number>>()
  /** How many safe names an inode has. */
  readonly #safeLinks = new Map<number, number>()
  /** Name changes that are not safe, oldest first. */
  #pending: NameChange[] = []
  #nextInode = rootInode + 1
  #dirtyPages = 0

  /** Opens what is safe in the directory `below`, which it makes at first. */
  constructor(below: string) {
    this.#below = below
    mkdirSync(join(below, 'bytes'), { recursive: true })
    const log = join(below, 'names.jsonl')
    this.#replay(existsSync(log) ? readFileSync(log, 'utf8') : '')
    this.#log = openSync(log, 'a')
  }

  /** Names of a directory may be safe before its own name is, so what there is shows only when all are known. */
  #replay(log: string): void {
    const madeByInode = new Map<number, Extract<NameChange, { kind: 'added' }>>()
    for (const line of log.split('\n').slice(0, -1)) {
      const change = JSON.parse(line) as NameChange
      if (change.kind === 'added') {
        this.#nextInode = Math.max(this.#nextInode, change.inode + 1)
        madeByInode.set(change.inode, change)
      }
      this.#applySafe(change)
    }
    this.#nodes.set(rootInode, newDirectory(rootInode, 0o040755, 0))
    this.#fill(this.directory(rootInode), madeByInode)
    for (const name of readdirSync(join(this.#below, 'bytes')))
      if (!this.#nodes.has(Number(name))) unlinkSync(this.#bytesOf(Number(name)))
  }

  #fill(
    directory: VolatileDirectory,
    madeByInode: ReadonlyMap<number, Extract<NameChange, { kind: 'added' }>>,
  ): void {
    for (const [name, inode] of this.#safeNamesOf(directory.inode)) {
      const made = madeByInode.get(inode)
      if (made === undefined) continue
      directory.entries.set(name, inode)
      const known = this.#nodes.get(inode)
      if (known?.kind === 'file') known.linkCount += 1
      if (known !== undefined) continue
      const node = (made.isDirectory ? newDirectory : newFile)(inode, made.mode, made.atMs)
      this.#nodes.set(inode, node)
      if (node.kind === 'directory') {
        this.#fill(node, madeByInode)
      } else if (existsSync(this.#bytesOf(inode))) {
        node.size = statSync(this.#bytesOf(inode)).size
        node.validBelow = node.size
      }
    }
  }

  node(inode: number): VolatileNode {
    const node = this.#nodes.get(inode)
    if (node === undefined) throw new DiskError('ENOENT')
    return node
  }

  file(inode: number): VolatileFile {
    const node = this.node(inode)
    if (node.kind !== 'file') throw new DiskError('EISDIR')
    return node
  }

  directory(inode: number): VolatileDirectory {
    const node = this.node(inode)
    if (node.kind !== 'directory') throw new DiskError('ENOTDIR')
    return node
  }

  lookUp(directory: number, name: string): VolatileNode | undefined {
    const inode = this.directory(directory).entries.get(name)
    return inode === undefined ? undefined : this.node(inode)
  }

  /** Makes a file or directory. */
  add(directory: number, name: string, mode: number, isDirectory: boolean): VolatileNode {
    if (this.directory(directory).entries.has(name)) throw new DiskError('EEXIST')
    const inode = this.#nextInode
    this.#nextInode += 1
    this.#change({ kind: 'added', directory, name, inode, isDirectory, mode, atMs: Date.now() })
    return this.node(inode)
  }

  /** Gives a file one more name. */
  link(inode: number, directory: number, name: string): VolatileFile {
    const file = this.file(inode)
    if (this.directory(directory).entries.has(name)) throw new DiskError('EEXIST')
    this.#change({ kind: 'linked', directory, name, inode, atMs: Date.now() })
    return file
  }

  remove(directory: number, name: string, isDirectory: boolean): void {
    const node = this.lookUp(directory, name)
    if (node === undefined) throw new DiskError('ENOENT')
    if (isDirectory !== (node.kind === 'directory'))
      throw new DiskError(isDirectory ? 'ENOTDIR' : 'EISDIR')
    if (node.kind === 'directory' && node.entries.size > 0) throw new DiskError('ENOTEMPTY')
    this.#change({ kind: 'removed', directory, name, atMs: Date.now() })
  }

  rename(directory: number, name: string, toDirectory: number, toName: string): void {
    const node = this.lookUp(directory, name)
    if (node === undefined) throw new DiskError('ENOENT')
    const target = this.lookUp(toDirectory, toName)
    if (target === node) return
    if (target?.kind === 'directory' && target.entries.size > 0) throw new DiskError('ENOTEMPTY')
    this.#change({ kind: 'renamed', directory, name, toDirectory, toName, atMs: Date.now() })
  }

  /** Counts who has a file open; the bytes of one without a name go with the last of them. */
  open(inode: number): void {
    this.file(inode).openCount += 1
  }

  release(inode: number): void {
    const file = this.file(inode)
    file.openCount -= 1
    this.#forgetIfGone(file)
  }

  read(inode: number, offset: number, length: number): Buffer {
    const file = this.file(inode)
    const end = Math.min(offset + length, file.size)
    if (end <= offset) return Buffer.alloc(0)
    const bytes = Buffer.alloc(end - offset)
    const fromBelow = Math.min(end, file.validBelow) - offset
    if (fromBelow > 0) readSync(this.#descriptorOf(file), bytes, 0, fromBelow, offset)
    if (file.dirtyPages.size === 0) return bytes
    const last = Math.floor((end - 1) / pageBytes)
    for (let page = Math.floor(offset / pageBytes); page <= last; page += 1) {
      const start = page * pageBytes
      const from = Math.max(start, offset)
      file.dirtyPages
        .get(page)
        ?.copy(bytes, from - offset, from - start, Math.min(end, start + pageBytes) - start)
    }
    return bytes
  }

  /** @throws DiskError ENOSPC when the disk below could not take the pages that are dirty already and these */
  write(inode: number, offset: number, bytes: Buffer): void {
    const file = this.file(inode)
    if (bytes.length === 0) return
    const firstPage = Math.floor(offset / pageBytes)
    const lastPage = Math.floor((offset + bytes.length - 1) / pageBytes)
    this.#reserve(lastPage - firstPage + 1)
    for (let page = firstPage; page <= lastPage; page += 1) {
      const start = page * pageBytes
      const content = this.#dirtyPage(file, page)
      const from = Math.max(offset, start)
      bytes.copy(
        content,
        from - start,
        from - offset,
        Math.min(bytes.length, start + pageBytes - offset),
      )
    }
    file.size = Math.max(file.size, offset + bytes.length)
    this.#touch(file)
  }

  truncate(inode: number, size: number): void {
    const file = this.file(inode)
    if (size < file.size) {
      file.validBelow = Math.min(file.validBelow, size)
      for (const page of [...file.dirtyPages.keys()]) {
        if (page * pageBytes < size) continue
        file.dirtyPages.delete(page)
        this.#dirtyPages -= 1
      }
      const within = size % pageBytes
      if (within !== 0) file.dirtyPages.get(Math.floor(size / pageBytes))?.fill(0, within)
    }
    file.size = size
    this.#touch(file)
  }

  /** fsync and fdatasync of a file: bytes and length. */
  syncFile(inode: number): void {
    const file = this.file(inode)
    if (file.dirtySinceMs === undefined) return
    this.#writeBack(file, [...file.dirtyPages.keys()])
    ftruncateSync(this.#descriptorOf(file), file.size)
    file.validBelow = file.size
    file.dirtySinceMs = undefined
  }

  /** fsync of a directory: its names, and what changed before in the directories that those changes concern. */
  syncDirectory(inode: number): void {
    const directories = new Set([inode])
    const safe = new Set<NameChange>()
    for (const change of this.#pending.toReversed()) {
      const concerned = directoriesOf(change)
      if (!concerned.some((directory) => directories.has(directory))) continue
      for (const directory of concerned) directories.add(directory)
      safe.add(change)
    }
    this.#makeSafe(this.#pending.filter((change) => safe.has(change)))
    this.#pending = this.#pending.filter((change) => !safe.has(change))
  }

  /** What a kernel does by itself: names older than `namesMs` and bytes older than `bytesMs` become safe. */
  writeBackOlderThan(namesMs: number, bytesMs: number, nowMs: number): void {
    const young = this.#pending.findIndex(({ atMs }) => atMs > nowMs - namesMs)
    const count = young === -1 ? this.#pending.length : young
    this.#makeSafe(this.#pending.splice(0, count))
    for (const node of this.#nodes.values()) {
      if (node.kind !== 'file' || node.dirtySinceMs === undefined) continue
      if (node.dirtySinceMs <= nowMs - bytesMs) this.syncFile(node.inode)
    }
  }

  /** The cache is gone, but for what happened to be on its way; nothing may be called afterwards. */
  losePower(prng: Prng): void {
    this.#makeSafe(this.#pending.slice(0, prng.below(this.#pending.length + 1)))
    for (const node of this.#nodes.values()) {
      if (node.kind !== 'file' || node.dirtySinceMs === undefined || !prng.chance(2, 3)) continue
      const isTorn = prng.chance(1, 2)
      const pages = [...node.dirtyPages.keys()]
      this.#writeBack(node, isTorn ? pages.filter(() => prng.chance(1, 2)) : pages)
    }
  }

  /** Bytes of the disk below that are free for new pages, and its size. */
  space(): { readonly free: number; readonly total: number } {
    const { bavail, blocks, bsize } = statfsSync(this.#below)
    const free = bavail * bsize - this.#dirtyPages * pageBytes - reserveBytes
    return { free: Math.max(0, free), total: blocks * bsize }
  }

  #reserve(pages: number): void {
    if (this.space().free < pages * pageBytes) throw new DiskError('ENOSPC')
  }

  #dirtyPage(file: VolatileFile, page: number): Buffer {
    const dirty = file.dirtyPages.get(page)
    if (dirty !== undefined) return dirty
    const content = Buffer.alloc(pageBytes)
    const start = page * pageBytes
    const valid = Math.min(pageBytes, file.validBelow - start)
    if (valid > 0) readSync(this.#descriptorOf(file), content, 0, valid, start)
    file.dirtyPages.set(page, content)
    this.#dirtyPages += 1
    return content
  }

  /** Writes pages to the disk below, with the length they need. */
  #writeBack(file: VolatileFile, pages: readonly number[]): void {
    const descriptor = this.#descriptorOf(file)
    if (fstatSync(descriptor).size > file.validBelow) ftruncateSync(descriptor, file.validBelow)
    for (const page of pages) {
      const content = file.dirtyPages.get(page)
      if (content === undefined) continue
      const start = page * pageBytes
      writeSync(descriptor, content, 0, Math.min(pageBytes, file.size - start), start)
      file.dirtyPages.delete(page)
      this.#dirtyPages -= 1
    }
  }

  #touch(file: VolatileFile): void {
    file.dirtySinceMs ??= Date.now()
    file.mtimeMs = Date.now()
  }

  #change(change: NameChange): void {
    this.#applyNames(change)
    this.#pending.push(change)
  }

  #applyNames(change: NameChange): void {
    const entries = this.#entriesOf(change.directory)
    switch (change.kind) {
      case 'added': {
        const { inode, isDirectory, mode, atMs } = change
        const make = isDirectory ? newDirectory : newFile
        this.#nodes.set(inode, make(inode, mode, atMs))
        entries?.set(change.name, inode)
        return
      }
      case 'linked': {
        const node = this.#nodes.get(change.inode)
        if (node?.kind === 'file') node.linkCount += 1
        entries?.set(change.name, change.inode)
        return
      }
      case 'removed': {
        const inode = entries?.get(change.name)
        entries?.delete(change.name)
        if (inode !== undefined) this.#unlinked(inode)
        return
      }
      case 'renamed': {
        const inode = entries?.get(change.name)
        const target = this.#entriesOf(change.toDirectory)
        const replaced = target?.get(change.toName)
        if (inode === undefined) return
        entries?.delete(change.name)
        target?.set(change.toName, inode)
        if (replaced !== undefined) this.#unlinked(replaced)
        return
      }
    }
  }

  /** Undefined for a directory whose own name was lost with the power, or removed. */
  #entriesOf(directory: number): Map<string, number> | undefined {
    const node = this.#nodes.get(directory)
    return node?.kind === 'directory' ? node.entries : undefined
  }

  #unlinked(inode: number): void {
    const node = this.#nodes.get(inode)
    if (node?.kind === 'directory') this.#nodes.delete(inode)
    if (node?.kind !== 'file') return
    node.linkCount -= 1
    this.#forgetIfGone(node)
  }

  /** A file without a name and without a user is gone; its bytes go when that is safe, see {@link #makeSafe}. */
  #forgetIfGone(file: VolatileFile): void {
    if (file.linkCount > 0 || file.openCount > 0) return
    this.#nodes.delete(file.inode)
    this.#dirtyPages -= file.dirtyPages.size
    if (file.descriptor !== undefined) closeSync(file.descriptor)
  }

  #makeSafe(changes: readonly NameChange[]): void {
    if (changes.length === 0) return
    writeSync(this.#log, changes.map((change) => `${JSON.stringify(change)}\n`).join(''))
    for (const change of changes) this.#applySafe(change)
  }

  /** Follows the names that a loss of power would leave, and drops the bytes of files that have none there any more. */
  #applySafe(change: NameChange): void {
    const names = this.#safeNamesOf(change.directory)
    if (change.kind === 'added' || change.kind === 'linked') {
      names.set(change.name, change.inode)
      this.#countSafe(change.inode, 1)
      return
    }
    const inode = names.get(change.name)
    if (inode === undefined) return
    names.delete(change.name)
    if (change.kind === 'removed') {
      this.#countSafe(inode, -1)
      return
    }
    const target = this.#safeNamesOf(change.toDirectory)
    const replaced = target.get(change.toName)
    target.set(change.toName, inode)
    if (replaced !== undefined) this.#countSafe(replaced, -1)
  }

  #countSafe(inode: number, difference: number): void {
    const count = (this.#safeLinks.get(inode) ?? 0) + difference
    this.#safeLinks.set(inode, count)
    if (count > 0) return
    this.#safeLinks.delete(inode)
    this.#dropBytes(inode)
  }

  #safeNamesOf(directory: number): Map<string, number> {
    const known = this.#safeNames.get(directory)
    if (known !== undefined) return known
    const names = new Map<string, number>()
    this.#safeNames.set(directory, names)
    return names
  }

  #dropBytes(inode: number): void {
    const path = this.#bytesOf(inode)
    if (!existsSync(path)) return
    const node = this.#nodes.get(inode)
    // Somebody has the file open still: its bytes stay as long as our descriptor does.
    if (node?.kind === 'file') this.#descriptorOf(node)
    unlinkSync(path)
  }

  #bytesOf(inode: number): string {
    return join(this.#below, 'bytes', `${inode}`)
  }

  #descriptorOf(file: VolatileFile): number {
    file.descriptor ??= openSync(
      this.#bytesOf(file.inode),
      existsSync(this.#bytesOf(file.inode)) ? 'r+' : 'w+',
    )
    return file.descriptor
  }
}

function newDirectory(inode: number, mode: number, atMs: number): VolatileDirectory {
  return { kind: 'directory', inode, mode, mtimeMs: atMs, entries: new Map() }
}

function newFile(inode: number, mode: number, atMs: number): VolatileFile {
  return {
    kind: 'file',
    inode,
    mode,
    mtimeMs: atMs,
    linkCount: 1,
    size: 0,
    validBelow: 0,
    dirtyPages: new Map(),
    dirtySinceMs: undefined,
    openCount: 0,
    descriptor: undefined,
  }
}
