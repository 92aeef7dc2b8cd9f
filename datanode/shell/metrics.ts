/** What a datanode's `/metrics` shows. Everything is read from its status when it is asked for. */
import { collectDefaultMetrics, Registry } from 'prom-client'
import { type Reading, type Sample, ScrapedMetrics } from '../../transport/scraped-metrics.ts'
import { scanFindings } from '../core/directory-diff.ts'
import { diskOperations } from '../core/volume-health.ts'
import type { DatanodeStatus, StorageStatus } from './http-server.ts'
import type { OperationTotals } from './observed-files.ts'
import { pipelineFailureCauses } from './transfer-counters.ts'

/** A registry of one datanode. `status` counts all replicas, so each scrape looks at it once. */
export function datanodeMetrics(status: () => DatanodeStatus): {
  readonly registry: Registry
  scrape(): Promise<string>
} {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const metrics = new ScrapedMetrics(registry, 'trefoil_datanode_')
  let now: DatanodeStatus | undefined
  const current = (): DatanodeStatus => now ?? status()
  metrics.gauges(datanodeGauges, current)
  metrics.counters(datanodeCounters, current)
  observeTransfers(metrics, current)
  observeStorages(metrics, current)
  return {
    registry,
    async scrape() {
      now = status()
      return registry.metrics()
    },
  }
}

function observeTransfers(metrics: ScrapedMetrics, current: () => DatanodeStatus): void {
  metrics.counter({
    name: 'transfer_operations_total',
    help: 'Operations of the data transfer protocol that are over',
    labelNames: ['operation', 'outcome'],
    read: () =>
      Object.entries(current().transfers.operations).flatMap(([operation, { done, failed }]) => [
        [{ operation, outcome: 'done' }, done],
        [{ operation, outcome: 'failed' }, failed],
      ]),
  })
  metrics.counter({
    name: 'pipeline_failures_total',
    help: 'Replicas that did not get complete here or behind this datanode, by cause',
    labelNames: ['cause'],
    read: () => {
      const { pipelineFailures } = current().transfers
      return pipelineFailureCauses.map((cause) => [{ cause }, pipelineFailures[cause]] as const)
    },
  })
}

function observeStorages(metrics: ScrapedMetrics, current: () => DatanodeStatus): void {
  const each = (
    samples: (storage: StorageStatus) => Iterable<Sample<string>>,
  ): (() => Sample<string>[]) => {
    return () =>
      current().storages.flatMap((status) =>
        [...samples(status)].map(([labels, value]) => [{ storage: status.path, ...labels }, value]),
      )
  }
  for (const [name, help, read] of storageGauges) {
    metrics.gauge({
      ...{ name: `storage_${name}`, help, labelNames: ['storage'] },
      read: each((storage) => [[{}, read(storage)]]),
    })
  }
  for (const [name, help, read] of storageCounters) {
    metrics.counter({
      ...{ name: `storage_${name}`, help, labelNames: ['storage'] },
      read: each((storage) => [[{}, read(storage)]]),
    })
  }
  for (const [name, help, read] of operationCounters) {
    metrics.counter({
      ...{ name: `storage_io_${name}_total`, help, labelNames: ['storage', 'operation'] },
      read: each(({ operations }) =>
        diskOperations.map((operation) => [{ operation }, read(operations[operation])] as const),
      ),
    })
  }
  metrics.counter({
    name: 'storage_scan_findings_total',
    help: 'Differences between files and replicas that scans found',
    labelNames: ['storage', 'finding'],
    read: each(({ scan }) =>
      scanFindings.map((finding) => [{ finding }, scan?.[finding] ?? 0] as const),
    ),
  })
}

const datanodeGauges: readonly Reading<DatanodeStatus>[] = [
  ['registered', '1 while registered with the namenode', (now) => +(now.session === 'registered')],
  ['up_to_date', '1 when the namenode knows every replica', (now) => +now.isUpToDate],
  [
    'transfers_active',
    'Connections with an operation under way',
    ({ activeTransfers }) => activeTransfers,
  ],
  ['transfer_connections', 'Data connections open', ({ transfers }) => transfers.openConnections],
  ['transfers_ordered', 'Copies ordered and not done', ({ ordered }) => ordered.transfers],
  [
    'invalidations_ordered',
    'Deletions ordered and not done',
    ({ ordered }) => ordered.invalidations,
  ],
  [
    'recoveries_ordered',
    'Block recoveries ordered and not done',
    ({ ordered }) => ordered.recoveries,
  ],
]

const datanodeCounters: readonly Reading<DatanodeStatus>[] = [
  [
    'transfer_received_bytes_total',
    'Bytes that came in over the data transfer port',
    ({ transfers }) => transfers.receivedBytes,
  ],
  [
    'transfer_sent_bytes_total',
    'Bytes that went out over the data transfer port',
    ({ transfers }) => transfers.sentBytes,
  ],
  [
    'transfer_connections_total',
    'Data connections that came in',
    ({ transfers }) => transfers.connections,
  ],
  [
    'transfer_connections_refused_total',
    'Data connections refused because too many were open',
    ({ transfers }) => transfers.connectionsRefused,
  ],
]

const storageGauges: readonly Reading<StorageStatus>[] = [
  ['capacity_bytes', 'Bytes the directory may hold', (now) => now.capacityBytes],
  ['used_bytes', 'Bytes of replicas', (now) => now.usedBytes],
  ['remaining_bytes', 'Bytes free for replicas', (now) => now.remainingBytes],
  ['replicas', 'Replicas stored', (now) => now.replicas],
  ['failed', '1 when the directory failed', (now) => +now.failed],
  [
    'oldest_unverified_seconds',
    'Age of the byte not verified for longest',
    ({ scrub }) => (scrub?.oldestAgeMs ?? 0) / 1000,
  ],
]

const storageCounters: readonly Reading<StorageStatus>[] = [
  ['scrubbed_bytes_total', 'Bytes verified', ({ scrub }) => scrub?.verifiedBytes ?? 0],
  [
    'scrubbed_corrupt_total',
    'Corrupt replicas that verifying found',
    ({ scrub }) => scrub?.corruptReplicas ?? 0,
  ],
]

/** Per directory and kind of file operation. */
const operationCounters: readonly Reading<OperationTotals>[] = [
  ['operations', 'File operations', (now) => now.count],
  ['errors', 'File operations that failed', (now) => now.errors],
  ['bytes', 'Bytes read or written', (now) => now.bytes],
  ['seconds', 'Time that file operations took', (now) => now.elapsedMs / 1000],
]
