/** How the `dfs` command fails: exit codes, and one line per error that says what to do next. */
import type { DfsFsError } from '../index.ts'

/** Exit codes, as `dfs help` documents them. */
export const exitCodes = {
  /** Everything that was asked for was done. */
  ok: 0,
  /** At least one operation failed; each failure is one line on stderr. */
  failed: 1,
  /** The command line was not understood; nothing was done. */
  usage: 2,
  /** Interrupted by SIGINT, as shells report it. */
  interrupted: 130,
  /** The reader of our output went away, as shells report SIGPIPE. */
  brokenPipe: 141,
} as const

/** The command line was not understood. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** An operation failed for a reason that is ours to word; `path` leads the line when present. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly path: string | undefined

  constructor(message: string, path?: string) {
    super(message)
    this.path = path
  }
}

/** The cluster cannot be reached: no path has anything to do with it, and no further one need be tried. */
export class UnreachableError extends CommandError {}

/** Next steps by error code, for codes whose message cannot know them. */
const advice: Readonly<Record<string, string>> = {
  CONNECTION_LOST:
    'is the cluster up? `dfs up` starts one here, --fs hdfs://HOST:PORT or DFS_URI name another',
  TIMED_OUT: 'the server is slow or unreachable; `dfs report` shows which nodes answer',
  OUTCOME_UNKNOWN: 'it may have happened; look before trying again',
  PERMISSION_DENIED: 'ask the owner for access, or pass --user to act as another user',
  SAFE_MODE: '`dfs safemode get` says why, and what it waits for',
  NO_DATANODES: '`dfs report` shows the datanodes and their space',
  ALREADY_BEING_CREATED: 'another client is writing it; wait for it, or choose another name',
  BLOCK_MISSING: '`dfs fsck PATH -files -blocks -locations` shows which replicas are gone',
  CHECKSUM_MISMATCH: '`dfs fsck PATH -files -blocks -locations` shows the replicas',
  DIRECTORY_NOT_EMPTY: 'pass -r to remove what is in it, too',
}

/** Message of an SDK error made short where HDFS's own is a page. */
const shortMessages: Readonly<Record<string, string>> = {
  FILE_NOT_FOUND: 'No such file or directory',
  FILE_EXISTS: 'File exists',
  NOT_A_DIRECTORY: 'Not a directory',
  IS_A_DIRECTORY: 'Is a directory',
  DIRECTORY_NOT_EMPTY: 'Directory is not empty',
}

function isSdkError(error: Error): error is DfsFsError {
  return 'dfsCode' in error && typeof error.dfsCode === 'string'
}

/**
 * `/x: Permission denied: …: what to do next`. `path` is what the user typed or what the walk reached;
 * the error's own path is used when there is none.
 */
export function describeFailure(error: unknown, path?: string): string {
  if (!(error instanceof Error)) return prefixed(path, String(error))
  if (error instanceof UnreachableError) return error.message
  if (error instanceof CommandError) return prefixed(error.path ?? path, error.message)
  if (isSdkError(error)) {
    const subject = error.dfsCode === 'CONNECTION_LOST' ? undefined : (path ?? error.path)
    const message = shortMessages[error.dfsCode] ?? firstLine(error.message)
    const next = advice[error.dfsCode]
    return prefixed(subject, next === undefined ? message : `${message}; ${next}`)
  }
  return prefixed(path ?? localPath(error), localMessage(error))
}

/** True for failures of the world; anything else is a bug of ours and deserves its stack. */
export function isOperatingError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error instanceof CommandError || isSdkError(error) || isSystemError(error)
}

/** True when `error` is the SDK's, or Node's, "does not exist". */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** Links lead to each other, or there are too many on the way. */
export function isLoop(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ELOOP'
}

interface SystemError extends Error {
  readonly code: string
  readonly path?: string
}

function isSystemError(error: Error): error is SystemError {
  return 'code' in error && typeof error.code === 'string' && 'syscall' in error
}

function localPath(error: Error): string | undefined {
  return isSystemError(error) ? error.path : undefined
}

/** Node words a failed call as "ENOENT: no such file or directory, open '/x'"; only the middle is news. */
function localMessage(error: Error): string {
  if (!isSystemError(error)) return error.message
  const match = /^[A-Z0-9_]+: ([^,]+)/.exec(error.message)
  const text = match?.[1] ?? error.message
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function prefixed(path: string | undefined, message: string): string {
  return path === undefined || path === '' ? message : `${path}: ${message}`
}

/** A remote error may carry a stack behind its message. */
function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message
}
