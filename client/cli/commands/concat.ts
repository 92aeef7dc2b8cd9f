import { defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'

export const command = defineCommand({
  name: 'concat',
  usage: 'concat TARGET SOURCE...',
  description:
    'Moves the blocks of the sources, in order, to the end of TARGET, at once and without copying. The sources are gone ' +
    'then. All are closed files of one directory with the same block size; TARGET and SOURCES are not empty.',
  examples: ['dfs concat /data/part-0 /data/part-1 /data/part-2'],
  options: {},
  async run(context, _options, [targetText, ...sourceTexts]) {
    if (targetText === undefined || sourceTexts.length === 0) {
      throw new UsageError('Name a target and at least one source')
    }
    const target = await context.session.locate(targetText)
    const sources: string[] = []
    for (const operand of sourceTexts) {
      for (const { fs, path, shown } of await context.session.expand(operand)) {
        if (fs !== target.fs) throw new CommandError('Is in another cluster than the target', shown)
        sources.push(path)
      }
    }
    await target.fs.concat(target.path, sources, { signal: context.signal })
  },
})
