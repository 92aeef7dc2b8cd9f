/** Groups of users: RefreshUserMappingsProtocol (`dfsadmin -refresh…`) and GetUserMappingsProtocol (`hdfs groups`). */
import { message, method, repeated, required, service, str } from '../message.ts'
import { emptyMessage } from './rpc.ts'

export const getGroupsForUserRequest = message('GetGroupsForUserRequest', {
  user: required(1, str),
})

export const getGroupsForUserResponse = message('GetGroupsForUserResponse', {
  groups: repeated(1, str),
})

export const refreshUserMappingsProtocol = service(
  'org.apache.hadoop.security.RefreshUserMappingsProtocol',
  {
    refreshUserToGroupsMappings: method(emptyMessage, emptyMessage, 'idempotent'),
    refreshSuperUserGroupsConfiguration: method(emptyMessage, emptyMessage, 'idempotent'),
  },
)

export const getUserMappingsProtocol = service('org.apache.hadoop.tools.GetUserMappingsProtocol', {
  getGroupsForUser: method(getGroupsForUserRequest, getGroupsForUserResponse, 'read'),
})
