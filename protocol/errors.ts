/**
 * The error table. A code exists only if some caller reacts to it differently; everything else is
 * `IO_ERROR` or `INTERNAL` with a message. On the wire an error is the Java class that HDFS clients
 * switch on plus our message; docs/ERRORS.md and errno mappings derive from this table.
 */

/**
 * What a caller may do about an error.
 * - `never`: trying again cannot help
 * - `after-backoff`: the same request may succeed later
 * - `other-replica`: another replica or datanode may serve it
 * - `refresh-locations`: ask the namenode for locations again
 * - `same-request-id`: the outcome is unknown; repeat only with the same client id and call id
 */
export type RetryClass =
  | 'never'
  | 'after-backoff'
  | 'other-replica'
  | 'refresh-locations'
  | 'same-request-id'

interface ErrorRow {
  readonly javaClass: string
  readonly httpStatus: number
  readonly errno: string
  readonly retry: RetryClass
  readonly meaning: string
}

const hdfs = 'org.apache.hadoop.hdfs.'
const fs = 'org.apache.hadoop.fs.'
const ipc = 'org.apache.hadoop.ipc.'

export const errorTable = {
  FILE_NOT_FOUND: row(
    'java.io.FileNotFoundException',
    404,
    'ENOENT',
    'never',
    'The path, or a directory on the way to it, does not exist.',
  ),
  FILE_EXISTS: row(
    `${fs}FileAlreadyExistsException`,
    403,
    'EEXIST',
    'never',
    'The path exists and may not be replaced.',
  ),
  NOT_A_DIRECTORY: row(
    `${fs}ParentNotDirectoryException`,
    403,
    'ENOTDIR',
    'never',
    'A component on the way to the path is a file.',
  ),
  UNRESOLVED_LINK: row(
    `${hdfs}protocol.UnresolvedPathException`,
    403,
    'ELOOP',
    'never',
    'A symbolic link is on the way; the message is the path with the link replaced by its target.',
  ),
  DIRECTORY_NOT_EMPTY: row(
    `${fs}PathIsNotEmptyDirectoryException`,
    403,
    'ENOTEMPTY',
    'never',
    'The directory has entries and the request was not recursive.',
  ),
  INVALID_PATH: row(
    `${fs}InvalidPathException`,
    400,
    'EINVAL',
    'never',
    'The path breaks the syntax rules: absolute, no empty or relative components, no colon.',
  ),
  NAME_TOO_LONG: row(
    `${hdfs}protocol.FSLimitException$PathComponentTooLongException`,
    403,
    'ENAMETOOLONG',
    'never',
    'A path component is longer than 255 bytes.',
  ),
  PERMISSION_DENIED: row(
    'org.apache.hadoop.security.AccessControlException',
    403,
    'EACCES',
    'never',
    'The user lacks the wanted right on an inode.',
  ),
  ACL_INVALID: row(
    `${hdfs}protocol.AclException`,
    403,
    'EINVAL',
    'never',
    'The wanted access control list breaks a rule; the message says which.',
  ),
  XATTR_NOT_FOUND: row(
    `${hdfs}protocol.XAttrNotFoundException`,
    403,
    'ENODATA',
    'never',
    'An extended attribute that was asked for is not there, or not for the caller.',
  ),
  NOT_PERMITTED: row(
    `${fs}PathPermissionException`,
    403,
    'EPERM',
    'never',
    'Only the owner of an inode, or a superuser, may do this, whatever its mode.',
  ),
  TOO_MANY_LINKS: row(
    'java.nio.file.FileSystemException',
    403,
    'EMLINK',
    'never',
    'The file has as many names as it may have.',
  ),
  INVALID_ARGUMENT: row(
    'org.apache.hadoop.HadoopIllegalArgumentException',
    400,
    'EINVAL',
    'never',
    'A parameter is outside its allowed range.',
  ),
  IS_A_DIRECTORY: row(
    'java.io.FileNotFoundException',
    403,
    'EISDIR',
    'never',
    'The path is a directory where a file is needed.',
  ),
  ALREADY_BEING_CREATED: row(
    `${hdfs}protocol.AlreadyBeingCreatedException`,
    403,
    'EBUSY',
    'after-backoff',
    'Another client, or this one, holds the lease of the file.',
  ),
  RECOVERY_IN_PROGRESS: row(
    `${hdfs}protocol.RecoveryInProgressException`,
    403,
    'EBUSY',
    'after-backoff',
    'The file of a writer that went silent is being recovered.',
  ),
  LEASE_EXPIRED: row(
    `${hdfs}server.namenode.LeaseExpiredException`,
    403,
    'EIO',
    'never',
    'The caller does not hold the lease of the file any more.',
  ),
  NOT_REPLICATED_YET: row(
    `${hdfs}server.namenode.NotReplicatedYetException`,
    403,
    'EAGAIN',
    'after-backoff',
    'An earlier block of the file has too few replicas so far.',
  ),
  SAFE_MODE: row(
    `${hdfs}server.namenode.SafeModeException`,
    403,
    'EROFS',
    'after-backoff',
    'The namenode refuses changes while in safe mode.',
  ),
  NO_DATANODES: row(
    'java.io.IOException',
    403,
    'ENOSPC',
    'after-backoff',
    'No datanode, or too few, can take a new block; the message lists each with its reason.',
  ),
  RETRIABLE: row(
    `${ipc}RetriableException`,
    503,
    'EAGAIN',
    'after-backoff',
    'The server cannot answer now; ask again later.',
  ),
  STANDBY: row(
    `${ipc}StandbyException`,
    403,
    'EAGAIN',
    'after-backoff',
    'This namenode is not the active one.',
  ),
  UNSUPPORTED_OPERATION: row(
    'java.lang.UnsupportedOperationException',
    400,
    'ENOTSUP',
    'never',
    'The server does not offer this.',
  ),
  NO_SUCH_METHOD: row(
    `${ipc}RpcNoSuchMethodException`,
    400,
    'ENOSYS',
    'never',
    'The protocol has no such method here.',
  ),
  NO_SUCH_PROTOCOL: row(
    `${ipc}RpcNoSuchProtocolException`,
    400,
    'EPROTONOSUPPORT',
    'never',
    'The server does not serve that protocol.',
  ),
  VERSION_MISMATCH: row(
    `${ipc}RPC$VersionMismatch`,
    400,
    'EPROTO',
    'never',
    'The other side speaks another version of the protocol.',
  ),
  BAD_FRAME: row(
    'java.io.IOException',
    400,
    'EPROTO',
    'never',
    'Bytes on the wire or on disk do not decode; the message says where.',
  ),
  UNAUTHORIZED: row(
    'org.apache.hadoop.security.authorize.AuthorizationException',
    401,
    'EACCES',
    'never',
    'The connection names no user, or one that may not connect.',
  ),
  UNREGISTERED_NODE: row(
    `${hdfs}protocol.UnregisteredNodeException`,
    403,
    'EIO',
    'never',
    'A datanode spoke for a cluster or an identity that is not its own.',
  ),
  CHECKSUM_MISMATCH: row(
    'org.apache.hadoop.fs.ChecksumException',
    500,
    'EIO',
    'other-replica',
    'Stored or received bytes do not match their checksum.',
  ),
  REPLICA_NOT_FOUND: row(
    `${hdfs}server.datanode.ReplicaNotFoundException`,
    404,
    'EIO',
    'refresh-locations',
    'The datanode has no such replica, or an older one.',
  ),
  FILE_CHANGED: row(
    'trefoil.FileChangedException',
    409,
    'ESTALE',
    'refresh-locations',
    'The file is not, or not any more, as the caller said: somebody else changed or replaced it.',
  ),
  REPLICA_EXISTS: row(
    `${hdfs}server.datanode.ReplicaAlreadyExistsException`,
    403,
    'EIO',
    'never',
    'The datanode has the replica already.',
  ),
  BLOCK_MISSING: row(
    `${hdfs}BlockMissingException`,
    500,
    'EIO',
    'refresh-locations',
    'No live replica of a block could be read.',
  ),
  UNSUPPORTED_LAYOUT: row(
    `${hdfs}server.common.IncorrectVersionException`,
    500,
    'EIO',
    'never',
    'A file or directory on disk has a layout version this program does not read.',
  ),
  CORRUPTION: row(
    'java.io.IOException',
    500,
    'EIO',
    'never',
    'A file on disk is damaged; the message names file, offset, expected and found.',
  ),
  DISK_FULL: row(
    'java.io.IOException',
    507,
    'ENOSPC',
    'other-replica',
    'No data directory has room.',
  ),
  LIMIT_EXCEEDED: row(
    'java.io.IOException',
    413,
    'E2BIG',
    'never',
    'A bound from limits.ts would be passed.',
  ),
  BUSY: row(
    'java.io.IOException',
    503,
    'EBUSY',
    'other-replica',
    'The datanode serves as many transfers as it may.',
  ),
  CONNECTION_LOST: row(
    'java.net.ConnectException',
    503,
    'ECONNREFUSED',
    'after-backoff',
    'The server cannot be reached, or went away before the request was sent.',
  ),
  TIMED_OUT: row(
    'java.net.SocketTimeoutException',
    504,
    'ETIMEDOUT',
    'other-replica',
    'Nothing came back in time.',
  ),
  OUTCOME_UNKNOWN: row(
    'java.io.IOException',
    503,
    'EIO',
    'same-request-id',
    'The request was sent and no answer came: it may have happened.',
  ),
  ABORTED: row(
    'java.io.InterruptedIOException',
    499,
    'ECANCELED',
    'never',
    'The caller aborted the operation.',
  ),
  IO_ERROR: row(
    'java.io.IOException',
    403,
    'EIO',
    'never',
    'Any other failure; the message says what.',
  ),
  INTERNAL: row(
    'java.lang.IllegalStateException',
    500,
    'EIO',
    'never',
    'A bug of ours; the log has the stack.',
  ),
} as const satisfies Record<string, ErrorRow>

