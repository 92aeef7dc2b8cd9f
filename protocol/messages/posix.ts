/**
 * PosixProtocol: what a mount needs of the namenode and HDFS's ClientProtocol has no method for. It is an addition on the same
 * port; clients of HDFS never need it, and what is done through it leaves files that they can read.
 *
 * Rules as for OperatorProtocol: a field is only ever added, with a number of its own. See docs/protocol/posix.md.
 */
import {
  type MessageOf,
  message,
  method,
  optional,
  repeated,
  required,
  service,
  str,
  u32,
  u64,
} from '../message.ts'
import {
  getNodeRequest,
  getNodeResponse,
  linkRequest,
  listNodesRequest,
  listNodesResponse,
  makeNodeRequest,
  nodeResponse,
  removeEntryRequest,
  renameEntryRequest,
  setAttributesRequest,
} from './posix-nodes.ts'
import { emptyMessage } from './rpc.ts'

/** A complete block as the caller knows it. */
export const splicedBlock = message('SplicedBlock', {
  blockId: required(1, u64),
  generationStamp: required(2, u64),
})

/** From the block on that starts at byte `offset`, `removed` give way to the next `takes` blocks of the source. */
export const spliceEdit = message('SpliceEdit', {
  offset: required(1, u64),
  removed: repeated(2, splicedBlock),
  takes: required(3, u32),
})

export const spliceRequest = message('SpliceRequest', {
  src: required(1, str),
  fileId: required(2, u64),
  /** The file whose blocks are taken; without it blocks are removed only. */
  taken: optional(3, str),
  /** In the order of the file, counted before any of them. */
  edits: repeated(4, spliceEdit),
})
export type SpliceRequest = MessageOf<typeof spliceRequest>

export const posixProtocol = service('trefoil.PosixProtocol', {
  splice: method(spliceRequest, emptyMessage, 'at-most-once'),
  getNode: method(getNodeRequest, getNodeResponse, 'read'),
  listNodes: method(listNodesRequest, listNodesResponse, 'read'),
  makeNode: method(makeNodeRequest, nodeResponse, 'at-most-once'),
  link: method(linkRequest, nodeResponse, 'at-most-once'),
  removeEntry: method(removeEntryRequest, emptyMessage, 'at-most-once'),
  renameEntry: method(renameEntryRequest, emptyMessage, 'at-most-once'),
  setAttributes: method(setAttributesRequest, nodeResponse, 'idempotent'),
})
