/**
 * Layout versions of files on disk. Each kind of file counts its own, from 1; a program writes the newest
 * and reads a range, and refuses everything else by name, in both directions: it never guesses.
 */
import { DfsError } from './errors.ts'

/** Versions of one kind of file that this program reads; it writes the newest. */
export interface LayoutRange {
  readonly oldest: number
  readonly newest: number
}

/**
 * Refuses a file whose layout this program does not know.
 * @param what kind of file, as a sentence begins with it
 * @throws {@link DfsError} UNSUPPORTED_LAYOUT, saying which program is needed.
 */
export function checkLayout(
  what: string,
  path: string,
  found: number,
  { oldest, newest }: LayoutRange,
): void {
  if (found >= oldest && found <= newest) return
  const reads = oldest === newest ? `version ${newest}` : `versions ${oldest} to ${newest}`
  const advice =
    found > newest
      ? 'a newer version of the program wrote it, and the directory must be used with that one'
      : `it is too old, or no layout at all; a program that reads version ${found} must bring it up to date`
  throw new DfsError(
    'UNSUPPORTED_LAYOUT',
    `${what} "${path}" has layout version ${found}, this program reads ${reads}: ${advice}`,
    { path },
  )
}
