import type { operatorProtocol } from '../../protocol/messages/operator.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { DatanodeView } from '../core/datanode-registry.ts'
import type { ClientContext } from './client-context.ts'
import { wireDatanodeId } from './wire-views.ts'

/**
 * Methods about where a new block would go. Chosen by the same rules as for addBlock, and nothing is promised: whoever
 * asks sends a writer of somebody else's to the datanode, whose own block is then placed on it.
 */
export function placementHandlers({
  namenode,
}: ClientContext): RpcHandlers<typeof operatorProtocol> {
  const { blocks } = namenode
  return {
    chooseDatanode: ({ clientHost, blockSize, excluded }) => {
      const unwanted = blocks.datanodes('all').filter((node) => isNamed(node, excluded))
      const { targets } = blocks.chooseTargets({
        ...{ count: 1, blockSizeBytes: blockSize, clientHost, favored: [], existing: [] },
        excluded: new Set(unwanted.map(({ uuid }) => uuid)),
      })
      const [target] = targets
      const chosen = target === undefined ? undefined : blocks.datanode(target.datanode)
      return { datanode: chosen === undefined ? undefined : wireDatanodeId(chosen) }
    },
  }
}

function isNamed(node: DatanodeView, names: readonly string[]): boolean {
  const { ipAddress, hostName, transferPort, infoPort } = node
  return [ipAddress, hostName].some((host) =>
    [host, `${host}:${transferPort}`, `${host}:${infoPort}`].some((name) => names.includes(name)),
  )
}
