import { DfsError } from '../../protocol/errors.ts'
import { type Settings, withSettings } from '../../protocol/settings.ts'
import type { CommandContext } from './command.ts'
import { loadSettings } from './configuration.ts'
import { CommandError } from './failures.ts'

/** What a role's main.ts hands back. */
export interface RunningDaemon {
  readonly addresses: Readonly<Record<string, string>>
  /** Resolves when it wants to end by itself. */
  readonly ended?: Promise<void>
  stop(): Promise<void>
  /** Resolves when it cannot go on. */
  readonly failure?: Promise<Error>
}

/** All settings: defaults, configuration file, --set, then `overrides`. */
export async function completeSettings(
  context: CommandContext,
  overrides: Partial<Settings>,
): Promise<Settings> {
  const given = await loadSettings(context.global, context.io.cwd)
  return withSettings({ ...given, ...overrides })
}

/**
 * Runs a daemon until a signal, or, with `exitsWithParent`, until the launcher at the other end of the IPC
 * channel is gone. A launcher is told the addresses; a person reads them on stderr.
 */
export async function serve(
  context: CommandContext,
  exitsWithParent: boolean,
  start: () => Promise<RunningDaemon>,
): Promise<void> {
  context.io.keepUntilDone()
  // Stacks in the log then name our files, not the bundle's chunks.
  process.setSourceMapsEnabled(true)
  if (exitsWithParent && process.send === undefined) {
    throw new CommandError('--exit-with-parent is for `dfs up`: there is no launcher to watch')
  }
  const ended = new Promise<void>((resolve) => {
    const { signal } = context
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => {
      resolve()
    })
    if (exitsWithParent) process.once('disconnect', resolve)
  })
  const daemon = await start().catch(asCommandError)
  if (process.send !== undefined && process.connected) {
    process.send({ kind: 'ready', addresses: daemon.addresses })
    if (!exitsWithParent) process.channel?.unref()
  } else {
    const addresses = Object.entries(daemon.addresses).map(
      ([name, address]) => `${name} ${address}`,
    )
    context.note(`serving on ${addresses.join(', ')}`)
  }
  const ends = [daemon.ended, daemon.failure].filter((end) => end !== undefined)
  const failure = await Promise.race([ended, ...ends])
  await daemon.stop()
  if (failure instanceof Error) throw new CommandError(failure.message)
}

/** A refusal to start is no bug of ours: its message says everything, a stack nothing. */
function asCommandError(error: unknown): never {
  if (error instanceof DfsError && error.code !== 'INTERNAL') throw new CommandError(error.message)
  throw error
}
