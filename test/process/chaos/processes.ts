/** Processes of a run: daemons through the bundled `dfs` command, workers of our own with a channel for messages. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '../../support/repository.ts'
import type { HostResources } from './host.ts'

export const dfsCommand = join(repositoryRoot, 'dist/bin/dfs.js')

const logTailCharacters = 1500

/** What a process that was started is and does. */
export interface ProcessPlan {
  readonly name: string
  /** Words before the command, which must not fork: the pid is that of the program itself. */
  readonly prefix: readonly string[]
  readonly command: readonly string[]
  readonly hasChannel: boolean
  readonly env?: Readonly<Record<string, string>>
}

/** How a process ended that nobody had told to. */
export interface UnexpectedExit {
  readonly name: string
  readonly atMs: number
  readonly ending: string
  readonly log: string
}

/** One process that may be ended, held and started again many times; its log goes on. */
export class Supervised {
  readonly plan: ProcessPlan
  readonly logFile: string
  onUnexpectedExit: ((exit: UnexpectedExit) => void) | undefined
  onMessage: ((message: unknown) => void) | undefined
  readonly #resources: HostResources
  #child: ChildProcess | undefined
  #isEndingExpected = false

  constructor(resources: HostResources, plan: ProcessPlan) {
    this.#resources = resources
    this.plan = plan
    this.logFile = join(resources.directory, `${plan.name}.log`)
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get isRunning(): boolean {
    return this.#child !== undefined
  }

  start(): void {
    if (this.#child !== undefined) return
    const log = openSync(this.logFile, 'a')
    const [command = '', ...args] = [...this.plan.prefix, ...this.plan.command]
    const child = spawn(command, args, {
      stdio: this.plan.hasChannel ? ['ignore', log, log, 'ipc'] : ['ignore', log, log],
      // A Ctrl-C on the terminal reaches the run alone, which ends the others in order.
      detached: true,
      env: { ...process.env, UV_THREADPOOL_SIZE: '8', ...this.plan.env },
    })
    closeSync(log)
    this.#child = child
    this.#isEndingExpected = false
    if (child.pid !== undefined) this.#resources.addProcess(child.pid)
    child.on('message', (message) => this.onMessage?.(message))
    child.once('error', (error) => this.#ended(child, error.message))
    child.once('exit', (code, signal) => this.#ended(child, signal ?? `exit status ${code}`))
  }

  /** Sends a signal that does not end it. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  /** Ends it and waits until it is gone. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#isEndingExpected = true
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    if (signal === 'SIGKILL') child.kill('SIGCONT')
    await gone
  }

  /** Tells it to end by a message and waits until it has. */
  async endBy(message: object): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#isEndingExpected = true
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.send(message)
    await gone
  }

  /** From now on it may end by itself, as a fault just made it likely. */
  expectExit(): void {
    this.#isEndingExpected = true
  }

  send(message: object): void {
    if (this.#child?.connected === true) this.#child.send(message)
  }

  logTail(): string {
    return existsSync(this.logFile)
      ? readFileSync(this.logFile, 'utf8').slice(-logTailCharacters)
      : ''
  }

  #ended(child: ChildProcess, ending: string): void {
    if (this.#child !== child) return
    this.#child = undefined
    if (this.#isEndingExpected || this.#resources.isReleasing) return
    const exit = { name: this.plan.name, atMs: Date.now(), ending, log: this.logTail() }
    this.onUnexpectedExit?.(exit)
  }
}
