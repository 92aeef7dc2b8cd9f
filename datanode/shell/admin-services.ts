/** What administrators ask of a datanode itself (ClientDatanodeProtocol): to let its writers go, and to end. */
import { DfsError } from '../../protocol/errors.ts'
import { clientDatanodeProtocol } from '../../protocol/messages/client-datanode.ts'
import type { RpcServer } from '../../transport/rpc-server.ts'

export interface AdminServices {
  /** Whoever runs the datanode; nobody else may. */
  readonly superuser: string
  /** Tells writers that the datanode is about to restart (out-of-band ack). */
  readonly announceRestart: () => void
  /** Breaks off what is being written here; its clients go on with other datanodes. */
  readonly evictWriters: () => void
  /** Ends the datanode, after the answer is on its way. */
  readonly shutdown: () => void
}

/** Registers the services with `server`. */
export function registerAdminServices(
  server: Pick<RpcServer, 'register'>,
  { superuser, announceRestart, evictWriters, shutdown }: AdminServices,
): void {
  const requireSuperuser = (user: string, what: string): void => {
    if (user === superuser) return
    throw new DfsError(
      'PERMISSION_DENIED',
      `Cannot ${what}: user "${user}" is not "${superuser}", who runs this datanode`,
    )
  }
  server.register(clientDatanodeProtocol, {
    shutdownDatanode: ({ forUpgrade }, { user }) => {
      requireSuperuser(user, 'stop the datanode')
      // Only one that comes back soon is worth waiting for.
      if (forUpgrade) announceRestart()
      shutdown()
      return {}
    },
    evictWriters: (_request, { user }) => {
      requireSuperuser(user, 'evict writers')
      evictWriters()
      return {}
    },
  })
}
