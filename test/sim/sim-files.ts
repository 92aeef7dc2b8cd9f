import { AssertionError } from 'node:assert'
import { ReadPlan } from '../../client/core/read-plan.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import { createFlags, type LocatedBlock } from '../../protocol/messages/hdfs.ts'
import type { ExtendedBlock } from '../../protocol/messages/hdfs-blocks.ts'
import { type Content, type DrawnPacket, type Safety } from './content.ts'
import { isRotten, lengthOf, type Stretch, sliceOf } from './replica-disk.ts'
import type { SimClient } from './sim-client.ts'
import { SimBlockWriter, type SimOpenFile } from './sim-writer.ts'

const completesMax = 40
const completePauseMs = 400
const closedChecksMax = 60
const closedCheckMs = 1000
/** Every byte of a file, in one question. */
const wholeFile = 2n ** 63n - 1n

export interface WriteOptions {
  readonly replication: number
  readonly blockBytes: number
  /** So many bytes of the file are flushed or synced now; the last of them were sent at `sentAt`. */
  readonly onSafe: (length: number, safety: Safety, sentAt: number) => void
}

/** What is written: packets of each block. */
export type DrawnContent = readonly (readonly DrawnPacket[])[]

/** Creates a file, replacing what is there, writes `content` and completes it. @throws {@link DfsError} */
export function writeFile(
  client: SimClient,
  path: string,
  content: DrawnContent,
  options: WriteOptions,
): Promise<void> {
  return whileOpen(client, async () => {
    const { fs } = await client.call('create', {
      src: path,
      masked: { perm: 0o644 },
      clientName: client.clientName,
      createFlag: createFlags.CREATE | createFlags.OVERWRITE,
      createParent: true,
      replication: options.replication,
      blockSize: options.blockBytes,
    })
    const fileId = fs?.fileId ?? 0
    const last = await writeBlocks(client, { path, fileId, content, ...options })
    await complete(client, { path, fileId, last })
  })
}

/** What an append is to add: chosen when it is known how long the last block is. */
export type AppendPlan = (lastBlockBytes: number) => DrawnContent

/**
 * Opens a file at its end, writes more and completes it. A first element of the plan's content that does not begin at
 * 0 goes on with the last block. @throws {@link DfsError}
 */
export function appendFile(
  client: SimClient,
  path: string,
  plan: AppendPlan,
  options: WriteOptions,
): Promise<void> {
  return whileOpen(client, async () => {
    const { block, stat } = await client.call('append', {
      src: path,
      clientName: client.clientName,
    })
    const fileId = stat?.fileId ?? 0
    const content = plan(block?.b.numBytes ?? 0)
    const appendTo = block === undefined ? {} : { appendTo: block }
    const last = await writeBlocks(client, { path, fileId, content, ...options, ...appendTo })
    await complete(client, { path, fileId, last })
  })
}

/** Cuts a file to `newLength` bytes and waits until that is done. @throws {@link DfsError} */
export async function truncateFile(
  client: SimClient,
  path: string,
  newLength: number,
): Promise<void> {
  const { clientName } = client
  const { result } = await client.call('truncate', { src: path, newLength, clientName })
  if (result) return
  for (let attempt = 1; ; attempt += 1) {
    const { result: isClosed } = await client.call('isFileClosed', { src: path })
    if (isClosed) return
    if (attempt === closedChecksMax) throw new DfsError('IO_ERROR', `Cannot truncate "${path}"`)
    await client.pause(closedCheckMs)
  }
}

/** Keeps the client's lease for as long as `action` takes. */
async function whileOpen(client: SimClient, action: () => Promise<void>): Promise<void> {
  client.openFiles += 1
  try {
    await action()
  } finally {
    client.openFiles -= 1
  }
}

interface BlocksToWrite extends WriteOptions {
  readonly path: string
  readonly fileId: number
  readonly content: DrawnContent
  readonly appendTo?: LocatedBlock
}

