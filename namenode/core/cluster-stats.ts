/**
 * What the block side can say about itself: capacity, the state of datanodes, the health of blocks and
 * the length of every queue. Read by statistics calls, the status page and fsck; costs a pass over the
 * datanodes, never over the blocks.
 */
import type { BlockId } from '../../protocol/ids.ts'
import type { DatanodeLiveness } from '../../protocol/states.ts'
import type { DatanodeRegistry } from './datanode-registry.ts'
import type { CopyTotals } from './pending-copies.ts'
import { assess, type Danger, dangers } from './redundancy.ts'
import type { Repair } from './repair.ts'
import type { ReplicaLedger } from './replica-ledger.ts'

/** Sizes in bytes, everything else in blocks, replicas or datanodes as named. */
export interface ClusterStats {
  readonly capacity: number
  readonly used: number
  readonly remaining: number
  readonly nonDfsUsed: number
  readonly blockPoolUsed: number
  /** Blocks whose rows are known. */
  readonly blocks: number
  /** Blocks that are open or have a reported replica, and how many of them end start-up safe mode. */
  readonly safeBlocks: number
  readonly safeModeNeededBlocks: number
  /** Blocks with a good replica and fewer than wanted, whether copies are on their way or not. */
  readonly underReplicatedBlocks: number
  /** Blocks with a corrupt replica. */
  readonly corruptBlocks: number
  /** Blocks without a good replica. */
  readonly missingBlocks: number
  /** Blocks without a row that datanodes have: rows still to be loaded, then blocks never handed out. */
  readonly unknownBlocks: number
  /** The part of `missingBlocks` that never wanted a second replica. */
  readonly missingBlocksWithReplicationOne: number
  readonly badlyDistributedBlocks: number
  /** Blocks with one replica left of several wanted and no copy on its way. */
  readonly lastReplicaBlocks: number
  /** Blocks whose replicas are on their way, ordered or about to be reported. */
  readonly pendingReplicationBlocks: number
  /** Replicas on their way by order. */
  readonly pendingCopies: number
  /** Ordered copies that ended, since the start. */
  readonly copies: Readonly<CopyTotals>
  /** Replicas to be deleted that no order was sent for yet. */
  readonly pendingDeletionReplicas: number
  /** Blocks with something to delete once its other replicas are confirmed. */
  readonly postponedBlocks: number
  /** Blocks that wait for an order, by danger. */
  readonly queueLengths: Readonly<Record<Danger, number>>
  readonly datanodes: Readonly<Record<DatanodeLiveness, number>>
  /** Too many datanodes vanished at once: nothing is copied. */
  readonly isRepairPaused: boolean
  /** Block health is still being worked out; the numbers may grow. */
  readonly isScanning: boolean
}

/** Replicas of one block by their worth. */
export interface ReplicaCounts {
  readonly wanted: number
  readonly live: number
  /** On datanodes that are drained or being drained, and in maintenance or about to be. */
  readonly leaving: number
  readonly maintained: number
  readonly corrupt: number
  /** Told, or about to be told, to go, or not finalized yet. */
  readonly uncounted: number
  readonly pending: number
  readonly danger: Danger | undefined
}

export interface StatsSources {
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
  readonly repair: Repair
  readonly isRepairPaused: boolean
  readonly isScanning: boolean
  readonly safeModeNeededCount: number
}

/** Adds everything up. */
export function clusterStats(sources: StatsSources): ClusterStats {
  const { registry, ledger, repair } = sources
  const space = { capacity: 0, used: 0, remaining: 0, nonDfsUsed: 0, blockPoolUsed: 0 }
  const datanodes = { live: 0, disconnected: 0, stale: 0, dead: 0 }
  let pendingDeletionReplicas = 0
  for (const node of registry.nodes()) {
    datanodes[node.liveness] += 1
    pendingDeletionReplicas += node.orders.invalidationCount
    if (node.liveness === 'dead') continue
    for (const storage of node.storages.values()) {
      if (storage.isFailed) continue
      space.capacity += storage.capacity
      space.used += storage.used
      space.remaining += storage.remaining
      space.nonDfsUsed += storage.nonDfsUsed
      space.blockPoolUsed += storage.blockPoolUsed
    }
  }
  const queueLengths = { ...emptyLengths }
  for (const danger of dangers) queueLengths[danger] = repair.queues.length(danger)
  return {
    ...space,
    blocks: ledger.map.rowCount,
    safeBlocks: ledger.safeCount,
    safeModeNeededBlocks: sources.safeModeNeededCount,
    underReplicatedBlocks: repair.underReplicatedCount,
    corruptBlocks: ledger.corrupt.blockCount,
    missingBlocks: queueLengths.lost,
    unknownBlocks: ledger.map.entryCount - ledger.map.rowCount,
    missingBlocksWithReplicationOne: repair.lostSingleCount,
    badlyDistributedBlocks: queueLengths['badly-distributed'],
    lastReplicaBlocks: queueLengths['last-replica'],
    pendingReplicationBlocks: repair.pending.blockCount,
    pendingCopies: repair.pending.orderedCount,
    copies: repair.pending.totals,
    pendingDeletionReplicas,
    postponedBlocks: repair.postponedCount,
    queueLengths,
    datanodes,
    isRepairPaused: sources.isRepairPaused,
    isScanning: sources.isScanning,
  }
}

const emptyLengths: Readonly<Record<Danger, number>> = {
  'last-replica': 0,
  'missing-three': 0,
  'missing-two': 0,
  'missing-one': 0,
  leaving: 0,
  'badly-distributed': 0,
  lost: 0,
}

/** Counts the replicas of one complete block; `undefined` for open and unknown ones. */
export function replicaCounts(
  id: BlockId,
  { ledger, registry, repair }: Pick<StatsSources, 'ledger' | 'registry' | 'repair'>,
): ReplicaCounts | undefined {
  const at = ledger.map.find(id)
  if (at === undefined || ledger.map.kind(at) !== 'complete') return undefined
  const health = assess(ledger, registry, at)
  return {
    wanted: health.wanted,
    live: health.good.length,
    leaving: health.leaving.length,
    maintained: health.maintained.length,
    corrupt: health.corrupt.length,
    uncounted: health.uncounted.length,
    pending: repair.pending.of(id).length,
    danger: repair.queues.dangerOf(id),
  }
}
