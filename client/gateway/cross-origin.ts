import type express from 'express'
import { DfsError } from '../../protocol/errors.ts'
import { HttpError } from './http-error.ts'
import { isSameHost } from './token-cookie.ts'

/** Headers of ours that a page of another origin may read. */
const exposedHeaders = [
  ...['Accept-Ranges', 'Content-Disposition', 'Content-Range', 'ETag', 'Location', 'Retry-After'],
  ...['Tus-Extension', 'Tus-Max-Size', 'Tus-Resumable', 'Tus-Version', 'Tus-Checksum-Algorithm'],
  ...['Upload-Expires', 'Upload-Length', 'Upload-Metadata', 'Upload-Offset'],
  ...['WWW-Authenticate', 'X-Request-Id'],
].join(', ')

/** Headers that such a page may send. */
const takenHeaders = [
  ...['Authorization', 'Content-Digest', 'Content-Type', 'X-Checksum-SHA256', 'X-Request-Id'],
  ...['If-Match', 'If-Modified-Since', 'If-None-Match', 'If-Range', 'If-Unmodified-Since', 'Range'],
  ...['Tus-Resumable', 'Upload-Checksum', 'Upload-Length', 'Upload-Metadata', 'Upload-Offset'],
].join(', ')

const methods = 'GET, HEAD, PUT, POST, PATCH, DELETE'
/** How long a browser may remember a preflight's answer. */
const preflightSeconds = 600

/**
 * The origins of a setting, separated by commas.
 *
 * @throws {@link DfsError} INVALID_ARGUMENT for what is no origin; `*` is none: it would give every page on the web what
 * this machine may do
 */
export function originsOf(text: string): readonly string[] {
  const origins = text.split(',').map((origin) => origin.trim())
  const given = origins.filter((origin) => origin !== '')
  for (const origin of given) {
    const url = URL.canParse(origin) ? new URL(origin) : undefined
    if (url?.origin === origin && /^https?:$/.test(url.protocol)) continue
    const text = `Cannot let pages of "${origin}" in: need an origin such as https://app.example:8443`
    throw new DfsError('INVALID_ARGUMENT', text)
  }
  return given
}

/**
 * Lets pages of some other origins use the gateway, and no others change anything: the gateway trusts whoever reaches its
 * address while there are no tokens, and a browser on this machine reaches loopback on behalf of any page.
 */
export function crossOrigin(origins: readonly string[]): express.RequestHandler {
  const known = new Set(origins)
  return (request, response, next) => {
    const { origin, host } = request.headers
    if (known.size > 0) response.vary('Origin')
    if (origin === undefined || isSameHost(origin, host)) {
      next()
      return
    }
    if (known.has(origin)) {
      response.set('Access-Control-Allow-Origin', origin)
      response.set('Access-Control-Expose-Headers', exposedHeaders)
      if (request.method === 'OPTIONS' && 'access-control-request-method' in request.headers) {
        answerPreflight(response)
        return
      }
      next()
      return
    }
    if (['GET', 'HEAD', 'OPTIONS'].includes(request.method)) {
      next()
      return
    }
    throw new HttpError(403, 'PERMISSION_DENIED', `Requests from pages of ${origin} are refused`)
  }
}

function answerPreflight(response: express.Response): void {
  response
    .set('Access-Control-Allow-Methods', methods)
    .set('Access-Control-Allow-Headers', takenHeaders)
    .set('Access-Control-Max-Age', String(preflightSeconds))
    .status(204)
    .end()
}
