/** getOpenFile: who writes a file, for whoever knows its inode alone. */
import type { Context } from '../context.ts'
import { answer, type Plan } from '../outcome.ts'
import type { OpenFileView, Request } from '../requests.ts'
import { livingPath } from '../resolve.ts'

/** Nothing when the file is closed or deleted meanwhile. */
export function getOpenFile(
  { rows }: Context,
  { inode }: Request & { readonly kind: 'getOpenFile' },
): Plan<OpenFileView | undefined> {
  const file = rows.inode(inode)
  if (file?.lease === undefined) return answer(undefined)
  const path = livingPath(rows, file)
  return answer(path === undefined ? undefined : { path, ...file.lease })
}
