import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { apiFace } from './api/face.ts'
import { Authentication } from './authentication.ts'
import { answerClientError } from './client-error.ts'
import { Clients } from './clients.ts'
import { filesFace } from './files/face.ts'
import { openApi } from './files/openapi.ts'
import { gatewayMetrics } from './metrics.ts'
import { pageFiles } from './page-files.ts'
import { isSameHost } from './token-cookie.ts'
import { webHdfsFace } from './webhdfs/face.ts'
import { WorkInFlight } from './webhdfs/work.ts'

/** A connection on which nothing moves for that long is cut. */
const idleTimeoutMs = 300_000
/** What uploads that a stop cuts off have to give their files back; then the namenode's lease recovery does it. */
const stopGraceMs = 5_000

/** Headers that are longer get 431, ones that take longer 408. */
const limits = {
  maxHeaderSize: 32_768,
  headersTimeout: 20_000,
  connectionsCheckingInterval: 1_000,
} as const

/** Parameters of {@link runGateway}. */
export interface GatewayOptions {
  /** Cluster to serve, `hdfs://host:port`. */
  readonly uri: string
  readonly host: string
  /** 0 picks a free port. */
  readonly port: number
  readonly user?: string
  /** How long the headers of a request may take, 20 s by default. */
  readonly headersTimeoutMs?: number
}

/** A listening gateway. */
export interface RunningGateway {
  readonly port: number
  stop(): Promise<void>
}

/** Serves the faces of the HTTP gateway; the caller decides the address, loopback unless configured. */
export async function runGateway(options: GatewayOptions): Promise<RunningGateway> {
  const clients = new Clients(options.uri, options.user)
  const authentication = new Authentication(clients, options.host)
  try {
    await authentication.requireSafeAddress()
  } catch (error) {
    await clients.close()
    throw error
  }
  const work = new WorkInFlight()
  const application = express()
  application.disable('x-powered-by')
  application.use((_request, response, next) => {
    response.set('X-Content-Type-Options', 'nosniff')
    next()
  })
  application.use(gatewayMetrics())
  application.use(refuseOtherSites)
  application.use('/webhdfs/v1', webHdfsFace(authentication, work))
  application.use(continueBody)
  application.get('/openapi.json', (_request, response) => {
    response.json(openApi)
  })
  application.use('/files', filesFace(authentication))
  const { own: observer } = clients
  application.use('/api/v1', apiFace({ authentication, observer, cluster: options.uri }))
  application.use(pageFiles())
  const headersTimeout = options.headersTimeoutMs ?? limits.headersTimeout
  const server = createServer(
    { ...limits, headersTimeout },
    (request, response) => void application(request, response),
  )
  server.on('checkContinue', (request, response) => void application(request, response))
  server.on('clientError', answerClientError)
  // A body may take as long as it likes, as long as something of it arrives.
  server.requestTimeout = 0
  server.timeout = idleTimeoutMs
  server.listen(options.port, options.host)
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve)
    server.once('error', reject)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await work.settled(stopGraceMs)
      await clients.close()
    },
  }
}

/** Asks for the body of a client that waits to be asked. */
function continueBody(
  request: express.Request,
  response: express.Response,
  next: express.NextFunction,
): void {
  if (/100-continue/i.test(request.headers.expect ?? '')) response.writeContinue()
  next()
}

/**
 * Refuses changes that a page of another site asks a browser to make: the gateway trusts whoever reaches its
 * address, and a browser on this machine reaches loopback on behalf of any page.
 */
function refuseOtherSites(
  request: express.Request,
  response: express.Response,
  next: express.NextFunction,
): void {
  const { origin, host } = request.headers
  const isReading = request.method === 'GET' || request.method === 'HEAD'
  if (isReading || origin === undefined || isSameHost(origin, host)) {
    next()
    return
  }
  const message = `Requests from pages of ${origin} are refused`
  response.status(403).json({ error: { code: 'PERMISSION_DENIED', message } })
}
