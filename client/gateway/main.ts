import type { AddressInfo } from 'node:net'
import express from 'express'
import { systemClock, systemTimers } from '../../base/system.ts'
import { Watchdog } from '../../transport/health.ts'
import { createFileServer } from '../../transport/http-server.ts'
import { apiFace } from './api/face.ts'
import { Authentication } from './authentication.ts'
import { type BodyRate, bodyRate } from './body-rate.ts'
import { Clients } from './clients.ts'
import { crossOrigin } from './cross-origin.ts'
import { filesFace } from './files/face.ts'
import { openApi } from './files/openapi.ts'
import { healthRoutes } from './health.ts'
import { answerError } from './http-error.ts'
import { leftoversSweeper } from './leftovers.ts'
import { gatewayMetrics } from './metrics.ts'
import { pageFiles } from './page-files.ts'
import { PrivateDirectory } from './private-directory.ts'
import { webHdfsFace } from './webhdfs/face.ts'
import { Grants, grantKeyDirectory } from './webhdfs/grants.ts'
import { operations } from './webhdfs/operations.ts'
import { WorkInFlight } from './work.ts'

export { originsOf } from './cross-origin.ts'

/** What uploads that a stop cuts off have to give their files back; then the namenode's lease recovery does it. */
const stopGraceMs = 5_000

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
  /** Where WebHDFS sends data unless a request says otherwise; the gateway itself by default. */
  readonly redirect?: 'gateway' | 'datanode'
  /** Whose pages may use the gateway; nobody else's by default. */
  readonly corsOrigins?: readonly string[]
  /** The least that senders have to send; no limit by default. */
  readonly bodyRate?: BodyRate
  /** How long running transfers may go on when the gateway is stopped; 0 by default. */
  readonly drainMs?: number
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
  const state: GatewayState = {
    ...{ clients, authentication, work: new WorkInFlight(), answers: new WorkInFlight() },
    watchdog: new Watchdog(systemClock, systemTimers),
    isStopping: false,
  }
  const application = createApplication(options, state)
  const { headersTimeoutMs } = options
  const server = createFileServer(
    (request, response) => void application(request, response),
    headersTimeoutMs === undefined ? {} : { headersTimeoutMs },
  )
  server.listen(options.port, options.host)
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve)
    server.once('error', reject)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      state.isStopping = true
      const closed = new Promise((resolve) => server.close(resolve))
      await state.answers.settled(options.drainMs ?? 0)
      server.closeAllConnections()
      await closed
      await state.work.settled(stopGraceMs)
      state.watchdog.stop()
      await clients.close()
    },
  }
}

interface GatewayState {
  readonly clients: Clients
  readonly authentication: Authentication
  /** Handlers, also of clients that are gone. */
  readonly work: WorkInFlight
  /** Answers of transfers that are not over. */
  readonly answers: WorkInFlight
  readonly watchdog: Watchdog
  isStopping: boolean
}

function createApplication(options: GatewayOptions, state: GatewayState): express.Express {
  const { clients, authentication, work } = state
  const onStored = leftoversSweeper(work)
  const application = express()
  application.disable('x-powered-by')
  application.use((_request, response, next) => {
    response.set('X-Content-Type-Options', 'nosniff')
    if (state.isStopping) response.set('Connection', 'close')
    next()
  })
  application.use(gatewayMetrics())
  application.use(
    healthRoutes({
      ...{ client: clients.own, authentication, watchdog: state.watchdog },
      isStopping: () => state.isStopping,
    }),
  )
  application.use(crossOrigin(options.corsOrigins ?? []), answerError)
  application.use(['/webhdfs', '/files'], (_request, response, next) => {
    state.answers.track(new Promise((resolve) => response.once('close', resolve)))
    next()
  })
  application.use(bodyRate(options.bodyRate ?? { bytesPerSecond: 0, windowMs: 0 }))
  const grants = new Grants(new PrivateDirectory(clients.own, grantKeyDirectory))
  application.use(
    '/webhdfs/v1',
    webHdfsFace({
      ...{ operations, work, onStored },
      identify: (request) => authentication.identify(request),
      dataPlace: { isDatanode: options.redirect === 'datanode', grants },
    }),
  )
  application.use(continueBody)
  application.get('/openapi.json', (_request, response) => {
    response.json(openApi)
  })
  application.use('/files', filesFace({ authentication, work, onStored }))
  const { own: observer } = clients
  application.use('/api/v1', apiFace({ authentication, observer, cluster: options.uri }))
  application.use(pageFiles())
  return application
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
