/** An HTTP server that takes and sends files: what is no request is bounded, what is one may take its time. */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Duplex } from 'node:stream'

/** A connection on which nothing moves for that long is cut. */
const idleTimeoutMs = 300_000

/** Headers that are longer get 431, ones that take longer 408. */
const limits = {
  maxHeaderSize: 32_768,
  headersTimeout: 20_000,
  connectionsCheckingInterval: 1_000,
} as const

/** Parameters of {@link createFileServer}. */
export interface FileServerOptions {
  /** How long the headers of a request may take, 20 s by default. */
  readonly headersTimeoutMs?: number | undefined
}

/**
 * A server that is not listening yet. The handler answers `Expect: 100-continue` itself, when it knows that it wants the body.
 */
export function createFileServer(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  { headersTimeoutMs = limits.headersTimeout }: FileServerOptions = {},
): Server {
  const server = createServer({ ...limits, headersTimeout: headersTimeoutMs }, handle)
  server.on('checkContinue', handle)
  server.on('clientError', answerClientError)
  // A body may take as long as it likes, as long as something of it arrives.
  server.requestTimeout = 0
  server.timeout = idleTimeoutMs
  return server
}

const answers: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request took too long to arrive'],
}

/** Answers what is no HTTP request, comes too slowly or has too many headers, and closes the connection. */
function answerClientError(error: Error, socket: Duplex): void {
  if (!socket.writable || ('code' in error && error.code === 'ECONNRESET')) {
    socket.destroy()
    return
  }
  const code = 'code' in error ? String(error.code) : ''
  const [status, message] = answers[code] ?? [400, 'That is no HTTP request']
  const body = JSON.stringify({ error: { code: 'INVALID_ARGUMENT', message } })
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
