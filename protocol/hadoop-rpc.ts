/**
 * Hadoop RPC version 9, what both sides share: preamble, special call ids, the headers in their fast
 * form, and how errors travel. The machines are rpc-server-connection.ts and rpc-client-connection.ts,
 * the tables messages/rpc.ts, the description docs/protocol/rpc.md.
 *
 *     preamble   "hrpc" · 09 · service class · 00 (simple) or DF (SASL)
 *     request    int32 length · delimited RpcRequestHeader · delimited RequestHeader · delimited message
 *     response   int32 length · delimited RpcResponseHeader · delimited message (only on success)
 *
 * 1. Call ids are zig-zag in requests and unsigned in responses: -33 is 41 there and FFFFFFDF here.
 * 2. A success always has a message, if only the byte 00; an error never has one.
 * 3. ERROR keeps the connection open, FATAL ends it.
 */
import type { ByteReader, ByteWriter } from './codec.ts'
import { DfsError, type ErrorCode, isDfsError } from './errors.ts'
import { decodeMessage, encodeMessage } from './message.ts'
import {
  type RpcErrorCode,
  rpcCallerContext,
  rpcRequestHeader,
  rpcResponseHeader,
} from './messages/rpc.ts'

export const rpcVersion = 9
export const rpcMagic = 'hrpc'
export const preambleBytes = 7
/** Authentication bytes of the preamble. */
export const authBytes = { simple: 0x00, sasl: 0xdf } as const
/** Call ids that are not calls. */
export const specialCallIds = { none: -1, invalid: -2, context: -3, ping: -4, sasl: -33 } as const
/** Ordinary call ids are 0 … 2^31 - 1 and wrap. */
export const callIdMask = 0x7fff_ffff
/** Retry count of frames that are no calls, and of clients that do not count. */
export const noRetryCount = -1
/** Bytes of a client id. */
export const clientIdBytes = 16

const noBytes: Uint8Array = new Uint8Array(0)
const rpcKindProtocolBuffer = 2
const statusSuccess = 0

/** Field numbers with wire types, as they stand in the headers. */
/** Characters of a caller context that are kept (HDFS: hadoop.caller.context.max.size). */
export const callerContextMax = 128

const requestTags = {
  rpcKind: 0x08,
  rpcOp: 0x10,
  callId: 0x18,
  clientId: 0x22,
  retry: 0x28,
  callerContext: 0x3a,
} as const
const responseTags = {
  callId: 0x08,
  status: 0x10,
  version: 0x18,
  clientId: 0x3a,
  retry: 0x40,
} as const

/** Header of a request as it was last read; one per connection. Absent numbers are -1. */
export class RequestHeaderFields {
  rpcKind = -1
  rpcOp = -1
  callId: number = specialCallIds.none
  /** The same object as long as the bytes stay the same; owned by this header. */
  clientId = noBytes
  retryCount = noRetryCount
  /** What the client says about the request it acts for; `undefined` when it says nothing. */
  callerContext: string | undefined
  #contextBytes = noBytes
  #contextText = ''

  /**
   * Reads a delimited RpcRequestHeader.
   * @throws {@link DfsError} BAD_FRAME when it does not decode or lacks call id or client id
   */
  read(reader: ByteReader): void {
    const outerEnd = reader.end
    reader.end = reader.delimiter() + reader.position
    this.rpcKind = -1
    this.rpcOp = -1
    this.retryCount = noRetryCount
    this.callerContext = undefined
    let callId: number = specialCallIds.invalid
    let hasClientId = false
    while (reader.position < reader.end) {
      const tag = reader.uint32()
      if (tag === requestTags.callId) callId = reader.sint32()
      else if (tag === requestTags.clientId) {
        this.#readClientId(reader)
        hasClientId = true
      } else if (tag === requestTags.retry) this.retryCount = reader.sint32()
      else if (tag === requestTags.rpcKind) this.rpcKind = reader.int32()
      else if (tag === requestTags.rpcOp) this.rpcOp = reader.int32()
      else if (tag === requestTags.callerContext) this.#readCallerContext(reader)
      else reader.skip(tag & 7, tag >>> 3)
    }
    reader.end = outerEnd
    this.callId = callId
    if (!hasClientId) throw missing('RpcRequestHeader.clientId')
    if (callId === specialCallIds.invalid) throw missing('RpcRequestHeader.callId')
  }

  /** A client says the same with every call, so that its bytes are seldom decoded. */
  #readCallerContext(reader: ByteReader): void {
    const length = reader.delimiter()
    const start = reader.position
    const end = start + length
    if (!sameBytes(reader.buffer, start, length, this.#contextBytes)) {
      const bytes = Uint8Array.prototype.slice.call(reader.buffer, start, end)
      this.#contextText = decodeMessage(rpcCallerContext, bytes).context.slice(0, callerContextMax)
      this.#contextBytes = bytes
    }
    reader.position = end
    this.callerContext = this.#contextText
  }

  #readClientId(reader: ByteReader): void {
    const length = reader.delimiter()
    const start = reader.position
    reader.position = start + length
    if (!sameBytes(reader.buffer, start, length, this.clientId)) {
      this.clientId = Uint8Array.prototype.slice.call(reader.buffer, start, start + length)
    }
  }
}

/** Encodes what {@link writeCallHeader} sends as caller context with every call. */
export function encodeCallerContext(context: string): Uint8Array {
  return encodeMessage(rpcCallerContext, { context })
}

