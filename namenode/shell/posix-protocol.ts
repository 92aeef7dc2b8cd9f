import { blockId, generationStamp, inodeId } from '../../protocol/ids.ts'
import type { posixProtocol } from '../../protocol/messages/posix.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import { type ClientContext, mapReply } from './client-context.ts'
import { pathOf } from './client-protocol-namespace.ts'
import { nodeHandlers } from './posix-nodes.ts'

/** All methods of PosixProtocol. */
export function posixHandlers(context: ClientContext): RpcHandlers<typeof posixProtocol> {
  return {
    ...nodeHandlers(context),
    splice: ({ src, fileId, taken, edits }, call) =>
      mapReply(
        context.executeOnce(call, {
          kind: 'splice',
          path: pathOf(src),
          inodeId: inodeId(fileId),
          taken: taken === undefined ? undefined : pathOf(taken),
          edits: edits.map(({ offset, removed, takes }) => ({
            offset,
            removed: removed.map((block) => ({
              id: blockId(block.blockId),
              generationStamp: generationStamp(block.generationStamp),
            })),
            takes,
          })),
        }),
        () => ({}),
      ),
  }
}
