import { performance } from 'node:perf_hooks'
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import type { RpcServer } from '../../transport/rpc-server.ts'
import { LatencyDigest } from './latency-digest.ts'
import type { Namenode } from './namenode.ts'
import { observeNamenode, observeRpc } from './state-metrics.ts'

const latencyBuckets = [0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10]
const syncBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5]
const batchBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024]

type Handler = (request: never, call: never) => unknown

/** Prometheus metrics of the namenode. Labels are method names of the served protocols, nothing a client can make up. */
export class NamenodeMetrics {
  readonly registry = new Registry()
  /** Durations of clients' calls and of the journal's syncs, for whoever takes them at intervals. */
  readonly callDigest = new LatencyDigest()
  readonly syncDigest = new LatencyDigest()
  readonly #latency: Histogram<'method'>
  readonly #failures: Counter<'method'>
  readonly #sync: Histogram
  readonly #syncs = { count: 0, seconds: 0 }
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

  /** Syncs of the journal so far. */
  get syncs(): { readonly count: number; readonly seconds: number } {
    return this.#syncs
  }

  synced(seconds: number): void {
    this.#syncs.count += 1
    this.#syncs.seconds += seconds
    this.#sync.observe(seconds)
    this.syncDigest.observe(seconds)
  }

  batchWritten(transactions: number, bytes: number): void {
    this.#batch.observe(transactions)
    this.#journalBytes.inc(bytes)
  }

  /**
   * Wraps each handler so that its latency and failures are counted.
   *
   * @param isOfClients they count as calls of clients
   */
  timed<H extends object>(handlers: H, { isOfClients = false } = {}): H {
    const digest = isOfClients ? this.callDigest : undefined
    const timed = Object.entries(handlers).map(([name, handler]) => [
      name,
      this.#timedHandler(name, handler as Handler, digest),
    ])
    return Object.fromEntries(timed) as H
  }

  /** Shows the state of the namenode from now on. */
  observe(namenode: Namenode): void {
    observeNamenode(this.registry, namenode)
  }

  /** Shows the state of the RPC port from now on. */
  observeRpc(server: RpcServer): void {
    observeRpc(this.registry, server)
  }

  #timedHandler(method: string, handler: Handler, digest: LatencyDigest | undefined): Handler {
    const latency = this.#latency.labels({ method })
    const failures = this.#failures.labels({ method })
    return (request, call) => {
      const startedAt = performance.now()
      const finished = (): void => {
        const seconds = (performance.now() - startedAt) / 1000
        latency.observe(seconds)
        digest?.observe(seconds)
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
