import { constants } from 'node:fs'
import Fuse from 'fuse-native'
import { kindOfMode, type NodeAttributes } from './attributes.ts'
import { errnoOf, MountError } from './errno.ts'
import type { MountSettings } from './mount-settings.ts'
import { isMounted, repairStale } from './mount-table.ts'
import type { MountedTree } from './mounted-tree.ts'
import { type Entry, PathNodes } from './path-nodes.ts'

/** Largest read and write libfuse 2.9 passes on. */
const transferBytesMax = 131_072
const readWrite = constants.O_RDWR

/** Adds the options that make libfuse pass more than 4 KiB per request. */
class BigTransferFuse extends Fuse {
  /** Mount options that the package has no name for. */
  more: readonly string[] = []

  override _fuseOptions(): string {
    const rest = super._fuseOptions()
    const sizes = `big_writes,max_read=${transferBytesMax},max_write=${transferBytesMax}`
    const big = [sizes, ...this.more].join(',')
    return rest === '' ? `-o${big}` : `${rest},${big}`
  }
}

/** How often is looked whether somebody else took the mount away: libfuse does not say. */
const lookMs = 1000

/** A mount in the kernel's table. */
export interface NativeMount {
  /** Resolves when the mount is gone, whoever took it away. */
  readonly ended: Promise<void>
  unmount(): Promise<void>
}

