/** The datanode's HTTP port: health, a status document and Prometheus metrics. Read-only. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { DfsError } from '../../protocol/errors.ts'
import { scanFindings } from '../core/directory-diff.ts'
import { type DiskOperation, diskOperations } from '../core/volume-health.ts'
import type { ScanTotals } from './directory-scanner.ts'
import type { OperationTotals } from './observed-files.ts'
import type { ScrubStatus } from './scrub-worker.ts'

/** One data directory. */
export interface StorageStatus {
  readonly uuid: string
  readonly path: string
  readonly capacityBytes: number
  readonly usedBytes: number
  readonly remainingBytes: number
  readonly failed: boolean
  readonly replicas: number
  /** What file operations did since the start, by kind. */
  readonly operations: Readonly<Record<DiskOperation, OperationTotals>>
  /** What verifying stored bytes has done; absent while it is off. */
  readonly scrub: ScrubStatus | undefined
  /** Differences between files and replicas that scans found, by kind; absent while they are off. */
  readonly scan: ScanTotals | undefined
}

/** What the status document and the metrics show. */
export interface DatanodeStatus {
  readonly role: 'datanode'
  readonly version: string
  readonly uuid: string
  readonly clusterId: string | undefined
  readonly blockPoolId: string | undefined
  readonly namenode: string
  readonly session: string
  /** A full block report was accepted and nothing waits to be told. */
  readonly isUpToDate: boolean
  readonly uptimeMs: number
  readonly addresses: Readonly<Record<string, string>>
  readonly storages: readonly StorageStatus[]
  readonly activeTransfers: number
  readonly ordered: {
    readonly transfers: number
    readonly invalidations: number
    readonly recoveries: number
  }
}

export interface HttpServerOptions {
  readonly host: string
  readonly port: number
  readonly status: () => DatanodeStatus
}

export interface RunningHttpServer {
  readonly port: number
  close(): Promise<void>
}

/**
 * Listens and serves `/health`, `/status.json` and `/metrics`.
 *
 * @throws {@link DfsError} IO_ERROR when the address cannot be listened on
 */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningHttpServer> {
  const { status } = options
  const metrics = createMetrics()
  const app = express()
  app.disable('x-powered-by')
  app.get('/health', (_request, response) => {
    const now = status()
    response.status(isRegistered(now) ? 200 : 503).json({ session: now.session })
  })
  app.get(['/', '/status.json'], (_request, response) => {
    response.json(status())
  })
  app.get('/metrics', async (_request, response) => {
    metrics.update(status())
    response.type(metrics.registry.contentType).send(await metrics.registry.metrics())
  })
  const server = createServer((request, response) => void app(request, response))
  const port = await listen(server, options)
  return { port, close: () => close(server) }
}

/** Metrics that {@link Metrics.update} sets from one look at the status, because that look counts all replicas. */
interface Metrics {
  readonly registry: Registry
  update(status: DatanodeStatus): void
}

const datanodeGauges: readonly Reading<DatanodeStatus>[] = [
  ['registered', '1 while registered with the namenode', (now) => flag(isRegistered(now))],
  ['up_to_date', '1 when the namenode knows every replica', (now) => flag(now.isUpToDate)],
  ['transfers_active', 'Data connections open', (now) => now.activeTransfers],
  ['transfers_ordered', 'Copies ordered and not done', (now) => now.ordered.transfers],
  ['invalidations_ordered', 'Deletions ordered and not done', (now) => now.ordered.invalidations],
  ['recoveries_ordered', 'Block recoveries ordered and not done', (now) => now.ordered.recoveries],
]
const storageGauges: readonly Reading<StorageStatus>[] = [
  ['capacity_bytes', 'Bytes the directory may hold', (now) => now.capacityBytes],
  ['used_bytes', 'Bytes of replicas', (now) => now.usedBytes],
  ['remaining_bytes', 'Bytes free for replicas', (now) => now.remainingBytes],
  ['replicas', 'Replicas stored', (now) => now.replicas],
  ['failed', '1 when the directory failed', (now) => flag(now.failed)],
  ['oldest_unverified_seconds', 'Age of the byte not verified for longest', oldestUnverified],
  ['scrubbed_bytes', 'Bytes verified since the start', (now) => now.scrub?.verifiedBytes ?? 0],
  ['scrubbed_corrupt', 'Corrupt replicas it found', (now) => now.scrub?.corruptReplicas ?? 0],
]

/** Per directory and kind of file operation. */
const operationCounters: readonly Reading<OperationTotals>[] = [
  ['operations', 'File operations', (now) => now.count],
  ['errors', 'File operations that failed', (now) => now.errors],
  ['bytes', 'Bytes read or written', (now) => now.bytes],
  ['seconds', 'Time that file operations took', (now) => now.elapsedMs / 1000],
]

function oldestUnverified({ scrub }: StorageStatus): number {
  return (scrub?.oldestAgeMs ?? 0) / 1000
}

type Reading<Subject> = readonly [name: string, help: string, read: (subject: Subject) => number]

function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const updates = [
    ...datanodeGauges.map(([name, help, read]) => {
      const gauge = new Gauge({ name: `trefoil_datanode_${name}`, help, registers })
      return (status: DatanodeStatus): void => {
        gauge.set(read(status))
      }
    }),
    ...storageGauges.map(([name, help, read]) => {
      const labelNames = ['storage'] as const
      const fullName = `trefoil_datanode_storage_${name}`
      const gauge = new Gauge({ name: fullName, help, labelNames, registers })
      return ({ storages }: DatanodeStatus): void => {
        for (const storage of storages) gauge.set({ storage: storage.path }, read(storage))
      }
    }),
    ...operationCounters.map(([name, help, read]) => {
      const labelNames = ['storage', 'operation'] as const
      const fullName = `trefoil_datanode_storage_io_${name}_total`
      const counter = new Counter({ name: fullName, help, labelNames, registers })
      return ({ storages }: DatanodeStatus): void => {
        counter.reset()
        for (const { path: storage, operations } of storages) {
          for (const operation of diskOperations) {
            counter.inc({ storage, operation }, read(operations[operation]))
          }
        }
      }
    }),
  ]
  updates.push(findingCounter(registers))
  return {
    registry,
    update(status) {
      for (const update of updates) update(status)
    },
  }
}

function findingCounter(registers: Registry[]): (status: DatanodeStatus) => void {
  const counter = new Counter({
    name: 'trefoil_datanode_storage_scan_findings_total',
    help: 'Differences between files and replicas that scans found',
    labelNames: ['storage', 'finding'],
    registers,
  })
  return ({ storages }) => {
    counter.reset()
    for (const { path: storage, scan } of storages) {
      for (const finding of scanFindings) counter.inc({ storage, finding }, scan?.[finding] ?? 0)
    }
  }
}

function isRegistered({ session }: DatanodeStatus): boolean {
  return session === 'registered'
}

function flag(value: boolean): number {
  return value ? 1 : 0
}

function listen(server: Server, { host, port }: HttpServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new DfsError('IO_ERROR', `Cannot listen on ${host}:${port} for HTTP: ${error.message}`, {
          cause: error,
        }),
      )
    })
    server.listen(port, host, () => {
      resolve((server.address() as AddressInfo).port)
    })
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      resolve()
    })
    server.closeAllConnections()
  })
}
