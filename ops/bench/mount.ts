/**
 * `npm run bench:mount [-- --mib N --files N --rounds N]`: what programs get from the mount, and from the SDK in the same run: one
 * JSON object a line. Large files in MiB a second, small ones in calls a second of eight threads, each in a directory of its own; what is written is
 * durable. A cluster of one datanode, so that both measure the client's side. `rss` is the mount's process afterwards.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { BenchCluster } from './bench-cluster.ts'
import { report } from './figures.ts'

const here = dirname(fileURLToPath(import.meta.url))
const bundled = join(here, '../../bin/dfs.js')
const entry = existsSync(bundled) ? bundled : join(here, '../../client/cli/main.js')

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '256' },
    files: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '1' },
  },
})

async function load(...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [join(here, 'mount-load.js'), ...args], {
    stdio: 'inherit',
    env: { ...process.env, UV_THREADPOOL_SIZE: '8' },
  })
  const [status] = (await once(child, 'exit')) as [number | null]
  if (status !== 0) throw new Error(`mount-load ended with ${String(status)}`)
}

async function round(cluster: BenchCluster): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'trefoil-bench-mount-'))
  const mount = spawn(process.execPath, [entry, 'mount', cluster.uri, directory], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(mount, 'exit')
  try {
    const said = await Promise.race([once(mount.stderr, 'data'), ended])
    if (!String(said[0]).includes('serving on')) throw new Error(`dfs mount: ${String(said[0])}`)
    await load('mount', directory, values.mib, values.files)
    const resident = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${mount.pid}/status`, 'utf8'))
    report({ op: 'rss', target: 'mount', max_mib: Math.round(Number(resident?.[1] ?? 0) / 1024) })
  } finally {
    mount.kill('SIGTERM')
    await ended
    rmdirSync(directory)
  }
  await load('sdk', cluster.uri, values.mib, values.files)
  for (const path of ['/mount', '/sdk']) await cluster.client.rm(path, { recursive: true })
}

const cluster = await BenchCluster.start(entry, [])
try {
  await cluster.add('dn1')
  for (let index = 0; index < Number(values.rounds); index += 1) await round(cluster)
} finally {
  await cluster.stop()
}
process.exit(0)
