import { DfsError } from '../../protocol/errors.ts'
import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import type { RpcCall, RpcHandlers } from '../../transport/rpc-server.ts'
import type { FileStatusView } from '../core/requests.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { pathOf } from './client-protocol-namespace.ts'
import { hotPolicy, storagePolicies } from './storage-policies.ts'

const nothing = {}

/**
 * What ordinary tools ask in passing about features that are not in use: answered truthfully, "there is
 * none". Methods that would use such a feature are absent, and get RpcNoSuchMethodException.
 */
export function probeHandlers(context: ClientContext): RpcHandlers<typeof clientNamenodeProtocol> {
  const existing = <T>(
    call: RpcCall,
    path: string,
    answer: (view: FileStatusView) => T,
  ): T | Promise<T> =>
    mapReply(context.execute(call, { kind: 'getFileInfo', path: pathOf(path) }), (view) => {
      if (view === undefined) {
        throw new DfsError('FILE_NOT_FOUND', `File does not exist: ${path}`, { path })
      }
      return answer(view)
    })
  return {
    getEZForPath: ({ src }, call) => existing(call, src, () => nothing),
    getErasureCodingPolicy: ({ src }, call) => existing(call, src, () => nothing),
    getErasureCodingPolicies: () => nothing,
    getErasureCodingCodecs: () => nothing,
    listEncryptionZones: () => ({ zones: [], hasMore: false }),
    getStoragePolicy: ({ path }, call) =>
      existing(call, path, () => ({ storagePolicy: hotPolicy })),
    getStoragePolicies: () => ({ policies: storagePolicies }),
    getEnclosingRoot: () => ({ enclosingRootPath: '/' }),
    getSnapshottableDirListing: () => nothing,
    // Without a secret manager there is no token to give, and none that could be known.
    getDelegationToken: () => nothing,
    getDataEncryptionKey: () => nothing,
    listCachePools: () => ({ entries: [], hasMore: false }),
    listCacheDirectives: () => ({ elements: [], hasMore: false }),
  }
}
