import process from 'node:process'
import { isDfsError } from '../../protocol/errors.ts'
import {
  type Checker,
  compareWithModel,
  describeBlocks,
  describeTree,
  disksAgree,
  isOpen,
  leftovers,
  listTree,
  type Report,
  unbalanced,
  unhealthy,
  watchDeletions,
  watchRows,
} from './checkers.ts'
import { SimCluster } from './cluster.ts'
import type { SimConfig } from './config.ts'
import { FaultInjector } from './faults.ts'
import { FileSystemModel } from './model.ts'
import type { SimClient } from './sim-client.ts'
import { Workload } from './workload.ts'

/** Simulated time within which the workload ends, and then everything is healthy again. */
const workloadMsMax = 3_600_000
const convergenceMsMax = 600_000
/** Where nobody tells datanodes what is damaged; one that told the namenode in vain tells it again after ten minutes. */
const scrubbedMsMax = 900_000
const healthCheckMs = 1000
/** The namenode gives a copy up after that long. */
const settledMsMax = 120_000
/** A client that died is followed by another one on its directory: until then its last requests have arrived. */
const clientRestartMs = 16_000

/** What became of one simulation. */
export interface SimResult {
  readonly violations: readonly string[]
  /** Hash of everything that happened: equal for equal seeds. */
  readonly digest: string
  readonly simulatedMs: number
  readonly events: number
  readonly messages: number
  /** Finished operations and faults, in order. */
  readonly trace: readonly string[]
}

/**
 * Runs one simulation: faults until the workload is done, then healing, then the checks. An assertion of the
 * code under test ends the run wherever it is, and is a violation.
 */
export function simulate(
  config: SimConfig,
  onTrace: (line: string) => void = () => undefined,
): Promise<SimResult> {
  // The run lasts one turn of the event loop: the scheduler settles promises itself.
  return new Promise((resolve) => {
    setImmediate(() => {
      const simulation = new Simulation(config, onTrace)
      const onRejection = (error: unknown): void => {
        simulation.failed(error)
      }
      process.on('unhandledRejection', onRejection)
      try {
        simulation.run()
      } catch (error) {
        simulation.failed(error)
      } finally {
        process.off('unhandledRejection', onRejection)
      }
      resolve(simulation.result())
    })
  })
}

class Simulation {
  readonly #config: SimConfig
  readonly #cluster: SimCluster
  readonly #model = new FileSystemModel()
  readonly #violations: string[] = []
  readonly #trace: string[] = []
  readonly #onTrace: (line: string) => void
  readonly #digest = new Digest()
  readonly #running = new Map<number, SimClient>()
  /** Operations left, by client that is not done. */
  readonly #remaining = new Map<number, number>()
  #isFaulty = true

