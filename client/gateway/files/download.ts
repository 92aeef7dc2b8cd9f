import type express from 'express'
import type { DfsClient, FileHandle, FileStatus } from '../../index.ts'
import { HttpError } from '../http-error.ts'
import { parseRange } from '../range.ts'
import { entityTag, evaluateConditions, isRangeCurrent } from './conditions.ts'
import { contentDisposition, contentType } from './content.ts'
import { sendStream } from './send-stream.ts'

/** How often a file that changes while it is opened is tried again. */
const openAttemptsMax = 3

/** Answers GET and HEAD of a file: conditions, one range, the bytes. Several ranges get the whole file. */
export async function sendFile(
  client: DfsClient,
  found: FileStatus,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const verdict = evaluateConditions(request.headers, request.method, found)
  if (verdict === 'failed') {
    throw new HttpError(412, 'PRECONDITION_FAILED', `"${found.path}" is not as the request expects`)
  }
  if (verdict === 'not-modified') {
    setValidators(response, found)
    response.status(304).end()
    return
  }
  if (request.method === 'HEAD' || found.size === 0) {
    startBody(request, response, found)
    response.end()
    return
  }
  const { file, status } = await openUnchanged(client, found)
  const range = startBody(request, response, status)
  if (range !== undefined) await sendStream(file.createReadStream(range), response)
  else response.end()
}

/** Opens a file and makes sure that its tag is that of the opened bytes, not of a file put in its place meanwhile. */
async function openUnchanged(
  client: DfsClient,
  found: FileStatus,
): Promise<{ readonly file: FileHandle; readonly status: FileStatus }> {
  let before = found
  for (let attempt = 1; attempt <= openAttemptsMax; attempt += 1) {
    const file = await client.open(found.path)
    const after = await client.stat(found.path)
    if (entityTag(before) === entityTag(after)) return { file, status: after }
    before = after
  }
  throw new HttpError(503, 'BUSY', `"${found.path}" changes too fast to be read`, {
    'Retry-After': '1',
  })
}

/** Sets status and headers; returns the bytes to send, `undefined` for none. */
function startBody(
  request: express.Request,
  response: express.Response,
  status: FileStatus,
): { readonly start: number; readonly end: number } | undefined {
  const isCurrent = isRangeCurrent(request.get('if-range'), status)
  const isWhole = request.method === 'HEAD' || !isCurrent
  const range = isWhole ? undefined : parseRange(request.headers.range, status.size)
  if (range === 'unsatisfiable') {
    throw new HttpError(416, 'INVALID_ARGUMENT', `"${status.path}" has ${status.size} bytes`, {
      'Content-Range': `bytes */${status.size}`,
    })
  }
  setValidators(response, status)
  const { start, end } = range ?? { start: 0, end: status.size - 1 }
  if (range !== undefined) {
    response.status(206).set('Content-Range', `bytes ${start}-${end}/${status.size}`)
  }
  const isAttachment = 'download' in request.query
  response.set({
    'Content-Type': contentType(status.name),
    'Content-Disposition': contentDisposition(isAttachment ? 'attachment' : 'inline', status.name),
    'Content-Length': String(end - start + 1),
  })
  return status.size === 0 ? undefined : { start, end }
}

function setValidators(response: express.Response, status: FileStatus): void {
  response.set({
    'Accept-Ranges': 'bytes',
    ETag: entityTag(status),
    'Last-Modified': status.mtime.toUTCString(),
    'Cache-Control': 'private, no-cache',
  })
}
