import { defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { parseSize } from '../format.ts'
import { flag } from '../options.ts'

const options = {
  wait: flag('w wait', 'wait until the files are closed at their new length'),
} as const

export const command = defineCommand({
  name: 'truncate',
  usage: 'truncate [-w] LENGTH PATH...',
  description:
    'Cuts files to LENGTH bytes. Inside a block the datanodes must agree on the cut first: until they have, the file ' +
    'can be read but not written. A file that is shorter is an error and stays as it is.',
  examples: ['dfs truncate 0 /logs/old.log', 'dfs truncate -w 64k /data/wal'],
  options,
  async run(context, { wait }, [lengthText, ...operands]) {
    const length = parseSize(lengthText ?? '')
    if (length === undefined || operands.length === 0) {
      throw new UsageError('Name a length in bytes, and a path')
    }
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const { fs, path, shown, status } of await context.session.expand(operand)) {
          await context.attempt(shown, async () => {
            if (status.isDirectory()) throw new CommandError('Is a directory')
            const { signal } = context
            if (await fs.truncate(path, length, { wait, signal })) {
              context.out.line(`Truncated ${shown} to length: ${length}`)
            } else {
              context.out.line(
                `Truncating ${shown} to length: ${length}. Wait for block recovery to complete before further updating this file.`,
              )
            }
          })
        }
      })
    }
  },
})
