/** The cluster of a chaos run: a namenode, datanodes, writers and a checker, each on a machine of its own where that is possible. */
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Prng } from '../../../base/prng.ts'
import { pickFreePort } from '../../../ops/cluster/processes.ts'
import type { Health, Question } from './checker.ts'
import { Disk, type DiskKind } from './disks.ts'
import type { HostResources } from './host.ts'
import { type FilePromise, promisesOf, readLedger } from './ledger.ts'
import { ChaosNetwork } from './network.ts'
import { dfsCommand, Supervised, type UnexpectedExit } from './processes.ts'
import type { CheckedFile, Finding } from './verdict.ts'
import type { WriterTask } from './writer.ts'

const here = dirname(fileURLToPath(import.meta.url))
const loopback = '127.0.0.1'
const rpcPort = 8020
const httpPort = 9870
const startMsMax = 60_000

/** Short times, so that a run sees many deaths, repairs and recoveries; small blocks, so that files have several. */
const settings: Readonly<Record<string, number>> = {
  'dfs.blocksize': 2 ** 20,
  'dfs.heartbeat.interval': 500,
  'dfs.namenode.stale.datanode.interval': 3_000,
  'dfs.namenode.dead.datanode.interval': 8_000,
  'dfs.namenode.lease.soft-limit': 10_000,
  'dfs.namenode.lease.hard-limit': 30_000,
  'dfs.datanode.reserved-bytes': 4 * 2 ** 20,
}

export interface WriterEvents {
  onAcknowledged(): void
  onRefused(refusal: {
    readonly path: string
    readonly what: string
    readonly reason: string
  }): void
  onStuck(stuck: { readonly path: string; readonly what: string }): void
}

export interface WorldOptions {
  readonly datanodes: number
  readonly seed: number
  readonly disks: DiskKind
  readonly reopens: boolean
  readonly writers: WriterEvents
  onUnexpectedExit(exit: UnexpectedExit): void
  say(line: string): void
}

export class World {
  readonly resources: HostResources
  readonly network: ChaosNetwork | undefined
  readonly namenode: Supervised
  readonly datanodes: readonly Supervised[]
  /** Blocks of which one replica got a flipped bit. */
  readonly rottenBlocks = new Set<number>()
  readonly #options: WorldOptions
  readonly #disks: ReadonlyMap<string, Disk>
  readonly #address: string
  readonly #ports: { readonly rpc: number; readonly http: number }
  readonly #checker: Supervised
  readonly #questions = new Map<number, (answer: { value?: unknown; error?: string }) => void>()
  #writers: Supervised[] = []
  #writersStarted = 0
  #lastQuestion = 0

  static async create(resources: HostResources, options: WorldOptions): Promise<World> {
    const names = Array.from({ length: options.datanodes }, (_, index) => `datanode-${index + 1}`)
    const isRoot = process.getuid?.() === 0
    const machines = ['namenode', ...names, 'writers', 'checker']
    const network = isRoot ? new ChaosNetwork(resources, machines) : undefined
    const ports =
      network === undefined
        ? { rpc: await pickFreePort(loopback), http: await pickFreePort(loopback) }
        : { rpc: rpcPort, http: httpPort }
    return new World(resources, { options, network, ports, names })
  }

