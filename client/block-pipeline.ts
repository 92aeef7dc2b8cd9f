import { DfsError, isDfsError } from '../protocol/errors.ts'
import type { EncodableOf } from '../protocol/message.ts'
import type {
  BlockConstructionStage,
  Checksum,
  opWriteBlock,
} from '../protocol/messages/data-transfer.ts'
import type { DatanodeInfo, ExtendedBlock, LocatedBlock, Token } from '../protocol/messages/hdfs.ts'
import { pause } from './abort.ts'
import type { ClientContext } from './context.ts'
import type { ExcludedNodes } from './core/excluded-nodes.ts'
import {
  copySources,
  newcomersOf,
  type ReducedPipeline,
  type ReplacePolicy,
  replacePolicy,
  wantsReplacement,
} from './core/replace-datanode.ts'
import type { RecoveryMode } from './core/write-pipeline.ts'
import { addressName } from './datanode-connection.ts'
import { type PipelineNode, transferAddress } from './pipeline-connection.ts'
import { copyReplica } from './replica-copy.ts'

/** The open file a block belongs to. */
export interface OpenFile {
  readonly path: string
  readonly fileId: number
  readonly blockSizeBytes: number
  readonly replication: number
  readonly checksum: Checksum
  /** Datanodes that failed this file; new blocks and replacements go elsewhere. */
  readonly excluded: ExcludedNodes<DatanodeInfo>
}

/** What a pipeline is set up for. */
export interface PipelineSetup {
  readonly mode: RecoveryMode
  /** False for the first set-up of an append: the replicas are as the namenode knows them. */
  readonly isRecovery: boolean
  readonly bytesAcked: number
  readonly bytesSent: number
}

/** Times a block is asked for while no datanode can take it, and the first pause between. */
const allocationsMax = 4
const allocationPauseMs = 400
/** Datanodes that are tried, one after the other, in the place of a lost one (as HDFS's client). */
const newcomersMax = 3

/**
 * Where one block is being written: its id, stamp, token and datanodes, and the calls that change them. Knows nothing
 * of packets.
 */
export class BlockPipeline {
  /** Something of the block was flushed: it is worth more datanodes (HDFS's replacement rule). */
  isFlushed = false
  readonly #context: ClientContext
  readonly #file: OpenFile
  readonly #isAppend: boolean
  #block: ExtendedBlock | undefined
  #token: Token | undefined
  #nodes: readonly PipelineNode[] = []

  /** @param existing the block to append to, with its datanodes; without one it is to be allocated */
  constructor(context: ClientContext, file: OpenFile, existing?: LocatedBlock) {
    this.#context = context
    this.#file = file
    this.#isAppend = existing !== undefined
    if (existing !== undefined) this.#adopt(existing)
  }

  /** As the namenode knows it, `undefined` until it is allocated; the stamp changes with recoveries. */
  get block(): ExtendedBlock | undefined {
    return this.#block
  }

  get nodes(): readonly PipelineNode[] {
    return this.#nodes
  }

  get first(): PipelineNode {
    const first = this.#nodes[0]
    if (first !== undefined) return first
    throw new DfsError('NO_DATANODES', `The namenode named no datanode for "${this.#file.path}"`)
  }

  /** Addresses of the datanodes, for messages. */
  get names(): string {
    return this.#nodes.map(nameOf).join(', ')
  }

  /** @throws {@link DfsError} INTERNAL when it is not allocated */
  known(): ExtendedBlock {
    const block = this.#block
    if (block !== undefined) return block
    throw new DfsError('INTERNAL', 'A block that is not allocated is in use')
  }

