import { Readable } from 'node:stream'
import type express from 'express'
import type { DfsClient, FileStatus } from '../../index.ts'
import { HttpError } from '../http-error.ts'
import { sendStream } from './send-stream.ts'

/** Entries that are turned into text at a time. */
const entriesPerChunk = 256

/**
 * Answers `{"path":…,"entries":[…],"next":…}`: entries in the order of their names' bytes, streamed as the namenode
 * gives them, so that memory does not grow with the directory. `?after=NAME&limit=N` asks for a page; `next` is the
 * `after` of the page behind it, null on the last.
 */
export async function sendListing(
  client: DfsClient,
  path: string,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const after = single(request.query['after'], 'after')
  const limit = limitOf(single(request.query['limit'], 'limit'))
  response.type('application/json').set('Cache-Control', 'private, no-cache')
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const chunks = listingText(path, client.opendir(path, { after }), limit)
  await sendStream(Readable.from(chunks, { objectMode: false }), response)
}

async function* listingText(
  path: string,
  entries: AsyncIterable<FileStatus>,
  limit: number,
): AsyncGenerator<string> {
  let text = `{"path":${JSON.stringify(path)},"entries":[`
  let count = 0
  let last: string | undefined
  let next: string | undefined
  for await (const entry of entries) {
    if (count === limit) {
      next = last
      break
    }
    text += `${count === 0 ? '' : ','}\n${JSON.stringify(entryView(entry))}`
    last = entry.name
    count += 1
    if (count % entriesPerChunk === 0) {
      yield text
      text = ''
    }
  }
  yield `${text}\n],"next":${JSON.stringify(next ?? null)}}\n`
}

/** What a listing and the JSON verbs tell of an entry. */
export function entryView(status: FileStatus): object {
  const { name, type, size, owner, group, mode, mtimeMs, replication } = status
  return {
    name,
    type,
    size,
    owner,
    group,
    mode: mode.toString(8).padStart(3, '0'),
    mtimeMs,
    replication,
  }
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY
  const limit = Number(text)
  if (Number.isSafeInteger(limit) && limit > 0) return limit
  throw new HttpError(400, 'INVALID_ARGUMENT', `Cannot use limit=${text}: need a number above 0`)
}

/** The value of a query parameter that may be given once. */
export function single(value: unknown, name: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw new HttpError(400, 'INVALID_ARGUMENT', `Give ${name} once`)
}
