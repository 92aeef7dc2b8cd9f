/**
 * The one engine behind put, get and cp: trees from a source to a target, files in parallel, each under a
 * temporary name until it is complete. A crash or an interrupt leaves `NAME._COPYING_` files (as HDFS's
 * own shell does), never half a file under its final name.
 */
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { CommandContext } from './command.ts'
import { CommandError } from './failures.ts'
import { counted } from './format.ts'
import { TaskPool } from './parallel.ts'
import type { Progress } from './progress.ts'

/** HDFS's suffix of a file that is being copied. */
export const temporarySuffix = '._COPYING_'
const nameBytesMax = 255

export const defaultJobs = 8

/** What -p carries over. */
export interface Attributes {
  readonly mode: number
  readonly owner: string | undefined
  readonly group: string | undefined
  readonly atimeMs: number
  readonly mtimeMs: number
  /** Asks for what -ptopax carries over, too; absent when that is not wanted. */
  readonly extended?: () => Promise<ExtendedAttributes>
}

/** The access control list, entry by entry, and the extended attributes of a file. */
export interface ExtendedAttributes {
  readonly acl: readonly string[]
  readonly xattrs: ReadonlyMap<string, Buffer>
}

/** One file or directory to copy. */
export interface SourceNode {
  /** Last component, `''` for a root. */
  readonly name: string
  readonly path: string
  readonly kind: 'file' | 'directory' | 'symlink' | 'special'
  readonly size: number
  readonly attributes: Attributes
}

export interface CopySource {
  children(directory: SourceNode): AsyncIterable<SourceNode>
  open(file: SourceNode): Readable
}

export interface CopyTarget {
  join(directory: string, name: string): string
  parent(path: string): string
  /** Undefined when there is nothing at `path`. */
  kindOf(path: string): Promise<'file' | 'directory' | undefined>
  makeDirectory(path: string): Promise<void>
  /** Replaces a file that an earlier, interrupted copy left; `size` is known except for standard input. */
  create(path: string): Writable
  /** Moves a complete file to its final name. */
  publish(temporary: string, path: string, overwrite: boolean): Promise<void>
  discard(path: string): Promise<void>
  preserve(path: string, attributes: Attributes): Promise<void>
}

export interface CopyOptions {
  readonly overwrite: boolean
  readonly preserve: boolean
  /** Write under the final name at once; a failed copy may leave half a file. */
  readonly direct: boolean
  readonly jobs: number
}

export interface CopyCounts {
  files: number
  bytes: number
  symlinksSkipped: number
  specialsSkipped: number
}

/** A source and its target, bound together for one command. */
export class Copier {
  readonly counts: CopyCounts = { files: 0, bytes: 0, symlinksSkipped: 0, specialsSkipped: 0 }
  readonly #context: CommandContext
  readonly #target: CopyTarget
  readonly #options: CopyOptions
  readonly #progress: Progress
  readonly #pool: TaskPool
  readonly #directoriesToPreserve: { readonly path: string; readonly attributes: Attributes }[] = []

  constructor(
    context: CommandContext,
    target: CopyTarget,
    options: CopyOptions,
    progress: Progress,
  ) {
    this.#context = context
    this.#target = target
    this.#options = options
    this.#progress = progress
    this.#pool = new TaskPool(options.jobs)
  }

  /**
   * Where each of `sourceCount` sources goes: into `destination` if it is a directory, else to its very
   * name, which only one source can have.
   */
  async placement(destination: string, sourceCount: number): Promise<(name: string) => string> {
    const path = destination.length > 1 ? destination.replace(/\/+$/, '') || '/' : destination
    const kind = await this.#target.kindOf(path)
    if (kind === 'directory') return (name) => this.#target.join(path, name)
    if (sourceCount > 1 || destination !== path) {
      throw new CommandError(kind === 'file' ? 'Not a directory' : noSuchDirectory, destination)
    }
    const parent = await this.#target.kindOf(this.#target.parent(path))
    if (parent !== 'directory') {
      const problem = parent === undefined ? noSuchDirectory : 'Not a directory'
      throw new CommandError(problem, this.#target.parent(path))
    }
    return () => path
  }

  /** Copies one source, a tree perhaps, to exactly `path`. Only inside {@link run}. */
  async copy(source: CopySource, node: SourceNode, path: string): Promise<void> {
    await this.#copyNode(source, node, { path, isParentNew: false })
  }

  /**
   * Runs `body`, which calls {@link copy} for each source, and waits for every file under way, also after a
   * failure, because each cleans up after itself.
   */
  async run(body: () => Promise<void>): Promise<void> {
    try {
      await body()
      await this.#pool.finish()
      await this.#finishDirectories()
      this.#reportSkipped()
    } finally {
      await this.#pool.settle()
      this.#progress.stop()
    }
  }

  /** Deepest first, because changing what is in a directory changes its time. */
  async #finishDirectories(): Promise<void> {
    for (const { path, attributes } of this.#directoriesToPreserve.reverse()) {
      await this.#context.attempt(path, () => this.#target.preserve(path, attributes))
    }
  }

