import process from 'node:process'
import { isDfsError } from '../../protocol/errors.ts'
import {
  compareWithModel,
  describeBlocks,
  describeTree,
  disksAgree,
  listTree,
  unhealthy,
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
const healthCheckMs = 1000
/** A client that died is followed by another one on its directory: until then its last requests have arrived. */
const clientRestartMs = 30_000

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
    watchRows(this.#cluster, (message) => {
      this.#violation(message)
    })
  }

  /** The code under test broke down. */
  failed(error: unknown): void {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#violation(`failed: ${what}`)
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
        this.#model.powerLost()
      },
      trace: (what) => {
        this.#note(what)
      },
    })
    faults.start()
    const isDone = (): boolean => this.#remaining.size === 0
    const ended = scheduler.run(isDone, workloadMsMax)
    if (scheduler.isHalted) return
    if (!ended) this.#violation('the workload did not end')
    this.#isFaulty = false
    faults.stop()
    this.#runTask(this.#check(), convergenceMsMax * 3)
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
          this.#violation(message)
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
    if (!ended && !scheduler.isHalted) this.#violation('the checks did not end')
    if (isDfsError(failure)) this.#violation(`the checks failed: ${failure.message}`)
    else if (failure !== undefined) throw failure instanceof Error ? failure : new Error('failed')
  }

  async #check(): Promise<void> {
    const client = this.#cluster.client('checker')
    await this.#converge(client)
    await compareWithModel(client, this.#model, (message) => {
      this.#violation(message)
    })
    this.#invariants()
    await this.#checkReplay(client)
    client.life.kill()
  }

  async #converge(client: SimClient): Promise<void> {
    const deadline = client.now + convergenceMsMax
    while (client.now < deadline) {
      for (const datanode of this.#cluster.datanodes) datanode.scrub()
      if (disksAgree(this.#cluster) && (await unhealthy(this.#cluster, client)).length === 0) return
      await client.pause(healthCheckMs)
    }
    for (const what of await unhealthy(this.#cluster, client))
      this.#violation(`does not heal: ${what}`)
    for (const line of describeBlocks(this.#cluster)) this.#note(line)
  }

  /** The journal and the store alone give the same namespace again. */
  async #checkReplay(client: SimClient): Promise<void> {
    const { namenode } = this.#cluster
    const before = describeTree(await listTree(client))
    namenode.crash('power')
    namenode.start()
    const after = describeTree(await listTree(client))
    this.#digest.add(after)
    if (after !== before) this.#violation(`replay differs:\n${before}\nbecame\n${after}`)
    this.#invariants()
  }

  #invariants(): void {
    const { serving } = this.#cluster.namenode
    serving?.namesystem.invariants()
    serving?.blocks.invariants()
  }

  #violation(message: string): void {
    this.#violations.push(`${this.#cluster.scheduler.now} ms: ${message}`)
  }

  #note(what: string): void {
    const line = `${this.#cluster.scheduler.now} ${this.#isFaulty ? '' : 'healed '}${what}`
    this.#trace.push(line)
    this.#onTrace(line)
    this.#digest.add(line)
  }
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
