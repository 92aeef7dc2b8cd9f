import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DfsClient } from '../../client/index.ts'
import { pickFreePort } from '../../ops/cluster/processes.ts'

/** Compiled entry of the `dfs` command, beside the compiled tests. */
const dfsEntry = join(dirname(fileURLToPath(import.meta.url)), '../../client/cli/main.js')

/** Parameters of {@link startCluster}. */
export interface ClusterOptions {
  readonly datanodes: number
  /** Settings of all daemons. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>
  /** Data directories of each datanode. */
  readonly directoriesPerDatanode?: number
}

type Role = 'namenode' | `datanode-${number}`

/** Real daemons on loopback with data in a temporary directory; any of them can be killed and started again. */
export class RealCluster {
  readonly directory: string
  readonly host = '127.0.0.1'
  readonly port: number
  readonly httpPort: number
  readonly user = userInfo().username
  readonly #options: ClusterOptions
  readonly #processes = new Map<Role, ChildProcess>()

  constructor(directory: string, ports: { rpc: number; http: number }, options: ClusterOptions) {
    this.directory = directory
    this.port = ports.rpc
    this.httpPort = ports.http
    this.#options = options
  }

  get uri(): string {
    return `hdfs://${this.host}:${this.port}`
  }

  get datanodeRoles(): Role[] {
    return Array.from(
      { length: this.#options.datanodes },
      (_, index): Role => `datanode-${index + 1}`,
    )
  }

  /** Data directories of one datanode. */
  dataDirectories(role: Role): string[] {
    const count = this.#options.directoriesPerDatanode ?? 1
    return Array.from({ length: count }, (_, index) =>
      join(this.directory, role, `data-${index + 1}`),
    )
  }

  client(): DfsClient {
    return new DfsClient({ uri: this.uri })
  }

  pid(role: Role): number | undefined {
    return this.#processes.get(role)?.pid
  }

  /** Starts one daemon; does not wait until it serves. */
  start(role: Role): void {
    mkdirSync(join(this.directory, 'logs'), { recursive: true })
    const log = openSync(join(this.directory, 'logs', `${role}.log`), 'a')
    const child = spawn(process.execPath, [dfsEntry, ...this.#arguments(role)], {
      stdio: ['ignore', log, log],
      env: { ...process.env, UV_THREADPOOL_SIZE: '8' },
    })
    closeSync(log)
    this.#processes.set(role, child)
  }

  #arguments(role: Role): string[] {
    const settings: Record<string, string | number | boolean> = {
      'dfs.datanode.reserved-bytes': 0,
      ...this.#options.settings,
    }
    const sets = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`])
    if (role === 'namenode') {
      const directory = join(this.directory, 'namenode')
      const ports = [
        '--set',
        `dfs.namenode.rpc-port=${this.port}`,
        '--set',
        `dfs.namenode.http-port=${this.httpPort}`,
      ]
      return ['namenode', '--dir', directory, ...sets, ...ports]
    }
    const directories = this.dataDirectories(role).flatMap((directory) => ['--dir', directory])
    return ['datanode', ...directories, '--namenode', `${this.host}:${this.port}`, ...sets]
  }

  /** Ends one daemon and waits until the process is gone. */
  async kill(role: Role, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#processes.get(role)
    if (child === undefined) return
    this.#processes.delete(role)
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await gone
  }

  /** Waits until `count` datanodes are live and a block can be placed. */
  async ready(count = this.#options.datanodes, timeoutMs = 30_000): Promise<void> {
    const deadline = Date.now() + timeoutMs
    const client = this.client()
    try {
      for (;;) {
        const live = await client.datanodes('live').catch(() => [])
        if (live.length >= count) return
        if (Date.now() > deadline)
          throw new Error(`only ${live.length} of ${count} datanodes came up\n${this.logs()}`)
        await sleep(50)
      }
    } finally {
      await client.close()
    }
  }

  /** The end of every log, for failure messages. */
  logs(): string {
    return ['namenode' as Role, ...this.datanodeRoles]
      .map((role) => ({ role, file: join(this.directory, 'logs', `${role}.log`) }))
      .filter(({ file }) => existsSync(file))
      .map(({ role, file }) => `--- ${role}\n${readFileSync(file, 'utf8').slice(-2000)}`)
      .join('\n')
  }

  /** Stops every daemon and removes the data. */
  async stop(): Promise<void> {
    await Promise.all(this.datanodeRoles.map((role) => this.kill(role, 'SIGTERM')))
    await this.kill('namenode', 'SIGTERM')
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Starts a namenode and datanodes and waits until they serve. */
export async function startCluster(options: ClusterOptions): Promise<RealCluster> {
  const directory = mkdtempSync(join(tmpdir(), 'trefoil-cluster-'))
  const cluster = new RealCluster(
    directory,
    { rpc: await pickFreePort('127.0.0.1'), http: await pickFreePort('127.0.0.1') },
    options,
  )
  for (const role of ['namenode' as Role, ...cluster.datanodeRoles]) cluster.start(role)
  await cluster.ready()
  return cluster
}
