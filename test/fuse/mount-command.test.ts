/** `dfs mount` as a daemon: how it starts, what it is told, and how it ends. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { mountHelper } from '../../client/cli/mount-helper.ts'
import { parseMountOptions } from '../../client/cli/mount-options.ts'
import { type RealCluster, startCluster } from '../support/cluster.ts'
import { type ProgramResult, run, skipWithout } from '../support/foreign-program.ts'
import { dfsEntry, startMountProcess } from '../support/mount-process.ts'
import { driverObstacle } from '../support/mounted-cluster.ts'

t.setTimeout(300_000)

const python = { command: 'python3', probe: ['--version'], install: 'apt-get install python3' }
const skip = driverObstacle('kernel') || skipWithout(python)

function dfs(...args: string[]): Promise<ProgramResult> {
  return run(process.execPath, [dfsEntry, ...args])
}

function shell(script: string): Promise<ProgramResult> {
  return run('sh', ['-c', script])
}

async function place(t: Test): Promise<{ cluster: RealCluster; directory: string; log: string }> {
  const cluster = await startCluster({ datanodes: 1 })
  const parent = mkdtempSync(join(tmpdir(), 'trefoil-mount-command-'))
  const directory = join(parent, 'a directory')
  await run('mkdir', [directory])
  t.teardown(async () => {
    await run('umount', ['-f', '-l', directory])
    await cluster.stop()
    rmSync(parent, { recursive: true })
  })
  return { cluster, directory, log: join(parent, 'log') }
}

/** A program that has written to a file (after `first`) and does not close it; it says so. */
function holding(path: string, first = ''): ChildProcessByStdio<null, Readable, null> {
  const program = `import os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
${first}
os.write(fd, b'half')
print('written', flush=True); time.sleep(60)`
  return spawn('python3', ['-c', program, path], { stdio: ['ignore', 'pipe', 'inherit'] })
}

t.test(
  'a killed mount loses nothing that was synced, and its place is repaired',
  { skip },
  async (t) => {
    const { cluster, directory } = await place(t)
    const first = await startMountProcess('--fs', cluster.uri, directory)
    t.match(first.said(), /driver kernel/, 'it says which driver it took')
    const writing = holding(
      join(directory, 'file'),
      "os.write(fd, b'kept'); os.fsync(fd); os.pwrite(fd, b'K', 0); os.fsync(fd)",
    )
    await new Promise((resolve) => writing.stdout.once('data', resolve))
    await first.end('SIGKILL')
    writing.kill()
    t.not((await run('ls', [directory])).status, 0, 'the mount point is dead')
    const second = await startMountProcess(cluster.uri, directory)
    t.equal((await run('cat', [join(directory, 'file')])).stdout, 'Kept')
    t.equal(await second.end('SIGTERM'), 0)
    t.equal((await run('ls', ['-A', directory])).stdout, '', 'nothing is mounted any more')
  },
)

t.test('SIGTERM publishes what is open, also of programs that go on', { skip }, async (t) => {
  const { cluster, directory } = await place(t)
  const mount = await startMountProcess(cluster.uri, directory)
  const writing = holding(join(directory, 'open'))
  await new Promise((resolve) => writing.stdout.once('data', resolve))
  t.equal(await mount.end('SIGTERM'), 0)
  writing.kill()
  const client = cluster.client()
  t.equal(await client.readFile('/open', 'utf8'), 'half')
  await client.close()
})

t.test(
  'what cannot get to the cluster any more is named, and the status says so',
  { skip },
  async (t) => {
    const { cluster, directory } = await place(t)
    const mount = await startMountProcess(cluster.uri, directory)
    const writing = holding(join(directory, 'lost'))
    await new Promise((resolve) => writing.stdout.once('data', resolve))
    const client = cluster.client()
    await client.rm('/lost')
    await client.close()
    t.equal(await mount.end('SIGTERM'), 1)
    writing.kill()
    t.match(mount.said(), /What was written to open files was lost: "lost"/)
  },
)

t.test('umount ends it, whoever says it', { skip }, async (t) => {
  const { cluster, directory } = await place(t)
  const { child } = await startMountProcess(cluster.uri, directory)
  const status = new Promise((resolve) => child.once('exit', resolve))
  t.equal((await run('umount', [directory])).status, 0)
  t.equal(await status, 0)
})

