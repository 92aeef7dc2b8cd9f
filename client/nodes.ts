import { DfsError } from '../protocol/errors.ts'
import type { EncodableRequestOf, MethodsOf, ResponseOf } from '../protocol/message.ts'
import { posixProtocol } from '../protocol/messages/posix.ts'
import type { NodeStatus as WireNodeStatus } from '../protocol/messages/posix-nodes.ts'
import { withFsErrors } from './errors.ts'
import { FileStatus, textOf } from './file-status.ts'
import type { NamenodeProxy } from './namenode-proxy.ts'
import type { OpendirOptions, VerbOptions } from './namespace.ts'
import { joinPath } from './path.ts'

type Protocol = typeof posixProtocol
type Method = keyof MethodsOf<Protocol>

/** Everything a name can refer to. */
export type NodeKind = WireNodeStatus['kind']

/** What stat(2) tells, beside what HDFS does. */
export class InodeStatus extends FileStatus {
  readonly kind: NodeKind
  /** Permission bits with setuid, setgid and sticky, 07777. */
  readonly permissions: number
  /** Names of the inode. */
  readonly nlink: number
  /** Milliseconds since the epoch of the last change of anything. */
  readonly ctimeMs: number
  /** Nanoseconds behind the milliseconds of `mtimeMs` and `atimeMs`. */
  readonly mtimeNanos: number
  readonly atimeNanos: number
  /** Devices: the number, as Linux writes it in 32 bits. */
  readonly device: number

  constructor(path: string, wire: WireNodeStatus) {
    super(path, { ...wire.fs, modification_time: wire.mtime, access_time: wire.atime })
    this.kind = wire.kind
    this.permissions = wire.mode
    this.nlink = wire.nlink
    this.ctimeMs = wire.ctime
    this.mtimeNanos = wire.mtimeNanos
    this.atimeNanos = wire.atimeNanos
    this.device = wire.device
  }
}

/** A time to set: the namenode's clock, or milliseconds since the epoch and nanoseconds behind them. */
export type NodeTime = 'now' | { readonly ms: number; readonly nanos: number }

/** Whom a call is for, beside the client's user. */
export interface NodeCaller {
  /** Group of what is made. */
  readonly group?: string | undefined
  /** Groups of the calling process. */
  readonly groups?: readonly string[] | undefined
}

/** Options of the verbs of {@link Nodes}. */
export interface NodeOptions extends VerbOptions {
  readonly caller?: NodeCaller | undefined
}

/** What is to be made. */
export interface NewNode {
  readonly kind: NodeKind
  /** Permission bits within 07777. */
  readonly mode: number
  /** Bits that are taken off, unless a default ACL of the directory says otherwise; none by default. */
  readonly umask?: number | undefined
  /** Symbolic links: where they lead. */
  readonly target?: string | undefined
  /** Devices: their number. */
  readonly device?: number | undefined
}

/** What is to be changed; the rest stays. */
export interface NodeChanges {
  readonly mode?: number | undefined
  readonly owner?: string | undefined
  readonly group?: string | undefined
  readonly mtime?: NodeTime | undefined
  readonly atime?: NodeTime | undefined
}

/** What happens to an entry that has the new name: it goes, keeps the call from happening, or gets the old name. */
export type RenameManner = 'replace' | 'no-replace' | 'exchange'

/**
 * Inodes and their names by POSIX's rules instead of HDFS's; see docs/protocol/posix.md. Paths are absolute, names in them may hold
 * colons, and no link is followed. Apache's namenode does not know it and answers `NO_SUCH_PROTOCOL`.
 */
export class Nodes {
  readonly #namenode: Pick<NamenodeProxy, 'callService'>

  constructor({ namenode }: { readonly namenode: Pick<NamenodeProxy, 'callService'> }) {
    this.#namenode = namenode
  }

  /** @throws DfsFsError ENOENT and whatever keeps the caller from looking */
  async stat(path: string, options: NodeOptions = {}): Promise<InodeStatus> {
    return withFsErrors(path, async () => {
      const { status } = await this.#call('getNode', { path }, options)
      if (status === undefined) throw notFound(path)
      return new InodeStatus(path, status)
    })
  }

