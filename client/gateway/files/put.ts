import type express from 'express'
import { type DfsClient, DfsFsError, type FileStatus } from '../../index.ts'
import { HttpError } from '../http-error.ts'
import { entityTag, evaluateConditions } from './conditions.ts'
import { expectedDigests } from './digest.ts'
import { urlOfPath } from './request-path.ts'
import { store } from './store.ts'

/**
 * Answers PUT: the body becomes the file, 201 for a new one and 204 for one in the place of another. Conditions are
 * evaluated before the body is read and again before the file gets its name; `If-None-Match: *` holds until then.
 */
export async function putFile(
  client: DfsClient,
  path: string,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  refuseEncodings(request)
  const digests = expectedDigests(request.headers)
  const before = await checkTarget(client, path, request)
  const mustBeNew = request.get('if-none-match')?.trim() === '*'
  await store(client, path, request, {
    digests,
    place: async (temporary) => {
      await checkTarget(client, path, request)
      try {
        await client.rename(temporary, path, { overwrite: !mustBeNew })
      } catch (error) {
        if (error instanceof DfsFsError && error.dfsCode === 'FILE_EXISTS') throw unexpected(path)
        throw error
      }
    },
  })
  const after = await client.stat(path)
  response
    .status(before === undefined ? 201 : 204)
    .set('ETag', entityTag(after))
    .location(`/files${urlOfPath(path)}`)
    .end()
}

/**
 * The status of what is at the path, if it may be replaced.
 *
 * @throws {@link HttpError} 412 when conditions do not hold, 409 for a directory
 */
async function checkTarget(
  client: DfsClient,
  path: string,
  request: express.Request,
): Promise<FileStatus | undefined> {
  const status = await find(client, path)
  requireConditions(path, status, request)
  if (status?.isDirectory() === true) {
    throw new HttpError(409, 'IS_A_DIRECTORY', `"${path}" is a directory: a body cannot replace it`)
  }
  return status
}

/** @throws {@link HttpError} 412 when conditions of the request do not hold; asks the namenode only if there are any */
export async function checkConditions(
  client: DfsClient,
  path: string,
  request: express.Request,
): Promise<void> {
  const names = ['if-match', 'if-none-match', 'if-unmodified-since']
  if (!names.some((name) => request.get(name) !== undefined)) return
  requireConditions(path, await find(client, path), request)
}

function requireConditions(
  path: string,
  status: FileStatus | undefined,
  request: express.Request,
): void {
  if (evaluateConditions(request.headers, request.method, status) === 'failed') {
    throw unexpected(path)
  }
}

/** Status of a path, `undefined` when there is nothing. */
async function find(client: DfsClient, path: string): Promise<FileStatus | undefined> {
  try {
    return await client.stat(path)
  } catch (error) {
    if (error instanceof DfsFsError && error.dfsCode === 'FILE_NOT_FOUND') return undefined
    throw error
  }
}

/** Ranges and encodings would be stored as if they were the file (RFC 9110 §9.3.4). */
function refuseEncodings(request: express.Request): void {
  if (request.get('content-range') !== undefined) {
    throw new HttpError(400, 'INVALID_ARGUMENT', 'PUT takes whole files, not ranges')
  }
  const encoding = request.get('content-encoding') ?? 'identity'
  if (encoding.toLowerCase() === 'identity') return
  throw new HttpError(415, 'INVALID_ARGUMENT', `Cannot store a body encoded with ${encoding}`)
}

function unexpected(path: string): HttpError {
  return new HttpError(412, 'PRECONDITION_FAILED', `"${path}" is not as the request expects`)
}
