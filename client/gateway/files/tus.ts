import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { dirname } from 'node:path'
import { finished } from 'node:stream/promises'
import type express from 'express'
import type { DfsClient } from '../../index.ts'
import type { Caller } from '../authentication.ts'
import { HttpError } from '../http-error.ts'
import { temporaryName } from '../temporary-name.ts'
import { single } from './listing.ts'
import { urlOfPath, whyNoName } from './request-path.ts'

/**
 * Resumable uploads, the tus protocol 1.0.0 (https://tus.io/protocols/resumable-upload) with creation, termination,
 * checksum and expiration. An upload is a file `.uploading-UUID` beside its target, which is as long as the offset, and
 * `.uploading-UUID.json`, which says what it will be. Both are in the cluster, so any gateway goes on after any other.
 */
const version = '1.0.0'
const temporaryPrefix = '.uploading-'
const lifetimeMs = 7 * 86_400_000
const algorithms = ['sha1', 'sha256', 'sha512']

/** What is known of an upload beside its bytes. */
interface Upload {
  readonly target: string
  readonly length: number
  readonly overwrite: boolean
  readonly expiresAtMs: number
  readonly metadata: string
}

/** Headers of OPTIONS. */
export const tusCapabilities = {
  'Tus-Resumable': version,
  'Tus-Version': version,
  'Tus-Extension': 'creation,termination,checksum,expiration',
  'Tus-Checksum-Algorithm': algorithms.join(','),
} as const

/** Whether the request speaks tus; @throws {@link HttpError} 412 for another version */
export function isTus(request: express.Request): boolean {
  const spoken = request.get('tus-resumable')
  if (spoken === undefined) return false
  if (spoken === version) return true
  throw new HttpError(412, 'PRECONDITION_FAILED', `Cannot speak tus ${spoken}`, {
    'Tus-Version': version,
  })
}

/** The uploads that this gateway is writing: whoever comes back for one ends the request that was cut off. */
export class TusUploads {
  readonly #active = new Map<
    string,
    { readonly abort: AbortController; readonly ended: Promise<unknown> }
  >()

  /** POST on a directory: makes an upload; `Upload-Metadata` has the `filename`. An empty one is complete at once. */
  async create(
    { client }: Caller,
    directory: string,
    request: express.Request,
    response: express.Response,
  ): Promise<void> {
    const length = numberOf(request, 'upload-length')
    const metadata = request.get('upload-metadata') ?? ''
    const name = fileNameOf(metadata)
    const base = directory === '/' ? '' : directory
    const overwrite = single(request.query['duplicates'], 'duplicates') === 'replace'
    const target = `${base}/${name}`
    if (!overwrite && (await client.exists(target))) {
      throw new HttpError(409, 'FILE_EXISTS', `"${target}" exists already`)
    }
    await client.mkdir(directory, { recursive: true })
    await removeExpired(client, directory)
    const at = `${base}/${temporaryName(temporaryPrefix)}`
    const upload = { target, length, overwrite, expiresAtMs: Date.now() + lifetimeMs, metadata }
    await client.writeFile(at, '', { flags: 'wx' })
    await client.writeFile(`${at}.json`, JSON.stringify(upload), { flags: 'wx' })
    if (length === 0) await complete(client, at, upload)
    response
      .set(headersOf(upload))
      .location(`/files${urlOfPath(at)}`)
      .status(201)
      .end()
  }

  /** HEAD on an upload: how much of it is here. */
  async tell({ client }: Caller, at: string, response: express.Response): Promise<void> {
    const upload = await this.#open(client, at)
    const { size } = await client.stat(at)
    response.set({
      ...headersOf(upload),
      'Upload-Offset': String(size),
      'Upload-Length': String(upload.length),
      'Cache-Control': 'no-store',
      ...(upload.metadata === '' ? {} : { 'Upload-Metadata': upload.metadata }),
    })
    response.status(200).end()
  }

  /** PATCH on an upload: the body goes to its end. What arrives before the sender is gone stays, unless a checksum is open. */
  async append(
    { client }: Caller,
    at: string,
    request: express.Request,
    response: express.Response,
  ): Promise<void> {
    if (request.is('application/offset+octet-stream') === false) {
      throw invalid(415, 'PATCH takes application/offset+octet-stream')
    }
    const offset = numberOf(request, 'upload-offset')
    const check = checksumOf(request)
    const upload = await this.#open(client, at)
    const { size } = await client.stat(at)
    if (offset !== size) throw invalid(409, `The upload has ${size} bytes, not ${offset}`)
    if (offset + Number(request.get('content-length') ?? 0) > upload.length) {
      throw invalid(413, `The upload ends at ${upload.length} bytes`)
    }
    const abort = new AbortController()
    const writing = write(client, at, request, { upload, offset, check, signal: abort.signal })
    const ended = writing.catch(() => undefined)
    this.#active.set(at, { abort, ended })
    void ended.finally(() => {
      if (this.#active.get(at)?.ended === ended) this.#active.delete(at)
    })
    const end = await writing
    if (end === upload.length) await complete(client, at, upload)
    response.set({ ...headersOf(upload), 'Upload-Offset': String(end) })
    response.status(204).end()
  }

  /** DELETE on an upload: it is gone, whatever it had. */
  async terminate({ client }: Caller, at: string, response: express.Response): Promise<void> {
    await this.#open(client, at)
    await remove(client, at)
    response.set('Tus-Resumable', version).status(204).end()
  }

  /** Reads what an upload will be, and ends whoever still writes it: here, or on a gateway that may be gone. */
  async #open(client: DfsClient, at: string): Promise<Upload> {
    if (!/\/\.uploading-[0-9a-f-]{36}$/.test(at)) throw invalid(404, `"${at}" is no upload`)
    const upload = JSON.parse(await client.readFile(`${at}.json`, 'utf8')) as Upload
    if (upload.expiresAtMs <= Date.now()) {
      await remove(client, at)
      throw new HttpError(410, 'FILE_NOT_FOUND', 'The upload has expired')
    }
    const active = this.#active.get(at)
    active?.abort.abort()
    await active?.ended
    if (!(await client.isFileClosed(at))) await client.recoverLease(at, { wait: true })
    return upload
  }
}