  /** Entries of a directory in the order of their names' bytes, page by page. */
  async *list(
    path: string,
    { after, ...options }: OpendirOptions & NodeOptions = {},
  ): AsyncGenerator<InodeStatus, void, undefined> {
    let startAfter = Uint8Array.from(Buffer.from(after ?? ''))
    for (;;) {
      const page = await withFsErrors(path, async () => {
        const answer = await this.#call('listNodes', { path, startAfter }, options)
        if (!answer.isFound) throw notFound(path)
        if (answer.entries.at(-1)?.fs.path.length !== 0) return answer
        throw new DfsError('NOT_A_DIRECTORY', `Path is not a directory: ${path}`, { path })
      })
      for (const entry of page.entries) {
        yield new InodeStatus(joinPath(path, textOf(entry.fs.path)), entry)
      }
      const last = page.entries.at(-1)
      if (last === undefined || page.remainingEntries === 0) return
      startAfter = Uint8Array.from(last.fs.path)
    }
  }

  /** Makes anything; a file is empty and closed. */
  make(
    path: string,
    { umask = 0, ...node }: NewNode,
    options: NodeOptions = {},
  ): Promise<InodeStatus> {
    const modes = { mode: node.mode & ~umask, unmasked: node.mode }
    return this.#statusOf(path, () => this.#call('makeNode', { path, ...node, ...modes }, options))
  }

  /** One more name for what is at `source`. */
  link(source: string, path: string, options: NodeOptions = {}): Promise<InodeStatus> {
    return this.#statusOf(path, () => this.#call('link', { source, path }, options))
  }

  /** unlink(2). */
  async unlink(path: string, options: NodeOptions = {}): Promise<void> {
    await withFsErrors(path, () => this.#call('removeEntry', { path, isDirectory: false }, options))
  }

  /** rmdir(2). */
  async rmdir(path: string, options: NodeOptions = {}): Promise<void> {
    await withFsErrors(path, () => this.#call('removeEntry', { path, isDirectory: true }, options))
  }

  /** rename(2) and renameat2(2). */
  async rename(
    source: string,
    target: string,
    manner: RenameManner = 'replace',
    options: NodeOptions = {},
  ): Promise<void> {
    await withFsErrors(source, () => this.#call('renameEntry', { source, target, manner }, options))
  }

  /** chmod(2), chown(2) and utimensat(2) in one step. */
  change(path: string, changes: NodeChanges, options: NodeOptions = {}): Promise<InodeStatus> {
    const { mtime, atime, ...rest } = changes
    const times = { mtime: wireTime(mtime), atime: wireTime(atime) }
    return this.#statusOf(path, () =>
      this.#call('setAttributes', { path, ...rest, ...times }, options),
    )
  }

  /** Runs a call that answers with a status. */
  #statusOf(
    path: string,
    call: () => Promise<{ readonly status: WireNodeStatus }>,
  ): Promise<InodeStatus> {
    return withFsErrors(path, async () => new InodeStatus(path, (await call()).status))
  }

  #call<N extends Method>(
    method: N,
    request: EncodableRequestOf<Protocol, N>,
    { signal, caller }: NodeOptions,
  ): Promise<ResponseOf<Protocol, N>> {
    const whole = caller === undefined ? request : { ...request, caller: wireCaller(caller) }
    return this.#namenode.callService(posixProtocol, method, whole, { signal })
  }
}

function wireCaller({ group, groups = [] }: NodeCaller): {
  readonly group?: string
  readonly groups: readonly string[]
} {
  return group === undefined ? { groups } : { group, groups }
}

function wireTime(
  time: NodeTime | undefined,
): { readonly isNow?: boolean; readonly ms?: number; readonly nanos?: number } | undefined {
  return time === 'now' ? { isNow: true } : time
}

function notFound(path: string): DfsError {
  return new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
}
