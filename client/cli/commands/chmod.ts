import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { dashedMode, parseMode } from '../mode.ts'
import { flag } from '../options.ts'
import { forEachBounded } from '../parallel.ts'
import { walkTree } from '../tree.ts'

const options = { recursive: flag('R recursive', 'change what is below directories, too') } as const

const changesAtOnce = 16

export const command = defineCommand({
  name: 'chmod',
  usage: 'chmod [-R] MODE PATH...',
  description:
    'Changes permissions. MODE is octal (755, 1777) or symbolic (u+rw,go-w, a=rX, +t). ' +
    'Only the owner and superusers may.',
  examples: ['dfs chmod 1777 /tmp', 'dfs chmod -R u=rwX,go=rX /data'],
  options,
  rules: { dashedOperand: dashedMode },
  async run(context, { recursive }, [mode, ...operands]) {
    if (mode === undefined || operands.length === 0) throw new UsageError('Name a mode and a path')
    const change = parseMode(mode)
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const { fs, status } of await context.session.expand(operand)) {
          const subjects = recursive ? walkTree(fs, status, context.signal) : [status]
          await forEachBounded(subjects, changesAtOnce, async (subject) => {
            const changed = change(subject.mode, subject.isDirectory())
            if (changed === subject.mode) return
            await context.attempt(subject.path, () => fs.chmod(subject.path, changed))
          })
        }
      })
    }
  },
})
