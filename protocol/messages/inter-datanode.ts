/**
 * InterDatanodeProtocol, block recovery among datanodes (InterDatanodeProtocol.proto).
 */
import {
  bool,
  type MessageOf,
  message,
  method,
  optional,
  required,
  service,
  str,
  u64,
  withDefault,
} from '../message.ts'
import { recoveringBlock } from './datanode-namenode.ts'
import { block, extendedBlock, replicaStateEnum } from './hdfs-blocks.ts'

export { type RecoveringBlock, recoveringBlock } from './datanode-namenode.ts'

export const initReplicaRecoveryRequest = message('InitReplicaRecoveryRequest', {
  block: required(1, recoveringBlock),
})
export type InitReplicaRecoveryRequest = MessageOf<typeof initReplicaRecoveryRequest>

export const initReplicaRecoveryResponse = message('InitReplicaRecoveryResponse', {
  replicaFound: required(1, bool),
  state: optional(2, replicaStateEnum),
  block: optional(3, block),
})
export type InitReplicaRecoveryResponse = MessageOf<typeof initReplicaRecoveryResponse>

export const updateReplicaUnderRecoveryRequest = message('UpdateReplicaUnderRecoveryRequest', {
  block: required(1, extendedBlock),
  recoveryId: required(2, u64),
  newLength: required(3, u64),
  newBlockId: withDefault(4, u64, 0),
})
export type UpdateReplicaUnderRecoveryRequest = MessageOf<typeof updateReplicaUnderRecoveryRequest>

export const updateReplicaUnderRecoveryResponse = message('UpdateReplicaUnderRecoveryResponse', {
  storageUuid: optional(1, str),
})
export type UpdateReplicaUnderRecoveryResponse = MessageOf<
  typeof updateReplicaUnderRecoveryResponse
>

export const interDatanodeProtocol = service(
  'org.apache.hadoop.hdfs.server.protocol.InterDatanodeProtocol',
  {
    initReplicaRecovery: method(
      initReplicaRecoveryRequest,
      initReplicaRecoveryResponse,
      'idempotent',
    ),
    updateReplicaUnderRecovery: method(
      updateReplicaUnderRecoveryRequest,
      updateReplicaUnderRecoveryResponse,
      'idempotent',
    ),
  },
)