interface Piece {
  readonly upload: Upload
  readonly offset: number
  readonly check: { readonly algorithm: string; readonly value: string } | undefined
  readonly signal: AbortSignal
}

/** Appends the body and closes the file; returns its length. */
async function write(
  client: DfsClient,
  at: string,
  request: express.Request,
  { upload, offset, check, signal }: Piece,
): Promise<number> {
  const target = client.createWriteStream(at, { flags: 'a' })
  // Noticed below, whenever it happens: a failure while nothing is written must not end the process.
  target.on('error', () => undefined)
  const hash = check === undefined ? undefined : createHash(check.algorithm)
  const cut = (): void => {
    request.destroy()
  }
  signal.addEventListener('abort', cut)
  let end = offset
  let failure: Error | undefined
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      end += chunk.length
      if (end > upload.length) throw invalid(413, `The upload ends at ${upload.length} bytes`)
      hash?.update(chunk)
      if (target.errored !== null) throw target.errored
      if (!target.write(chunk)) await once(target, 'drain')
    }
    if (hash !== undefined && hash.digest('base64') !== check?.value) {
      throw invalid(460, 'The piece does not have the checksum that was sent with it')
    }
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
  } finally {
    signal.removeEventListener('abort', cut)
  }
  target.end()
  await finished(target)
  if (failure === undefined) return end
  // A piece that is wrong or was not verified is taken back; one that merely broke off stays as far as it came.
  if (hash !== undefined || failure instanceof HttpError) await client.truncate(at, offset)
  throw failure
}

async function complete(client: DfsClient, at: string, upload: Upload): Promise<void> {
  await client.rename(at, upload.target, { overwrite: upload.overwrite })
  await client.rm(`${at}.json`, { force: true })
}

async function remove(client: DfsClient, at: string): Promise<void> {
  await client.rm(at, { force: true })
  await client.rm(`${at}.json`, { force: true })
}

/** Uploads have names of their own, so that the expired ones of a directory of any size are found at once. */
async function removeExpired(client: DfsClient, directory: string): Promise<void> {
  for await (const { name, path, mtimeMs } of client.opendir(directory, {
    after: temporaryPrefix,
  })) {
    if (!name.startsWith(temporaryPrefix)) return
    const isOver = mtimeMs + lifetimeMs < Date.now()
    if (isOver && name.endsWith('.json') && dirname(path) === directory) {
      await remove(client, path.slice(0, -'.json'.length))
    }
  }
}

function headersOf({ expiresAtMs }: Upload): Record<string, string> {
  return {
    'Tus-Resumable': version,
    'Upload-Expires': new Date(expiresAtMs).toUTCString(),
  }
}

function numberOf(request: express.Request, header: string): number {
  const text = request.get(header) ?? ''
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value
  throw invalid(400, `Need ${header} as a number of bytes`)
}

function fileNameOf(metadata: string): string {
  const pair = metadata.split(',').map((member) => member.trim().split(' '))
  const [, encoded = ''] = pair.find(([key]) => key === 'filename') ?? []
  const name = Buffer.from(encoded, 'base64').toString('utf8').normalize('NFC')
  const reason = whyNoName(name)
  if (reason === undefined) return name
  throw invalid(
    400,
    `Cannot store an upload as "${name}": ${reason}; Upload-Metadata has its filename`,
  )
}

function checksumOf(request: express.Request): Piece['check'] {
  const header = request.get('upload-checksum')
  if (header === undefined) return undefined
  const [algorithm = '', value = ''] = header.split(' ')
  if (algorithms.includes(algorithm)) return { algorithm, value }
  throw invalid(400, `Cannot verify ${algorithm}: need ${algorithms.join(', ')}`)
}

function invalid(status: number, message: string): HttpError {
  const code = status === 460 ? 'CHECKSUM_MISMATCH' : 'INVALID_ARGUMENT'
  return new HttpError(status, code, message, { 'Tus-Resumable': version })
}
