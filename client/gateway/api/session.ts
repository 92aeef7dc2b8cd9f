import type express from 'express'
import type { Authentication } from '../authentication.ts'
import { HttpError } from '../http-error.ts'
import { cookieToken, tokenCookie } from '../token-cookie.ts'
import type { TokenGrant } from '../tokens.ts'
import type { SessionCaller, SessionView } from './views.ts'

/** Adds `session`: who a browser is for the gateway. Asking is never refused, so that the page knows when to ask for a token. */
export function addSession(router: express.Router, authentication: Authentication): void {
  router
    .route('/session')
    .get(async (request, response) => {
      response.set('Cache-Control', 'no-store').json(await sessionOf(authentication, request))
    })
    .post(async (request, response) => {
      const text = tokenOf(request.body as unknown)
      const grant = await authentication.verify(text)
      const view: SessionView = { caller: callerView(grant), isSignedIn: true, refusal: null }
      response.set('Cache-Control', 'no-store')
      response.set('Set-Cookie', tokenCookie(request, text)).json(view)
    })
    .delete((request, response) => {
      response.set('Set-Cookie', tokenCookie(request, undefined)).status(204).end()
    })
}

async function sessionOf(
  authentication: Authentication,
  request: express.Request,
): Promise<SessionView> {
  try {
    const { user, grant } = await authentication.identify(request, { isOfPage: true })
    const everything = { user, paths: ['/'], right: 'write', expiresAtMs: null } as const
    return {
      caller: callerView(grant ?? everything),
      isSignedIn: grant !== undefined,
      refusal: null,
    }
  } catch (error) {
    if (!(error instanceof HttpError) || error.status !== 401) throw error
    const refusal = cookieToken(request) === undefined ? null : error.message
    return { caller: null, isSignedIn: false, refusal }
  }
}

function callerView({ user, paths, right, expiresAtMs }: TokenGrant): SessionCaller {
  return { user, paths, right, expiresAtMs }
}

/** Spaces around a token come from copying it out of a terminal. */
function tokenOf(body: unknown): string {
  const { token } = (body ?? {}) as Readonly<Record<string, unknown>>
  if (typeof token === 'string' && token.trim() !== '') return token.trim()
  throw new HttpError(400, 'INVALID_ARGUMENT', '"token" must be the text of a token')
}
