import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { userInfo } from 'node:os'
import { Readable, Writable } from 'node:stream'
import { type Logger, silentLogger } from '../base/log.ts'
import { systemClock, systemPrng, systemTimers } from '../base/system.ts'
import type { FsServerDefaults } from '../protocol/messages/hdfs.ts'
import { type Settings, withSettings } from '../protocol/settings.ts'
import { RpcClient } from '../transport/rpc-client.ts'
import * as admin from './admin.ts'
import { FileAttributes } from './attributes.ts'
import type { BlockLocation } from './block-location.ts'
import type { ClientContext } from './context.ts'
import { defaultReadPlanLimits, Suspects } from './core/read-plan.ts'
import { defaultRetryPolicy, type RetryPolicy } from './core/retry.ts'
import type * as data from './data.ts'
import { type DatanodeAddress, DatanodeConnectionPool } from './datanode-connection.ts'
import { toFsError, withFsErrors } from './errors.ts'
import { type ClientEvent, reporter } from './events.ts'
import type { FileChecksum } from './file-checksum.ts'
import { FileHandle } from './file-handle.ts'
import type { FileReader } from './file-reader.ts'
import type { FileStatus } from './file-status.ts'
import * as fileVerbs from './file-verbs.ts'
import type { FileWriter } from './file-writer.ts'
import { DfsFollowStream, type FollowOptions } from './follow-stream.ts'
import { DfsReadStream, type ReadStreamOptions } from './input-stream.ts'
import { LeaseRenewer } from './lease-renewer.ts'
import { followingLinks, followingParents, LinkWalk } from './links.ts'
import type { OpenOptions } from './located-file.ts'
import {
  type NamenodeMethod,
  NamenodeProxy,
  type NamenodeReply,
  type NamenodeRequest,
} from './namenode-proxy.ts'
import type { VerbOptions } from './namespace.ts'
import * as namespace from './namespace.ts'
import { Nodes } from './nodes.ts'
import { Operator } from './operator.ts'
import {
  DfsWriteStream,
  type OpenForWriteOptions,
  type WriteFlags,
  type WriteStreamOptions,
} from './output-stream.ts'
import { type ClusterAddress, clusterUri, parseClusterUri, resolvePath } from './path.ts'
import type { RewriteOptions } from './rewrite.ts'
import { Trash } from './trash.ts'
import type { WriteHandle } from './write-handle.ts'

/** How to reach a cluster, and as whom. */
export interface DfsClientOptions {
  /** `hdfs://host:port`; else the environment's DFS_URI, else `fs.defaultFS` of the settings. */
  readonly uri?: string | undefined
  /** Acting user; else the environment's HADOOP_USER_NAME, else the operating system's. */
  readonly user?: string | undefined
  /** Settings that differ from their defaults. */
  readonly settings?: Partial<Settings> | undefined
  /** Patience with a namenode that is away or busy; a minute by default. */
  readonly retry?: Partial<RetryPolicy> | undefined
  readonly logger?: Logger | undefined
  /** Whether paths lead through symbolic links: the default. Else a link on the way fails with ELOOP. */
  readonly followsLinks?: boolean | undefined
  /** What this client acts for, beside its own name: daemons log and audit it (HDFS: caller context). */
  readonly callerContext?: string | undefined
  /** Called for what took time or went wrong, for metrics; see {@link ClientEvent}. Must not block. */
  readonly onEvent?: ((event: ClientEvent) => void) | undefined
}

/** Options of `readdir`. */
export interface ReaddirOptions extends VerbOptions {
  /** Answer {@link FileStatus} objects instead of names. */
  readonly withFileTypes?: boolean | undefined
}

/*
 * What touches file data is loaded by the first verb that does: the native checksums are a third of the start-up
 * time of a program that only asks the namenode.
 */
const dataModule = lazily(() => import('./data.ts'))
const readerModule = lazily(() => import('./file-reader.ts'))
const writerModule = lazily(() => import('./open-writer.ts'))
const handleModule = lazily(() => import('./write-handle.ts'))
const rewriteModule = lazily(() => import('./rewrite.ts'))
const checksumModule = lazily(() => import('./file-checksum.ts'))

