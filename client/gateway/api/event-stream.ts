import type express from 'express'
import { HttpError } from '../http-error.ts'
import type { ClusterWatch, WatchEvent } from './watch.ts'

/** Open streams at most; each costs a connection and, when its client is slow, one snapshot. */
export const streamsMax = 100

/** Times of a stream. */
export interface StreamTimes {
  /** A comment at that pace keeps proxies and the client from giving up. */
  readonly heartbeatMs: number
  /** A client that takes nothing for that long is cut. */
  readonly stalledMs: number
}

/**
 * Server-sent events of a {@link ClusterWatch}. A client that is slower than the news gets none while its connection is
 * full, and then everything as it is: nothing is queued for it.
 */
export class EventStreams {
  readonly #watch: ClusterWatch
  readonly #times: StreamTimes
  #open = 0

  constructor(watch: ClusterWatch, times: StreamTimes) {
    this.#watch = watch
    this.#times = times
  }

  /**
   * Turns the answer into a stream that lasts until the client leaves or may not have it any more.
   *
   * @param verify asked with each heartbeat; ends the stream by throwing an {@link HttpError} below 500
   */
  send(response: express.Response, verify: () => Promise<void>): void {
    if (this.#open >= streamsMax) {
      const text = `${streamsMax} pages follow this gateway already`
      throw new HttpError(503, 'BUSY', text, { 'Retry-After': '10' })
    }
    this.#open += 1
    response.status(200).set({
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    })
    const stop = follow(this.#watch, response, this.#times, verify)
    response.once('close', () => {
      this.#open -= 1
      stop()
    })
  }
}

function follow(
  watch: ClusterWatch,
  response: express.Response,
  times: StreamTimes,
  verify: () => Promise<void>,
): () => void {
  let isFull = false
  let hasMissed = false
  let stalled: NodeJS.Timeout | undefined
  const write = (text: string): void => {
    isFull = !response.write(text)
    if (isFull) stalled ??= setTimeout(() => response.destroy(), times.stalledMs)
  }
  const tell = (events: readonly WatchEvent[]): void => {
    if (isFull) hasMissed = true
    else write(events.map(({ name, text }) => `event: ${name}\ndata: ${text}\n\n`).join(''))
  }
  response.on('drain', () => {
    isFull = false
    clearTimeout(stalled)
    stalled = undefined
    if (hasMissed) tell(watch.snapshot())
    hasMissed = false
  })
  write('retry: 2000\n\n')
  tell(watch.snapshot())
  const unsubscribe = watch.subscribe(tell)
  const beat = async (): Promise<void> => {
    try {
      await verify()
    } catch (error) {
      // Its token was revoked or has expired. When tokens cannot be read for a while the stream goes on.
      if (error instanceof HttpError && error.status < 500) response.end()
    }
    if (!isFull && !response.writableEnded) write(': alive\n\n')
  }
  const heartbeat = setInterval(() => void beat(), times.heartbeatMs)
  return () => {
    clearInterval(heartbeat)
    clearTimeout(stalled)
    unsubscribe()
  }
}
