/**
 * Starts a namenode, datanodes and a gateway as child processes under one directory, watches over them, and stops
 * them, the gateway first and the namenode last so that no write finds its namenode gone. All start at once: datanodes
 * knock at the namenode's port until it opens.
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { DfsClient } from '../../client/index.ts'
import { Daemon, type DaemonExit, type DaemonListener } from './daemon.ts'
import { LaunchError } from './launch-error.ts'
import type { ClusterLayout, DaemonName } from './layout.ts'

export interface LaunchOptions {
  readonly layout: ClusterLayout
  /** Path of the `dfs` program. */
  readonly entry: string
  readonly host: string
  readonly namenodePort: number
  readonly httpPort: number
  /** Address and port of the HTTP gateway. */
  readonly gateway: { readonly host: string; readonly port: number }
  readonly datanodes: number
  /** Options handed to every daemon, such as --set and --config. */
  readonly daemonOptions: readonly string[]
  /** Start daemons that die again. */
  readonly restarts: boolean
  /** Daemons stop when this process is gone, however it went. */
  readonly exitWithLauncher: boolean
  /** One line of news. */
  readonly say: (line: string) => void
}

const namenodeIoThreads = 8
const datanodeIoThreads = 8
const gatewayIoThreads = 4
const stopGraceMs = 10_000
const restartDelayMsMin = 200
const restartDelayMsMax = 10_000
/** A daemon that ran this long starts over with the shortest delay. */
const steadyMs = 60_000
const readyPollMs = 25
const stillWaitingMs = 10_000

interface Supervision {
  readonly daemon: Daemon
  startedMs: number
  delayMs: number
  hasBeenReady: boolean
}

/** One running cluster. */
export class Cluster implements DaemonListener {
  readonly #options: LaunchOptions
  readonly #supervised = new Map<DaemonName, Supervision>()
  readonly #restartTimers = new Set<NodeJS.Timeout>()
  #failure: LaunchError | undefined
  #isStopping = false

