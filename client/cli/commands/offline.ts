import { resolve } from 'node:path'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag, type OptionValues, value } from '../options.ts'

const options = {
  tree: value('tree', 'PATH', 'schema: list everything below PATH'),
  blocks: value('blocks', 'PATH', 'schema: list the blocks of the file PATH'),
  full: flag('full', 'schema: also compare every index with its table'),
  json: flag('json', 'journal: a JSON object per record; else one per file'),
} as const

export type OfflineOptions = OptionValues<typeof options>

export const command = defineCommand({
  name: 'offline',
  usage:
    'offline journal FILE... | offline schema FILE|DIR [--tree PATH] [--blocks PATH] [--full] | offline block FILE...',
  description:
    'Reads what daemons left on a disk, without any daemon, and writes nothing. Works on damaged files as far as ' +
    'possible and says what is lost; the exit code is then 1. `journal` shows each transaction of a segment and ' +
    'where bytes are bad. `schema` shows totals and damage of a namespace database, or lists a tree or the blocks ' +
    "of a file. `block` verifies a replica's data and meta file (name either) and says which bytes are wrong.",
  examples: [
    'dfs offline journal /data/namenode/journal/journal-0000000000004711',
    'dfs offline schema /data/namenode --tree /user',
    'dfs offline block /data/dn1/current/BP-1/finalized/subdir0/subdir0/blk_1073741825',
  ],
  options,
  async run(context, options, [kind, ...files]) {
    const { showBlock, showJournal, showSchema } = await import('../offline.ts')
    const readers: Readonly<
      Record<
        string,
        (context: CommandContext, file: string, options: OfflineOptions) => Promise<void>
      >
    > = { journal: showJournal, schema: showSchema, block: showBlock }
    const show = kind === undefined ? undefined : readers[kind]
    if (show === undefined) throw new UsageError('give journal, schema or block, and files')
    if (files.length === 0) throw new UsageError(`${kind ?? ''} needs a FILE`)
    for (const file of files) {
      await context.attempt(file, () => show(context, resolve(context.io.cwd, file), options))
    }
  },
})
