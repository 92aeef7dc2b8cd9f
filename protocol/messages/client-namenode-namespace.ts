/**
 * ClientProtocol: the namespace.
 */
import {
  bool,
  bytes,
  type MessageOf,
  message,
  optional,
  repeated,
  required,
  str,
  u32,
  u64,
  u64big,
  withDefault,
} from '../message.ts'
import { storageTypeEnum } from './hdfs-blocks.ts'
import {
  batchedDirectoryListing,
  contentSummary,
  directoryListing,
  fsActionEnum,
  fsPermission,
  hdfsFileStatus,
  quotaUsage,
} from './hdfs-files.ts'

export const getFileInfoRequest = message('GetFileInfoRequest', {
  src: required(1, str),
})
export type GetFileInfoRequest = MessageOf<typeof getFileInfoRequest>

/** Without fs the path does not exist. */
export const getFileInfoResponse = message('GetFileInfoResponse', {
  fs: optional(1, hdfsFileStatus),
})
export type GetFileInfoResponse = MessageOf<typeof getFileInfoResponse>

export const getFileLinkInfoRequest = message('GetFileLinkInfoRequest', {
  src: required(1, str),
})
export type GetFileLinkInfoRequest = MessageOf<typeof getFileLinkInfoRequest>

export const getFileLinkInfoResponse = message('GetFileLinkInfoResponse', {
  fs: optional(1, hdfsFileStatus),
})
export type GetFileLinkInfoResponse = MessageOf<typeof getFileLinkInfoResponse>

export const getLocatedFileInfoRequest = message('GetLocatedFileInfoRequest', {
  src: optional(1, str),
  needBlockToken: withDefault(2, bool, false),
})
export type GetLocatedFileInfoRequest = MessageOf<typeof getLocatedFileInfoRequest>

export const getLocatedFileInfoResponse = message('GetLocatedFileInfoResponse', {
  fs: optional(1, hdfsFileStatus),
})
export type GetLocatedFileInfoResponse = MessageOf<typeof getLocatedFileInfoResponse>

export const isFileClosedRequest = message('IsFileClosedRequest', {
  src: required(1, str),
})
export type IsFileClosedRequest = MessageOf<typeof isFileClosedRequest>

export const isFileClosedResponse = message('IsFileClosedResponse', {
  result: required(1, bool),
})
export type IsFileClosedResponse = MessageOf<typeof isFileClosedResponse>

export const getListingRequest = message('GetListingRequest', {
  src: required(1, str),
  startAfter: required(2, bytes),
  needLocation: required(3, bool),
})
export type GetListingRequest = MessageOf<typeof getListingRequest>

export const getListingResponse = message('GetListingResponse', {
  dirList: optional(1, directoryListing),
})
export type GetListingResponse = MessageOf<typeof getListingResponse>

export const getBatchedListingRequest = message('GetBatchedListingRequest', {
  paths: repeated(1, str),
  startAfter: required(2, bytes),
  needLocation: required(3, bool),
})
export type GetBatchedListingRequest = MessageOf<typeof getBatchedListingRequest>

export const getBatchedListingResponse = message('GetBatchedListingResponse', {
  listings: repeated(1, batchedDirectoryListing),
  hasMore: required(2, bool),
  startAfter: required(3, bytes),
})
export type GetBatchedListingResponse = MessageOf<typeof getBatchedListingResponse>

export const mkdirsRequest = message('MkdirsRequest', {
  src: required(1, str),
  masked: required(2, fsPermission),
  createParent: required(3, bool),
  unmasked: optional(4, fsPermission),
})
export type MkdirsRequest = MessageOf<typeof mkdirsRequest>

export const mkdirsResponse = message('MkdirsResponse', {
  result: required(1, bool),
})
export type MkdirsResponse = MessageOf<typeof mkdirsResponse>

export const deleteRequest = message('DeleteRequest', {
  src: required(1, str),
  recursive: required(2, bool),
  /** Ours: only the file of this id, and only while this client has its lease. HDFS skips both. */
  leaseHolder: optional(1000, str),
  fileId: optional(1001, u64),
})
export type DeleteRequest = MessageOf<typeof deleteRequest>

export const deleteResponse = message('DeleteResponse', {
  result: required(1, bool),
})
export type DeleteResponse = MessageOf<typeof deleteResponse>

export const renameRequest = message('RenameRequest', {
  src: required(1, str),
  dst: required(2, str),
})
export type RenameRequest = MessageOf<typeof renameRequest>

export const renameResponse = message('RenameResponse', {
  result: required(1, bool),
})
export type RenameResponse = MessageOf<typeof renameResponse>

