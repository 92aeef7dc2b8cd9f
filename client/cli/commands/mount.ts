import { resolve } from 'node:path'
import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { serve } from '../serve.ts'

export const command = defineCommand({
  name: 'mount',
  usage: 'mount DIR',
  description:
    'Makes the cluster a directory of this machine until SIGINT or SIGTERM, for the user who runs it, through ' +
    'libfuse 2 (Debian: fuse, libfuse2). Files are read at any offset and written from start to end: writing ' +
    'elsewhere, and opening a file that has content without truncating it, fail with "Operation not supported". ' +
    'close() and fsync() mean on disk on every replica.',
  examples: ['mkdir /tmp/cluster && dfs mount /tmp/cluster'],
  options: {},
  async run(context, _options, operands) {
    const [directory, ...others] = operands
    if (directory === undefined || others.length > 0) throw new UsageError('Give one directory')
    const uri = await context.session.uri()
    const absolute = resolve(context.io.cwd, directory)
    const { runMount } = await import('../../../fuse/main.ts')
    await serve(context, false, async () => {
      const mount = await runMount({ uri, directory: absolute })
      return { addresses: { mount: absolute }, stop: () => mount.stop() }
    })
  },
})
