import { defineCommand } from '../command.ts'
import { flag } from '../options.ts'
import { softwareVersion } from '../version.ts'

const options = { json: flag('json', 'a JSON object') } as const

export const command = defineCommand({
  name: 'version',
  usage: 'version',
  description: 'Shows the version of Trefoil and of Node.',
  options,
  async run(context, { json }) {
    const { version: node, platform, arch } = process
    if (json) context.out.json({ version: softwareVersion(), node, platform, arch })
    else context.out.line(`Trefoil ${softwareVersion()} (Node ${node}, ${platform} ${arch})`)
    return Promise.resolve()
  },
})
