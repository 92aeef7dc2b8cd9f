import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { parseMode } from '../mode.ts'
import { flag, value } from '../options.ts'
import { statIfAny } from '../session.ts'

const options = {
  parents: flag('p parents', 'make missing parents, and accept what exists'),
  mode: value('m mode', 'MODE', 'permissions, octal or symbolic, instead of 777 less the umask'),
} as const

const newDirectoryMode = 0o777

export const command = defineCommand({
  name: 'mkdir',
  usage: 'mkdir [-p] [-m MODE] PATH...',
  description: 'Makes directories.',
  examples: ['dfs mkdir -p /data/2026/11'],
  options,
  async run(context, { parents, mode }, operands) {
    if (operands.length === 0) throw new UsageError('Name a directory')
    const change = mode === undefined ? undefined : parseMode(mode)
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        const { fs, path } = await context.session.locate(operand)
        const isThere = change !== undefined && parents && (await statIfAny(fs, path)) !== undefined
        await fs.mkdir(path, { recursive: parents, signal: context.signal })
        if (change !== undefined && !isThere) await fs.chmod(path, change(newDirectoryMode, true))
      })
    }
  },
})
