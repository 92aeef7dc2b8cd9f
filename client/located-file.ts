import { DfsError, isDfsError } from '../protocol/errors.ts'
import { clientDatanodeProtocol } from '../protocol/messages/client-datanode.ts'
import type {
  DatanodeInfo,
  ExtendedBlock,
  LocatedBlock,
  LocatedBlocks,
} from '../protocol/messages/hdfs.ts'
import { onAbort, pause, throwIfAborted } from './abort.ts'
import type { ClientContext } from './context.ts'

/** A block of a file with the bytes of the file it holds, `[start, end)`, and where its replicas are. */
export interface PlacedBlock {
  readonly start: number
  readonly end: number
  readonly located: LocatedBlock
}

/** How a file is opened for reading. */
export interface OpenOptions {
  readonly signal?: AbortSignal | undefined
  /** First byte that will be read: the blocks before it are not asked for. */
  readonly from?: number | undefined
  /** Bytes from there whose blocks are asked for at once; others when they are needed. */
  readonly span?: number | undefined
}

/** Bytes of locations that are asked for at least; HDFS's clients ask for ten blocks. */
const locationSpanBytes = 10 * 128 * 1024 * 1024

/** Length of a replica that its datanode cannot say: -1 in an unsigned field. */
const unreadableLength = 2n ** 64n - 1n

/**
 * Length and block locations of one file as a reader learns them, piece by piece.
 *
 * Of a file that is being written the last block is readable as far as its datanodes say (HDFS:
 * getReplicaVisibleLength), whatever the namenode knows.
 */
export class LocatedFile {
  readonly path: string
  /** Bytes that may be read; fixed when the file is opened. */
  readonly length: number
  /** It was being written when it was opened. */
  readonly isOpen: boolean
  readonly #context: ClientContext
  /** Sorted by start, without overlap; gaps are not asked for yet. */
  #blocks: readonly PlacedBlock[]

  private constructor(
    context: ClientContext,
    path: string,
    found: { readonly length: number; readonly isOpen: boolean },
    blocks: readonly PlacedBlock[],
  ) {
    this.#context = context
    this.path = path
    this.length = found.length
    this.isOpen = found.isOpen
    this.#blocks = blocks
  }

  /** @throws {@link DfsError} FILE_NOT_FOUND, IS_A_DIRECTORY, PERMISSION_DENIED, … */
  static async open(
    context: ClientContext,
    path: string,
    { signal, from = 0, span = locationSpanBytes }: OpenOptions = {},
  ): Promise<LocatedFile> {
    const wanted = { offset: from, length: span, signal }
    const locations = await locate(context, path, wanted)
    const { lastBlock, fileLength, underConstruction: isOpen } = locations
    const blocks = locations.blocks.map((located) => placed(located))
    if (locations.isLastBlockComplete || lastBlock === undefined) {
      return new LocatedFile(context, path, { length: fileLength, isOpen }, blocks)
    }
    const start = Number(lastBlock.offset)
    const visible = await visibleLength(context, lastBlock, signal)
    const open: PlacedBlock = { start, end: start + visible, located: lastBlock }
    const closed = blocks.filter((block) => block.start < start)
    const isEmpty = visible === 0
    const found = { length: start + visible, isOpen }
    return new LocatedFile(context, path, found, isEmpty ? closed : [...closed, open])
  }

  /** Blocks known so far. */
  get blocks(): readonly PlacedBlock[] {
    return this.#blocks
  }

  /** The block that holds byte `position`, which is below the length. */
  async blockAt(position: number, signal?: AbortSignal): Promise<PlacedBlock> {
    const known = this.#find(position)
    if (known !== undefined) return known
    await this.#load(position, locationSpanBytes, signal)
    const loaded = this.#find(position)
    if (loaded !== undefined) return loaded
    throw new DfsError('BLOCK_MISSING', `File "${this.path}" has no block at byte ${position}`, {
      path: this.path,
    })
  }

  /** Asks the namenode again where the block at `position` is. */
  async refresh(position: number, signal?: AbortSignal): Promise<PlacedBlock> {
    const old = this.#find(position)
    await this.#load(position, 1, signal)
    const fresh = this.#find(position)
    if (fresh !== undefined && fresh.located.b.blockId === (old ?? fresh).located.b.blockId) {
      return fresh
    }
    throw new DfsError('BLOCK_MISSING', `File "${this.path}" was replaced while it was read`, {
      path: this.path,
    })
  }

