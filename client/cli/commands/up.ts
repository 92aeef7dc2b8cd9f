import { resolve } from 'node:path'
import { linesOfUp, startDetached } from '../../../ops/cluster/detached.ts'
import { LaunchError } from '../../../ops/cluster/launch-error.ts'
import { Cluster } from '../../../ops/cluster/launcher.ts'
import { ClusterLayout, defaultClusterDirectory } from '../../../ops/cluster/layout.ts'
import { claimPort } from '../../../ops/cluster/ports.ts'
import { settings as settingTable } from '../../../protocol/settings.ts'
import { type CommandContext, defineCommand } from '../command.ts'
import { loadSettings } from '../configuration.ts'
import { CommandError, UsageError } from '../failures.ts'
import { counted, duration } from '../format.ts'
import { flag, type OptionValues, value } from '../options.ts'
import { programName, programPath } from '../program.ts'

const options = {
  directory: value('dir', 'DIR', 'where the cluster keeps everything (default ~/.trefoil)'),
  datanodes: value('datanodes', 'COUNT', 'how many datanodes (default 3, or as many as DIR has)'),
  namenodePort: value('namenode-port', 'PORT', 'default 8020; 0 picks a free one'),
  httpPort: value(
    'http-port',
    'PORT',
    'status page of the namenode, default 9870; 0 picks a free one',
  ),
  gatewayPort: value('gateway-port', 'PORT', 'WebHDFS and files, default 9880; 0 picks a free one'),
  foreground: flag('foreground', 'stay, report what happens, stop with Ctrl-C: the default'),
  detach: flag('detach', 'return when the cluster is ready, and leave it running'),
  noRestart: flag('no-restart', 'leave a daemon that died alone'),
  supervised: flag('supervised', 'used by --detach'),
} as const

type UpOptions = OptionValues<typeof options>

const defaultDatanodes = 3
const datanodesMax = 100

export const command = defineCommand({
  name: 'up',
  usage: 'up [OPTION...]',
  description:
    'Starts a namenode, datanodes and an HTTP gateway on this machine, waits until the cluster can be written to, and ' +
    'watches over it: a daemon that dies is started again. Finds its data again on the next start. ' +
    'Several clusters run side by side with different --dir, --namenode-port, --http-port and --gateway-port. ' +
    'Everything listens on loopback only, unless the settings dfs.namenode.bind-host, dfs.datanode.bind-host and ' +
    'dfs.gateway.bind-host say otherwise.',
  examples: [
    'dfs up',
    'dfs up --dir /tmp/two --namenode-port 9020 --http-port 0 --gateway-port 0 --detach',
  ],
  options,
  async run(context, options, operands) {
    if (operands.length > 0) throw new UsageError(`Cannot use "${operands[0] ?? ''}" here`)
    if (options.detach && options.foreground) {
      throw new UsageError('Give either --foreground or --detach')
    }
    try {
      if (options.detach) await launchDetached(context, options)
      else await launch(context, options)
    } catch (error) {
      throw error instanceof LaunchError ? new CommandError(error.message) : error
    }
  },
})

async function launch(context: CommandContext, options: UpOptions): Promise<void> {
  const startedMs = performance.now()
  context.io.keepUntilDone()
  const layout = layoutOf(context, options)
  const cluster = new Cluster(await plan(context, options, layout))
  const killNow = (): void => {
    cluster.killNow()
  }
  process.once('exit', killNow)
  try {
    await cluster.start(context.signal)
    announce(context, summaryLines(context, { cluster, layout, options, startedMs }))
    await interruption(context.signal)
    if (!options.supervised) context.out.line('stopping')
    context.out.flush()
  } catch (error) {
    if (!context.signal.aborted) throw error
  } finally {
    await cluster.stop()
    process.off('exit', killNow)
  }
}

/** The same command once more, as a process of its own that watches over the cluster. */
async function launchDetached(context: CommandContext, options: UpOptions): Promise<void> {
  const layout = layoutOf(context, options)
  layout.refuseIfRunning()
  const { datanodes, namenodePort, httpPort, gatewayPort, noRestart } = options
  const given = (name: string, text: string | undefined): string[] =>
    text === undefined ? [] : [name, text]
  const args = [
    ...['up', '--supervised', '--dir', layout.directory],
    ...given('--datanodes', datanodes),
    ...given('--namenode-port', namenodePort),
    ...given('--http-port', httpPort),
    ...given('--gateway-port', gatewayPort),
    ...(noRestart ? ['--no-restart'] : []),
    ...daemonOptions(context),
  ]
  layout.prepare()
  const lines = await startDetached({
    ...{ what: 'the launcher', file: layout.log('up') },
    ...{ entry: programPath(), args, whenReady: linesOfUp },
  })
  context.out.lines(lines)
}

function layoutOf({ io }: CommandContext, { directory }: UpOptions): ClusterLayout {
  return new ClusterLayout(resolve(io.cwd, directory ?? defaultClusterDirectory))
}

