import type { FileStatus } from '../../index.ts'
import { defineCommand } from '../command.ts'
import type { FileSystem } from '../file-system.ts'
import { humanSize, table } from '../format.ts'
import { flag } from '../options.ts'
import { JsonArrayWriter } from '../output.ts'
import type { RemoteFile } from '../session.ts'

const options = {
  summary: flag('s summarize', 'one total for each argument, not one for each of its entries'),
  human: flag('h human-readable', 'sizes as 1.5 K, 128 M'),
  header: flag('v', 'name the columns'),
  excludeSnapshots: flag('x', 'accepted: there are no snapshots yet'),
  json: flag('json', 'a JSON array'),
} as const

interface Usage {
  readonly path: string
  readonly size: number
  readonly spaceConsumed: number
}

export const command = defineCommand({
  name: 'du',
  usage: 'du [-s] [-h] [-v] [PATH...]',
  description:
    'Shows, for each entry of a directory, the bytes of its files, and the bytes that they take on the ' +
    'datanodes with all replicas.',
  examples: ['dfs du -h /', 'dfs du -s -h /data /logs'],
  options,
  async run(context, { summary, human, header, json }, operands) {
    const usages: Usage[] = []
    for (const operand of operands.length === 0 ? ['.'] : operands) {
      await context.attempt(operand, async () => {
        for (const file of await context.session.expand(operand)) {
          for await (const status of subjects(file, summary)) {
            await context.attempt(status.path, async () => {
              usages.push(await usageOf(file.fs, status))
            })
          }
        }
      })
    }
    if (json) {
      const writer = new JsonArrayWriter(context.out)
      for (const usage of usages) writer.push(usage)
      writer.end()
      return
    }
    const show = (bytes: number): string => (human ? humanSize(bytes) : String(bytes))
    const rows = usages.map((usage) => [show(usage.size), show(usage.spaceConsumed), usage.path])
    if (header) rows.unshift(['SIZE', 'DISK_SPACE_CONSUMED_WITH_ALL_REPLICAS', 'FULL_PATH_NAME'])
    context.out.lines(table(rows, ['left', 'left', 'left']))
  },
})

async function* subjects({ fs, status }: RemoteFile, summary: boolean): AsyncIterable<FileStatus> {
  if (summary || !status.isDirectory()) yield status
  else yield* fs.opendir(status.path)
}

async function usageOf(fs: FileSystem, status: FileStatus): Promise<Usage> {
  const { length, spaceConsumed } = await fs.contentSummary(status.path)
  return { path: status.path, size: length, spaceConsumed }
}
