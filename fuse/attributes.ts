import { constants } from 'node:fs'
import type { InodeStatus, NodeKind } from '../client/index.ts'
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
  /** Nanoseconds behind the milliseconds. */
  readonly atimeNanos: number
  readonly mtimeNanos: number
  /** Devices: the number, as Linux writes it in 32 bits; else 0. */
  readonly device: number
}

const typeBits = {
  file: constants.S_IFREG,
  directory: constants.S_IFDIR,
  symlink: constants.S_IFLNK,
  fifo: constants.S_IFIFO,
  socket: constants.S_IFSOCK,
  'character-device': constants.S_IFCHR,
  'block-device': constants.S_IFBLK,
} satisfies Record<NodeKind, number>

/** The kind that a mode of mknod(2) asks for; a regular file where it names none. */
export function kindOfMode(mode: number): NodeKind | undefined {
  const type = mode & constants.S_IFMT
  const kinds = Object.entries(typeBits) as [NodeKind, number][]
  return type === 0 ? 'file' : kinds.find(([, bits]) => bits === type)?.[0]
}

/** The attributes of `status`, whose node the kernel knows as `node`. */
export function attributesOf(
  status: InodeStatus,
  node: number,
  identities: Identities,
): NodeAttributes {
  return {
    node,
    ino: node,
    mode: typeBits[status.kind] | status.permissions,
    size: status.target === undefined ? status.size : Buffer.byteLength(status.target),
    uid: identities.uidOf(status.owner),
    gid: identities.gidOf(status.group),
    nlink: status.nlink,
    // HDFS keeps none of a directory.
    atimeMs: status.isDirectory() && status.atimeMs === 0 ? status.mtimeMs : status.atimeMs,
    mtimeMs: status.mtimeMs,
    ctimeMs: status.ctimeMs,
    atimeNanos: status.atimeNanos,
    mtimeNanos: status.mtimeNanos,
    device: status.device,
  }
}
