/** Whole command lines against a namespace in memory: output, effects, errors and exit codes. */
import { mkdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DfsFsError } from '../../../client/index.ts'
import { DfsError } from '../../../protocol/errors.ts'
import {
  type CommandResult,
  type CommandSetting,
  runCommand as dfs,
} from '../../support/command-line.ts'
import { FakeFileSystem, sampleFileSystem as sample } from '../../support/fake-file-system.ts'

t.test('ls prints what HDFS prints', async (t) => {
  const { code, out } = await dfs(sample(), ['-ls', '/data'], { env: { TZ: 'UTC' } })
  t.equal(code, 0)
  const lines = out.split('\n')
  t.equal(lines[0], 'Found 3 items')
  t.match(lines[1], /^-rw-r--r-- {3}3 alice staff {10}6 2026-11-22 \d\d:\d\d \/data\/a\.csv$/)
  t.match(lines[3], /^drwxr-xr-x {3}- alice staff {10}0 .* \/data\/sub$/)
})

t.test('ls orders, recurses, hides and shows as told', async (t) => {
  const fs = sample()
  const paths = async (...args: string[]): Promise<string[]> =>
    (await dfs(fs, ['ls', '-C', ...args])).out.trimEnd().split('\n')
  t.same(await paths('/data'), ['/data/a.csv', '/data/b.csv', '/data/sub'])
  t.same(await paths('-t', '/data'), ['/data/b.csv', '/data/a.csv', '/data/sub'])
  t.same(await paths('-S', '/data'), ['/data/b.csv', '/data/a.csv', '/data/sub'])
  t.same(await paths('-r', '/data'), ['/data/sub', '/data/b.csv', '/data/a.csv'])
  t.same(await paths('-d', '/data'), ['/data'])
  t.same(await paths('-R', '/data'), ['/data/a.csv', '/data/b.csv', '/data/sub', '/data/sub/c.txt'])
  t.same(await paths('/data/*.csv', '/data/sub'), ['/data/a.csv', '/data/b.csv', '/data/sub/c.txt'])
  t.notMatch((await dfs(fs, ['ls', '-R', '/data'])).out, /Found/)
  t.equal((await dfs(fs, ['ls'])).out, '', 'an empty home directory')
})

t.test('ls --json is one JSON document', async (t) => {
  const { out } = await dfs(sample(), ['ls', '--json', '/data', '/user'])
  const entries = JSON.parse(out) as { path: string; mode: string; modified: string }[]
  t.same(
    entries.map(({ path }) => path),
    ['/data/a.csv', '/data/b.csv', '/data/sub', '/user/alice'],
  )
  t.match(entries[1], {
    mode: '0600',
    size: 10,
    replication: 3,
    modified: '2027-01-01T00:00:00.000Z',
  })
  t.same(JSON.parse((await dfs(sample(), ['ls', '--json', '/user/alice'])).out), [])
})

t.test('a failure is one line that names command and path, and exit code 1', async (t) => {
  const fs = sample()
  const missing = await dfs(fs, ['ls', '/nope', '/data/a.csv'])
  t.equal(missing.code, 1)
  t.equal(missing.err, 'dfs: ls: /nope: No such file or directory\n')
  t.match(missing.out, /a\.csv/, 'the other operand is listed all the same')
  fs.failing = (verb) => (verb === 'opendir' ? 'PERMISSION_DENIED' : undefined)
  t.match((await dfs(fs, ['ls', '/data'])).err, /^dfs: ls: \/data: .*; ask the owner/)
  t.match(
    (await dfs(new FakeFileSystem(), ['ls'])).err,
    /home directory \/user\/alice does not exist/,
  )
  t.match((await dfs(fs, ['cat', 's3://x/y'])).err, /Only hdfs:\/\/ URIs/)
})

