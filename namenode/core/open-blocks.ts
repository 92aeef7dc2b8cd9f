/**
 * Blocks that somebody writes or recovers, and blocks whose reports disagree before their row is
 * known: the few for which every replica needs its own stamp, length and state.
 *
 * `expected` is the pipeline as the namenode ordered it, first datanode first; `replicas` is what
 * datanodes reported. A datanode may report a stamp that is newer than the row's, because it learns of
 * a pipeline recovery before the namenode does; such a report is kept until the row catches up.
 */
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import type { DatanodeRecord, StorageRecord } from './datanode-registry.ts'

/** `writing`: rbw; `waiting`: rwr, its datanode restarted; `finalized`: complete in its datanode's eyes. */
export type OpenReplicaState = 'writing' | 'waiting' | 'finalized'

export interface OpenReplica {
  readonly storage: StorageRecord
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly state: OpenReplicaState
  readonly isCorrupt: boolean
  /** Of a finalized replica whose datanode told. */
  readonly digest?: bigint | undefined
}

export interface OpenBlock {
  expected: readonly StorageRecord[]
  /** At most one a datanode. */
  replicas: OpenReplica[]
  /** Leads its recovery; absent when nobody was asked, or who was asked has died or started over since. */
  primary: DatanodeRecord | undefined
  /** Who has led it so far, each once before anybody twice. */
  formerPrimaries: readonly DatanodeRecord[]
}

/** Block → pipeline and reported replicas, for blocks that are not complete. */
export class OpenBlocks {
  readonly #blocks = new Map<BlockId, OpenBlock>()

  get count(): number {
    return this.#blocks.size
  }

  has(id: BlockId): boolean {
    return this.#blocks.size > 0 && this.#blocks.has(id)
  }

  find(id: BlockId): OpenBlock | undefined {
    return this.#blocks.get(id)
  }

  entries(): IterableIterator<[BlockId, OpenBlock]> {
    return this.#blocks.entries()
  }

  ensure(id: BlockId): OpenBlock {
    const known = this.#blocks.get(id)
    if (known !== undefined) return known
    const block: OpenBlock = {
      expected: [],
      replicas: [],
      primary: undefined,
      formerPrimaries: [],
    }
    this.#blocks.set(id, block)
    return block
  }

  /** Sets the pipeline; storages that are new in it have one more promise to keep. */
  expect(id: BlockId, storages: readonly StorageRecord[]): void {
    const block = this.ensure(id)
    releasePromises(block)
    block.expected = storages
    for (const storage of storages) if (isPromised(block, storage)) storage.scheduledCount += 1
  }

  /** Records what a datanode reports; a later report of the same datanode replaces its earlier one. */
  report(id: BlockId, replica: OpenReplica): void {
    const block = this.ensure(id)
    releasePromises(block)
    block.replicas = block.replicas.filter(({ storage }) => storage.node !== replica.storage.node)
    block.replicas.push(replica)
    for (const storage of block.expected) {
      if (isPromised(block, storage)) storage.scheduledCount += 1
    }
  }

  /** Forgets the replica on a storage. Returns whether there was one. */
  removeReplica(id: BlockId, storage: StorageRecord): boolean {
    const block = this.#blocks.get(id)
    if (block === undefined) return false
    const kept = block.replicas.filter((replica) => replica.storage !== storage)
    if (kept.length === block.replicas.length) return false
    releasePromises(block)
    block.replicas = kept
    for (const expected of block.expected) {
      if (isPromised(block, expected)) expected.scheduledCount += 1
    }
    return true
  }

  /** A datanode started over or died: recoveries that it led have to be led by another. */
  primaryLost(node: DatanodeRecord): void {
    for (const block of this.#blocks.values()) {
      if (block.primary === node) block.primary = undefined
    }
  }

  /** Removes and returns a block. */
  take(id: BlockId): OpenBlock | undefined {
    const block = this.#blocks.get(id)
    if (block === undefined) return undefined
    releasePromises(block)
    this.#blocks.delete(id)
    return block
  }
}

/** A pipeline member keeps its promise of space when its replica is finalized. */
function isPromised(block: OpenBlock, storage: StorageRecord): boolean {
  return !block.replicas.some(
    (replica) => replica.storage.node === storage.node && replica.state === 'finalized',
  )
}

function releasePromises(block: OpenBlock): void {
  for (const storage of block.expected) {
    if (isPromised(block, storage)) storage.scheduledCount -= 1
  }
}
