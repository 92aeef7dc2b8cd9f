import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

/** Seeds that a worker gets at once. */
const seedsPerTask = 20
/** A seed that takes longer hangs; the slowest takes a few seconds on a busy machine. */
const seedMsMax = 120_000

/** Seeds `first` to `first + count - 1`. */
export interface SeedRange {
  readonly first: number
  readonly count: number
}

/** What a worker is asked. */
export interface SeedTask {
  readonly seeds: readonly number[]
  readonly overrides: readonly string[]
  /** Of so many seeds one runs twice, to see that nothing but the seed decides; 0: none. */
  readonly repeatOneIn: number
}

/** What a worker says after each seed. */
export interface SeedReport {
  readonly seed: number
  readonly violations: readonly string[]
  readonly wasRepeated: boolean
  readonly events: number
  readonly simulatedMs: number
  /** How often each kind of fault and operation happened. */
  readonly counts: Readonly<Record<string, number>>
}

export interface HuntOptions {
  /** Which seeds, in order; the hunt ends with them. */
  readonly seeds: Iterable<number>
  /** No task begins after so long. */
  readonly limitMs?: number
  readonly jobs?: number
  readonly overrides?: readonly string[]
  readonly repeatOneIn?: number
  /** No task begins after so many failures; without it all seeds run. */
  readonly failuresMax?: number
  /** The program of the worker processes. */
  readonly workerPath?: string
  readonly onFailure?: (report: SeedReport) => void
  /** Called after each task. */
  readonly onProgress?: (summary: HuntSummary) => void
}

export interface HuntSummary {
  seeds: number
  repeated: number
  events: number
  simulatedMs: number
  readonly failures: SeedReport[]
  readonly counts: Record<string, number>
}

/** Runs many seeds in worker processes, `jobs` at a time, and sums up. */
export async function huntSeeds(options: HuntOptions): Promise<HuntSummary> {
  const summary: HuntSummary = {
    ...{ seeds: 0, repeated: 0, events: 0, simulatedMs: 0 },
    failures: [],
    counts: {},
  }
  const tasks = tasksOf(options)
  const jobs = options.jobs ?? availableParallelism()
  const take = (report: SeedReport): void => {
    summary.seeds += 1
    summary.repeated += report.wasRepeated ? 1 : 0
    summary.events += report.events
    summary.simulatedMs += report.simulatedMs
    for (const [kind, count] of Object.entries(report.counts)) {
      summary.counts[kind] = (summary.counts[kind] ?? 0) + count
    }
    if (report.violations.length === 0) return
    summary.failures.push(report)
    options.onFailure?.(report)
  }
  await Promise.all(
    Array.from({ length: jobs }, async () => {
      const worker = new SeedWorker(options.workerPath ?? usualWorkerPath)
      for (const task of tasks) {
        await worker.run(task, take)
        if (summary.failures.length >= (options.failuresMax ?? Infinity)) break
        options.onProgress?.(summary)
      }
      worker.stop()
    }),
  )
  return summary
}

/** Cuts the seeds into tasks; the workers share the iterator. */
function* tasksOf(options: HuntOptions): Generator<SeedTask, void, void> {
  const { overrides = [], repeatOneIn = 0, limitMs = Number.POSITIVE_INFINITY } = options
  const startedAt = performance.now()
  let seeds: number[] = []
  for (const seed of options.seeds) {
    if (performance.now() - startedAt >= limitMs) return
    seeds.push(seed)
    if (seeds.length < seedsPerTask) continue
    yield { seeds, overrides, repeatOneIn }
    seeds = []
  }
  if (seeds.length > 0) yield { seeds, overrides, repeatOneIn }
}

/** One worker process; replaced when it hangs or dies, which is a failure of the seed it was at. */
class SeedWorker {
  readonly #path: string
  #child: ChildProcess | undefined

  constructor(path: string) {
    this.#path = path
  }

  async run(task: SeedTask, take: (report: SeedReport) => void): Promise<void> {
    let { seeds } = task
    while (seeds.length > 0) {
      const reports: SeedReport[] = []
      const failure = await this.#attempt({ ...task, seeds }, (report) => {
        reports.push(report)
        take(report)
      })
      const seed = seeds[reports.length]
      seeds = seeds.slice(reports.length + 1)
      if (failure === undefined || seed === undefined) return
      const none = { wasRepeated: false, events: 0, simulatedMs: 0, counts: {} }
      take({ seed, violations: [failure], ...none })
    }
  }

  stop(): void {
    this.#child?.kill()
    this.#child = undefined
  }

  /** Resolves when all seeds are reported, or with why the rest will not be. */
  #attempt(task: SeedTask, take: (report: SeedReport) => void): Promise<string | undefined> {
    const child = (this.#child ??= fork(this.#path))
    return new Promise((resolve) => {
      let left = task.seeds.length
      const end = (failure?: string): void => {
        clearTimeout(timer)
        child.removeAllListeners()
        if (failure !== undefined) {
          child.kill('SIGKILL')
          this.#child = undefined
        }
        resolve(failure)
      }
      const hang = (): void => {
        end(`no end after ${seedMsMax / 1000} s`)
      }
      let timer = setTimeout(hang, seedMsMax)
      child.on('message', (report: SeedReport) => {
        clearTimeout(timer)
        timer = setTimeout(hang, seedMsMax)
        take(report)
        left -= 1
        if (left === 0) end()
      })
      child.once('exit', (code, signal) => {
        end(`the worker process ended with ${code ?? signal ?? 'nothing'}`)
      })
      child.send(task)
    })
  }
}

const usualWorkerPath = fileURLToPath(new URL('./seed-worker.js', import.meta.url))
