/**
 * The server's end of one Hadoop RPC connection, without I/O: bytes in, calls out, replies in, bytes out.
 *
 *     preamble → (SASL) → context → open → closing
 *
 * 1. Nothing of a stranger is kept beyond `rpcFrameBeforeContextBytesMax`; the full frame limit
 *    applies once the context has named a user.
 * 2. A call is handed out only after the context; its reply may come any time and in any order.
 * 3. An ERROR is answered and the connection goes on; a FATAL is answered, `closeReason` is set, and
 *    nothing more is read.
 * 4. SASL is answered with SUCCESS: the client is to go on with simple authentication. A later
 *    INITIATE of SIMPLE is accepted silently, anything else refused.
 * 5. `output` collects everything to send; the owner takes it once per tick.
 */
import { ByteReader, ByteWriter } from './codec.ts'
import { DfsError, isDfsError } from './errors.ts'
import { FrameDecoder } from './frame.ts'
import {
  authBytes,
  beginFrame,
  endFrame,
  failureOf,
  headerProblem,
  noRetryCount,
  preambleBytes,
  RequestHeaderFields,
  type RpcFailure,
  rpcMagic,
  rpcVersion,
  sameBytes,
  specialCallIds,
  writeFailureHeader,
  writeSuccessHeader,
} from './hadoop-rpc.ts'
import { limits } from './limits.ts'
import { readDelimited, writeDelimited } from './message.ts'
import { ipcConnectionContext, type RpcErrorCode, requestHeader, rpcSasl } from './messages/rpc.ts'

/** Finds what serves a method; throws NO_SUCH_PROTOCOL, VERSION_MISMATCH or NO_SUCH_METHOD. */
export type ResolveMethod<T> = (protocol: string, version: number, method: string) => T

/** Names a call to be answered. */
export interface CallIdentity {
  readonly callId: number
  readonly clientId: Uint8Array
  readonly retryCount: number
}

/** A call to serve. Its request must be read from the connection's `reader` before the next one is pulled. */
export interface IncomingCall<T> extends CallIdentity {
  readonly target: T
  readonly callerContext: string | undefined
}

/** Frame limits of a server; the defaults are those of limits.ts. */
export interface RpcFrameLimits {
  readonly rpcFrameBytesMax: number
  readonly rpcFrameBeforeContextBytesMax: number
}

interface CachedHeader<T> {
  readonly bytes: Uint8Array
  readonly protocol: string
  readonly target: T
}

const securityPackage = 'org.apache.hadoop.security.'
const accessControlException = `${securityPackage}AccessControlException`
const authorizationException = `${securityPackage}authorize.AuthorizationException`
const rpcServerException = 'org.apache.hadoop.ipc.RpcServerException'
const noBytes = new Uint8Array(0)
const httpMagic = 'GET '
const httpAnswer =
  'HTTP/1.1 404 Not Found\r\nContent-type: text/plain\r\n\r\n' +
  'It looks like you are making an HTTP request to a Hadoop RPC port. This is not the correct port for the web interface of this service.\r\n'
const oldVersionMin = 3

/**
 * Caches resolved RequestHeaders by their bytes: a client repeats the same few. Shared by all
 * connections of a server; holds only methods that exist, so it cannot grow beyond them (a client may
 * encode one header in several ways, hence the bound).
 */
export class MethodCache<T> {
  readonly #buckets = new Map<number, CachedHeader<T>[]>()
  #count = 0

  find(buffer: Buffer, start: number, length: number): CachedHeader<T> | undefined {
    const bucket = this.#buckets.get(bucketOf(buffer, start, length))
    return bucket?.find((entry) => sameBytes(buffer, start, length, entry.bytes))
  }

