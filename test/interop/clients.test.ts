/** Programs that already speak HDFS, unmodified: rclone, gohdfs's shell and the hdfs-native wheel. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { writeRandomFile } from '../../ops/demo/random-file.ts'
import { startCluster } from '../support/cluster.ts'
import { run, skipWithout } from '../support/foreign-program.ts'

const rclone = { command: 'rclone', probe: ['version'], install: 'apt-get install rclone' }
const gohdfs = { command: 'hdfs', probe: ['--help'], install: 'apt-get install hdfs-cli' }
const python = process.env['HDFS_NATIVE_PYTHON'] ?? 'python3'
const hdfsNative = {
  command: python,
  probe: ['-c', 'import hdfs_native'],
  install: 'pip install hdfs-native (HDFS_NATIVE_PYTHON names the interpreter)',
}

/** A tree with the shapes that trip clients up: empty, one chunk, odd lengths, deep, unusual names. */
async function makeTree(root: string): Promise<void> {
  mkdirSync(join(root, 'deep/er/est'), { recursive: true })
  mkdirSync(join(root, 'empty-directory'))
  writeFileSync(join(root, 'empty'), '')
  writeFileSync(join(root, 'one'), 'x')
  writeFileSync(join(root, 'chunk'), Buffer.alloc(512, 7))
  writeFileSync(join(root, 'chunk-and-one'), Buffer.alloc(513, 8))
  writeFileSync(join(root, 'deep/er/est/grüße 文件.txt'), 'unusual name\n')
  await writeRandomFile(join(root, 'deep/packets'), 3 * 65_536 + 17)
  await writeRandomFile(join(root, 'large'), 20 * 2 ** 20 + 3, 2)
}

function sameTree(t: Test, left: string, right: string): void {
  const names = (root: string): string[] =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
      .sort()
  t.same(names(right), names(left), 'the same files')
  for (const name of names(left)) {
    t.ok(readFileSync(join(left, name)).equals(readFileSync(join(right, name))), `${name} is equal`)
  }
}

t.test(
  'rclone copies, checks, syncs, moves, deletes and asks for space',
  { skip: skipWithout(rclone) },
  async (t) => {
    const cluster = await startCluster({ datanodes: 3 })
    t.teardown(() => cluster.stop())
    const local = t.testdir({})
    const source = join(local, 'source')
    mkdirSync(source)
    await makeTree(source)
    const env = {
      RCLONE_CONFIG: join(local, 'rclone.conf'),
      RCLONE_CONFIG_OURS_TYPE: 'hdfs',
      RCLONE_CONFIG_OURS_NAMENODE: `${cluster.host}:${cluster.port}`,
      RCLONE_CONFIG_OURS_USERNAME: cluster.user,
    }
    const rcloneRun = async (...args: string[]): Promise<string> => {
      const { status, stdout, stderr } = await run('rclone', ['--retries', '1', ...args], { env })
      t.equal(status, 0, `rclone ${args.join(' ')}${status === 0 ? '' : `\n${stderr}`}`)
      return stdout
    }
    await rcloneRun('copy', source, 'ours:/tree')
    await rcloneRun('check', '--download', source, 'ours:/tree')
    writeFileSync(join(source, 'one'), 'changed')
    rmSync(join(source, 'chunk'))
    writeFileSync(join(source, 'added'), 'added')
    await rcloneRun('sync', source, 'ours:/tree')
    await rcloneRun('check', '--download', source, 'ours:/tree')
    await rcloneRun('moveto', 'ours:/tree/added', 'ours:/tree/deep/renamed')
    t.equal(await rcloneRun('cat', 'ours:/tree/deep/renamed'), 'added')
    t.match(await rcloneRun('about', 'ours:'), /Total:/)
    const back = join(local, 'back')
    await rcloneRun('copy', 'ours:/tree', back)
    rmSync(join(back, 'deep/renamed'))
    rmSync(join(source, 'added'))
    sameTree(t, source, back)
    await rcloneRun('delete', 'ours:/tree')
    t.equal(await rcloneRun('lsf', '--files-only', '-R', 'ours:/tree'), '', 'nothing is left')
  },
)

