/**
 * `npm run bench:gateway [-- --mib N --rounds N --idle N --slow N --entries N]`: what the HTTP gateway costs, one JSON object a
 * line. The SDK, the gateway, and the datanodes that WebHDFS redirects to move the same bytes in turns, medians in MiB a
 * second and ratios to the SDK; then the gateway's memory with idle connections, slow uploads and a long listing.
 * A cluster of one datanode, so that all measure the client's side; the gateway is a process of its own.
 */
import { existsSync, readFileSync } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { pickFreePort } from '../cluster/processes.ts'
import { startDaemon, until } from '../demo/steps.ts'
import { BenchCluster } from './bench-cluster.ts'
import { medianOf, report, rounded } from './figures.ts'
import { exchange, type RawAnswer } from './raw-http.ts'

const here = dirname(fileURLToPath(import.meta.url))
const bundled = join(here, '../../bin/dfs.js')
const entry = existsSync(bundled) ? bundled : join(here, '../../client/cli/main.js')
const mebibyte = 1024 * 1024
const slowUploadBytes = 256 * 1024
const slowPieceBytes = 8 * 1024
const slowPauseMs = 500

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '256' },
    rounds: { type: 'string', default: '5' },
    idle: { type: 'string', default: '1000' },
    slow: { type: 'string', default: '200' },
    entries: { type: 'string', default: '100000' },
  },
})
const mib = Number(values.mib)
const chunk = Buffer.alloc(mebibyte)
for (let offset = 0; offset < chunk.length; offset += 4) {
  chunk.writeUInt32LE(Math.imul(offset, 2654435761) >>> 0, offset)
}

/** A gateway under measurement. */
interface Target {
  readonly cluster: BenchCluster
  readonly port: number
  readonly pid: number
}

function* largeBody(): Generator<Buffer> {
  for (let index = 0; index < mib; index += 1) yield chunk
}

/** Sends a request and resolves with the answer once its head is there. */
function send(
  url: string,
  { method, body, agent }: { method: string; body?: Readable; agent?: Agent },
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const call = request(url, { method, agent: agent ?? false }, resolve)
    call.on('error', reject)
    if (body === undefined) call.end()
    else pipeline(body, call).catch(reject)
  })
}

/** Reads an answer to its end, as fast as it comes; returns how many bytes it had. */
async function drained(answer: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const piece of answer) bytes += (piece as Buffer).length
  if ((answer.statusCode ?? 500) >= 300)
    throw new Error(`HTTP ${answer.statusCode ?? 'without status'}`)
  return bytes
}

/** The answer, which must be a success. */
async function success(answer: Promise<RawAnswer>): Promise<number> {
  const { status, bodyBytes } = await answer
  if (status < 200 || status >= 300) throw new Error(`HTTP ${status}`)
  return bodyBytes
}

/** The second step of a WebHDFS operation, at the datanode. */
async function locationOf(url: string, method: string): Promise<string> {
  const { status, location } = await exchange(url, method)
  if (status !== 307 || location === undefined) {
    throw new Error(`${url} answered ${status}, not a redirect`)
  }
  return location
}

type Ways = Readonly<Record<string, (path: string) => Promise<unknown>>>

function uploads({ cluster, port }: Target): Ways {
  const body = () => ({ bytes: mib * mebibyte, pieces: largeBody() })
  const webhdfs = `http://127.0.0.1:${port}/webhdfs/v1`
  return {
    sdk: (path) => pipeline(Readable.from(largeBody()), cluster.client.createWriteStream(path)),
    proxied: (path) => success(exchange(`http://127.0.0.1:${port}/files${path}`, 'PUT', body())),
    redirected: async (path) => {
      const to = await locationOf(`${webhdfs}${path}?op=CREATE&proxy=false`, 'PUT')
      return success(exchange(to, 'PUT', body()))
    },
  }
}

function downloads({ cluster, port }: Target): Ways {
  const webhdfs = `http://127.0.0.1:${port}/webhdfs/v1`
  return {
    sdk: async (path) => {
      let bytes = 0
      for await (const piece of cluster.client.createReadStream(path)) {
        bytes += (piece as Buffer).length
      }
      return bytes
    },
    proxied: (path) => success(exchange(`http://127.0.0.1:${port}/files${path}`, 'GET')),
    redirected: async (path) =>
      success(exchange(await locationOf(`${webhdfs}${path}?op=OPEN&proxy=false`, 'GET'), 'GET')),
  }
}

