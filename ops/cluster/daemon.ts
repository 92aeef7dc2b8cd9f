import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs'
import type { ClusterLayout, DaemonName } from './layout.ts'

/** How to start one daemon. */
export interface DaemonSpec {
  readonly name: DaemonName
  /** Behind the path of the `dfs` program. */
  readonly args: readonly string[]
  /** Threads for file I/O and sync calls; Node's default of 4 makes disks wait for each other. */
  readonly ioThreads: number
}

/** What a daemon tells its launcher over the IPC channel once it serves. */
export interface ReadyMessage {
  readonly kind: 'ready'
  readonly addresses: Readonly<Record<string, string>>
}

/** How a daemon ended. */
export interface DaemonExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly pid: number
  readonly wasReady: boolean
}

export interface DaemonListener {
  onReady(daemon: Daemon): void
  onExit(daemon: Daemon, exit: DaemonExit): void
}

const logBytesMax = 16 * 1024 * 1024
const logTailLines = 15

export function isReadyMessage(message: unknown): message is ReadyMessage {
  return (
    typeof message === 'object' && message !== null && 'kind' in message && message.kind === 'ready'
  )
}

/** One daemon as a child process, in its own process group so that Ctrl-C reaches the launcher only. */
export class Daemon {
  readonly name: DaemonName
  addresses: Readonly<Record<string, string>> = {}
  readonly #spec: DaemonSpec
  readonly #entry: string
  readonly #layout: ClusterLayout
  readonly #listener: DaemonListener
  #child: ChildProcess | undefined
  #isReady = false
  #logStart = 0

  constructor(
    spec: DaemonSpec,
    at: { readonly entry: string; readonly layout: ClusterLayout },
    listener: DaemonListener,
  ) {
    this.name = spec.name
    this.#spec = spec
    this.#entry = at.entry
    this.#layout = at.layout
    this.#listener = listener
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get isReady(): boolean {
    return this.#isReady
  }

  get isRunning(): boolean {
    return this.#child !== undefined
  }

  start(): void {
    const log = this.#openLog()
    this.#isReady = false
    const child = spawn(process.execPath, [this.#entry, ...this.#spec.args], {
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, UV_THREADPOOL_SIZE: String(this.#spec.ioThreads) },
    })
    closeSync(log)
    this.#child = child
    const { pid } = child
    if (pid !== undefined) this.#layout.writePid(this.name, pid)
    child.on('message', (message: unknown) => {
      if (!isReadyMessage(message)) return
      this.#isReady = true
      this.addresses = message.addresses
      this.#listener.onReady(this)
    })
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      if (this.#child !== child) return
      this.#child = undefined
      const wasReady = this.#isReady
      this.#isReady = false
      if (pid !== undefined) this.#layout.removePid(this.name, pid)
      this.#listener.onExit(this, { code, signal, pid: pid ?? 0, wasReady })
    }
    child.on('exit', end)
    child.on('error', () => {
      end(null, null)
    })
  }

  /** Asks the daemon to stop, makes it after `graceMs`, and resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const gone = new Promise<void>((resolve) => {
      child.once('exit', () => {
        resolve()
      })
    })
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
    await gone
    clearTimeout(timer)
  }

  /** Ends the process at once; for when the launcher itself must go now. */
  killNow(): void {
    this.#child?.kill('SIGKILL')
  }

  /** Last lines that this run of the daemon has written. */
  logTail(): string {
    const file = this.#layout.log(this.name)
    if (!existsSync(file)) return ''
    const text = readFileSync(file).subarray(this.#logStart).toString('utf8')
    return text.trimEnd().split('\n').slice(-logTailLines).join('\n')
  }

  /** Appends; a log that has grown large is set aside first, replacing the one set aside before. */
  #openLog(): number {
    const file = this.#layout.log(this.name)
    if (existsSync(file) && statSync(file).size > logBytesMax) renameSync(file, `${file}.1`)
    this.#logStart = existsSync(file) ? statSync(file).size : 0
    return openSync(file, 'a')
  }
}
