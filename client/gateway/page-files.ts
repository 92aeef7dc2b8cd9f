import { fileURLToPath } from 'node:url'
import express from 'express'

/** Where the build puts the page: the compiled tree and the bundle's chunks are equally far from it. */
const builtPage = fileURLToPath(new URL('../../page/', import.meta.url))

/** Only what we serve runs and is loaded; nothing inline, no frames, no other site. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "media-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const yearSeconds = 31_536_000

/** Serves the page at `/`: its document always fresh, what has a hash in its name for a year. */
export function pageFiles(directory = builtPage): express.Router {
  const router = express.Router()
  const headers = (response: express.Response): void => {
    response.set({
      'Content-Security-Policy': contentSecurityPolicy,
      'Referrer-Policy': 'no-referrer',
    })
  }
  router.use(
    '/assets',
    express.static(`${directory}assets`, {
      immutable: true,
      maxAge: yearSeconds * 1000,
      index: false,
      redirect: false,
      setHeaders: headers,
    }),
  )
  router.get('/', (_request, response, next) => {
    headers(response)
    response.set('Cache-Control', 'no-cache')
    response.sendFile('index.html', { root: directory, cacheControl: false }, (error: unknown) => {
      if (error !== undefined && !response.headersSent) next(error)
    })
  })
  return router
}
