/** Which cluster and which settings a command line means. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Settings, settings as settingTable } from '../../protocol/settings.ts'
import type { GlobalOptions } from './command.ts'
import { CommandError, UsageError } from './failures.ts'

/** Looked for in the working directory when --config is not given. */
export const defaultConfigFile = 'trefoil.json'

export interface Configuration {
  readonly uri: string
  /** Only what differs from the defaults. */
  readonly settings: Partial<Settings>
}

/**
 * Settings of the configuration file, then those of --set. The file's reader is loaded only when there is
 * a file, because most commands on most machines have none.
 *
 * @throws {@link UsageError} when a --set cannot be used, CommandError when the file cannot
 */
export async function loadSettings(global: GlobalOptions, cwd: string): Promise<Partial<Settings>> {
  const file = resolve(cwd, global.config ?? defaultConfigFile)
  const isPresent = global.config !== undefined || existsSync(file)
  if (!isPresent && global.set.length === 0) return {}
  const { loadOverrides } = await import('../../transport/config-file.ts')
  try {
    return await loadOverrides({ file: isPresent ? file : undefined, assignments: global.set })
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'DfsError') throw error
    const problem = `${error.message}; \`dfs help settings\` lists the settings`
    throw error.message.startsWith('--set')
      ? new UsageError(error.message)
      : new CommandError(problem)
  }
}

/** --fs, else DFS_URI, else the settings, else this machine. */
export async function loadConfiguration(
  global: GlobalOptions,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<Configuration> {
  const settings = await loadSettings(global, cwd)
  const uri =
    global.fs ?? env['DFS_URI'] ?? settings['fs.defaultFS'] ?? settingTable['fs.defaultFS'].default
  return { uri, settings }
}
