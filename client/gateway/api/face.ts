import express from 'express'
import type { DfsClient } from '../../index.ts'
import type { Authentication, Caller } from '../authentication.ts'
import { answerError, HttpError } from '../http-error.ts'
import { EventStreams, type StreamTimes } from './event-stream.ts'
import { restoreFromTrash, sendFileMap, sendTrash } from './file-verbs.ts'
import { changeBalance, sendBalance, sendHistory, sendLog, workOf } from './jobs.ts'
import { nodeOf, nodesOf, observe, overviewOf, repairOf } from './observe.ts'
import { optionalAnswer } from './optional-answer.ts'
import { addSession } from './session.ts'
import { ClusterWatch } from './watch.ts'

/** Parameters of {@link apiFace}. */
export interface ApiOptions {
  readonly authentication: Authentication
  /** Watches the cluster for the event stream, as the user who runs the gateway. */
  readonly observer: DfsClient
  /** The cluster as people name it. */
  readonly cluster: string
  readonly watchPeriodMs?: number
  readonly streamTimes?: StreamTimes
}

const watchPeriodMs = 2_000
const streamTimes: StreamTimes = { heartbeatMs: 15_000, stalledMs: 60_000 }
/** Blocks of a drain that are explained one by one. */
const blocksLeftMax = 20

/** Answers that are about paths of the caller's. */
const ofPaths = new Set(['/blocks', '/trash', '/trash/restore'])

type Handler = (caller: Caller, request: express.Request, response: express.Response) => unknown

/**
 * The API of the page, JSON in both directions:
 *
 *     GET  /api/v1/session             who the caller is; POST `{"token":…}` signs a browser in, DELETE out
 *     GET  /api/v1/overview            health, capacity, counts
 *     GET  /api/v1/nodes               every datanode
 *     GET  /api/v1/nodes/UUID          one, with what keeps its drain from being done
 *     POST /api/v1/nodes/UUID/drain    also `maintain` (`{"durationMs":…}`) and `resume`
 *     GET  /api/v1/repair              whether repair waits, which blocks wait for it, what is being copied
 *     POST /api/v1/repair/resume       it goes on without the datanodes that vanished
 *     GET  /api/v1/jobs/balance        what balancing does (`?thresholdPercent=` would do); POST changes it
 *     GET  /api/v1/history             the last hour in samples (`?afterMs=`)
 *     GET  /api/v1/log                 what happened, newest first (`?kind=&level=&text=&before=&after=&limit=`)
 *     GET  /api/v1/blocks?path=PATH    where the blocks of a file are
 *     GET  /api/v1/trash               what the caller deleted
 *     POST /api/v1/trash/restore       `{"path":…,"from":CHECKPOINT}` puts it back
 *     GET  /api/v1/events              all of the cluster as server-sent events, with every change
 */
export function apiFace(options: ApiOptions): express.Router {
  const { authentication, observer, cluster } = options
  const watch = new ClusterWatch({
    observe: (historyAfterMs) => observe(observer, cluster, historyAfterMs),
    periodMs: options.watchPeriodMs ?? watchPeriodMs,
  })
  const streams = new EventStreams(watch, options.streamTimes ?? streamTimes)
  const router = express.Router()
  const identify = async (request: express.Request): Promise<Caller> => {
    const caller = await authentication.identify(request, { isOfPage: true })
    // What the cluster as a whole says is not for a token of a part of it; the others ask for their own paths.
    if (!ofPaths.has(request.path)) caller.require('/', 'read')
    return caller
  }
  const as = (handler: Handler): express.RequestHandler => {
    return async (request, response) => {
      const caller = await identify(request)
      response.set('Cache-Control', 'no-store')
      await handler(caller, request, response)
    }
  }
  router.use(express.json({ limit: 16_384 }))
  router.get(
    '/overview',
    as(async ({ client }, _request, response) => {
      response.json((await overviewOf(client, cluster)).overview)
    }),
  )
  router.get(
    '/events',
    as((_caller, request, response) => {
      streams.send(response, async () => {
        await identify(request)
      })
    }),
  )
  addSession(router, authentication)
  addNodes(router, as)
  addRepair(router, as)
  router.get('/jobs/balance', as(sendBalance))
  router.post('/jobs/balance', as(changeBalance))
  router.get('/history', as(sendHistory))
  router.get('/log', as(sendLog))
  router.get('/blocks', as(sendFileMap))
  router.get('/trash', as(sendTrash))
  router.post('/trash/restore', as(restoreFromTrash))
  router.use((request) => {
    const text = `There is no ${request.method} ${request.baseUrl}${request.path}`
    throw new HttpError(404, 'NO_SUCH_METHOD', text)
  })
  router.use(answerError)
  return router
}

type Wrap = (handler: Handler) => express.RequestHandler

function addNodes(router: express.Router, as: Wrap): void {
  router.get(
    '/nodes',
    as(async ({ client }, _request, response) => {
      response.json({ nodes: await nodesOf(client) })
    }),
  )
  router.get(
    '/nodes/:uuid',
    as(async ({ client }, request, response) => {
      response.json(await knownNode(client, uuidOf(request)))
    }),
  )
  const change = (
    verb: string,
    action: (client: DfsClient, uuid: string, body: object) => unknown,
  ) =>
    router.post(
      `/nodes/:uuid/${verb}`,
      as(async (caller, request, response) => {
        caller.require('/', 'write')
        const uuid = uuidOf(request)
        await action(caller.client, uuid, (request.body as object | undefined) ?? {})
        response.json(await knownNode(caller.client, uuid))
      }),
    )
  change('drain', ({ operator }, uuid) => operator.drainNode(uuid))
  change('resume', ({ operator }, uuid) => operator.resumeNode(uuid))
  change('maintain', ({ operator }, uuid, body) =>
    operator.maintainNode(uuid, { durationMs: durationOf(body) }),
  )
}

function addRepair(router: express.Router, as: Wrap): void {
  router.get(
    '/repair',
    as(async ({ client }, _request, response) => {
      const [guard, work] = await Promise.all([repairOf(client), optionalAnswer(workOf(client))])
      response.json({ ...guard, work: work ?? null })
    }),
  )
  router.post(
    '/repair/resume',
    as(async (caller, _request, response) => {
      caller.require('/', 'write')
      await caller.client.operator.resumeRepair()
      response.json(await repairOf(caller.client))
    }),
  )
}

async function knownNode(client: DfsClient, uuid: string): Promise<object> {
  const node = await nodeOf(client, uuid, blocksLeftMax)
  if (node !== undefined) return node
  throw new HttpError(404, 'FILE_NOT_FOUND', `There is no datanode ${uuid}`)
}

function uuidOf({ params }: express.Request): string {
  return String(params['uuid'])
}

function durationOf(body: object): number | undefined {
  const durationMs: unknown = 'durationMs' in body ? body.durationMs : undefined
  if (durationMs === undefined) return undefined
  if (typeof durationMs === 'number' && Number.isSafeInteger(durationMs) && durationMs > 0) {
    return durationMs
  }
  throw new HttpError(400, 'INVALID_ARGUMENT', '"durationMs" must be a number above 0')
}
