import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { value } from '../options.ts'
import { serve } from '../serve.ts'

const options = {
  host: value('host', 'ADDRESS', 'address to listen on (default 127.0.0.1)'),
  port: value('port', 'PORT', 'port to listen on (default 9880; 0 picks a free one)'),
} as const

const defaultPort = 9880

export const command = defineCommand({
  name: 'gateway',
  usage: 'gateway [--host ADDRESS] [--port PORT]',
  description:
    'Serves the cluster over HTTP until SIGINT or SIGTERM: GET, PUT, DELETE /files/PATH, and POST of forms to ' +
    '/files/DIR. Whoever reaches the address acts as the user who runs the gateway, so keep it on loopback.',
  examples: ['dfs gateway', 'curl -T report.pdf http://127.0.0.1:9880/files/reports/report.pdf'],
  options,
  async run(context, { host = '127.0.0.1', port }, operands) {
    if (operands.length > 0) throw new UsageError(`Cannot use "${operands[0] ?? ''}" here`)
    const number = port === undefined ? defaultPort : Number(port)
    if (!Number.isInteger(number) || number < 0 || number > 65_535) {
      throw new UsageError(`Cannot use --port ${port ?? ''}: need 0 to 65535`)
    }
    const uri = await context.session.uri()
    const { runGateway } = await import('../../gateway/main.ts')
    await serve(context, false, async () => {
      const gateway = await runGateway({ uri, host, port: number })
      return {
        addresses: { http: `${host}:${gateway.port}` },
        stop: () => gateway.stop(),
      }
    })
  },
})
