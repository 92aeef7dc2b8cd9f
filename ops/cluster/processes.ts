/** Who is running, and who listens on a port, as far as the operating system tells (Linux: /proc). */
import { randomInt } from 'node:crypto'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'

export interface ProcessDescription {
  readonly pid: number
  /** Undefined where the system does not say. */
  readonly command: string | undefined
  /** When it started, milliseconds since the epoch, to about a second; undefined where unknown. */
  readonly startedMs: number | undefined
}

const commandCharactersShown = 200
/** Unit of the times in /proc/PID/stat; user space sees 100 on every Linux. */
const ticksPerSecond = 100
const portMax = 65_535
const pickedPortMin = 10_240
const portAttemptsMax = 100
/** Where the system does not say: IANA's dynamic ports. */
const defaultLocalPorts = [49_152, portMax]

/** Undefined when there is no such process; a zombie, which only waits to be reaped, is none. */
export function describeProcess(pid: number): ProcessDescription | undefined {
  try {
    process.kill(pid, 0)
  } catch (error) {
    const isForeign = error instanceof Error && 'code' in error && error.code === 'EPERM'
    if (!isForeign) return undefined
  }
  // Fields behind the name, which is in parentheses and may hold anything: state is the first.
  const fields = readText(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ')
  if (fields?.[0] === 'Z') return undefined
  const command = readText(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ').trim()
  return { pid, command: command === '' ? undefined : command, startedMs: startTime(fields?.[19]) }
}

function startTime(ticksSinceBoot: string | undefined): number | undefined {
  const boot = /^btime (\d+)$/m.exec(readText('/proc/stat') ?? '')?.[1]
  if (boot === undefined || ticksSinceBoot === undefined) return undefined
  return (Number(boot) + Number(ticksSinceBoot) / ticksPerSecond) * 1000
}

/** `process 123 (node dfs.js namenode …)`. */
export function processText({ pid, command }: Pick<ProcessDescription, 'pid' | 'command'>): string {
  if (command === undefined) return `process ${pid}`
  const isLong = command.length > commandCharactersShown
  return `process ${pid} (${isLong ? `${command.slice(0, commandCharactersShown)}…` : command})`
}

/** True when a server could listen on `port` now. */
export async function isPortFree(host: string, port: number): Promise<boolean> {
  const server = createServer()
  return await new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    })
    server.listen({ host, port, exclusive: true }, () => {
      server.close(() => {
        resolve(true)
      })
    })
  })
}

/**
 * A port that nobody uses, for a server that is started a moment later. It lies outside of the range from which
 * the system serves connections and port 0 (ip(7), `ip_local_port_range`), so nobody is given it meanwhile by chance.
 */
export async function pickFreePort(host: string): Promise<number> {
  const { first, last } = portsToPickFrom()
  for (let attempt = 0; attempt < portAttemptsMax; attempt += 1) {
    const port = randomInt(first, last + 1)
    if (await isPortFree(host, port)) return port
  }
  throw new Error(
    `Cannot find a free port on ${host}: ${portAttemptsMax} from ${first} to ${last} were taken`,
  )
}

/** The larger side of the system's own range, without the ports that well-known servers like. */
function portsToPickFrom(): { readonly first: number; readonly last: number } {
  const text = readText('/proc/sys/net/ipv4/ip_local_port_range') ?? ''
  const [low, high] = /^(\d+)\s+(\d+)/.exec(text)?.slice(1).map(Number) ?? defaultLocalPorts
  const below = { first: pickedPortMin, last: (low ?? 0) - 1 }
  const above = { first: (high ?? 0) + 1, last: portMax }
  const size = (range: typeof below): number => range.last - range.first
  const larger = size(below) >= size(above) ? below : above
  return size(larger) > portAttemptsMax ? larger : { first: pickedPortMin, last: portMax }
}

/** The process that listens on `port`; undefined when it belongs to another user or the system does not say. */
export function findListener(port: number): ProcessDescription | undefined {
  const sockets = listeningSockets(port)
  if (sockets.size === 0) return undefined
  for (const name of list('/proc')) {
    if (!/^\d+$/.test(name)) continue
    for (const descriptor of list(`/proc/${name}/fd`)) {
      const target = readLink(`/proc/${name}/fd/${descriptor}`)
      if (target !== undefined && sockets.has(target)) return describeProcess(Number(name))
    }
  }
  return undefined
}

/** `socket:[inode]` of every TCP socket in state LISTEN on `port`. */
function listeningSockets(port: number): ReadonlySet<string> {
  const listenState = '0A'
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const sockets = new Set<string>()
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (readText(file) ?? '').split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
      if (local.endsWith(wanted) && state === listenState) sockets.add(`socket:[${inode ?? ''}]`)
    }
  }
  return sockets
}

/** Processes come and go, and some are not ours to look into: what cannot be read is not there. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
