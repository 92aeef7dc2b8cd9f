import { DfsError } from '../../../protocol/errors.ts'
import * as attributes from './attributes.ts'
import * as change from './change.ts'
import * as data from './data.ts'
import { forNewBlock, withBlockAtOffset, withLastBlock } from './datanode-choice.ts'
import type { Operation } from './exchange.ts'
import * as read from './read.ts'
import { redirected } from './redirect.ts'

/** The verbs of WebHDFS; HEAD asks as GET does. */
export type Verb = 'GET' | 'PUT' | 'POST' | 'DELETE'

/** What there is for each verb, by name. */
export type Operations = Readonly<Record<Verb, Readonly<Record<string, Operation>>>>

/** What the namenode has no call for: refused as HDFS refuses what it does not have. */
const unsupported: Operation = ({ parameters }) => {
  const name = parameters.text('op')?.toUpperCase() ?? ''
  throw new DfsError('UNSUPPORTED_OPERATION', `${name} is not supported`)
}

const symlinksUnsupported: Operation = () => {
  throw new DfsError('UNSUPPORTED_OPERATION', 'Symlinks not supported')
}

/**
 * Every operation of WebHDFS and what answers it (hdfs: GetOpParam, PutOpParam, PostOpParam, DeleteOpParam). A feature
 * that the namenode gains changes its row from `unsupported`; nothing else decides what there is.
 */
export const operations: Operations = {
  GET: {
    OPEN: redirected(data.open, { choose: withBlockAtOffset, check: data.checkOffset }),
    GETFILESTATUS: read.getFileStatus,
    GETFILELINKSTATUS: read.getFileLinkStatus,
    LISTSTATUS: read.listStatus,
    LISTSTATUS_BATCH: read.listStatusBatch,
    GETCONTENTSUMMARY: read.getContentSummary,
    GETQUOTAUSAGE: read.getQuotaUsage,
    GETFILECHECKSUM: redirected(data.getFileChecksum, { choose: withLastBlock }),
    GETHOMEDIRECTORY: read.getHomeDirectory,
    GETTRASHROOT: read.getTrashRoot,
    GETTRASHROOTS: read.getTrashRoots,
    GETDELEGATIONTOKEN: read.getDelegationToken,
    GET_BLOCK_LOCATIONS: read.getBlockLocations,
    GETFILEBLOCKLOCATIONS: read.getFileBlockLocations,
    GETACLSTATUS: attributes.getAclStatus,
    GETXATTRS: attributes.getXAttrs,
    LISTXATTRS: attributes.listXAttrs,
    CHECKACCESS: read.checkAccess,
    GETALLSTORAGEPOLICY: read.getAllStoragePolicy,
    GETSTORAGEPOLICY: read.getStoragePolicy,
    GETECPOLICY: unsupported,
    GETECPOLICIES: read.getEcPolicies,
    GETECCODECS: read.getEcCodecs,
    GETSERVERDEFAULTS: read.getServerDefaults,
    GETSTATUS: read.getStatus,
    GETLINKTARGET: read.getLinkTarget,
    GETSNAPSHOTDIFF: unsupported,
    GETSNAPSHOTDIFFLISTING: unsupported,
    GETSNAPSHOTTABLEDIRECTORYLIST: read.getSnapshottableDirectoryList,
    GETSNAPSHOTLIST: unsupported,
  },
  PUT: {
    CREATE: redirected(data.create, { choose: forNewBlock }),
    MKDIRS: change.mkdirs,
    CREATESYMLINK: symlinksUnsupported,
    RENAME: change.rename,
    SETREPLICATION: change.setReplication,
    SETOWNER: change.setOwner,
    SETPERMISSION: change.setPermission,
    SETTIMES: change.setTimes,
    RENEWDELEGATIONTOKEN: unsupported,
    CANCELDELEGATIONTOKEN: unsupported,
    MODIFYACLENTRIES: attributes.modifyAclEntries,
    REMOVEACLENTRIES: attributes.removeAclEntries,
    REMOVEDEFAULTACL: attributes.removeDefaultAcl,
    REMOVEACL: attributes.removeAcl,
    SETACL: attributes.setAcl,
    SETXATTR: attributes.setXAttr,
    REMOVEXATTR: attributes.removeXAttr,
    ALLOWSNAPSHOT: unsupported,
    DISALLOWSNAPSHOT: unsupported,
    CREATESNAPSHOT: unsupported,
    RENAMESNAPSHOT: unsupported,
    SETSTORAGEPOLICY: unsupported,
    SATISFYSTORAGEPOLICY: unsupported,
    ENABLEECPOLICY: unsupported,
    DISABLEECPOLICY: unsupported,
    SETECPOLICY: unsupported,
    SETQUOTA: unsupported,
    SETQUOTABYSTORAGETYPE: unsupported,
  },
  POST: {
    APPEND: redirected(data.append, { choose: withLastBlock }),
    CONCAT: change.concat,
    TRUNCATE: change.truncate,
    UNSETSTORAGEPOLICY: unsupported,
    UNSETECPOLICY: unsupported,
  },
  DELETE: {
    DELETE: change.deletePath,
    DELETESNAPSHOT: unsupported,
  },
}

/** The second step of the operations that have two: what a datanode serves. */
export const dataOperations: Operations = {
  GET: { OPEN: data.open, GETFILECHECKSUM: data.getFileChecksum },
  PUT: { CREATE: data.create },
  POST: { APPEND: data.append },
  DELETE: {},
}

/** Operations whose answer is the same for every path: clients ask them of the root, whatever they may see of it. */
export const withoutPath: ReadonlySet<string> = new Set([
  'GETHOMEDIRECTORY',
  'GETTRASHROOT',
  'GETTRASHROOTS',
  'GETDELEGATIONTOKEN',
  'GETALLSTORAGEPOLICY',
  'GETECPOLICIES',
  'GETECCODECS',
  'GETSERVERDEFAULTS',
  'GETSTATUS',
  'GETSNAPSHOTTABLEDIRECTORYLIST',
])
