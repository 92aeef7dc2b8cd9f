/**
 * What a run makes on this machine (processes, mounts, network namespaces, one directory), written down before it is
 * used, so that the same function takes it back after success, failure and Ctrl-C, and the next run takes back what a
 * killed run left behind. Everything goes by pid and start time, path and name of this list, nothing by pattern.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const directoryPrefix = 'trefoil-chaos-'
const listName = 'resources.json'
const processGoneMs = 10_000

type Resource =
  | { readonly kind: 'process'; readonly pid: number; readonly start: string }
  | { readonly kind: 'mount'; readonly path: string }
  | { readonly kind: 'namespace'; readonly name: string }

/** Runs a program to its end; its failure is an error that shows what it said. */
export function runTool(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error !== undefined) throw new Error(`cannot run ${command}: ${error.message}`)
  if (status !== 0) throw new Error(`${[command, ...args].join(' ')}: ${stderr.trim()}`)
  return stdout
}

/** True when a program is there and does not object to these arguments. */
export function canRun(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

/** Start time of a process in clock ticks, which tells it from a later one with its pid; '' when it is gone. */
function startOf(pid: number): string {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[0] === 'Z' ? '' : (fields[19] ?? '')
  } catch {
    return ''
  }
}

export class HostResources {
  readonly directory: string
  readonly #owner: { readonly pid: number; readonly start: string }
  #resources: Resource[] = []
  #isReleasing = false

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), directoryPrefix))
    this.#owner = { pid: process.pid, start: startOf(process.pid) }
    this.#write()
  }

  /** Processes end from now on because the run does. */
  get isReleasing(): boolean {
    return this.#isReleasing
  }

  addProcess(pid: number): void {
    this.#add({ kind: 'process', pid, start: startOf(pid) })
  }

  addMount(path: string): void {
    this.#add({ kind: 'mount', path })
  }

  removeMount(path: string): void {
    this.#resources = this.#resources.filter(
      (resource) => resource.kind !== 'mount' || resource.path !== path,
    )
    this.#write()
  }

  addNamespace(name: string): void {
    this.#add({ kind: 'namespace', name })
  }

  /** Takes everything back, newest first, except for the directory when it is to be kept. */
  async release(keepDirectory: boolean): Promise<void> {
    this.#isReleasing = true
    await takeBack(this.#resources)
    this.#resources = []
    this.#write()
    if (!keepDirectory) rmSync(this.directory, { recursive: true, force: true })
  }

  #add(resource: Resource): void {
    this.#resources.push(resource)
    this.#write()
  }

  #write(): void {
    // Processes that ended need no line: what is left is short, however often daemons were killed.
    this.#resources = this.#resources.filter(
      (resource) => resource.kind !== 'process' || startOf(resource.pid) === resource.start,
    )
    const list = { owner: this.#owner, resources: this.#resources }
    writeFileSync(join(this.directory, listName), `${JSON.stringify(list)}\n`)
  }
}

async function takeBack(resources: readonly Resource[]): Promise<void> {
  const newestFirst = resources.toReversed()
  const processes = newestFirst.filter((resource) => resource.kind === 'process')
  const isRunning = ({ pid, start }: { pid: number; start: string }): boolean =>
    start !== '' && startOf(pid) === start
  for (const { pid } of processes.filter(isRunning)) process.kill(pid, 'SIGKILL')
  const deadline = Date.now() + processGoneMs
  while (processes.some(isRunning) && Date.now() < deadline) await sleep(20)
  for (const resource of newestFirst) {
    if (resource.kind === 'mount' && !canRun('umount', resource.path))
      canRun('umount', '-l', resource.path)
    if (resource.kind === 'namespace') canRun('ip', 'netns', 'del', resource.name)
  }
}

/** Takes back what runs left behind whose own process is gone. Returns their directories. */
export async function sweepDeadRuns(): Promise<string[]> {
  const swept: string[] = []
  for (const name of readdirSync(tmpdir())) {
    const directory = join(tmpdir(), name)
    const list = join(directory, listName)
    if (!name.startsWith(directoryPrefix) || !existsSync(list)) continue
    const { owner, resources } = JSON.parse(readFileSync(list, 'utf8')) as {
      owner: { pid: number; start: string }
      resources: Resource[]
    }
    if (startOf(owner.pid) === owner.start || resources.length === 0) continue
    await takeBack(resources)
    rmSync(directory, { recursive: true, force: true })
    swept.push(directory)
  }
  return swept
}
