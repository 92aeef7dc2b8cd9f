import type { IncomingMessage, ServerResponse } from 'node:http'
import { DfsError } from '../../protocol/errors.ts'
import type { DfsClient } from '../index.ts'
import type { Clients } from './clients.ts'
import { HttpError } from './http-error.ts'
import { KnownTokens } from './known-tokens.ts'
import { cookieToken } from './token-cookie.ts'
import { idOf, isTextOf, type Token, type TokenGrant, TokenStore } from './tokens.ts'

/** What a caller wants to do with a path. */
export type Right = 'read' | 'write'

/** Who sent a request, and what the request may touch. Every face asks before it calls the SDK. */
export interface Caller {
  readonly user: string
  /** Acts as {@link user}; open until the answer is over. */
  readonly client: DfsClient
  /** What the caller's token allows; absent while there are no tokens, when everything is allowed. */
  readonly grant: TokenGrant | undefined
  /** Keeps {@link client} open until the function that is returned is called: for work that outlasts the answer. */
  readonly hold: () => () => void
  /** Whether the caller's token covers an absolute, normalized path; the namenode checks permissions beside that. */
  allows(path: string, right: Right): boolean
  /** @throws {@link HttpError} 403 unless {@link allows} */
  require(path: string, right: Right): void
}

/** A request as a server hands it to a handler, with its answer. */
export type ServedRequest = IncomingMessage & { readonly res?: ServerResponse | undefined }

/** Users' names as HDFS allows them in `user.name`. */
const userPattern = /^[A-Za-z_][A-Za-z0-9._-]{0,63}\$?$/

/** Nobody reaches the gateway's own files through it, whatever else the caller may do. */
const ownDirectory = '/.trefoil'

/**
 * Decides who sends a request; the one place for all faces. As soon as one token exists, every request needs one. While
 * there is none, only this machine is served, and callers are who they say they are.
 */
export class Authentication {
  readonly #clients: Clients
  readonly #host: string
  readonly #tokens: KnownTokens

  /** @param host the address that the gateway listens on */
  constructor(clients: Clients, host: string) {
    this.#clients = clients
    this.#host = host
    this.#tokens = new KnownTokens(new TokenStore(clients.own))
  }

