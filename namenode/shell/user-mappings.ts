/** Groups of users as the namenode knows them, for Hadoop's `hdfs groups` and `dfsadmin -refreshUserToGroupsMappings`. */
import type {
  getUserMappingsProtocol,
  refreshUserMappingsProtocol,
} from '../../protocol/messages/user-mappings.ts'
import type { RpcHandlers } from '../../transport/rpc-server.ts'
import type { ClientContext } from './client-context.ts'

const nothing = {}

export function refreshMappingHandlers(
  context: ClientContext,
): RpcHandlers<typeof refreshUserMappingsProtocol> {
  return {
    refreshUserToGroupsMappings: async (_request, call) => {
      await context.requireSuperuser(call)
      context.forgetGroups()
      return nothing
    },
    // Who may act for others is not configured in a file: there is nothing to read again.
    refreshSuperUserGroupsConfiguration: async (_request, call) => {
      await context.requireSuperuser(call)
      return nothing
    },
  }
}

export function mappingHandlers(
  context: ClientContext,
): RpcHandlers<typeof getUserMappingsProtocol> {
  return {
    getGroupsForUser: async ({ user }) => ({ groups: [...(await context.groupsOf(user))] }),
  }
}
