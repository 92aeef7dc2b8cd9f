/** From a request to the operation that plans it. Kept apart from the state machine that calls it. */
import { unreachable } from '../../base/assert.ts'
import type { Context } from './context.ts'
import { abandonBlock } from './operations/abandon-block.ts'
import { addBlock } from './operations/add-block.ts'
import { append } from './operations/append.ts'
import { changeAcl, getAclStatus } from './operations/change-acl.ts'
import { removeXAttr, setXAttr } from './operations/change-xattrs.ts'
import { commitBlockSynchronization } from './operations/commit-block-synchronization.ts'
import { complete } from './operations/complete.ts'
import { concat } from './operations/concat.ts'
import { create } from './operations/create.ts'
import { deletePath } from './operations/delete.ts'
import { fsync } from './operations/fsync.ts'
import { getAdditionalDatanode } from './operations/get-additional-datanode.ts'
import { getBlockLocations } from './operations/get-block-locations.ts'
import { getBlockPath } from './operations/get-block-path.ts'
import {
  checkAccess,
  getFileInfo,
  getLinkTarget,
  getPreferredBlockSize,
  isFileClosed,
} from './operations/get-file-info.ts'
import { getListing, summarizeDirectory } from './operations/get-listing.ts'
import { getOpenFile } from './operations/get-open-file.ts'
import { getXAttrs, listXAttrs } from './operations/get-xattrs.ts'
import { link } from './operations/link.ts'
import { createSymlink, makeNode } from './operations/make-node.ts'
import { mkdirs } from './operations/mkdirs.ts'
import { recoverLease } from './operations/recover-lease.ts'
import { removeEntry } from './operations/remove-entry.ts'
import { rename, rename2 } from './operations/rename.ts'
import { renameEntry } from './operations/rename-entry.ts'
import { setOwner, setPermission, setReplication, setTimes } from './operations/set-attributes.ts'
import { setDatanodeGoal } from './operations/set-datanode-goal.ts'
import { setNodeAttributes } from './operations/set-node-attributes.ts'
import { splice } from './operations/splice.ts'
import { storeDigests } from './operations/store-digests.ts'
import { truncate } from './operations/truncate.ts'
import { updateBlockForPipeline, updatePipeline } from './operations/update-pipeline.ts'
import type { Plan } from './outcome.ts'
import type { MountRequest, ReadRequest, ReplyByKind, Request, WriteRequest } from './requests.ts'

/** Plans any request. */
export function planRequest(
  context: Context,
  request: Request,
): Plan<ReplyByKind[Request['kind']]> {
  if (isRead(request)) return planRead(context, request)
  return isOfMount(request) ? planMountChange(context, request) : planChange(context, request)
}

function planRead(context: Context, request: ReadRequest): Plan<ReplyByKind[ReadRequest['kind']]> {
  switch (request.kind) {
    case 'getFileInfo':
      return getFileInfo(context, request)
    case 'getListing':
      return getListing(context, request)
    case 'getBlockLocations':
      return getBlockLocations(context, request)
    case 'getPreferredBlockSize':
      return getPreferredBlockSize(context, request)
    case 'isFileClosed':
      return isFileClosed(context, request)
    case 'checkAccess':
      return checkAccess(context, request)
    case 'getLinkTarget':
      return getLinkTarget(context, request)
    case 'getAclStatus':
      return getAclStatus(context, request)
    case 'getXAttrs':
      return getXAttrs(context, request)
    case 'listXAttrs':
      return listXAttrs(context, request)
    case 'getAdditionalDatanode':
      return getAdditionalDatanode(context, request)
    case 'getBlockPath':
      return getBlockPath(context, request)
    case 'getOpenFile':
      return getOpenFile(context, request)
    case 'summarizeDirectory':
      return summarizeDirectory(context, request)
    default:
      return unreachable(request)
  }
}

function planChange(
  context: Context,
  request: WriteRequest,
): Plan<ReplyByKind[WriteRequest['kind']]> {
  switch (request.kind) {
    case 'createSymlink':
      return createSymlink(context, request)
    case 'mkdirs':
      return mkdirs(context, request)
    case 'create':
      return create(context, request)
    case 'append':
      return append(context, request)
    case 'truncate':
      return truncate(context, request)
    case 'concat':
      return concat(context, request)
    case 'splice':
      return splice(context, request)
    case 'addBlock':
      return addBlock(context, request)
    case 'abandonBlock':
      return abandonBlock(context, request)
    case 'complete':
      return complete(context, request)
    case 'fsync':
      return fsync(context, request)
    case 'updateBlockForPipeline':
      return updateBlockForPipeline(context, request)
    case 'updatePipeline':
      return updatePipeline(context, request)
    case 'recoverLease':
      return recoverLease(context, request)
    case 'delete':
      return deletePath(context, request)
    case 'rename':
      return rename(context, request)
    case 'rename2':
      return rename2(context, request)
    case 'setPermission':
      return setPermission(context, request)
    case 'setOwner':
      return setOwner(context, request)
    case 'setTimes':
      return setTimes(context, request)
    case 'setReplication':
      return setReplication(context, request)
    case 'modifyAclEntries':
    case 'removeAclEntries':
    case 'removeDefaultAcl':
    case 'removeAcl':
    case 'setAcl':
      return changeAcl(context, request)
    case 'setXAttr':
      return setXAttr(context, request)
    case 'removeXAttr':
      return removeXAttr(context, request)
    case 'commitBlockSynchronization':
      return commitBlockSynchronization(context, request)
    case 'setDatanodeGoal':
      return setDatanodeGoal(context, request)
    case 'storeDigests':
      return storeDigests(context, request)
    default:
      return unreachable(request)
  }
}

function planMountChange(
  context: Context,
  request: MountRequest,
): Plan<ReplyByKind[MountRequest['kind']]> {
  switch (request.kind) {
    case 'makeNode':
      return makeNode(context, request)
    case 'link':
      return link(context, request)
    case 'removeEntry':
      return removeEntry(context, request)
    case 'renameEntry':
      return renameEntry(context, request)
    case 'setAttributes':
      return setNodeAttributes(context, request)
    default:
      return unreachable(request)
  }
}

const mountKinds: ReadonlySet<string> = new Set<MountRequest['kind']>([
  'makeNode',
  'link',
  'removeEntry',
  'renameEntry',
  'setAttributes',
])

function isOfMount(request: Request): request is MountRequest {
  return mountKinds.has(request.kind)
}

const readKinds: ReadonlySet<string> = new Set<ReadRequest['kind']>([
  'getFileInfo',
  'getListing',
  'getBlockLocations',
  'getPreferredBlockSize',
  'isFileClosed',
  'checkAccess',
  'getLinkTarget',
  'getAclStatus',
  'getXAttrs',
  'listXAttrs',
  'getAdditionalDatanode',
  'getBlockPath',
  'getOpenFile',
  'summarizeDirectory',
])

/** True for requests that never change anything. */
export function isRead(request: Request): request is ReadRequest {
  return readKinds.has(request.kind)
}
