/**
 * The bearer token of the operators' page, in a cookie: a browser sends it with downloads and event streams too, which
 * cannot have headers of the page's, and no script can read it. What a cookie brings along is dealt with here:
 *
 * 1. Other sites' pages cannot use it: `SameSite=Strict`, and it counts only in requests of the page's own origin. Sites
 *    leave out the port, origins do not, so that a page on another port of this machine is refused too.
 * 2. Another gateway on the same host does not overwrite it: the port is in its name.
 * 3. It ends with the browser, and with the token: the text is verified with every request.
 */
import type { IncomingMessage } from 'node:http'

/** The token that the page of this gateway signed in with; nothing in requests that others made a browser send. */
export function cookieToken(request: IncomingMessage): string | undefined {
  if (!isOfOwnPage(request)) return undefined
  const name = nameOf(request)
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const [key = '', value = ''] = pair.trim().split('=', 2)
    if (key === name && value !== '') return value
  }
  return undefined
}

/** `Set-Cookie` that keeps a verified token, or forgets it. */
export function tokenCookie(request: IncomingMessage, text: string | undefined): string {
  const isEncrypted = request.headers['x-forwarded-proto'] === 'https'
  return [
    `${nameOf(request)}=${text ?? ''}`,
    'Path=/',
    'HttpOnly',
    'SameSite=Strict',
    ...(isEncrypted ? ['Secure'] : []),
    ...(text === undefined ? ['Max-Age=0'] : []),
  ].join('; ')
}

/** Whether the host of an `Origin` is the one that a request was sent to. */
export function isSameHost(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host
}

function nameOf({ socket }: IncomingMessage): string {
  return `trefoil-token-${socket.localPort ?? 0}`
}

/** Browsers say where a request comes from as `Sec-Fetch-Site` (not to plain HTTP beyond loopback) and, for changes, as `Origin`. */
function isOfOwnPage({ headers, method }: IncomingMessage): boolean {
  const { origin, host, 'sec-fetch-site': site } = headers
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false
  if (origin !== undefined) return isSameHost(origin, host)
  return site === 'same-origin' || method === 'GET' || method === 'HEAD'
}
