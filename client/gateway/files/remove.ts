import type express from 'express'
import type { DfsClient } from '../../index.ts'
import { HttpError } from '../http-error.ts'
import { checkConditions } from './put.ts'

/**
 * Answers DELETE: moves the path to the caller's trash and says where it is there; 204 when it is gone for good, with
 * `?skipTrash`, in the trash itself, and where the cluster keeps none. Directories need `?recursive`.
 */
export async function removePath(
  client: DfsClient,
  path: string,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  await checkConditions(client, path, request)
  const status = await client.stat(path)
  const isRecursive = 'recursive' in request.query
  if (status.isDirectory() && !isRecursive) {
    throw new HttpError(
      409,
      'IS_A_DIRECTORY',
      `"${path}" is a directory: delete it with ?recursive`,
    )
  }
  const { trash } = client
  const { trashInterval } = await client.serverDefaults()
  if ('skipTrash' in request.query || trashInterval === 0 || trash.contains(path)) {
    await client.rm(path, { recursive: isRecursive })
    response.status(204).end()
    return
  }
  response.json({ trash: await trash.moveIn(path) })
}
