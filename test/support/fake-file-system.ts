import { Readable, Writable } from 'node:stream'
import type { FileSystem } from '../../client/cli/file-system.ts'
import {
  type AclStatus,
  type BlockLocation,
  type BlockStats,
  type ContentSummary,
  type DatanodeStatus,
  DfsFsError,
  type FileAttributes,
  FileStatus,
  type FollowOptions,
  LocatedFileStatus,
  type ReplicaHolder,
  type WriteStreamOptions,
} from '../../client/index.ts'
import { DfsError, type ErrorCode } from '../../protocol/errors.ts'
import { FakeOperator } from './fake-operator.ts'

const changes = [
  'setAcl',
  'modifyAcl',
  'removeAclEntries',
  'removeAcl',
  'removeDefaultAcl',
  'setXattr',
  'removeXattr',
]

interface FakeInode {
  readonly kind: 'file' | 'directory'
  content: Buffer
  mode: number
  owner: string
  group: string
  mtimeMs: number
  atimeMs: number
  replication: number
  blockSize: number
  /** Live replicas of its one block. */
  replicas: number
  isCorrupt: boolean
  isOpen: boolean
  /** Bytes of a second block that no datanode has. */
  badTail: number
  /** Of the datanodes that hold them; others are NORMAL. */
  adminStates: ReplicaHolder['adminState'][]
  /** Racks of those datanodes; others are on /default-rack. */
  racks: string[]
}

type Failing = (verb: string, path: string) => ErrorCode | undefined