  #find(position: number): PlacedBlock | undefined {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const block = this.#blocks[middle]
      if (block === undefined) break
      if (position < block.start) high = middle
      else if (position >= block.end) low = middle + 1
      else return block
    }
    return undefined
  }

  async #load(offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const locations = await locate(this.#context, this.path, { offset, length, signal })
    const byStart = new Map(this.#blocks.map((block) => [block.start, block]))
    for (const located of locations.blocks) {
      const block = placed(located)
      const known = byStart.get(block.start)
      const isOpen = known?.located.b.blockId === located.b.blockId && known.end > block.end
      byStart.set(block.start, isOpen ? { ...block, end: known.end } : block)
    }
    this.#blocks = [...byStart.values()].sort((left, right) => left.start - right.start)
  }
}

interface Range {
  readonly offset: number
  readonly length: number
  readonly signal?: AbortSignal | undefined
}

/** Block locations of a range of a file. */
export async function locate(
  { namenode }: ClientContext,
  path: string,
  { offset, length, signal }: Range,
): Promise<LocatedBlocks> {
  const { locations } = await namenode.call(
    'getBlockLocations',
    { src: path, offset, length: BigInt(length) },
    { signal },
  )
  if (locations !== undefined) return locations
  throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
}

function placed(located: LocatedBlock): PlacedBlock {
  const start = Number(located.offset)
  return { start, end: start + located.b.numBytes, located }
}

/** Part of the socket time-out after which a datanode is not waited for alone: the next one is asked, too. */
const patienceShare = 1 / 32

/** Asks the datanodes of a block under construction, one after the other, how much of it may be read. */
async function visibleLength(
  context: ClientContext,
  { b, locs }: LocatedBlock,
  signal?: AbortSignal,
): Promise<number> {
  if (locs.length === 0) return b.numBytes
  let missing = 0
  let lastError: DfsError | undefined
  const ask = async (datanode: DatanodeInfo, others: AbortSignal): Promise<number> => {
    try {
      return await askVisibleLength(context, datanode, b, others)
    } catch (error) {
      if (!isDfsError(error)) throw error
      if (error.code === 'REPLICA_NOT_FOUND') missing += 1
      lastError = error
      throw error
    }
  }
  const patienceMs = Math.ceil(context.settings['dfs.client.socket-timeout'] * patienceShare)
  const controller = new AbortController()
  const removeAbort = onAbort(signal, () => {
    controller.abort()
  })
  try {
    const asked: Promise<number>[] = []
    for (const [index, datanode] of locs.entries()) {
      asked.push(ask(datanode, controller.signal))
      const answer = firstOf(asked)
      const isLast = index === locs.length - 1
      const length = await (isLast
        ? answer
        : within({ answer, last: asked.at(-1), patienceMs, signal: controller.signal }))
      if (length !== undefined) return length
    }
  } finally {
    removeAbort()
    controller.abort()
  }
  throwIfAborted(signal)
  if (missing === locs.length) return 0
  throw new DfsError(
    'BLOCK_MISSING',
    `No datanode says how much of block ${b.blockId}, which is being written, may be read`,
    { blockId: b.blockId, cause: lastError },
  )
}

/** The first answer of those asked; `undefined` when all failed as the world may fail. */
async function firstOf(asked: readonly Promise<number>[]): Promise<number | undefined> {
  try {
    return await Promise.any(asked)
  } catch (error) {
    const failures: readonly unknown[] = error instanceof AggregateError ? error.errors : [error]
    if (failures.some((failure) => !isDfsError(failure))) throw error
    return undefined
  }
}

/** The answer, or `undefined` once `last` failed or patience is over. */
async function within({
  answer,
  last,
  patienceMs,
  signal,
}: {
  readonly answer: Promise<number | undefined>
  readonly last: Promise<number> | undefined
  readonly patienceMs: number
  readonly signal: AbortSignal
}): Promise<number | undefined> {
  const stop = new AbortController()
  const patience = pause(patienceMs, AbortSignal.any([signal, stop.signal]))
  const isOver = patience.then(
    () => undefined,
    () => undefined,
  )
  const hasFailed = last?.then(
    (length) => length,
    () => undefined,
  )
  try {
    return await Promise.race([answer, isOver, ...(hasFailed === undefined ? [] : [hasFailed])])
  } finally {
    stop.abort()
  }
}

/** @throws {@link DfsError} REPLICA_NOT_FOUND when the datanode has no such replica, IO_ERROR when it may not be read */
async function askVisibleLength(
  context: ClientContext,
  datanode: DatanodeInfo,
  block: ExtendedBlock,
  signal: AbortSignal,
): Promise<number> {
  const rpc = context.connectDatanodeRpc({ host: datanode.id.ipAddr, port: datanode.id.ipcPort })
  try {
    const { length } = await rpc.call(
      clientDatanodeProtocol,
      'getReplicaVisibleLength',
      { block },
      { signal },
    )
    if (length !== unreadableLength) return Number(length)
  } finally {
    rpc.close()
  }
  throw new DfsError('IO_ERROR', `The replica of block ${block.blockId} waits for recovery`, {
    blockId: block.blockId,
  })
}
