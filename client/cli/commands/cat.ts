import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import type { RemoteFile } from '../session.ts'

export const command = defineCommand({
  name: 'cat',
  usage: 'cat PATH...',
  description: 'Writes files, one after the other, to standard output.',
  examples: ["dfs cat '/logs/*.txt' | grep error"],
  options: {},
  async run(context, _options, operands) {
    if (operands.length === 0) throw new UsageError('Name a file')
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const file of await context.session.expand(operand)) {
          await context.attempt(file.shown, () => copyToOutput(context, file))
        }
      })
    }
  },
})

/** Streams a file from `start` on to standard output, of one being written what may be read now. */
export async function copyToOutput(
  context: CommandContext,
  { fs, path, shown, status }: RemoteFile,
  start = 0,
): Promise<void> {
  if (status.isDirectory()) throw new CommandError('Is a directory', shown)
  const source = fs.createReadStream(path, { start, signal: context.signal })
  await sendToOutput(context, source)
}

/** Streams what `source` gives to standard output. */
export async function sendToOutput(context: CommandContext, source: Readable): Promise<void> {
  const output = context.io.openBulkOutput()
  if (output === context.io.stdout) {
    await pipeline(source, output, { end: false })
    return
  }
  await pipeline(source, output)
}
