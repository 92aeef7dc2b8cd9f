import { defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { flag } from '../options.ts'
import { statIfAny } from '../session.ts'

const options = {
  symbolic: flag('s symbolic', 'make a symbolic link, to TARGET as it is written'),
} as const

export const command = defineCommand({
  name: 'ln',
  usage: 'ln [-s] TARGET PATH',
  description:
    'Gives a file one more name (a hard link), or with -s makes a path that leads to another. Where PATH is a directory ' +
    "the link is made in it, under TARGET's name. A symbolic link may lead to what is not there; a relative one begins at its own directory.",
  examples: ['dfs ln /data/a.csv /data/b.csv', 'dfs ln -s 2026-11-26 /logs/latest'],
  options,
  async run(context, { symbolic }, operands) {
    const [target, operand, ...more] = operands
    if (target === undefined || operand === undefined || more.length > 0) {
      throw new UsageError('Name what the link leads to, and the link')
    }
    await context.attempt(operand, async () => {
      const { fs, path } = await context.session.locate(operand)
      const name = target.slice(target.replace(/\/+$/, '').lastIndexOf('/') + 1)
      const isInside = (await statIfAny(fs, path))?.isDirectory() === true
      const at = isInside ? `${path === '/' ? '' : path}/${name}` : path
      if (symbolic) {
        await fs.symlink(target, at)
        return
      }
      const existing = await context.session.locate(target)
      if (existing.fs !== fs) throw new CommandError('Both names have to be in one cluster', target)
      await fs.link(existing.path, at)
    })
  },
})
