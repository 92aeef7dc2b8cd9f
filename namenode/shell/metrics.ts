import { performance } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { adminStates } from '../../protocol/states.ts'
import { dangers } from '../core/redundancy.ts'
import type { Namenode } from './namenode.ts'

const latencyBuckets = [0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10]
const syncBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5]
const batchBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024]

type Handler = (request: never, call: never) => unknown

/** Prometheus metrics of the namenode. Labels are method names of the served protocols, nothing a client can make up. */
export class NamenodeMetrics {
  readonly registry = new Registry()
  readonly #latency: Histogram<'method'>
  readonly #failures: Counter<'method'>
  readonly #sync: Histogram
  readonly #batch: Histogram
  readonly #journalBytes: Counter

  constructor() {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry })
    this.#latency = new Histogram({
      name: 'trefoil_namenode_rpc_seconds',
      help: 'Time from a decoded request to its reply',
      labelNames: ['method'],
      buckets: latencyBuckets,
      registers,
    })
    this.#failures = new Counter({
      name: 'trefoil_namenode_rpc_failures_total',
      help: 'Requests answered with an error',
      labelNames: ['method'],
      registers,
    })
    this.#sync = new Histogram({
      name: 'trefoil_namenode_journal_sync_seconds',
      help: 'Duration of fdatasync on the journal',
      buckets: syncBuckets,
      registers,
    })
    this.#batch = new Histogram({
      name: 'trefoil_namenode_journal_batch_transactions',
      help: 'Transactions made durable by one sync',
      buckets: batchBuckets,
      registers,
    })
    this.#journalBytes = new Counter({
      name: 'trefoil_namenode_journal_bytes_total',
      help: 'Bytes appended to the journal',
      registers,
    })
  }

  synced(seconds: number): void {
    this.#sync.observe(seconds)
  }

  batchWritten(transactions: number, bytes: number): void {
    this.#batch.observe(transactions)
    this.#journalBytes.inc(bytes)
  }

  /** Wraps each handler so that its latency and failures are counted. */
  timed<H extends object>(handlers: H): H {
    const timed = Object.entries(handlers).map(([name, handler]) => [
      name,
      this.#timedHandler(name, handler as Handler),
    ])
    return Object.fromEntries(timed) as H
  }

  /** Reads the state of the namenode whenever it is scraped. */
  observe(namenode: Namenode): void {
    for (const [name, help, read] of gauges) {
      const gauge: Gauge = new Gauge({
        name: `trefoil_namenode_${name}`,
        help,
        registers: [this.registry],
        collect: () => {
          gauge.set(read(namenode))
        },
      })
    }
    this.#observeStates(namenode)
  }

  #observeStates(namenode: Namenode): void {
    const registers = [this.registry]
    const queues: Gauge<'danger'> = new Gauge({
      name: 'trefoil_namenode_repair_queue_blocks',
      help: 'Blocks that wait for a copy, by danger',
      labelNames: ['danger'],
      registers,
      collect: () => {
        const { queueLengths } = namenode.blocks.stats()
        for (const danger of dangers) queues.set({ danger }, queueLengths[danger])
      },
    })
    const admins: Gauge<'state'> = new Gauge({
      name: 'trefoil_namenode_datanodes_by_admin_state',
      help: 'Datanodes by what was asked of them',
      labelNames: ['state'],
      registers,
      collect: () => {
        const views = namenode.blocks.datanodes('all')
        for (const state of adminStates) {
          const count = views.filter(({ adminState }) => adminState === state).length
          admins.set({ state }, count)
        }
      },
    })
    const datanodes: Gauge<'state'> = new Gauge({
      name: 'trefoil_namenode_datanodes',
      help: 'Datanodes by liveness',
      labelNames: ['state'],
      registers,
      collect: () => {
        const counts = Object.entries(namenode.blocks.stats().datanodes)
        for (const [state, count] of counts) datanodes.set({ state }, count)
      },
    })
  }

  #timedHandler(method: string, handler: Handler): Handler {
    const latency = this.#latency.labels({ method })
    const failures = this.#failures.labels({ method })
    return (request, call) => {
      const startedAt = performance.now()
      const finished = (): void => {
        latency.observe((performance.now() - startedAt) / 1000)
      }
      let reply: unknown
      try {
        reply = handler(request, call)
      } catch (error) {
        failures.inc()
        finished()
        throw error
      }
      if (!(reply instanceof Promise)) {
        finished()
        return reply
      }
      reply.then(finished, () => {
        failures.inc()
        finished()
      })
      return reply
    }
  }
}

type Reading = readonly [name: string, help: string, read: (namenode: Namenode) => number]

const gauges: readonly Reading[] = [
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
  ['loads_total', 'Loads of rows that were not resident', ({ loader }) => loader.loadCount],
  ['loads_queued_rows', 'Rows that wait to be loaded', ({ loader }) => loader.queueLength],
  ['report_waits', 'Requests that wait for replicas', ({ waits }) => waits.count],
  [
    'repair_paused',
    '1 while repair waits because many datanodes vanished together',
    ({ blocks }) => (blocks.repairGuard().pausedAt === undefined ? 0 : 1),
  ],
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
    'disk_free_bytes',
    'Free on the disk of the namenode',
    ({ freeBytes }) => freeBytes ?? Number.NaN,
  ],
  [
    'disk_low',
    '1 while changes are refused for lack of space',
    ({ isLowOnSpace }) => +isLowOnSpace,
  ],
  [
    'under_replicated_blocks',
    'Blocks with fewer good replicas than wanted',
    ({ blocks }) => blocks.stats().underReplicatedBlocks,
  ],
  ['missing_blocks', 'Blocks without a good replica', ({ blocks }) => blocks.stats().missingBlocks],
  ['corrupt_blocks', 'Blocks with a corrupt replica', ({ blocks }) => blocks.stats().corruptBlocks],
  ['pending_copies', 'Copies under way', ({ blocks }) => blocks.stats().pendingCopies],
  [
    'pending_deletions',
    'Replicas to be deleted',
    ({ blocks }) => blocks.stats().pendingDeletionReplicas,
  ],
  ['capacity_bytes', 'Capacity of the datanodes', ({ blocks }) => blocks.stats().capacity],
  ['used_bytes', 'Bytes of replicas', ({ blocks }) => blocks.stats().used],
  ['remaining_bytes', 'Bytes free for replicas', ({ blocks }) => blocks.stats().remaining],
]