  add(entry: CachedHeader<T>): void {
    if (this.#count >= 1024) return
    this.#count += 1
    const key = bucketOf(entry.bytes, 0, entry.bytes.length)
    const bucket = this.#buckets.get(key)
    if (bucket === undefined) this.#buckets.set(key, [entry])
    else bucket.push(entry)
  }
}

/** Length, and the bytes in which method names differ: their length, their second and fourth letter. */
function bucketOf(bytes: Uint8Array, start: number, length: number): number {
  const name = ((bytes[start + 3] ?? 0) << 8) | (bytes[start + 5] ?? 0)
  return (length << 24) ^ ((bytes[start + 1] ?? 0) << 16) ^ name
}

type Phase = 'preamble' | 'sasl' | 'context' | 'open' | 'closing'

export class RpcServerConnection<T> {
  readonly output = new ByteWriter(1024)
  /** Positioned at the delimited request of the call pulled last. */
  readonly reader = new ByteReader(noBytes)
  /** Short name of who acts, and on whose behalf a proxy does; set once the connection is open. */
  user = ''
  realUser: string | undefined
  /** Protocols that were called. */
  readonly protocols = new Set<string>()
  /** Why the connection must be closed after `output` is sent. */
  closeReason: DfsError | undefined

  readonly #limits: RpcFrameLimits
  readonly #resolve: ResolveMethod<T>
  readonly #cache: MethodCache<T>
  readonly #frames: FrameDecoder
  readonly #header = new RequestHeaderFields()
  readonly #preamble = Buffer.alloc(preambleBytes)
  #preambleLength = 0
  #phase: Phase = 'preamble'
  #hasNegotiated = false

  constructor(
    resolve: ResolveMethod<T>,
    cache: MethodCache<T> = new MethodCache(),
    frameLimits: RpcFrameLimits = limits,
  ) {
    this.#resolve = resolve
    this.#cache = cache
    this.#limits = frameLimits
    this.#frames = new FrameDecoder(frameLimits.rpcFrameBeforeContextBytesMax)
  }

  /** True once the context has named a user. */
  get isOpen(): boolean {
    return this.#phase === 'open'
  }

