import { decodeXattrValue } from '../../index.ts'
import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { value } from '../options.ts'

const options = {
  name: value('n name', 'NAME', 'set this attribute, such as user.origin'),
  value: value('v value', 'VALUE', 'to this: text, "text", 0xHEX or 0sBASE64; none without -v'),
  remove: value('x remove', 'NAME', 'remove this attribute'),
} as const

export const command = defineCommand({
  name: 'setfattr',
  usage: 'setfattr {-n NAME [-v VALUE]|-x NAME} PATH...',
  description:
    'Sets or removes an extended attribute. Who may write a file may set those of the namespace user, superusers trusted ones.',
  examples: [
    "dfs setfattr -n user.origin -v 'crawler 7' /data/a.csv",
    'dfs setfattr -x user.origin /data/a.csv',
  ],
  options,
  async run(context, { name, value: text, remove }, operands) {
    if (
      (name === undefined) === (remove === undefined) ||
      (text !== undefined && name === undefined)
    ) {
      throw new UsageError('Give one of -n NAME, perhaps with -v VALUE, and -x NAME')
    }
    if (operands.length === 0) throw new UsageError('Name a path')
    const bytes = decodeXattrValue(text ?? '')
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const { fs, path } of await context.session.expand(operand)) {
          await context.attempt(path, async () => {
            if (name !== undefined) await fs.attributes.setXattr(path, name, bytes)
            else if (remove !== undefined) await fs.attributes.removeXattr(path, remove)
          })
        }
      })
    }
  },
})
