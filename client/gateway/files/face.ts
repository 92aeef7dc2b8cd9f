import { dirname } from 'node:path'
import express from 'express'
import type { DfsClient } from '../../index.ts'
import type { Authentication, Caller, Right } from '../authentication.ts'
import { answerError, HttpError } from '../http-error.ts'
import type { WorkInFlight } from '../work.ts'
import { sendArchive } from './archive.ts'
import { sendFile } from './download.ts'
import { postForm } from './form.ts'
import { sendListing } from './listing.ts'
import { putFile } from './put.ts'
import { removePath } from './remove.ts'
import { pathOfUrl } from './request-path.ts'
import { isTus, TusUploads, tusCapabilities } from './tus.ts'
import { postVerb } from './verbs.ts'

/** Parameters of {@link filesFace}. */
export interface FilesOptions {
  readonly authentication: Authentication
  readonly work: WorkInFlight
  /** Called when files were stored in a directory. */
  readonly onStored: (caller: Caller, directory: string) => void
}

/** Who asks, and for what. */
interface FilesExchange {
  readonly caller: Caller
  readonly client: DfsClient
  readonly path: string
}

type Handler = (
  exchange: FilesExchange,
  request: express.Request,
  response: express.Response,
) => Promise<void>

const methods = 'GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS'

/**
 * The `/files` face: paths of the cluster as URLs. Bytes stream in both directions with constant memory.
 *
 *     GET    /files/PATH   the file (ranges, conditions, `?download`), or the directory as JSON (`?after=&limit=`)
 *                          or as one stream (`?archive=tar|zip`)
 *     PUT    /files/PATH   the body becomes the file, under conditions, with a checksum
 *     POST   /files/DIR    multipart/form-data with any number of files; one result each
 *     POST   /files/PATH   application/json with one verb: move, mkdir, permissions, replication
 *     PATCH  /files/PATH   a piece of a resumable upload (tus.ts), which POST made and HEAD tells the length of
 *     DELETE /files/PATH   moves it to the trash; `?recursive` for directories, `?skipTrash`
 */
export function filesFace({ authentication, work, onStored }: FilesOptions): express.Router {
  const router = express.Router()
  const uploads = new TusUploads()
  const as = (right: Right, handle: Handler): express.RequestHandler => {
    return async (request, response) => {
      const caller = await authentication.identify(request, { isOfPage: true })
      const path = pathOfUrl(request.path)
      caller.require(path, right)
      const release = caller.hold()
      const handled = handle({ caller, client: caller.client, path }, request, response)
      work.track(handled.catch(() => undefined).finally(release))
      await handled
    }
  }
  const tell = as('write', async ({ caller, path }, _request, response) => {
    await uploads.tell(caller, path, response)
  })
  router.head(/.*/, (request, response, next) => {
    if (isTus(request)) return tell(request, response, next)
    next()
    return undefined
  })
  router.patch(
    /.*/,
    as('write', async ({ caller, path }, request, response) => {
      if (!isTus(request)) throw new HttpError(412, 'PRECONDITION_FAILED', 'PATCH speaks tus 1.0.0')
      await uploads.append(caller, path, request, response)
    }),
  )
  router.get(/.*/, as('read', send))
  router.put(
    /.*/,
    as('write', async ({ caller, client, path }, request, response) => {
      await putFile(client, path, request, response)
      onStored(caller, dirname(path))
    }),
  )
  router.post(
    /.*/,
    as('write', async (exchange, request, response) => {
      if (isTus(request)) {
        await uploads.create(exchange.caller, exchange.path, request, response)
        onStored(exchange.caller, exchange.path)
      } else if (request.is('multipart/form-data') !== false) {
        await postForm(exchange.client, exchange.path, request, response)
        onStored(exchange.caller, exchange.path)
      } else await postJson(exchange, request, response)
    }),
  )
  router.delete(
    /.*/,
    as('write', async ({ caller, client, path }, request, response) => {
      if (isTus(request)) await uploads.terminate(caller, path, response)
      else await removePath(client, path, request, response)
    }),
  )
  router.all(/.*/, answerOthers)
  router.use(answerError)
  return router
}

async function send(
  { caller, client, path }: FilesExchange,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const status = await client.stat(path)
  const isArchive = 'archive' in request.query
  if (status.isDirectory() && isArchive) await sendArchive(caller, status, request, response)
  else if (status.isDirectory()) await sendListing(client, path, request, response)
  else await sendFile(client, status, request, response)
}

async function postJson(
  { caller, path }: FilesExchange,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  if (request.is('application/json') === false) {
    const text = 'Cannot use this body: POST takes multipart/form-data or application/json'
    throw new HttpError(415, 'INVALID_ARGUMENT', `${text}; PUT stores bytes`)
  }
  await postVerb(caller, path, request, response)
}

function answerOthers(request: express.Request, response: express.Response): void {
  response.set('Allow', methods)
  if (request.method === 'OPTIONS') {
    response.set(tusCapabilities).status(204).end()
    return
  }
  const text = `Cannot ${request.method} here: need ${methods}`
  throw new HttpError(405, 'UNSUPPORTED_OPERATION', text)
}
