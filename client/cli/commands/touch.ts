import { finished } from 'node:stream/promises'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag, value } from '../options.ts'
import { statIfAny } from '../session.ts'

const options = {
  accessOnly: flag('a', 'change only the time of last access'),
  changeOnly: flag('m', 'change only the time of last change'),
  noCreate: flag('c no-create', 'make no file'),
  time: value('t d date', 'TIME', 'yyyyMMdd:HHmmss (local, as HDFS), or an ISO date'),
} as const

export const command = defineCommand({
  name: 'touch',
  usage: 'touch [-a] [-m] [-c] [-t TIME] PATH...',
  description:
    'Sets the times of paths to now, or to TIME, and makes empty files where there is nothing.',
  examples: ['dfs touch /data/_SUCCESS', 'dfs touch -m -t 20261122:160000 /data/a'],
  options,
  async run(context, { accessOnly, changeOnly, noCreate, time }, operands) {
    if (operands.length === 0) throw new UsageError('Name a path')
    const timeMs = time === undefined ? Date.now() : parseTime(time)
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        const found = await context.session.expandIfAny(operand)
        for (const { fs, path, status } of found) {
          const atime = changeOnly && !accessOnly ? status.atimeMs : timeMs
          const mtime = accessOnly && !changeOnly ? status.mtimeMs : timeMs
          await fs.utimes(path, new Date(atime), new Date(mtime))
        }
        if (found.length === 0 && !noCreate) {
          await createEmpty(context, operand, time === undefined ? undefined : timeMs)
        }
      })
    }
  },
})

async function createEmpty(
  context: CommandContext,
  operand: string,
  timeMs: number | undefined,
): Promise<void> {
  const { fs, path } = await context.session.locate(operand)
  if ((await statIfAny(fs, path)) !== undefined) return
  const stream = fs.createWriteStream(path, { overwrite: false, signal: context.signal })
  stream.end()
  await finished(stream)
  if (timeMs !== undefined) await fs.utimes(path, new Date(timeMs), new Date(timeMs))
}

function parseTime(text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d):(\d\d)(\d\d)(\d\d)$/.exec(text)
  const [year, month, day, hour, minute, second] = (match ?? []).slice(1).map(Number)
  const timeMs =
    match === null
      ? Date.parse(text)
      : new Date(year ?? 0, (month ?? 1) - 1, day, hour, minute, second).getTime()
  if (Number.isNaN(timeMs)) {
    throw new UsageError(`Cannot read time "${text}": need yyyyMMdd:HHmmss or an ISO date`)
  }
  return timeMs
}
