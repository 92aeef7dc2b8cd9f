import { resolve } from 'node:path'
import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { value } from '../options.ts'
import { serve } from '../serve.ts'

const drivers = ['kernel', 'fuse-native'] as const

export const command = defineCommand({
  name: 'mount',
  usage: 'mount [--driver kernel|fuse-native] DIR',
  description:
    'Makes the cluster a directory of this machine until SIGINT or SIGTERM. Files are read and written anywhere, through ' +
    'a local copy that close() and fsync() bring to the cluster, on disk on every replica. Root on Linux gets the kernel ' +
    'driver: for all users, each acting as himself. Everybody else gets libfuse 2 (Debian: fuse, libfuse2), for himself ' +
    'alone.',
  examples: ['mkdir /tmp/cluster && dfs mount /tmp/cluster'],
  options: { driver: value('driver', 'NAME', 'kernel or fuse-native, instead of the better one') },
  async run(context, options, operands) {
    const [directory, ...others] = operands
    if (directory === undefined || others.length > 0) throw new UsageError('Give one directory')
    const driver = drivers.find((name) => name === options.driver)
    if (options.driver !== undefined && driver === undefined) {
      throw new UsageError(`--driver is ${drivers.join(' or ')}, not "${options.driver}"`)
    }
    const uri = await context.session.uri()
    const { user } = context.global
    const absolute = resolve(context.io.cwd, directory)
    const { runMount } = await import('../../../fuse/main.ts')
    await serve(context, false, async () => {
      const mount = await runMount({
        uri,
        directory: absolute,
        ...(user === undefined ? {} : { user }),
        ...(driver === undefined ? {} : { driver }),
      })
      const { ended } = mount
      return {
        addresses: { mount: absolute, driver: mount.driver },
        ...(ended === undefined ? {} : { ended }),
        stop: () => mount.stop(),
      }
    })
  },
})
