import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DfsClient } from '../../client/index.ts'
import { datanodeThreadPoolSize } from '../../datanode/shell/transfer-server.ts'
import { pickFreePort } from '../cluster/processes.ts'
import { startDaemon, until } from '../demo/steps.ts'

const patienceMs = 180_000

/** A cluster of real processes whose datanodes come and go as a measurement needs it. */
export class BenchCluster {
  readonly client: DfsClient
  readonly uri: string
  readonly #entry: string
  readonly #directory: string
  readonly #port: number
  readonly #settings: readonly string[]
  readonly #datanodes = new Map<string, ChildProcess>()
  #namenode: ChildProcess | undefined

  private constructor(entry: string, directory: string, port: number, settings: readonly string[]) {
    this.#entry = entry
    this.#directory = directory
    this.#port = port
    this.#settings = settings.flatMap((setting) => ['--set', setting])
    this.uri = `hdfs://127.0.0.1:${port}`
    this.client = new DfsClient({ uri: this.uri })
  }

  /** @param entry what runs as `dfs` */
  static async start(entry: string, settings: readonly string[]): Promise<BenchCluster> {
    const directory = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'trefoil-bench-'))
    const [port, httpPort] = [await pickFreePort('127.0.0.1'), await pickFreePort('127.0.0.1')]
    const cluster = new BenchCluster(entry, directory, port, settings)
    cluster.#namenode = startDaemon(entry, [
      ...['namenode', '--dir', join(directory, 'namenode')],
      ...['--set', `dfs.namenode.rpc-port=${port}`, '--set', `dfs.namenode.http-port=${httpPort}`],
      ...cluster.#settings,
    ])
    return cluster
  }

  /** Starts a datanode and returns its `ip:port` once it is live. */
  async add(name: string): Promise<string> {
    const before = new Set((await this.#live()).map(({ uuid }) => uuid))
    const where = ['--dir', join(this.#directory, name), '--namenode', `127.0.0.1:${this.#port}`]
    const args = ['datanode', ...where, ...this.#settings]
    const child = startDaemon(this.#entry, args, { ioThreads: datanodeThreadPoolSize })
    this.#datanodes.set(name, child)
    const node = await until(`datanode ${name} registers`, patienceMs, async () =>
      (await this.#live()).find(({ uuid }) => !before.has(uuid)),
    )
    return `${node.ipAddress}:${node.transferPort}`
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.#datanodes.get(name)?.kill(signal)
  }

  get namenodePid(): number | undefined {
    return this.#namenode?.pid
  }

  /** Process id of a datanode. */
  pidOf(name: string): number | undefined {
    return this.#datanodes.get(name)?.pid
  }

  /** Resolves with the time at which the namenode has taken so many datanodes for dead. */
  async detected(count: number): Promise<number> {
    return await until('the loss is detected', patienceMs, async () => {
      const dead = await this.client.datanodes('dead')
      return dead.length >= count ? performance.now() : undefined
    })
  }

  /** Resolves when no block has fewer replicas than it should. */
  async safe(): Promise<number> {
    return await until('every block is safe again', patienceMs, async () => {
      const { lowRedundancy, missing } = await this.client.blockStats()
      return lowRedundancy + missing === 0 ? performance.now() : undefined
    })
  }

  /** Replicas on all datanodes together. */
  async replicas(): Promise<number> {
    return (await this.client.datanodes('all')).reduce((sum, { blocks }) => sum + blocks, 0)
  }

  async stop(): Promise<void> {
    await this.client.close()
    const children = [...this.#datanodes.values(), this.#namenode]
    const ended = children.map((child) => ending(child))
    for (const child of children) child?.kill('SIGKILL')
    await Promise.all(ended)
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }

  async #live(): ReturnType<DfsClient['datanodes']> {
    return await until('the namenode answers', patienceMs, () => this.client.datanodes('live'))
  }
}

function ending(child: ChildProcess | undefined): Promise<unknown> {
  const hasEnded = child === undefined || child.exitCode !== null || child.signalCode !== null
  return hasEnded ? Promise.resolve() : new Promise((resolve) => child.once('exit', resolve))
}
