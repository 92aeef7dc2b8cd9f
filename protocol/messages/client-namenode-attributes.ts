/**
 * ClientProtocol: snapshots, ACLs and extended attributes.
 */
import { type MessageOf, message, optional, repeated, required, str, u32 } from '../message.ts'
import {
  aclEntry,
  aclStatus,
  snapshotDiffReport,
  snapshotDiffReportCursor,
  snapshotDiffReportListing,
  snapshotListing,
  snapshottableDirectoryListing,
  xAttr,
} from './hdfs-features.ts'

export const allowSnapshotRequest = message('AllowSnapshotRequest', {
  snapshotRoot: required(1, str),
})
export type AllowSnapshotRequest = MessageOf<typeof allowSnapshotRequest>

export const disallowSnapshotRequest = message('DisallowSnapshotRequest', {
  snapshotRoot: required(1, str),
})
export type DisallowSnapshotRequest = MessageOf<typeof disallowSnapshotRequest>

export const createSnapshotRequest = message('CreateSnapshotRequest', {
  snapshotRoot: required(1, str),
  snapshotName: optional(2, str),
})
export type CreateSnapshotRequest = MessageOf<typeof createSnapshotRequest>

export const createSnapshotResponse = message('CreateSnapshotResponse', {
  snapshotPath: required(1, str),
})
export type CreateSnapshotResponse = MessageOf<typeof createSnapshotResponse>

export const deleteSnapshotRequest = message('DeleteSnapshotRequest', {
  snapshotRoot: required(1, str),
  snapshotName: required(2, str),
})
export type DeleteSnapshotRequest = MessageOf<typeof deleteSnapshotRequest>

export const renameSnapshotRequest = message('RenameSnapshotRequest', {
  snapshotRoot: required(1, str),
  snapshotOldName: required(2, str),
  snapshotNewName: required(3, str),
})
export type RenameSnapshotRequest = MessageOf<typeof renameSnapshotRequest>

export const getSnapshottableDirListingResponse = message('GetSnapshottableDirListingResponse', {
  snapshottableDirList: optional(1, snapshottableDirectoryListing),
})
export type GetSnapshottableDirListingResponse = MessageOf<
  typeof getSnapshottableDirListingResponse
>

export const getSnapshotListingRequest = message('GetSnapshotListingRequest', {
  snapshotRoot: required(1, str),
})
export type GetSnapshotListingRequest = MessageOf<typeof getSnapshotListingRequest>

export const getSnapshotListingResponse = message('GetSnapshotListingResponse', {
  snapshotList: optional(1, snapshotListing),
})
export type GetSnapshotListingResponse = MessageOf<typeof getSnapshotListingResponse>

export const getSnapshotDiffReportRequest = message('GetSnapshotDiffReportRequest', {
  snapshotRoot: required(1, str),
  fromSnapshot: required(2, str),
  toSnapshot: required(3, str),
})
export type GetSnapshotDiffReportRequest = MessageOf<typeof getSnapshotDiffReportRequest>

export const getSnapshotDiffReportResponse = message('GetSnapshotDiffReportResponse', {
  diffReport: required(1, snapshotDiffReport),
})
export type GetSnapshotDiffReportResponse = MessageOf<typeof getSnapshotDiffReportResponse>

export const getSnapshotDiffReportListingRequest = message('GetSnapshotDiffReportListingRequest', {
  snapshotRoot: required(1, str),
  fromSnapshot: required(2, str),
  toSnapshot: required(3, str),
  cursor: optional(4, snapshotDiffReportCursor),
})
export type GetSnapshotDiffReportListingRequest = MessageOf<
  typeof getSnapshotDiffReportListingRequest
>

export const getSnapshotDiffReportListingResponse = message(
  'GetSnapshotDiffReportListingResponse',
  {
    diffReport: required(1, snapshotDiffReportListing),
  },
)
export type GetSnapshotDiffReportListingResponse = MessageOf<
  typeof getSnapshotDiffReportListingResponse
>

export const modifyAclEntriesRequest = message('ModifyAclEntriesRequest', {
  src: required(1, str),
  aclSpec: repeated(2, aclEntry),
})
export type ModifyAclEntriesRequest = MessageOf<typeof modifyAclEntriesRequest>

export const removeAclEntriesRequest = message('RemoveAclEntriesRequest', {
  src: required(1, str),
  aclSpec: repeated(2, aclEntry),
})
export type RemoveAclEntriesRequest = MessageOf<typeof removeAclEntriesRequest>

export const removeDefaultAclRequest = message('RemoveDefaultAclRequest', {
  src: required(1, str),
})
export type RemoveDefaultAclRequest = MessageOf<typeof removeDefaultAclRequest>

export const removeAclRequest = message('RemoveAclRequest', {
  src: required(1, str),
})
export type RemoveAclRequest = MessageOf<typeof removeAclRequest>

export const setAclRequest = message('SetAclRequest', {
  src: required(1, str),
  aclSpec: repeated(2, aclEntry),
})
export type SetAclRequest = MessageOf<typeof setAclRequest>

export const getAclStatusRequest = message('GetAclStatusRequest', {
  src: required(1, str),
})
export type GetAclStatusRequest = MessageOf<typeof getAclStatusRequest>

export const getAclStatusResponse = message('GetAclStatusResponse', {
  result: required(1, aclStatus),
})
export type GetAclStatusResponse = MessageOf<typeof getAclStatusResponse>

export const setXAttrRequest = message('SetXAttrRequest', {
  src: required(1, str),
  xAttr: optional(2, xAttr),
  flag: optional(3, u32),
})
export type SetXAttrRequest = MessageOf<typeof setXAttrRequest>

export const getXAttrsRequest = message('GetXAttrsRequest', {
  src: required(1, str),
  xAttrs: repeated(2, xAttr),
})
export type GetXAttrsRequest = MessageOf<typeof getXAttrsRequest>

export const getXAttrsResponse = message('GetXAttrsResponse', {
  xAttrs: repeated(1, xAttr),
})
export type GetXAttrsResponse = MessageOf<typeof getXAttrsResponse>

export const listXAttrsRequest = message('ListXAttrsRequest', {
  src: required(1, str),
})
export type ListXAttrsRequest = MessageOf<typeof listXAttrsRequest>

export const listXAttrsResponse = message('ListXAttrsResponse', {
  xAttrs: repeated(1, xAttr),
})
export type ListXAttrsResponse = MessageOf<typeof listXAttrsResponse>

export const removeXAttrRequest = message('RemoveXAttrRequest', {
  src: required(1, str),
  xAttr: optional(2, xAttr),
})
export type RemoveXAttrRequest = MessageOf<typeof removeXAttrRequest>
