import { HttpError } from '../http-error.ts'

/** Longest path, as in HDFS (HdfsServerConstants.MAX_PATH_LENGTH). */
const pathLengthMax = 8000

/**
 * Turns the encoded path of a URL below the face into a path of the cluster. Nothing is repaired: a path that would
 * have to be is refused, so that what was authorised, what is logged and what the namenode sees are the same.
 *
 * @param encoded as sent, starting with `/`; one slash at the end is allowed
 * @throws {@link HttpError} 400 for bad escapes, empty, `.` and `..` components, slashes and control characters in them; 414
 */
export function pathOfUrl(encoded: string): string {
  const trimmed = encoded.replace(/^\//, '').replace(/\/$/, '')
  if (trimmed === '') return '/'
  const path = `/${trimmed.split('/').map(decodeComponent).join('/')}`
  if (path.length > pathLengthMax) {
    throw new HttpError(414, 'INVALID_PATH', `Paths have at most ${pathLengthMax} characters`)
  }
  return path
}

function decodeComponent(encoded: string): string {
  let name: string
  try {
    name = decodeURIComponent(encoded)
  } catch {
    throw refusal(encoded, 'it is not percent-encoded UTF-8')
  }
  const reason = whyNoName(name)
  if (reason !== undefined) throw refusal(encoded, reason)
  return name
}

/** Why a name cannot be a component of a path, or `undefined` if it can. */
export function whyNoName(name: string): string | undefined {
  if (name === '') return 'it is empty'
  if (name === '.' || name === '..') return 'paths do not climb here'
  if (name.includes('/')) return 'a name has no slash'
  if (/\p{Cc}/u.test(name)) return 'a name has no control characters'
  if (Buffer.byteLength(name) > 255) return 'a name has at most 255 bytes'
  return undefined
}

/** The URL path of a file below the face. */
export function urlOfPath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

function refusal(component: string, reason: string): HttpError {
  const shown = component.length > 60 ? `${component.slice(0, 60)}…` : component
  return new HttpError(400, 'INVALID_PATH', `Cannot use "${shown}" in a path: ${reason}`)
}
