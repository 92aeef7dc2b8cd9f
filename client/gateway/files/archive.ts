import { once } from 'node:events'
import { PassThrough, type Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import type express from 'express'
import { type Pack, pack } from 'tar-stream'
import { ZipFile } from 'yazl'
import type { DfsClient, FileStatus } from '../../index.ts'
import type { Caller } from '../authentication.ts'
import { HttpError } from '../http-error.ts'
import { contentDisposition } from './content.ts'
import { single } from './listing.ts'
import { sendStream } from './send-stream.ts'

/** A file or directory on its way into an archive, and its name there. */
interface Member {
  readonly name: string
  readonly status: FileStatus
}

/** Formats of `?archive=`. */
const formats = {
  tar: { type: 'application/x-tar', feed: feedTar },
  zip: { type: 'application/zip', feed: feedZip },
} as const

/**
 * Answers with a directory as a tar or zip that is made while it is sent: one file is read at a time, nothing is kept
 * but a zip's own index. Bytes are not compressed, most formats of large files are already. The connection is cut if a
 * file cannot be read, so that no archive looks complete and is not.
 */
export async function sendArchive(
  caller: Caller,
  directory: FileStatus,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const name = single(request.query['archive'], 'archive') ?? ''
  const format = name === 'tar' || name === 'zip' ? formats[name] : undefined
  if (format === undefined) {
    throw new HttpError(400, 'INVALID_ARGUMENT', `Cannot make "${name}": need archive=tar or zip`)
  }
  const root = directory.name === '' ? 'root' : directory.name
  response.set({
    'Content-Type': format.type,
    'Content-Disposition': contentDisposition('attachment', `${root}.${name}`),
    'Cache-Control': 'private, no-cache',
  })
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const abort = new AbortController()
  const members = walk(caller, directory, root, abort.signal)
  const archive = format.feed(caller.client, members, abort.signal)
  archive.once('close', () => {
    abort.abort()
  })
  await sendStream(archive, response)
}

/** A tree in depth-first order, directories before what is in them. What the caller may not see is left out. */
async function* walk(
  caller: Caller,
  directory: FileStatus,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<Member> {
  yield { name, status: directory }
  for await (const status of caller.client.opendir(directory.path, { signal })) {
    if (!caller.allows(status.path, 'read')) continue
    const member = { name: `${name}/${status.name}`, status }
    if (status.isDirectory()) yield* walk(caller, status, member.name, signal)
    else if (status.isFile()) yield member
  }
}

function feedTar(client: DfsClient, members: AsyncIterable<Member>, signal: AbortSignal): Readable {
  const archive = pack()
  // The package's streams are not Node's own; errors and back-pressure pass through one that is.
  const output = new PassThrough()
  pipeline(archive, output).catch(ignoreCut)
  const feed = async (): Promise<void> => {
    for await (const { name, status } of members) {
      const { size, mode, mtime, owner, group } = status
      const header = { mode, mtime, uname: owner, gname: group }
      if (status.isDirectory()) {
        archive.entry({ ...header, name, type: 'directory' })
        continue
      }
      const entry = archive.entry({ ...header, name, type: 'file', size })
      entry.on('error', ignoreCut)
      if (size > 0) {
        const bytes = client.createReadStream(status.path, { end: size - 1, signal })
        await copy(bytes, entry, signal)
      }
      entry.end(undefined)
    }
    archive.finalize()
  }
  feed().catch((error: unknown) => output.destroy(asError(error)))
  return output
}

async function copy(
  bytes: Readable,
  entry: ReturnType<Pack['entry']>,
  signal: AbortSignal,
): Promise<void> {
  for await (const chunk of bytes) {
    if (!entry.write(chunk)) await once(entry, 'drain', { signal })
  }
}

function feedZip(client: DfsClient, members: AsyncIterable<Member>, signal: AbortSignal): Readable {
  const archive = new ZipFile()
  const output = new PassThrough()
  archive.on('error', (error) => output.destroy(asError(error)))
  pipeline(archive.outputStream, output).catch(ignoreCut)
  const feed = async (): Promise<void> => {
    for await (const { name, status } of members) {
      const { size, mode, mtime } = status
      if (status.isDirectory()) {
        archive.addEmptyDirectory(name, { mtime, mode: 0o040000 | mode })
        continue
      }
      const metadata = { size, mtime, mode: 0o100000 | mode, compress: false }
      if (size === 0) {
        archive.addBuffer(Buffer.alloc(0), name, { mtime, mode: metadata.mode, compress: false })
        continue
      }
      const bytes = client.createReadStream(status.path, { end: size - 1, signal })
      archive.addReadStream(bytes, name, metadata)
      // One at a time: the package would take all of them and queue.
      await finished(bytes)
    }
    archive.end()
  }
  feed().catch((error: unknown) => output.destroy(asError(error)))
  return output
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** A cut archive is reported by the stream that is sent; this is its other end. */
function ignoreCut(): void {
  // Nothing is left to do.
}
