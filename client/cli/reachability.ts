import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { CommandIo } from './command.ts'
import { UnreachableError } from './failures.ts'

/** A namenode that is being restarted is back within this; one that is down keeps nobody waiting longer. */
const patienceMs = 5_000
const pollMs = 250
const connectMs = 5_000
const defaultPort = 8020

/**
 * Returns once the namenode of `uri` accepts connections. The SDK by itself would try for a minute, which
 * is right in the middle of a copy and wrong for a mistyped port.
 *
 * @throws UnreachableError saying what was tried and what to do
 */
export async function waitUntilReachable(uri: string, io: CommandIo): Promise<void> {
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  // What cannot be read is for the SDK to word.
  if (url === undefined || url.hostname === '') return
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = url.port === '' ? defaultPort : Number(url.port)
  const startedMs = performance.now()
  for (let isFirst = true; ; isFirst = false) {
    const code = await tryConnect(host, port)
    if (code === undefined) return
    const isOver = performance.now() - startedMs > patienceMs
    if (code !== 'ECONNREFUSED' || isOver || io.signal.aborted) throw unreachable(uri, code)
    if (isFirst && io.stderr.isTTY === true) {
      io.stderr.write(`dfs: ${uri} refuses connections; trying for ${patienceMs / 1000} s\n`)
    }
    await delay(pollMs)
  }
}

/** Undefined when it worked, else Node's name of the reason. */
function tryConnect(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: connectMs })
    const end = (code: string | undefined): void => {
      socket.destroy()
      resolve(code)
    }
    socket.once('connect', () => {
      end(undefined)
    })
    socket.once('timeout', () => {
      end('ETIMEDOUT')
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      end(error.code ?? error.message)
    })
  })
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ENOTFOUND: 'the host name is unknown',
  ETIMEDOUT: 'nothing answers',
}

function unreachable(uri: string, code: string): UnreachableError {
  return new UnreachableError(
    `Cannot reach ${uri}: ${words[code] ?? code}; ` +
      '`dfs up` starts a cluster here, --fs hdfs://HOST:PORT or DFS_URI name another',
  )
}
