/** `/healthz` (should this process be restarted?) and `/readyz` (can it serve now?), as the other daemons have them. */
import express from 'express'
import { answerHealth, type HealthCheck, type Watchdog } from '../../transport/health.ts'
import type { DfsClient } from '../index.ts'
import type { Authentication } from './authentication.ts'

/** Parameters of {@link healthRoutes}. */
export interface HealthOptions {
  readonly client: DfsClient
  readonly authentication: Authentication
  readonly watchdog: Watchdog
  readonly isStopping: () => boolean
}

/** How long the namenode may take to answer. */
const patienceMs = 2_000
/** How long what was found counts: whoever asks often must not keep the namenode busy. */
const findingsMs = 1_000

/** Serves both; neither needs a token nor tells anything of the cluster's content. */
export function healthRoutes(options: HealthOptions): express.Router {
  const { watchdog, isStopping } = options
  const router = express.Router()
  const process = [watchdog.eventLoop()]
  const stopping: HealthCheck = {
    name: 'serving',
    reason: () => (isStopping() ? 'The gateway is stopping' : undefined),
  }
  const cluster = remembered(() => clusterChecks(options))
  router.get('/healthz', (_request, response) => {
    const { status, body } = answerHealth(process)
    response.status(status).json(body)
  })
  router.get('/readyz', async (_request, response) => {
    const { status, body } = answerHealth([...process, stopping, ...(await cluster())])
    response.status(status).json(body)
  })
  return router
}

async function clusterChecks({ client, authentication }: HealthOptions): Promise<HealthCheck[]> {
  const namenode = await reasonOf(async () => {
    const signal = AbortSignal.timeout(patienceMs)
    try {
      await client.stat('/', { signal })
    } catch (error) {
      if (!signal.aborted) throw error
      throw new Error(`The namenode ${client.uri} did not answer within ${patienceMs} ms`)
    }
  })
  // Whoever cannot ask the namenode cannot read tokens either, and need not wait for that.
  const tokens = namenode === undefined ? await reasonOf(() => authentication.check()) : undefined
  return [
    { name: 'namenode', reason: () => namenode },
    { name: 'tokens', reason: () => tokens },
  ]
}

async function reasonOf(check: () => Promise<void>): Promise<string | undefined> {
  try {
    await check()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function remembered<T>(find: () => Promise<T>): () => Promise<T> {
  let finding: Promise<T> | undefined
  let untilMs = 0
  return () => {
    if (finding === undefined || performance.now() > untilMs) {
      finding = find()
      untilMs = performance.now() + patienceMs + findingsMs
      void finding.then(() => {
        untilMs = performance.now() + findingsMs
      })
    }
    return finding
  }
}