  /** Adds received bytes; they must not change until {@link next} has returned `undefined`. */
  push(bytes: Buffer): void {
    if (this.#phase === 'closing') return
    let rest = bytes
    if (this.#phase === 'preamble') {
      rest = this.#readPreamble(bytes)
      if (rest.length === 0 || this.closeReason !== undefined) return
    }
    this.#frames.push(rest)
  }

  /** Returns the next call, or `undefined` when more bytes are needed or the connection must close. */
  next(): IncomingCall<T> | undefined {
    if (this.#phase === 'preamble' || this.#phase === 'closing') return undefined
    try {
      while (this.#frames.next()) {
        const { buffer, start, end } = this.#frames
        this.reader.reset(buffer, start, end)
        const call = this.#readFrame()
        if (call !== undefined) return call
        if (this.closeReason !== undefined) return undefined
      }
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#header.callId = specialCallIds.none
      this.#fatal('FATAL_INVALID_RPC_HEADER', rpcServerException, error.message)
    }
    return undefined
  }

  /** Starts a successful reply; the message must be written to `output` delimited. Returns the mark for {@link endReply}. */
  beginReply(call: CallIdentity): number {
    const mark = beginFrame(this.output)
    writeSuccessHeader(this.output, call.callId, call.clientId, call.retryCount)
    return mark
  }

  endReply(mark: number): void {
    endFrame(this.output, mark)
  }

  /** Removes a reply that could not be completed. */
  abandonReply(mark: number): void {
    this.output.length = mark - 4
  }

  /** Answers a call with an error. */
  fail(call: CallIdentity, failure: RpcFailure): void {
    const mark = beginFrame(this.output)
    writeFailureHeader(this.output, call, failure)
    endFrame(this.output, mark)
  }

  #readPreamble(bytes: Buffer): Buffer {
    const count = Math.min(preambleBytes - this.#preambleLength, bytes.length)
    bytes.copy(this.#preamble, this.#preambleLength, 0, count)
    this.#preambleLength += count
    if (this.#preambleLength < rpcMagic.length) return bytes.subarray(count)
    const magic = this.#preamble.toString('latin1', 0, rpcMagic.length)
    if (magic === httpMagic) this.#refuseHttp()
    else if (magic !== rpcMagic) this.#refuseVersion(undefined)
    else if (this.#preambleLength > rpcMagic.length) {
      const version = this.#preamble[4] ?? 0
      if (version !== rpcVersion) this.#refuseVersion(version)
      else if (this.#preambleLength === preambleBytes) this.#readAuth(this.#preamble[6] ?? 0)
    }
    return bytes.subarray(count)
  }

  #readAuth(auth: number): void {
    if (auth === authBytes.simple) this.#phase = 'context'
    else if (auth === authBytes.sasl) this.#phase = 'sasl'
    else {
      this.#fatal(
        'FATAL_UNAUTHORIZED',
        'org.apache.hadoop.ipc.IpcException',
        `Unknown authentication byte ${auth}: need 0 (simple) or ${authBytes.sasl} (SASL)`,
      )
    }
  }

  #refuseHttp(): void {
    this.output.raw(Buffer.from(httpAnswer, 'latin1'))
    this.#close('HTTP request on the RPC port')
  }

  #refuseVersion(version: number | undefined): void {
    const javaClass = 'org.apache.hadoop.ipc.RPC$VersionMismatch'
    const found =
      version === undefined
        ? `magic ${JSON.stringify(this.#preamble.toString('latin1', 0, 4))}`
        : `version ${version}`
    const message = `Server IPC version ${rpcVersion} cannot communicate with client ${found}`
    if (version !== undefined && version >= oldVersionMin && version < rpcVersion) {
      writeOldRefusal(this.output, javaClass, message)
      this.#close(message)
      return
    }
    this.#fatal('FATAL_VERSION_MISMATCH', javaClass, message)
  }

  #readFrame(): IncomingCall<T> | undefined {
    const header = this.#header
    try {
      header.read(this.reader)
    } catch (error) {
      if (!isDfsError(error)) throw error
      header.callId = specialCallIds.none
      this.#fatal('FATAL_DESERIALIZING_REQUEST', rpcServerException, error.message)
      return undefined
    }
    const problem = headerProblem(header)
    if (problem !== undefined) {
      this.#fatal('FATAL_INVALID_RPC_HEADER', rpcServerException, problem)
      return undefined
    }
    if (header.callId >= 0) return this.#readCall()
    this.#readControl(header.callId)
    return undefined
  }

  #readCall(): IncomingCall<T> | undefined {
    if (this.#phase !== 'open') {
      this.#invalid('Connection context not established')
      return undefined
    }
    const { callId, clientId, retryCount, callerContext } = this.#header
    try {
      const target = this.#readTarget()
      if (target === undefined) return undefined
      return { callId, clientId, retryCount, target, callerContext }
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.fail({ callId, clientId, retryCount }, failureOf(error))
      return undefined
    }
  }

