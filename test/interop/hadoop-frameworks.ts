/**
 * `npm run interop`: what frameworks do with Hadoop's client while processes die: a writer that flushes in a loop and loses one
 * datanode after the other, Flink's recoverable writer (hadoop/Frameworks.java), and HBase's own writer of write-ahead logs
 * (hadoop/HBaseLog.java), which sends to all datanodes itself.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type RealCluster, startCluster } from '../support/cluster.ts'
import { clientJars, compileJava, hadoopVersions, hbaseJars, javaOptions } from './hadoop-client.ts'

const versionTimeoutMs = 600_000

t.setTimeout((hadoopVersions.length + 1) * versionTimeoutMs)

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A Java program that is running. */
class Program {
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  readonly #name: string
  #stdout = ''
  #stderr = ''

  constructor(classPath: string, args: readonly string[]) {
    this.#name = args.join(' ')
    const child = spawn('java', [...javaOptions, '-cp', classPath, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    child.stdout.on('data', (chunk: Buffer) => (this.#stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()))
    this.ended = new Promise((resolve) =>
      child.once('close', (status) =>
        resolve({ status, stdout: this.#stdout, stderr: this.#stderr }),
      ),
    )
  }

  /** Waits until it has said something that matches. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#stdout)
      if (match !== null) return match
      if (this.#child.exitCode !== null)
        throw new Error(`${this.#name} ended without ${pattern.source}: ${this.#stderr}`)
      await sleep(20)
    }
  }

  /** The number that it said last. */
  lastNumber(): number {
    return Number(/(\d+)\s*$/.exec(this.#stdout)?.[1] ?? 0)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }

  async succeeds(t: Test, cluster: RealCluster): Promise<string> {
    const { status, stdout, stderr } = await this.ended
    const isFine = status === 0
    t.equal(status, 0, isFine ? this.#name : `${this.#name}\n${stderr}\n${cluster.logs()}`)
    return stdout
  }
}

/** A cluster, and a folder with the compiled program and the jars it needs. */
async function prepare(
  t: Test,
  program: string,
  jars: string,
): Promise<{ cluster: RealCluster; run: (...args: readonly string[]) => Program }> {
  const classes = mkdtempSync(join(tmpdir(), 'trefoil-interop-'))
  const cluster = await startCluster({ datanodes: 4 })
  t.teardown(async () => {
    await cluster.stop()
    rmSync(classes, { recursive: true, force: true })
  })
  compileJava(program, jars, classes)
  const classPath = `${classes}:${jars}/*`
  const run = (...args: readonly string[]): Program =>
    new Program(classPath, [program, cluster.uri, ...args])
  return { cluster, run }
}

for (const version of hadoopVersions) {
  t.test(`Hadoop ${version}: a flushing writer outlives its datanodes, one by one`, async (t) => {
    t.setTimeout(versionTimeoutMs)
    const { cluster, run } = await prepare(t, 'Frameworks', clientJars(version))
    const steps = 700
    const writer = run('loop', '/loop', String(steps))
    await writer.says(/flushed 20\n/)
    for (const role of cluster.datanodeRoles.slice(0, 3)) {
      await cluster.kill(role)
      // Hadoop's client never uses a datanode again that failed it in the same block: of 1 MiB, or 52 steps.
      const from = writer.lastNumber()
      while (writer.lastNumber() < from + 30) await sleep(50)
      cluster.start(role)
      await cluster.ready()
      while (writer.lastNumber() < from + 110) await sleep(50)
    }
    t.ok(writer.lastNumber() < steps, 'it was writing all the time')
    t.match(await writer.succeeds(t, cluster), /flushed 700\nok\n$/)
  })

  t.test(`Hadoop ${version}: Flink's recoverable writer resumes and commits`, async (t) => {
    t.setTimeout(versionTimeoutMs)
    const { cluster, run } = await prepare(t, 'Frameworks', clientJars(version))
    for (const disaster of ['none', 'datanode-1', 'namenode'] as const) {
      const path = `/flink-${disaster}`
      const writer = run('flink-write', path)
      const [, persisted = ''] = await writer.says(/persisted (\d+)\n/)
      await writer.says(/beyond \d+\n/)
      if (disaster !== 'none') await cluster.kill(disaster)
      await writer.kill()
      if (disaster !== 'none') cluster.start(disaster)
      await cluster.ready()
      await run('flink-resume', path, persisted).succeeds(t, cluster)
    }
  })
}

t.test("HBase's writer sends to all datanodes, and recovers when one dies", async (t) => {
  t.setTimeout(versionTimeoutMs)
  const { cluster, run } = await prepare(t, 'HBaseLog', hbaseJars())
  t.match(
    await run('/whole', '50').succeeds(t, cluster),
    /pipeline 3\n[\s\S]*synced 50\nok 50000\n$/,
  )
  const writer = run('/broken', '100000')
  await writer.says(/synced 40\n/)
  // Two of four: one of them at least is among the three.
  await Promise.all([cluster.kill('datanode-1'), cluster.kill('datanode-2')])
  t.match(await writer.succeeds(t, cluster), /failed after (\d+)000\n[\s\S]*ok \d+\n$/)
})
