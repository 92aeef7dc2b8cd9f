import { DfsError, type ErrorCode, isDfsError } from '../protocol/errors.ts'

/**
 * The error that every public verb and stream of the SDK ends with.
 *
 * `code` is the POSIX name that `node:fs` users switch on (`ENOENT`, `EEXIST`, …), `dfsCode` the finer
 * code of docs/ERRORS.md. An operation ended by its `AbortSignal` has the name `AbortError`.
 */
export class DfsFsError extends Error {
  readonly code: string
  readonly dfsCode: ErrorCode
  readonly path: string | undefined
  /** The block, where one is concerned. */
  readonly blockId: number | undefined
  /** The Java class that the server named, or that stands for the code. */
  readonly javaClass: string

  constructor(error: DfsError, path?: string) {
    super(error.message, { cause: error })
    this.name = error.code === 'ABORTED' ? 'AbortError' : 'DfsFsError'
    this.code = error.errno
    this.dfsCode = error.code
    this.path = error.path ?? path
    this.blockId = error.blockId
    this.javaClass = error.javaClass
  }
}

/**
 * Turns what the inner layers throw into what the public API throws. Anything that is not an operating
 * error (a broken invariant, a `TypeError` of the caller's stream) passes unchanged.
 */
export function toFsError(error: unknown, path?: string): Error {
  if (isDfsError(error)) return new DfsFsError(refine(error), path)
  return error instanceof Error ? error : new Error(String(error))
}

/** Runs `action` and lets its failure out as a {@link DfsFsError} about `path`. */
export async function withFsErrors<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw toFsError(error, path)
  }
}

/**
 * Gives a better code to errors that HDFS sends under a class it shares among several meanings; the text
 * is all there is to tell them apart, and HDFS's own clients match it too.
 */
export function refine(error: DfsError): DfsError {
  const code = codeByText(error)
  return code === undefined ? error : new DfsError(code, error.message, detailsOf(error))
}

function codeByText({ code, message }: DfsError): ErrorCode | undefined {
  if (code === 'FILE_NOT_FOUND' && /is not a file/i.test(message)) return 'IS_A_DIRECTORY'
  if (code !== 'IO_ERROR') return undefined
  if (/could only be (written|replicated) to/.test(message)) return 'NO_DATANODES'
  if (/is non empty|is not empty/.test(message)) return 'DIRECTORY_NOT_EMPTY'
  return undefined
}

function detailsOf(error: DfsError): ConstructorParameters<typeof DfsError>[2] {
  return {
    javaClass: error.javaClass,
    cause: error,
    ...(error.path === undefined ? {} : { path: error.path }),
    ...(error.blockId === undefined ? {} : { blockId: error.blockId }),
    ...(error.datanode === undefined ? {} : { datanode: error.datanode }),
  }
}

/** True for an SDK error with this code of docs/ERRORS.md. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof DfsFsError && error.dfsCode === code
}

/** An SDK error that did not come from a server. */
export function failure(code: ErrorCode, message: string, path: string): DfsFsError {
  return new DfsFsError(new DfsError(code, message, { path }), path)
}
