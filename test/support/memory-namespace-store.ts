import { millis } from '../../base/brand.ts'
import type { BlockRow, DatanodeRow, InodeRow, RequestId } from '../../namenode/core/changes.ts'
import type { CachedReply, Loaded, Miss } from '../../namenode/core/requests.ts'
import { retryEntryLifeMs } from '../../namenode/format/schema.ts'
import type { FoldBatch, RetryEntry } from '../../namenode/shell/fold-batch.ts'
import {
  type NamespaceIdentity,
  type NamespaceStore,
  positionAfter,
  type StoredBlock,
  type StorePosition,
} from '../../namenode/shell/namespace-store.ts'
import {
  type BlockId,
  type DatanodeUuid,
  firstBlockId,
  firstGenerationStamp,
  type InodeId,
  inodeId,
  rootInodeId,
  txId,
} from '../../protocol/ids.ts'

export const testIdentity: NamespaceIdentity = {
  clusterId: 'CID-00000000-0000-4000-8000-000000000001',
  namespaceId: 1710856606,
  blockPoolId: 'BP-1-127.0.0.1-1700000000000',
  cTime: millis(1_700_000_000_000),
}

/**
 * A namespace store in memory with the contract of the SQLite one: folds are atomic and durable at once,
 * loads answer with the rows as of one fold. Survives its users, as a disk does.
 */
export class MemoryNamespaceStore implements NamespaceStore {
  readonly identity: NamespaceIdentity
  position: StorePosition = {
    appliedTxid: txId(0),
    nextIds: {
      inodeId: inodeId(rootInodeId + 1),
      blockId: firstBlockId,
      generationStamp: firstGenerationStamp,
    },
    totals: { files: 0, directories: 0, symlinks: 0, blocks: 0 },
  }
  readonly #inodes = new Map<InodeId, InodeRow>()
  readonly #children = new Map<InodeId, Map<string, InodeId>>()
  readonly #blocks = new Map<BlockId, BlockRow>()
  readonly #blocksByInode = new Map<InodeId, Map<number, BlockRow>>()
  readonly #datanodes = new Map<DatanodeUuid, DatanodeRow>()
  #retries = new Map<string, RetryEntry>()
  /** Awaited by every load and fold; a rejection fails it. */
  beforeWork: (work: 'load' | 'fold') => Promise<void> = () => Promise.resolve()

  constructor(identity: NamespaceIdentity = testIdentity) {
    this.identity = identity
  }

