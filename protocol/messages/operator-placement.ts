/**
 * Messages of OperatorProtocol about where a new block would go.
 */

import { type MessageOf, message, optional, repeated, required, str, u64 } from '../message.ts'
import { datanodeID } from './hdfs-blocks.ts'

export const chooseDatanodeRequest = message('ChooseDatanodeRequest', {
  /** Address or host of the writer; empty for nobody in particular. */
  clientHost: required(1, str),
  blockSize: required(2, u64),
  /** `host`, or `host:port` with the port of data transfers or HTTP. */
  excluded: repeated(3, str),
})
export type ChooseDatanodeRequest = MessageOf<typeof chooseDatanodeRequest>

export const chooseDatanodeResponse = message('ChooseDatanodeResponse', {
  /** Absent when none can take a block of that size. */
  datanode: optional(1, datanodeID),
})
export type ChooseDatanodeResponse = MessageOf<typeof chooseDatanodeResponse>
