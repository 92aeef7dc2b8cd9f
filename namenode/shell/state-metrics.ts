/** What `/metrics` shows of the namenode's state. Everything is read when it is asked for; nothing is kept for it. */
import type { Registry } from 'prom-client'
import { adminStates } from '../../protocol/states.ts'
import type { RpcServer } from '../../transport/rpc-server.ts'
import { type Reading, ScrapedMetrics } from '../../transport/scraped-metrics.ts'
import type { ClusterStats } from '../core/cluster-stats.ts'
import { dangers } from '../core/redundancy.ts'
import type { Namenode } from './namenode.ts'

/** Age up to which the sums over all datanodes are used again: one scrape adds them up once. */
const statsAgeMaxMs = 100

export const metricPrefix = 'trefoil_namenode_'

/** Registers the metrics of a namenode's state. */
export function observeNamenode(registry: Registry, namenode: Namenode): void {
  const metrics = new ScrapedMetrics(registry, metricPrefix)
  const stats = statsReader(namenode)
  metrics.gauges(namenodeGauges, () => namenode)
  metrics.counters(namenodeCounters, () => namenode)
  metrics.gauges(statsGauges, stats)
  metrics.counters(statsCounters, stats)
  metrics.gauge({
    name: 'repair_queue_blocks',
    help: 'Blocks that wait for a copy, by danger',
    labelNames: ['danger'],
    read: () => {
      const { queueLengths } = stats()
      return dangers.map((danger) => [{ danger }, queueLengths[danger]] as const)
    },
  })
  metrics.gauge({
    name: 'datanodes',
    help: 'Datanodes by liveness; stale ones are silent, disconnected ones have lost their connection',
    labelNames: ['state'],
    read: () => Object.entries(stats().datanodes).map(([state, count]) => [{ state }, count]),
  })
  metrics.gauge({
    name: 'datanodes_by_admin_state',
    help: 'Datanodes by what was asked of them',
    labelNames: ['state'],
    read: () => {
      const views = namenode.blocks.datanodes('all')
      return adminStates.map((state) => {
        return [{ state }, views.filter(({ adminState }) => adminState === state).length] as const
      })
    },
  })
}

/** Registers the metrics of the RPC port. */
export function observeRpc(registry: Registry, server: RpcServer): void {
  const metrics = new ScrapedMetrics(registry, metricPrefix)
  metrics.gauges(rpcGauges, () => server)
  metrics.counters(rpcCounters, () => server)
}

function statsReader(namenode: Namenode): () => ClusterStats {
  let known: { readonly at: number; readonly stats: ClusterStats } | undefined
  return () => {
    const now = namenode.now()
    if (known === undefined || now - known.at > statsAgeMaxMs) {
      known = { at: now, stats: namenode.blocks.stats() }
    }
    return known.stats
  }
}

const rpcGauges: readonly Reading<RpcServer>[] = [
  ['rpc_connections', 'Connections to the RPC port', ({ connectionCount }) => connectionCount],
  ['rpc_calls_in_flight', 'Calls without an answer yet', ({ counters }) => counters.callsInFlight],
]

const rpcCounters: readonly Reading<RpcServer>[] = [
  ['rpc_connections_total', 'Connections accepted', ({ counters }) => counters.connections],
  [
    'rpc_connections_refused_total',
    'Connections ended for bad input or a handshake that took too long',
    ({ counters }) => counters.connectionsRefused,
  ],
  [
    'rpc_calls_unknown_total',
    'Calls of methods or protocols that are not served',
    ({ counters }) => counters.callsUnknown,
  ],
]

