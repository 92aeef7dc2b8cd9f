/** The operations that move data, and GETFILECHECKSUM, which HDFS has a datanode answer, too. */
import { once } from 'node:events'
import { constants } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { DfsError } from '../../../protocol/errors.ts'
import type { DfsClient, DfsWriteStream, FileStatus } from '../../index.ts'
import { entityTag, evaluateConditions, isRangeCurrent } from '../files/conditions.ts'
import { sendStream } from '../files/send-stream.ts'
import { HttpError } from '../http-error.ts'
import { parseRange } from '../range.ts'
import { temporaryName } from '../temporary-name.ts'
import { answerJson, type Exchange, type Operation } from './exchange.ts'
import { refused, type Words } from './parameters.ts'

const createFlags: Words<
  | 'CREATE'
  | 'OVERWRITE'
  | 'APPEND'
  | 'SYNC_BLOCK'
  | 'LAZY_PERSIST'
  | 'NEW_BLOCK'
  | 'NO_LOCAL_WRITE'
  | 'SHOULD_REPLICATE'
  | 'IGNORE_CLIENT_LOCALITY'
> = {
  javaType: 'org.apache.hadoop.fs.CreateFlag',
  words: [
    'CREATE',
    'OVERWRITE',
    'APPEND',
    'SYNC_BLOCK',
    'LAZY_PERSIST',
    'NEW_BLOCK',
    'NO_LOCAL_WRITE',
    'SHOULD_REPLICATE',
    'IGNORE_CLIENT_LOCALITY',
  ],
}

const nothing = Buffer.alloc(0)

/** Which part of a file to send. `end` is exclusive. */
interface Span {
  readonly start: number
  readonly end: number
  /** The client asked with an HTTP Range. */
  readonly isPartial: boolean
}

/** Sends a file, or the part that `offset` and `length` or an HTTP Range name. */
export const open: Operation = async (exchange) => {
  const { client, path, request, response } = exchange
  const status = await client.stat(path)
  await using file = await client.open(path)
  const whole = spanOf(exchange, file.size)
  const verdict = evaluateConditions(request.headers, request.method, status)
  if (verdict === 'failed') {
    throw new HttpError(412, 'PRECONDITION_FAILED', `"${path}" is not as the request expects`)
  }
  response
    .set('Accept-Ranges', 'bytes')
    .set('Last-Modified', status.mtime.toUTCString())
    .set('ETag', entityTag(status))
  if (verdict === 'not-modified') {
    response.status(304).end()
    return
  }
  const span = rangeOf(exchange, whole, status)
  response.type('application/octet-stream').set('Content-Length', String(span.end - span.start))
  if (span.isPartial) response.status(206).set('Content-Range', contentRange(whole, span))
  if (request.method === 'HEAD' || span.start === span.end) {
    response.end()
    return
  }
  await sendStream(file.createReadStream({ start: span.start, end: span.end - 1 }), response)
}

/** Refuses an offset behind the end, as HDFS's namenode does before it redirects. */
export async function checkOffset(exchange: Exchange): Promise<void> {
  await using file = await exchange.client.open(exchange.path)
  spanOf(exchange, file.size)
}

function spanOf({ path, parameters }: Exchange, size: number): Span {
  const start = parameters.long('offset', { min: 0 }) ?? 0
  const length = parameters.long('length', { min: 0 }) ?? size
  parameters.integer('buffersize', { min: 1 })
  if (start >= size && start > 0) {
    const text = `Offset=${start} out of the range [0, ${size}); OPEN, path=${path}`
    throw new DfsError('IO_ERROR', text, { path })
  }
  return { start, end: Math.min(size, start + length), isPartial: false }
}

/** An HTTP Range counts from the start of what the parameters name. */
function rangeOf({ path, request }: Exchange, whole: Span, status: FileStatus): Span {
  const isCurrent = isRangeCurrent(request.get('if-range'), status)
  const length = whole.end - whole.start
  const range = isCurrent ? parseRange(request.headers.range, length) : undefined
  if (range === 'unsatisfiable') {
    throw new HttpError(416, 'INVALID_ARGUMENT', `"${path}" has ${length} bytes there`, {
      'Content-Range': `bytes */${length}`,
    })
  }
  if (range === undefined) return whole
  return { start: whole.start + range.start, end: whole.start + range.end + 1, isPartial: true }
}

function contentRange(whole: Span, { start, end }: Span): string {
  const first = start - whole.start
  return `bytes ${first}-${end - whole.start - 1}/${whole.end - whole.start}`
}