const connectTimeoutMs = 20_000
const serverDefaultsMs = 3_600_000

/**
 * A client of one HDFS cluster, ours or Apache's, in the words of `node:fs/promises`.
 *
 * A path is absolute, relative to the user's home `/user/NAME`, or `hdfs://host:port/path` of this cluster. Every verb
 * takes an `AbortSignal` and fails with a `DfsFsError`. Verbs are patient: while the namenode is away they wait for it,
 * and reads and writes go on with other datanodes when one fails.
 */
export class DfsClient implements AsyncDisposable {
  /** `hdfs://host:port` of the cluster. */
  readonly uri: string
  readonly user: string
  readonly #cluster: ClusterAddress
  readonly #home: string
  readonly #followsLinks: boolean
  readonly #context: ClientContext
  /** What operators ask beyond HDFS's protocols; only our own namenode answers it. */
  readonly operator: Operator
  /** Access control lists and extended attributes. */
  readonly attributes: FileAttributes
  /** Inodes and their names by POSIX's rules; only our own namenode answers it. */
  readonly nodes: Nodes
  #defaults: { readonly value: FsServerDefaults; readonly until: number } | undefined

  /** Connects with the first verb. */
  constructor(options: DfsClientOptions = {}) {
    const settings = withSettings(options.settings ?? {})
    const uri = options.uri ?? process.env['DFS_URI'] ?? settings['fs.defaultFS']
    this.#cluster = parseClusterUri(uri)
    this.uri = clusterUri(this.#cluster)
    this.user = options.user ?? process.env['HADOOP_USER_NAME'] ?? userInfo().username
    this.#home = `/user/${this.user}`
    this.#followsLinks = options.followsLinks ?? true
    this.#context = this.#createContext(settings, options)
    this.operator = new Operator(this.#context)
    this.attributes = new FileAttributes(this.#context, (path, action) => this.#on(path, action))
    this.nodes = new Nodes(this.#context)
  }

  /** This user's trash; `rm` does not use it, `trash.moveIn` does. */
  get trash(): Trash {
    return new Trash(this, this.user)
  }

  /** Status of a file or directory; a final symlink is followed. */
  stat(path: string, options?: VerbOptions): Promise<FileStatus> {
    return this.#on(path, (at, shown) => namespace.stat(this.#context, at, options, shown))
  }

  /** As {@link stat}, a file with the locations of its blocks. */
  statWithLocations(path: string, options?: VerbOptions): Promise<namespace.LocatedFileStatus> {
    return this.#on(path, (at, shown) =>
      namespace.statWithLocations(this.#context, at, options, shown),
    )
  }

  /** As {@link stat}, but of a final symlink itself. */
  lstat(path: string, options?: VerbOptions): Promise<FileStatus> {
    return this.#on(path, (at, shown) => namespace.lstat(this.#context, at, options, shown))
  }

  exists(path: string, options?: VerbOptions): Promise<boolean> {
    return this.#on(path, async (at) => {
      return (await namespace.find(this.#context, at, options)) !== undefined
    })
  }

  /** Fails unless this user has the rights of `mode` (`fs.constants.R_OK` and so on) on the path. */
  access(path: string, mode: number = constants.F_OK, options?: VerbOptions): Promise<void> {
    return this.#on(path, (at) => namespace.access(this.#context, at, mode, options))
  }

  /** All entries of a directory; for very large ones {@link opendir} needs less memory. */
  readdir(
    path: string,
    options: ReaddirOptions & { readonly withFileTypes: true },
  ): Promise<FileStatus[]>
  readdir(path: string, options?: ReaddirOptions): Promise<string[]>
  readdir(path: string, options: ReaddirOptions = {}): Promise<string[] | FileStatus[]> {
    return this.#on(path, async (at, shown) => {
      const found: FileStatus[] = []
      const entries = namespace.list(this.#context, at, options, shown)
      for await (const entry of entries) found.push(entry)
      return options.withFileTypes === true ? found : found.map(({ name }) => name)
    })
  }

  /** Entries of a directory as they are asked for, a page of the namenode's at a time. */
  opendir(path: string, options?: namespace.OpendirOptions): AsyncIterableIterator<FileStatus> {
    return this.#each(path, (at, shown) => namespace.list(this.#context, at, options, shown))
  }

  /** As {@link opendir}, each file with the locations of its blocks. */
  listWithLocations(
    path: string,
    options?: VerbOptions,
  ): AsyncIterableIterator<namespace.LocatedFileStatus> {
    return this.#each(path, (at, shown) =>
      namespace.listWithLocations(this.#context, at, options, shown),
    )
  }

  mkdir(path: string, options?: namespace.MkdirOptions): Promise<void> {
    return this.#on(path, (at) => namespace.mkdir(this.#context, at, options))
  }

  rm(path: string, options?: namespace.RmOptions): Promise<void> {
    return this.#on(path, (at) => namespace.rm(this.#context, at, options))
  }

  /** Deletes an empty directory. */
  rmdir(path: string, options?: VerbOptions): Promise<void> {
    return this.#on(path, (at) => namespace.rmdir(this.#context, at, options))
  }

  /** Deletes a file. */
  unlink(path: string, options?: VerbOptions): Promise<void> {
    return this.#on(path, (at) => namespace.unlink(this.#context, at, options))
  }

  /** Moves a file or directory, atomically; never into the target, always onto it. */
  rename(source: string, target: string, options?: namespace.RenameOptions): Promise<void> {
    return this.#onEntries([source, target], options, ([from = '', to = '']) =>
      namespace.rename(this.#context, from, to, options),
    )
  }

  /** Makes `path` a symbolic link to `target`, which may be relative to its directory, or nothing yet. */
  symlink(target: string, path: string, options?: VerbOptions): Promise<void> {
    return this.#on(path, (at) => namespace.symlink(this.#context, target, at, options))
  }

  /** Where a symbolic link leads, as it was made. */
  readlink(path: string, options?: VerbOptions): Promise<string> {
    return this.#on(path, (at) => namespace.readlink(this.#context, at, options))
  }

  /** Gives a file one more name; only our own namenode knows how. */
  link(existing: string, path: string, options?: VerbOptions): Promise<void> {
    return this.#onEntries([existing, path], options, async ([from = '', to = '']) => {
      await this.nodes.link(from, to, options)
    })
  }

  chmod(path: string, mode: number, options?: VerbOptions): Promise<void> {
    return this.#on(path, (at) => namespace.chmod(this.#context, at, mode, options))
  }

  /** Changes owner, group or both; what is `undefined` stays. */
  chown(path: string, owner?: string, group?: string, options?: VerbOptions): Promise<void> {
    return this.#on(path, (at) => namespace.chown(this.#context, at, { owner, group }, options))
  }

  /** Changes times as `node:fs` does: numbers are seconds. What is `undefined` stays. */
  utimes(
    path: string,
    atime: namespace.FileTime | undefined,
    mtime: namespace.FileTime | undefined,
    options?: VerbOptions,
  ): Promise<void> {
    return this.#on(path, (at) => namespace.utimes(this.#context, at, { atime, mtime }, options))
  }

  /** Sets how many replicas a file should have; false for a directory or a path that does not exist. */
  setReplication(path: string, replication: number, options?: VerbOptions): Promise<boolean> {
    return this.#on(path, (at) => namespace.setReplication(this.#context, at, replication, options))
  }

  contentSummary(path: string, options?: VerbOptions): Promise<namespace.ContentSummary> {
    return this.#on(path, (at) => namespace.contentSummary(this.#context, at, options))
  }

  /** Reads a file, or the part from `start` to `end` inclusive, into memory. */
  readFile(
    path: string,
    options: BufferEncoding | (data.ReadFileOptions & { readonly encoding: BufferEncoding }),
  ): Promise<string>
  readFile(path: string, options?: data.ReadFileOptions): Promise<Buffer>
  readFile(
    path: string,
    options:
      | BufferEncoding
      | (data.ReadFileOptions & { readonly encoding?: BufferEncoding | undefined }) = {},
  ): Promise<Buffer | string> {
    const chosen = typeof options === 'string' ? { encoding: options } : options
    return this.#on(path, async (at) => {
      const { readFile } = await dataModule()
      const content = await readFile(this.#context, at, chosen)
      return chosen.encoding === undefined ? content : content.toString(chosen.encoding)
    })
  }

