/**
 * One run of chaos: two lanes of faults over a cluster that is written to all the time, samples read back on the way, and
 * in the end everything healed, everything repaired, and every file compared with what was acknowledged.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Prng } from '../../../base/prng.ts'
import type { Health } from './checker.ts'
import { drawFault, type Fault } from './faults.ts'
import type { HostResources } from './host.ts'
import type { FilePromise } from './ledger.ts'
import type { ChaosOptions, FaultKind } from './options.ts'
import type { UnexpectedExit } from './processes.ts'
import type { CheckedFile, Finding } from './verdict.ts'
import { World } from './world.ts'

const faultLanes = 2
/** Files that one writing process is at, at a time. */
const sdkLanes = 16
const sampleFiles = 40
const convergeMsMax = 300_000
const restartAfterMs = 1_000
const refusalsShown = 20
/** So many daemons that end by themselves make going on pointless. */
const exitsMax = 20

/** What a run found; what goes to the report. */
export interface ChaosReport {
  readonly seed: number
  readonly minutes: number
  readonly kinds: readonly FaultKind[]
  readonly skipped: readonly string[]
  readonly faults: Readonly<Record<string, number>>
  readonly acknowledged: number
  readonly files: number
  readonly refused: number
  /** Reasons for refusals and how often each was given, the most frequent ones. */
  readonly refusals: readonly { readonly reason: string; readonly count: number }[]
  readonly lost: readonly Finding[]
  readonly corrupt: readonly Finding[]
  /** What is wrong beside files: crashes, operations that hang, a cluster that does not heal. */
  readonly problems: readonly string[]
  readonly convergedMs: number | undefined
  readonly passed: boolean
}

export class ChaosRun {
  readonly #options: ChaosOptions
  readonly #skipped: readonly string[]
  readonly #resources: HostResources
  readonly #print: (line: string) => void
  readonly #prng: Prng
  readonly #faults = new Map<FaultKind, number>()
  readonly #busy = new Set<string>()
  /** Times between which flushed bytes were endangered. */
  readonly #dangers: { readonly fromMs: number; toMs: number }[] = []
  readonly #findings: Finding[] = []
  readonly #problems: string[] = []
  readonly #refusals = new Map<string, number>()
  readonly #startedMs = Date.now()
  #acknowledged = 0
  #refused = 0
  #world: World | undefined
  #isOver = false
  #exits = 0
  #giveUp: ((reason: Error) => void) | undefined

  constructor(
    options: ChaosOptions,
    context: {
      readonly resources: HostResources
      readonly skipped: readonly string[]
      readonly print: (line: string) => void
    },
  ) {
    this.#options = options
    this.#resources = context.resources
    this.#skipped = context.skipped
    this.#print = context.print
    this.#prng = new Prng(options.seed)
  }

