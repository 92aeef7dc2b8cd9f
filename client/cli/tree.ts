import type { FileStatus } from '../index.ts'
import type { FileSystem } from './file-system.ts'

/** `status` and everything below it, parents before what is in them. */
export async function* walkTree(
  fs: FileSystem,
  status: FileStatus,
  signal: AbortSignal,
): AsyncIterable<FileStatus> {
  yield status
  if (!status.isDirectory()) return
  for await (const child of fs.opendir(status.path, { signal })) yield* walkTree(fs, child, signal)
}