/** Writes block after block. Returns the last one, if there is any. */
async function writeBlocks(
  client: SimClient,
  { path, fileId, content, onSafe, appendTo }: BlocksToWrite,
): Promise<ExtendedBlock | undefined> {
  const excluded: SimOpenFile['excluded'] = new Map()
  let previous = appendTo?.b
  let before = 0
  for (const [index, block] of content.entries()) {
    const start = before
    const file: SimOpenFile = {
      ...{ path, fileId, excluded },
      onSafe: (length, safety, sentAt) => {
        onSafe(start + length - (block[0]?.offset ?? 0), safety, sentAt)
      },
    }
    const isAppending = index === 0 && appendTo !== undefined && (block[0]?.offset ?? 0) > 0
    const from = isAppending ? { appendTo } : { previous }
    previous = await new SimBlockWriter(client, file, from).write(block)
    before += lengthOf(block) - (block[0]?.offset ?? 0)
  }
  return previous
}

async function complete(
  client: SimClient,
  file: {
    readonly path: string
    readonly fileId: number
    readonly last: ExtendedBlock | undefined
  },
): Promise<void> {
  const { path: src, fileId, last } = file
  const { clientName } = client
  for (let attempt = 1; ; attempt += 1) {
    const request = { src, clientName, fileId, ...(last === undefined ? {} : { last }) }
    const { result } = await client.call('complete', request).catch(requireAgreement)
    if (result) return
    if (attempt === completesMax) throw new DfsError('IO_ERROR', `Cannot complete "${src}"`)
    await client.pause(completePauseMs)
  }
}

/** Who holds the lease and the namenode never disagree about the block that is written. */
function requireAgreement(error: unknown): never {
  if (isDfsError(error, 'IO_ERROR') && /mismatching GS|inconsistent block/.test(error.message)) {
    throw new AssertionError({ message: error.message })
  }
  throw error
}

/** What a reader got. */
export interface ReadResult {
  readonly content: Content
  readonly isOpen: boolean
}

/** Reads a file; of an open one the blocks before the last. @throws {@link DfsError} FILE_NOT_FOUND, BLOCK_MISSING */
export async function readFile(client: SimClient, path: string): Promise<ReadResult> {
  const plan = new ReadPlan(client.suspects)
  const located = await locate(client, path)
  const content: (readonly Stretch[])[] = []
  for (const [index, block] of located.blocks.entries()) {
    content.push(await readBlock(client, plan, { path, index, block }))
  }
  return { content, isOpen: located.isOpen }
}

/**
 * Reads a file as whoever follows one that is being written does: of the last block what a datanode says may be read.
 *
 * @throws {@link DfsError} as {@link readFile}; BLOCK_MISSING also when no datanode says how much that is
 */
export async function readOpenFile(client: SimClient, path: string): Promise<ReadResult> {
  const plan = new ReadPlan(client.suspects)
  const located = await locate(client, path)
  const content: (readonly Stretch[])[] = []
  for (const [index, block] of located.blocks.entries()) {
    content.push(await readBlock(client, plan, { path, index, block }))
  }
  const { openBlock, isOpen } = located
  if (openBlock !== undefined) {
    const numBytes = await visibleLength(client, openBlock)
    const block = { ...openBlock, b: { ...openBlock.b, numBytes } }
    const index = located.blocks.length
    if (numBytes > 0) content.push(await readBlock(client, plan, { path, index, block }))
  }
  return { content, isOpen }
}

/** How much may be read of a block that is being written: as the real client, whatever one of its datanodes says. */
async function visibleLength(client: SimClient, { b, locs }: LocatedBlock): Promise<number> {
  if (locs.length === 0) return b.numBytes
  let missing = 0
  for (const { id } of locs) {
    try {
      const length = await client.visibleLength(client.world.datanode(id.ipAddr), b)
      if (length !== undefined) return length
    } catch (error) {
      if (!isDfsError(error)) throw error
      if (error.code === 'REPLICA_NOT_FOUND') missing += 1
    }
  }
  if (missing === locs.length) return 0
  throw new DfsError('BLOCK_MISSING', `Nobody says how long block ${b.blockId} is`)
}