  async run(): Promise<ChaosReport> {
    const givenUp = new Promise<never>((_, reject) => {
      this.#giveUp = reject
    })
    return Promise.race([givenUp, this.#run()])
  }

  async #run(): Promise<ChaosReport> {
    const world = await World.create(this.#resources, {
      datanodes: this.#options.datanodes,
      seed: this.#options.seed,
      disks: this.#options.disks,
      reopens: this.#options.reopens,
      writers: {
        onAcknowledged: () => {
          this.#acknowledged += 1
        },
        onRefused: ({ what, reason }) => this.#noteRefusal(`${what}: ${reason}`),
        onStuck: ({ path, what }) => this.#problem(`${what} of ${path} hangs`),
      },
      onUnexpectedExit: (exit) => this.#noteExit(exit),
      say: (line) => this.#say(line),
    })
    this.#world = world
    await world.start()
    this.#say(`cluster of ${this.#options.datanodes} datanodes is up at ${world.uri}`)
    world.startWriter('sdk', sdkLanes)
    world.startWriter('sdk', sdkLanes)
    world.startWriter('cli', 1)
    const lanes = Array.from({ length: faultLanes }, (_, lane) =>
      this.#faultLane(world, lane, new Prng(this.#prng.next())),
    )
    const sampling = this.#sampleLane(world, new Prng(this.#prng.next()))
    await sleep(this.#options.minutes * 60_000)
    this.#isOver = true
    await Promise.all([...lanes, sampling])
    this.#say('faults are over: the writers finish')
    await world.ready()
    await world.stopWriters()
    const convergedMs = await this.#converge(world)
    await this.#checkEverything(world)
    return this.#report(world, convergedMs)
  }

  async #faultLane(world: World, lane: number, prng: Prng): Promise<void> {
    while (!this.#isOver) {
      await sleep(200 + prng.below(3_000))
      const fault = drawFault(prng.pick(this.#options.kinds), prng, world)
      if (fault === undefined || fault.targets.some((target) => this.#busy.has(target))) continue
      for (const target of fault.targets) this.#busy.add(target)
      await this.#suffer(fault, lane)
      for (const target of fault.targets) this.#busy.delete(target)
    }
  }

  async #suffer(fault: Fault, lane: number): Promise<void> {
    this.#say(`fault ${lane}: ${fault.description}, for ${fault.holdMs} ms`)
    const danger = { fromMs: Date.now(), toMs: Number.POSITIVE_INFINITY }
    if (fault.endangersFlushed) this.#dangers.push(danger)
    const heal = await fault.inject()
    await sleep(fault.holdMs)
    await heal()
    danger.toMs = Date.now()
    this.#faults.set(fault.kind, (this.#faults.get(fault.kind) ?? 0) + 1)
  }

  /** Reads acknowledged files while faults go on: what comes must be right, and may fail to come. */
  async #sampleLane(world: World, prng: Prng): Promise<void> {
    while (!this.#isOver) {
      await sleep(5_000)
      // What is being renamed may be met under both names, one after the other.
      const closed = world
        .promises()
        .filter(({ isClosed, paths }) => isClosed && paths.length === 1)
      const sample = prng.shuffle(closed).slice(0, sampleFiles)
      const checked = sample.map((file) => this.#withDanger(file))
      const findings = await world.check(checked).catch(() => [])
      // The ledger may have gone on since: only what it says nothing new about is held against the cluster.
      const promised = new Map(world.promises().map((file) => [file.paths.join(' or '), file]))
      const counts = new Map(sample.map(({ paths: [path = ''], lineCount }) => [path, lineCount]))
      for (const finding of findings) {
        const isPromised = promised.get(finding.path)?.lineCount === counts.get(finding.path)
        if (finding.kind !== 'unreadable' && isPromised) this.#found(finding, 'while faults go on')
      }
      this.#say(`${this.#acknowledged} files acknowledged, ${this.#refused} operations refused`)
    }
  }

  /** Waits until nothing is left to repair; undefined when that does not come. */
  async #converge(world: World): Promise<number | undefined> {
    const startedMs = Date.now()
    let last: Health | undefined
    while (Date.now() - startedMs < convergeMsMax) {
      last = await world.health().catch(() => undefined)
      if (last !== undefined && last.lowRedundancy + last.corrupt + last.missing === 0) {
        const tookMs = Date.now() - startedMs
        this.#say(`every block has its replicas after ${(tookMs / 1000).toFixed(1)} s`)
        return tookMs
      }
      await sleep(500)
    }
    this.#problem(`not healed after ${convergeMsMax / 1000} s: ${JSON.stringify(last)}`)
    return undefined
  }

  async #checkEverything(world: World): Promise<void> {
    const files = world.promises()
    this.#say(`checking ${files.length} files`)
    const checked = files.map((file) => this.#withDanger(file))
    const open = checked.filter(({ isClosed, isAbsent }) => !isClosed && !isAbsent)
    const stillOpen = await world.closeAll(open)
    for (const { path, detail } of stillOpen) this.#problem(`${path} stays open: ${detail}`)
    this.#say(`${open.length} files recovered, ${stillOpen.length} stay open`)
    for (const finding of await world.check(checked)) {
      this.#found(
        finding.kind === 'unreadable' ? { ...finding, kind: 'lost' } : finding,
        'at the end',
      )
    }
  }

  #withDanger(file: FilePromise): CheckedFile {
    const isEndangered = this.#dangers.some(({ toMs }) => toMs >= file.flushedSinceMs)
    return { ...file, isFlushHeld: !isEndangered }
  }

  #noteRefusal(reason: string): void {
    this.#refused += 1
    const kind = reason.replaceAll(/"\/[^"]*"|\/\S*writer-\S*/g, 'FILE').replaceAll(/\d+/g, 'N')
    this.#refusals.set(kind, (this.#refusals.get(kind) ?? 0) + 1)
  }

  /** A process that ends by itself is a finding; it is started again, as an operator would. */
  #noteExit({ name, ending, log }: UnexpectedExit): void {
    this.#problem(`${name} ended by itself, ${ending}:\n${log.trimEnd().replaceAll(/^/gm, '    ')}`)
    this.#exits += 1
    if (this.#exits > exitsMax) {
      this.#giveUp?.(new Error(`daemons ended by themselves ${this.#exits} times`))
      return
    }
    const daemon = this.#world?.daemons.find(({ plan }) => plan.name === name)
    if (daemon !== undefined) setTimeout(() => daemon.start(), restartAfterMs)
  }

  #found(finding: Finding, when: string): void {
    this.#findings.push(finding)
    this.#say(`${finding.kind.toUpperCase()} ${when}: ${finding.path}: ${finding.detail}`)
  }

  #problem(text: string): void {
    this.#problems.push(text)
    this.#say(`PROBLEM: ${text}`)
  }

  #say(text: string): void {
    this.#print(`${((Date.now() - this.#startedMs) / 1000).toFixed(1).padStart(7)} s  ${text}`)
  }

  #report(world: World, convergedMs: number | undefined): ChaosReport {
    const { seed, minutes, kinds, filesMin } = this.#options
    if (this.#acknowledged < filesMin)
      this.#problem(`only ${this.#acknowledged} files were acknowledged, need ${filesMin}`)
    const refusals = [...this.#refusals]
      .map(([reason, count]) => ({ reason, count }))
      .sort((left, right) => right.count - left.count)
      .slice(0, refusalsShown)
    const lost = this.#findings.filter(({ kind }) => kind === 'lost')
    const corrupt = this.#findings.filter(({ kind }) => kind === 'corrupt')
    return {
      seed,
      minutes,
      kinds,
      skipped: this.#skipped,
      faults: Object.fromEntries(this.#faults),
      acknowledged: this.#acknowledged,
      files: world.promises().length,
      refused: this.#refused,
      refusals,
      lost,
      corrupt,
      problems: this.#problems,
      convergedMs,
      passed: lost.length + corrupt.length + this.#problems.length === 0,
    }
  }
}