/** Mounts a tree at `directory` through libfuse, everything done as user `uid`; resolves once the kernel serves it. */
export async function mountNative(
  directory: string,
  tree: MountedTree,
  { uid, settings }: { readonly uid: number; readonly settings: MountSettings },
): Promise<NativeMount> {
  await repairStale(directory, ['fusermount', '-u', '-z'])
  // No time-out: a write may wait while a pipeline is rebuilt, and a late answer must not find its buffer reused.
  const fuse = new BigTransferFuse(directory, new PathHandlers(tree, uid).all(), {
    ...{ timeout: false, fsname: 'trefoil', defaultPermissions: true },
    allowOther: settings.allowOther === true,
  })
  fuse.more = [
    `attr_timeout=${settings.attributesMs / 1000}`,
    `entry_timeout=${settings.entriesMs / 1000}`,
    ...(settings.readOnly ? ['ro'] : []),
    ...settings.kernelOptions,
  ]
  await new Promise<void>((resolve, reject) => {
    fuse.mount((error) => (error === null ? resolve() : reject(error)))
  })
  const ended = new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (isMounted(directory)) return
      clearInterval(timer)
      resolve()
    }, lookMs)
  })
  return {
    ended,
    unmount: async () => {
      if (!isMounted(directory)) return
      await new Promise<void>((resolve, reject) => {
        fuse.unmount((error) => (error === null ? resolve() : reject(error)))
      })
      await ended
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

function answerCount(work: () => Promise<number>, done: (result: number) => void): void {
  Promise.resolve()
    .then(work)
    .then(done, (error: unknown) => done(errnoOf(error)))
}

/** What libfuse calls, by path, in terms of the tree's inodes. */
class PathHandlers {
  readonly #tree: MountedTree
  readonly #uid: number
  readonly #paths: PathNodes
  /** Inodes held by open files. */
  readonly #nodeByHandle = new Map<number, number>()

  constructor(tree: MountedTree, uid: number) {
    this.#tree = tree
    this.#uid = uid
    this.#paths = new PathNodes(tree, uid)
  }

  all(): Handlers {
    return { ...this.#ofNames(), ...this.#ofContents() }
  }

  #ofNames(): Omit<Handlers, keyof ContentHandlers> {
    const tree = this.#tree
    const caller = { uid: this.#uid }
    const paths = this.#paths
    return {
      getattr: (path, done) =>
        answerWith(
          paths.use(path, (found) => Promise.resolve(statOf(found))),
          done,
        ),
      fgetattr: (_path, handle, done) =>
        answerWith(tree.names.getattr(caller, this.#nodeOf(handle)).then(statOf), done),
      readdir: (path, done) => {
        this.#readdir(path).then(
          (found) => done(0, found.names, found.stats),
          (error: unknown) => done(errnoOf(error)),
        )
      },
      mknod: (path, mode, _device, done) =>
        answer(
          this.#make(path, ({ parent, name }) => this.#mknod({ parent, name }, mode)),
          done,
        ),
      mkdir: (path, mode, done) =>
        answer(
          this.#make(path, ({ parent, name }) =>
            tree.names.make(caller, { parent, name }, { kind: 'directory', mode }),
          ),
          done,
        ),
      unlink: (path, done) =>
        answer(
          paths.within(path, (entry) => tree.names.unlink(caller, entry)),
          done,
        ),
      rmdir: (path, done) =>
        answer(
          paths
            .within(path, (entry) => tree.names.rmdir(caller, entry))
            .finally(() => paths.forgetDirectories()),
          done,
        ),
      rename: (source, target, done) => answer(this.#rename(source, target), done),
      chmod: (path, mode, done) => answer(this.#setattr(path, { mode }), done),
      chown: (path, owner, group, done) =>
        answer(this.#setattr(path, { uid: owner >>> 0, gid: group >>> 0 }), done),
      utimens: (path, atimeMs, mtimeMs, done) =>
        answer(this.#setattr(path, { atime: timeOf(atimeMs), mtime: timeOf(mtimeMs) }), done),
      statfs: (_path, done) => answerWith(tree.statfs().then(statfsFields), done),
    }
  }

  #ofContents(): ContentHandlers {
    const tree = this.#tree
    return {
      open: (path, flags, done) => answerWith(this.#open(path, flags), done),
      create: (path, mode, done) => answerWith(this.#create(path, mode), done),
      // eslint-disable-next-line max-params -- the package's callback has six
      read: (_path, handle, buffer, length, position, done) =>
        answerCount(() => tree.read(handle, buffer.subarray(0, length), position), done),
      // eslint-disable-next-line max-params -- the package's callback has six
      write: (_path, handle, buffer, length, position, done) =>
        answerCount(() => tree.write(handle, buffer.subarray(0, length), position), done),
      flush: (_path, handle, done) => answer(tree.sync(handle), done),
      fsync: (_path, _dataOnly, handle, done) => answer(tree.sync(handle), done),
      release: (_path, handle, done) => answer(this.#release(handle), done),
      truncate: (path, size, done) => answer(this.#setattr(path, { size }), done),
      ftruncate: (_path, handle, size, done) =>
        answer(tree.setattr({ uid: this.#uid }, this.#nodeOf(handle), { size }), done),
    }
  }

  /** @throws MountError ESTALE for a handle that is not open, as the tree does for a number it does not know */
  #nodeOf(handle: number): number {
    return this.#nodeByHandle.get(handle) ?? -1
  }

  #setattr(path: string, changes: Parameters<MountedTree['setattr']>[2]): Promise<unknown> {
    return this.#paths.use(path, ({ node }) =>
      this.#tree.setattr({ uid: this.#uid }, node, changes),
    )
  }

  #mknod(entry: Entry, mode: number): Promise<NodeAttributes> {
    const kind = kindOfMode(mode)
    // The package passes no device number that can be relied on.
    if (kind !== undefined && !kind.endsWith('-device')) {
      return this.#tree.names.make({ uid: this.#uid }, entry, { kind, mode })
    }
    return Promise.reject(new MountError('EPERM', `Cannot make "${entry.name}" with mode ${mode}`))
  }

  async #make(
    path: string,
    action: (entry: { parent: number; name: string }) => Promise<NodeAttributes>,
  ): Promise<void> {
    const { node } = await this.#paths.within(path, action)
    this.#tree.forget(node, 1)
  }

  async #rename(source: string, target: string): Promise<void> {
    // Held, so that the tree notes its new name: it may be open.
    await this.#paths.use(source, () =>
      this.#paths.within(source, (from) =>
        this.#paths.within(target, (to) =>
          this.#tree.names.rename({ uid: this.#uid }, from, to, 'replace'),
        ),
      ),
    )
    this.#paths.forgetDirectories()
  }

  async #readdir(path: string): Promise<{ names: string[]; stats: unknown[] }> {
    return this.#paths.use(path, async ({ node }) => {
      const handle = this.#tree.opendir({ uid: this.#uid }, node)
      try {
        const names: string[] = []
        const stats: unknown[] = []
        for await (const { name, attributes } of this.#tree.entries(handle, node, 0)) {
          names.push(name)
          stats.push(statOf(attributes))
        }
        return { names, stats }
      } finally {
        this.#tree.closedir(handle)
      }
    })
  }

  async #open(path: string, flags: number): Promise<number> {
    const { node } = await this.#paths.hold(path)
    try {
      // Where an append goes is the kernel's to say: libfuse tells no write from a mapped page.
      const handle = await this.#tree.open({ uid: this.#uid }, node, flags & ~constants.O_APPEND)
      this.#nodeByHandle.set(handle, node)
      return handle
    } catch (error) {
      this.#tree.forget(node, 1)
      throw error
    }
  }

  async #create(path: string, mode: number): Promise<number> {
    const { attributes, handle } = await this.#paths.within(path, ({ parent, name }) =>
      this.#tree.create({ uid: this.#uid }, { parent, name, mode }, readWrite),
    )
    this.#nodeByHandle.set(handle, attributes.node)
    return handle
  }

  async #release(handle: number): Promise<void> {
    try {
      await this.#tree.release(handle)
    } finally {
      this.#tree.forget(this.#nodeOf(handle), 1)
      this.#nodeByHandle.delete(handle)
    }
  }
}

type ContentHandlers = Pick<
  Handlers,
  'open' | 'create' | 'read' | 'write' | 'flush' | 'fsync' | 'release' | 'truncate' | 'ftruncate'
>

/** The package rounds to milliseconds. */
function timeOf(ms: number): { readonly ms: number; readonly nanos: number } {
  return { ms: Math.floor(ms), nanos: 0 }
}

function statOf(attributes: NodeAttributes): Record<string, unknown> {
  const { mode, size, uid, gid, nlink, ino, atimeMs, mtimeMs, ctimeMs } = attributes
  return {
    ...{ mode, size, uid, gid, nlink, ino },
    blksize: 4096,
    blocks: Math.ceil(size / 512),
    atime: atimeMs,
    mtime: mtimeMs,
    ctime: ctimeMs,
  }
}

function statfsFields({
  blockSize,
  blocks,
  free,
}: Awaited<ReturnType<MountedTree['statfs']>>): Record<string, number> {
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
