import type express from 'express'
import type { Caller } from '../authentication.ts'
import { whyNoName } from '../files/request-path.ts'
import { HttpError } from '../http-error.ts'
import type { FileMapView, TrashEntryView, TrashView } from './views.ts'

/** Blocks of a file that are told; a picture of more is none. */
const blocksMax = 500
/** Entries of the trash that are told. */
const trashEntriesMax = 500

/** Answers `GET blocks?path=PATH`. */
export async function sendFileMap(
  caller: Caller,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const path = clusterPath(request.query['path'])
  caller.require(path, 'read')
  const status = await caller.client.stat(path)
  if (!status.isFile()) throw new HttpError(409, 'IS_A_DIRECTORY', `"${path}" is no file`)
  const locations = await caller.client.blockLocations(status)
  const view: FileMapView = {
    path,
    size: status.size,
    replication: status.replication,
    total: locations.length,
    blocks: locations.slice(0, blocksMax).map((location) => {
      const { blockId, offset, length, isCorrupt, datanodes } = location
      return {
        blockId,
        offset,
        length,
        isCorrupt,
        holders: datanodes.map(({ address }) => address),
      }
    }),
  }
  response.json(view)
}

/** Answers `GET trash`: what the caller's trash holds and the caller may see, newest checkpoint first. */
export async function sendTrash(
  caller: Caller,
  _request: express.Request,
  response: express.Response,
): Promise<void> {
  const entries: TrashEntryView[] = []
  let isCut = false
  for await (const { originalPath, checkpoint, deletedBy, status } of caller.client.trash.list()) {
    if (!caller.allows(originalPath, 'read')) continue
    isCut = entries.length === trashEntriesMax
    if (isCut) break
    const { type, size } = status
    const deletedByMs = deletedBy?.getTime() ?? null
    entries.push({ originalPath, checkpoint, type, size, deletedByMs })
  }
  const view: TrashView = { entries, isCut }
  response.json(view)
}

/** Answers `POST trash/restore` of `{"path":…,"from":CHECKPOINT}` with the paths that are back. */
export async function restoreFromTrash(
  caller: Caller,
  request: express.Request,
  response: express.Response,
): Promise<void> {
  const { path: named, from } = (request.body ?? {}) as Readonly<Record<string, unknown>>
  const path = clusterPath(named)
  if (from !== undefined && typeof from !== 'string') {
    throw new HttpError(400, 'INVALID_ARGUMENT', '"from" must be the name of a checkpoint')
  }
  caller.require(path, 'write')
  response.json({ restored: await caller.client.trash.restore(path, { from }) })
}

/** @throws {@link HttpError} 400 for anything but an absolute path in its one spelling */
function clusterPath(value: unknown): string {
  if (typeof value !== 'string' || !value.startsWith('/') || value === '/') {
    throw new HttpError(400, 'INVALID_PATH', '"path" must be an absolute path')
  }
  for (const name of value.slice(1).split('/')) {
    const reason = whyNoName(name)
    if (reason !== undefined) throw new HttpError(400, 'INVALID_PATH', `Bad path: ${reason}`)
  }
  return value
}
