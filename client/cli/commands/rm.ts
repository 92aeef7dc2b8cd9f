import { Trash } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import type { FileSystem } from '../file-system.ts'
import { flag } from '../options.ts'
import { forEachBounded } from '../parallel.ts'
import type { RemoteFile } from '../session.ts'

const options = {
  recursive: flag('r R recursive', 'remove directories and what is in them'),
  force: flag('f force', 'a path that does not exist is no error'),
  skipTrash: flag('skipTrash skip-trash', 'delete for good instead of moving to the trash'),
  safely: flag('safely', 'accepted; directories directly below / are always guarded'),
  anyDirectory: flag('no-preserve-root', 'allow -r on directories directly below /'),
} as const

const removalsAtOnce = 8

export const command = defineCommand({
  name: 'rm',
  usage: 'rm [-r] [-f] [-skipTrash] PATH...',
  description:
    'Removes files, and directories with -r. They go to your trash, /user/NAME/.Trash, where they stay for as ' +
    'long as the cluster says (fs.trash.interval, a day by default): `dfs trash ls` shows them, `dfs trash ' +
    'restore` puts them back. With -skipTrash, when the path is in the trash already, or when the cluster has ' +
    'no trash, they are gone. Directories directly below / are removed only with --no-preserve-root, / itself never.',
  examples: ["dfs rm '/logs/2025-*'", 'dfs rm -r -skipTrash /data/old'],
  options,
  async run(context, options, operands) {
    const { force } = options
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
          await context.attempt(file.shown, () => remove(context, file, options))
        })
      })
    }
  },
})

interface Removal {
  readonly recursive: boolean
  readonly force: boolean
  readonly skipTrash: boolean
  readonly anyDirectory: boolean
}

async function remove(
  context: CommandContext,
  { fs, path, status }: RemoteFile,
  { recursive, force, skipTrash, anyDirectory }: Removal,
): Promise<void> {
  if (status.isDirectory()) requireMeant(path, recursive, anyDirectory)
  const trash = skipTrash ? undefined : await trashFor(fs, context.session.user)
  if (trash === undefined || trash.contains(path)) {
    await fs.rm(path, { recursive, force, signal: context.signal })
    context.out.line(`Deleted ${path}`)
    return
  }
  const to = await trash.moveIn(path).catch((error: unknown) => {
    throw withAdvice(error)
  })
  context.out.line(`Moved: '${path}' to trash at: ${to}`)
}

function requireMeant(path: string, recursive: boolean, anyDirectory: boolean): void {
  if (!recursive) throw new CommandError('Is a directory; pass -r to remove it and what is in it')
  if (path === '/') throw new CommandError('The root directory cannot be removed')
  if (!anyDirectory && path.lastIndexOf('/') === 0) {
    throw new CommandError(
      'Refusing to remove a top-level directory; pass --no-preserve-root if that is meant',
    )
  }
}

/** Undefined when the cluster keeps no trash. */
async function trashFor(fs: FileSystem, user: string): Promise<Trash | undefined> {
  const { trashInterval } = await fs.serverDefaults()
  return trashInterval === 0 ? undefined : new Trash(fs, user)
}

/** Errors of the trash that deleting for good would not have; others stay as they are. */
const trashTroubles: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EINVAL', 'EDQUOT'])

function withAdvice(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (!(error instanceof Error) || !trashTroubles.has(String(code))) return error
  return new CommandError(
    `${error.message}; it was not moved to the trash, -skipTrash deletes it for good`,
  )
}
