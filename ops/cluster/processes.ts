/** Who is running, and who listens on a port, as far as the operating system tells (Linux: /proc). */
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

/** Asks the system for a port that nobody uses. */
export async function pickFreePort(host: string): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port: 0 }, resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error(`no port on ${host}`)
  return address.port
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
