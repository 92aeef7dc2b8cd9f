/** What a datanode serves of WebHDFS: the step that moves data, with the code that the gateway has for it. */
import express from 'express'
import { Authentication, type Caller, callerOf } from '../authentication.ts'
import { type BodyRate, bodyRate } from '../body-rate.ts'
import { Clients } from '../clients.ts'
import { crossOrigin } from '../cross-origin.ts'
import { answerError, HttpError } from '../http-error.ts'
import { leftoversSweeper } from '../leftovers.ts'
import { PrivateDirectory } from '../private-directory.ts'
import { WorkInFlight } from '../work.ts'
import { type Asked, webHdfsFace } from './face.ts'
import { Grants, grantKeyDirectory } from './grants.ts'
import { dataOperations } from './operations.ts'

export { originsOf } from '../cross-origin.ts'

/** Parameters of {@link openDataFace}. */
export interface DataFaceOptions {
  /** The datanode's cluster, `hdfs://host:port`: nobody is connected to another, whatever `namenoderpcaddress` says. */
  readonly uri: string
  /** The address that the datanode listens on. */
  readonly host: string
  readonly corsOrigins: readonly string[]
  readonly bodyRate: BodyRate
}

/** OPEN, CREATE, APPEND and GETFILECHECKSUM below `/webhdfs/v1`. */
export interface DataFace {
  readonly path: string
  readonly handle: express.RequestHandler
  close(): Promise<void>
}

/** What uploads that a stop cuts off have to give their files back. */
const stopGraceMs = 5_000

/**
 * Opens the face. Who brings a grant of a gateway's may do what it says. Everybody else is judged as by the gateway: with
 * tokens one is needed, without them only loopback is served and callers are believed.
 */
export function openDataFace(options: DataFaceOptions): DataFace {
  const { uri, host } = options
  const clients = new Clients(uri)
  const authentication = new Authentication(clients, host)
  const grants = new Grants(new PrivateDirectory(clients.own, grantKeyDirectory))
  const work = new WorkInFlight()
  const identify = async (request: express.Request, asked: Asked): Promise<Caller> => {
    const text = asked.parameters.text('delegation')
    if (!Grants.isOne(text)) return await authentication.identify(request)
    const verdict = await verified(grants, text, asked)
    if (verdict.kind === 'expired') throw unauthorized('The grant has expired: ask the gateway')
    if (verdict.kind === 'forged') throw unauthorized('The grant is not for this request')
    const paths = [asked.path]
    return callerOf(request, clients, verdict.user, {
      ...{ user: verdict.user, paths, right: 'write', expiresAtMs: null },
    })
  }
  const router = express.Router()
  router.use(crossOrigin(options.corsOrigins), answerError)
  router.use(bodyRate(options.bodyRate))
  router.use(
    webHdfsFace({
      ...{ operations: dataOperations, identify, work },
      dataPlace: { isDatanode: false, grants },
      onStored: leftoversSweeper(work),
    }),
  )
  return {
    path: '/webhdfs/v1',
    handle: router,
    async close() {
      await work.settled(stopGraceMs)
      await clients.close()
    },
  }
}

async function verified(
  grants: Grants,
  text: string,
  asked: { readonly operation: string; readonly path: string },
): ReturnType<Grants['verify']> {
  try {
    return await grants.verify(text, asked)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const message = `Cannot read the keys that grants are signed with: ${reason}`
    throw new HttpError(503, 'BUSY', message, { 'Retry-After': '1' })
  }
}

function unauthorized(message: string): HttpError {
  return new HttpError(401, 'UNAUTHORIZED', message)
}
