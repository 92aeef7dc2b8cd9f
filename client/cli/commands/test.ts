import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag } from '../options.ts'
import { statIfAny } from '../session.ts'

const options = {
  exists: flag('e', 'it exists'),
  file: flag('f', 'it is a file'),
  directory: flag('d', 'it is a directory'),
  symlink: flag('L', 'it is a symbolic link'),
  filled: flag('s', 'it is not empty'),
  empty: flag('z', 'it is a file of length 0'),
} as const

export const command = defineCommand({
  name: 'test',
  usage: 'test -e|-f|-d|-L|-s|-z PATH',
  description:
    'Exits with 0 when the answer about PATH is yes and with 1 when it is no; prints nothing.',
  examples: ['dfs test -e /data/_SUCCESS && echo done'],
  options,
  async run(context, options, operands) {
    const [operand] = operands
    const questions = Object.values(options).filter(Boolean)
    if (operand === undefined || operands.length > 1 || questions.length !== 1) {
      throw new UsageError('Ask one question about one path')
    }
    const { fs, path } = await context.session.locate(operand)
    const status = await statIfAny(fs, path)
    const isYes =
      status !== undefined &&
      (options.exists ||
        (options.file && status.isFile()) ||
        (options.directory && status.isDirectory()) ||
        (options.symlink && status.isSymbolicLink()) ||
        (options.filled && (status.isDirectory() ? status.childCount !== 0 : status.size > 0)) ||
        (options.empty && status.isFile() && status.size === 0))
    if (!isYes) context.failureCount += 1
  },
})
