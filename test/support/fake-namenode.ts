import { silentLogger } from '../../base/log.ts'
import { systemClock, systemTimers } from '../../base/system.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { EncodableResponseOf } from '../../protocol/message.ts'
import { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import {
  createFlags,
  type ExtendedBlock,
  type HdfsFileStatus,
  type LocatedBlock,
} from '../../protocol/messages/hdfs.ts'
import { type RpcCall, RpcServer } from '../../transport/rpc-server.ts'
import { FakeDatanode } from './fake-datanode.ts'

interface FakeBlock {
  block: ExtendedBlock
  nodes: readonly FakeDatanode[]
}

interface FakeFile {
  readonly fileId: number
  readonly blockSize: number
  readonly replication: number
  blocks: FakeBlock[]
  holder: string | undefined
}

const noToken = {
  identifier: new Uint8Array(0),
  password: new Uint8Array(0),
  kind: '',
  service: '',
}

/**
 * As much of a namenode as a client needs to write and read files, over the real wire, with a flat namespace in
 * memory, fake datanodes behind it, and faults on demand.
 */
export class FakeNamenode {
  readonly datanodes: readonly FakeDatanode[]
  readonly files = new Map<string, FakeFile>()
  /** Every call as `method`, in order. */
  readonly calls: string[] = []
  /** Call id and retry count of every call, in order. */
  readonly identities: {
    readonly method: string
    readonly callId: number
    readonly retryCount: number
  }[] = []
  readonly reportedBad: LocatedBlock[] = []
  /** Leases renewed. */
  renewals = 0
  /** Answers of `complete` that are false before the first true one. */
  completeRefusals = 0
  /** Answers of `create` wait for this; the file exists at once. */
  holdCreate: Promise<void> | undefined
  bytesPerChecksum = 512
  /** Looks at a file under recovery before it is closed. */
  closesAfter = 0
  readonly #failures = new Map<string, Error[]>()
  readonly #peers = new Map<string, FakeDatanode>()
  #server: RpcServer | undefined
  #port = 0
  #nextId = 1000

  constructor(datanodeCount: number) {
    this.datanodes = Array.from({ length: datanodeCount }, (_value, index) => {
      const datanode = new FakeDatanode(`dn-${index}`, this.#peers)
      this.#peers.set(datanode.uuid, datanode)
      return datanode
    })
  }

  get uri(): string {
    return `hdfs://127.0.0.1:${this.#port}`
  }

  async start(): Promise<this> {
    for (const datanode of this.datanodes) await datanode.start()
    await this.startRpc()
    return this
  }

  async stop(): Promise<void> {
    await this.stopRpc()
    for (const datanode of this.datanodes) await datanode.stop()
  }

  /** Goes away; files and datanodes stay. */
  async stopRpc(): Promise<void> {
    await this.#server?.close()
    this.#server = undefined
  }

  /** Comes back under the same port. */
  async startRpc(): Promise<void> {
    const server = new RpcServer({
      host: '127.0.0.1',
      port: this.#port,
      logger: silentLogger,
      clock: systemClock,
      timers: systemTimers,
    })
    this.#register(server)
    this.#port = (await server.listen()).port
    this.#server = server
  }

  /** The next call of `method` fails with `error`. */
  failNext(method: string, error: Error): void {
    this.#failures.set(method, [...(this.#failures.get(method) ?? []), error])
  }

  countOf(method: string): number {
    return this.calls.filter((call) => call === method).length
  }

  /** The whole content of a file as datanode `index` has it. */
  contentAt(path: string, index: number): Buffer {
    const replicas = this.#file(path).blocks.map(({ block, nodes }) => {
      const replica = nodes[index]?.replicas.get(block.blockId)
      return replica?.data.subarray(0, replica.length) ?? Buffer.alloc(0)
    })
    return Buffer.concat(replicas)
  }

  /** Datanodes of block `index` of a file. */
  nodesOf(path: string, index = 0): readonly FakeDatanode[] {
    return this.#file(path).blocks[index]?.nodes ?? []
  }

  #enter(method: string, call: RpcCall): void {
    this.calls.push(method)
    this.identities.push({ method, callId: call.callId, retryCount: call.retryCount })
    const error = this.#failures.get(method)?.shift()
    if (error !== undefined) throw error
  }

  #file(path: string): FakeFile {
    const file = this.files.get(path)
    if (file === undefined) throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`)
    return file
  }

  #leased(path: string, holder: string): FakeFile {
    const file = this.#file(path)
    if (file.holder !== holder) throw new DfsError('LEASE_EXPIRED', `No lease on ${path}`)
    return file
  }

  #register(server: RpcServer): void {
    server.register(clientNamenodeProtocol, {
      getServerDefaults: (_request, call) => {
        this.#enter('getServerDefaults', call)
        return { serverDefaults: this.#defaults() }
      },
      getFileInfo: ({ src }, call) => {
        this.#enter('getFileInfo', call)
        const file = this.files.get(src)
        return file === undefined ? {} : { fs: statusOf(file) }
      },
      getFileLinkInfo: ({ src }, call) => {
        this.#enter('getFileLinkInfo', call)
        const file = this.files.get(src)
        return file === undefined ? {} : { fs: statusOf(file) }
      },
      delete: ({ src }, call) => {
        this.#enter('delete', call)
        return { result: this.files.delete(src) }
      },
      renewLease: (_request, call) => {
        this.#enter('renewLease', call)
        this.renewals += 1
        return {}
      },
      reportBadBlocks: ({ blocks }, call) => {
        this.#enter('reportBadBlocks', call)
        this.reportedBad.push(...blocks)
        return {}
      },
      getBlockLocations: ({ src }, call) => {
        this.#enter('getBlockLocations', call)
        return { locations: this.#locations(this.#file(src)) }
      },
      isFileClosed: ({ src }, call) => {
        this.#enter('isFileClosed', call)
        this.closesAfter -= 1
        const file = this.#file(src)
        if (this.closesAfter < 0) file.holder = undefined
        return { result: file.holder === undefined }
      },
      concat: ({ trg, srcs }, call) => {
        this.#enter('concat', call)
        const target = this.#file(trg)
        for (const source of srcs) {
          target.blocks.push(...this.#file(source).blocks)
          this.files.delete(source)
        }
        return {}
      },
      truncate: ({ src, newLength, clientName }, call) => {
        this.#enter('truncate', call)
        const file = this.#file(src)
        if (newLength > lengthOf(file)) {
          throw new DfsError(
            'INVALID_ARGUMENT',
            `Cannot truncate to a larger file size: ${newLength}`,
          )
        }
        const isWhole = truncateTo(file, newLength)
        if (!isWhole) file.holder = clientName
        return { result: isWhole }
      },
      recoverLease: ({ src }, call) => {
        this.#enter('recoverLease', call)
        const file = this.#file(src)
        if (this.closesAfter <= 0) file.holder = undefined
        return { result: file.holder === undefined }
      },
    })
    this.#registerWrites(server)
  }

  #registerWrites(server: RpcServer): void {
    server.register(clientNamenodeProtocol, {
      create: ({ src, clientName, createFlag, blockSize, replication }, call) => {
        this.#enter('create', call)
        if (this.files.has(src) && (createFlag & createFlags.OVERWRITE) === 0) {
          throw new DfsError('FILE_EXISTS', `${src} already exists`)
        }
        const fileId = this.#takeId()
        const file = { fileId, blockSize, replication, blocks: [], holder: clientName }
        this.files.set(src, file)
        const reply = { fs: statusOf(file) }
        return this.holdCreate === undefined ? reply : this.holdCreate.then(() => reply)
      },
      append: ({ src, clientName, flag }, call) => {
        this.#enter('append', call)
        const file = this.#file(src)
        if (file.holder !== undefined) {
          throw new DfsError('ALREADY_BEING_CREATED', `${src} is being written`)
        }
        file.holder = clientName
        const stat = statusOf(file)
        const last = file.blocks.at(-1)
        if (last === undefined || last.block.numBytes === 0) return { stat }
        const isNewBlock = ((flag ?? 0) & createFlags.NEW_BLOCK) !== 0
        const offset = lengthOf(file) - last.block.numBytes
        if (isNewBlock) return { stat, block: located(last.block, [], offset) }
        const isFull = last.block.numBytes === file.blockSize
        return isFull ? { stat } : { stat, block: located(last.block, last.nodes, offset) }
      },
      addBlock: ({ src, clientName, previous, excludeNodes }, call) => {
        this.#enter('addBlock', call)
        const file = this.#leased(src, clientName)
        commit(file, previous)
        const excluded = new Set(excludeNodes.map(({ id }) => id.datanodeUuid))
        return { block: this.#addBlock(file, excluded) }
      },
      abandonBlock: ({ src, holder, b }, call) => {
        this.#enter('abandonBlock', call)
        const file = this.#leased(src, holder)
        file.blocks = file.blocks.filter(({ block }) => block.blockId !== b.blockId)
        return {}
      },
      fsync: ({ src, client, lastBlockLength }, call) => {
        this.#enter('fsync', call)
        const last = this.#leased(src, client).blocks.at(-1)
        if (last !== undefined && lastBlockLength >= 0) {
          last.block = { ...last.block, numBytes: lastBlockLength }
        }
        return {}
      },
      updateBlockForPipeline: ({ block }, call) => {
        this.#enter('updateBlockForPipeline', call)
        return { block: located({ ...block, generationStamp: this.#takeId() }, [], 0) }
      },
      getAdditionalDatanode: ({ blk, existings, excludes, numAdditionalNodes }, call) => {
        this.#enter('getAdditionalDatanode', call)
        const existing = existings.flatMap(({ id }) => this.#peers.get(id.datanodeUuid) ?? [])
        const taken = new Set([...existings, ...excludes].map(({ id }) => id.datanodeUuid))
        const newcomers = this.datanodes.filter(({ uuid, isAlive }) => isAlive && !taken.has(uuid))
        // HDFS sorts the pipeline anew: the newcomer does not stand last.
        const [first, ...rest] = existing
        const nodes = [
          ...(first === undefined ? [] : [first]),
          ...newcomers.slice(0, numAdditionalNodes),
          ...rest,
        ]
        return { block: located(blk, nodes, 0) }
      },
      updatePipeline: ({ newBlock, newNodes }, call) => {
        this.#enter('updatePipeline', call)
        for (const file of this.files.values()) {
          const entry = file.blocks.find(({ block }) => block.blockId === newBlock.blockId)
          if (entry === undefined) continue
          entry.block = newBlock
          entry.nodes = newNodes.flatMap((node) => this.#peers.get(node.datanodeUuid) ?? [])
        }
        return {}
      },
      complete: ({ src, clientName, last }, call) => {
        this.#enter('complete', call)
        const file = this.#leased(src, clientName)
        if (this.completeRefusals > 0) {
          this.completeRefusals -= 1
          return { result: false }
        }
        commit(file, last)
        file.holder = undefined
        return { result: true }
      },
    })
  }

  #addBlock(file: FakeFile, excluded: ReadonlySet<string>): LocatedBlock {
    const nodes = this.datanodes
      .filter(({ uuid }) => !excluded.has(uuid))
      .slice(0, file.replication)
    if (nodes.length === 0) {
      throw new DfsError(
        'NO_DATANODES',
        'File could only be written to 0 of the 1 minReplication nodes',
      )
    }
    const offset = file.blocks.reduce((sum, { block }) => sum + block.numBytes, 0)
    const block: ExtendedBlock = {
      poolId: 'BP-1-127.0.0.1-1',
      blockId: this.#takeId(),
      generationStamp: this.#takeId(),
      numBytes: 0,
    }
    file.blocks.push({ block, nodes })
    return located(block, nodes, offset)
  }

  #locations(
    file: FakeFile,
  ): EncodableResponseOf<typeof clientNamenodeProtocol, 'getBlockLocations'>['locations'] {
    let offset = 0
    const blocks = file.blocks.map(({ block, nodes }) => {
      const at = located(block, nodes, offset)
      offset += block.numBytes
      return at
    })
    const isOpen = file.holder !== undefined
    const lastBlock = blocks.at(-1)
    const closedLength = offset - (isOpen ? (lastBlock?.b.numBytes ?? 0) : 0)
    return {
      fileLength: closedLength,
      blocks,
      underConstruction: isOpen,
      ...(lastBlock === undefined ? {} : { lastBlock }),
      isLastBlockComplete: !isOpen,
    }
  }

  #defaults(): EncodableResponseOf<
    typeof clientNamenodeProtocol,
    'getServerDefaults'
  >['serverDefaults'] {
    return {
      blockSize: 1024 * 1024,
      bytesPerChecksum: this.bytesPerChecksum,
      writePacketSize: 65536,
      replication: 3,
      fileBufferSize: 4096,
      checksumType: 'CHECKSUM_CRC32C',
    }
  }

  #takeId(): number {
    this.#nextId += 1
    return this.#nextId
  }
}

function lengthOf(file: FakeFile): number {
  return file.blocks.reduce((sum, { block }) => sum + block.numBytes, 0)
}

/** False when the last block was cut. */
function truncateTo(file: FakeFile, length: number): boolean {
  let start = 0
  let isWhole = true
  file.blocks = file.blocks.flatMap((entry) => {
    const kept = Math.min(entry.block.numBytes, length - start)
    start += entry.block.numBytes
    if (kept <= 0) return []
    if (kept === entry.block.numBytes) return [entry]
    isWhole = false
    for (const node of entry.nodes) {
      const replica = node.replicas.get(entry.block.blockId)
      if (replica !== undefined) replica.length = kept
    }
    return [{ ...entry, block: { ...entry.block, numBytes: kept } }]
  })
  return isWhole
}

function commit(file: FakeFile, previous: ExtendedBlock | undefined): void {
  const last = file.blocks.at(-1)
  if (previous === undefined || last === undefined) return
  if (
    previous.blockId !== last.block.blockId ||
    previous.generationStamp !== last.block.generationStamp
  ) {
    throw new DfsError('IO_ERROR', 'Commit of a block that is not the last one')
  }
  last.block = previous
}

function located(b: ExtendedBlock, nodes: readonly FakeDatanode[], offset: number): LocatedBlock {
  return {
    b,
    offset: BigInt(offset),
    locs: nodes.map(({ info }) => info),
    corrupt: false,
    blockToken: noToken,
    isCached: [],
    storageTypes: nodes.map(() => 'DISK'),
    storageIDs: nodes.map(({ uuid }) => `DS-${uuid}`),
    blockTokens: [],
  }
}

function statusOf(file: FakeFile): HdfsFileStatus {
  return {
    fileType: 'IS_FILE',
    path: new Uint8Array(0),
    length: lengthOf(file),
    permission: { perm: 0o644 },
    owner: 'root',
    group: 'supergroup',
    modification_time: 0,
    access_time: 0,
    block_replication: file.replication,
    blocksize: file.blockSize,
    fileId: file.fileId,
    childrenNum: 0,
    storagePolicy: 0,
    flags: 0,
  }
}
