import { setTimeout as delay } from 'node:timers/promises'
import { type CommandContext, defineCommand } from '../command.ts'
import { CommandError, UsageError } from '../failures.ts'
import { value } from '../options.ts'
import type { RemotePath } from '../session.ts'

const options = {
  path: value('path', 'PATH', 'the file, as HDFS spells it'),
  retries: value('retries', 'COUNT', 'ask this many times, a second apart (default 10)'),
} as const

const retriesDefault = 10
const retryMs = 1_000

export const command = defineCommand({
  name: 'lease',
  usage: 'lease recover [-retries COUNT] PATH... | status PATH...',
  description:
    'A file that is being written belongs to one client, which holds its lease. `recover` takes the lease of a writer ' +
    'that is gone and has the file closed at the length its datanodes agree on; a writer that is still there loses it. ' +
    '`status` says whether files are closed. `dfs debug recoverLease -path PATH` is the same as recover.',
  examples: ['dfs lease recover /logs/today.log', 'dfs lease status /logs/*'],
  options,
  async run(context, { path, retries }, [verb, ...operands]) {
    const count = retries === undefined ? retriesDefault : Number(retries)
    if (!Number.isInteger(count) || count < 1) throw new UsageError('Retries must be at least 1')
    const paths = path === undefined ? operands : [...operands, path]
    const action = actionOf(verb, count)
    if (paths.length === 0) throw new UsageError('Name a file')
    for (const operand of paths) {
      await context.attempt(operand, async () => {
        for (const file of await context.session.expand(operand)) {
          await context.attempt(file.shown, async () => {
            if (file.status.isDirectory()) throw new CommandError('Is a directory')
            await action(context, file)
          })
        }
      })
    }
  },
})

type Action = (context: CommandContext, file: RemotePath) => Promise<void>

function actionOf(verb: string | undefined, retries: number): Action {
  switch (verb) {
    case 'recover':
    case 'recoverLease':
      return (context, file) => recover(context, file, retries)
    case 'status':
      return showStatus
    case undefined:
      throw new UsageError('Say recover or status')
    default:
      throw new UsageError(`"${verb}" is neither recover nor status`)
  }
}

async function recover(
  context: CommandContext,
  { fs, path, shown }: RemotePath,
  retries: number,
): Promise<void> {
  const { signal } = context
  for (let attempt = 1; ; attempt += 1) {
    if (await fs.recoverLease(path, { signal })) {
      context.out.line(`recoverLease SUCCEEDED on ${shown}`)
      return
    }
    if (attempt === retries) {
      throw new CommandError(
        `Not closed yet after ${attempt} tries; its recovery goes on, ask with \`dfs lease status\``,
      )
    }
    await delay(retryMs, undefined, { signal })
  }
}

async function showStatus(context: CommandContext, { fs, path, shown }: RemotePath): Promise<void> {
  const isClosed = await fs.isFileClosed(path, { signal: context.signal })
  context.out.line(`${shown}: ${isClosed ? 'closed' : 'being written'}`)
}
