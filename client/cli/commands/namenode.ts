import { resolve } from 'node:path'
import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag, value } from '../options.ts'
import { completeSettings, serve } from '../serve.ts'

const options = {
  directory: value('dir', 'DIR', 'journal and database'),
  exitWithParent: flag('exit-with-parent', 'stop when the launcher is gone (used by `dfs up`)'),
} as const

export const command = defineCommand({
  name: 'namenode',
  usage: 'namenode --dir DIR [--set KEY=VALUE]... [--config FILE]',
  description:
    'Runs a namenode in the foreground until SIGINT or SIGTERM. Makes a new, empty file system when DIR ' +
    'is empty. Logs to standard output. `dfs help settings` lists ports, addresses and limits.',
  examples: ['dfs namenode --dir /var/lib/trefoil/namenode --set dfs.namenode.bind-host=0.0.0.0'],
  options,
  async run(context, { directory, exitWithParent }, operands) {
    if (operands.length > 0) throw new UsageError(`Cannot use "${operands[0] ?? ''}" here`)
    const settings = await completeSettings(context, {})
    const absolute = directory === undefined ? undefined : resolve(context.io.cwd, directory)
    const { runNamenode } = await import('../../../namenode/main.ts')
    await serve(context, exitWithParent, () => runNamenode(settings, { directory: absolute }))
  },
})
