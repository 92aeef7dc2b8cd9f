/**
 * Programs that use more of a file than reading and writing it: each does the same on the mount and on a local directory
 * and must print the same.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { run, skipWithout } from '../support/foreign-program.ts'
import { driverObstacle, mountCluster } from '../support/mounted-cluster.ts'

t.setTimeout(300_000)

const python = { command: 'python3', probe: ['--version'], install: 'apt-get install python3' }
const skip = driverObstacle('kernel') || skipWithout(python)

/** Bodies of Python programs by what they show; each runs in a directory of its own. */
const programs = {
  'fallocate makes files longer, punches holes and zeroes ranges': `
KEEP, PUNCH, COLLAPSE, ZERO = 1, 2, 8, 16
fd = os.open('f', os.O_RDWR | os.O_CREAT)
os.write(fd, b'x' * 100000)
os.posix_fallocate(fd, 0, 150000); show(fd)
fallocate(fd, KEEP, 0, 300000); show(fd)
fallocate(fd, PUNCH | KEEP, 5000, 20000); show(fd)
os.fsync(fd)
fallocate(fd, PUNCH | KEEP, 90000, 900000); show(fd)
fallocate(fd, ZERO, 10, 20); show(fd)
fallocate(fd, ZERO, 140000, 60000); show(fd)
fallocate(fd, ZERO | KEEP, 199990, 50); show(fd)
try:
  fallocate(fd, 0, 0, 0)
except OSError as e: print(e.errno)
os.close(fd); show(os.open('f', os.O_RDONLY))`,
  'copy_file_range copies within and between files': `
open('a', 'wb').write(bytes(range(256)) * 20000)
a = os.open('a', os.O_RDWR); b = os.open('b', os.O_RDWR | os.O_CREAT)
left = 3000000
while left > 0:
  n = os.copy_file_range(a, b, left, 1000000 + 3000000 - left, 500 + 3000000 - left); left -= n
show(b)
print(os.copy_file_range(a, a, 1000, 0, 4000000)); show(a)
print(os.copy_file_range(a, b, 1000, 99000000, 0))`,
  'appends of several processes do not overwrite each other': `
children = []
for i in range(4):
  pid = os.fork()
  if pid == 0:
    fd = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for n in range(100): os.write(fd, (str(i) * (50 + n) + '\\n').encode())
    os._exit(0)
  children.append(pid)
for pid in children: os.waitpid(pid, 0)
lines = open('log').read().split('\\n')
print(len(lines), all(len(set(l)) <= 1 for l in lines), sorted(len(l) for l in lines)[:3])`,
  'ftruncate cuts and lengthens, under other handles too': `
fd = os.open('f', os.O_RDWR | os.O_CREAT); other = os.open('f', os.O_RDWR)
os.write(fd, b'abcdefghij' * 1000)
for size in (5000, 7000, 0, 3, 100000, 10):
  os.ftruncate(fd, size); print(os.fstat(other).st_size); show(other)
  os.pwrite(other, b'Z', 2); show(fd)
os.close(fd); os.close(other); print(os.stat('f').st_size)`,
  'mapped files are read and written': `
open('f', 'wb').write(b'0123456789' * 5000)
fd = os.open('f', os.O_RDWR)
m = mmap.mmap(fd, 50000)
print(m[9:12], m[49999:])
m[20000:20005] = b'HELLO'; m[0:1] = b'X'
print(os.pread(fd, 5, 20000))
os.pwrite(fd, b'world', 30000); print(m[30000:30005])
m.flush(); show(fd)
os.close(fd); m[40000:40003] = b'end'; m.close()
show(os.open('f', os.O_RDONLY))
g = os.open('f', os.O_RDWR | os.O_APPEND); m = mmap.mmap(g, 50000)
m[100:104] = b'page'; m.flush(); os.write(g, b'tail'); os.close(g); m.close()
show(os.open('f', os.O_RDONLY))`,
  'two processes share a mapping': `
open('shm', 'wb').write(bytes(4096))
fd = os.open('shm', os.O_RDWR); m = mmap.mmap(fd, 4096)
pid = os.fork()
if pid == 0:
  n = mmap.mmap(os.open('shm', os.O_RDWR), 4096)
  n[10] = 7
  while n[11] != 8: pass
  os._exit(0)
while m[10] != 7: pass
m[11] = 8
print(os.waitpid(pid, 0)[1])`,
  'O_DIRECT passes the page cache': `
buffer = mmap.mmap(-1, 65536); buffer.write(os.urandom(8) * 8192)
fd = os.open('f', os.O_RDWR | os.O_CREAT | os.O_DIRECT)
print(os.pwritev(fd, [buffer], 0), os.pwritev(fd, [memoryview(buffer)[:4096]], 65536 * 4))
back = mmap.mmap(-1, 65536)
print(os.preadv(fd, [back], 0), back[:] == buffer[:])
print(os.preadv(fd, [back], 65536), any(back[:]), os.fstat(fd).st_size)`,
  'a file without a name is a file still': `
fd = os.open('f', os.O_RDWR | os.O_CREAT); os.write(fd, b'abc'); os.unlink('f')
os.pwrite(fd, b'def', 5); os.fsync(fd); os.ftruncate(fd, 7); show(fd)
print(os.fstat(fd).st_nlink, os.listdir('.'))
fallocate(fd, 3, 0, 2); show(fd)
open('f', 'w').write('another'); show(fd)`,
  'a rewritten file has its new content for who opens it next': `
for n in range(20):
  fd = os.open('f', os.O_RDWR | os.O_CREAT)
  os.pwrite(fd, str(n).encode() * 3, n); os.close(fd)
  show(os.open('f', os.O_RDONLY))`,
} as const