const namenodeGauges: readonly Reading<Namenode>[] = [
  ['journal_txid', 'Last transaction appended', ({ journal }) => journal.nextTxid - 1],
  ['journal_durable_txid', 'Last transaction on disk', ({ journal }) => journal.durableTxid],
  [
    'journal_waiting_transactions',
    'Transactions that wait for the disk',
    ({ journal }) => journal.waitingCount,
  ],
  ['journal_segments', 'Segments of the journal', ({ journal }) => journal.segments.length],
  [
    'checkpoint_txid',
    'Last transaction in the database',
    ({ checkpointer }) => checkpointer.foldedTxid,
  ],
  [
    'checkpoint_lag_transactions',
    'Transactions not in the database yet',
    ({ checkpointer }) => checkpointer.lag,
  ],
  [
    'resident_inodes',
    'Inodes held in memory',
    ({ namesystem }) => namesystem.status().residentInodes,
  ],
  ['open_files', 'Files open for writing', ({ namesystem }) => namesystem.status().openFiles],
  ['files', 'Files', ({ namesystem }) => namesystem.status().totals.files],
  ['directories', 'Directories', ({ namesystem }) => namesystem.status().totals.directories],
  ['blocks', 'Blocks', ({ namesystem }) => namesystem.status().totals.blocks],
  ['loads_queued_rows', 'Rows that wait to be loaded', ({ loader }) => loader.queueLength],
  ['report_waits', 'Requests that wait for replicas', ({ waits }) => waits.count],
  [
    'drain_blocks_left',
    'Blocks left on datanodes that are being drained or go into maintenance',
    ({ blocks }) =>
      blocks.drains(0).reduce((sum, { progress }) => sum + (progress?.blocks ?? 0), 0),
  ],
  [
    'datanodes_unsteady',
    'Datanodes that come and go',
    ({ blocks }) => blocks.datanodes('all').filter(({ isSteady }) => !isSteady).length,
  ],
  ['safe_mode', '1 in safe mode', ({ blocks }) => (blocks.safeMode === 'off' ? 0 : 1)],
  [
    'blocks_loading',
    '1 while rows of blocks are still loaded after a start',
    ({ blockLoading }) => (blockLoading.isDone ? 0 : 1),
  ],
  [
    'disk_free_bytes',
    'Free on the disk of the namenode',
    ({ freeBytes }) => freeBytes ?? Number.NaN,
  ],
  [
    'disk_low',
    '1 while changes are refused for lack of space',
    ({ isLowOnSpace }) => +isLowOnSpace,
  ],
]

const namenodeCounters: readonly Reading<Namenode>[] = [
  [
    'row_cache_hits_total',
    'Attempts at a request that found every row in memory',
    ({ rowCache }) => rowCache.hits,
  ],
  [
    'row_cache_misses_total',
    'Attempts at a request that had to load rows first',
    ({ rowCache }) => rowCache.misses,
  ],
  ['loads_total', 'Loads of rows that were not resident', ({ loader }) => loader.loadCount],
]

const statsGauges: readonly Reading<ClusterStats>[] = [
  [
    'repair_paused',
    '1 while repair waits because many datanodes vanished together',
    ({ isRepairPaused }) => +isRepairPaused,
  ],
  [
    'blocks_scanning',
    '1 while the health of blocks is still being worked out',
    ({ isScanning }) => +isScanning,
  ],
  ['safe_blocks', 'Blocks that are open or have a replica', ({ safeBlocks }) => safeBlocks],
  [
    'safe_mode_needed_blocks',
    'Blocks with a replica that end start-up safe mode',
    ({ safeModeNeededBlocks }) => safeModeNeededBlocks,
  ],
  [
    'under_replicated_blocks',
    'Blocks with fewer good replicas than wanted',
    ({ underReplicatedBlocks }) => underReplicatedBlocks,
  ],
  ['missing_blocks', 'Blocks without a good replica', ({ missingBlocks }) => missingBlocks],
  [
    'missing_blocks_replication_one',
    'Blocks without a good replica that never wanted a second',
    ({ missingBlocksWithReplicationOne }) => missingBlocksWithReplicationOne,
  ],
  ['corrupt_blocks', 'Blocks with a corrupt replica', ({ corruptBlocks }) => corruptBlocks],
  ['unknown_blocks', 'Blocks of datanodes without a row', ({ unknownBlocks }) => unknownBlocks],
  [
    'pending_replication_blocks',
    'Blocks whose replicas are on their way',
    ({ pendingReplicationBlocks }) => pendingReplicationBlocks,
  ],
  ['pending_copies', 'Copies under way', ({ pendingCopies }) => pendingCopies],
  [
    'pending_deletions',
    'Excess replicas to be deleted',
    ({ pendingDeletionReplicas }) => pendingDeletionReplicas,
  ],
  [
    'postponed_blocks',
    'Blocks with excess replicas that wait until the others are confirmed',
    ({ postponedBlocks }) => postponedBlocks,
  ],
  ['capacity_bytes', 'Capacity of the datanodes', ({ capacity }) => capacity],
  ['used_bytes', 'Bytes of replicas', ({ used }) => used],
  ['remaining_bytes', 'Bytes free for replicas', ({ remaining }) => remaining],
  ['non_dfs_used_bytes', 'Bytes of others on the same disks', ({ nonDfsUsed }) => nonDfsUsed],
]

const statsCounters: readonly Reading<ClusterStats>[] = [
  ['repair_copies_total', 'Ordered copies that arrived', ({ copies }) => copies.done],
  ['repair_copied_bytes_total', 'Bytes of ordered copies', ({ copies }) => copies.doneBytes],
  [
    'repair_copies_expired_total',
    'Ordered copies that did not arrive in time',
    ({ copies }) => copies.expired,
  ],
]
