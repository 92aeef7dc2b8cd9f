import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A build of the project to measure. */
export interface Build {
  readonly name: 'before' | 'after' | 'this'
  /** What runs as `dfs`. */
  readonly entry: string
  /** The directory of its compiled files. */
  readonly root: string
}

const thisRoot = join(dirname(fileURLToPath(import.meta.url)), '../..')

/**
 * The builds named by `--before` and `--after`, each a directory that was built (or its `dist`), in the order in which they
 * take turns; without them the build this file belongs to. One without the other is compared with this build.
 */
export function buildsOf(values: {
  before?: string | undefined
  after?: string | undefined
}): Build[] {
  if (values.before === undefined && values.after === undefined) return [buildAt('this', thisRoot)]
  return [buildAt('before', values.before ?? thisRoot), buildAt('after', values.after ?? thisRoot)]
}

function buildAt(name: Build['name'], directory: string): Build {
  const root = existsSync(join(directory, 'dist')) ? join(directory, 'dist') : directory
  const entries = [join(root, 'bin/dfs.js'), join(root, 'client/cli/main.js')]
  const entry = entries.find((path) => existsSync(path))
  if (entry !== undefined) return { name, entry, root }
  throw new Error(
    `Cannot measure "${directory}": it has no ${entries.join(' and no ')}; build it first`,
  )
}
