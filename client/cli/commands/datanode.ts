import { resolve } from 'node:path'
import type { FileFace } from '../../../datanode/shell/http-server.ts'
import type { Settings } from '../../../protocol/settings.ts'
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
  async run(context, { directories: given, namenode, exitWithParent }, operands) {
    if (operands.length > 0) throw new UsageError(`Cannot use "${operands[0] ?? ''}" here`)
    const uri = namenode === undefined ? await context.session.uri() : `hdfs://${namenode}`
    const settings = await completeSettings(context, { 'fs.defaultFS': uri })
    const absolute = given.map((directory) => resolve(context.io.cwd, directory))
    const { runDatanode } = await import('../../../datanode/main.ts')
    const files = settings['dfs.webhdfs.enabled'] ? await openFiles(uri, settings) : undefined
    const directories = absolute.length === 0 ? undefined : absolute
    await serve(context, exitWithParent, () => runDatanode(settings, { directories, files }))
  },
})

/** The data operations of WebHDFS, for the datanode's HTTP port. */
async function openFiles(uri: string, settings: Settings): Promise<FileFace> {
  const { openDataFace, originsOf } = await import('../../gateway/webhdfs/data-face.ts')
  return openDataFace({
    ...{ uri, host: settings['dfs.datanode.bind-host'] },
    corsOrigins: originsOf(settings['dfs.gateway.cors-origins']),
    bodyRate: {
      bytesPerSecond: settings['dfs.gateway.body.rate.min'],
      windowMs: settings['dfs.gateway.body.rate.window'],
    },
  })
}
