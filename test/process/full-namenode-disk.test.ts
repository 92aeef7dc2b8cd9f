/** A real namenode whose small disk is filled to the last byte while clients change the namespace. */
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { DfsClient, DfsFsError } from '../../client/index.ts'
import { pickFreePort } from '../../ops/cluster/processes.ts'
import { RealCluster } from '../support/cluster.ts'

const canMount = process.platform === 'linux' && process.getuid?.() === 0
const mebibyte = 1024 * 1024

/** Uses every byte that is left. */
function fill(path: string): void {
  const file = openSync(path, 'a')
  try {
    for (let size = mebibyte; size >= 1; size = Math.floor(size / 2)) {
      const piece = Buffer.alloc(size, 0x55)
      try {
        for (;;) writeSync(file, piece)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
      }
    }
  } finally {
    closeSync(file)
  }
}

/** Makes directories until one is refused for lack of space; all that were acknowledged are in `made`. */
async function makeUntilRefused(client: DfsClient, made: string[], prefix: string): Promise<void> {
  for (let index = 0; ; index += 1) {
    const path = `/${prefix}-${index}`
    try {
      await client.mkdir(path)
      made.push(path)
    } catch (error) {
      if (error instanceof DfsFsError && error.dfsCode === 'SAFE_MODE') {
        if (!error.message.includes('Resources are low on NN')) throw error
        return
      }
      throw error
    }
  }
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen`)
    await sleep(100)
  }
}

t.test(
  'a namenode on a full disk refuses changes, serves reads, loses nothing and recovers by itself',
  { skip: canMount ? false : 'needs root on Linux to mount a small file system' },
  async (t) => {
    t.setTimeout(120_000)
    const directory = mkdtempSync(join(tmpdir(), 'trefoil-full-'))
    const disk = join(directory, 'namenode')
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', disk])
    const host = '127.0.0.1'
    const ports = { rpc: await pickFreePort(host), http: await pickFreePort(host) }
    const cluster = new RealCluster(directory, ports, {
      datanodes: 1,
      settings: {
        'dfs.namenode.resource.du.reserved': 16 * mebibyte,
        'dfs.namenode.resource.check.interval': 1000,
      },
    })
    t.teardown(async () => {
      await cluster.kill('namenode')
      await cluster.kill('datanode-1')
      execFileSync('umount', ['-l', disk])
      rmSync(directory, { recursive: true, force: true })
    })
    cluster.start('namenode')
    cluster.start('datanode-1')
    await cluster.ready(1)
    await until('the spare', () => Promise.resolve(existsSync(join(disk, 'spare'))))
    const client = new DfsClient({ uri: cluster.uri, retry: { totalMs: 1000 } })
    t.teardown(() => client.close())
    const made: string[] = []
    const filler = join(disk, 'filler')
    const writing = [0, 1, 2, 3].map((writer) => makeUntilRefused(client, made, `w${writer}`))
    await sleep(300)
    fill(filler)
    await Promise.all(writing)
    t.ok(made.length > 0, `${made.length} directories acknowledged`)
    fill(filler)
    t.equal(await client.safeMode('get'), true, 'clients that ask are told')
    const readable = async (): Promise<number> => {
      const names = new Set(await client.readdir('/'))
      return made.filter((path) => names.has(path.slice(1))).length
    }
    t.equal(await readable(), made.length, 'reads go on')

    await cluster.kill('namenode')
    fill(filler)
    cluster.start('namenode')
    await until('a start on the full disk', () => client.exists('/').catch(() => false))
    t.equal(await readable(), made.length, 'after kill -9 everything acknowledged is there')
    await t.rejects(client.mkdir('/refused'), { message: /Resources are low on NN/ })

    rmSync(filler)
    await until('recovery', () =>
      client.mkdir('/after').then(
        () => true,
        () => false,
      ),
    )
    await cluster.kill('namenode', 'SIGTERM')
    cluster.start('namenode')
    await until('the last start', () => client.exists('/after').catch(() => false))
    t.equal(await readable(), made.length)
  },
)
