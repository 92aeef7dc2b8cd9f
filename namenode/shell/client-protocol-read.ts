import { limits } from '../../protocol/limits.ts'
import type { EncodableOf } from '../../protocol/message.ts'
import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import { type contentSummary, fsActionEnum } from '../../protocol/messages/hdfs.ts'
import type { RpcCall, RpcHandlers } from '../../transport/rpc-server.ts'
import type { FileStatusView } from '../core/requests.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { pathOf } from './client-protocol-namespace.ts'
import { wireFileStatus, wireLocatedBlocks } from './wire-views.ts'

type WireSummary = EncodableOf<typeof contentSummary>

/** No quota is set, -1 as an unsigned number. */
const noQuota = 2n ** 64n - 1n
/** Namespace quota of the root of a fresh HDFS. */
const rootQuota = 2n ** 63n - 1n
const everything = 2n ** 53n - 1n
const nothing = {}

/** Methods that look at names, attributes and block locations. */
export function readHandlers(context: ClientContext): RpcHandlers<typeof clientNamenodeProtocol> {
  const status = (view: FileStatusView | undefined): { fs?: ReturnType<typeof wireFileStatus> } =>
    view === undefined ? nothing : { fs: wireFileStatus(context, view) }
  return {
    getFileInfo: ({ src }, call) =>
      mapReply(context.execute(call, { kind: 'getFileInfo', path: pathOf(src) }), status),
    getLocatedFileInfo: ({ src = '' }, call) => locatedFileInfo(context, call, pathOf(src)),
    getListing: ({ src, startAfter, needLocation }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'getListing',
          path: pathOf(src),
          startAfter: Buffer.from(startAfter).toString(),
          needLocation,
          limit: limits.listingEntriesMax,
        }),
        (listing) => {
          if (listing === undefined) return nothing
          const { entries, remainingEntries } = listing
          const partialListing = entries.map((entry) => wireFileStatus(context, entry))
          return { dirList: { partialListing, remainingEntries } }
        },
      ),
    getBlockLocations: ({ src, offset, length }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'getBlockLocations',
          path: pathOf(src),
          offset,
          length: Number(length > everything ? everything : length),
        }),
        (view) => ({ locations: wireLocatedBlocks(context, view) }),
      ),
    getPreferredBlockSize: ({ filename }, call) =>
      mapReply(
        context.execute(call, { kind: 'getPreferredBlockSize', path: pathOf(filename) }),
        (bsize) => ({ bsize }),
      ),
    isFileClosed: ({ src }, call) =>
      mapReply(context.execute(call, { kind: 'isFileClosed', path: pathOf(src) }), (result) => ({
        result,
      })),
    checkAccess: ({ path, mode }, call) =>
      mapReply(
        context.execute(call, {
          kind: 'checkAccess',
          path: pathOf(path),
          access: fsActionEnum.numberByName[mode],
        }),
        () => nothing,
      ),
    getContentSummary: async ({ path }, call) => ({
      summary: await summarize(context, call, pathOf(path)),
    }),
    getQuotaUsage: async ({ path }, call) => {
      const summary = await summarize(context, call, pathOf(path))
      const { fileCount, directoryCount, quota, spaceConsumed, spaceQuota } = summary
      const fileAndDirectoryCount = fileCount + directoryCount
      return { usage: { fileAndDirectoryCount, quota, spaceConsumed, spaceQuota } }
    },
  }
}

/** getFileInfo and the locations of all blocks, as one status. */
function locatedFileInfo(
  context: ClientContext,
  call: RpcCall,
  path: string,
): object | Promise<object> {
  return mapReply(context.execute(call, { kind: 'getFileInfo', path }), (view) => {
    if (view === undefined) return nothing
    if (view.inode.kind !== 'file') return { fs: wireFileStatus(context, view) }
    const length = Number(everything)
    return mapReply(
      context.execute(call, { kind: 'getBlockLocations', path, offset: 0, length }),
      (located) => ({ fs: wireFileStatus(context, { ...view, located }) }),
    )
  })
}

/** Adds a tree up, page by page, so that other requests run in between. */
async function summarize(
  context: ClientContext,
  call: RpcCall,
  path: string,
): Promise<WireSummary> {
  const total = { length: 0, fileCount: 0, directoryCount: 0, spaceConsumed: 0 }
  const pending = [{ path, startAfter: '' }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const page = await context.execute(call, { kind: 'summarizeDirectory', ...next })
    if (page.isDirectory && next.startAfter === '') total.directoryCount += 1
    total.length += page.length
    total.fileCount += page.fileCount
    total.spaceConsumed += page.spaceConsumed
    const parent = next.path === '/' ? '' : next.path
    if (page.next !== undefined) pending.push({ path: next.path, startAfter: page.next })
    for (const subdirectory of page.subdirectories) {
      pending.push({ path: `${parent}/${subdirectory}`, startAfter: '' })
    }
  }
  return {
    ...total,
    quota: path === '/' ? rootQuota : noQuota,
    spaceQuota: noQuota,
    snapshotLength: 0,
    snapshotFileCount: 0,
    snapshotDirectoryCount: 0,
    snapshotSpaceConsumed: 0,
    erasureCodingPolicy: '',
  }
}
