import type express from 'express'

/** The least that a sender has to send. */
export interface BodyRate {
  /** 0 for no limit. */
  readonly bytesPerSecond: number
  /** How long a sender has to send that much for each second of it. */
  readonly windowMs: number
}

const tickMs = 250

/**
 * Cuts off senders of bodies that trickle: within every window of time in which we wait for a sender, the window's share
 * of bytes has to arrive. Time in which the sender waits for us, because the cluster is slow, does not count.
 */
export function bodyRate({ bytesPerSecond, windowMs }: BodyRate): express.RequestHandler {
  return (request, response, next) => {
    next()
    const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
    const hasBody = encoding !== undefined || Number(length ?? 0) > 0
    if (bytesPerSecond === 0 || !hasBody) return
    const neededBytes = (bytesPerSecond * windowMs) / 1000
    const { socket } = request
    let waitedMs = 0
    let bytesAtStart = socket.bytesRead
    const timer = setInterval(() => {
      if (request.readableEnded || request.destroyed) {
        clearInterval(timer)
        return
      }
      if (isWaitingForUs(request)) return
      waitedMs += tickMs
      if (waitedMs < windowMs) return
      if (socket.bytesRead - bytesAtStart < neededBytes) {
        clearInterval(timer)
        refuse(request, response, { bytesPerSecond, windowMs })
      }
      waitedMs = 0
      bytesAtStart = socket.bytesRead
    }, tickMs)
    timer.unref()
    response.once('close', () => {
      clearInterval(timer)
    })
  }
}

/** Bytes lie here that nobody has taken, or nobody asks for any yet. */
function isWaitingForUs(request: express.Request): boolean {
  return request.readableLength > 0 || request.readableFlowing === false || !isRead(request)
}

/** Whether a handler has begun to read the body: as stream, by listener or by iteration. */
function isRead(request: express.Request): boolean {
  return request.readableFlowing !== null || request.listenerCount('readable') > 0
}

/** Answers on the connection itself: what reads the body learns that it ends too early. */
function refuse(
  request: express.Request,
  response: express.Response,
  { bytesPerSecond, windowMs }: BodyRate,
): void {
  if (!response.headersSent) {
    const seconds = windowMs / 1000
    const message = `The body came with fewer than ${bytesPerSecond} bytes a second for ${seconds} s`
    const text = JSON.stringify({ error: { code: 'TIMED_OUT', message } })
    request.socket.write(
      [
        'HTTP/1.1 408 Request Timeout',
        'Connection: close',
        'Content-Type: application/json; charset=utf-8',
        `Content-Length: ${Buffer.byteLength(text)}`,
        '',
        text,
      ].join('\r\n'),
    )
  }
  request.destroy()
}