  private constructor(
    resources: HostResources,
    parts: {
      readonly options: WorldOptions
      readonly network: ChaosNetwork | undefined
      readonly ports: { readonly rpc: number; readonly http: number }
      readonly names: readonly string[]
    },
  ) {
    this.resources = resources
    this.#options = parts.options
    this.network = parts.network
    this.#ports = parts.ports
    this.#address = this.#addressOf('namenode')
    this.#disks = new Map(
      ['namenode', ...parts.names].map((name) => [
        name,
        new Disk(resources, name, parts.options.disks),
      ]),
    )
    this.namenode = this.#daemon('namenode')
    this.datanodes = parts.names.map((name) => this.#daemon(name))
    this.#checker = this.#worker('checker', 'checker', [join(here, 'checker.js'), this.uri])
    this.#checker.onMessage = (message) => {
      const { id, ...answer } = message as { id: number; value?: unknown; error?: string }
      this.#questions.get(id)?.(answer)
      this.#questions.delete(id)
    }
  }

  get uri(): string {
    return `hdfs://${this.#address}:${this.#ports.rpc}`
  }

  get daemons(): readonly Supervised[] {
    return [this.namenode, ...this.datanodes]
  }

  get writers(): readonly Supervised[] {
    return this.#writers
  }

  disk(name: string): Disk {
    const disk = this.#disks.get(name)
    if (disk === undefined) throw new Error(`there is no disk of "${name}"`)
    return disk
  }

  /** Where a daemon keeps its data. */
  dataDirectory(name: string): string {
    return join(this.disk(name).path, 'state')
  }

  say(line: string): void {
    this.#options.say(line)
  }

  async start(): Promise<void> {
    await Promise.all([...this.#disks.values()].map((disk) => disk.start()))
    for (const daemon of this.daemons) daemon.start()
    this.#checker.start()
    await this.ready()
  }

  /** Waits until every datanode is live. */
  async ready(): Promise<void> {
    const deadline = Date.now() + startMsMax
    for (;;) {
      const live = await this.ask<number>({ kind: 'live' }).catch(() => 0)
      if (live >= this.datanodes.length) return
      if (Date.now() > deadline) throw new Error(`only ${live} datanodes are live`)
      await sleep(100)
    }
  }

  /** Starts one more writing process, which recovers what the writer `heirOf` left open. */
  startWriter(door: WriterTask['door'], lanes: number, heirOf?: string): void {
    this.#writersStarted += 1
    const name = `writer-${this.#writersStarted}`
    const task: WriterTask = {
      name,
      door,
      lanes,
      uri: this.uri,
      dfs: dfsCommand,
      ledger: this.#ledgerOf(name),
      reopens: this.#options.reopens,
      ...(heirOf === undefined || !this.#options.reopens
        ? {}
        : { inherited: this.#ledgerOf(heirOf) }),
      seed: new Prng(this.#options.seed + this.#writersStarted).next(),
      pauseMsMax: door === 'cli' ? 1000 : 150,
    }
    const writer = this.#worker(name, 'writers', [join(here, 'writer.js'), JSON.stringify(task)])
    writer.onMessage = (message) => this.#heard(message)
    this.#writers.push(writer)
    writer.start()
  }

  /** Ends a writer in the middle of what it does, and starts another of its kind. */
  async killWriter(writer: Supervised): Promise<void> {
    await writer.end('SIGKILL')
    this.#writers = this.#writers.filter((other) => other !== writer)
  }

  /** Lets the writers finish the files they are at. */
  async stopWriters(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.end('SIGTERM')))
    this.#writers = []
  }

  /** What the cluster has promised up to now, of all writers that ever were. */
  promises(): FilePromise[] {
    return Array.from({ length: this.#writersStarted }, (_, index) =>
      promisesOf(readLedger(this.#ledgerOf(`writer-${index + 1}`))),
    ).flat()
  }

  health(): Promise<Health> {
    return this.ask<Health>({ kind: 'health' })
  }

  check(files: readonly CheckedFile[]): Promise<Finding[]> {
    return this.ask<Finding[]>({ kind: 'check', files })
  }

  /** Recovers the leases of files that nobody writes any more; what stays open is a finding. */
  closeAll(files: readonly CheckedFile[]): Promise<Finding[]> {
    return this.ask<Finding[]>({ kind: 'close', files })
  }

  ask<Answer>(question: Question): Promise<Answer> {
    this.#lastQuestion += 1
    const id = this.#lastQuestion
    return new Promise((resolve, reject) => {
      this.#questions.set(id, ({ value, error }) => {
        if (error === undefined) resolve(value as Answer)
        else reject(new Error(error))
      })
      this.#checker.send({ id, question })
    })
  }

  #heard(message: unknown): void {
    const { writers } = this.#options
    const told = message as { kind: string; path: string; what: string; reason: string }
    if (told.kind === 'acknowledged') writers.onAcknowledged()
    else if (told.kind === 'refused') writers.onRefused(told)
    else if (told.kind === 'stuck') writers.onStuck(told)
  }

  #addressOf(machine: string): string {
    return this.network?.address(machine) ?? loopback
  }

  #ledgerOf(writer: string): string {
    const folder = join(this.resources.directory, 'ledgers')
    mkdirSync(folder, { recursive: true })
    return join(folder, `${writer}.jsonl`)
  }

  #worker(name: string, machine: string, args: readonly string[]): Supervised {
    const worker = new Supervised(this.resources, {
      name,
      prefix: this.network?.prefix(machine) ?? [],
      command: [process.execPath, '--enable-source-maps', ...args],
      hasChannel: true,
    })
    worker.onUnexpectedExit = (exit) => this.#options.onUnexpectedExit(exit)
    return worker
  }

  #daemon(name: string): Supervised {
    const address = this.#addressOf(name)
    const data = this.dataDirectory(name)
    const own: Record<string, string | number> =
      name === 'namenode'
        ? {
            'dfs.namenode.bind-host': address,
            'dfs.namenode.rpc-port': this.#ports.rpc,
            'dfs.namenode.http-port': this.#ports.http,
          }
        : { 'dfs.datanode.bind-host': address }
    const sets = Object.entries({ ...settings, ...own }).flatMap(([key, value]) => [
      '--set',
      `${key}=${value}`,
    ])
    const role =
      name === 'namenode'
        ? ['namenode', '--dir', data]
        : ['datanode', '--dir', data, '--namenode', this.uri.slice('hdfs://'.length)]
    const daemon = new Supervised(this.resources, {
      name,
      prefix: this.network?.prefix(name) ?? [],
      command: [process.execPath, dfsCommand, ...role, ...sets],
      hasChannel: false,
    })
    daemon.onUnexpectedExit = (exit) => this.#options.onUnexpectedExit(exit)
    return daemon
  }
}
