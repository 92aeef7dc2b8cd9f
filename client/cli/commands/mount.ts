import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import type { DriverName } from '../../../fuse/main.ts'
import { startDetached } from '../../../ops/cluster/detached.ts'
import { LaunchError } from '../../../ops/cluster/launch-error.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { installMountHelper } from '../mount-helper.ts'
import { parseMountOptions } from '../mount-options.ts'
import { flag, type OptionValues, value } from '../options.ts'
import { programPath } from '../program.ts'
import { waitUntilReachable } from '../reachability.ts'
import { serve } from '../serve.ts'

const drivers = ['kernel', 'fuse-native'] as const

const options = {
  driver: value('driver', 'NAME', 'kernel or fuse-native, instead of the better one'),
  mountOptions: value(
    'o',
    'OPTIONS',
    'ro, allow_other, uid=, gid=, cache-size=, attr_timeout=, entry_timeout=, noatime and the like',
  ),
  detach: flag('detach', 'return when it is mounted, and leave it running'),
  log: value('log', 'FILE', 'what it says when detached (default ~/.trefoil/logs/mount-….log)'),
  installHelper: flag('install-helper', 'make /sbin/mount.trefoil, for mount(8) and /etc/fstab'),
} as const

type MountCommandOptions = OptionValues<typeof options>

interface Place {
  readonly uri: string
  readonly directory: string
  readonly driver: DriverName | undefined
}

export const command = defineCommand({
  name: 'mount',
  usage: 'mount [OPTION...] [hdfs://HOST:PORT] DIR',
  description:
    'Makes the cluster a directory of this machine until SIGINT or SIGTERM, or until it is unmounted. Files are read and ' +
    'written anywhere, through a local copy that close() and fsync() bring to the cluster, on disk on every replica. Root ' +
    'on Linux gets the kernel driver: for all users, each acting as himself. Everybody else gets libfuse 2 (Debian: fuse, ' +
    'libfuse2), for himself alone. With --install-helper, `mount -t trefoil hdfs://HOST:PORT DIR` and lines of /etc/fstab ' +
    'with the type trefoil work, too (add _netdev there).',
  examples: [
    'mkdir /tmp/cluster && dfs mount /tmp/cluster',
    'dfs mount --detach -o ro,cache-size=256m hdfs://namenode:8020 /mnt/cluster',
  ],
  options,
  async run(context, options, operands) {
    if (options.installHelper) {
      if (operands.length > 0) throw new UsageError('Give no directory with --install-helper')
      context.out.line(installMountHelper(programPath()))
      return
    }
    const directory = operands.at(-1)
    if (directory === undefined || operands.length > 2) throw new UsageError('Give one directory')
    const driver = drivers.find((name) => name === options.driver)
    if (options.driver !== undefined && driver === undefined) {
      throw new UsageError(`--driver is ${drivers.join(' or ')}, not "${options.driver}"`)
    }
    parseMountOptions(options.mountOptions ?? '')
    const uri = operands.length === 2 ? operands[0] : undefined
    if (uri !== undefined && context.global.fs !== undefined)
      throw new UsageError('Name the cluster once: with --fs or before the directory')
    const place = {
      uri: uri ?? (await context.session.uri()),
      directory: resolve(context.io.cwd, directory),
      driver,
    }
    if (options.detach) await mountDetached(context, options, place)
    else await mountHere(context, options, place)
  },
})

async function mountHere(
  context: CommandContext,
  options: MountCommandOptions,
  { uri, directory, driver }: Place,
): Promise<void> {
  const { user } = context.global
  const { runMount } = await import('../../../fuse/main.ts')
  await waitUntilReachable(uri, context.io)
  await serve(context, false, async () => {
    const mount = await runMount({
      ...{ uri, directory, settings: parseMountOptions(options.mountOptions ?? '') },
      ...(user === undefined ? {} : { user }),
      ...(driver === undefined ? {} : { driver }),
    }).catch(asCommandError)
    return {
      addresses: { mount: directory, driver: mount.driver },
      ended: mount.ended,
      // Reported here: behind a signal an error counts as the interruption itself.
      stop: () =>
        mount.stop().catch((error: unknown) => {
          context.fail(error)
        }),
    }
  })
}

/** The same command once more, as a process of its own; returns when it has mounted. */
async function mountDetached(
  context: CommandContext,
  options: MountCommandOptions,
  { uri, directory, driver }: Place,
): Promise<void> {
  const { user, config, set } = context.global
  const { cwd } = context.io
  const given = (name: string, text: string | undefined): string[] =>
    text === undefined ? [] : [name, text]
  const file =
    options.log === undefined ? defaultLog(directory) : resolve(context.io.cwd, options.log)
  const args = [
    ...['mount', ...given('-o', options.mountOptions), ...given('--driver', driver)],
    ...given('--user', user),
    ...given('--config', config === undefined ? undefined : resolve(cwd, config)),
    ...set.flatMap((assignment) => ['--set', assignment]),
    ...[uri, directory],
  ]
  const what = 'the mount'
  const whenReady = (message: object): true | undefined =>
    'kind' in message && message.kind === 'ready' ? true : undefined
  try {
    await startDetached({ what, file, entry: programPath(), args, whenReady })
  } catch (error) {
    throw error instanceof LaunchError ? new CommandError(error.message) : error
  }
}

function defaultLog(directory: string): string {
  const logs = join(homedir(), '.trefoil', 'logs')
  mkdirSync(logs, { recursive: true })
  return join(logs, `mount${directory.replaceAll('/', '-')}.log`)
}

/** Drivers and mount(8) say what is wrong and what to do; a stack adds nothing. */
function asCommandError(error: unknown): never {
  if (error instanceof Error) throw new CommandError(error.message)
  throw error
}
