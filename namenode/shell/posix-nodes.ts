import { millis } from '../../base/brand.ts'
import { DfsError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { MessageOf } from '../../protocol/message.ts'
import type { posixProtocol } from '../../protocol/messages/posix.ts'
import type {
  EncodableNodeStatus,
  mountCaller,
  nodeTime,
} from '../../protocol/messages/posix-nodes.ts'
import type { RpcCall, RpcHandlers } from '../../transport/rpc-server.ts'
import type { FileStatusView, NodeTime, ReplyOf, Request } from '../core/requests.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { pathOf } from './client-protocol-namespace.ts'
import { wireFileStatus } from './wire-views.ts'

type MountCaller = MessageOf<typeof mountCaller> | undefined

const nothing = {}
const nanosPerMilli = 1_000_000

/** Methods about inodes and their names. */
export function nodeHandlers(context: ClientContext): RpcHandlers<typeof posixProtocol> {
  return { ...lookHandlers(context), ...changeHandlers(context) }
}

function lookHandlers(context: ClientContext): RpcHandlers<typeof posixProtocol> {
  return {
    getNode: ({ path, caller }, call) =>
      mapReply(
        context.executeInGroups(call, groupsOf(caller), {
          kind: 'getFileInfo',
          path: pathOf(path),
          keepsLastLink: true,
        }),
        (view) => (view === undefined ? nothing : { status: nodeStatusOf(context, view) }),
      ),
    listNodes: ({ path, startAfter, caller }, call) =>
      mapReply(
        context.executeInGroups(call, groupsOf(caller), {
          kind: 'getListing',
          path: pathOf(path),
          startAfter: Buffer.from(startAfter).toString(),
          needLocation: false,
          limit: limits.listingEntriesMax,
        }),
        (listing) => {
          if (listing === undefined) return { isFound: false, entries: [] }
          const { entries, remainingEntries } = listing
          return {
            ...{ isFound: true, remainingEntries },
            entries: entries.map((view) => nodeStatusOf(context, view)),
          }
        },
      ),
  }
}

function changeHandlers(context: ClientContext): RpcHandlers<typeof posixProtocol> {
  const { settings } = context.namenode
  const once = <R extends Request>(
    call: RpcCall,
    caller: MountCaller,
    request: R,
  ): ReplyOf<R> | Promise<ReplyOf<R>> =>
    context.executeInGroups(call, groupsOf(caller), request, { isOnce: true })
  const answer = (view: FileStatusView): { readonly status: EncodableNodeStatus } => ({
    status: nodeStatusOf(context, view),
  })
  return {
    makeNode: ({ path, kind, mode, unmasked, target, device, caller, ...sizes }, call) =>
      mapReply(
        once(call, caller, {
          ...{ kind: 'makeNode', path: pathOf(path), nodeKind: kind, mode, target, device },
          group: caller?.group,
          unmaskedMode: unmasked,
          replication: sizes.replication ?? settings['dfs.replication'],
          blockSize: sizes.blockSize ?? settings['dfs.blocksize'],
        }),
        answer,
      ),
    link: ({ source, path, caller }, call) =>
      mapReply(
        once(call, caller, { kind: 'link', source: pathOf(source), path: pathOf(path) }),
        answer,
      ),
    removeEntry: ({ path, isDirectory, caller }, call) =>
      mapReply(
        once(call, caller, { kind: 'removeEntry', path: pathOf(path), isDirectory }),
        () => nothing,
      ),
    renameEntry: ({ source, target, manner, caller }, call) => {
      const paths = { source: pathOf(source), target: pathOf(target) }
      return mapReply(once(call, caller, { kind: 'renameEntry', ...paths, manner }), () => nothing)
    },
    setAttributes: ({ path, mode, owner, group, mtime, atime, caller }, call) =>
      mapReply(
        context.executeInGroups(call, groupsOf(caller), {
          ...{ kind: 'setAttributes', path: pathOf(path), mode, owner, group },
          ...{ mtime: timeOf(mtime), atime: timeOf(atime) },
        }),
        answer,
      ),
  }
}

function groupsOf(caller: MountCaller): readonly string[] {
  if (caller === undefined) return []
  return caller.group === undefined ? caller.groups : [caller.group, ...caller.groups]
}

function nodeStatusOf(context: ClientContext, view: FileStatusView): EncodableNodeStatus {
  const { inode } = view
  return {
    fs: wireFileStatus(context, view),
    kind: inode.kind,
    mode: inode.mode,
    nlink: inode.nlink,
    mtime: inode.mtime,
    atime: inode.atime,
    ctime: inode.ctime ?? inode.mtime,
    mtimeNanos: inode.mtimeNanos,
    atimeNanos: inode.atimeNanos,
    device: inode.device,
  }
}

/** @throws {@link DfsError} INVALID_ARGUMENT for a million nanoseconds and more. */
function timeOf(time: MessageOf<typeof nodeTime> | undefined): NodeTime | undefined {
  if (time === undefined) return undefined
  if (time.isNow) return 'now'
  if (time.nanos >= nanosPerMilli) {
    throw new DfsError(
      'INVALID_ARGUMENT',
      `Nanoseconds behind a millisecond must be below ${nanosPerMilli}, got ${time.nanos}`,
    )
  }
  return { ms: millis(time.ms), nanos: time.nanos }
}
