import type { IncomingHttpHeaders } from 'node:http'
import type { FileStatus } from '../../index.ts'

/** What the conditions of a request say about the file as it is. */
export type Verdict = 'go-on' | 'not-modified' | 'failed'

/**
 * Strong entity tag of a file: inode id, modification time and length. A file in the place of another has another
 * inode, an append another length.
 */
export function entityTag({ inode, mtimeMs, size }: FileStatus): string {
  return `"${inode.toString(36)}-${mtimeMs.toString(36)}-${size.toString(36)}"`
}

/**
 * Evaluates the conditions of a request in the order of RFC 9110 §13.2.2.
 *
 * @param status the file, `undefined` when there is none
 */
export function evaluateConditions(
  headers: IncomingHttpHeaders,
  method: string,
  status: FileStatus | undefined,
): Verdict {
  const isReading = method === 'GET' || method === 'HEAD'
  const ifMatch = headers['if-match']
  const ifUnmodifiedSince = timeOf(headers['if-unmodified-since'])
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, status, 'strong')) return 'failed'
  } else if (ifUnmodifiedSince !== undefined && status !== undefined) {
    if (wholeSeconds(status) > ifUnmodifiedSince) return 'failed'
  }
  const ifNoneMatch = headers['if-none-match']
  const ifModifiedSince = timeOf(headers['if-modified-since'])
  if (ifNoneMatch !== undefined) {
    if (matches(ifNoneMatch, status, 'weak')) return isReading ? 'not-modified' : 'failed'
  } else if (isReading && ifModifiedSince !== undefined && status !== undefined) {
    if (wholeSeconds(status) <= ifModifiedSince) return 'not-modified'
  }
  return 'go-on'
}

/** Whether a `Range` counts: without `If-Range`, or when that names the file as it is (RFC 9110 §13.1.5). */
export function isRangeCurrent(ifRange: string | undefined, status: FileStatus): boolean {
  if (ifRange === undefined) return true
  if (ifRange.startsWith('"') || ifRange.startsWith('W/')) return ifRange === entityTag(status)
  return timeOf(ifRange) === wholeSeconds(status)
}

function matches(
  header: string,
  status: FileStatus | undefined,
  comparison: 'strong' | 'weak',
): boolean {
  if (status === undefined) return false
  if (header.trim() === '*') return true
  const tag = entityTag(status)
  return Array.from(header.matchAll(/(W\/)?("[^"]*")/g)).some(
    ([, weak, opaque]) => opaque === tag && (weak === undefined || comparison === 'weak'),
  )
}

/** HTTP's dates have no milliseconds. */
function wholeSeconds({ mtimeMs }: FileStatus): number {
  return Math.floor(mtimeMs / 1000) * 1000
}

/** A date that cannot be read counts as absent. */
function timeOf(date: string | undefined): number | undefined {
  const time = Date.parse(date ?? '')
  return Number.isNaN(time) ? undefined : time
}