t.test('append writes files or standard input at the end, and makes what is missing', async (t) => {
  const fs = sample()
  const cwd = t.testdir({ one: '1\n', two: '2\n', directory: {} })
  t.same(await dfs(fs, ['append', 'one', 'two', '/data/a.csv'], { cwd }), {
    code: 0,
    out: '',
    err: '',
  })
  t.equal(fs.text('/data/a.csv'), 'alpha\n1\n2\n')
  t.equal((await dfs(fs, ['-appendToFile', '-', '/data/new'], { input: 'piped' })).code, 0)
  t.equal(fs.text('/data/new'), 'piped')
  const missing = await dfs(fs, ['append', 'one', 'nope', '/data/a.csv'], { cwd })
  t.match(missing, { code: 1, err: /^dfs: append: .*nope: No such file or directory\n$/ })
  const directory = await dfs(fs, ['append', 'directory', '/data/a.csv'], { cwd })
  t.match(directory, { code: 1, err: /directory: Is a directory/ })
  t.equal(fs.text('/data/a.csv'), 'alpha\n1\n2\n', 'nothing is written when a source is missing')
  t.match(await dfs(fs, ['append', '-', 'one', '/data/a.csv'], { cwd }), { code: 2 })
  t.match(await dfs(fs, ['append', 'one', '/data'], { cwd }), { code: 1, err: /\/data: Is a dir/ })
  t.match(await dfs(fs, ['append', 'one'], { cwd }), { code: 2, err: /Name local files/ })
  fs.failing = (verb) => (verb === 'create' ? 'ALREADY_BEING_CREATED' : undefined)
  t.match(await dfs(fs, ['append', 'one', '/data/a.csv'], { cwd }), { code: 1 })
})

t.test(
  'tail -f stays with one file, reports what happens to it, and ends with Ctrl-C',
  async (t) => {
    const fs = sample()
    const controller = new AbortController()
    const running = dfs(fs, ['tail', '-f', '-n', '1', '/data/b.csv'], { signal: controller.signal })
    while (fs.followed === undefined) await new Promise((resolve) => setImmediate(resolve))
    fs.followed.push('gamma\n')
    fs.followed.emit('truncate', 3)
    fs.followed.push('delta\n')
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    t.same(await running, {
      code: 0,
      out: 'beta\ngamma\ndelta\n',
      err: 'dfs: tail: /data/b.csv: was truncated to 3 bytes; following from there\n',
    })
    const other = sample()
    const gone = dfs(other, ['tail', '-f', '/data/a.csv'])
    while (other.followed === undefined) await new Promise((resolve) => setImmediate(resolve))
    const error = new DfsError('FILE_NOT_FOUND', 'File "/data/a.csv" was deleted')
    other.followed.destroy(new DfsFsError(error))
    t.match(await gone, { code: 1, err: 'dfs: tail: File "/data/a.csv" was deleted\n' })
    t.match(await dfs(fs, ['tail', '-f', '/data/*.csv']), { code: 2, err: /Only one file/ })
    t.match(await dfs(fs, ['tail', '-f', '/data']), { code: 1, err: /Is a directory/ })
  },
)

t.test('truncate says what HDFS says, and waits when told to', async (t) => {
  const fs = sample()
  const cut = await dfs(fs, ['-truncate', '-w', '3', '/data/a.csv', '/data/b.csv'])
  t.same(cut, {
    code: 0,
    out: 'Truncated /data/a.csv to length: 3\nTruncated /data/b.csv to length: 3\n',
    err: '',
  })
  t.equal(fs.text('/data/a.csv'), 'alp')
  fs.isRecovering = true
  t.match(
    (await dfs(fs, ['truncate', '1', '/data/a.csv'])).out,
    /^Truncating .*: 1\. Wait for block/,
  )
  t.match((await dfs(fs, ['truncate', '-w', '0', '/data/a.csv'])).out, /^Truncated/)
  t.match(await dfs(fs, ['truncate', '99', '/data/a.csv', '/data']), {
    code: 1,
    err: /Is a directory/,
  })
  t.equal((await dfs(fs, ['truncate', 'x', '/data/a.csv'])).code, 2)
  t.equal((await dfs(fs, ['truncate', '1'])).code, 2)
})