  #reportSkipped(): void {
    const { symlinksSkipped, specialsSkipped } = this.counts
    if (symlinksSkipped > 0) {
      this.#context.note(`${counted(symlinksSkipped, 'symbolic link')} skipped`)
    }
    if (specialsSkipped > 0) {
      const noun = counted(specialsSkipped, 'device, pipe or socket', 'devices, pipes or sockets')
      this.#context.note(`${noun} skipped`)
    }
  }

  async #copyNode(
    source: CopySource,
    node: SourceNode,
    to: { readonly path: string; readonly isParentNew: boolean },
  ): Promise<void> {
    switch (node.kind) {
      case 'symlink':
        this.counts.symlinksSkipped += 1
        return
      case 'special':
        this.counts.specialsSkipped += 1
        return
      case 'directory':
        await this.#context.attempt(node.path, () => this.#copyDirectory(source, node, to))
        return
      case 'file':
        this.#progress.expect(1, node.size)
        await this.#pool.submit(async () => {
          await this.#context.attempt(node.path, () => this.#copyFile(source, node, to))
          this.#progress.fileDone()
        })
    }
  }

  async #copyDirectory(
    source: CopySource,
    node: SourceNode,
    { path, isParentNew }: { readonly path: string; readonly isParentNew: boolean },
  ): Promise<void> {
    const kind = isParentNew ? undefined : await this.#target.kindOf(path)
    if (kind === 'file') throw new CommandError('Not a directory', path)
    const isParentNewBelow = kind === undefined
    if (isParentNewBelow) await this.#target.makeDirectory(path)
    if (this.#options.preserve) {
      this.#directoriesToPreserve.push({ path, attributes: node.attributes })
    }
    for await (const child of source.children(node)) {
      this.#context.signal.throwIfAborted()
      const childPath = this.#target.join(path, child.name)
      await this.#copyNode(source, child, { path: childPath, isParentNew: isParentNewBelow })
    }
  }

  async #copyFile(
    source: CopySource,
    node: SourceNode,
    { path, isParentNew }: { readonly path: string; readonly isParentNew: boolean },
  ): Promise<void> {
    const { overwrite, direct, preserve } = this.#options
    const kind = isParentNew ? undefined : await this.#target.kindOf(path)
    if (kind === 'directory') throw new CommandError('Is a directory', path)
    if (kind === 'file' && !overwrite) {
      throw new CommandError('File exists; pass -f to replace it', path)
    }
    const written = direct ? path : temporaryName(path)
    try {
      await pipeline(
        source.open(node),
        (chunks) => this.#counted(chunks),
        this.#target.create(written),
        { signal: this.#context.signal },
      )
      if (preserve) await this.#target.preserve(written, node.attributes)
      if (!direct) await this.#target.publish(written, path, overwrite)
    } catch (error) {
      await this.#target.discard(written).catch(() => undefined)
      throw error
    }
    this.counts.files += 1
  }

  async *#counted(chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    for await (const chunk of chunks) {
      this.counts.bytes += chunk.length
      this.#progress.add(chunk.length)
      yield chunk
    }
  }
}

const noSuchDirectory = 'No such directory'

/** `NAME._COPYING_`, with NAME cut where the whole would be longer than a name may be. */
export function temporaryName(path: string): string {
  const slash = path.lastIndexOf('/')
  let name = path.slice(slash + 1)
  while (Buffer.byteLength(name) + temporarySuffix.length > nameBytesMax) {
    name = Array.from(name).slice(0, -1).join('')
  }
  return path.slice(0, slash + 1) + name + temporarySuffix
}
