import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type express from 'express'

/**
 * Sends a stream as the body. An error before its first byte is thrown while the answer can still become an error's; a
 * later one cuts the connection, so that nobody takes a part for the whole.
 */
export async function sendStream(source: Readable, response: express.Response): Promise<void> {
  const abort = new AbortController()
  const giveUp = (): void => {
    abort.abort()
  }
  response.once('close', giveUp)
  try {
    if (response.closed) giveUp()
    await once(source, 'readable', { signal: abort.signal })
  } catch (error) {
    source.destroy()
    throw error
  } finally {
    response.off('close', giveUp)
  }
  await pipeline(source, response)
}