t.test('concat joins the sources to the target, patterns in order', async (t) => {
  const fs = sample()
  t.equal((await dfs(fs, ['concat', '/data/sub/c.txt', '/data/*.csv'])).code, 0)
  t.equal(fs.text('/data/sub/c.txt'), 'calpha\nbeta\nbeta\n')
  t.equal(fs.text('/data/a.csv'), undefined)
  t.match(await dfs(fs, ['concat', '/data/sub/c.txt', '/nope']), { code: 1, err: /No such file/ })
  t.equal((await dfs(fs, ['concat', '/data/sub/c.txt'])).code, 2)
})

t.test('lease recovers and shows, under HDFS name too', async (t) => {
  const fs = sample()
  t.match(await dfs(fs, ['lease', 'recover', '/data/a.csv']), {
    code: 0,
    out: 'recoverLease SUCCEEDED on /data/a.csv\n',
  })
  t.match(await dfs(fs, ['debug', 'recoverLease', '-path', '/data/a.csv', '-retries', '3']), {
    code: 0,
    out: /SUCCEEDED/,
  })
  t.equal((await dfs(fs, ['lease', 'status', '/data/a.csv'])).out, '/data/a.csv: closed\n')
  fs.isRecovering = true
  t.match(await dfs(fs, ['lease', 'recover', '-retries', '1', '/data/a.csv']), {
    code: 1,
    err: /Not closed yet after 1 tries/,
  })
  t.equal((await dfs(fs, ['lease', 'status', '/data/a.csv'])).out, '/data/a.csv: being written\n')
  t.match(await dfs(fs, ['lease', 'recover', '/data', '/nope']), { code: 1, err: /Is a directory/ })
  for (const args of [['lease'], ['lease', 'break', '/x'], ['lease', 'recover']]) {
    t.equal((await dfs(fs, args)).code, 2, args.join(' '))
  }
  t.equal((await dfs(fs, ['lease', 'recover', '-retries', '0', '/data/a.csv'])).code, 2)
})

