import { resolve } from 'node:path'
import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag, list, value } from '../options.ts'
import { completeSettings, serve } from '../serve.ts'

const options = {
  directories: list('dir', 'DIR', 'data directory; several spread the blocks over disks'),
  namenode: value(
    'namenode',
    'HOST:PORT',
    'namenode to serve (default: that of --fs and the settings)',
  ),
  exitWithParent: flag('exit-with-parent', 'stop when the launcher is gone (used by `dfs up`)'),
} as const

export const command = defineCommand({
  name: 'datanode',
  usage: 'datanode --dir DIR... [--namenode HOST:PORT] [--set KEY=VALUE]... [--config FILE]',
  description:
    'Runs a datanode in the foreground until SIGINT or SIGTERM. Logs to standard output. ' +
    '`dfs help settings` lists ports, addresses and limits.',
  examples: ['dfs datanode --dir /disk1/dfs --dir /disk2/dfs --namenode nn.example:8020'],
  options,
  async run(context, { directories, namenode, exitWithParent }, operands) {
    if (operands.length > 0) throw new UsageError(`Cannot use "${operands[0] ?? ''}" here`)
    const uri = namenode === undefined ? await context.session.uri() : `hdfs://${namenode}`
    const settings = await completeSettings(context, { 'fs.defaultFS': uri })
    const absolute = directories.map((directory) => resolve(context.io.cwd, directory))
    const { runDatanode } = await import('../../../datanode/main.ts')
    await serve(context, exitWithParent, () =>
      runDatanode(settings, absolute.length === 0 ? {} : { directories: absolute }),
    )
  },
})
