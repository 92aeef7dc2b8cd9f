import { defineCommand } from '../command.ts'
import { UsageError } from '../failures.ts'
import { flag, list, value } from '../options.ts'
import { completeSettings, serve } from '../serve.ts'

const options = {
  host: value('host', 'ADDRESS', 'address to listen on (default dfs.gateway.bind-host)'),
  port: value('port', 'PORT', 'default dfs.gateway.http-port, 9880; 0 picks a free one'),
  redirect: value('redirect', 'PLACE', 'where WebHDFS sends data: gateway or datanode'),
  corsOrigins: list('cors-origin', 'ORIGIN', 'whose pages may use the gateway from a browser'),
  exitWithParent: flag('exit-with-parent', 'stop when the launcher is gone (used by `dfs up`)'),
} as const

export const command = defineCommand({
  name: 'gateway',
  usage: 'gateway [--host ADDRESS] [--port PORT] [--redirect PLACE] [--cors-origin ORIGIN]...',
  description:
    'Serves the cluster over HTTP until SIGINT or SIGTERM: WebHDFS at /webhdfs/v1, GET, PUT, DELETE /files/PATH, ' +
    'and POST of forms to /files/DIR. While there are no tokens (`dfs token`) only loopback is served, and callers act as whom they say they are.',
  examples: ['dfs gateway', 'curl -T report.pdf http://127.0.0.1:9880/files/reports/report.pdf'],
  options,
  async run(context, { host: givenHost, port, exitWithParent, ...given }, operands) {
    if (operands.length > 0) throw new UsageError(`Cannot use "${operands[0] ?? ''}" here`)
    const settings = await completeSettings(context, {})
    const host = givenHost ?? settings['dfs.gateway.bind-host']
    const number = port === undefined ? settings['dfs.gateway.http-port'] : Number(port)
    if (!Number.isInteger(number) || number < 0 || number > 65_535) {
      throw new UsageError(`Cannot use --port ${port ?? ''}: need 0 to 65535`)
    }
    const redirect = given.redirect ?? settings['dfs.gateway.redirect']
    if (redirect !== 'gateway' && redirect !== 'datanode') {
      throw new UsageError(`Cannot send data to "${redirect}": need gateway or datanode`)
    }
    const origins = given.corsOrigins.length > 0 ? given.corsOrigins.join(',') : undefined
    const uri = await context.session.uri()
    const { runGateway, originsOf } = await import('../../gateway/main.ts')
    await serve(context, exitWithParent, async () => {
      const gateway = await runGateway({
        ...{ uri, host, port: number, redirect },
        corsOrigins: originsOf(origins ?? settings['dfs.gateway.cors-origins']),
        bodyRate: {
          bytesPerSecond: settings['dfs.gateway.body.rate.min'],
          windowMs: settings['dfs.gateway.body.rate.window'],
        },
        drainMs: settings['dfs.gateway.shutdown.grace'],
      })
      return {
        addresses: { http: `${host}:${gateway.port}` },
        stop: () => gateway.stop(),
      }
    })
  },
})