  /** Writes a whole file, by default over an existing one; durable on every replica when it returns. */
  writeFile(
    path: string,
    content: data.FileContent,
    options: data.WriteFileOptions | BufferEncoding = {},
  ): Promise<void> {
    const chosen = typeof options === 'string' ? { encoding: options } : options
    return this.#on(path, async (at) => {
      const { writeFile } = await dataModule()
      await writeFile(this.#context, at, content, chosen)
    })
  }

  /** Writes at the end of a file, which is made when it does not exist; durable on every replica when it returns. */
  appendFile(
    path: string,
    content: data.FileContent,
    options: data.WriteFileOptions | BufferEncoding = {},
  ): Promise<void> {
    const chosen = typeof options === 'string' ? { encoding: options } : options
    return this.writeFile(path, content, { flags: 'a', ...chosen })
  }

  /** Opens a file for reading at positions (`r`), or for writing at its end, new (`w`, `wx`) or as it is (`a`, `ax`). */
  open(path: string, flags?: 'r', options?: VerbOptions): Promise<FileHandle>
  open(path: string, flags: WriteFlags, options?: OpenForWriteOptions): Promise<WriteHandle>
  open(
    path: string,
    flags: 'r' | WriteFlags = 'r',
    options: OpenForWriteOptions = {},
  ): Promise<FileHandle | WriteHandle> {
    return this.#on(path, async (at) => {
      const stat = (statOptions: VerbOptions): Promise<FileStatus> => this.stat(at, statOptions)
      if (flags === 'r') {
        const reader = await this.#openReader(at, { signal: options.signal })
        return new FileHandle(reader, stat)
      }
      const { WriteHandle } = await handleModule()
      return new WriteHandle(await this.#openWriter(at, { ...options, flags }), stat, options)
    })
  }

  /**
   * Cuts a file to `length` bytes and waits until it is closed there; with `wait: false` it answers false when the last
   * block is still being recovered. A longer `length` is an error.
   */
  truncate(path: string, length = 0, options?: fileVerbs.WaitOptions): Promise<boolean> {
    return this.#on(path, (at) => fileVerbs.truncate(this.#context, at, length, options))
  }

  /** Changes bytes anywhere in a closed file, and its length, all at once; see {@link RewriteOptions}. Apache's namenode cannot do that. */
  rewrite(path: string, options: RewriteOptions): Promise<void> {
    return this.#on(path, async (at) => {
      const { rewrite } = await rewriteModule()
      await rewrite(this.#context, at, options)
    })
  }

  /** Moves the blocks of `sources`, in order, to the end of `target`, at once and without copying; the sources are gone then. */
  concat(target: string, sources: readonly string[], options?: VerbOptions): Promise<void> {
    return this.#onEntries([target, ...sources], options, ([at = '', ...from]) =>
      fileVerbs.concat(this.#context, at, from, options),
    )
  }

  /** Has a file closed whose writer is gone; true when it is, false when that is under way (see {@link isFileClosed}). */
  recoverLease(path: string, options?: fileVerbs.WaitOptions): Promise<boolean> {
    return this.#on(path, (at) => fileVerbs.recoverLease(this.#context, at, options))
  }

  /** Whether nobody writes the file any more. */
  isFileClosed(path: string, options?: VerbOptions): Promise<boolean> {
    return this.#on(path, (at) => fileVerbs.isFileClosed(this.#context, at, options))
  }

  createReadStream(path: string, options: ReadStreamOptions = {}): DfsReadStream {
    const at = this.#resolve(path)
    return new DfsReadStream(at, (signal) => this.#openReader(at, { signal }), options)
  }

  /**
   * A new file, by default in the place of an existing one, or with flags `a` the end of one; `finish` means durable on
   * every replica.
   */
  createWriteStream(path: string, options: WriteStreamOptions = {}): DfsWriteStream {
    const at = this.#resolve(path)
    return new DfsWriteStream(at, () => this.#openWriter(at, options), options)
  }

  /**
   * A stream that stays at the end of a file while it grows. It emits `truncate` when the file is cut, fails with ENOENT
   * when the file is gone, and ends when `signal` aborts.
   */
  follow(path: string, options: FollowOptions = {}): DfsFollowStream {
    const at = this.#resolve(path)
    return new DfsFollowStream(this.#context, at, (open) => this.#openReader(at, open), options)
  }

  /** Bytes of a file that may be read now; of one being written that is more than `stat` tells. */
  readableLength(path: string, options?: VerbOptions): Promise<number> {
    return this.#on(path, async (at) => {
      const { readableLength } = await dataModule()
      return await readableLength(this.#context, at, options)
    })
  }

  /** A file as a web stream of bytes. */
  readable(path: string, options: ReadStreamOptions = {}): ReadableStream<Uint8Array> {
    return Readable.toWeb(this.createReadStream(path, options)) as ReadableStream<Uint8Array>
  }

  /** A new file as a web stream; its `close()` resolves when the file is durable. */
  writable(path: string, options: WriteStreamOptions = {}): WritableStream<Uint8Array> {
    return Writable.toWeb(this.createWriteStream(path, options)) as WritableStream<Uint8Array>
  }

  /** Where the blocks of a file are, or of its bytes from `start` to `end` inclusive. */
  blockLocations(
    file: string | FileStatus,
    options?: data.ReadFileOptions,
  ): Promise<BlockLocation[]> {
    const path = typeof file === 'string' ? file : file.path
    return this.#on(path, async (at) => {
      const { blockLocations } = await dataModule()
      return await blockLocations(this.#context, at, options)
    })
  }

  /** A file's checksum as HDFS tells it: equal for equal content in equal blocks and chunks. */
  fileChecksum(path: string, options?: VerbOptions): Promise<FileChecksum> {
    return this.#on(path, async (at) => {
      const { fileChecksum } = await checksumModule()
      return await fileChecksum(this.#context, at, options)
    })
  }

  /** Calls a method of HDFS's ClientProtocol in its own words, with the patience of every other verb. */
  callNamenode<N extends NamenodeMethod>(
    method: N,
    request: NamenodeRequest<N>,
    options?: VerbOptions,
  ): Promise<NamenodeReply<N>> {
    return this.#on('/', () => this.#context.namenode.call(method, request, options))
  }

  /** Capacity of the cluster; every path has the same. */
  statfs(path = '/', options?: VerbOptions): Promise<admin.ClusterSpace> {
    return this.#on(path, () => admin.statfs(this.#context, options))
  }

  datanodes(
    kind: admin.DatanodeKind = 'all',
    options?: VerbOptions,
  ): Promise<admin.DatanodeStatus[]> {
    return this.#on('/', () => admin.datanodes(this.#context, kind, options))
  }

  blockStats(options?: VerbOptions): Promise<admin.BlockStats> {
    return this.#on('/', () => admin.blockStats(this.#context, options))
  }

  /** Asks whether the namenode is in safe mode, or enters or leaves it; answers the state after that. */
  safeMode(action: admin.SafeModeAction = 'get', options?: VerbOptions): Promise<boolean> {
    return this.#on('/', () => admin.safeMode(this.#context, action, options))
  }

  /** What the namenode proposes for new files. */
  serverDefaults(options: VerbOptions = {}): Promise<FsServerDefaults> {
    return this.#on('/', () => this.#serverDefaults(options.signal))
  }

  /** Closes all connections. Files still being written lose them: close their streams first. */
  close(): Promise<void> {
    this.#context.datanodes.close()
    this.#context.namenode.close()
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #openReader(path: string, options: OpenOptions): Promise<FileReader> {
    const { FileReader } = await readerModule()
    return await this.#following(path, (at) => FileReader.open(this.#context, at, options))
  }

  async #openWriter(path: string, options: OpenForWriteOptions): Promise<FileWriter> {
    const { openWriter } = await writerModule()
    return await this.#following(path, (at) => openWriter(this.#context, at, options))
  }

  #resolve(path: string): string {
    try {
      return resolvePath(path, this.#cluster, this.#home)
    } catch (error) {
      throw toFsError(error, path)
    }
  }

  /** Runs `action` on what `path` leads to; `shown` is the path without a link resolved. */
  #on<T>(path: string, action: (at: string, shown: string) => Promise<T>): Promise<T> {
    return withFsErrors(path, () => {
      const shown = this.#resolve(path)
      return this.#following(shown, (at) => action(at, shown))
    })
  }

  #following<T>(path: string, action: (at: string) => Promise<T>): Promise<T> {
    if (!this.#followsLinks) return action(path)
    return followingLinks(path, (target) => resolvePath(target, this.#cluster, '/'), action)
  }

  /** As {@link #on}, for paths whose last components are meant themselves. */
  #onEntries<T>(
    paths: readonly string[],
    options: VerbOptions | undefined,
    action: (paths: readonly string[]) => Promise<T>,
  ): Promise<T> {
    return withFsErrors(paths[0] ?? '', () => {
      const resolve = (target: string): string => resolvePath(target, this.#cluster, '/')
      const absolute = paths.map((path) => this.#resolve(path))
      if (!this.#followsLinks) return action(absolute)
      return followingParents(this.#context, absolute, { resolve, options }, action)
    })
  }

  async *#each<T>(
    path: string,
    action: (at: string, shown: string) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const shown = this.#resolve(path)
    try {
      const walk = new LinkWalk(shown, (target) => resolvePath(target, this.#cluster, '/'))
      for (let isBegun = false; ; ) {
        try {
          for await (const item of action(walk.at, shown)) {
            isBegun = true
            yield item
          }
          return
        } catch (error) {
          if (isBegun || !this.#followsLinks) throw error
          walk.follow(error)
        }
      }
    } catch (error) {
      throw toFsError(error, shown)
    }
  }

  async #serverDefaults(signal?: AbortSignal): Promise<FsServerDefaults> {
    const now = this.#context.clock.monotonic()
    if (this.#defaults !== undefined && now < this.#defaults.until) return this.#defaults.value
    const { serverDefaults } = await this.#context.namenode.call(
      'getServerDefaults',
      {},
      { signal },
    )
    this.#defaults = { value: serverDefaults, until: now + serverDefaultsMs }
    return serverDefaults
  }

  #createContext(settings: Settings, options: DfsClientOptions): ClientContext {
    const logger = options.logger ?? silentLogger
    const report = reporter(options.onEvent, logger)
    const idleTimeoutMs = settings['dfs.client.socket-timeout']
    const clientName = `trefoil_${randomUUID()}`
    const connectRpc = ({ host, port }: DatanodeAddress): RpcClient =>
      new RpcClient({
        host,
        port,
        user: this.user,
        callerContext: callerContextOf(clientName, options.callerContext),
        connectTimeoutMs,
        callTimeoutMs: idleTimeoutMs,
        logger,
        timers: systemTimers,
      })
    const namenode = new NamenodeProxy({
      rpc: connectRpc(this.#cluster),
      policy: { ...defaultRetryPolicy, ...options.retry },
      clock: systemClock,
      prng: systemPrng(),
      ...{ logger, report },
    })
    return {
      clientName,
      user: this.user,
      ...{ settings, report },
      namenode,
      datanodes: new DatanodeConnectionPool({ connectTimeoutMs, idleTimeoutMs }, logger),
      suspects: new Suspects(defaultReadPlanLimits.suspectMs),
      leases: new LeaseRenewer({
        renew: async () => {
          await namenode.call('renewLease', { clientName })
        },
        periodMs: Math.floor(settings['dfs.namenode.lease.soft-limit'] / 2),
        timers: systemTimers,
        logger,
      }),
      clock: systemClock,
      timers: systemTimers,
      logger,
      serverDefaults: (signal) => this.#serverDefaults(signal),
      connectDatanodeRpc: connectRpc,
    }
  }
}

/** Loads a module with the first call. */
function lazily<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined
  return () => (loading ??= load())
}

/** The client's name is also on its leases and its data transfers, so it leads from one daemon's log to the others'. */
function callerContextOf(clientName: string, given: string | undefined): string {
  return given === undefined ? clientName : `${given},${clientName}`
}