/** Name of a row of {@link errorTable}. */
export type ErrorCode = keyof typeof errorTable

/** What an error carries beside its message. */
export interface ErrorDetails {
  readonly path?: string
  readonly blockId?: number
  readonly datanode?: string
  /** The Java class a remote server named, kept when our table has no better code for it. */
  readonly javaClass?: string
  readonly cause?: unknown
}

/** An operating error: anything the world may do. Match on `code`, never on the message. */
export class DfsError extends Error {
  override readonly name = 'DfsError'
  readonly code: ErrorCode
  readonly path: string | undefined
  readonly blockId: number | undefined
  readonly datanode: string | undefined
  readonly javaClass: string

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.path = details.path
    this.blockId = details.blockId
    this.datanode = details.datanode
    this.javaClass = details.javaClass ?? errorTable[code].javaClass
  }

  /** POSIX name of the error, `ENOENT` and so on. */
  get errno(): string {
    return errorTable[this.code].errno
  }

  get retry(): RetryClass {
    return errorTable[this.code].retry
  }

  get httpStatus(): number {
    return errorTable[this.code].httpStatus
  }
}

/** True when `error` is a {@link DfsError} with one of `codes` (any code when none is given). */
export function isDfsError(error: unknown, ...codes: readonly ErrorCode[]): error is DfsError {
  return error instanceof DfsError && (codes.length === 0 || codes.includes(error.code))
}

const codeByJavaClass = new Map<string, ErrorCode>()
for (const [code, { javaClass }] of Object.entries(errorTable)) {
  if (javaClass !== 'java.io.IOException' && !codeByJavaClass.has(javaClass)) {
    codeByJavaClass.set(javaClass, code as ErrorCode)
  }
}

/** Builds the error that a remote exception stands for; only the first line of `message` is kept. */
export function remoteError(javaClass: string, message: string): DfsError {
  const code = codeByJavaClass.get(javaClass) ?? 'IO_ERROR'
  const firstLine = message.split('\n', 1)[0] ?? message
  return new DfsError(code, firstLine, { javaClass })
}

function row(
  javaClass: string,
  httpStatus: number,
  errno: string,
  retry: RetryClass,
  meaning: string,
): ErrorRow {
  return { javaClass, httpStatus, errno, retry, meaning }
}
