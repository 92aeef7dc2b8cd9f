/**
 * The namenode's HTTP port: status page, status document, metrics, HDFS's beans, health, and `hdfs fsck`, which alone
 * can change anything.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import express, { type Request, type Response } from 'express'
import type { Registry } from 'prom-client'
import { DfsError } from '../../protocol/errors.ts'
import { answerHealth, type HealthCheck } from '../../transport/health.ts'
import { answerJmx, type JmxBean } from '../../transport/jmx.ts'
import type { LineSink } from './fsck.ts'
import type { DatanodeStatus, NamenodeStatus } from './status.ts'
import { statusPage } from './status-page.ts'

export interface HttpServerOptions {
  readonly host: string
  /** 0 picks a free port. */
  readonly port: number
  readonly status: () => NamenodeStatus
  readonly registry: Registry
  readonly beans: readonly JmxBean[]
  /** What speaks against going on, and what against serving now. */
  readonly health: readonly HealthCheck[]
  readonly readiness: readonly HealthCheck[]
  /** Checks files as the query says, line by line. */
  readonly fsck: (query: URLSearchParams, host: string, print: LineSink) => Promise<void>
}

export interface RunningHttpServer {
  readonly port: number
  close(): Promise<void>
}

/**
 * Listens and serves `/`, `/status.json`, `/metrics`, `/prometheus/datanodes`, `/jmx`, `/fsck`, `/healthz` and `/readyz`.
 * @throws {@link DfsError} IO_ERROR when the address cannot be listened on.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningHttpServer> {
  const { host, port, status, registry, beans } = options
  const app = express()
  app.disable('x-powered-by')
  app.use((_request, response, next) => {
    response.set('Cache-Control', 'no-store')
    response.set('X-Content-Type-Options', 'nosniff')
    response.set('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'")
    next()
  })
  app.get('/', (_request, response) => {
    response.type('html').send(statusPage(status()))
  })
  app.get('/status.json', (_request, response) => {
    response.json(status())
  })
  app.get('/health', (_request, response) => {
    const { safeMode } = status()
    response.status(200).json({ serving: true, safeMode })
  })
  app.get('/healthz', (_request, response) => {
    const { status: code, body } = answerHealth(options.health)
    response.status(code).json(body)
  })
  app.get('/readyz', (_request, response) => {
    const { status: code, body } = answerHealth(options.readiness)
    response.status(code).json(body)
  })
  app.get('/metrics', async (_request, response) => {
    response.type(registry.contentType).send(await registry.metrics())
  })
  app.get('/prometheus/datanodes', (_request, response) => {
    response.json(status().datanodes.map(scrapeTarget))
  })
  app.get('/jmx', (request, response) => {
    const { status: code, body } = answerJmx(beans, request.query)
    response.status(code).type('application/json').send(body)
  })
  app.get('/fsck', async (request, response) => {
    await answerFsck(options, request, response)
  })
  const server = createServer((request, response) => void app(request, response))
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const message = `Cannot listen on ${host}:${port} for HTTP: ${error.message}`
      reject(new DfsError('IO_ERROR', message, { cause: error }))
    })
    server.listen(port, host, resolve)
  })
  const address = server.address()
  const actualPort = address !== null && typeof address === 'object' ? address.port : port
  return {
    port: actualPort,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Streams the lines of a check. A page in somebody's browser must not be able to have files deleted. */
async function answerFsck(
  { fsck }: HttpServerOptions,
  request: Request,
  response: Response,
): Promise<void> {
  const query = new URL(request.url, 'http://localhost').searchParams
  const isFromPage = ['origin', 'referer', 'sec-fetch-site'].some((name) => name in request.headers)
  response.type('text/plain')
  if (query.has('delete') && isFromPage) {
    response.status(403).send('fsck with delete is for `hdfs fsck`, not for browsers\n')
    return
  }
  const print: LineSink = async (lines) => {
    if (response.destroyed) throw new DfsError('ABORTED', 'The client of fsck has gone')
    if (response.write(`${lines.join('\n')}\n`)) return
    await Promise.race([once(response, 'drain'), once(response, 'close')])
  }
  try {
    await fsck(query, request.socket.remoteAddress ?? '', print)
    response.end()
  } catch (error) {
    if (!response.destroyed) throw error
  }
}

/** A datanode for Prometheus' discovery over HTTP: its ports are free ones, so only the namenode knows them. */
function scrapeTarget({ httpAddress, rack }: DatanodeStatus): object {
  return { targets: [httpAddress], labels: { rack } }
}
