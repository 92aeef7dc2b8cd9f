/** The cluster's side of put, get and cp. */
import type { Readable, Writable } from 'node:stream'
import type { FileStatus } from '../index.ts'
import type { Attributes, CopySource, CopyTarget, ExtendedAttributes, SourceNode } from './copy.ts'
import type { FileSystem } from './file-system.ts'
import { statIfAny } from './session.ts'

export class RemoteSource implements CopySource {
  readonly #fs: FileSystem
  readonly #signal: AbortSignal
  readonly #isExtended: boolean

  /** @param isExtended access control lists and extended attributes are carried over, too */
  constructor(fs: FileSystem, signal: AbortSignal, isExtended = false) {
    this.#fs = fs
    this.#signal = signal
    this.#isExtended = isExtended
  }

  async *children(directory: SourceNode): AsyncIterable<SourceNode> {
    for await (const status of this.#fs.opendir(directory.path, { signal: this.#signal })) {
      yield this.node(status)
    }
  }

  /** What is at a path of this source. */
  node(status: FileStatus): SourceNode {
    const node = remoteNode(status)
    if (!this.#isExtended) return node
    const { attributes } = this.#fs
    const extended = async (): Promise<ExtendedAttributes> => ({
      acl: (await attributes.getAcl(status.path)).entries,
      xattrs: await attributes.getXattrs(status.path),
    })
    return { ...node, attributes: { ...node.attributes, extended } }
  }

  open(file: SourceNode): Readable {
    return this.#fs.createReadStream(file.path, { signal: this.#signal })
  }
}

export function remoteNode(status: FileStatus): SourceNode {
  return {
    name: status.name,
    path: status.path,
    kind: status.type,
    size: status.size,
    attributes: {
      mode: status.mode,
      owner: status.owner,
      group: status.group,
      atimeMs: status.atimeMs,
      mtimeMs: status.mtimeMs,
    },
  }
}

/** How new files are written; absent values are the cluster's defaults. */
export interface FileOptions {
  readonly replication?: number
  readonly blockSize?: number
}

export class RemoteTarget implements CopyTarget {
  readonly #fs: FileSystem
  readonly #signal: AbortSignal
  readonly #fileOptions: FileOptions

  constructor(fs: FileSystem, signal: AbortSignal, fileOptions: FileOptions = {}) {
    this.#fs = fs
    this.#signal = signal
    this.#fileOptions = fileOptions
  }

  join(directory: string, name: string): string {
    if (name === '') return directory
    return directory === '/' ? `/${name}` : `${directory}/${name}`
  }

  parent(path: string): string {
    return path.slice(0, path.lastIndexOf('/')) || '/'
  }

  async kindOf(path: string): Promise<'file' | 'directory' | undefined> {
    const status = await statIfAny(this.#fs, path)
    if (status === undefined) return undefined
    return status.isDirectory() ? 'directory' : 'file'
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#fs.mkdir(path, { signal: this.#signal })
  }

  create(path: string): Writable {
    return this.#fs.createWriteStream(path, {
      ...this.#fileOptions,
      overwrite: true,
      signal: this.#signal,
    })
  }

  async publish(temporary: string, path: string, overwrite: boolean): Promise<void> {
    await this.#fs.rename(temporary, path, { overwrite })
  }

  /** Without the signal: an interrupted copy cleans up. */
  async discard(path: string): Promise<void> {
    await this.#fs.rm(path, { force: true })
  }

  async preserve(path: string, attributes: Attributes): Promise<void> {
    const { mode, owner, group, atimeMs, mtimeMs } = attributes
    await this.#fs.chmod(path, mode)
    const extended = await attributes.extended?.()
    if (extended !== undefined) {
      await this.#fs.attributes.setAcl(path, extended.acl.join(','))
      for (const [name, value] of extended.xattrs) {
        await this.#fs.attributes.setXattr(path, name, value)
      }
    }
    await this.#fs.utimes(path, new Date(atimeMs), new Date(mtimeMs))
    await this.#fs.chown(path, owner, group)
  }
}
