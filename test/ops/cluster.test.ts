/** `dfs up` and `dfs down` as real processes: start, find the data again, refuse, restart, stop. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { describeProcess, findListener } from '../../ops/cluster/processes.ts'
import { run } from '../support/foreign-program.ts'

/** Compiled entry of the `dfs` command, beside the compiled tests. */
const entry = join(dirname(fileURLToPath(import.meta.url)), '../../client/cli/main.js')
const waitMs = 30_000

/** A cluster started by `dfs up` in the foreground. */
interface Up {
  readonly child: ChildProcess
  readonly directory: string
  readonly uri: string
  output(): string
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + waitMs
  while (!isTrue()) {
    if (Date.now() > deadline) throw new Error(`waited ${waitMs} ms for ${what}`)
    await sleep(20)
  }
}

function dfs(...args: string[]): ReturnType<typeof run> {
  return run(process.execPath, [entry, ...args], { env: { DFS_URI: '' } })
}

const small = [
  ...['--set', 'dfs.datanode.reserved-bytes=0'],
  ...['--namenode-port', '0', '--http-port', '0', '--gateway-port', '0'],
]

/** Starts a cluster and waits until it says that it is up. */
async function up(t: Test, directory: string, ...args: string[]): Promise<Up> {
  let output = ''
  const child = spawn(process.execPath, [entry, 'up', '--dir', directory, ...small, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const collect = (bytes: Buffer): void => {
    output += bytes.toString()
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
  })
  await until(`${directory} to come up:\n${output}`, () => {
    return output.includes('stops it.') || child.exitCode !== null
  })
  const uri = /hdfs:\/\/[\d.:]+/.exec(output)?.[0]
  if (uri === undefined) throw new Error(output)
  return { child, directory, uri, output: () => output, ended }
}

function pidOf(directory: string, name: string): number {
  const file = join(directory, 'run', `${name}.pid`)
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
}

t.test('up serves, stops cleanly on SIGINT, and finds its data again', async (t) => {
  const directory = join(t.testdir({ file: 'kept across a restart' }), 'cluster')
  const source = join(dirname(directory), 'file')
  const first = await up(t, directory)
  t.match(first.output(), /one namenode, 3 datanodes, one gateway[^]*status +http:\/\/127[^]*Try:/)
  const addresses = JSON.parse(readFileSync(join(directory, 'run/cluster.json'), 'utf8')) as unknown
  t.match(addresses, {
    uri: first.uri,
    daemons: [{ name: 'namenode', addresses: { rpc: String } }],
  })
  t.match(await dfs('--fs', first.uri, 'put', source, '/file'), { status: 0, stderr: '' })
  const http = /gateway +(http:\/\/\S+) /.exec(first.output())?.[1] ?? ''
  const served = await fetch(`${http}webhdfs/v1/file?op=OPEN`)
  t.equal(await served.text(), 'kept across a restart', 'the gateway serves the cluster')
  const daemons = ['up', 'namenode', 'datanode-1', 'datanode-3', 'gateway']
  const pids = daemons.map((name) => pidOf(directory, name))
  t.ok(pids.every((pid) => describeProcess(pid) !== undefined))
  t.equal(first.child.kill('SIGINT'), true)
  t.equal(await first.ended, 0)
  t.ok(
    pids.every((pid) => describeProcess(pid) === undefined),
    'no process is left',
  )
  t.same(readdirSync(join(directory, 'run')), ['cluster.json'], 'no pid file is left')
  const second = await up(t, directory)
  t.equal((await dfs('--fs', second.uri, 'cat', '/file')).stdout, 'kept across a restart')
  t.match(await dfs('--fs', second.uri, 'fsck', '/'), { status: 0, stdout: /is HEALTHY/ })
})

t.test('up refuses a directory and a port that are taken, and says by what', async (t) => {
  const root = t.testdir()
  const directory = join(root, 'cluster')
  const running = await up(t, directory, '--datanodes', '1')
  const twice = await dfs('up', '--dir', directory, ...small)
  t.equal(twice.status, 1)
  t.match(
    twice.stderr,
    new RegExp(`in use by up, process ${running.child.pid ?? 0} \\(.*main\\.js up`),
  )
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const other = await dfs('up', '--dir', join(root, 'other'), '--namenode-port', String(port))
  t.equal(other.status, 1)
  t.match(other.stderr, `port ${port} on 127.0.0.1 is taken by process ${process.pid}`)
  t.match(other.stderr, '--namenode-port')
  t.match(await dfs('up', '--dir', join(root, 'other'), '--datanodes', 'x'), { status: 2 })
  t.equal(findListener(port)?.pid, process.pid)
})

t.test('up starts a daemon that died again, unless told not to', async (t) => {
  const root = t.testdir()
  const running = await up(t, join(root, 'one'), '--datanodes', '1')
  const before = pidOf(running.directory, 'datanode-1')
  process.kill(before, 'SIGKILL')
  await until('the datanode to come back', () =>
    running.output().includes('datanode-1 is up again'),
  )
  t.match(running.output(), new RegExp(`datanode-1, process ${before}, was killed by SIGKILL`))
  t.not(pidOf(running.directory, 'datanode-1'), before)
  const gateway = pidOf(running.directory, 'gateway')
  process.kill(gateway, 'SIGKILL')
  await until('the gateway to come back', () => running.output().includes('gateway is up again'))
  const namenode = pidOf(running.directory, 'namenode')
  process.kill(namenode, 'SIGKILL')
  await until('the namenode to come back', () => running.output().includes('namenode is up again'))
  t.equal((await dfs('--fs', running.uri, 'ls', '/')).status, 0)
  running.child.kill('SIGTERM')
  t.equal(await running.ended, 0)
  const left = await up(t, join(root, 'two'), '--datanodes', '1', '--no-restart')
  process.kill(pidOf(left.directory, 'datanode-1'), 'SIGKILL')
  await until('the news', () => left.output().includes('not started again'))
  t.equal(pidOf(left.directory, 'datanode-1'), 0)
})

t.test('daemons stop when a launcher in the foreground is killed', async (t) => {
  const running = await up(t, join(t.testdir(), 'cluster'), '--datanodes', '2')
  const pids = ['namenode', 'datanode-1', 'datanode-2', 'gateway'].map((name) =>
    pidOf(running.directory, name),
  )
  running.child.kill('SIGKILL')
  await running.ended
  await until('the daemons to stop', () => pids.every((pid) => describeProcess(pid) === undefined))
  const again = await up(t, running.directory)
  t.match(again.output(), /2 datanodes/, 'as many as there is data of')
})

t.test('up --detach returns when ready, and down stops it', async (t) => {
  const directory = join(t.testdir(), 'cluster')
  t.teardown(() => dfs('down', '--dir', directory))
  const detached = await dfs('up', '--detach', '--dir', directory, '--datanodes', '1', ...small)
  t.match(detached, { status: 0, stdout: /is up[^]*Stop it with: .* down --dir/ })
  const uri = /hdfs:\/\/[\d.:]+/.exec(detached.stdout)?.[0] ?? ''
  t.equal((await dfs('--fs', uri, 'mkdir', '/made')).status, 0)
  const launcher = pidOf(directory, 'up')
  const daemons = ['namenode', 'datanode-1', 'gateway'].map((name) => pidOf(directory, name))
  process.kill(launcher, 'SIGKILL')
  await sleep(500)
  t.ok(
    daemons.every((pid) => describeProcess(pid) !== undefined),
    'daemons outlive their launcher',
  )
  t.equal((await dfs('--fs', uri, 'ls', '/made')).status, 0)
  t.match(await dfs('up', '--dir', directory, ...small), {
    status: 1,
    stderr: /in use by gateway/,
  })
  t.match(await dfs('down', '--dir', directory), { status: 0, stdout: /stopped 3 processes/ })
  t.ok(daemons.every((pid) => describeProcess(pid) === undefined))
  t.match(await dfs('down', '--dir', directory), { status: 0, stdout: /nothing was running/ })
  const back = await dfs('up', '--detach', '--dir', directory, ...small)
  t.equal(back.status, 0)
  t.match(await dfs('down', '--dir', directory), { status: 0, stdout: /stopped 4 processes/ })
})

t.test('up fails with the words of a daemon that cannot start', async (t) => {
  const directory = join(t.testdir(), 'cluster')
  const args = [
    '--dir',
    directory,
    ...small,
    '--set',
    'net.topology.table.file.name=/does/not/exist',
  ]
  const { status, stderr } = await dfs('up', ...args)
  t.equal(status, 1)
  t.match(stderr, /namenode ended with exit status 1 before it was ready[^]*\/does\/not\/exist/)
  t.equal(pidOf(directory, 'up'), 0)
  const detached = await dfs('up', '--detach', ...args)
  t.equal(detached.status, 1)
  t.match(detached.stderr, /\/does\/not\/exist/)
})