  /** Asks for a block; when no datanode is left to choose from, forgets the excluded ones and asks again. */
  async allocate(previous: ExtendedBlock | undefined): Promise<void> {
    const { path, fileId, excluded } = this.#file
    for (let attempt = 1; ; attempt += 1) {
      const excludeNodes = excluded.list(this.#now())
      try {
        const { block } = await this.#context.namenode.call('addBlock', {
          src: path,
          clientName: this.#context.clientName,
          fileId,
          ...(previous === undefined ? {} : { previous }),
          ...(excludeNodes.length === 0 ? {} : { excludeNodes }),
        })
        this.#adopt(block)
        return
      } catch (error) {
        if (!isDfsError(error, 'NO_DATANODES') || attempt >= allocationsMax) throw error
        excluded.clear()
        await pause(allocationPauseMs * 2 ** (attempt - 1))
      }
    }
  }

  /** Gives the block back: nothing of it was acknowledged, it is written anew. */
  async abandon(): Promise<void> {
    const block = this.#block
    if (block === undefined) return
    this.#block = undefined
    await this.#context.namenode.call('abandonBlock', {
      b: block,
      src: this.#file.path,
      holder: this.#context.clientName,
      fileId: this.#file.fileId,
    })
  }

  /** Has the datanodes at `failed` avoided; takes them out of the pipeline unless the block starts anew. */
  leaveOut(failed: readonly number[], mode: RecoveryMode): readonly PipelineNode[] {
    const left = this.#nodes.filter((_node, index) => failed.includes(index))
    for (const node of left) this.#exclude(node)
    if (mode !== 'new-block') this.#nodes = this.#nodes.filter((node) => !left.includes(node))
    return left
  }

  /** Takes a datanode back that nobody could replace. */
  takeBack(node: PipelineNode): void {
    this.#file.excluded.delete(node.info.id.datanodeUuid)
    this.#nodes = [...this.#nodes, node]
  }

  /** Fewer datanodes than the file should have replicas. */
  get isWeak(): boolean {
    return this.#nodes.length < this.#file.replication
  }

  /** Whether a datanode could join now: one that was away may be back. */
  async canGrow(bytesAcked: number): Promise<boolean> {
    if (this.#policy() === 'NEVER') return false
    const newcomer = await this.#additional(bytesAcked, [])
    if (newcomer === undefined) return false
    this.#file.excluded.delete(newcomer.node.info.id.datanodeUuid)
    return true
  }

  /**
   * Brings the pipeline back to strength as far as HDFS's rule wants that: other datanodes get a copy of what was
   * acknowledged, then join.
   *
   * @param isWanted overrules the DEFAULT rule, as for a slow datanode, which is left only for another one
   * @returns whether one joined
   * @throws {@link DfsError} IO_ERROR when none could and the setting for best effort is off
   */
  async replaceLost(setup: PipelineSetup, isWanted = false): Promise<boolean> {
    const policy = this.#policy()
    const effective = isWanted && policy === 'DEFAULT' ? 'ALWAYS' : policy
    let hasJoined = false
    while (wantsReplacement(effective, this.#reduced(setup.mode))) {
      const failures = await this.#addOne(setup.bytesAcked)
      if (failures !== undefined) {
        this.#complain(failures, { isFatal: !hasJoined && !isWanted })
        return hasJoined
      }
      hasJoined = true
    }
    return hasJoined
  }

  #policy(): ReplacePolicy {
    const { settings } = this.#context
    return replacePolicy(settings['dfs.client.block.write.replace-datanode-on-failure.policy'])
  }

  #reduced(mode: RecoveryMode): ReducedPipeline {
    const { replication } = this.#file
    const nodeCount = this.#nodes.length
    return { mode, replication, nodeCount, isAppend: this.#isAppend, isFlushed: this.isFlushed }
  }

  /** Has one datanode join. Returns why none could, `undefined` when one did. */
  async #addOne(bytesAcked: number): Promise<readonly string[] | undefined> {
    const failures: string[] = []
    for (let attempt = 1; attempt <= newcomersMax; attempt += 1) {
      const newcomer = await this.#askForNewcomer(bytesAcked)
      if (newcomer === undefined) break
      const failure = await this.#copyTo(newcomer, bytesAcked)
      if (failure === undefined) {
        this.#nodes = newcomer.nodes
        return undefined
      }
      failures.push(failure.message)
      this.#exclude(newcomer.node)
    }
    return failures
  }

  #complain(failures: readonly string[], { isFatal }: { readonly isFatal: boolean }): void {
    const { settings, logger } = this.#context
    const { path } = this.#file
    const tried = failures.length === 0 ? 'the namenode knows no other' : failures.join('; ')
    const reason = `Cannot replace a lost datanode of block ${this.known().blockId}: ${tried}`
    const goesOn = settings['dfs.client.block.write.replace-datanode-on-failure.best-effort']
    if (isFatal && !goesOn) {
      throw new DfsError('IO_ERROR', `${reason} (left: ${this.names})`, { path })
    }
    logger.warn('datanode-not-replaced', { path, reason })
  }

  /** A new generation stamp for the block; nobody knows it yet. */
  async newStamp(bytesAcked: number): Promise<number> {
    const { block } = await this.#context.namenode.call('updateBlockForPipeline', {
      block: { ...this.known(), numBytes: bytesAcked },
      clientName: this.#context.clientName,
    })
    this.#token = block.blockToken
    return block.b.generationStamp
  }

  /** Declares the pipeline that was set up under `generationStamp`; replicas elsewhere are stale from now on. */
  async declare(generationStamp: number, numBytes: number): Promise<void> {
    const oldBlock = { ...this.known(), numBytes }
    const newBlock = { ...oldBlock, generationStamp }
    await this.#context.namenode.call('updatePipeline', {
      clientName: this.#context.clientName,
      oldBlock,
      newBlock,
      newNodes: this.#nodes.map(({ info }) => info.id),
      storageIDs: this.#nodes.flatMap(({ storageId }) => storageId ?? []),
    })
    this.#block = newBlock
  }

  /** What the first datanode is sent. */
  operation(setup: PipelineSetup, newStamp: number): EncodableOf<typeof opWriteBlock> {
    const [first, ...others] = this.#nodes
    const stages = setup.isRecovery ? recoveryStages : firstStages
    return {
      header: {
        baseHeader: {
          block: { ...this.known(), numBytes: this.#file.blockSizeBytes },
          ...(this.#token === undefined ? {} : { token: this.#token }),
        },
        clientName: this.#context.clientName,
      },
      targets: others.map(({ info }) => info),
      stage: stages[setup.mode],
      pipelineSize: this.#nodes.length,
      minBytesRcvd: setup.bytesAcked,
      maxBytesRcvd: setup.bytesSent,
      latestGenerationStamp: newStamp,
      requestedChecksum: this.#file.checksum,
      cachingStrategy: {},
      storageType: first?.storageType ?? 'DISK',
      targetStorageTypes: others.map(({ storageType }) => storageType),
      ...(first?.storageId === undefined ? {} : { storageId: first.storageId }),
      targetStorageIds: others.flatMap(({ storageId }) => storageId ?? []),
    }
  }

  #exclude({ info }: PipelineNode): void {
    this.#file.excluded.add(info.id.datanodeUuid, info, this.#now())
  }

  #now(): number {
    return this.#context.clock.monotonic()
  }

  #adopt({ b, blockToken, locs, storageIDs, storageTypes }: LocatedBlock): void {
    this.#block = b
    this.#token = blockToken
    this.#nodes = nodesOf({ locs, storageIDs, storageTypes })
  }

  /** Asks for one more datanode; when all others are excluded, once more without those that failed earlier. */
  async #askForNewcomer(bytesAcked: number): Promise<Newcomer | undefined> {
    const { excluded } = this.#file
    const avoided = excluded.list(this.#now())
    const found = await this.#additional(bytesAcked, avoided)
    if (found !== undefined || avoided.length <= 1) return found
    // A datanode that failed long ago may be back; the one that failed last is not tried again at once.
    excluded.keepLatest()
    return this.#additional(bytesAcked, excluded.list(this.#now()))
  }

  async #additional(
    numBytes: number,
    excludes: readonly DatanodeInfo[],
  ): Promise<Newcomer | undefined> {
    const existing = this.#nodes
    const { block } = await this.#context.namenode.call('getAdditionalDatanode', {
      src: this.#file.path,
      fileId: this.#file.fileId,
      blk: { ...this.known(), numBytes },
      existings: existing.map(({ info }) => info),
      existingStorageUuids: existing.flatMap(({ storageId }) => storageId ?? []),
      excludes,
      numAdditionalNodes: 1,
      clientName: this.#context.clientName,
    })
    const answer = nodesOf(block)
    const known = existing.map(({ info }) => info.id.datanodeUuid)
    const [position] = newcomersOf(
      known,
      answer.map(({ info }) => info.id.datanodeUuid),
    )
    const node = position === undefined ? undefined : answer[position]
    if (position === undefined || node === undefined) return undefined
    return { node, position, nodes: answer, token: block.blockToken }
  }

  /** Has one of the datanodes left send its replica; returns the last failure when none could. */
  async #copyTo(
    { node, position, nodes, token }: Newcomer,
    numBytes: number,
  ): Promise<DfsError | undefined> {
    let failure: DfsError | undefined
    for (const index of copySources(position, nodes.length)) {
      const source = nodes[index]
      if (source === undefined) continue
      const block = { ...this.known(), numBytes }
      try {
        await copyReplica(this.#context, { block, token, source, target: node })
        return undefined
      } catch (error) {
        if (!isDfsError(error)) throw error
        failure = error
        this.#context.logger.warn('replica-copy-failed', {
          blockId: block.blockId,
          source: nameOf(source),
          target: nameOf(node),
          error,
        })
      }
    }
    return failure
  }
}

/** A datanode that may join, and the pipeline as it then is: the namenode decides the order. */
interface Newcomer {
  readonly node: PipelineNode
  readonly position: number
  readonly nodes: readonly PipelineNode[]
  readonly token: Token
}

function nodesOf({
  locs,
  storageIDs,
  storageTypes,
}: Pick<LocatedBlock, 'locs' | 'storageIDs' | 'storageTypes'>): readonly PipelineNode[] {
  return locs.map((info, index) => ({
    info,
    storageId: storageIDs[index],
    storageType: storageTypes[index] ?? 'DISK',
  }))
}

/** Address of a datanode, for messages. */
export function nameOf({ info }: PipelineNode): string {
  return addressName(transferAddress(info))
}

type Stages = Readonly<Record<RecoveryMode, BlockConstructionStage>>

const recoveryStages: Stages = {
  'new-block': 'PIPELINE_SETUP_CREATE',
  append: 'PIPELINE_SETUP_APPEND_RECOVERY',
  streaming: 'PIPELINE_SETUP_STREAMING_RECOVERY',
  close: 'PIPELINE_CLOSE_RECOVERY',
}
const firstStages: Stages = { ...recoveryStages, append: 'PIPELINE_SETUP_APPEND' }