const prelude = `
import ctypes, hashlib, mmap, os, sys
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def fallocate(fd, mode, offset, length):
  if libc.fallocate64(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
    raise OSError(ctypes.get_errno(), 'fallocate')
def show(fd):
  size = os.fstat(fd).st_size
  content = os.pread(fd, size + 10, 0)
  print(size, len(content), hashlib.sha256(content).hexdigest()[:16])
`

t.test('programs do the same on the mount as on a local file system', { skip }, async (t) => {
  const { cluster, directory } = await mountCluster(t, 'kernel', 1)
  const local = mkdtempSync(join(tmpdir(), 'trefoil-local-'))
  t.teardown(() => {
    rmSync(local, { recursive: true })
  })
  const print = async (at: string, name: string, program: string): Promise<string> => {
    const place = join(at, name)
    await run('mkdir', [place])
    const { stdout, stderr } = await run('python3', ['-c', `${prelude}${program}`, place])
    return `${stdout}${stderr}`
  }
  for (const [index, [name, program]] of Object.entries(programs).entries()) {
    const expected = await print(local, `p${index}`, program)
    t.notMatch(expected, /Traceback/, `${name}: the program is right`)
    t.equal(await print(directory, `p${index}`, program), expected, name)
  }

  t.test('every byte of a file is data: the cluster knows no holes', async (t) => {
    const program = `
fd = os.open('f', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 100000); os.pwrite(fd, b'x', 50000)
print(os.lseek(fd, 10, os.SEEK_DATA), os.lseek(fd, 10, os.SEEK_HOLE))
try: os.lseek(fd, 100000, os.SEEK_DATA)
except OSError as e: print(e.errno)`
    t.equal(await print(directory, 'holes', program), '10 100000\n6\n')
    t.match(
      await print(directory, 'collapse', `${program}; fallocate(fd, 8, 0, 4096)`),
      /\[Errno 95\]/,
      'and takes no ranges out',
    )
  })

  t.test('a namenode that is away makes programs wait, and they can be killed', async (t) => {
    await run('sh', ['-c', `mkdir ${directory}/away; echo before > ${directory}/away/f`])
    await cluster.kill('namenode')
    const child = spawn('ls', ['-l', join(directory, 'away', 'none')], { stdio: 'ignore' })
    const isGone = new Promise((resolve) => child.once('exit', resolve))
    const waiting = run('sh', ['-c', `echo after > ${directory}/away/g; cat ${directory}/away/f`])
    await new Promise((resolve) => setTimeout(resolve, 1500))
    t.equal(child.exitCode, null, 'it waits')
    const from = Date.now()
    child.kill('SIGKILL')
    await isGone
    t.ok(Date.now() - from < 5000, 'a process that is killed is gone')
    cluster.start('namenode')
    t.match(await waiting, { status: 0, stdout: 'before\n' }, 'the others go on')
    const client = cluster.client()
    t.equal(await client.readFile('/away/g', 'utf8'), 'after\n')
    await client.close()
  })
})
