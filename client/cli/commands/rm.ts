import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { flag } from '../options.ts'
import { forEachBounded } from '../parallel.ts'
import type { RemoteFile } from '../session.ts'

const options = {
  recursive: flag('r R recursive', 'remove directories and what is in them'),
  force: flag('f force', 'a path that does not exist is no error'),
  skipTrash: flag('skipTrash', 'accepted: there is no trash yet, removal is always for good'),
  safely: flag('safely', 'accepted'),
  anyDirectory: flag('no-preserve-root', 'allow -r on directories directly below /'),
} as const

const removalsAtOnce = 8

export const command = defineCommand({
  name: 'rm',
  usage: 'rm [-r] [-f] PATH...',
  description:
    'Removes files, and directories with -r. There is no trash yet: what is removed is gone. ' +
    'Directories directly below / are removed only with --no-preserve-root, / itself never.',
  examples: ["dfs rm '/logs/2025-*'", 'dfs rm -r -skipTrash /data/old'],
  options,
  async run(context, { recursive, force, anyDirectory }, operands) {
    if (operands.length === 0) {
      if (force) return
      throw new UsageError('Name what to remove')
    }
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        const found = force
          ? await context.session.expandIfAny(operand)
          : await context.session.expand(operand)
        await forEachBounded(found, removalsAtOnce, async (file) => {
          await context.attempt(file.shown, () =>
            remove(context, file, { recursive, force, anyDirectory }),
          )
        })
      })
    }
  },
})

async function remove(
  context: CommandContext,
  { fs, path, status }: RemoteFile,
  { recursive, force, anyDirectory }: { recursive: boolean; force: boolean; anyDirectory: boolean },
): Promise<void> {
  if (status.isDirectory()) {
    if (!recursive) throw new CommandError('Is a directory; pass -r to remove it and what is in it')
    if (path === '/') throw new CommandError('The root directory cannot be removed')
    if (!anyDirectory && path.lastIndexOf('/') === 0) {
      throw new CommandError(
        'Refusing to remove a top-level directory; pass --no-preserve-root if that is meant',
      )
    }
  }
  await fs.rm(path, { recursive, force, signal: context.signal })
  context.out.line(`Deleted ${path}`)
}
