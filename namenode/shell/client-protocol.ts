import type { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { ClientContext } from './client-context.ts'
import { aclHandlers, xattrHandlers } from './client-protocol-attributes.ts'
import { linkHandlers } from './client-protocol-links.ts'
import { attributeHandlers, namespaceHandlers } from './client-protocol-namespace.ts'
import { probeHandlers } from './client-protocol-probes.ts'
import { readHandlers } from './client-protocol-read.ts'
import { administrationHandlers, statisticsHandlers } from './client-protocol-statistics.ts'
import {
  leaseHandlers,
  pipelineHandlers,
  reopeningHandlers,
  writeHandlers,
} from './client-protocol-write.ts'

/** All methods of ClientProtocol that the namenode serves; the rest get RpcNoSuchMethodException. */
export function clientHandlers(context: ClientContext): RpcHandlers<typeof clientNamenodeProtocol> {
  return {
    ...readHandlers(context),
    ...linkHandlers(context),
    ...namespaceHandlers(context),
    ...attributeHandlers(context),
    ...aclHandlers(context),
    ...xattrHandlers(context),
    ...writeHandlers(context),
    ...reopeningHandlers(context),
    ...pipelineHandlers(context),
    ...leaseHandlers(context),
    ...statisticsHandlers(context),
    ...administrationHandlers(context),
    ...probeHandlers(context),
  }
}