t.test(
  "gohdfs's shell puts, gets, lists, moves and removes",
  { skip: skipWithout(gohdfs) },
  async (t) => {
    const cluster = await startCluster({ datanodes: 3 })
    t.teardown(() => cluster.stop())
    const local = t.testdir({})
    const source = join(local, 'source')
    mkdirSync(source)
    await makeTree(source)
    const env = {
      HADOOP_NAMENODE: `${cluster.host}:${cluster.port}`,
      HADOOP_USER_NAME: cluster.user,
    }
    const hdfs = async (...args: string[]): Promise<string> => {
      const { status, stdout, stderr } = await run('hdfs', args, { env })
      t.equal(status, 0, `hdfs ${args.join(' ')}${status === 0 ? '' : `\n${stderr}`}`)
      return stdout
    }
    const fails = async (...args: string[]): Promise<string> => {
      const { status, stderr } = await run('hdfs', args, { env })
      t.not(status, 0, `hdfs ${args.join(' ')} fails`)
      return stderr
    }
    await hdfs('mkdir', '-p', '/g/a')
    await hdfs('put', source, '/g/tree')
    t.match(await hdfs('ls', '/g/tree'), /chunk-and-one[\s\S]*large/)
    t.match(await hdfs('ls', '-l', '/g/tree'), /-rw-r--r--\s+\S+\s+\S+\s+513\s/)
    t.equal(await hdfs('cat', '/g/tree/one'), 'x')
    t.equal((await hdfs('tail', '-c', '5', '/g/tree/deep/er/est/grüße 文件.txt')).trim(), 'name')
    await hdfs('get', '/g/tree', join(local, 'back'))
    sameTree(t, source, join(local, 'back'))
    await hdfs('mv', '/g/tree/one', '/g/a/moved')
    await fails('cat', '/g/tree/one')
    t.match(await hdfs('du', '/g'), /\d/)
    t.match(await hdfs('df'), /\d/)
    t.match(await hdfs('checksum', '/g/tree/large'), /[0-9a-f]{32}/)
    await hdfs('touch', '/g/a/new')
    await hdfs('chmod', '600', '/g/a/new')
    t.match(await hdfs('ls', '-l', '/g/a'), /-rw-------/)
    t.match(await fails('rm', '/g/a'), /directory/i)
    t.match(await fails('cat', '/none'), /not exist|no such/i)
    await hdfs('rm', '-r', '/g')
    await fails('ls', '/g')
  },
)

const pythonScript = `
import sys, os
from hdfs_native import Client, WriteOptions
c = Client(sys.argv[1])
data = os.urandom(3 * 1024 * 1024 + 11)
c.mkdirs("/n/a", 0o755, True)
with c.create("/n/a/file", WriteOptions()) as w:
    w.write(data)
with c.read("/n/a/file") as r:
    assert r.read() == data, "read back"
with c.read("/n/a/file") as r:
    assert r.read_range(1000, 2000) == data[1000:3000], "range"
s = c.get_file_info("/n/a/file")
assert s.length == len(data), s.length
assert sorted(x.path for x in c.list_status("/n", True)) == ["/n/a", "/n/a/file"]
# One partial chunk, over a chunk's end, to a block's end and behind it.
for size in (777, 513, 2 * 1024 * 1024, 7):
    more = os.urandom(size)
    with c.append("/n/a/file") as w:
        w.write(more)
    data += more
    assert c.get_file_info("/n/a/file").length == len(data)
    with c.read("/n/a/file") as r:
        assert r.read() == data, "read what was appended"
with c.create("/n/a/filled", WriteOptions(block_size=1024 * 1024)) as w:
    w.write(data[:1024 * 1024])
with c.append("/n/a/filled") as w:
    w.write(data[1024 * 1024:1024 * 1024 + 10])
with c.read("/n/a/filled") as r:
    assert r.read() == data[:1024 * 1024 + 10], "behind a full block"
assert c.delete("/n/a/filled", False)
assert c.rename("/n/a/file", "/n/moved") is None
c.set_permission("/n/moved", 0o600)
assert c.get_file_info("/n/moved").permission & 0o777 == 0o600
c.set_times("/n/moved", 1000, 2000)
try:
    c.get_file_info("/n/a/file")
    raise SystemExit("the old name is still there")
except FileNotFoundError:
    pass
assert c.delete("/n", True)
print("ok")
`

t.test(
  'hdfs-native writes, reads, lists and renames from Python',
  { skip: skipWithout(hdfsNative) },
  async (t) => {
    const cluster = await startCluster({ datanodes: 3 })
    t.teardown(() => cluster.stop())
    const { status, stdout, stderr } = await run(python, ['-c', pythonScript, cluster.uri], {
      env: { HADOOP_USER_NAME: cluster.user },
    })
    t.equal(status, 0, stderr)
    t.equal(stdout.trim(), 'ok')
  },
)