export const rename2Request = message('Rename2Request', {
  src: required(1, str),
  dst: required(2, str),
  overwriteDest: required(3, bool),
  moveToTrash: optional(4, bool),
})
export type Rename2Request = MessageOf<typeof rename2Request>

export const concatRequest = message('ConcatRequest', {
  trg: required(1, str),
  srcs: repeated(2, str),
})
export type ConcatRequest = MessageOf<typeof concatRequest>

export const setReplicationRequest = message('SetReplicationRequest', {
  src: required(1, str),
  replication: required(2, u32),
})
export type SetReplicationRequest = MessageOf<typeof setReplicationRequest>

export const setReplicationResponse = message('SetReplicationResponse', {
  result: required(1, bool),
})
export type SetReplicationResponse = MessageOf<typeof setReplicationResponse>

export const setPermissionRequest = message('SetPermissionRequest', {
  src: required(1, str),
  permission: required(2, fsPermission),
})
export type SetPermissionRequest = MessageOf<typeof setPermissionRequest>

export const setOwnerRequest = message('SetOwnerRequest', {
  src: required(1, str),
  username: optional(2, str),
  groupname: optional(3, str),
})
export type SetOwnerRequest = MessageOf<typeof setOwnerRequest>

/** 2^64 - 1 leaves a time unchanged. */
export const setTimesRequest = message('SetTimesRequest', {
  src: required(1, str),
  mtime: required(2, u64big),
  atime: required(3, u64big),
})
export type SetTimesRequest = MessageOf<typeof setTimesRequest>

export const getContentSummaryRequest = message('GetContentSummaryRequest', {
  path: required(1, str),
})
export type GetContentSummaryRequest = MessageOf<typeof getContentSummaryRequest>

export const getContentSummaryResponse = message('GetContentSummaryResponse', {
  summary: required(1, contentSummary),
})
export type GetContentSummaryResponse = MessageOf<typeof getContentSummaryResponse>

export const getQuotaUsageRequest = message('GetQuotaUsageRequest', {
  path: required(1, str),
})
export type GetQuotaUsageRequest = MessageOf<typeof getQuotaUsageRequest>

export const getQuotaUsageResponse = message('GetQuotaUsageResponse', {
  usage: required(1, quotaUsage),
})
export type GetQuotaUsageResponse = MessageOf<typeof getQuotaUsageResponse>

/** 2^63 - 1 leaves a quota unchanged, 2^64 - 1 clears it. */
export const setQuotaRequest = message('SetQuotaRequest', {
  path: required(1, str),
  namespaceQuota: required(2, u64big),
  storagespaceQuota: required(3, u64big),
  storageType: optional(4, storageTypeEnum),
})
export type SetQuotaRequest = MessageOf<typeof setQuotaRequest>

export const createSymlinkRequest = message('CreateSymlinkRequest', {
  target: required(1, str),
  link: required(2, str),
  dirPerm: required(3, fsPermission),
  createParent: required(4, bool),
})
export type CreateSymlinkRequest = MessageOf<typeof createSymlinkRequest>

export const getLinkTargetRequest = message('GetLinkTargetRequest', {
  path: required(1, str),
})
export type GetLinkTargetRequest = MessageOf<typeof getLinkTargetRequest>

export const getLinkTargetResponse = message('GetLinkTargetResponse', {
  targetPath: optional(1, str),
})
export type GetLinkTargetResponse = MessageOf<typeof getLinkTargetResponse>

export const getPreferredBlockSizeRequest = message('GetPreferredBlockSizeRequest', {
  filename: required(1, str),
})
export type GetPreferredBlockSizeRequest = MessageOf<typeof getPreferredBlockSizeRequest>

export const getPreferredBlockSizeResponse = message('GetPreferredBlockSizeResponse', {
  bsize: required(1, u64),
})
export type GetPreferredBlockSizeResponse = MessageOf<typeof getPreferredBlockSizeResponse>

export const checkAccessRequest = message('CheckAccessRequest', {
  path: required(1, str),
  mode: required(2, fsActionEnum),
})
export type CheckAccessRequest = MessageOf<typeof checkAccessRequest>

export const getEnclosingRootRequest = message('GetEnclosingRootRequest', {
  filename: optional(1, str),
})
export type GetEnclosingRootRequest = MessageOf<typeof getEnclosingRootRequest>

export const getEnclosingRootResponse = message('GetEnclosingRootResponse', {
  enclosingRootPath: optional(1, str),
})
export type GetEnclosingRootResponse = MessageOf<typeof getEnclosingRootResponse>
