/**
 * What lies where under the directory of one cluster.
 *
 *     DIR/namenode/          journal and database
 *     DIR/datanode-1/ …      blocks
 *     DIR/logs/NAME.log      standard output and error of each daemon
 *     DIR/run/NAME.pid       process id of each running daemon; up.pid is the launcher's
 *     DIR/run/cluster.json   addresses, written when the cluster is ready
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { LaunchError } from './launch-error.ts'
import { describeProcess, type ProcessDescription, processText } from './processes.ts'

/** Where `dfs up` keeps a cluster when it is not told. */
export const defaultClusterDirectory = join(homedir(), '.trefoil')

/** Times of processes and of files come from different clocks. */
const clockSlackMs = 2000

/** Name of a daemon: also that of its log, its pid file and its data directory. */
export type DaemonName = 'namenode' | `datanode-${number}` | 'gateway'

/** A process that a pid file names and that is still there. */
export interface RunningProcess extends ProcessDescription {
  readonly name: string
}

/** Paths and pid files of one cluster. */
export class ClusterLayout {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  data(name: DaemonName): string {
    return join(this.directory, name)
  }

  log(name: string): string {
    return join(this.directory, 'logs', `${name}.log`)
  }

  get logs(): string {
    return join(this.directory, 'logs')
  }

  get addressFile(): string {
    return join(this.directory, 'run', 'cluster.json')
  }

  pidFile(name: string): string {
    return join(this.directory, 'run', `${name}.pid`)
  }

  prepare(): void {
    for (const folder of ['logs', 'run']) {
      mkdirSync(join(this.directory, folder), { recursive: true })
    }
  }

  /**
   * Takes the directory for this process, which becomes its launcher.
   *
   * @throws LaunchError when another cluster runs here, naming its process
   */
  claim(): void {
    this.refuseIfRunning()
    this.prepare()
    const file = this.pidFile('up')
    rmSync(file, { force: true })
    try {
      writeFileSync(file, `${process.pid}\n`, { flag: 'wx' })
    } catch (error) {
      // Somebody took it between the two lines above.
      this.refuseIfRunning()
      throw error
    }
  }

  /** @throws LaunchError when a process of a cluster runs here */
  refuseIfRunning(): void {
    const [other] = this.running()
    if (other === undefined) return
    throw new LaunchError(
      `${this.directory} is in use by ${other.name}, ${processText(other)}; ` +
        `\`dfs down --dir ${this.directory}\` stops it, --dir chooses another directory`,
    )
  }

  /** How many datanodes have kept data here; 0 for a new cluster. */
  datanodeCount(): number {
    if (!existsSync(this.directory)) return 0
    const numbers = readdirSync(this.directory).flatMap((name) => {
      const match = /^datanode-(\d+)$/.exec(name)
      return match === null ? [] : [Number(match[1])]
    })
    return Math.max(0, ...numbers)
  }

  writePid(name: string, pid: number): void {
    writeFileSync(this.pidFile(name), `${pid}\n`)
  }

  /** Removes a pid file if it still names `pid`. */
  removePid(name: string, pid: number): void {
    if (this.#readPid(name) === pid) rmSync(this.pidFile(name), { force: true })
  }

  /**
   * Processes of this cluster that are running, the launcher first and the namenode last. A pid that the
   * system has given to somebody else meanwhile does not count: that process is younger than the pid file.
   */
  running(): RunningProcess[] {
    const run = join(this.directory, 'run')
    if (!existsSync(run)) return []
    const rank = (name: string): number =>
      ['up', 'gateway', 'datanode', 'namenode'].indexOf(name.split('-')[0] ?? '')
    const names = readdirSync(run)
      .filter((file) => file.endsWith('.pid'))
      .map((file) => file.slice(0, -'.pid'.length))
      .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
    return names.flatMap((name) => {
      const pid = this.#readPid(name)
      const found = pid === undefined ? undefined : describeProcess(pid)
      if (found === undefined) return []
      const writtenMs = statSync(this.pidFile(name)).mtimeMs
      const isYounger = found.startedMs !== undefined && found.startedMs > writtenMs + clockSlackMs
      return isYounger ? [] : [{ name, ...found }]
    })
  }

  #readPid(name: string): number | undefined {
    const file = this.pidFile(name)
    if (!existsSync(file)) return undefined
    const pid = Number(readFileSync(file, 'utf8'))
    return Number.isInteger(pid) && pid > 0 ? pid : undefined
  }
}
