import { constants } from 'node:os'
import { DfsFsError } from '../client/index.ts'

const numberByName = new Map<string, number>(Object.entries(constants.errno))

/** Negative errno that answers a kernel request which failed with `error`; EIO for what has no better one. */
export function errnoOf(error: unknown): number {
  const name = error instanceof DfsFsError ? error.code : 'EIO'
  return -(numberByName.get(name) ?? constants.errno.EIO)
}
