import express from 'express'
import type { DfsClient } from '../../index.ts'
import type { Authentication, Caller, Right } from '../authentication.ts'
import { answerError, HttpError } from '../http-error.ts'
import { sendArchive } from './archive.ts'
import { sendFile } from './download.ts'
import { postForm } from './form.ts'
import { sendListing } from './listing.ts'
import { putFile } from './put.ts'
import { removePath } from './remove.ts'
import { pathOfUrl } from './request-path.ts'
import { isTus, TusUploads, tusCapabilities } from './tus.ts'
import { postVerb } from './verbs.ts'

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
export function filesFace(authentication: Authentication): express.Router {
  const router = express.Router()
  const uploads = new TusUploads()
  router.head(/.*/, async (request, response, next) => {
    if (!isTus(request)) {
      next()
      return
    }
    const { caller, path } = await authorised(authentication, request, 'write')
    await uploads.tell(caller, path, response)
  })
  router.patch(/.*/, async (request, response) => {
    const { caller, path } = await authorised(authentication, request, 'write')
    if (!isTus(request)) throw new HttpError(412, 'PRECONDITION_FAILED', 'PATCH speaks tus 1.0.0')
    await uploads.append(caller, path, request, response)
  })
  router.get(/.*/, async (request, response) => {
    const { caller, client, path } = await authorised(authentication, request, 'read')
    const status = await client.stat(path)
    const isArchive = 'archive' in request.query
    if (status.isDirectory() && isArchive) await sendArchive(caller, status, request, response)
    else if (status.isDirectory()) await sendListing(client, path, request, response)
    else await sendFile(client, status, request, response)
  })
  router.put(/.*/, async (request, response) => {
    const { client, path } = await authorised(authentication, request, 'write')
    await putFile(client, path, request, response)
  })
  router.post(/.*/, async (request, response) => {
    const { caller, client, path } = await authorised(authentication, request, 'write')
    if (isTus(request)) {
      await uploads.create(caller, path, request, response)
      return
    }
    if (request.is('multipart/form-data') !== false) {
      await postForm(client, path, request, response)
      return
    }
    if (request.is('application/json') === false) {
      const text = 'Cannot use this body: POST takes multipart/form-data or application/json'
      throw new HttpError(415, 'INVALID_ARGUMENT', `${text}; PUT stores bytes`)
    }
    await postVerb(caller, path, request, response)
  })
  router.delete(/.*/, async (request, response) => {
    const { caller, client, path } = await authorised(authentication, request, 'write')
    if (isTus(request)) await uploads.terminate(caller, path, response)
    else await removePath(client, path, request, response)
  })
  router.all(/.*/, (request, response) => {
    response.set('Allow', methods)
    if (request.method === 'OPTIONS') {
      response.set(tusCapabilities).status(204).end()
      return
    }
    const text = `Cannot ${request.method} here: need ${methods}`
    throw new HttpError(405, 'UNSUPPORTED_OPERATION', text)
  })
  router.use(answerError)
  return router
}

async function authorised(
  authentication: Authentication,
  request: express.Request,
  right: Right,
): Promise<{ readonly caller: Caller; readonly client: DfsClient; readonly path: string }> {
  const caller = await authentication.identify(request, { isOfPage: true })
  const path = pathOfUrl(request.path)
  caller.require(path, right)
  return { caller, client: caller.client, path }
}
