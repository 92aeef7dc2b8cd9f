/**
 * `npm run interop`: the write path through Hadoop's own client (hadoop/WritePath.java) against a cluster of
 * ours: append, truncate, concat; writers that are killed, alone and together with daemons; a follower.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type RealCluster, startCluster } from '../support/cluster.ts'
import { run } from '../support/foreign-program.ts'
import {
  clientJars,
  compileJava,
  hadoopVersions,
  javaOptions,
  writeConfiguration,
} from './hadoop-client.ts'

const followTimeoutMs = 60_000
const versionTimeoutMs = 1_200_000

t.setTimeout(hadoopVersions.length * versionTimeoutMs)

/** Java programs with one release's jars, and the cluster that they talk to. */
class Hadoop {
  readonly cluster: RealCluster
  readonly #classPath: string

  constructor(cluster: RealCluster, classPath: string) {
    this.cluster = cluster
    this.#classPath = classPath
  }

  #arguments(program: readonly string[]): string[] {
    return [...javaOptions, '-cp', this.#classPath, ...program]
  }

  /** Runs `WritePath URI ARGUMENTS` to its end and expects it to be content. */
  async succeeds(t: Test, ...args: readonly string[]): Promise<void> {
    const { status, stdout, stderr } = await run(
      'java',
      this.#arguments(['WritePath', this.cluster.uri, ...args]),
    )
    const name = `WritePath ${args.join(' ')}`
    t.equal(status, 0, status === 0 ? name : `${name}\n${stdout}${stderr}\n${this.cluster.logs()}`)
  }

  /** Starts `WritePath URI ARGUMENTS` and returns when it has said `word`. */
  async starts(word: string, ...args: readonly string[]): Promise<ChildProcess> {
    const child = this.spawn(['WritePath', this.cluster.uri, ...args])
    let said = ''
    await new Promise<void>((resolve, reject) => {
      child.stdout?.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes(word)) resolve()
      })
      child.once('exit', () => reject(new Error(`WritePath ${args.join(' ')} ended: ${said}`)))
    })
    return child
  }

  spawn(program: readonly string[]): ChildProcess {
    return spawn('java', this.#arguments(program), { stdio: ['ignore', 'pipe', 'ignore'] })
  }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

/** As WritePath.pattern(). */
function pattern(from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from)
  for (let at = from; at < to; at += 1) bytes[at - from] = (at * 31 + Math.floor(at / 256)) & 0xff
  return bytes
}

/** A writer flushes, `disaster` strikes while it is open, the writer is killed, another client recovers. */
async function crash(
  t: Test,
  hadoop: Hadoop,
  file: { readonly path: string; readonly bytes: number; readonly flushed: number },
  disaster: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const writer = await hadoop.starts('flushed', 'hold', file.path, String(file.bytes))
  await disaster()
  await kill(writer)
  await hadoop.succeeds(t, 'recover', file.path, String(file.flushed))
}

async function followsGrowingFile(t: Test, hadoop: Hadoop): Promise<void> {
  const [path, step, steps] = ['/followed', 4000, 300]
  const writer = await hadoop.starts('grown 1\n', 'grow', path, String(step), String(steps))
  const tail = hadoop.spawn(['org.apache.hadoop.fs.FsShell', '-tail', '-f', path])
  const seen: Buffer[] = []
  tail.stdout?.on('data', (chunk: Buffer) => seen.push(chunk))
  const written = new Promise((resolve) => writer.once('exit', resolve))
  const deadline = Date.now() + followTimeoutMs
  const isAtEnd = (): boolean => {
    const end = pattern(step * (steps - 1), step * steps)
    return Buffer.concat(seen).subarray(-step).equals(end)
  }
  while (!isAtEnd() && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  await kill(tail)
  t.equal(await written, 0, 'the writer checked its file')
  const all = Buffer.concat(seen)
  t.ok(all.equals(pattern(step * steps - all.length, step * steps)), '-tail -f saw every byte once')
  t.ok(all.length > step * 2, `-tail -f saw ${all.length} bytes`)
}

for (const version of hadoopVersions) {
  t.test(`Hadoop ${version}: its client appends, cuts, joins and recovers`, async (t) => {
    t.setTimeout(versionTimeoutMs)
    const jars = clientJars(version)
    const classes = mkdtempSync(join(tmpdir(), 'trefoil-interop-'))
    const cluster = await startCluster({ datanodes: 4 })
    t.teardown(async () => {
      await cluster.stop()
      rmSync(classes, { recursive: true, force: true })
    })
    compileJava('WritePath', jars, classes)
    writeConfiguration(classes, cluster.uri)
    const hadoop = new Hadoop(cluster, `${classes}:${jars}/*`)
    await hadoop.succeeds(t, 'suite')

    const crashed = { path: '/crashed', bytes: 300_000, flushed: 300_000 }
    await crash(t, hadoop, crashed)
    await hadoop.succeeds(t, 'check', crashed.path, '301000')
    // recover() has appended 1000 bytes: this writer appends again, from the middle of a chunk.
    await crash(t, hadoop, { ...crashed, bytes: 5000, flushed: 306_000 })

    await crash(t, hadoop, { path: '/with-datanode', bytes: 5000, flushed: 5000 }, () =>
      cluster.kill('datanode-1'),
    )
    cluster.start('datanode-1')
    await cluster.ready()
    await crash(t, hadoop, { path: '/with-namenode', bytes: 5000, flushed: 5000 }, async () => {
      await cluster.kill('namenode')
      cluster.start('namenode')
      await cluster.ready()
    })
    const bytes = 70_001
    await crash(t, hadoop, { path: '/with-all-datanodes', bytes, flushed: bytes }, async () => {
      await Promise.all(cluster.datanodeRoles.map((role) => cluster.kill(role)))
      for (const role of cluster.datanodeRoles) cluster.start(role)
      await cluster.ready()
    })
    await followsGrowingFile(t, hadoop)
  })
}
