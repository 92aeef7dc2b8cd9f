import { DfsError, type ErrorCode, errorTable } from '../../../protocol/errors.ts'
import { DfsFsError } from '../../index.ts'
import { HttpError } from '../http-error.ts'

/** The body of an error, as every WebHDFS client reads it. */
export interface RemoteException {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: {
    readonly RemoteException: {
      readonly exception: string
      readonly javaClassName: string
      readonly message: string
    }
  }
}

/** What became of the way to the cluster rather than of the request: the status says so to clients and proxies. */
const outages: readonly ErrorCode[] = [
  'CONNECTION_LOST',
  'TIMED_OUT',
  'OUTCOME_UNKNOWN',
  'INTERNAL',
]

const badRequests = new Set([
  'java.lang.UnsupportedOperationException',
  'java.lang.IllegalArgumentException',
  'org.apache.hadoop.HadoopIllegalArgumentException',
  'org.apache.hadoop.fs.InvalidPathException',
])

/** An error as HDFS's ExceptionHandler answers it. */
export function toRemoteException(error: unknown): RemoteException {
  if (error instanceof HttpError) return refusal(error)
  const { code, javaClass, message } = describe(error)
  return { status: statusOf(code, javaClass), headers: {}, body: bodyOf(javaClass, message) }
}

/** A refusal of the gateway itself: its own status, and the class that HDFS has for the code. */
function refusal({ status, code, message, headers }: HttpError): RemoteException {
  const known = Object.hasOwn(errorTable, code) ? (code as ErrorCode) : 'IO_ERROR'
  return { status, headers, body: bodyOf(errorTable[known].javaClass, message) }
}

function bodyOf(javaClass: string, message: string): RemoteException['body'] {
  const exception = javaClass.slice(
    Math.max(javaClass.lastIndexOf('.'), javaClass.lastIndexOf('$')) + 1,
  )
  return { RemoteException: { exception, javaClassName: javaClass, message } }
}

function describe(error: unknown): { code: ErrorCode; javaClass: string; message: string } {
  const message = error instanceof Error ? error.message : String(error)
  const code =
    error instanceof DfsFsError
      ? error.dfsCode
      : error instanceof DfsError
        ? error.code
        : 'INTERNAL'
  // A method that this namenode lacks is a feature that is not there.
  if (code === 'NO_SUCH_METHOD') {
    const { javaClass } = errorTable.UNSUPPORTED_OPERATION
    return { code: 'UNSUPPORTED_OPERATION', javaClass, message }
  }
  const javaClass =
    error instanceof DfsFsError || error instanceof DfsError
      ? error.javaClass
      : errorTable[code].javaClass
  return { code, javaClass, message }
}

function statusOf(code: ErrorCode, javaClass: string): number {
  if (outages.includes(code)) return errorTable[code].httpStatus
  if (javaClass === 'java.io.FileNotFoundException') return 404
  return badRequests.has(javaClass) ? 400 : 403
}
