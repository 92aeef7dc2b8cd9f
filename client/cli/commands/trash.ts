import { DfsFsError, Trash, type TrashEntry } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { humanSize, localMinute, parseDuration } from '../format.ts'
import { flag, type OptionValues, value } from '../options.ts'

const options = {
  to: value('to', 'PATH', 'restore: put it there instead of where it was'),
  from: value('from', 'CHECKPOINT', 'restore: from this checkpoint (see ls) instead of the newest'),
  olderThan: value(
    'older-than',
    'AGE',
    'empty: only what was deleted longer ago, like 90m, 36h, 7d',
  ),
  immediate: flag('immediate', 'expunge: delete everything, as empty does'),
  json: flag('json', 'ls: a JSON object per line'),
} as const

const msPerMinute = 60_000

type TrashOptions = OptionValues<typeof options>

export const command = defineCommand({
  name: 'trash',
  usage: 'trash ls [PATH] | restore PATH... | empty | expunge',
  description:
    'Shows, puts back, or deletes for good what `dfs rm` moved to your trash. PATH is where a file was, not where ' +
    'it is in the trash. `ls` names what was deleted, at or below PATH when it is given. `restore` takes the version ' +
    'that was deleted last; a directory is merged into one that exists, a file never replaces another. `empty` deletes ' +
    'everything for good; `expunge` only what is older than fs.trash.interval, as the cluster does by itself.',
  examples: [
    'dfs trash ls',
    'dfs trash restore /data/report.csv',
    'dfs trash restore /data/report.csv --to /tmp/report.csv',
    'dfs trash empty --older-than 36h',
  ],
  options,
  async run(context, options, [verb, ...operands]) {
    const fs = await context.session.fs()
    const trash = new Trash(fs, context.session.user)
    switch (verb) {
      case 'ls':
        await list(context, trash, { operands, options })
        return
      case 'restore':
        await restore(context, trash, { operands, options })
        return
      case 'empty':
        await empty(context, trash, { operands, options })
        return
      case 'expunge':
        await expunge(context, trash, options)
        return
      case undefined:
        throw new UsageError('Say ls, restore, empty or expunge')
      default:
        throw new UsageError(`"${verb}" is none of ls, restore, empty, expunge`)
    }
  },
})

interface Call {
  readonly operands: readonly string[]
  readonly options: TrashOptions
}

async function list(
  context: CommandContext,
  trash: Trash,
  { operands, options }: Call,
): Promise<void> {
  const [below] = operands
  if (operands.length > 1) throw new UsageError('Name at most one path')
  const path = below === undefined ? '/' : (await context.session.locate(below)).path
  for await (const entry of trash.list(path)) {
    await context.out.ready()
    if (options.json) context.out.line(JSON.stringify(recordOf(entry)))
    else context.out.line(lineOf(entry))
  }
}

function recordOf({ originalPath, path, checkpoint, deletedBy, status }: TrashEntry): object {
  const { type, size } = status
  return { originalPath, path, checkpoint, deletedBy: deletedBy?.toISOString(), type, size }
}

function lineOf({ originalPath, checkpoint, deletedBy, status }: TrashEntry): string {
  const size = status.isDirectory() ? '-' : humanSize(status.size)
  const time = deletedBy === undefined ? 'lately' : localMinute(deletedBy.getTime())
  return `${checkpoint.padEnd(12)}  ${time.padEnd(16)}  ${size.padStart(8)}  ${originalPath}${status.isDirectory() ? '/' : ''}`
}

async function restore(
  context: CommandContext,
  trash: Trash,
  { operands, options }: Call,
): Promise<void> {
  if (operands.length === 0) throw new UsageError('Name what to restore')
  if (options.to !== undefined && operands.length > 1) {
    throw new UsageError('With --to, name one path to restore')
  }
  const to = options.to === undefined ? undefined : (await context.session.locate(options.to)).path
  for (const operand of operands) {
    await context.attempt(operand, async () => {
      const { path } = await context.session.locate(operand)
      const restored = await trash.restore(path, { to, from: options.from }).catch(explain)
      for (const at of restored) context.out.line(`Restored ${at}`)
    })
  }
}

/** The trash's own words say more than the code they come with. */
function explain(error: unknown): never {
  if (error instanceof DfsFsError && ['ENOENT', 'EEXIST'].includes(error.code)) {
    throw new CommandError(error.message)
  }
  throw error
}

async function empty(
  context: CommandContext,
  trash: Trash,
  { operands, options }: Call,
): Promise<void> {
  if (operands.length > 0)
    throw new UsageError('empty takes no path: `dfs rm` deletes one for good')
  const deleted = await trash.empty({ before: bound(options.olderThan) })
  if (deleted.length === 0) context.out.line('Nothing to delete')
  for (const checkpoint of deleted) context.out.line(`Deleted ${trash.root}/${checkpoint}`)
}

function bound(age: string | undefined): Date | undefined {
  if (age === undefined) return undefined
  const ageMs = parseDuration(age)
  if (ageMs === undefined) throw new UsageError(`Cannot read age "${age}": need 90m, 36h, 7d`)
  return new Date(Date.now() - ageMs)
}

async function expunge(
  context: CommandContext,
  trash: Trash,
  { immediate }: TrashOptions,
): Promise<void> {
  if (immediate) {
    for (const name of await trash.empty()) context.out.line(`Deleted ${trash.root}/${name}`)
    return
  }
  const { trashInterval } = await (await context.session.fs()).serverDefaults()
  const { deleted, checkpoint } = await trash.expunge(trashInterval * msPerMinute)
  for (const path of deleted) context.out.line(`Deleted ${path}`)
  if (checkpoint !== undefined) context.out.line(`Created trash checkpoint: ${checkpoint}`)
}
