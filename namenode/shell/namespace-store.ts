import type { Millis } from '../../base/brand.ts'
import type { TxId } from '../../protocol/ids.ts'
import type {
  BlockRow,
  DatanodeRow,
  InodeRow,
  NamespaceTotals,
  NextIds,
  RequestId,
} from '../core/changes.ts'
import type { CachedReply, Loaded, Miss } from '../core/requests.ts'
import type { RestoreRecord } from '../format/schema.ts'
import type { FoldBatch } from './fold-batch.ts'

/** Names that a namespace gets when it is formatted and keeps for ever. */
export interface NamespaceIdentity {
  readonly clusterId: string
  readonly namespaceId: number
  readonly blockPoolId: string
  /** Wall-clock time of the format. */
  readonly cTime: Millis
}

/** Where the store stands. */
export interface StorePosition {
  /** Every transaction up to this one is in the rows, none after it. */
  readonly appliedTxid: TxId
  readonly nextIds: NextIds
  readonly totals: NamespaceTotals
}

/** A block and the wanted replicas of its file. */
export interface StoredBlock {
  readonly block: BlockRow
  readonly replication: number
}

/** Home of every row behind the journal. Reads may run while a fold does and see the rows before it. */
export interface NamespaceStore {
  readonly identity: NamespaceIdentity
  /** As of the last completed fold. */
  readonly position: StorePosition
  /** Block ids that restores left out, see {@link RestoreRecord}; none when absent. */
  readonly restores?: readonly RestoreRecord[]
  /** Loads the rows for `misses`, in their order; rows that do not exist are reported as absent. */
  load(misses: readonly Miss[]): Promise<readonly Loaded[]>
  /** Every block row, page by page, in the order of (inode, index). */
  streamBlocks(pageRows: number): AsyncIterable<readonly StoredBlock[]>
  openFiles(): Promise<readonly InodeRow[]>
  /** What operators asked of datanodes. */
  datanodes(): Promise<readonly DatanodeRow[]>
  /** The answer of an at-most-once call, when it was given at `since` or later. */
  reply(request: RequestId, since: Millis): Promise<CachedReply | undefined>
  /**
   * Writes the batch and its last txid in one durable transaction. When it fails nothing is written and
   * the same batch may be folded again.
   */
  fold(batch: FoldBatch): Promise<void>
  close(): Promise<void>
}

/** Where a store that stood at `position` stands once it has folded `batch`. */
export function positionAfter(position: StorePosition, batch: FoldBatch): StorePosition {
  const { totals } = position
  const { totalsGrowth } = batch
  return {
    appliedTxid: batch.throughTxid,
    nextIds: { ...position.nextIds, ...batch.nextIds },
    totals: {
      files: totals.files + totalsGrowth.files,
      directories: totals.directories + totalsGrowth.directories,
      symlinks: totals.symlinks + totalsGrowth.symlinks,
      blocks: totals.blocks + totalsGrowth.blocks,
    },
  }
}