/** True when the header says what every header of an ordinary frame must say. */
export function headerProblem({ rpcKind, rpcOp, callId }: RequestHeaderFields): string | undefined {
  if (rpcOp === -1) return 'IPC Server: No rpc op in rpcRequestHeader'
  if (rpcOp !== 0) return `IPC Server does not implement rpc header operation ${rpcOp}`
  if (rpcKind === -1) return 'IPC Server: No rpc kind in rpcRequestHeader'
  if (callId >= 0 && rpcKind !== rpcKindProtocolBuffer) {
    return `Unknown rpc kind in rpc header ${rpcKind}`
  }
  return undefined
}

/** Writes the delimited RpcRequestHeader of a call. */
export function writeCallHeader(
  writer: ByteWriter,
  callId: number,
  clientId: Uint8Array,
  retryCount: number,
  callerContext?: Uint8Array,
): void {
  const mark = writer.beginDelimited()
  writer.byte(requestTags.rpcKind)
  writer.byte(rpcKindProtocolBuffer)
  writer.byte(requestTags.rpcOp)
  writer.byte(0)
  writer.byte(requestTags.callId)
  writer.sint32(callId)
  writer.byte(requestTags.clientId)
  writer.bytes(clientId)
  writer.byte(requestTags.retry)
  writer.sint32(retryCount)
  if (callerContext !== undefined) {
    writer.byte(requestTags.callerContext)
    writer.bytes(callerContext)
  }
  writer.endDelimited(mark)
}

/** Writes the delimited RpcResponseHeader of a success, field by field as the Java server does. */
export function writeSuccessHeader(
  writer: ByteWriter,
  callId: number,
  clientId: Uint8Array,
  retryCount: number,
): void {
  const mark = writer.beginDelimited()
  writer.byte(responseTags.callId)
  writer.uint32(callId >>> 0)
  writer.byte(responseTags.status)
  writer.byte(statusSuccess)
  writer.byte(responseTags.version)
  writer.byte(rpcVersion)
  writer.byte(responseTags.clientId)
  writer.bytes(clientId)
  writer.byte(responseTags.retry)
  writer.sint32(retryCount)
  writer.endDelimited(mark)
}

/** What an error response says. */
export interface RpcFailure {
  readonly isFatal: boolean
  readonly detail: RpcErrorCode
  readonly javaClass: string
  readonly message: string
}

/** Writes the delimited RpcResponseHeader of an error; nothing may follow it in its frame. */
export function writeFailureHeader(
  writer: ByteWriter,
  call: { readonly callId: number; readonly clientId: Uint8Array; readonly retryCount: number },
  failure: RpcFailure,
): void {
  const mark = writer.beginDelimited()
  rpcResponseHeader.codec.write(writer, {
    callId: call.callId >>> 0,
    status: failure.isFatal ? 'FATAL' : 'ERROR',
    serverIpcVersionNum: rpcVersion,
    exceptionClassName: failure.javaClass,
    errorMsg: failure.message,
    errorDetail: failure.detail,
    clientId: call.clientId,
    retryCount: call.retryCount,
  })
  writer.endDelimited(mark)
}

/** Writes the delimited RpcRequestHeader of a frame that is no call: context or SASL. */
export function writeControlHeader(writer: ByteWriter, callId: number, clientId: Uint8Array): void {
  const mark = writer.beginDelimited()
  rpcRequestHeader.codec.write(writer, {
    rpcKind: 'RPC_PROTOCOL_BUFFER',
    rpcOp: 'RPC_FINAL_PACKET',
    callId,
    clientId,
    retryCount: noRetryCount,
  })
  writer.endDelimited(mark)
}

/** Reserves the length of a frame and returns its mark for {@link endFrame}. */
export function beginFrame(writer: ByteWriter): number {
  writer.reserve(4)
  writer.length += 4
  return writer.length
}

/** Fills in the length of the frame opened at `mark`. */
export function endFrame(writer: ByteWriter, mark: number): void {
  writer.buffer.writeUInt32BE(writer.length - mark, mark - 4)
}

const detailByCode: Partial<Record<ErrorCode, RpcErrorCode>> = {
  NO_SUCH_METHOD: 'ERROR_NO_SUCH_METHOD',
  NO_SUCH_PROTOCOL: 'ERROR_NO_SUCH_PROTOCOL',
  VERSION_MISMATCH: 'ERROR_RPC_VERSION_MISMATCH',
}

/** The failure that an error thrown while serving a call is told as. Anything but a DfsError is a bug of ours. */
export function failureOf(error: unknown): RpcFailure {
  if (isDfsError(error)) {
    return {
      isFatal: false,
      detail: detailByCode[error.code] ?? 'ERROR_APPLICATION',
      javaClass: error.javaClass,
      message: error.message,
    }
  }
  return {
    isFatal: false,
    detail: 'ERROR_RPC_SERVER',
    javaClass: 'java.lang.IllegalStateException',
    message: error instanceof Error ? error.message : String(error),
  }
}

/** True when `length` bytes of `buffer` from `start` on are those of `bytes`. */
export function sameBytes(
  buffer: Uint8Array,
  start: number,
  length: number,
  bytes: Uint8Array,
): boolean {
  if (length !== bytes.length) return false
  for (let index = 0; index < length; index += 1) {
    if (buffer[start + index] !== bytes[index]) return false
  }
  return true
}

function missing(what: string): DfsError {
  return new DfsError('BAD_FRAME', `Required field ${what} is missing`)
}
