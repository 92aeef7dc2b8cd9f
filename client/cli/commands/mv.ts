import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { flag } from '../options.ts'
import { type RemoteFile, type RemotePath, statIfAny } from '../session.ts'

const options = {
  force: flag('f force', 'replace a file that is there already'),
} as const

export const command = defineCommand({
  name: 'mv',
  usage: 'mv [-f] SOURCE... TARGET',
  description:
    'Renames one path, or moves several into a directory. Each move is atomic. ' +
    'Without -f an existing target is an error.',
  examples: ['dfs mv /data/new /data/current', "dfs mv '/in/*.csv' /done/"],
  options,
  async run(context, { force }, operands) {
    const target = operands.at(-1)
    if (operands.length < 2 || target === undefined) {
      throw new UsageError('Name at least one source, and a target')
    }
    const into = await context.session.locate(target)
    const sources: RemoteFile[] = []
    for (const operand of operands.slice(0, -1)) {
      await context.attempt(operand, async () => {
        sources.push(...(await context.session.expand(operand)))
      })
    }
    const status = await statIfAny(into.fs, into.path)
    const isDirectory = status?.isDirectory() === true
    if (!isDirectory && (sources.length > 1 || target.endsWith('/'))) {
      throw new CommandError('Is not a directory', target)
    }
    for (const source of sources) {
      await context.attempt(source.shown, () => move(context, source, into, { isDirectory, force }))
    }
  },
})

async function move(
  context: CommandContext,
  source: RemoteFile,
  into: RemotePath,
  { isDirectory, force }: { isDirectory: boolean; force: boolean },
): Promise<void> {
  if (source.fs !== into.fs) {
    throw new CommandError('Cannot move between clusters; use `dfs cp`, then `dfs rm`')
  }
  const base = into.path === '/' ? '' : into.path
  const path = isDirectory ? `${base}/${source.status.name}` : into.path
  if (path === source.path) throw new CommandError('Source and target are the same')
  await source.fs.rename(source.path, path, { overwrite: force, signal: context.signal })
}