/** The same bytes by every way in turns, one round to warm up. */
async function transfer(target: Target): Promise<void> {
  const asked = { proxied: 0.7, redirected: 0.9 }
  const rates: Record<string, Record<string, number[]>> = { upload: {}, download: {} }
  const [up, down] = [uploads(target), downloads(target)]
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    for (const [op, ways] of Object.entries({ upload: up, download: down })) {
      for (const [way, move] of Object.entries(ways)) {
        const path = `/${way}-${round}`
        const startedAt = performance.now()
        const bytes = await move(path)
        const seconds = (performance.now() - startedAt) / 1000
        if (op === 'download' && bytes !== mib * mebibyte) throw new Error('not every byte came')
        if (round > 0) ((rates[op] ??= {})[way] ??= []).push(mib / seconds)
      }
    }
    for (const way of Object.keys(up)) await target.cluster.client.rm(`/${way}-${round}`)
  }
  for (const [op, ways] of Object.entries(rates)) {
    const sdk = medianOf(ways['sdk'] ?? [])
    const figures = Object.entries(ways).map(([way, rounds]) => {
      return [`${way}_mib_per_s`, rounded(medianOf(rounds))] as const
    })
    const ratio = (way: string): number => rounded(medianOf(ways[way] ?? []) / sdk)
    report({
      ...{ op, mib, rounds: Number(values.rounds), asked },
      ...Object.fromEntries(figures),
      ...{ proxied_ratio: ratio('proxied'), redirected_ratio: ratio('redirected') },
    })
  }
}

function residentMib(pid: number): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(found?.[1] ?? 0) / 1024
}

/** Looks at the memory of a process while `work` goes on; the most it had, in MiB. */
async function peakDuring(pid: number, work: () => Promise<unknown>): Promise<number> {
  let peak = residentMib(pid)
  const timer = setInterval(() => {
    peak = Math.max(peak, residentMib(pid))
  }, 50)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return Math.round(peak)
}

async function* slowBody(): AsyncGenerator<Buffer> {
  for (let sent = 0; sent < slowUploadBytes; sent += slowPieceBytes) {
    yield chunk.subarray(0, slowPieceBytes)
    await sleep(slowPauseMs)
  }
}

/** Idle keep-alive connections and slow uploads at the same time. */
async function crowd({ cluster, port, pid }: Target): Promise<void> {
  const [idle, slow] = [Number(values.idle), Number(values.slow)]
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: idle })
  const before = Math.round(residentMib(pid))
  const asks = Array.from({ length: idle }, async () =>
    drained(await send(`http://127.0.0.1:${port}/healthz`, { method: 'GET', agent })),
  )
  await Promise.all(asks)
  const upload = async (index: number): Promise<number> => {
    const url = `http://127.0.0.1:${port}/files/slow/${index}`
    return drained(await send(url, { method: 'PUT', body: Readable.from(slowBody()) }))
  }
  const peak = await peakDuring(pid, () =>
    Promise.all(Array.from({ length: slow }, (_, index) => upload(index))),
  )
  let complete = 0
  for await (const { size } of cluster.client.opendir('/slow')) {
    if (size === slowUploadBytes) complete += 1
  }
  agent.destroy()
  report({
    ...{ op: 'crowd', asked: { peak_rss_mib: 300, complete: slow } },
    ...{ idle_connections: idle, slow_uploads: slow, complete },
    ...{ rss_before_mib: before, peak_rss_mib: peak },
  })
}

/** A long directory, streamed. */
async function listing({ cluster, port, pid }: Target): Promise<void> {
  const entries = Number(values.entries)
  await cluster.client.mkdir('/many')
  let next = 0
  const make = async (): Promise<void> => {
    while (next < entries) {
      next += 1
      await cluster.client.mkdir(`/many/${String(next).padStart(8, '0')}`)
    }
  }
  await Promise.all(Array.from({ length: 64 }, make))
  const before = Math.round(residentMib(pid))
  const startedAt = performance.now()
  let bytes = 0
  const peak = await peakDuring(pid, async () => {
    bytes = await drained(await send(`http://127.0.0.1:${port}/files/many`, { method: 'GET' }))
  })
  const seconds = rounded((performance.now() - startedAt) / 1000)
  report({
    ...{ op: 'listing', entries, seconds, mib: rounded(bytes / mebibyte) },
    ...{ rss_before_mib: before, peak_rss_mib: peak },
  })
}

const cluster = await BenchCluster.start(entry, [])
try {
  await cluster.add('dn1')
  const port = await pickFreePort('127.0.0.1')
  const where = ['--fs', cluster.uri, '--host', '127.0.0.1', '--port', String(port)]
  const gateway = startDaemon(entry, ['gateway', ...where], { ioThreads: 4 })
  await until('the gateway is ready', 60_000, async () => {
    const answer = await send(`http://127.0.0.1:${port}/readyz`, { method: 'GET' })
    answer.resume()
    return answer.statusCode === 200 ? true : undefined
  })
  const target = { cluster, port, pid: gateway.pid ?? 0 }
  await transfer(target)
  await crowd(target)
  await listing(target)
} finally {
  await cluster.stop()
}
process.exit(0)
