import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { pathOf } from './client-protocol-namespace.ts'
import { wireFileStatus } from './wire-views.ts'

/** Bits that a directory made on the way may have. */
const modeMask = 0o1777
const nothing = {}

/** Methods about symbolic links. */
export function linkHandlers(context: ClientContext): RpcHandlers<typeof clientNamenodeProtocol> {
  return {
    createSymlink: ({ target, link, dirPerm, createParent }, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'createSymlink',
          path: pathOf(link),
          target,
          createParent,
          directoryMode: dirPerm.perm & modeMask,
        }),
        () => nothing,
      ),
    getFileLinkInfo: ({ src }, call) =>
      mapReply(
        context.execute(call, { kind: 'getFileInfo', path: pathOf(src), keepsLastLink: true }),
        (view) => (view === undefined ? nothing : { fs: wireFileStatus(context, view) }),
      ),
    getLinkTarget: ({ path }, call) =>
      mapReply(
        context.execute(call, { kind: 'getLinkTarget', path: pathOf(path) }),
        (targetPath) => ({ targetPath }),
      ),
  }
}
