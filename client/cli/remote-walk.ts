import type { LocatedFileStatus } from '../index.ts'
import { isMissing } from './failures.ts'
import type { FileSystem } from './file-system.ts'

/**
 * Everything at and below `path` with the locations of its blocks, parents before what is in them. What goes
 * away meanwhile is not visited.
 *
 * @throws DfsFsError ENOENT when there is nothing at `path`
 */
export async function* walkLocated(
  fs: FileSystem,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<LocatedFileStatus, void, undefined> {
  const pending = [await fs.statWithLocations(path, { signal })]
  for (let status = pending.pop(); status !== undefined; status = pending.pop()) {
    yield status
    if (!status.isDirectory()) continue
    const directories: LocatedFileStatus[] = []
    try {
      for await (const child of fs.listWithLocations(status.path, { signal })) {
        if (child.isDirectory()) directories.push(child)
        else yield child
      }
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    pending.push(...directories.reverse())
  }
}