function fail(code: ErrorCode, path: string): never {
  throw new DfsFsError(new DfsError(code, `${code} of the fake file system`, { path }))
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

/** A namespace in memory with the semantics of HDFS that the commands rely on. */
export class FakeFileSystem implements FileSystem {
  readonly inodes = new Map<string, FakeInode>()
  /** Returns the code with which a verb on a path is to fail. */
  failing: Failing = () => undefined
  closed = 0
  /** Blocks are under recovery, and stay so. */
  isRecovering = false
  /** What the last `follow` gave. */
  followed: Readable | undefined
  readonly fakeOperator = new FakeOperator()
  readonly operator = this.fakeOperator.operator
  /** Calls of attributes, with the rest of their parameters; answers are those of {@link acl} and {@link xattrs}. */
  readonly attributeCalls: unknown[][] = []
  readonly xattrs = new Map<string, Buffer>()
  acl: AclStatus = { owner: 'alice', group: 'staff', mode: 0o640, entries: [] }
  readonly attributes = this.#fakeAttributes()
  /** Racks of the live datanodes; others are on /default-rack. */
  liveRacks: string[] = []
  /** Minutes; 0 is a cluster without trash. */
  trashInterval = 0

  #fakeAttributes(): FileAttributes {
    const log =
      (name: string) =>
      (...parameters: unknown[]): Promise<void> => {
        this.attributeCalls.push([name, ...parameters])
        return Promise.resolve()
      }
    const fake = {
      getAcl: (path: string) => this.stat(path).then(() => this.acl),
      getXattrs: (path: string) => this.stat(path).then(() => this.xattrs),
      ...Object.fromEntries(changes.map((name) => [name, log(name)])),
    }
    return fake as unknown as FileAttributes
  }

  constructor() {
    this.addDirectory('/')
  }

  addDirectory(path: string, changes: Partial<FakeInode> = {}): void {
    this.#add(path, { kind: 'directory', mode: 0o755, replication: 0, blockSize: 0, ...changes })
  }

  addFile(path: string, text: string, changes: Partial<FakeInode> = {}): void {
    for (let parent = parentOf(path); !this.inodes.has(parent); parent = parentOf(parent)) {
      this.addDirectory(parent)
    }
    this.#add(path, { kind: 'file', content: Buffer.from(text), ...changes })
  }

  text(path: string): string | undefined {
    return this.inodes.get(path)?.content.toString()
  }

  paths(): string[] {
    return [...this.inodes.keys()].sort()
  }

  #add(path: string, changes: Partial<FakeInode> & Pick<FakeInode, 'kind'>): void {
    this.inodes.set(path, {
      content: Buffer.alloc(0),
      mode: 0o644,
      owner: 'alice',
      group: 'staff',
      mtimeMs: Date.UTC(2026, 10, 22, 16, 5, 9),
      atimeMs: Date.UTC(2026, 10, 22, 17, 0, 0),
      replication: 3,
      blockSize: 128 * 1024 * 1024,
      replicas: 3,
      isCorrupt: false,
      isOpen: false,
      badTail: 0,
      adminStates: [],
      racks: [],
      ...changes,
    })
  }

  #check(verb: string, path: string): void {
    const code = this.failing(verb, path)
    if (code !== undefined) fail(code, path)
  }

  #inode(verb: string, path: string): FakeInode {
    this.#check(verb, path)
    return this.inodes.get(path) ?? fail('FILE_NOT_FOUND', path)
  }

  #wire(path: string, inode: FakeInode): ConstructorParameters<typeof FileStatus>[1] {
    const isFile = inode.kind === 'file'
    return {
      fileType: isFile ? 'IS_FILE' : 'IS_DIR',
      path: new Uint8Array(0),
      length: inode.content.length,
      permission: { perm: inode.mode },
      owner: inode.owner,
      group: inode.group,
      modification_time: inode.mtimeMs,
      access_time: inode.atimeMs,
      block_replication: inode.replication,
      blocksize: inode.blockSize,
      fileId: 16_385 + [...this.inodes.keys()].indexOf(path),
      childrenNum: isFile ? 0 : this.#childPaths(path).length,
      storagePolicy: 0,
      flags: 0,
    }
  }

  #status(path: string, inode: FakeInode): FileStatus {
    return new FileStatus(path, this.#wire(path, inode))
  }

  #childPaths(path: string): string[] {
    return this.paths().filter((other) => other !== '/' && parentOf(other) === path)
  }

  stat(path: string): Promise<FileStatus> {
    return this.#promise(() => this.#status(path, this.#inode('stat', path)))
  }

  lstat(path: string): Promise<FileStatus> {
    return this.stat(path)
  }

  symlink(): Promise<void> {
    return Promise.reject(new Error('The fake file system has no symbolic links'))
  }

  link(existing: string, path: string): Promise<void> {
    return this.#promise(() => {
      this.inodes.set(path, this.#inode('link', existing))
    })
  }

  async *opendir(path: string): AsyncGenerator<FileStatus> {
    await Promise.resolve()
    this.#inode('opendir', path)
    for (const child of this.#childPaths(path)) {
      const inode = this.inodes.get(child)
      if (inode !== undefined) yield this.#status(child, inode)
    }
  }

  async *listWithLocations(path: string): AsyncGenerator<LocatedFileStatus> {
    await Promise.resolve()
    for (const child of this.#childPaths(path)) {
      const inode = this.inodes.get(child)
      if (inode === undefined) continue
      yield this.#located(child, inode)
    }
  }

  statWithLocations(path: string): Promise<LocatedFileStatus> {
    return this.#promise(() => this.#located(path, this.#inode('stat', path)))
  }

  exists(path: string): Promise<boolean> {
    return this.#promise(() => this.inodes.has(path))
  }

  #located(path: string, inode: FakeInode): LocatedFileStatus {
    const status = new LocatedFileStatus(path, this.#wire(path, inode))
    return Object.assign(status, { blocks: this.#blocks(path, inode), isOpen: inode.isOpen })
  }

  blockLocations(file: string | FileStatus): Promise<BlockLocation[]> {
    const path = typeof file === 'string' ? file : file.path
    return this.#promise(() => this.#blocks(path, this.#inode('blockLocations', path)))
  }

  #blocks(path: string, inode: FakeInode): BlockLocation[] {
    if (inode.kind === 'directory' || inode.content.length === 0) return []
    const datanodes = Array.from({ length: inode.replicas }, (_, index) => ({
      uuid: `node-${index}`,
      host: `host-${index}`,
      address: `127.0.0.1:${9000 + index}`,
      rack: inode.racks[index] ?? '/default-rack',
      storageId: `DS-${index}`,
      adminState: inode.adminStates[index] ?? ('NORMAL' as const),
    }))
    const block = {
      offset: 0,
      length: inode.content.length,
      blockId: 1_073_741_825 + this.paths().indexOf(path),
      generationStamp: 1001,
      blockPoolId: 'BP-1',
      hosts: datanodes.map(({ host }) => host),
      datanodes,
      isCorrupt: inode.isCorrupt,
    }
    if (inode.badTail === 0) return [block]
    const lost = { hosts: [], datanodes: [], blockId: block.blockId + 1000 }
    return [block, { ...block, ...lost, offset: block.length, length: inode.badTail }]
  }

  mkdir(
    path: string,
    { recursive = false, mode = 0o755 }: Parameters<FileSystem['mkdir']>[1] = {},
  ): Promise<void> {
    return this.#promise(() => {
      this.#check('mkdir', path)
      const existing = this.inodes.get(path)
      if (existing !== undefined && (!recursive || existing.kind === 'file'))
        fail('FILE_EXISTS', path)
      if (existing !== undefined) return
      if (!this.inodes.has(parentOf(path))) {
        if (!recursive) fail('FILE_NOT_FOUND', parentOf(path))
        this.#makeParents(path, mode)
      }
      this.addDirectory(path, { mode })
    })
  }

  #makeParents(path: string, mode: number): void {
    const parent = parentOf(path)
    const inode = this.inodes.get(parent)
    if (inode?.kind === 'file') fail('NOT_A_DIRECTORY', parent)
    if (inode !== undefined) return
    this.#makeParents(parent, mode)
    this.addDirectory(parent, { mode })
  }

  rm(
    path: string,
    options: { recursive?: boolean | undefined; force?: boolean | undefined } = {},
  ): Promise<void> {
    return this.#promise(() => {
      this.#check('rm', path)
      if (!this.inodes.has(path)) {
        if (options.force === true) return
        fail('FILE_NOT_FOUND', path)
      }
      const below = this.paths().filter((other) => other.startsWith(`${path}/`))
      if (below.length > 0 && options.recursive !== true) fail('DIRECTORY_NOT_EMPTY', path)
      for (const gone of [path, ...below]) this.inodes.delete(gone)
    })
  }

  rename(
    source: string,
    target: string,
    { overwrite = true }: { overwrite?: boolean | undefined } = {},
  ): Promise<void> {
    return this.#promise(() => {
      this.#inode('rename', source)
      if (this.inodes.has(target) && !overwrite) fail('FILE_EXISTS', target)
      if (!this.inodes.has(parentOf(target))) fail('FILE_NOT_FOUND', parentOf(target))
      for (const path of this.paths()) {
        if (path !== source && !path.startsWith(`${source}/`)) continue
        const inode = this.inodes.get(path)
        this.inodes.delete(path)
        if (inode !== undefined) this.inodes.set(target + path.slice(source.length), inode)
      }
    })
  }

  createReadStream(
    path: string,
    { start = 0, end }: { start?: number; end?: number } = {},
  ): Readable {
    const inode = this.#inode('read', path)
    const stop = Math.min(end ?? Number.POSITIVE_INFINITY, inode.content.length - 1) + 1
    return Readable.from([inode.content.subarray(start, stop)], { objectMode: false })
  }

  createWriteStream(path: string, options: WriteStreamOptions = {}): Writable {
    const appends = options.flags === 'a' && this.inodes.has(path)
    const chunks: Buffer[] = appends ? [this.#inode('append', path).content] : []
    return new Writable({
      construct: (callback) => {
        this.#promise(() => {
          this.#check('create', path)
          if (appends) return
          if (!this.inodes.has(parentOf(path))) fail('FILE_NOT_FOUND', parentOf(path))
          this.addFile(path, '', {
            ...(options.replication === undefined ? {} : { replication: options.replication }),
            ...(options.blockSize === undefined ? {} : { blockSize: options.blockSize }),
          })
        }).then(() => callback(), callback)
      },
      write: (chunk: Buffer, _encoding, callback) => {
        this.#promise(() => {
          this.#check('write', path)
          chunks.push(chunk)
        }).then(() => callback(), callback)
      },
      final: (callback) => {
        const inode = this.inodes.get(path)
        if (inode !== undefined) inode.content = Buffer.concat(chunks)
        callback()
      },
    })
  }

  truncate(
    path: string,
    length = 0,
    { wait = true }: { wait?: boolean | undefined } = {},
  ): Promise<boolean> {
    return this.#promise(() => {
      const inode = this.#inode('truncate', path)
      if (length > inode.content.length) fail('INVALID_ARGUMENT', path)
      inode.content = inode.content.subarray(0, length)
      return wait || !this.isRecovering
    })
  }

  concat(target: string, sources: readonly string[]): Promise<void> {
    return this.#promise(() => {
      const inode = this.#inode('concat', target)
      for (const source of sources) {
        inode.content = Buffer.concat([inode.content, this.#inode('concat', source).content])
        this.inodes.delete(source)
      }
    })
  }

  readableLength(path: string): Promise<number> {
    return this.#promise(() => this.#inode('readableLength', path).content.length)
  }

  /** Gives what is there; a test adds the rest to {@link followed}. */
  follow(path: string, { start = 0, signal }: FollowOptions = {}): Readable {
    const source = new Readable({ read: () => undefined })
    source.push(this.#inode('follow', path).content.subarray(start))
    this.followed = source
    signal?.addEventListener('abort', () => source.push(null))
    return source
  }

  recoverLease(path: string): Promise<boolean> {
    return this.#promise(() => {
      this.#inode('recoverLease', path)
      return !this.isRecovering
    })
  }

  isFileClosed(path: string): Promise<boolean> {
    return this.#promise(() => {
      this.#inode('isFileClosed', path)
      return !this.isRecovering
    })
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.#promise(() => {
      this.#inode('chmod', path).mode = mode
    })
  }

  chown(path: string, owner?: string, group?: string): Promise<void> {
    return this.#promise(() => {
      const inode = this.#inode('chown', path)
      inode.owner = owner ?? inode.owner
      inode.group = group ?? inode.group
    })
  }

  utimes(
    path: string,
    atime: Date | number | string | undefined,
    mtime: Date | number | string | undefined,
  ): Promise<void> {
    return this.#promise(() => {
      const inode = this.#inode('utimes', path)
      if (atime instanceof Date) inode.atimeMs = atime.getTime()
      if (mtime instanceof Date) inode.mtimeMs = mtime.getTime()
    })
  }

  setReplication(path: string, replication: number): Promise<boolean> {
    return this.#promise(() => {
      const inode = this.#inode('setReplication', path)
      inode.replication = replication
      inode.replicas = replication
      return true
    })
  }

  contentSummary(path: string): Promise<ContentSummary> {
    return this.#promise(() => {
      this.#inode('contentSummary', path)
      const prefix = path === '/' ? '/' : `${path}/`
      const tree = this.paths().filter((other) => other === path || other.startsWith(prefix))
      const inodes = tree.flatMap((other) => this.inodes.get(other) ?? [])
      const files = inodes.filter(({ kind }) => kind === 'file')
      return {
        length: files.reduce((sum, { content }) => sum + content.length, 0),
        fileCount: files.length,
        directoryCount: inodes.length - files.length,
        spaceConsumed: files.reduce((sum, file) => sum + file.content.length * file.replication, 0),
        quota: undefined,
        spaceQuota: undefined,
      }
    })
  }

  statfs(): ReturnType<FileSystem['statfs']> {
    return this.#promise(() => ({
      capacity: 4000,
      used: 1000,
      remaining: 3000,
      underReplicatedBlocks: 0,
      corruptBlocks: 0,
      missingBlocks: 0,
    }))
  }

  datanodes(kind = 'all'): Promise<DatanodeStatus[]> {
    const node = (index: number): DatanodeStatus => ({
      uuid: `node-${index}`,
      host: `host-${index}`,
      ipAddress: '127.0.0.1',
      transferPort: 9000 + index,
      ipcPort: 9100 + index,
      httpPort: 9200 + index,
      rack: this.liveRacks[index] ?? '/default-rack',
      capacity: 1000,
      used: 250,
      nonDfsUsed: 0,
      remaining: 750,
      lastContactMs: Date.now(),
      lastBlockReportMs: Date.now(),
      blocks: 2,
      activeTransfers: 0,
      volumes: 2,
      failedVolumes: 1,
      oldestUnverifiedMs: 7_200_000,
      adminState: 'NORMAL',
      softwareVersion: '3.5.0',
    })
    return this.#promise(() => (kind === 'dead' ? [node(9)] : [node(0), node(1), node(2)]))
  }

  blockStats(): Promise<BlockStats> {
    return this.#promise(() => ({
      lowRedundancy: 1,
      corrupt: 0,
      missing: 0,
      missingWithReplicationOne: 0,
      pendingDeletion: 0,
      highestPriorityLowRedundancy: undefined,
    }))
  }

  serverDefaults(): ReturnType<FileSystem['serverDefaults']> {
    return Promise.resolve({
      blockSize: 128 * 1024 * 1024,
      bytesPerChecksum: 512,
      writePacketSize: 65_536,
      replication: 3,
      fileBufferSize: 4096,
      encryptDataTransfer: false,
      trashInterval: this.trashInterval,
      checksumType: 'CHECKSUM_CRC32C',
      keyProviderUri: '',
      policyId: 0,
      snapshotTrashRootEnabled: false,
    })
  }

  safeMode(): Promise<boolean> {
    return Promise.resolve(false)
  }

  close(): Promise<void> {
    this.closed += 1
    return Promise.resolve()
  }

  /** Failures reach the caller as rejections, as the SDK's do. */
  async #promise<T>(action: () => T): Promise<T> {
    await Promise.resolve()
    return action()
  }
}

/** Some files and a home directory. */
export function sampleFileSystem(): FakeFileSystem {
  const fs = new FakeFileSystem()
  fs.addFile('/data/a.csv', 'alpha\n')
  fs.addFile('/data/b.csv', 'beta\nbeta\n', { mode: 0o600, mtimeMs: Date.UTC(2027, 0, 1) })
  fs.addFile('/data/sub/c.txt', 'c')
  fs.addDirectory('/user')
  fs.addDirectory('/user/alice')
  return fs
}
