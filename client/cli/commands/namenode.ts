import { resolve } from 'node:path'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag, type OptionValues, value } from '../options.ts'
import { completeSettings, serve } from '../serve.ts'

const options = {
  directory: value('dir', 'DIR', 'journal and database'),
  exitWithParent: flag('exit-with-parent', 'stop when the launcher is gone (used by `dfs up`)'),
  to: value('to', 'DIR', 'backup: where the backup is; restore: the new directory of a namenode'),
  from: value(
    'from',
    'DIR',
    'backup: the directory of a namenode that is stopped; restore: a backup',
  ),
  at: value(
    'at',
    'TIME|TXID',
    'restore: the moment to go back to (default: the end of the backup)',
  ),
  full: flag('full', 'backup: copy the database even when the journal alone would do'),
  keep: value(
    'keep',
    'N',
    'backup: keep the newest N copies of the database and what follows them',
  ),
  verify: flag('verify', 'backup, restore: check everything in the backup and write nothing'),
  json: flag('json', 'backup, restore: a JSON object'),
} as const

export type NamenodeOptions = OptionValues<typeof options>

export const command = defineCommand({
  name: 'namenode',
  usage:
    'namenode --dir DIR [--set KEY=VALUE]... [--config FILE] | namenode backup --to DIR [--from NAMEDIR] [--full] ' +
    '[--keep N] [--verify] | namenode restore --from DIR --to NAMEDIR [--at TIME|TXID] [--verify]',
  description:
    'Runs a namenode in the foreground until SIGINT or SIGTERM. Makes a new, empty file system when DIR ' +
    'is empty. Logs to standard output. `dfs help settings` lists ports, addresses and limits.\n' +
    '`backup` copies the state of the running namenode of --fs, or of the stopped one in --from, into a ' +
    'directory of this machine: the first time the database, later only what the journal got since. ' +
    '`restore` makes a directory for a namenode from it, as of any moment since the first copy; it never ' +
    'writes into a directory that holds anything. TIME is like 2026-11-25T17:30:00Z, in local time without ' +
    'the Z; TXID is a number.',
  examples: [
    'dfs namenode --dir /var/lib/trefoil/namenode --set dfs.namenode.bind-host=0.0.0.0',
    'dfs namenode backup --to /backup/namenode --keep 4',
    'dfs namenode restore --from /backup/namenode --to /var/lib/trefoil/restored --at 2026-11-25T17:30:00Z',
  ],
  options,
  async run(context, options, operands) {
    const [verb, extra] = operands
    if (extra !== undefined) throw new UsageError(`Cannot use "${extra}" here`)
    switch (verb) {
      case undefined:
        await run(context, options)
        return
      case 'backup':
      case 'restore': {
        const { runBackup, runRestore } = await import('../namenode-backup.ts')
        await (verb === 'backup' ? runBackup : runRestore)(context, options)
        return
      }
      default:
        throw new UsageError(`Cannot use "${verb}" here; there are backup and restore`)
    }
  },
})

async function run(
  context: CommandContext,
  { directory, exitWithParent }: NamenodeOptions,
): Promise<void> {
  const settings = await completeSettings(context, {})
  const absolute = directory === undefined ? undefined : resolve(context.io.cwd, directory)
  const { runNamenode } = await import('../../../namenode/main.ts')
  await serve(context, exitWithParent, () => runNamenode(settings, { directory: absolute }))
}