  async load(misses: readonly Miss[]): Promise<readonly Loaded[]> {
    const loaded = misses.map((miss) => this.#loadOne(miss))
    await this.beforeWork('load')
    return loaded
  }

  async *streamBlocks(pageRows: number): AsyncIterable<readonly StoredBlock[]> {
    const rows = [...this.#blocks.values()].sort(
      (left, right) => left.inode - right.inode || left.index - right.index,
    )
    for (let from = 0; from < rows.length; from += pageRows) {
      await this.beforeWork('load')
      yield rows.slice(from, from + pageRows).map((block) => ({
        block,
        replication: this.#inodes.get(block.inode)?.replication ?? 0,
      }))
    }
  }

  openFiles(): Promise<readonly InodeRow[]> {
    return Promise.resolve([...this.#inodes.values()].filter(({ lease }) => lease !== undefined))
  }

  datanodes(): Promise<readonly DatanodeRow[]> {
    return Promise.resolve([...this.#datanodes.values()])
  }

  async reply({ clientId, callId }: RequestId, since: number): Promise<CachedReply | undefined> {
    const entry = this.#retries.get(`${clientId}:${callId}`)
    await this.beforeWork('load')
    return entry !== undefined && entry.wallTime >= since ? entry.reply : undefined
  }

  async fold(batch: FoldBatch): Promise<void> {
    await this.beforeWork('fold')
    for (const { parent, name, inode } of batch.entries.values()) {
      const children = this.#children.get(parent) ?? new Map<string, InodeId>()
      this.#children.set(parent, children)
      if (inode === undefined) children.delete(name)
      else children.set(name, inode)
    }
    for (const id of batch.blocks.keys()) this.#removeBlock(id)
    for (const block of batch.blocks.values()) if (block !== undefined) this.#putBlock(block)
    for (const [id, inode] of batch.inodes) {
      if (inode === undefined) this.#inodes.delete(id)
      else this.#inodes.set(id, inode)
    }
    for (const [uuid, datanode] of batch.datanodes) {
      if (datanode === undefined) this.#datanodes.delete(uuid)
      else this.#datanodes.set(uuid, datanode)
    }
    for (const entry of batch.retries) {
      this.#retries.set(`${entry.request.clientId}:${entry.request.callId}`, entry)
    }
    const oldest = batch.wallTime - retryEntryLifeMs
    this.#retries = new Map([...this.#retries].filter(([, { wallTime }]) => wallTime >= oldest))
    this.position = positionAfter(this.position, batch)
  }

  /** One line for each row and counter, in a fixed order; equal for equal stores. */
  describe(): readonly string[] {
    const entries = [...this.#children]
      .flatMap(([parent, children]) => [...children].map(([name, id]) => `${parent} ${name} ${id}`))
      .sort()
    const rows = [this.position, ...sorted(this.#inodes), ...sorted(this.#blocks)]
    return [...entries, ...rows.map(canonical)]
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #loadOne(miss: Miss): Loaded {
    switch (miss.kind) {
      case 'inode':
        return { kind: 'inode', id: miss.id, inode: this.#inodes.get(miss.id) }
      case 'entry': {
        const { parent, name } = miss
        const id = this.#children.get(parent)?.get(name)
        const inode = id === undefined ? undefined : this.#inodes.get(id)
        return { kind: 'entry', parent, name, inode }
      }
      case 'blocks-of-inode': {
        const blocks = [...(this.#blocksByInode.get(miss.inode)?.values() ?? [])]
        blocks.sort((left, right) => left.index - right.index)
        return { kind: 'blocks-of-inode', inode: miss.inode, blocks }
      }
      case 'block':
        return { kind: 'block', id: miss.id, block: this.#blocks.get(miss.id) }
      case 'children':
        return this.#loadChildren(miss)
    }
  }

  #loadChildren(miss: Extract<Miss, { kind: 'children' }>): Loaded {
    const { parent, startAfter, limit } = miss
    const names = [...(this.#children.get(parent)?.keys() ?? [])]
      .filter((name) => compareBytes(name, startAfter) > 0)
      .sort(compareBytes)
    const children = names.slice(0, limit).flatMap((name) => {
      const id = this.#children.get(parent)?.get(name)
      const inode = id === undefined ? undefined : this.#inodes.get(id)
      return inode === undefined ? [] : [{ name, inode }]
    })
    return { kind: 'children', parent, startAfter, children, isEnd: names.length <= limit }
  }

  #putBlock(block: BlockRow): void {
    this.#blocks.set(block.id, block)
    const rows = this.#blocksByInode.get(block.inode) ?? new Map<number, BlockRow>()
    rows.set(block.index, block)
    this.#blocksByInode.set(block.inode, rows)
  }

  #removeBlock(id: BlockId): void {
    const block = this.#blocks.get(id)
    if (block === undefined) return
    this.#blocks.delete(id)
    this.#blocksByInode.get(block.inode)?.delete(block.index)
  }
}

function compareBytes(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right))
}

/** Values in the order of their keys. */
function sorted<Key extends number, Value>(map: ReadonlyMap<Key, Value>): readonly Value[] {
  return [...map].sort(([left], [right]) => left - right).map(([, value]) => value)
}

/** JSON with the fields of each object in the order of their names. */
function canonical(value: object): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort())
      : typeof item === 'bigint'
        ? item.toString()
        : item,
  )
}
