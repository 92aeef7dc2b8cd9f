/** Just enough HTTP for a benchmark: a client that costs little, so that what is measured is the server. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const readBytes = 1024 * 1024
const headEnd = Buffer.from('\r\n\r\n')

/** The head of an answer, and how many bytes of its body came. */
export interface RawAnswer {
  readonly status: number
  readonly location: string | undefined
  readonly bodyBytes: number
}

/**
 * Sends one request over a connection of its own and reads the answer to its end without keeping it.
 * @param body what to send, of `bytes` bytes together
 */
export async function exchange(
  url: string,
  method: string,
  body?: { readonly bytes: number; readonly pieces: Iterable<Buffer> },
): Promise<RawAnswer> {
  const { hostname, port, host, pathname, search } = new URL(url)
  const head: Buffer[] = []
  let [headBytes, bodyBytes] = [-1, 0]
  const take = (piece: Buffer): void => {
    if (headBytes >= 0) {
      bodyBytes += piece.length
      return
    }
    head.push(Buffer.from(piece))
    const all = Buffer.concat(head)
    const end = all.indexOf(headEnd)
    if (end === -1) return
    headBytes = end + headEnd.length
    bodyBytes = all.length - headBytes
  }
  const socket = connect({
    ...{ host: hostname, port: Number(port) },
    onread: {
      buffer: Buffer.allocUnsafe(readBytes),
      callback(count, buffer) {
        take(Buffer.from(buffer.buffer, buffer.byteOffset, count))
        return true
      },
    },
  })
  const ended = once(socket, 'close')
  await once(socket, 'connect')
  const length = `Content-Length: ${body?.bytes ?? 0}\r\n`
  const lines = `${method} ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n${length}Connection: close\r\n\r\n`
  socket.write(lines)
  if (body !== undefined) await write(socket, body.pieces)
  await ended
  const text = Buffer.concat(head).subarray(0, Math.max(0, headBytes)).toString('latin1')
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0)
  return { status, location: /^location: (.*)$/im.exec(text)?.[1]?.trim(), bodyBytes }
}

async function write(socket: Socket, pieces: Iterable<Buffer>): Promise<void> {
  for (const piece of pieces) {
    if (!socket.write(piece)) await once(socket, 'drain')
  }
}
