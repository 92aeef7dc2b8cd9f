import { millis } from '../../base/brand.ts'
import { DfsError } from '../../protocol/errors.ts'
import { clientName, inodeId } from '../../protocol/ids.ts'
import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import { type ClientContext, mapReply } from './client-context.ts'

/** Permission bits that HDFS keeps; some clients send file-type bits along. */
const modeMask = 0o1777
/** "Leave unchanged" in setTimes. */
const unchangedTime = 2n ** 64n - 1n
const nothing = {}

/** Methods that change names. */
export function namespaceHandlers(
  context: ClientContext,
): RpcHandlers<typeof clientNamenodeProtocol> {
  return {
    mkdirs: ({ src, masked, unmasked, createParent }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'mkdirs',
          path: pathOf(src),
          mode: masked.perm & modeMask,
          unmaskedMode: unmasked === undefined ? undefined : unmasked.perm & modeMask,
          createParent,
        }),
        (result) => ({ result }),
      ),
    delete: ({ src, recursive, leaseHolder, fileId }, call) => {
      const isConditional = leaseHolder !== undefined && fileId !== undefined
      const onlyHeld = isConditional
        ? { by: clientName(leaseHolder), inodeId: inodeId(fileId) }
        : undefined
      return mapReply(
        context.executeOnce(call, { kind: 'delete', path: pathOf(src), recursive, onlyHeld }),
        (result) => ({ result }),
      )
    },
    rename: ({ src, dst }, call) =>
      mapReply(
        context.executeOnce(call, { kind: 'rename', source: pathOf(src), target: pathOf(dst) }),
        (result) => ({ result }),
      ),
    rename2: ({ src, dst, overwriteDest, moveToTrash }, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'rename2',
          source: pathOf(src),
          target: pathOf(dst),
          overwrite: overwriteDest,
          toTrash: moveToTrash ?? false,
        }),
        () => nothing,
      ),
    concat: ({ trg, srcs }, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'concat',
          path: pathOf(trg),
          sources: srcs.map((source) => pathOf(source)),
        }),
        () => nothing,
      ),
  }
}

/** Methods that change attributes. */
export function attributeHandlers(
  context: ClientContext,
): RpcHandlers<typeof clientNamenodeProtocol> {
  return {
    setReplication: ({ src, replication }, call) =>
      mapReply(
        context.execute(call, { kind: 'setReplication', path: pathOf(src), replication }),
        (result) => ({ result }),
      ),
    setPermission: ({ src, permission }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'setPermission',
          path: pathOf(src),
          mode: permission.perm & modeMask,
        }),
        () => nothing,
      ),
    setOwner: ({ src, username, groupname }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'setOwner',
          path: pathOf(src),
          owner: unlessEmpty(username),
          group: unlessEmpty(groupname),
        }),
        () => nothing,
      ),
    setTimes: ({ src, mtime, atime }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'setTimes',
          path: pathOf(src),
          mtime: timeOf(mtime),
          atime: timeOf(atime),
        }),
        () => nothing,
      ),
  }
}

/** The core judges a path's syntax; here only what no name may carry. */
export function pathOf(path: string): string {
  if (path.includes('\0')) {
    throw new DfsError('INVALID_PATH', `Path "${path}" must not hold a zero byte`, { path })
  }
  return path
}

function unlessEmpty(name: string | undefined): string | undefined {
  return name === '' ? undefined : name
}

function timeOf(time: bigint): ReturnType<typeof millis> | undefined {
  if (time === unchangedTime) return undefined
  if (time > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new DfsError('INVALID_ARGUMENT', `Time ${time.toString()} is beyond 2^53-1 milliseconds`)
  }
  return millis(Number(time))
}
