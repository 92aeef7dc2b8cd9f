import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { dirname } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import busboy from 'busboy'
import express from 'express'
import { DfsError } from '../../../protocol/errors.ts'
import type { DfsClient } from '../../index.ts'
import type { Authentication, Caller, Right } from '../authentication.ts'
import { answerTo } from '../http-error.ts'
import { sendArchive } from './archive.ts'
import { sendFile } from './download.ts'
import { sendListing } from './listing.ts'
import { pathOfUrl, urlOfPath } from './request-path.ts'

/** What became of one file of a multipart upload. */
interface UploadResult {
  readonly path: string
  readonly bytes?: number
  readonly error?: string
}

/**
 * The `/files` face: paths of the cluster as URLs. Bytes stream in both directions with constant memory.
 *
 *     GET    /files/PATH   the file (ranges, conditions, `?download`), or the directory as JSON (`?after=&limit=`)
 *                          or as one stream (`?archive=tar|zip`)
 *     PUT    /files/PATH   the body becomes the file; 201
 *     POST   /files/DIR    multipart/form-data with any number of files; one result each
 *     DELETE /files/PATH   removes it; `?recursive` for directories
 */
export function filesFace(authentication: Authentication): express.Router {
  const router = express.Router()
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
    await storeBody(client, path, request)
    response
      .status(201)
      .location(`/files${urlOfPath(path)}`)
      .end()
  })
  router.post(/.*/, async (request, response) => {
    const { client, path } = await authorised(authentication, request, 'write')
    const results = await storeParts(client, path, request)
    const hasFailed = results.some(({ error }) => error !== undefined)
    response.status(hasFailed ? 207 : 201).json({ files: results })
  })
  router.delete(/.*/, async (request, response) => {
    const { client, path } = await authorised(authentication, request, 'write')
    await client.rm(path, { recursive: 'recursive' in request.query })
    response.status(204).end()
  })
  router.use(answerError)
  return router
}

async function authorised(
  authentication: Authentication,
  request: express.Request,
  right: Right,
): Promise<{ readonly caller: Caller; readonly client: DfsClient; readonly path: string }> {
  const caller = await authentication.identify(request)
  const path = pathOfUrl(request.path)
  caller.require(path, right)
  return { caller, client: caller.client, path }
}

/** Stores a stream under a temporary name and renames it when it is complete: no half file ever has its final name. */
async function store(client: DfsClient, path: string, source: Readable): Promise<number> {
  await client.mkdir(dirname(path), { recursive: true })
  const temporary = `${path}._UPLOADING_${randomUUID()}`
  const target = client.createWriteStream(temporary)
  let bytes = 0
  source.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  try {
    await pipeline(source, target)
    await client.rename(temporary, path, { overwrite: true })
    return bytes
  } catch (error) {
    await client.rm(temporary, { force: true })
    throw error
  }
}

async function storeBody(client: DfsClient, path: string, body: IncomingMessage): Promise<void> {
  await store(client, path, body)
}

async function storeParts(
  client: DfsClient,
  directory: string,
  request: express.Request,
): Promise<UploadResult[]> {
  const pending: Promise<UploadResult>[] = []
  const form = multipartReader(request)
  form.on('file', (_field, part, { filename = '' }) => {
    pending.push(storePart(client, directory, filename, part))
  })
  await pipeline(request, form)
  return Promise.all(pending)
}

function multipartReader(request: express.Request): busboy.Busboy {
  try {
    return busboy({ headers: request.headers, preservePath: false })
  } catch (cause) {
    const text = 'Cannot read the upload: send multipart/form-data, or PUT the bytes to /files/PATH'
    throw new DfsError('INVALID_ARGUMENT', text, { cause })
  }
}

async function storePart(
  client: DfsClient,
  directory: string,
  filename: string,
  part: Readable,
): Promise<UploadResult> {
  const path = directory === '/' ? `/${filename}` : `${directory}/${filename}`
  try {
    if (filename === '' || filename === '.' || filename === '..' || filename.includes('/')) {
      throw new DfsError(
        'INVALID_PATH',
        `Cannot store a part named "${filename}": give it a file name`,
      )
    }
    return { path, bytes: await store(client, path, part) }
  } catch (error) {
    part.resume()
    return { path, error: error instanceof Error ? error.message : String(error) }
  }
}

/** Answers `{"error":{code,message}}`; cuts the connection once a body has begun. */
function answerError(
  error: unknown,
  _request: express.Request,
  response: express.Response,
  _next: express.NextFunction,
): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const { status, code, message, headers } = answerTo(error)
  response.status(status).set(headers).json({ error: { code, message } })
}
