/**
 * `fs.protected.directories`: directories that nobody deletes or renames while there is something in them,
 * nor any directory above them, whoever asks (HDFS: DFSUtil.checkProtectedDescendants). They are compared
 * by inode, so no other spelling of a path gets around it.
 */
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { InodeRow } from './changes.ts'
import type { Context } from './context.ts'
import { checkedPath } from './paths.ts'
import type { Caller } from './requests.ts'
import { resolve } from './resolve.ts'

/** Who looks: a caller's rights must not decide whether a directory counts as protected. */
const namenodeCaller: Caller = { user: '', groups: [], isSuperuser: true, host: '' }

/**
 * Reads the setting.
 * @throws {@link DfsError} INVALID_ARGUMENT for a path that no directory can have.
 */
export function parseProtected(setting: string): readonly string[] {
  const paths = setting.split(',').map((path) => path.trim())
  return paths
    .filter((path) => path !== '')
    .map((path) => {
      try {
        return checkedPath(path)
      } catch (error) {
        throw new DfsError(
          'INVALID_ARGUMENT',
          `Setting fs.protected.directories names "${path}", which is not an absolute path`,
          { cause: error },
        )
      }
    })
}

/** @throws {@link DfsError} PERMISSION_DENIED when `subject` is, or has below it, a protected directory in use. */
export function requireUnprotected(context: Context, subject: InodeRow): void {
  if (subject.kind !== 'directory') return
  for (const path of context.protectedDirectories) {
    const walk = rowsOnTheWay(context, path)
    if ((walk.at(-1)?.childCount ?? 0) === 0) continue
    if (!walk.some(({ id }) => id === subject.id)) continue
    throw new DfsError(
      'PERMISSION_DENIED',
      `Cannot delete/rename non-empty protected directory ${path}`,
      { path },
    )
  }
}

/** Rows from the root to what is at `path`; none when nothing is. */
function rowsOnTheWay(context: Context, path: string): readonly InodeRow[] {
  try {
    const { ancestors, last } = resolve({ ...context, caller: namenodeCaller }, path)
    return last === undefined ? [] : [...ancestors, last]
  } catch (error) {
    if (isDfsError(error, 'NOT_A_DIRECTORY')) return []
    throw error
  }
}
