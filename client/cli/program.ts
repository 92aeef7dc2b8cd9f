import { realpathSync } from 'node:fs'
import { delimiter, join, relative } from 'node:path'
import type { CommandIo } from './command.ts'

/** Path of the program that runs, for starting more of it. */
export function programPath(): string {
  return realpathSync(process.argv[1] ?? '')
}

/** How a person at this place calls the program: `dfs` when the search path leads to it, else its path. */
export function programName({ env, cwd }: CommandIo): string {
  const path = programPath()
  for (const directory of (env['PATH'] ?? '').split(delimiter)) {
    try {
      if (directory !== '' && realpathSync(join(directory, 'dfs')) === path) return 'dfs'
    } catch {
      // No `dfs` in this directory.
    }
  }
  const fromHere = relative(cwd, path)
  return fromHere.startsWith('..') ? path : fromHere
}
