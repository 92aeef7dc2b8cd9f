import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { dirname } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import busboy from 'busboy'
import express from 'express'
import { DfsError, errorTable } from '../../protocol/errors.ts'
import { type DfsClient, DfsFsError, type FileStatus } from '../index.ts'
import { parseRange } from './range.ts'

/** What became of one file of a multipart upload. */
interface UploadResult {
  readonly path: string
  readonly bytes?: number
  readonly error?: string
}

/**
 * The `/files` face: paths of the cluster as URLs. Bytes stream in both directions with constant memory.
 *
 *     GET    /files/PATH   the file (ranges), or the directory as JSON
 *     PUT    /files/PATH   the body becomes the file; 201
 *     POST   /files/DIR    multipart/form-data with any number of files; one result each
 *     DELETE /files/PATH   removes it; `?recursive` for directories
 */
export function filesFace(client: DfsClient): express.Router {
  const router = express.Router()
  router.get('/*path', async (request, response) => {
    await sendPath(client, pathOf(request), request, response)
  })
  router.get('/', async (request, response) => {
    await sendPath(client, '/', request, response)
  })
  router.put('/*path', async (request, response) => {
    await storeBody(client, pathOf(request), request)
    response
      .status(201)
      .location(`/files${pathOf(request)}`)
      .end()
  })
  router.post(['/', '/*path'], async (request, response) => {
    const results = await storeParts(client, pathOf(request), request)
    const hasFailed = results.some(({ error }) => error !== undefined)
    response.status(hasFailed ? 207 : 201).json({ files: results })
  })
  router.delete('/*path', async (request, response) => {
    await client.rm(pathOf(request), { recursive: 'recursive' in request.query })
    response.status(204).end()
  })
  router.use(answerError)
  return router
}

function pathOf(request: express.Request): string {
  const components = request.params['path'] as unknown as readonly string[] | undefined
  return `/${(components ?? []).join('/')}`
}

async function sendPath(
  client: DfsClient,
  path: string,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const status = await client.stat(path)
  if (status.isDirectory()) {
    await sendListing(client, path, response)
    return
  }
  const range = parseRange(request.headers.range, status.size)
  response.set('Accept-Ranges', 'bytes').set('Last-Modified', status.mtime.toUTCString())
  if (range === 'unsatisfiable') {
    response.status(416).set('Content-Range', `bytes */${status.size}`).end()
    return
  }
  const { start, end } = range ?? { start: 0, end: status.size - 1 }
  if (range !== undefined)
    response.status(206).set('Content-Range', `bytes ${start}-${end}/${status.size}`)
  response.type('application/octet-stream').set('Content-Length', String(end - start + 1))
  if (request.method === 'HEAD' || status.size === 0) {
    response.end()
    return
  }
  await pipeline(client.createReadStream(path, { start, end }), response)
}

/** Streams a directory as `{"entries":[…]}`, page by page, so that its size does not matter. */
async function sendListing(
  client: DfsClient,
  path: string,
  response: express.Response,
): Promise<void> {
  response.type('application/json').write('{"entries":[')
  let separator = ''
  for await (const entry of client.opendir(path)) {
    response.write(`${separator}${JSON.stringify(entryView(entry))}`)
    separator = ','
  }
  response.end(']}')
}

function entryView({
  name,
  type,
  size,
  owner,
  group,
  mode,
  mtimeMs,
  replication,
}: FileStatus): object {
  return { name, type, size, owner, group, mode: mode.toString(8), mtimeMs, replication }
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

/** Answers `{"error":{code,message}}` with the status of the error table; cuts the connection once a body has begun. */
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
  const code =
    error instanceof DfsFsError
      ? error.dfsCode
      : error instanceof DfsError
        ? error.code
        : 'INTERNAL'
  const message = error instanceof Error ? error.message : String(error)
  response.status(errorTable[code].httpStatus).json({ error: { code, message } })
}
