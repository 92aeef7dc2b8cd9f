import { resolve } from 'node:path'
import { defineCommand } from '../command.ts'
import { counted } from '../format.ts'
import { value } from '../options.ts'

const options = {
  directory: value('dir', 'DIR', 'directory of the cluster (default ~/.trefoil)'),
} as const

export const command = defineCommand({
  name: 'down',
  usage: 'down [--dir DIR]',
  description:
    'Stops the cluster that `dfs up` started in DIR, gateway first and namenode last. The data stays; the next `dfs up` finds it.',
  options,
  async run(context, { directory }) {
    const [{ ClusterLayout, defaultClusterDirectory }, { stopCluster }] = await Promise.all([
      import('../../../ops/cluster/layout.ts'),
      import('../../../ops/cluster/stop.ts'),
    ])
    const layout = new ClusterLayout(resolve(context.io.cwd, directory ?? defaultClusterDirectory))
    const stopped = await stopCluster(layout)
    const what =
      stopped.length === 0
        ? 'nothing was running'
        : `stopped ${counted(stopped.length, 'process', 'processes')}`
    context.out.line(`${layout.directory}: ${what}`)
  },
})