  #readTarget(): T | undefined {
    const reader = this.reader
    const start = reader.position
    let length: number
    try {
      length = reader.delimiter() + reader.position - start
      const cached = this.#cache.find(reader.buffer, start + 1, length - 1)
      if (cached !== undefined && length <= 128) {
        reader.position = start + length
        this.protocols.add(cached.protocol)
        return cached.target
      }
      reader.position = start
      return this.#resolveHeader(start, length)
    } catch (error) {
      if (!isDfsError(error, 'BAD_FRAME')) throw error
      this.#fatal('FATAL_DESERIALIZING_REQUEST', rpcServerException, error.message)
      return undefined
    }
  }

  #resolveHeader(start: number, length: number): T {
    const { methodName, declaringClassProtocolName, clientProtocolVersion } = readDelimited(
      this.reader,
      requestHeader,
    )
    const protocol = declaringClassProtocolName
    const target = this.#resolve(protocol, clientProtocolVersion, methodName)
    this.protocols.add(protocol)
    if (length <= 128) {
      const bytes = Uint8Array.prototype.slice.call(this.reader.buffer, start + 1, start + length)
      this.#cache.add({ bytes, protocol, target })
    }
    return target
  }

  #readControl(callId: number): void {
    if (callId === specialCallIds.ping) return
    if (callId === specialCallIds.context) this.#readContext()
    else if (callId === specialCallIds.sasl) this.#readSasl()
    else this.#invalid(`Unknown out of band call ${callId}`)
  }

  #readContext(): void {
    if (this.#phase === 'open') {
      this.#invalid('Connection context already processed')
      return
    }
    if (this.#phase === 'sasl' && !this.#hasNegotiated) {
      this.#unauthorized(accessControlException, 'SASL negotiation is required before the context')
      return
    }
    let context: ReturnType<typeof ipcConnectionContext.codec.read>
    try {
      context = readDelimited(this.reader, ipcConnectionContext)
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#fatal('FATAL_DESERIALIZING_REQUEST', rpcServerException, error.message)
      return
    }
    const user = shortName(context.userInfo?.effectiveUser ?? '')
    if (user === '') {
      this.#unauthorized(authorizationException, 'Connection context must name an effective user')
      return
    }
    const realUser = shortName(context.userInfo?.realUser ?? '')
    this.user = user
    this.realUser = realUser === '' ? undefined : realUser
    this.#phase = 'open'
    this.#frames.bytesMax = this.#limits.rpcFrameBytesMax
  }

  #readSasl(): void {
    if (this.#phase !== 'sasl') {
      this.#unauthorized(accessControlException, 'SASL is not negotiated on this connection')
      return
    }
    let sasl: ReturnType<typeof rpcSasl.codec.read>
    try {
      sasl = readDelimited(this.reader, rpcSasl)
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#fatal('FATAL_DESERIALIZING_REQUEST', rpcServerException, error.message)
      return
    }
    if (sasl.state === 'NEGOTIATE' && !this.#hasNegotiated) {
      this.#hasNegotiated = true
      const { callId, clientId, retryCount } = this.#header
      const mark = this.beginReply({ callId, clientId, retryCount })
      writeDelimited(this.output, rpcSasl, { state: 'SUCCESS' })
      this.endReply(mark)
    } else if (sasl.state === 'INITIATE' && sasl.auths.every(({ method }) => method === 'SIMPLE')) {
      this.#hasNegotiated = true
    } else {
      const asked = sasl.auths.map(({ method }) => method).join(', ')
      this.#unauthorized(
        accessControlException,
        `SASL ${sasl.state} ${asked} is not available. Available:[SIMPLE]`,
      )
    }
  }

  #invalid(message: string): void {
    this.#fatal('FATAL_INVALID_RPC_HEADER', rpcServerException, message)
  }

  #unauthorized(javaClass: string, message: string): void {
    this.#fatal('FATAL_UNAUTHORIZED', javaClass, message)
  }

  #fatal(detail: RpcErrorCode, javaClass: string, message: string): void {
    const { callId, clientId, retryCount } = this.#header
    this.fail(
      clientId.length === 0
        ? { callId: specialCallIds.none, clientId: noBytes, retryCount: noRetryCount }
        : { callId, clientId, retryCount },
      { isFatal: true, detail, javaClass, message },
    )
    this.#close(message)
  }

  #close(message: string): void {
    this.#phase = 'closing'
    this.closeReason = new DfsError('BAD_FRAME', message)
  }
}

/** The part of a principal before `/` or `@`. */
function shortName(principal: string): string {
  return principal.split(/[/@]/, 1)[0] ?? ''
}

/** Answer to versions 3 to 8: int32 call id, int32 status, and two strings with int32 lengths. */
function writeOldRefusal(output: ByteWriter, javaClass: string, message: string): void {
  const texts = [javaClass, message].map((text) => Buffer.from(text))
  const bytes = Buffer.alloc(8)
  bytes.writeInt32BE(-1, 0)
  bytes.writeInt32BE(-1, 4)
  output.raw(bytes)
  for (const text of texts) {
    const length = Buffer.alloc(4)
    length.writeInt32BE(text.length)
    output.raw(length)
    output.raw(text)
  }
}
