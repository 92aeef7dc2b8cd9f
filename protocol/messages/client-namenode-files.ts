/**
 * ClientProtocol: reading and writing files.
 */
import {
  bool,
  type EnumOf,
  enumeration,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  s64,
  str,
  u32,
  u64,
  u64big,
  withDefault,
} from '../message.ts'
import { datanodeID, datanodeInfo, extendedBlock, locatedBlock } from './hdfs-blocks.ts'
import {
  corruptFileBlocks,
  cryptoProtocolVersionEnum,
  fsPermission,
  hdfsFileStatus,
  locatedBlocks,
} from './hdfs-files.ts'

export const addBlockFlagEnum = enumeration({ NO_LOCAL_WRITE: 1, IGNORE_CLIENT_LOCALITY: 2 })
export type AddBlockFlag = EnumOf<typeof addBlockFlagEnum>

/** length may be 2^63 - 1. */
export const getBlockLocationsRequest = message('GetBlockLocationsRequest', {
  src: required(1, str),
  offset: required(2, u64),
  length: required(3, u64big),
})
export type GetBlockLocationsRequest = MessageOf<typeof getBlockLocationsRequest>

export const getBlockLocationsResponse = message('GetBlockLocationsResponse', {
  locations: optional(1, locatedBlocks),
})
export type GetBlockLocationsResponse = MessageOf<typeof getBlockLocationsResponse>

export const reportBadBlocksRequest = message('ReportBadBlocksRequest', {
  blocks: repeated(1, locatedBlock),
})
export type ReportBadBlocksRequest = MessageOf<typeof reportBadBlocksRequest>

export const listCorruptFileBlocksRequest = message('ListCorruptFileBlocksRequest', {
  path: required(1, str),
  cookie: optional(2, str),
})
export type ListCorruptFileBlocksRequest = MessageOf<typeof listCorruptFileBlocksRequest>

export const listCorruptFileBlocksResponse = message('ListCorruptFileBlocksResponse', {
  corrupt: required(1, corruptFileBlocks),
})
export type ListCorruptFileBlocksResponse = MessageOf<typeof listCorruptFileBlocksResponse>

export const createRequest = message('CreateRequest', {
  src: required(1, str),
  masked: required(2, fsPermission),
  clientName: required(3, str),
  createFlag: required(4, u32),
  createParent: required(5, bool),
  replication: required(6, u32),
  blockSize: required(7, u64),
  cryptoProtocolVersion: repeated(8, cryptoProtocolVersionEnum),
  unmasked: optional(9, fsPermission),
  ecPolicyName: optional(10, str),
  storagePolicy: optional(11, str),
})
export type CreateRequest = MessageOf<typeof createRequest>

export const createResponse = message('CreateResponse', {
  fs: optional(1, hdfsFileStatus),
})
export type CreateResponse = MessageOf<typeof createResponse>

export const appendRequest = message('AppendRequest', {
  src: required(1, str),
  clientName: required(2, str),
  flag: optional(3, u32),
})
export type AppendRequest = MessageOf<typeof appendRequest>

export const appendResponse = message('AppendResponse', {
  block: optional(1, locatedBlock),
  stat: optional(2, hdfsFileStatus),
})
export type AppendResponse = MessageOf<typeof appendResponse>

export const addBlockRequest = message('AddBlockRequest', {
  src: required(1, str),
  clientName: required(2, str),
  previous: optional(3, extendedBlock),
  excludeNodes: repeated(4, datanodeInfo),
  fileId: withDefault(5, u64, 0),
  favoredNodes: repeated(6, str),
  flags: repeated(7, addBlockFlagEnum),
})
export type AddBlockRequest = MessageOf<typeof addBlockRequest>

export const addBlockResponse = message('AddBlockResponse', {
  block: required(1, locatedBlock),
})
export type AddBlockResponse = MessageOf<typeof addBlockResponse>

export const abandonBlockRequest = message('AbandonBlockRequest', {
  b: required(1, extendedBlock),
  src: required(2, str),
  holder: required(3, str),
  fileId: withDefault(4, u64, 0),
})
export type AbandonBlockRequest = MessageOf<typeof abandonBlockRequest>

export const completeRequest = message('CompleteRequest', {
  src: required(1, str),
  clientName: required(2, str),
  last: optional(3, extendedBlock),
  fileId: withDefault(4, u64, 0),
})
export type CompleteRequest = MessageOf<typeof completeRequest>

export const completeResponse = message('CompleteResponse', {
  result: required(1, bool),
})
export type CompleteResponse = MessageOf<typeof completeResponse>

export const updateBlockForPipelineRequest = message('UpdateBlockForPipelineRequest', {
  block: required(1, extendedBlock),
  clientName: required(2, str),
})
export type UpdateBlockForPipelineRequest = MessageOf<typeof updateBlockForPipelineRequest>

export const updateBlockForPipelineResponse = message('UpdateBlockForPipelineResponse', {
  block: required(1, locatedBlock),
})
export type UpdateBlockForPipelineResponse = MessageOf<typeof updateBlockForPipelineResponse>

export const updatePipelineRequest = message('UpdatePipelineRequest', {
  clientName: required(1, str),
  oldBlock: required(2, extendedBlock),
  newBlock: required(3, extendedBlock),
  newNodes: repeated(4, datanodeID),
  storageIDs: repeated(5, str),
})
export type UpdatePipelineRequest = MessageOf<typeof updatePipelineRequest>

export const getAdditionalDatanodeRequest = message('GetAdditionalDatanodeRequest', {
  src: required(1, str),
  blk: required(2, extendedBlock),
  existings: repeated(3, datanodeInfo),
  excludes: repeated(4, datanodeInfo),
  numAdditionalNodes: required(5, u32),
  clientName: required(6, str),
  existingStorageUuids: repeated(7, str),
  fileId: withDefault(8, u64, 0),
})
export type GetAdditionalDatanodeRequest = MessageOf<typeof getAdditionalDatanodeRequest>

export const getAdditionalDatanodeResponse = message('GetAdditionalDatanodeResponse', {
  block: required(1, locatedBlock),
})
export type GetAdditionalDatanodeResponse = MessageOf<typeof getAdditionalDatanodeResponse>

export const fsyncRequest = message('FsyncRequest', {
  src: required(1, str),
  client: required(2, str),
  lastBlockLength: withDefault(3, s64, -1),
  fileId: withDefault(4, u64, 0),
})
export type FsyncRequest = MessageOf<typeof fsyncRequest>

export const renewLeaseRequest = message('RenewLeaseRequest', {
  clientName: required(1, str),
  namespaces: repeated(2, str),
})
export type RenewLeaseRequest = MessageOf<typeof renewLeaseRequest>

export const recoverLeaseRequest = message('RecoverLeaseRequest', {
  src: required(1, str),
  clientName: required(2, str),
})
export type RecoverLeaseRequest = MessageOf<typeof recoverLeaseRequest>

export const recoverLeaseResponse = message('RecoverLeaseResponse', {
  result: required(1, bool),
})
export type RecoverLeaseResponse = MessageOf<typeof recoverLeaseResponse>

export const truncateRequest = message('TruncateRequest', {
  src: required(1, str),
  newLength: required(2, u64),
  clientName: required(3, str),
})
export type TruncateRequest = MessageOf<typeof truncateRequest>

export const truncateResponse = message('TruncateResponse', {
  result: required(1, bool),
})
export type TruncateResponse = MessageOf<typeof truncateResponse>