  /** @throws {@link DfsError} PERMISSION_DENIED when the address is more than loopback and there are no tokens yet */
  async requireSafeAddress(): Promise<void> {
    if (isLoopback(this.#host) || (await this.#known()).size > 0) return
    const text = `Cannot listen on "${this.#host}": without tokens anybody there could do anything`
    throw new DfsError('PERMISSION_DENIED', `${text}; make one with \`dfs token create\` first`)
  }

  /** @throws {@link HttpError} 503 when tokens cannot be read: then nobody is let in */
  async check(): Promise<void> {
    await this.#known()
  }

  /**
   * Names the caller of a request: the user of its bearer token; while there are no tokens `user.name`, HDFS's simple
   * authentication, else the user who runs the gateway.
   *
   * @throws {@link HttpError} 401 for a missing, unknown or expired token, 403 for another user's name, 400 for a name
   * that is none, 503 when tokens cannot be read
   *
   * @param isOfPage the face takes the cookie of the operators' page where there is no other token
   */
  async identify(request: ServedRequest, { isOfPage = false } = {}): Promise<Caller> {
    const query = new URLSearchParams(/\?(.*)$/.exec(request.url ?? '')?.[1])
    const named = query.get('user.name')
    if (named !== null && !userPattern.test(named)) {
      throw new HttpError(400, 'INVALID_ARGUMENT', `Cannot act as "${named}": that is no user name`)
    }
    const tokens = await this.#known()
    // A cookie that is left of former tokens must not lock a browser out.
    const takesCookie = isOfPage && tokens.size > 0
    const text = tokenText(request, query) ?? (takesCookie ? cookieToken(request) : undefined)
    if (tokens.size === 0 && text === undefined && isLoopback(this.#host)) {
      this.#refuseRebinding(request)
      const user = named ?? this.#clients.own.user
      return callerOf(request, this.#clients, user, undefined)
    }
    const token = verified(text, tokens)
    if (named !== null && named !== token.user) {
      const message = `The token is for ${token.user}: it cannot act as "${named}"`
      throw new HttpError(403, 'PERMISSION_DENIED', message)
    }
    return callerOf(request, this.#clients, token.user, token)
  }

  /** What a token allows. @throws {@link HttpError} 401 for one that is unknown or expired, 503 when tokens cannot be read */
  async verify(text: string): Promise<TokenGrant> {
    return verified(text, await this.#known())
  }

  async #known(): Promise<ReadonlyMap<string, Token | undefined>> {
    try {
      return await this.#tokens.all()
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      const message = `Cannot read the tokens of the cluster as ${this.#clients.own.user}: ${reason}`
      throw new HttpError(503, 'BUSY', message, { 'Retry-After': '1' })
    }
  }

  /**
   * A page whose name was made to point at this machine is of the same site for a browser; but it sends its own name.
   */
  #refuseRebinding(request: IncomingMessage): void {
    const host = (request.headers.host ?? this.#host).replace(/:\d+$/, '')
    if (isLoopback(host) || host === this.#host) return
    const message = `Cannot serve requests for "${host}" without tokens: use localhost`
    throw new HttpError(403, 'PERMISSION_DENIED', message)
  }
}

/** Whether an address or name is of this machine only. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host)
}

/** Whether a path is a directory or below it; a path that climbs is in none. */
export function isIn(path: string, directory: string): boolean {
  if (path.split('/').includes('..')) return false
  return directory === '/' || path === directory || path.startsWith(`${directory}/`)
}

/**
 * The token a request brings: as bearer, as the password of basic authentication for programs that know nothing else, or
 * as `delegation`, which is where HDFS's clients put theirs.
 */
function tokenText(request: IncomingMessage, query: URLSearchParams): string | undefined {
  const [, scheme = '', value = ''] =
    /^(\w+) +(\S+) *$/.exec(request.headers.authorization ?? '') ?? []
  if (scheme.toLowerCase() === 'bearer') return value
  if (scheme.toLowerCase() === 'basic') {
    return Buffer.from(value, 'base64')
      .toString()
      .replace(/^[^:]*:/, '')
  }
  return query.get('delegation') ?? undefined
}

function verified(text: string | undefined, tokens: ReadonlyMap<string, Token | undefined>): Token {
  if (text === undefined) throw unauthorized('A token is needed: Authorization: Bearer TOKEN')
  const token = tokens.get(idOf(text) ?? '')
  if (!isTextOf(text, token) || token === undefined) throw unauthorized('The token is not valid')
  if (token.expiresAtMs !== null && token.expiresAtMs <= Date.now()) {
    throw unauthorized('The token has expired')
  }
  return token
}

function unauthorized(message: string): HttpError {
  return new HttpError(401, 'UNAUTHORIZED', message, {
    'WWW-Authenticate': 'Bearer realm="trefoil"',
  })
}

/**
 * The caller of a request, whose client is held until the answer is over.
 *
 * @param grant what the caller may do, beside what the namenode allows; `undefined` for everything
 */
export function callerOf(
  request: ServedRequest,
  clients: Clients,
  user: string,
  grant: TokenGrant | undefined,
): Caller {
  const { client, release } = clients.hold(user)
  if (request.res?.closed === true) release()
  else request.res?.once('close', release)
  const allows = (path: string, right: Right): boolean =>
    !isIn(path, ownDirectory) && (grant === undefined || covers(grant, path, right))
  return {
    ...{ user, client, grant, allows },
    hold: () => clients.hold(user).release,
    require(path, right) {
      if (allows(path, right)) return
      throw new HttpError(403, 'PERMISSION_DENIED', `The caller may not ${right} "${path}" here`)
    },
  }
}

function covers({ paths, right: granted }: TokenGrant, path: string, right: Right): boolean {
  return paths.some((root) => isIn(path, root)) && (right === 'read' || granted === 'write')
}