interface Located {
  /** All blocks but the open one. */
  readonly blocks: readonly LocatedBlock[]
  readonly isOpen: boolean
  /** The last block, while it is being written. */
  readonly openBlock?: LocatedBlock
}

async function locate(client: SimClient, path: string): Promise<Located> {
  const request = { src: path, offset: 0, length: wholeFile }
  const { locations } = await client.call('getBlockLocations', request)
  if (locations === undefined) throw new DfsError('FILE_NOT_FOUND', `No file "${path}"`)
  const { blocks, underConstruction, lastBlock, isLastBlockComplete } = locations
  if (!underConstruction) return { blocks, isOpen: false }
  if (lastBlock === undefined || isLastBlockComplete) return { blocks, isOpen: true }
  const before = blocks.filter(({ b }) => b.blockId !== lastBlock.b.blockId)
  return { blocks: before, isOpen: true, openBlock: lastBlock }
}

interface Wanted {
  readonly path: string
  readonly index: number
  readonly block: LocatedBlock
}

async function readBlock(
  client: SimClient,
  plan: ReadPlan,
  wanted: Wanted,
): Promise<readonly Stretch[]> {
  let { block } = wanted
  plan.start(`${block.b.blockId}`)
  for (;;) {
    const names = block.locs.map(({ id }) => id.ipAddr)
    const step = plan.choose(names, client.now)
    if (step.kind === 'give-up') {
      const tried = step.failures.map(({ datanode, failure }) => `${datanode}: ${failure}`)
      throw new DfsError(
        'BLOCK_MISSING',
        `Block ${block.b.blockId} of "${wanted.path}" cannot be read: ${tried.join(', ')}`,
      )
    }
    if (step.kind === 'refresh') {
      await client.pause(step.delayMs)
      const { blocks, openBlock } = await locate(client, wanted.path)
      const fresh = blocks[wanted.index] ?? openBlock ?? block
      if (fresh.b.blockId !== block.b.blockId) {
        throw new DfsError('BLOCK_MISSING', `"${wanted.path}" was replaced while it was read`)
      }
      // What was visible of an open block when it was looked at stays what is wanted.
      const numBytes = Math.max(block.b.numBytes, fresh.b.numBytes)
      block = { ...fresh, b: { ...fresh.b, numBytes } }
      plan.refreshed()
      continue
    }
    const name = names[step.index] ?? ''
    const stretches = await readReplica(client, plan, name, block)
    if (stretches !== undefined) return stretches
  }
}

async function readReplica(
  client: SimClient,
  plan: ReadPlan,
  name: string,
  { b, blockToken }: LocatedBlock,
): Promise<readonly Stretch[] | undefined> {
  const { network } = client.world
  const datanode = client.world.datanode(name)
  try {
    const { stretches } = await network.call(client.peer, datanode.peer, () =>
      datanode.read(blockId(b.blockId), generationStamp(b.generationStamp)),
    )
    const wanted = sliceOf(stretches, 0, b.numBytes)
    if (wanted.some(isRotten)) {
      plan.failed(name, 'corrupt', client.now)
      await reportCorrupt(client, name, { b, blockToken })
      return undefined
    }
    if (lengthOf(wanted) === b.numBytes) {
      plan.progressed(name)
      return wanted
    }
    plan.failed(name, 'missing', client.now)
  } catch (error) {
    if (!isDfsError(error)) throw error
    const isMissing = isDfsError(error, 'REPLICA_NOT_FOUND')
    plan.failed(name, isMissing ? 'missing' : 'unreachable', client.now)
  }
  return undefined
}

/** Tells the namenode, as clients do; that the telling may get lost is part of the game. */
async function reportCorrupt(
  client: SimClient,
  name: string,
  { b, blockToken }: Pick<LocatedBlock, 'b' | 'blockToken'>,
): Promise<void> {
  const locs = [{ id: client.world.datanode(name).self }]
  const bad = { b, offset: 0n, locs, corrupt: false, blockToken, storageIDs: [''] }
  await client.call('reportBadBlocks', { blocks: [bad] })
}
