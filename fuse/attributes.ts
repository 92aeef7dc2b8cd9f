import { constants } from 'node:fs'
import type { FileStatus } from '../client/index.ts'
import type { Identities } from './identity.ts'

/** What stat(2) shows of a node of the mount. */
export interface NodeAttributes {
  /** Number the kernel knows the node by. */
  readonly node: number
  /** Number programs see. */
  readonly ino: number
  readonly mode: number
  readonly size: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly atimeMs: number
  readonly mtimeMs: number
  readonly ctimeMs: number
}

const typeBits = {
  file: constants.S_IFREG,
  directory: constants.S_IFDIR,
  symlink: constants.S_IFLNK,
}

/** The attributes of `status`, whose node the kernel knows as `node`. */
export function attributesOf(
  status: FileStatus,
  node: number,
  identities: Identities,
): NodeAttributes {
  return {
    node,
    ino: node,
    mode: typeBits[status.type] | status.mode,
    size: status.size,
    uid: identities.uidOf(status.owner),
    gid: identities.gidOf(status.group),
    nlink: status.isDirectory() ? 2 : 1,
    atimeMs: status.atimeMs,
    mtimeMs: status.mtimeMs,
    ctimeMs: status.mtimeMs,
  }
}
