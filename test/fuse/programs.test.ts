/** Databases, copiers, compilers and the like on the mount, also while something dies; larger: `npm run mount:programs`. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type RealCluster, startCluster } from '../support/cluster.ts'
import { run, skipWithout } from '../support/foreign-program.ts'
import { type MountProcess, startMountProcess } from '../support/mount-process.ts'
import { mountPrograms, runMountProgram } from '../support/mount-programs.ts'
import { driverObstacle } from '../support/mounted-cluster.ts'

t.setTimeout(600_000)

const skip = driverObstacle('kernel')
const sqlite = { command: 'sqlite3', probe: ['--version'], install: 'apt-get install sqlite3' }

interface Places {
  readonly cluster: RealCluster
  readonly directory: string
  readonly local: string
  readonly mount: MountProcess
}

async function places(t: Test, datanodes: number): Promise<Places> {
  const cluster = await startCluster({ datanodes })
  const directory = mkdtempSync(join(tmpdir(), 'trefoil-programs-'))
  const local = mkdtempSync(join(tmpdir(), 'trefoil-programs-local-'))
  const mount = await startMountProcess(cluster.uri, directory)
  t.teardown(async () => {
    await run('umount', ['-f', '-l', directory])
    await cluster.stop()
    for (const place of [directory, local]) rmSync(place, { recursive: true })
  })
  return { cluster, directory, local, mount }
}

t.test('programs of all kinds find a file system', { skip }, async (t) => {
  const { directory, local, mount } = await places(t, 1)
  for (const program of mountPrograms) {
    const missing = skipWithout(program.needs)
    if (missing === false)
      t.equal(await runMountProgram(program, { directory, local }, 1), undefined, program.name)
    else t.comment(`skipped ${program.name}: ${missing}`)
  }
  t.equal(await mount.end('SIGTERM'), 0)
})

t.test('they go on while a datanode and then the namenode are killed', { skip }, async (t) => {
  const { cluster, directory, local } = await places(t, 3)
  const program = mountPrograms.find(({ name }) => name === 'rsync')
  if (program === undefined) throw new Error('There is no such program')
  const working = runMountProgram(program, { directory, local }, 2)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  await cluster.kill('datanode-1')
  await new Promise((resolve) => setTimeout(resolve, 2000))
  await cluster.kill('namenode')
  await new Promise((resolve) => setTimeout(resolve, 1000))
  cluster.start('namenode')
  cluster.start('datanode-1')
  t.equal(await working, undefined)
})

for (const mode of ['DELETE', 'WAL'])
  t.test(
    `SQLite with ${mode} keeps what it committed when the mount is killed`,
    { skip: skip || skipWithout(sqlite) },
    async (t) => {
      const { cluster, directory, local, mount } = await places(t, 1)
      const file = join(directory, 'db')
      const acknowledged = join(local, 'acknowledged')
      const write = `
sqlite3 '${file}' 'PRAGMA journal_mode=${mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)'
n=0; while :; do
  sqlite3 '${file}' 'PRAGMA synchronous=FULL; INSERT INTO t (v) VALUES (randomblob(2000))' || exit 1
  n=$((n + 1)); echo $n > '${acknowledged}'
done`
      const child = spawn('sh', ['-ec', write], { stdio: 'ignore' })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      const count = (): number => {
        try {
          return Number(readFileSync(acknowledged, 'utf8'))
        } catch {
          return 0
        }
      }
      while (count() < 10) await new Promise((resolve) => setTimeout(resolve, 50))
      await mount.end('SIGKILL')
      await ended
      const committed = count()
      const again = await startMountProcess(cluster.uri, directory)
      const answer = await run('sqlite3', [file, 'PRAGMA integrity_check; SELECT count(*) FROM t'])
      t.match(answer, { status: 0, stdout: /^ok\n/ })
      t.ok(Number(answer.stdout.split('\n')[1]) >= committed, `${committed} rows were committed`)
      t.equal(await again.end('SIGTERM'), 0)
    },
  )
