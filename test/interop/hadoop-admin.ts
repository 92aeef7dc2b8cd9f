/** Part of `npm run interop`: Hadoop's `dfsadmin` and the trash of its shell, unmodified, against a cluster of ours. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { type RealCluster, startCluster } from '../support/cluster.ts'
import { clientJars, hadoopVersions, javaOptions, writeConfiguration } from './hadoop-client.ts'

const dfsEntry = join(dirname(fileURLToPath(import.meta.url)), '../../client/cli/main.js')

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command under way, and what becomes of it. */
class Running {
  readonly ended: Promise<Ended>
  isOver = false

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes.toString()
    })
    child.stderr.on('data', (bytes: Buffer) => {
      stderr += bytes.toString()
    })
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (status) => {
        this.isOver = true
        resolve({ status, stdout, stderr })
      })
    })
  }
}

/** Both programs against one cluster. */
class Programs {
  readonly #classPath: string
  readonly #cluster: RealCluster

  constructor(cluster: RealCluster, classPath: string) {
    this.#cluster = cluster
    this.#classPath = classPath
  }

  java(main: string, ...args: string[]): Running {
    return new Running('java', [...javaOptions, '-cp', this.#classPath, main, ...args])
  }

  shell(...args: string[]): Promise<Ended> {
    return this.java('org.apache.hadoop.fs.FsShell', ...args).ended
  }

  safeMode(action: string): Running {
    return this.java('org.apache.hadoop.hdfs.tools.DFSAdmin', '-safemode', action)
  }

  dfs(...args: string[]): Promise<Ended> {
    const env = { ...process.env, DFS_URI: this.#cluster.uri }
    return new Running(process.execPath, [dfsEntry, ...args], env).ended
  }
}

async function start(t: Test, version: string): Promise<{ scratch: string; programs: Programs }> {
  t.setTimeout(600_000)
  const jars = clientJars(version)
  const cluster = await startCluster({ datanodes: 1, settings: { 'fs.trash.interval': 60 } })
  const scratch = mkdtempSync(join(tmpdir(), 'trefoil-interop-'))
  t.teardown(async () => {
    await cluster.stop()
    rmSync(scratch, { recursive: true, force: true })
  })
  const configuration = writeConfiguration(scratch, cluster.uri, {
    'dfs.namenode.http-address': `127.0.0.1:${cluster.httpPort}`,
  })
  const classPath = `${configuration}:${jars}/*`
  return { scratch, programs: new Programs(cluster, classPath) }
}

t.setTimeout(hadoopVersions.length * 1_200_000)

for (const version of hadoopVersions) {
  t.test(`Hadoop ${version}: dfsadmin -safemode`, async (t) => {
    const { programs } = await start(t, version)
    const says = async (action: string, text: RegExp): Promise<void> => {
      t.match(await programs.safeMode(action).ended, { status: 0, stdout: text }, action)
    }
    await says('get', /^Safe mode is OFF/)
    await says('enter', /^Safe mode is ON/)
    await says('get', /^Safe mode is ON/)
    const refused = await programs.shell('-mkdir', '/in-safe-mode')
    t.match(refused, { status: 1, stderr: /Name node is in safe mode/ })
    t.match(await programs.shell('-ls', '/'), { status: 0 }, 'reading goes on')
    const waiting = programs.safeMode('wait')
    await sleep(5_000)
    t.equal(waiting.isOver, false, 'it waits')
    await says('leave', /^Safe mode is OFF/)
    t.match(await waiting.ended, { status: 0, stdout: /^Safe mode is OFF/ }, 'and ends by itself')
    t.match(await programs.shell('-mkdir', '/afterwards'), { status: 0 })
  })

  t.test(`Hadoop ${version}: fsck and the rest of dfsadmin`, async (t) => {
    const { scratch, programs } = await start(t, version)
    const file = join(scratch, 'data.bin')
    writeFileSync(file, Buffer.alloc(3000, 7))
    t.match(await programs.shell('-mkdir', '-p', '/data/empty'), { status: 0 })
    t.match(await programs.shell('-put', file, '/data/file'), { status: 0 })
    const fsck = (...args: string[]): Promise<Ended> =>
      programs.java('org.apache.hadoop.hdfs.tools.DFSck', ...args).ended
    t.match(await fsck('/'), { status: 0, stdout: /under path '\/' is HEALTHY\n$/ })
    t.match(await fsck('/data', '-files', '-blocks', '-locations'), {
      status: 0,
      stdout:
        /\/data\/file 3000 bytes[^]*\n0\. BP-.* len=3000 Live_repl=1 {2}\[DatanodeInfoWithStorage/,
    })
    t.match(await fsck('/', '-list-corruptfileblocks'), {
      status: 0,
      stdout: /has 0 CORRUPT blocks\n$/,
    })
    const admin = (...args: string[]): Promise<Ended> =>
      programs.java('org.apache.hadoop.hdfs.tools.DFSAdmin', ...args).ended
    const says = async (args: string, stdout: RegExp): Promise<void> => {
      t.match(await admin(...args.split(' ')), { status: 0, stdout }, args)
    }
    await says('-metasave meta.txt', /^Created metasave file meta\.txt/)
    await says('-rollEdits', /New segment starts at txid \d+/)
    await says('-finalizeUpgrade', /^Finalize upgrade successful/)
    await says('-restoreFailedStorage check', /is set to false/)
    await says('-refreshUserToGroupsMappings', /successful/)
    t.match(await admin('-saveNamespace'), { status: 255, stderr: /Safe mode should be turned ON/ })
    await says('-safemode enter', /^Safe mode is ON/)
    await says('-saveNamespace', /^Save namespace successful/)
    await says('-safemode leave', /^Safe mode is OFF/)
  })

  t.test(
    `Hadoop ${version}: what fs -rm moves to the trash, dfs trash lists and restores`,
    async (t) => {
      const { scratch, programs } = await start(t, version)
      const file = join(scratch, 'report.csv')
      writeFileSync(file, 'a,b\n1,2\n')
      for (const args of [
        ['-mkdir', '-p', '/data/tree'],
        ['-put', file, '/data/report.csv'],
        ['-put', file, '/data/tree/inner.csv'],
      ]) {
        t.match(await programs.shell(...args), { status: 0 }, args.join(' '))
      }
      t.match(await programs.shell('-rm', '/data/report.csv'), { status: 0 })
      t.not((await programs.shell('-ls', '/data/report.csv')).status, 0, 'it is not there any more')
      t.match(await programs.shell('-rm', '-r', '/data/tree'), { status: 0 })
      const listed = await programs.dfs('trash', 'ls')
      t.match(listed, { status: 0, stdout: /\/data\/report\.csv\n/ })
      t.match(listed.stdout, /\/data\/tree\/\n/)
      t.match(await programs.dfs('trash', 'restore', '/data/report.csv', '/data/tree'), {
        status: 0,
      })
      const restored = await programs.shell('-cat', '/data/report.csv', '/data/tree/inner.csv')
      t.match(restored, { status: 0, stdout: 'a,b\n1,2\na,b\n1,2\n' })
      t.match(await programs.dfs('rm', '/data/report.csv'), { status: 0 })
      t.match(await programs.shell('-expunge', '-immediate'), { status: 0 })
      t.equal((await programs.dfs('trash', 'ls')).stdout, '', 'Hadoop empties what ours put there')
      t.not((await programs.shell('-ls', '/data/report.csv')).status, 0)
    },
  )
}
