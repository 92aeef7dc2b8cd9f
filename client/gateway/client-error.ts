import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'

const answers: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request took too long to arrive'],
}

/** Answers what is no HTTP request, comes too slowly or has too many headers, and closes the connection. */
export function answerClientError(error: Error, socket: Duplex): void {
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
