/**
 * The client's end of one Hadoop RPC connection, without I/O: calls in, bytes out, bytes in, replies out.
 *
 * 1. Preamble, context and first calls leave in one piece; the server answers none of the first two.
 * 2. Replies come in any order and are matched by call id, which is the owner's business.
 * 3. A reply that names another client id is refused, as Hadoop's client does.
 */
import { ByteReader, ByteWriter } from './codec.ts'
import { DfsError, remoteError } from './errors.ts'
import { FrameDecoder } from './frame.ts'
import {
  authBytes,
  beginFrame,
  encodeCallerContext,
  endFrame,
  rpcMagic,
  rpcVersion,
  sameBytes,
  specialCallIds,
  writeCallHeader,
  writeControlHeader,
} from './hadoop-rpc.ts'
import { limits } from './limits.ts'
import {
  type EncodableOf,
  encodeDelimited,
  type Fields,
  type MessageType,
  readDelimited,
  writeDelimited,
} from './message.ts'
import { ipcConnectionContext, requestHeader, rpcResponseHeader } from './messages/rpc.ts'

/** Who calls, and what for. */
export interface ClientIdentity {
  readonly clientId: Uint8Array
  readonly user: string
  readonly realUser?: string | undefined
  /** Java name of the protocol the connection is opened for; each call names its own. */
  readonly protocol: string
  /** What the client acts for, told with every call; servers log and audit it. */
  readonly callerContext?: string | undefined
}

/** One call to write. */
export interface OutgoingCall<F extends Fields> {
  readonly callId: number
  readonly retryCount: number
  /** From {@link encodeMethodHeader}. */
  readonly methodHeader: Uint8Array
  readonly type: MessageType<F>
  readonly request: EncodableOf<MessageType<F>>
}

/** A reply; the message of a success must be read from the connection's `reader` before the next pull. */
export type IncomingReply =
  | { readonly kind: 'success'; readonly callId: number }
  | {
      readonly kind: 'failure'
      readonly callId: number
      readonly error: DfsError
      /** The server closes the connection. */
      readonly isFatal: boolean
    }

const noBytes = new Uint8Array(0)

/** Encodes the delimited RequestHeader that names a method; the same bytes serve every call of it. */
export function encodeMethodHeader(protocol: string, version: number, method: string): Uint8Array {
  return encodeDelimited(requestHeader, {
    methodName: method,
    declaringClassProtocolName: protocol,
    clientProtocolVersion: version,
  })
}

export class RpcClientConnection {
  readonly output = new ByteWriter(1024)
  /** Positioned at the delimited message of the success pulled last. */
  readonly reader = new ByteReader(noBytes)
  readonly #identity: ClientIdentity
  readonly #frames: FrameDecoder
  readonly #callerContext: Uint8Array | undefined

  constructor(identity: ClientIdentity, frameBytesMax: number = limits.rpcFrameBytesMax) {
    this.#identity = identity
    const { callerContext } = identity
    this.#callerContext =
      callerContext === undefined ? undefined : encodeCallerContext(callerContext)
    this.#frames = new FrameDecoder(frameBytesMax)
    this.#writePreamble()
  }

  /** Appends a call to `output`. When encoding throws, nothing of it stays there. */
  writeCall<F extends Fields>(call: OutgoingCall<F>): void {
    const { output } = this
    const before = output.length
    try {
      const mark = beginFrame(output)
      writeCallHeader(
        output,
        call.callId,
        this.#identity.clientId,
        call.retryCount,
        this.#callerContext,
      )
      output.raw(call.methodHeader)
      writeDelimited(output, call.type, call.request)
      endFrame(output, mark)
    } catch (error) {
      output.length = before
      throw error
    }
  }

  /** Adds received bytes; they must not change until {@link next} has returned `undefined`. */
  push(bytes: Buffer): void {
    this.#frames.push(bytes)
  }

  /**
   * Returns the next reply, or `undefined` when more bytes are needed.
   * @throws {@link DfsError} BAD_FRAME or LIMIT_EXCEEDED when the server does not speak the protocol;
   * the connection is useless then
   */
  next(): IncomingReply | undefined {
    if (!this.#frames.next()) return undefined
    const { buffer, start, end } = this.#frames
    this.reader.reset(buffer, start, end)
    const header = readDelimited(this.reader, rpcResponseHeader)
    const callId = header.callId | 0
    const { clientId } = header
    if (
      clientId !== undefined &&
      clientId.length > 0 &&
      !sameBytes(clientId, 0, clientId.length, this.#identity.clientId)
    ) {
      throw new DfsError('BAD_FRAME', `Reply to call ${callId} names another client id`)
    }
    if (header.status === 'SUCCESS') return { kind: 'success', callId }
    const javaClass = header.exceptionClassName ?? 'java.io.IOException'
    const error = remoteError(javaClass, header.errorMsg ?? javaClass)
    return { kind: 'failure', callId, error, isFatal: header.status === 'FATAL' }
  }

  #writePreamble(): void {
    const { output } = this
    const { clientId, user, realUser, protocol } = this.#identity
    output.raw(Buffer.from(rpcMagic, 'latin1'))
    output.byte(rpcVersion)
    output.byte(0)
    output.byte(authBytes.simple)
    const mark = beginFrame(output)
    writeControlHeader(output, specialCallIds.context, clientId)
    writeDelimited(output, ipcConnectionContext, {
      userInfo: { effectiveUser: user, realUser },
      protocol,
    })
    endFrame(output, mark)
  }
}
