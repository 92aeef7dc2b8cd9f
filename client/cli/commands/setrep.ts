import { setTimeout as delay } from 'node:timers/promises'
import type { FileStatus } from '../../index.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import type { FileSystem } from '../file-system.ts'
import { flag } from '../options.ts'
import { forEachBounded } from '../parallel.ts'
import { walkTree } from '../tree.ts'

const options = {
  wait: flag('w wait', 'wait until every block has that many replicas'),
  recursive: flag('R recursive', 'accepted: directories always mean every file below them'),
} as const

const changesAtOnce = 16
const pollMs = 500

export const command = defineCommand({
  name: 'setrep',
  usage: 'setrep [-w] COUNT PATH...',
  description:
    'Sets how many replicas the blocks of files have. Directories mean every file below them.',
  examples: ['dfs setrep -w 2 /logs/old'],
  options,
  async run(context, { wait }, [countText, ...operands]) {
    const count = Number(countText)
    if (!Number.isInteger(count) || count < 1 || operands.length === 0) {
      throw new UsageError('Name a count of at least 1, and a path')
    }
    for (const operand of operands) {
      await context.attempt(operand, async () => {
        for (const { fs, status } of await context.session.expand(operand)) {
          await setBelow(context, fs, status, { count, wait })
        }
      })
    }
  },
})

async function setBelow(
  context: CommandContext,
  fs: FileSystem,
  root: FileStatus,
  { count, wait }: { count: number; wait: boolean },
): Promise<void> {
  const waiting: string[] = []
  await forEachBounded(walkTree(fs, root, context.signal), changesAtOnce, async (status) => {
    if (!status.isFile()) return
    await context.attempt(status.path, async () => {
      await fs.setReplication(status.path, count)
      context.out.line(`Replication ${count} set: ${status.path}`)
      if (wait && status.size > 0) waiting.push(status.path)
    })
  })
  for (const path of waiting) {
    context.out.flush()
    while (!(await hasReplicas(fs, path, count))) {
      await delay(pollMs, undefined, { signal: context.signal })
    }
    context.out.line(`Replication ${count} reached: ${path}`)
  }
}

async function hasReplicas(fs: FileSystem, path: string, count: number): Promise<boolean> {
  const blocks = await fs.blockLocations(path)
  return blocks.every(({ hosts }) => hosts.length === count)
}