/** What every daemon is told about the configuration. */
function daemonOptions({ global, io }: CommandContext): string[] {
  return [
    ...global.set.flatMap((assignment) => ['--set', assignment]),
    ...(global.config === undefined ? [] : ['--config', resolve(io.cwd, global.config)]),
  ]
}

async function plan(
  context: CommandContext,
  options: UpOptions,
  layout: ClusterLayout,
): Promise<ConstructorParameters<typeof Cluster>[0]> {
  const { global, io } = context
  const settings = await loadSettings(global, io.cwd)
  const bindHost =
    settings['dfs.namenode.bind-host'] ?? settingTable['dfs.namenode.bind-host'].default
  const host = bindHost === '0.0.0.0' || bindHost === '::' ? '127.0.0.1' : bindHost
  const kept = layout.datanodeCount()
  const datanodes = readCount('--datanodes', options.datanodes, {
    fallback: kept === 0 ? defaultDatanodes : kept,
    max: datanodesMax,
  })
  if (kept > datanodes) {
    context.note(`${layout.directory} has data of ${kept} datanodes; only ${datanodes} will run`)
  }
  const rpcPort = settings['dfs.namenode.rpc-port'] ?? settingTable['dfs.namenode.rpc-port'].default
  const httpPort =
    settings['dfs.namenode.http-port'] ?? settingTable['dfs.namenode.http-port'].default
  const gatewayHost =
    settings['dfs.gateway.bind-host'] ?? settingTable['dfs.gateway.bind-host'].default
  const gatewayPort =
    settings['dfs.gateway.http-port'] ?? settingTable['dfs.gateway.http-port'].default
  const port = (
    option: string,
    text: string | undefined,
    fallback: number,
    at = bindHost,
  ): Promise<number> =>
    claimPort({ host: at, option, port: readCount(option, text, { fallback, max: 65_535 }) })
  layout.refuseIfRunning()
  return {
    layout,
    host,
    datanodes,
    namenodePort: await port('--namenode-port', options.namenodePort, rpcPort),
    httpPort: await port('--http-port', options.httpPort, httpPort),
    gateway: {
      host: gatewayHost,
      port: await port('--gateway-port', options.gatewayPort, gatewayPort, gatewayHost),
    },
    entry: programPath(),
    daemonOptions: daemonOptions(context),
    restarts: !options.noRestart,
    exitWithLauncher: !options.supervised,
    say: (line) => {
      context.note(line)
    },
  }
}

function readCount(
  option: string,
  text: string | undefined,
  { fallback, max }: { readonly fallback: number; readonly max: number },
): number {
  const count = text === undefined ? fallback : Number(text)
  const min = option === '--datanodes' ? 1 : 0
  if (!Number.isInteger(count) || count < min || count > max) {
    throw new UsageError(`Cannot use ${option} ${text ?? ''}: need ${min} to ${max}`)
  }
  return count
}

function summaryLines(
  context: CommandContext,
  facts: {
    readonly cluster: Cluster
    readonly layout: ClusterLayout
    readonly options: UpOptions
    readonly startedMs: number
  },
): string[] {
  const { cluster, layout, options, startedMs } = facts
  const { namenode, gateway, ...datanodes } = cluster.addresses()
  const names = Object.keys(datanodes)
  const transfer = Object.values(datanodes).map((addresses) => addresses['transfer'] ?? '?')
  const dfs = programName(context.io)
  const isDefault = cluster.uri === settingTable['fs.defaultFS'].default
  const at = isDefault ? '' : ` --fs ${cluster.uri}`
  const down = options.directory === undefined ? '' : ` --dir ${layout.directory}`
  const stop = options.supervised ? `Stop it with: ${dfs} down${down}` : 'Ctrl-C stops it.'
  return [
    `Trefoil is up after ${duration(performance.now() - startedMs)}: one namenode, ${counted(names.length, 'datanode')}, one gateway.`,
    `  cluster    ${cluster.uri}`,
    `  status     http://${namenode?.['http'] ?? '?'}/`,
    `  datanodes  ${transfer.join(', ')}`,
    `  gateway    http://${gateway?.['http'] ?? '?'}/ (WebHDFS at /webhdfs/v1, files at /files)`,
    `  data       ${layout.directory}/{namenode,${names.join(',')}}`,
    `  logs       ${layout.logs}`,
    'Try:',
    `  ${dfs}${at} put /etc/hosts /`,
    `  ${dfs}${at} ls /`,
    `  ${dfs}${at} report`,
    stop,
  ]
}

/** A detached launcher's words go to the process that waits for it, which prints them. */
function announce(context: CommandContext, lines: readonly string[]): void {
  if (process.send !== undefined && process.connected) process.send({ kind: 'up', lines })
  context.out.lines(lines)
  context.out.flush()
}

function interruption(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => {
      resolve()
    })
  })
}
