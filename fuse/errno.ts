import { constants } from 'node:os'

const numberByName = new Map<string, number>(Object.entries(constants.errno))

/** A refusal of the mount itself, by its name in errno(3). */
export class MountError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'MountError'
    this.code = code
  }
}

/** Negative errno that answers a kernel request which failed with `error`; EIO for what has no better one. */
export function errnoOf(error: unknown): number {
  const name = error instanceof Error && 'code' in error ? String(error.code) : 'EIO'
  return -(numberByName.get(name) ?? constants.errno.EIO)
}