/**
 * Writes the body to a file: under a name of its own in the same directory, renamed when everything is on disk. A body
 * that ends early leaves nothing behind, and a file that is overwritten stays until then.
 */
export const create: Operation = async (exchange) => {
  const { client, path, request, response } = exchange
  const options = createOptions(exchange)
  await checkTarget(exchange, options.overwrite)
  const temporary = `${path.slice(0, path.lastIndexOf('/'))}/${temporaryName('.webhdfs-')}`
  const target = client.createWriteStream(temporary, {
    ...options,
    givesChunksAway: true,
  })
  await opened(target)
  continueUpload(exchange)
  await store(request, target)
  try {
    await client.rename(temporary, path, { overwrite: options.overwrite })
  } catch (error) {
    await client.rm(temporary, { force: true })
    throw error
  }
  response
    .status(201)
    .location(`${client.uri}${path}`)
    .type('application/octet-stream')
    .set('Content-Length', '0')
    .end()
}

function createOptions({ parameters }: Exchange): {
  overwrite: boolean
  createParent: boolean
  mode: number
  umask: number
  blockSize: number | undefined
  replication: number | undefined
} {
  const flags = parameters.words('createflag', createFlags)
  if (flags.has('APPEND')) {
    throw refused('Cannot create with createflag APPEND: use op=APPEND')
  }
  parameters.integer('buffersize', { min: 1 })
  const permission = parameters.permission('permission') ?? 0o644
  const unmasked = parameters.permission('unmaskedpermission') ?? permission
  return {
    overwrite: parameters.boolean('overwrite', false) || flags.has('OVERWRITE'),
    createParent: parameters.boolean('createparent', true),
    // HDFS's servers apply no umask to what a WebHDFS client asks for.
    mode: unmasked,
    umask: unmasked & ~permission,
    blockSize: parameters.long('blocksize', { min: 1 }),
    replication: parameters.short('replication', { min: 1 }),
  }
}

/** What HDFS's create would refuse; the new file has another name until it is complete. */
async function checkTarget({ client, path, request }: Exchange, overwrite: boolean): Promise<void> {
  const existing = await statusOf(client, path)
  if (existing?.isDirectory() === true || path === '/') {
    throw new DfsError('FILE_EXISTS', `${path} already exists as a directory`, { path })
  }
  if (existing === undefined) return
  if (!overwrite) {
    const peer = request.socket.remoteAddress ?? 'unknown'
    throw new DfsError('FILE_EXISTS', `${path} for client ${peer} already exists`, { path })
  }
  await client.access(path, constants.W_OK)
}

async function statusOf(client: DfsClient, path: string): Promise<FileStatus | undefined> {
  const { fs } = await client.callNamenode('getFileInfo', { src: path })
  return fs === undefined ? undefined : await client.stat(path)
}

/** Writes the body at the end of a file. What of it arrived stays when the client goes away, as in HDFS. */
export const append: Operation = async (exchange) => {
  const { client, path, parameters, request, response } = exchange
  parameters.integer('buffersize', { min: 1 })
  // Flag `a` alone would make a file that is not there.
  await client.stat(path)
  const target = client.createWriteStream(path, { flags: 'a', givesChunksAway: true })
  await opened(target)
  continueUpload(exchange)
  await store(request, target)
  response.type('application/octet-stream').set('Content-Length', '0').end()
}

/** Returns when the file is open for writing; an error of that is answered before the client is asked for its body. */
function opened(target: DfsWriteStream): Promise<void> {
  return new Promise((resolve, reject) => {
    target.once('error', reject)
    target.write(nothing, (error) => {
      // After a failure the stream emits its error, too: somebody must be there for it.
      if (error !== null && error !== undefined) return
      target.off('error', reject)
      resolve()
    })
  })
}

/** Writes the body; when that fails, returns only after the file was given back. */
async function store(body: Readable, target: DfsWriteStream): Promise<void> {
  try {
    await pipeline(body, target)
  } catch (error) {
    if (!target.closed) await once(target, 'close')
    throw error
  }
}

/** Answers `Expect: 100-continue`: only now is it known that the body is wanted. */
function continueUpload({ request, response }: Exchange): void {
  if (/100-continue/i.test(request.headers.expect ?? '')) response.writeContinue()
}

/** HDFS's checksum of a file. */
export const getFileChecksum: Operation = async (exchange) => {
  const { client, path } = exchange
  const { algorithm, bytes } = await client.fileChecksum(path)
  answerJson(exchange, {
    FileChecksum: { algorithm, bytes: bytes.toString('hex'), length: bytes.length },
  })
}