  constructor(options: LaunchOptions) {
    this.#options = options
    this.#supervise('namenode', namenodeIoThreads, [
      ...['namenode', '--dir', options.layout.data('namenode')],
      ...['--set', `dfs.namenode.rpc-port=${options.namenodePort}`],
      ...['--set', `dfs.namenode.http-port=${options.httpPort}`],
    ])
    for (let index = 1; index <= options.datanodes; index += 1) {
      const name: DaemonName = `datanode-${index}`
      this.#supervise(name, datanodeIoThreads, [
        ...['datanode', '--dir', options.layout.data(name)],
        ...['--namenode', `${options.host}:${options.namenodePort}`],
      ])
    }
    this.#supervise('gateway', gatewayIoThreads, [
      ...['gateway', '--fs', this.uri],
      ...['--host', options.gateway.host, '--port', String(options.gateway.port)],
    ])
  }

  /** Hosts and ports by daemon, as far as they are known. */
  addresses(): Record<string, Readonly<Record<string, string>>> {
    const entries = [...this.#supervised].map(([name, { daemon }]) => [name, daemon.addresses])
    return Object.fromEntries(entries) as Record<string, Readonly<Record<string, string>>>
  }

  get uri(): string {
    return `hdfs://${this.#options.host}:${this.#options.namenodePort}`
  }

  /**
   * Starts every daemon and resolves when a client can write: all datanodes registered, no safe mode.
   *
   * @throws LaunchError when another process uses the directory, or a daemon cannot start
   */
  async start(signal: AbortSignal): Promise<void> {
    const { layout } = this.#options
    layout.claim()
    for (const supervision of this.#supervised.values()) this.#startDaemon(supervision)
    await this.#waitUntilReady(signal)
    writeFileSync(layout.addressFile, `${JSON.stringify(this.#summary(), undefined, 2)}\n`)
  }

  /** Stops the gateway, then datanodes, then the namenode. */
  async stop(): Promise<void> {
    this.#isStopping = true
    for (const timer of this.#restartTimers) clearTimeout(timer)
    const daemons = [...this.#supervised.values()].map(({ daemon }) => daemon)
    await this.#supervised.get('gateway')?.daemon.stop(stopGraceMs)
    const datanodes = daemons.filter(({ name }) => name !== 'namenode')
    await Promise.all(datanodes.map((daemon) => daemon.stop(stopGraceMs)))
    for (const daemon of daemons) await daemon.stop(stopGraceMs)
    this.#options.layout.removePid('up', process.pid)
  }

  /** Synchronous end, for a launcher that has no time left. */
  killNow(): void {
    for (const { daemon } of this.#supervised.values()) daemon.killNow()
    this.#options.layout.removePid('up', process.pid)
  }

  onReady(daemon: Daemon): void {
    const supervision = this.#supervised.get(daemon.name)
    if (supervision === undefined) return
    if (supervision.hasBeenReady) {
      this.#options.say(`${daemon.name} is up again, process ${daemon.pid ?? 0}`)
    }
    supervision.hasBeenReady = true
  }

  onExit(daemon: Daemon, exit: DaemonExit): void {
    const supervision = this.#supervised.get(daemon.name)
    if (supervision === undefined || this.#isStopping) return
    const log = this.#options.layout.log(daemon.name)
    if (!supervision.hasBeenReady) {
      this.#failure ??= new LaunchError(
        `${daemon.name} ${endText(exit)} before it was ready; the end of ${log}:\n${daemon.logTail()}`,
      )
      return
    }
    const what = `${daemon.name}, process ${exit.pid}, ${endText(exit)}; log: ${log}`
    if (!this.#options.restarts) {
      this.#options.say(`${what}; not started again (--no-restart)`)
      return
    }
    const ranMs = performance.now() - supervision.startedMs
    if (ranMs > steadyMs) supervision.delayMs = restartDelayMsMin
    this.#options.say(`${what}; starting it again in ${supervision.delayMs / 1000} s`)
    const timer = setTimeout(() => {
      this.#restartTimers.delete(timer)
      this.#startDaemon(supervision)
    }, supervision.delayMs)
    this.#restartTimers.add(timer)
    supervision.delayMs = Math.min(supervision.delayMs * 2, restartDelayMsMax)
  }

  #supervise(name: DaemonName, ioThreads: number, args: readonly string[]): void {
    const { exitWithLauncher, daemonOptions, entry, layout } = this.#options
    const own = exitWithLauncher ? ['--exit-with-parent'] : []
    const spec = { name, ioThreads, args: [...args, ...daemonOptions, ...own] }
    const daemon = new Daemon(spec, { entry, layout }, this)
    const delayMs = restartDelayMsMin
    this.#supervised.set(name, { daemon, startedMs: 0, delayMs, hasBeenReady: false })
  }

  #startDaemon(supervision: Supervision): void {
    supervision.startedMs = performance.now()
    supervision.daemon.start()
  }

  async #waitUntilReady(signal: AbortSignal): Promise<void> {
    const startedMs = performance.now()
    const daemons = [...this.#supervised.values()].map(({ daemon }) => daemon)
    const client = new DfsClient({ uri: this.uri })
    let nextNewsMs = stillWaitingMs
    try {
      for (;;) {
        if (this.#failure !== undefined) throw this.#failure
        signal.throwIfAborted()
        const missing = daemons.filter((daemon) => !daemon.isReady)
        const waitsFor =
          missing.length > 0
            ? missing.map(({ name }) => name).join(', ')
            : await this.#whatIsMissing(client)
        if (waitsFor === undefined) return
        const waitedMs = performance.now() - startedMs
        if (waitedMs > nextNewsMs) {
          nextNewsMs += stillWaitingMs
          this.#options.say(`still waiting after ${Math.round(waitedMs / 1000)} s: ${waitsFor}`)
        }
        await delay(readyPollMs)
      }
    } finally {
      await client.close()
    }
  }

  /** What keeps clients from writing; undefined when nothing does. */
  async #whatIsMissing(client: DfsClient): Promise<string | undefined> {
    const live = await client.datanodes('live')
    if (live.length < this.#options.datanodes) {
      return `${live.length} of ${this.#options.datanodes} datanodes have registered`
    }
    return (await client.safeMode()) ? 'the namenode is in safe mode' : undefined
  }

  #summary(): unknown {
    const daemons = [...this.#supervised.values()].map(({ daemon }) => ({
      name: daemon.name,
      pid: daemon.pid,
      addresses: daemon.addresses,
    }))
    return { uri: this.uri, directory: this.#options.layout.directory, daemons }
  }
}

function endText({ code, signal }: DaemonExit): string {
  if (signal !== null) return `was killed by ${signal}`
  return code === null ? 'could not be started' : `ended with exit status ${code}`
}