t.test('detached it returns when it is mounted; options count', { skip }, async (t) => {
  const { cluster, directory, log } = await place(t)
  const client = cluster.client()
  await client.writeFile('/file', 'x')
  await client.close()
  const options =
    'ro,uid=12,gid=34,cache-size=1m,attr_timeout=0.5,noatime,_netdev,x-systemd.after=y'
  const mounted = await dfs(
    'mount',
    '--detach',
    '--log',
    log,
    '-o',
    options,
    cluster.uri,
    directory,
  )
  t.match(mounted, { status: 0, stderr: '' })
  t.equal((await shell(`stat -c '%u %g' '${directory}/file'`)).stdout, '12 34\n')
  t.match(await shell(`echo y > '${directory}/file'`), { status: 2, stderr: /Read-only/ })
  const table = (await shell(`grep fuse.trefoil /proc/mounts`)).stdout
  t.match(table, new RegExp(`${cluster.uri} .*ro,noatime`), 'the table of mounts tells')
  t.equal((await run('umount', [directory])).status, 0)
})

t.test('mount(8) and fstab come through the helper', { skip }, async (t) => {
  const { cluster, directory } = await place(t)
  const helper = join(dirname(directory), 'mount.trefoil')
  writeFileSync(helper, mountHelper(process.execPath, dfsEntry))
  chmodSync(helper, 0o755)
  const log = `/var/log/trefoil-mount${directory.replaceAll('/', '-')}.log`
  t.teardown(() => {
    rmSync(log, { force: true })
  })
  const source = cluster.uri.replace('hdfs://', '')
  const mounted = await run(helper, [source, directory, '-n', '-o', 'rw,noexec,_netdev'])
  t.match(mounted, { status: 0, stderr: '' })
  t.match((await shell(`grep fuse.trefoil /proc/mounts`)).stdout, /rw,noexec/)
  t.equal((await shell(`echo x > '${directory}/y'; cat '${directory}/y'`)).stdout, 'x\n')
  t.match(readFileSync(log, 'utf8'), /serving on|^$/)
  t.equal((await run('umount', [directory])).status, 0)
  t.equal((await run(helper, [source, directory, '-f'])).status, 0, 'a pretence')
  t.equal((await run(helper, [source])).status, 1)
  t.match(await run(helper, [source, directory, '-o', 'frob']), { status: 2, stderr: /"frob"/ })
})

t.test('what cannot be mounted is refused, with the reason', { skip }, async (t) => {
  const { cluster, directory, log } = await place(t)
  const refused = async (expected: RegExp, ...args: string[]): Promise<void> => {
    const { status, stderr } = await dfs('mount', ...args)
    t.not(status, 0)
    t.match(stderr, expected)
  }
  await refused(/make the directory first/, cluster.uri, `${directory}/none`)
  await refused(/it is no directory/, cluster.uri, '/etc/passwd')
  await refused(/the option "frob"/, '-o', 'frob', cluster.uri, directory)
  await refused(/--driver is kernel or fuse-native/, '--driver', 'x', cluster.uri, directory)
  await refused(/Give one directory/, cluster.uri, directory, 'more')
  await refused(/Give no directory/, '--install-helper', directory)
  await refused(/Name the cluster once/, '--fs', cluster.uri, cluster.uri, directory)
  await refused(
    /the mount ended; it said[^]*Cannot reach/,
    ...['--detach', '--log', log, 'hdfs://127.0.0.1:1', directory],
  )
})

t.test('mount options', async (t) => {
  t.same(parseMountOptions(''), { readOnly: false, kernelOptions: [] })
  t.same(
    parseMountOptions('defaults,allow_other,uid=5,gid=6,cache-size=1g,nosuid,entry_timeout=2'),
    {
      ...{
        readOnly: false,
        allowOther: true,
        uid: 5,
        gid: 6,
        cacheBytes: 2 ** 30,
        entriesMs: 2000,
      },
      kernelOptions: ['nosuid'],
    },
  )
  for (const bad of ['uid=', 'uid=root', 'gid=-1', 'cache-size=much', 'attr_timeout=x', 'ro=1'])
    t.throws(() => parseMountOptions(bad), { name: 'UsageError' }, bad)
})