t.test('a command line that is not understood does nothing and has exit code 2', async (t) => {
  const fs = sample()
  for (const args of [
    ['ls', '--nope'],
    ['nope'],
    ['rm'],
    ['mv', '/a'],
    ['chmod', '999', '/data'],
    ['up', 'x'],
  ]) {
    const { code, err } = await dfs(fs, args)
    t.equal(code, 2, args.join(' '))
    t.match(err, /^dfs: .*`dfs help/)
  }
  t.equal((await dfs(fs, ['--set', 'nonsense=1', 'ls', '/'])).code, 2)
})

t.test('a lost cluster ends the command at the first path', async (t) => {
  const fs = sample()
  fs.failing = (verb) => (verb === 'rm' ? 'CONNECTION_LOST' : undefined)
  const { code, err } = await dfs(fs, ['rm', '/data/a.csv', '/data/b.csv'])
  t.equal(code, 1)
  t.equal(err.trimEnd().split('\n').length, 1)
  t.match(err, /is the cluster up\?/)
})

t.test('help shows commands, one command, and the settings', async (t) => {
  const fs = sample()
  t.match((await dfs(fs, [])).out, /put +copy local files[^]*Exit codes: 0 done/)
  t.match((await dfs(fs, ['help', 'rm'])).out, /usage: dfs rm .*[^]*They go to your trash/)
  t.match((await dfs(fs, ['rm', '--help'])).out, /usage: dfs rm/)
  t.match((await dfs(fs, ['help', 'settings'])).out, /dfs\.replication +3 +Replicas/)
  t.equal((await dfs(fs, ['help', 'nope'])).code, 2)
  t.match((await dfs(fs, ['version'])).out, /^Trefoil \d/)
})

t.test('mkdir makes directories, with parents and modes', async (t) => {
  const fs = sample()
  t.equal((await dfs(fs, ['mkdir', '/new'])).code, 0)
  t.match(await dfs(fs, ['mkdir', '/new']), { code: 1, err: /File exists/ })
  t.equal((await dfs(fs, ['mkdir', '-p', '/new', '/x/y/z'])).code, 0)
  t.equal((await dfs(fs, ['mkdir', '/q/r'])).code, 1)
  t.equal((await dfs(fs, ['mkdir', '-m', 'go=', 'private'])).code, 0)
  t.equal(fs.inodes.get('/user/alice/private')?.mode, 0o700)
  await dfs(fs, ['mkdir', '-p', '-m', '777', '/data'])
  t.equal(fs.inodes.get('/data')?.mode, 0o755, 'a directory that exists keeps its mode')
})

t.test('rm protects what is rarely meant', async (t) => {
  const fs = sample()
  t.match(await dfs(fs, ['rm', '/data/sub']), { code: 1, err: /pass -r/ })
  t.match(await dfs(fs, ['rm', '-r', '/data']), { code: 1, err: /top-level/ })
  t.match(await dfs(fs, ['rm', '-r', '/*']), { code: 1, err: /top-level/ })
  t.match(await dfs(fs, ['rm', '-r', '--no-preserve-root', '/']), {
    code: 1,
    err: /root directory/,
  })
  t.ok(fs.inodes.has('/data/a.csv'))
  t.match(await dfs(fs, ['rm', '/nope']), { code: 1, err: /No such file/ })
  t.match(await dfs(fs, ['rm', '-f', '/nope']), { code: 0, err: '' })
  t.match(await dfs(fs, ['-rm', '-r', '-skipTrash', '/data/sub', '/data/*.csv']), {
    code: 0,
    out: 'Deleted /data/sub\nDeleted /data/a.csv\nDeleted /data/b.csv\n',
  })
  t.equal((await dfs(fs, ['rm', '-r', '--no-preserve-root', '/data'])).code, 0)
})

t.test('mv renames, moves into directories, and replaces only with -f', async (t) => {
  const fs = sample()
  await dfs(fs, ['mv', '/data/a.csv', '/data/z.csv'])
  t.equal(fs.text('/data/z.csv'), 'alpha\n')
  t.equal((await dfs(fs, ['mv', '/data/*.csv', '/user/alice'])).code, 0)
  t.equal(fs.text('/user/alice/z.csv'), 'alpha\n')
  t.match(await dfs(fs, ['mv', 'z.csv', 'b.csv']), { code: 1, err: /File exists/ })
  t.equal((await dfs(fs, ['mv', '-f', 'z.csv', 'b.csv'])).code, 0)
  t.equal(fs.text('/user/alice/b.csv'), 'alpha\n')
  t.match(await dfs(fs, ['mv', 'b.csv', '/data/sub', '/nowhere']), {
    code: 1,
    err: /not a directory/,
  })
  t.match(await dfs(fs, ['mv', 'b.csv', 'b.csv']), { code: 1, err: /the same/ })
})

t.test('cat and tail write bytes, and only bytes', async (t) => {
  const fs = sample()
  t.equal((await dfs(fs, ['cat', '/data/*.csv'])).out, 'alpha\nbeta\nbeta\n')
  t.match(await dfs(fs, ['cat', '/data', '/data/a.csv']), {
    code: 1,
    out: 'alpha\n',
    err: /Is a directory/,
  })
  fs.addFile('/t', 'one\ntwo\nthree\n')
  const tail = async (...args: string[]): Promise<string> =>
    (await dfs(fs, ['tail', ...args, '/t'])).out
  t.equal(await tail(), 'one\ntwo\nthree\n')
  t.equal(await tail('-n', '2'), 'two\nthree\n')
  t.equal(await tail('-n2'), 'two\nthree\n')
  t.equal(await tail('-n', '+2'), 'two\nthree\n')
  t.equal(await tail('-n', '0'), '')
  t.equal(await tail('-n', '9'), 'one\ntwo\nthree\n')
  t.equal(await tail('-c', '6'), 'three\n')
  t.equal(await tail('-c', '+5'), 'two\nthree\n')
  fs.addFile('/big', `${'x'.repeat(70_000)}\n${'y'.repeat(70_000)}\nlast`)
  t.equal((await dfs(fs, ['tail', '-n', '1', '/big'])).out, 'last')
  t.equal((await dfs(fs, ['tail', '-n', '2', '/big'])).out.length, 70_005)
  t.equal((await dfs(fs, ['tail', '/big'])).out.length, 1024)
  t.equal((await dfs(fs, ['tail', '-n', 'x', '/t'])).code, 2)
})

t.test('stat shows a block of facts, a format, or JSON', async (t) => {
  const fs = sample()
  t.match(
    (await dfs(fs, ['stat', '/data/a.csv'])).out,
    /Path: +\/data\/a\.csv[^]*0644 \(rw-r--r--\)/,
  )
  const format = '%n %N %b %F %a %A %u:%g %r %o %y %Y %% %q'
  t.equal(
    (await dfs(fs, ['-stat', format, '/data/a.csv'])).out,
    'a.csv /data/a.csv 6 regular file 644 -rw-r--r-- alice:staff 3 134217728 ' +
      `2026-11-22 16:05:09 ${Date.UTC(2026, 10, 22, 16, 5, 9)} % %q\n`,
  )
  t.match(JSON.parse((await dfs(fs, ['stat', '--json', '/data'])).out), [{ type: 'directory' }])
})

t.test('du, df and report show sizes', async (t) => {
  const fs = sample()
  t.equal(
    (await dfs(fs, ['du', '/data'])).out,
    '6   18  /data/a.csv\n10  30  /data/b.csv\n1   3   /data/sub\n',
  )
  t.equal((await dfs(fs, ['du', '-s', '-h', '/data'])).out, '17  51  /data\n')
  t.same(JSON.parse((await dfs(fs, ['du', '-s', '--json', '/data'])).out), [
    { path: '/data', size: 17, spaceConsumed: 51 },
  ])
  t.match(
    (await dfs(fs, ['df', '-h'])).out,
    /hdfs:\/\/127\.0\.0\.1:8020 +3\.9 K +1000 +2\.9 K +25%/,
  )
  t.match(JSON.parse((await dfs(fs, ['df', '--json'])).out), { capacity: 4000, usedPercent: 25 })
  const { out } = await dfs(fs, ['report'])
  t.match(out, /Configured Capacity: 4000 \(3\.9 KB\)[^]*Under replicated blocks: 1/)
  t.match(out, /Live datanodes \(3\)[^]*Dead datanodes \(1\)/)
  t.match(out, /Failed volumes: 1 of 2\nOldest unverified byte: 2 h 0 min ago/)
  t.notMatch((await dfs(fs, ['report', '-live'])).out, /Dead/)
  t.match(JSON.parse((await dfs(fs, ['report', '--json'])).out), { isSafeMode: false, used: 1000 })
})

t.test('touch makes files and sets times', async (t) => {
  const fs = sample()
  await dfs(fs, ['touch', '/data/new', '/data/a.csv'])
  t.equal(fs.text('/data/new'), '')
  t.ok(Date.now() - (fs.inodes.get('/data/a.csv')?.mtimeMs ?? 0) < 60_000)
  await dfs(fs, ['touch', '-m', '-t', '2026-01-02T03:04:05Z', '/data/b.csv'])
  t.equal(fs.inodes.get('/data/b.csv')?.mtimeMs, Date.UTC(2026, 0, 2, 3, 4, 5))
  t.equal(fs.inodes.get('/data/b.csv')?.atimeMs, Date.UTC(2026, 10, 22, 17))
  await dfs(fs, ['touch', '-t', '20260203:040506', '/data/b.csv'])
  t.equal(fs.inodes.get('/data/b.csv')?.atimeMs, new Date(2026, 1, 3, 4, 5, 6).getTime())
  t.equal((await dfs(fs, ['touch', '-c', '/data/none'])).code, 0)
  t.notOk(fs.inodes.has('/data/none'))
  t.equal((await dfs(fs, ['touch', '-t', 'noon', '/data/b.csv'])).code, 2)
})

t.test('chmod, chown and setrep reach into trees with -R', async (t) => {
  const fs = sample()
  await dfs(fs, ['chmod', '-R', 'u=rwX,go=', '/data'])
  t.equal(fs.inodes.get('/data/sub')?.mode, 0o700)
  t.equal(fs.inodes.get('/data/sub/c.txt')?.mode, 0o600)
  await dfs(fs, ['chmod', '-w', '/data/a.csv'])
  t.equal(fs.inodes.get('/data/a.csv')?.mode, 0o400)
  await dfs(fs, ['chown', '-R', 'bob:users', '/data'])
  t.match(fs.inodes.get('/data/sub/c.txt'), { owner: 'bob', group: 'users' })
  await dfs(fs, ['chown', ':wheel', '/data'])
  t.match(fs.inodes.get('/data'), { owner: 'bob', group: 'wheel' })
  const { out } = await dfs(fs, ['setrep', '-w', '2', '/data'])
  t.equal(fs.inodes.get('/data/sub/c.txt')?.replication, 2)
  t.match(out, /Replication 2 set: \/data\/a\.csv[^]*Replication 2 reached: \/data\/sub\/c\.txt/)
  t.equal((await dfs(fs, ['setrep', '0', '/data'])).code, 2)
})

t.test('test answers by exit code alone', async (t) => {
  const fs = sample()
  fs.addFile('/empty', '')
  const ask = async (...args: string[]): Promise<number> => (await dfs(fs, ['-test', ...args])).code
  t.same(
    [
      await ask('-e', '/data'),
      await ask('-d', '/data'),
      await ask('-f', '/data'),
      await ask('-e', '/no'),
    ],
    [0, 0, 1, 1],
  )
  t.same(
    [await ask('-z', '/empty'), await ask('-s', '/empty'), await ask('-s', '/data')],
    [0, 1, 0],
  )
  t.equal(await ask('/data'), 2)
})

t.test('put copies files and trees, skips links, and leaves no temporary names', async (t) => {
  const fs = sample()
  const local = t.testdir({
    one: 'first',
    tree: { a: 'aa', deep: { b: 'bb' }, empty: {} },
    link: t.fixture('symlink', 'one'),
  })
  symlinkSync('a', join(local, 'tree/link'))
  t.match(await dfs(fs, ['put', 'one', '/data/renamed'], { cwd: local }), {
    code: 0,
    out: '',
    err: '',
  })
  t.equal(fs.text('/data/renamed'), 'first')
  const tree = await dfs(fs, ['put', 'one', 'tree', 'link', '/data'], { cwd: local })
  t.match(tree, { code: 0, err: 'dfs: put: 1 symbolic link skipped\n' })
  t.equal(fs.text('/data/tree/deep/b'), 'bb')
  t.equal(fs.text('/data/link'), 'first', 'a link on the command line is followed')
  t.ok(fs.inodes.has('/data/tree/empty'))
  t.notOk(fs.paths().some((path) => path.includes('_COPYING_')))
  await dfs(fs, ['put', '-L', 'tree', '/user/alice/followed'], { cwd: local })
  t.equal(fs.text('/user/alice/followed/link'), 'aa')
  t.equal((await dfs(fs, ['put', 'one'], { cwd: local })).code, 0)
  t.equal(fs.text('/user/alice/one'), 'first', 'the home directory is the default target')
})

t.test('put refuses to replace, to go nowhere, and to guess', async (t) => {
  const fs = sample()
  const local = t.testdir({ one: 'first', two: 'second' })
  const put = (...args: string[]): Promise<CommandResult> =>
    dfs(fs, ['put', ...args], { cwd: local })
  t.match(await put('one', '/data/a.csv'), { code: 1, err: /File exists; pass -f/ })
  t.equal(fs.text('/data/a.csv'), 'alpha\n')
  t.equal((await put('-f', 'one', '/data/a.csv')).code, 0)
  t.equal(fs.text('/data/a.csv'), 'first')
  t.match(await put('one', '/nowhere/x'), { code: 1, err: /\/nowhere: No such directory/ })
  t.match(await put('one', 'two', '/data/none'), { code: 1, err: /No such directory/ })
  t.match(await put('one', '/data/none/'), { code: 1, err: /No such directory/ })
  t.match(await put('one', 'missing', '/data'), {
    code: 1,
    err: /dfs: put: .*missing: No such file/,
  })
  t.equal(fs.text('/data/one'), 'first', 'the sources that exist are copied')
  t.equal((await put('-t', '0', 'one', '/data')).code, 2)
  t.equal((await put('--block-size', 'big', 'one', '/data')).code, 2)
})

t.test('put - copies standard input', async (t) => {
  const fs = sample()
  const put = (...args: string[]): Promise<CommandResult> =>
    dfs(fs, ['put', ...args], { input: 'piped' })
  t.equal((await put('--replication', '2', '--block-size', '1M', '-', '/data/in')).code, 0)
  t.match(fs.inodes.get('/data/in'), { replication: 2, blockSize: 1024 * 1024 })
  t.equal(fs.text('/data/in'), 'piped')
  t.match(await put('-', '/data'), { code: 1, err: /needs a file name/ })
  t.equal((await put('-', 'x', '/data')).code, 2)
})

t.test('put removes what it has written when it fails or is interrupted', async (t) => {
  const fs = sample()
  const local = t.testdir({ good: 'g', tree: { x: 'x', y: 'y' } })
  fs.failing = (verb, path) =>
    verb === 'write' && path.includes('/x.') ? 'NO_DATANODES' : undefined
  const { code, err } = await dfs(fs, ['put', 'tree', 'good', '/data'], { cwd: local })
  t.equal(code, 1)
  t.match(err, /^dfs: put: .*tree\/x: .*; `dfs report` shows/)
  t.equal(fs.text('/data/tree/y'), 'y', 'the others are there')
  t.equal(fs.text('/data/good'), 'g')
  t.notOk(fs.paths().some((path) => path.includes('_COPYING_') || path === '/data/tree/x'))
  const controller = new AbortController()
  fs.failing = (verb) => {
    if (verb === 'write') controller.abort(new Error('received SIGINT'))
    return undefined
  }
  const interrupted = await dfs(fs, ['put', 'good', '/data/late'], {
    cwd: local,
    signal: controller.signal,
  })
  t.match(interrupted, { code: 130, err: 'dfs: put: interrupted\n' })
  t.notOk(fs.paths().some((path) => path.startsWith('/data/late')))
})

t.test('put -p and get -p carry times and modes', async (t) => {
  const fs = sample()
  const local = t.testdir({ tree: { file: 'x' }, back: {} })
  utimesSync(join(local, 'tree/file'), 1_700_000_000, 1_600_000_000)
  utimesSync(join(local, 'tree'), 1_700_000_001, 1_600_000_001)
  await dfs(fs, ['put', '-p', 'tree', '/data/kept'], { cwd: local })
  t.match(fs.inodes.get('/data/kept/file'), {
    mtimeMs: 1_600_000_000_000,
    atimeMs: 1_700_000_000_000,
  })
  t.equal(fs.inodes.get('/data/kept')?.mtimeMs, 1_600_000_001_000)
  fs.inodes.forEach((inode) => {
    inode.owner = 'nobody-here'
    inode.group = 'nobody-here'
  })
  await dfs(fs, ['chmod', '640', '/data/kept/file'])
  t.match(await dfs(fs, ['get', '-p', '/data/kept', 'back'], { cwd: local }), { code: 0, err: '' })
  const stats = statSync(join(local, 'back/kept/file'))
  t.equal(stats.mtimeMs, 1_600_000_000_000)
  t.equal(stats.mode & 0o777, 0o640)
  t.equal(statSync(join(local, 'back/kept')).mtimeMs, 1_600_000_001_000)
})

t.test('get copies files and trees out, to files or standard output', async (t) => {
  const fs = sample()
  const local = t.testdir({ dir: {}, taken: 'mine' })
  const get = (...args: string[]): Promise<CommandResult> =>
    dfs(fs, ['get', ...args], { cwd: local })
  t.match(await get('/data'), { code: 0, out: '', err: '' })
  t.equal(readFileSync(join(local, 'data/sub/c.txt'), 'utf8'), 'c')
  t.equal((await get('/data/*.csv', 'dir/')).code, 0)
  t.equal(readFileSync(join(local, 'dir/b.csv'), 'utf8'), 'beta\nbeta\n')
  t.match(await get('/data/a.csv', 'taken'), { code: 1, err: /File exists/ })
  t.equal((await get('-f', '/data/a.csv', 'taken')).code, 0)
  t.equal(readFileSync(join(local, 'taken'), 'utf8'), 'alpha\n')
  t.equal((await get('/data/a.csv', '-')).out, 'alpha\n')
  t.match(await get('/data/a.csv', 'no/where'), { code: 1, err: /No such directory/ })
  t.match(await get('/nope', 'dir'), { code: 1, err: /No such file/ })
  mkdirSync(join(local, 'again'))
  writeFileSync(join(local, 'again/data'), 'in the way')
  t.match(await get('/data', 'again'), { code: 1, err: /Not a directory/ })
})

t.test('cp copies within the cluster and never into itself', async (t) => {
  const fs = sample()
  t.equal((await dfs(fs, ['cp', '/data', '/user/alice'])).code, 0)
  t.equal(fs.text('/user/alice/data/sub/c.txt'), 'c')
  t.equal((await dfs(fs, ['cp', '-p', '/data/b.csv', '/user/alice/b2'])).code, 0)
  t.match(fs.inodes.get('/user/alice/b2'), { mode: 0o600, mtimeMs: Date.UTC(2027, 0, 1) })
  t.match(await dfs(fs, ['cp', '/data', '/data/sub']), { code: 1, err: /into itself/ })
  t.match(await dfs(fs, ['cp', '/data/a.csv', '/data/a.csv']), { code: 1, err: /the same/ })
})

t.test('the cluster is that of --fs, DFS_URI, the configuration, or this machine', async (t) => {
  const fs = sample()
  const local = t.testdir({ 'trefoil.json': '{ "fs.defaultFS": "hdfs://from-file:1" }' })
  const uri = async (args: string[], setting: CommandSetting): Promise<unknown> => {
    const { out } = await dfs(fs, ['df', '--json', ...args], setting)
    return (JSON.parse(out) as { filesystem: unknown }).filesystem
  }
  const env = { DFS_URI: 'hdfs://from-env:2' }
  t.equal(await uri(['--fs', 'hdfs://given:3'], { env, cwd: local }), 'hdfs://given:3')
  t.equal(await uri([], { env, cwd: local }), 'hdfs://from-env:2')
  t.equal(await uri([], { cwd: local }), 'hdfs://from-file:1')
  t.equal(await uri(['--config', join(local, 'trefoil.json')], {}), 'hdfs://from-file:1')
  t.equal(await uri(['--set', 'fs.defaultFS=hdfs://set:4'], { cwd: local }), 'hdfs://set:4')
  t.equal(await uri([], {}), 'hdfs://127.0.0.1:8020')
  t.match(await dfs(fs, ['ls', '/', '--config', 'missing.json']), { code: 1, err: /Cannot read/ })
  t.equal(fs.closed > 0, true, 'clients are closed')
})