  constructor(config: SimConfig, onTrace: (line: string) => void) {
    this.#config = config
    this.#onTrace = onTrace
    this.#cluster = new SimCluster(config)
    const report: Report = (checker, message) => {
      this.#violation(checker, message)
    }
    watchRows(this.#cluster, report)
    watchDeletions(this.#cluster, report)
  }

  /** The code under test broke down. */
  failed(error: unknown): void {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#violation('assertion', what)
    this.#cluster.scheduler.halt()
  }

  result(): SimResult {
    const { scheduler, network } = this.#cluster
    this.#digest.add(`${scheduler.now} ${scheduler.eventCount}`)
    return {
      violations: this.#violations,
      digest: this.#digest.value,
      simulatedMs: scheduler.now,
      events: scheduler.eventCount,
      messages: network.messageCount,
      trace: this.#trace,
    }
  }

  run(): void {
    const { clients, operationsPerClient } = this.#config
    const { scheduler } = this.#cluster
    this.#cluster.start()
    for (let index = 0; index < clients; index += 1) {
      this.#remaining.set(index, operationsPerClient)
      this.#startClient(index)
    }
    const faults = new FaultInjector(this.#cluster, {
      crashClient: () => {
        this.#crashClient()
      },
      powerLost: () => {
        this.#model.powerLost(this.#cluster.scheduler.now)
      },
      trace: (what) => {
        this.#invariants()
        this.#note(what)
      },
    })
    faults.start()
    const isDone = (): boolean => this.#remaining.size === 0
    const ended = scheduler.run(isDone, workloadMsMax)
    if (scheduler.isHalted) return
    this.#isFaulty = false
    faults.stop()
    // Faults may come so thick that nothing gets done; once they are over, everything must.
    if (!ended && !scheduler.run(isDone, scheduler.now + convergenceMsMax)) {
      this.#violation('convergence', 'the workload did not end')
    }
    this.#runTask(this.#check(), convergenceMsMax * 5)
  }

  /** Lets a client do what is left for it; when it dies, another one goes on later. */
  #startClient(index: number): void {
    const client = this.#cluster.client(`client${index}`)
    this.#running.set(index, client)
    const workload = new Workload(client, `/home${index}`, {
      model: this.#model,
      config: this.#config,
      witness: {
        violation: (message) => {
          this.#violation('answers', message)
        },
        trace: (what) => {
          this.#note(what)
        },
        finished: () => {
          this.#remaining.set(index, (this.#remaining.get(index) ?? 0) - 1)
        },
      },
    })
    void workload.run(this.#remaining.get(index) ?? 0).then(() => {
      this.#running.delete(index)
      this.#remaining.delete(index)
    })
  }

  #crashClient(): void {
    const { prng, scheduler } = this.#cluster
    const [first] = this.#running.keys()
    if (first === undefined) return
    const index = prng.pick([...this.#running.keys()])
    this.#running.get(index)?.life.kill()
    this.#running.delete(index)
    scheduler.after(clientRestartMs, () => {
      this.#startClient(index)
    })
  }

  /** Runs an asynchronous check to its end, as the scheduler lets it. */
  #runTask(task: Promise<void>, limitMs: number): void {
    const { scheduler } = this.#cluster
    let isDone = false
    let failure: unknown
    task.then(
      () => {
        isDone = true
      },
      (error: unknown) => {
        isDone = true
        failure = error
      },
    )
    const ended = scheduler.run(() => isDone, scheduler.now + limitMs)
    if (!ended && !scheduler.isHalted) this.#violation('convergence', 'the checks did not end')
    if (isDfsError(failure)) this.#violation('convergence', `the checks failed: ${failure.message}`)
    else if (failure !== undefined) throw failure instanceof Error ? failure : new Error('failed')
  }

  async #check(): Promise<void> {
    const client = this.#cluster.client('checker')
    await this.#converge(client)
    await compareWithModel(client, this.#model, (checker, message) => {
      this.#violation(checker, message)
    })
    this.#invariants()
    await this.#balance(client)
    await this.#settle(client)
    await this.#checkReplay(client)
    client.life.kill()
    await this.#checkFullReplay()
  }

  async #converge(client: SimClient): Promise<void> {
    const isScrubbing = this.#config.scrubPeriodMs > 0
    const deadline = client.now + convergenceMsMax + (isScrubbing ? scrubbedMsMax : 0)
    while (client.now < deadline) {
      if (!isScrubbing) for (const datanode of this.#cluster.datanodes) datanode.scrub()
      if (disksAgree(this.#cluster) && (await unhealthy(this.#cluster, client)).length === 0) return
      await client.pause(healthCheckMs)
    }
    for (const what of await unhealthy(this.#cluster, client))
      this.#violation('convergence', `does not heal: ${what}`)
    for (const line of describeBlocks(this.#cluster)) this.#note(line)
  }

  /** What is under way when everything is healthy ends, or is given up, in bounded time. */
  async #settle(client: SimClient): Promise<void> {
    const deadline = client.now + settledMsMax
    while (client.now < deadline) {
      if (leftovers(this.#cluster).length === 0) return
      await client.pause(healthCheckMs)
    }
    for (const what of leftovers(this.#cluster)) this.#violation('leaks', what)
  }

  /** Balancing ends, and then every datanode is as full as it can be made. */
  async #balance(client: SimClient): Promise<void> {
    const deadline = client.now + convergenceMsMax
    while (unbalanced(this.#cluster).length > 0 && client.now < deadline) {
      await client.pause(healthCheckMs)
    }
    for (const what of unbalanced(this.#cluster)) this.#violation('balance', what)
    // For the sums of many seeds: how much balancing there was.
    const moved = this.#cluster.namenode.serving?.blocks.balance().movedBlocks ?? 0
    for (let count = 0; count < moved; count += 1) this.#note('balanced')
  }

  /** The journal and the store alone give the same namespace again. */
  async #checkReplay(client: SimClient): Promise<void> {
    const { namenode } = this.#cluster
    const before = await listTree(client)
    namenode.crash('power')
    namenode.start()
    const after = await listTree(client)
    this.#digest.add(describeTree(after).join('\n'))
    // A file whose last block is nowhere is open still, and its lease may run out now.
    const openPaths = new Set(before.filter(isOpen).map(({ path }) => path))
    const closed = (files: typeof before): string[] =>
      describeTree(files.filter(({ path }) => !openPaths.has(path)))
    for (const line of differences(closed(before), closed(after))) this.#violation('replay', line)
    this.#invariants()
  }

  /** The whole journal, from its first transaction on, gives what the store and its tail give. */
  async #checkFullReplay(): Promise<void> {
    const { namenode } = this.#cluster
    await namenode.serving?.stop()
    const stored = namenode.store.describe()
    const replayed = await namenode.replayEverything()
    for (const line of differences(stored, replayed)) this.#violation('full-replay', line)
  }

  #invariants(): void {
    const { serving } = this.#cluster.namenode
    serving?.namesystem.invariants()
    serving?.blocks.invariants()
  }

  #violation(checker: Checker, message: string): void {
    this.#violations.push(`${this.#cluster.scheduler.now} ms: [${checker}] ${message}`)
  }

  #note(what: string): void {
    const line = `${this.#cluster.scheduler.now} ${this.#isFaulty ? '' : 'healed '}${what}`
    this.#trace.push(line)
    this.#onTrace(line)
    this.#digest.add(line)
  }
}

/** Lines that only one side has. */
function differences(before: readonly string[], after: readonly string[]): readonly string[] {
  const lost = before.filter((line) => !after.includes(line)).map((line) => `lost: ${line}`)
  const added = after.filter((line) => !before.includes(line)).map((line) => `new: ${line}`)
  return [...lost, ...added]
}

/** Order-dependent hash of strings, 64 bits in two halves. */
class Digest {
  #low = 0x811c9dc5
  #high = 0x9e3779b9

  add(text: string): void {
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index)
      this.#low = Math.imul(this.#low ^ code, 0x01000193)
      this.#high = Math.imul(this.#high ^ (code + index), 0x85ebca6b)
    }
  }

  get value(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0')
    return hex(this.#high) + hex(this.#low)
  }
}
