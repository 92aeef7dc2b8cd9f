import { ReadPlan } from '../../client/core/read-plan.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import { blockId, generationStamp } from '../../protocol/ids.ts'
import { createFlags, type LocatedBlock } from '../../protocol/messages/hdfs.ts'
import { type Content, contentLength, type DrawnPacket, type Safety } from './content.ts'
import { isRotten, lengthOf, type Stretch, sliceOf } from './replica-disk.ts'
import type { SimClient } from './sim-client.ts'
import { SimBlockWriter, type SimOpenFile } from './sim-writer.ts'

const completesMax = 40
const completePauseMs = 400
/** Every byte of a file, in one question. */
const wholeFile = 2n ** 63n - 1n

export interface WriteOptions {
  readonly replication: number
  readonly blockBytes: number
  /** So many bytes of the file are flushed or synced now. */
  readonly onSafe: (length: number, safety: Safety) => void
}

/** What is written: packets of each block. */
export type DrawnContent = readonly (readonly DrawnPacket[])[]

/** Creates a file, replacing what is there, writes `content` and completes it. @throws {@link DfsError} */
export async function writeFile(
  client: SimClient,
  path: string,
  content: DrawnContent,
  options: WriteOptions,
): Promise<void> {
  client.openFiles += 1
  try {
    await writeOpenFile(client, path, content, options)
  } finally {
    client.openFiles -= 1
  }
}

async function writeOpenFile(
  client: SimClient,
  path: string,
  content: DrawnContent,
  { replication, blockBytes, onSafe }: WriteOptions,
): Promise<void> {
  const { fs } = await client.call('create', {
    src: path,
    masked: { perm: 0o644 },
    clientName: client.clientName,
    createFlag: createFlags.CREATE | createFlags.OVERWRITE,
    createParent: true,
    replication,
    blockSize: blockBytes,
  })
  const excluded: SimOpenFile['excluded'] = new Map()
  let previous: LocatedBlock['b'] | undefined
  for (const [index, block] of content.entries()) {
    const before = contentLength(content.slice(0, index))
    const file: SimOpenFile = {
      ...{ path, fileId: fs?.fileId ?? 0, excluded },
      onSafe: (length, safety) => {
        onSafe(before + length, safety)
      },
    }
    previous = await new SimBlockWriter(client, file, previous).write(block)
  }
  const fileId = fs?.fileId ?? 0
  for (let attempt = 1; ; attempt += 1) {
    const { result } = await client.call('complete', {
      src: path,
      clientName: client.clientName,
      fileId,
      ...(previous === undefined ? {} : { last: previous }),
    })
    if (result) return
    if (attempt === completesMax) throw new DfsError('IO_ERROR', `Cannot complete "${path}"`)
    await client.pause(completePauseMs)
  }
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

async function locate(
  client: SimClient,
  path: string,
): Promise<{ readonly blocks: readonly LocatedBlock[]; readonly isOpen: boolean }> {
  const request = { src: path, offset: 0, length: wholeFile }
  const { locations } = await client.call('getBlockLocations', request)
  if (locations === undefined) throw new DfsError('FILE_NOT_FOUND', `No file "${path}"`)
  const { blocks, underConstruction } = locations
  if (!underConstruction) return { blocks, isOpen: false }
  const lastId = locations.lastBlock?.b.blockId
  return { blocks: blocks.filter(({ b }) => b.blockId !== lastId), isOpen: true }
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
      const { blocks } = await locate(client, wanted.path)
      block = blocks[wanted.index] ?? block
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
