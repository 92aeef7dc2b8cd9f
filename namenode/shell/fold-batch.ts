import { defined, unreachable } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import {
  type BlockId,
  type DatanodeUuid,
  type InodeId,
  orphanageInodeId,
  type TxId,
  txId,
} from '../../protocol/ids.ts'
import type {
  BlockRow,
  DatanodeRow,
  InodeRow,
  NamespaceChange,
  NamespaceTotals,
  NextIds,
  RequestId,
  Transaction,
} from '../core/changes.ts'
import type { CachedReply } from '../core/requests.ts'

/** An answer of the retry cache with the time it was given. */
export interface RetryEntry {
  readonly request: RequestId
  readonly reply: CachedReply
  readonly wallTime: Millis
}

/** What became of one directory entry; `inode` is absent when it was deleted. */
export interface EntryFate {
  readonly parent: InodeId
  readonly name: string
  readonly inode: InodeId | undefined
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * Transactions on their way into the store, coalesced: of a row that changed a hundred times only the
 * last state is left. Rows are shared with the namesystem, so a batch costs little memory.
 */
export class FoldBatch {
  readonly inodes = new Map<InodeId, InodeRow | undefined>()
  readonly entries = new Map<string, EntryFate>()
  readonly blocks = new Map<BlockId, BlockRow | undefined>()
  readonly datanodes = new Map<DatanodeUuid, DatanodeRow | undefined>()
  readonly retries: RetryEntry[] = []
  /** To be added to the totals of the store. */
  readonly totalsGrowth: Mutable<NamespaceTotals> = {
    files: 0,
    directories: 0,
    symlinks: 0,
    blocks: 0,
  }
  /** Latest of each id that moved. */
  readonly nextIds: Partial<Mutable<NextIds>> = {}
  #transactionCount = 0
  #throughTxid: TxId = txId(0)
  #wallTime: Millis | undefined

  get transactionCount(): number {
    return this.#transactionCount
  }

  /** The last transaction in the batch; 0 while it is empty. */
  get throughTxid(): TxId {
    return this.#throughTxid
  }

  /** Time of the last transaction. */
  get wallTime(): Millis {
    return defined(this.#wallTime, 'time of a batch')
  }

  /** Rows that will be written or deleted. */
  get rowCount(): number {
    const { inodes, entries, blocks, datanodes, retries } = this
    return inodes.size + entries.size + blocks.size + datanodes.size + retries.length
  }

  add(transaction: Transaction): void {
    for (const change of transaction.changes) this.#addChange(change)
    const { answered, wallTime } = transaction
    if (answered !== undefined) this.retries.push({ ...answered, wallTime })
    this.#transactionCount += 1
    this.#throughTxid = transaction.txid
    this.#wallTime = wallTime
  }

  /** Adds the batch of the transactions behind this one's. */
  merge(later: FoldBatch): void {
    if (later.transactionCount === 0) return
    for (const [id, inode] of later.inodes) this.inodes.set(id, inode)
    for (const [key, fate] of later.entries) this.entries.set(key, fate)
    for (const [id, block] of later.blocks) this.blocks.set(id, block)
    for (const [uuid, datanode] of later.datanodes) this.datanodes.set(uuid, datanode)
    this.retries.push(...later.retries)
    this.totalsGrowth.files += later.totalsGrowth.files
    this.totalsGrowth.directories += later.totalsGrowth.directories
    this.totalsGrowth.symlinks += later.totalsGrowth.symlinks
    this.totalsGrowth.blocks += later.totalsGrowth.blocks
    Object.assign(this.nextIds, later.nextIds)
    this.#transactionCount += later.transactionCount
    this.#throughTxid = later.throughTxid
    this.#wallTime = later.wallTime
  }

  #addChange(change: NamespaceChange): void {
    switch (change.kind) {
      case 'inode.put':
        this.inodes.set(change.inode.id, change.inode)
        if (change.created) this.#count(change.inode.id, change.inode.kind, 1)
        break
      case 'inode.delete':
        this.inodes.set(change.id, undefined)
        this.#count(change.id, change.inodeKind, -1)
        break
      case 'entry.put':
        this.#setEntry(change.parent, change.name, change.inode)
        break
      case 'entry.delete':
        this.#setEntry(change.parent, change.name, undefined)
        break
      case 'block.put':
        this.blocks.set(change.block.id, change.block)
        if (change.created) this.totalsGrowth.blocks += 1
        break
      case 'block.delete':
        this.blocks.set(change.id, undefined)
        this.totalsGrowth.blocks -= 1
        break
      case 'datanode.put':
        this.datanodes.set(change.datanode.uuid, change.datanode)
        break
      case 'datanode.delete':
        this.datanodes.set(change.uuid, undefined)
        break
      case 'ids.allocated':
        if (change.nextInodeId !== undefined) this.nextIds.inodeId = change.nextInodeId
        if (change.nextBlockId !== undefined) this.nextIds.blockId = change.nextBlockId
        if (change.nextGenerationStamp !== undefined) {
          this.nextIds.generationStamp = change.nextGenerationStamp
        }
        break
      default:
        unreachable(change)
    }
  }

  #setEntry(parent: InodeId, name: string, inode: InodeId | undefined): void {
    this.entries.set(`${parent}/${name}`, { parent, name, inode })
  }

  /** Counts as the namesystem does; the orphanage is nobody's directory. */
  #count(id: InodeId, kind: InodeRow['kind'], growth: 1 | -1): void {
    if (id === orphanageInodeId) return
    if (kind === 'directory') this.totalsGrowth.directories += growth
    else if (kind === 'symlink') this.totalsGrowth.symlinks += growth
    else this.totalsGrowth.files += growth
  }
}
