import { defineCommand } from '../command.ts'
import { humanSize, table } from '../format.ts'
import { flag } from '../options.ts'

const options = {
  human: flag('h human-readable', 'sizes as 1.5 G, 2 T'),
  json: flag('json', 'a JSON object'),
} as const

export const command = defineCommand({
  name: 'df',
  usage: 'df [-h] [PATH...]',
  description: 'Shows the capacity of the cluster, what is used and what is left. Replicas count.',
  examples: ['dfs df -h'],
  options,
  async run(context, { human, json }, operands) {
    const { fs } = await context.session.locate(operands[0] ?? '/')
    const { capacity, used, remaining } = await fs.statfs()
    const uri = await context.session.uri()
    const percent = capacity === 0 ? 0 : Math.round((used / capacity) * 100)
    if (json) {
      context.out.json({ filesystem: uri, capacity, used, remaining, usedPercent: percent })
      return
    }
    const show = (bytes: number): string => (human ? humanSize(bytes) : String(bytes))
    const rows = [
      ['Filesystem', 'Size', 'Used', 'Available', 'Use%'],
      [uri, show(capacity), show(used), show(remaining), `${percent}%`],
    ]
    context.out.lines(table(rows, ['left', 'right', 'right', 'right', 'right']))
  },
})
