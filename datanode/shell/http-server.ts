/** The datanode's HTTP port: health, a status document, Prometheus metrics, HDFS's beans, and files if somebody serves them. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { DfsError } from '../../protocol/errors.ts'
import { answerHealth, type HealthCheck, type Watchdog } from '../../transport/health.ts'
import { createFileServer } from '../../transport/http-server.ts'
import { answerJmx, type JmxBean } from '../../transport/jmx.ts'
import type { DiskOperation } from '../core/volume-health.ts'
import type { ScanTotals } from './directory-scanner.ts'
import { datanodeMetrics } from './metrics.ts'
import type { OperationTotals } from './observed-files.ts'
import type { ScrubStatus } from './scrub-worker.ts'
import type { TransferTotals } from './transfer-server.ts'

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
  /** What the data transfer port has done since the start. */
  readonly transfers: TransferTotals
  readonly ordered: {
    readonly transfers: number
    readonly invalidations: number
    readonly recoveries: number
  }
}

/**
 * Serves files of the cluster below a path of the HTTP port. Made by whoever knows a client of the cluster: a datanode
 * knows replicas, not files.
 */
export interface FileFace {
  /** For example `/webhdfs/v1`. */
  readonly path: string
  readonly handle: express.RequestHandler
  close(): Promise<void>
}

export interface HttpServerOptions {
  readonly host: string
  readonly port: number
  readonly status: () => DatanodeStatus
  readonly beans: readonly JmxBean[]
  readonly watchdog: Watchdog
  readonly files?: FileFace | undefined
}

export interface RunningHttpServer {
  readonly port: number
  close(): Promise<void>
}

/**
 * Listens and serves `/health`, `/status.json`, `/metrics`, `/jmx`, `/healthz`, `/readyz`, and files if there is a face for them.
 *
 * @throws {@link DfsError} IO_ERROR when the address cannot be listened on
 */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningHttpServer> {
  const { status, beans } = options
  const metrics = datanodeMetrics(status)
  const app = express()
  app.disable('x-powered-by')
  app.get('/health', (_request, response) => {
    const now = status()
    response.status(isRegistered(now) ? 200 : 503).json({ session: now.session })
  })
  const health = [options.watchdog.eventLoop(), volumeCheck(status)]
  app.get('/healthz', (_request, response) => {
    const { status: code, body } = answerHealth(health)
    response.status(code).json(body)
  })
  app.get('/readyz', (_request, response) => {
    const { status: code, body } = answerHealth([...health, sessionCheck(status)])
    response.status(code).json(body)
  })
  app.get(['/', '/status.json'], (_request, response) => {
    response.json(status())
  })
  app.get('/metrics', async (_request, response) => {
    response.type(metrics.registry.contentType).send(await metrics.scrape())
  })
  app.get('/jmx', (request, response) => {
    const { status: code, body } = answerJmx(beans, request.query)
    response.status(code).type('application/json').send(body)
  })
  const { files } = options
  if (files !== undefined) app.use(files.path, files.handle)
  const server = createFileServer((request, response) => void app(request, response))
  const port = await listen(server, options)
  return {
    port,
    async close() {
      await close(server)
      await files?.close()
    },
  }
}

function volumeCheck(status: () => DatanodeStatus): HealthCheck {
  return {
    name: 'volumes',
    reason: () => {
      const { storages } = status()
      if (storages.some(({ failed }) => !failed)) return undefined
      return `None of ${storages.length} data directories works`
    },
  }
}

function sessionCheck(status: () => DatanodeStatus): HealthCheck {
  return {
    name: 'registered',
    reason: () => {
      const now = status()
      if (isRegistered(now)) return undefined
      return `Not registered with the namenode ${now.namenode}: its session is ${now.session}`
    },
  }
}

function isRegistered({ session }: DatanodeStatus): boolean {
  return session === 'registered'
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
