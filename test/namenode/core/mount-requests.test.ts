/** What a POSIX mount asks of the namespace: names, links, special files, and who may what. */
import t, { type Test } from 'tap'
import { millis } from '../../../base/brand.ts'
import type { Caller, MountRequest, NodeKind } from '../../../namenode/core/requests.ts'
import { limits } from '../../../protocol/limits.ts'
import {
  alice,
  bob,
  create,
  eachWay,
  mkdirs,
  names,
  refused,
  stat,
  write,
} from '../../support/namespace-requests.ts'
import { type NamespaceWorld, user } from '../../support/namespace-world.ts'

type MakeNode = MountRequest & { kind: 'makeNode' }

function make(path: string, nodeKind: NodeKind, fields: Partial<MakeNode> = {}): MakeNode {
  const sizes = { replication: 3, blockSize: 2 ** 27 }
  return { kind: 'makeNode', path, nodeKind, mode: 0o644, ...sizes, ...fields }
}

const link = (source: string, path: string): MountRequest & { kind: 'link' } => ({
  ...{ kind: 'link', source, path },
})
const remove = (path: string, isDirectory = false): MountRequest & { kind: 'removeEntry' } => ({
  ...{ kind: 'removeEntry', path, isDirectory },
})
const rename = (
  source: string,
  target: string,
  manner: 'replace' | 'no-replace' | 'exchange' = 'replace',
): MountRequest & { kind: 'renameEntry' } => ({ kind: 'renameEntry', source, target, manner })
const set = (
  path: string,
  fields: Partial<MountRequest & { kind: 'setAttributes' }>,
): MountRequest & { kind: 'setAttributes' } => ({ kind: 'setAttributes', path, ...fields })
const lstat = (world: NamespaceWorld, path: string) =>
  world.run({ kind: 'getFileInfo', path, keepsLastLink: true })?.inode

/** A directory that everybody may write. */
function common(world: NamespaceWorld, path = '/d', mode = 0o777): void {
  world.run(mkdirs(path))
  world.run(set(path, { mode }))
}

eachWay('makeNode() makes every kind of node', (t, world) => {
  common(world)
  const kinds = ['file', 'directory', 'symlink', 'fifo', 'socket'] as const
  for (const kind of kinds) {
    const target = kind === 'symlink' ? { target: '../t' } : {}
    world.run(make(`/d/${kind}`, kind, { mode: 0o6751, ...target }), alice)
    const nlink = kind === 'directory' ? 2 : 1
    const expected = { kind, owner: 'alice', nlink, group: 'supergroup' }
    t.match(lstat(world, `/d/${kind}`), expected)
    t.equal(lstat(world, `/d/${kind}`)?.mode, kind === 'symlink' ? 0o777 : 0o6751)
  }
  t.equal(lstat(world, '/d/symlink')?.target, '../t')
  world.run(make('/d/null', 'character-device', { device: 0x103 }))
  t.match(lstat(world, '/d/null'), { kind: 'character-device', device: 0x103 })
  refused(t, 'NOT_PERMITTED', /takes a superuser/, () =>
    world.run(make('/d/sda', 'block-device', { device: 0x800 }), alice),
  )
  refused(t, 'FILE_EXISTS', /exists already/, () => world.run(make('/d/fifo', 'file')))
  refused(t, 'FILE_NOT_FOUND', /does not exist/, () => world.run(make('/x/f', 'file')))
  refused(t, 'NOT_A_DIRECTORY', /d\/file/, () => world.run(make('/d/file/f', 'file')))
  refused(t, 'INVALID_PATH', /not an entry/, () => world.run(make('/', 'file')))
  refused(t, 'NAME_TOO_LONG', /256 bytes/, () => world.run(make(`/d/${'ü'.repeat(128)}`, 'file')))
  const long = 'x'.repeat(limits.linkTargetBytesMax + 1)
  refused(t, 'NAME_TOO_LONG', /4096 bytes/, () =>
    world.run(make('/d/long', 'symlink', { target: long })),
  )
  refused(t, 'INVALID_PATH', /nothing/, () => world.run(make('/d/long', 'symlink')))
  common(world, '/closed', 0o755)
  refused(t, 'PERMISSION_DENIED', /WRITE_EXECUTE/, () =>
    world.run(make('/closed/f', 'file'), alice),
  )
  t.match(world.namesystem.status().totals, { files: 4, directories: 4, symlinks: 1 })
  world.run({ kind: 'delete', path: '/d', recursive: true })
  world.settle()
  t.match(world.namesystem.status().totals, { files: 0, directories: 2, symlinks: 0 })
})

eachWay('names with a colon are made by the mount only, and found by everybody', (t, world) => {
  world.run(make('/A::B.3pm', 'file'))
  t.match(stat(world, '/A::B.3pm')?.inode, { kind: 'file' })
  t.strictSame(names(world, '/'), ['A::B.3pm', 0])
  refused(t, 'INVALID_PATH', /may not contain ":"/, () => world.run(create('/a:b')))
  refused(t, 'INVALID_PATH', /may not contain ":"/, () => world.run(mkdirs('/a:b/c')))
  t.equal(world.run({ kind: 'delete', path: '/A::B.3pm', recursive: false }), true)
})

eachWay('a setgid directory hands its group down', (t, world) => {
  const staff = user('carol', 'staff', 'wheel')
  common(world, '/d', 0o2777)
  world.run({ kind: 'setOwner', path: '/d', group: 'wheel' })
  world.run(make('/d/sub', 'directory', { mode: 0o755, group: 'staff' }), staff)
  t.match(lstat(world, '/d/sub'), { group: 'wheel', mode: 0o2755 })
  world.run(make('/d/mine', 'file', { mode: 0o2775, group: 'staff' }), staff)
  t.match(lstat(world, '/d/mine'), { group: 'wheel', mode: 0o2775 })
  world.run(make('/d/his', 'file', { mode: 0o2775, group: 'students' }), bob)
  t.match(lstat(world, '/d/his'), { group: 'wheel', mode: 0o775 }, 'he is not in that group')
  common(world, '/plain')
  world.run(make('/plain/f', 'file', { group: 'staff' }), alice)
  t.match(lstat(world, '/plain/f'), { group: 'staff' })
})

eachWay('link() gives one inode several names; the last takes the blocks along', (t, world) => {
  common(world)
  common(world, '/e')
  const { id } = write(world, '/d/a', [100, 30])
  t.match(world.run(link('/d/a', '/e/b')), { inode: { id, nlink: 2 } })
  world.run(link('/e/b', '/d/c'))
  for (const path of ['/d/a', '/e/b', '/d/c']) {
    t.match(stat(world, path), { length: 130, inode: { id, nlink: 3 } })
  }
  t.strictSame(names(world, '/d'), ['a', 'c', 0])
  refused(t, 'FILE_EXISTS', /exists/, () => world.run(link('/d/a', '/d/c')))
  refused(t, 'FILE_NOT_FOUND', /\/x/, () => world.run(link('/x', '/d/y')))
  refused(t, 'NOT_PERMITTED', /one name/, () => world.run(link('/d', '/e/d')))
  world.run(remove('/d/a'))
  t.equal(stat(world, '/d/a'), undefined)
  t.match(stat(world, '/e/b')?.inode, { id, nlink: 2 }, 'the primary name may go first')
  t.equal(world.run({ kind: 'delete', path: '/e/b', recursive: false }), true)
  t.match(stat(world, '/d/c')?.inode, { id, nlink: 1, otherEntries: undefined })
  t.equal(world.blocks.rows.size, 2)
  world.run(remove('/d/c'))
  world.settle()
  t.equal(world.blocks.rows.size, 0)
  t.match(world.namesystem.status().totals, { files: 0, blocks: 0 })
})

eachWay('a deleted tree takes only its own names along', (t, world) => {
  common(world, '/tree')
  const { id } = write(world, '/tree/a', [10])
  world.run(link('/tree/a', '/tree/b'))
  world.run(link('/tree/a', '/kept'))
  t.equal(world.run({ kind: 'delete', path: '/tree', recursive: true }), true)
  const path = `/.reserved/.inodes/${id}`
  t.match(stat(world, path)?.inode, { id }, 'found by id before the tree is reaped')
  t.equal(world.namesystem.pathOf(id) ?? '/kept', '/kept')
  world.settle()
  t.match(stat(world, '/kept')?.inode, { id, nlink: 1 })
  t.match(stat(world, path)?.inode, { id })
  t.equal(world.blocks.rows.size, 1)
  world.run(remove('/kept'))
  world.settle()
  t.equal(stat(world, path), undefined)
  t.equal(world.blocks.rows.size, 0)
})

t.test('an inode has a thousand names at most', async (t) => {
  const { NamespaceWorld } = await import('../../support/namespace-world.ts')
  const world = new NamespaceWorld()
  write(world, '/f', [])
  for (let count = 1; count < limits.namesPerInodeMax; count += 1) {
    world.run(link('/f', `/f${count}`))
  }
  refused(t, 'TOO_MANY_LINKS', /limit is 1000/, () => world.run(link('/f', '/more')))
  world.run(remove('/f17'))
  t.match(world.run(link('/f3', '/more')), { inode: { nlink: 1000 } })
  world.namesystem.invariants()
})

eachWay('HDFS calls know the name they were given', (t, world) => {
  common(world)
  const { id } = write(world, '/d/a', [10])
  world.run(link('/d/a', '/d/b'))
  t.equal(world.run({ kind: 'rename', source: '/d/b', target: '/d/c' }), true)
  t.strictSame(names(world, '/d'), ['a', 'c', 0])
  t.match(stat(world, '/d/a')?.inode, { id, nlink: 2 })
  world.run({ kind: 'rename2', source: '/d/a', target: '/z', overwrite: false, toTrash: false })
  t.strictSame(names(world, '/d'), ['c', 0])
  world.run(create('/d/c', { overwrite: true }))
  t.match(stat(world, '/z'), { length: 10, inode: { id, nlink: 1 } }, 'a new file, not its content')
  world.run(link('/z', '/d/y'))
  world.run(make('/target', 'file'))
  refused(t, 'INVALID_ARGUMENT', /other names/, () =>
    world.run({ kind: 'concat', path: '/target', sources: ['/z'] }),
  )
})

eachWay('removeEntry() tells kinds apart and heeds sticky bits', (t, world) => {
  common(world, '/d', 0o1777)
  world.run(make('/d/f', 'file'), alice)
  world.run(make('/d/sub', 'directory', { mode: 0o755 }), alice)
  world.run(make('/d/sub/f', 'fifo'), alice)
  refused(t, 'NOT_PERMITTED', /sticky/, () => world.run(remove('/d/f'), bob))
  refused(t, 'IS_A_DIRECTORY', /not a file/, () => world.run(remove('/d/sub'), alice))
  refused(t, 'NOT_A_DIRECTORY', /\/d\/f/, () => world.run(remove('/d/f', true), alice))
  refused(t, 'DIRECTORY_NOT_EMPTY', /non empty/, () => world.run(remove('/d/sub', true), alice))
  refused(t, 'FILE_NOT_FOUND', /\/d\/x/, () => world.run(remove('/d/x'), alice))
  refused(t, 'PERMISSION_DENIED', /WRITE_EXECUTE/, () => world.run(remove('/d/sub/f'), bob))
  world.run(remove('/d/sub/f'), alice)
  world.run(remove('/d/sub', true), alice)
  world.run(remove('/d/f'), alice)
  t.strictSame(names(world, '/d'), [0])
})

eachWay('renameEntry() replaces what it may and nothing else', (t, world) => {
  common(world)
  for (const name of ['a', 'b']) write(world, `/d/${name}`, [10])
  for (const name of ['empty', 'full', 'full/sub']) world.run(make(`/d/${name}`, 'directory'))
  world.run(rename('/d/a', '/d/b'))
  t.strictSame(names(world, '/d'), ['b', 'empty', 'full', 0])
  refused(t, 'FILE_EXISTS', /exists/, () => world.run(rename('/d/b', '/d/full', 'no-replace')))
  refused(t, 'IS_A_DIRECTORY', /full/, () => world.run(rename('/d/b', '/d/full')))
  refused(t, 'NOT_A_DIRECTORY', /\/d\/b/, () => world.run(rename('/d/empty', '/d/b')))
  refused(t, 'DIRECTORY_NOT_EMPTY', /full/, () => world.run(rename('/d/empty', '/d/full')))
  refused(t, 'INVALID_PATH', /below itself/, () => world.run(rename('/d/full', '/d/full/sub/x')))
  refused(t, 'FILE_NOT_FOUND', /\/d\/x/, () => world.run(rename('/d/x', '/d/y')))
  world.run(rename('/d/full', '/d/empty'))
  t.strictSame(names(world, '/d/empty'), ['sub', 0])
  world.run(rename('/d/b', '/d/new', 'no-replace'))
  world.run(link('/d/new', '/d/same'))
  world.run(rename('/d/new', '/d/same'))
  t.strictSame(names(world, '/d'), ['empty', 'new', 'same', 0], 'names of one inode stay')
})

eachWay('nlink of a directory counts its subdirectories', (t, world) => {
  const counts = (...paths: string[]): unknown[] => paths.map((path) => lstat(world, path)?.nlink)
  world.run(mkdirs('/a/sub'))
  world.run(mkdirs('/b'))
  world.run(make('/a/f', 'file'))
  t.strictSame(counts('/', '/a', '/b', '/a/sub'), [4, 3, 2, 2])
  world.run(rename('/a/sub', '/b/moved'))
  t.strictSame(counts('/a', '/b'), [2, 3])
  world.run(rename('/a/f', '/b/moved', 'exchange'))
  t.strictSame(counts('/a', '/b'), [3, 2])
  world.run({ kind: 'rename', source: '/a/f', target: '/b' })
  t.strictSame(counts('/a', '/b'), [2, 3])
  world.run(remove('/b/f', true))
  world.run({ kind: 'delete', path: '/a', recursive: true })
  t.strictSame(counts('/', '/b'), [3, 2])
})

eachWay('renameEntry() exchanges two entries of any kind', (t, world) => {
  common(world)
  common(world, '/e')
  const { id } = write(world, '/d/file', [10])
  world.run(make('/e/dir', 'directory', { mode: 0o755 }))
  write(world, '/e/dir/inside', [5])
  world.run(rename('/d/file', '/e/dir', 'exchange'))
  t.match(stat(world, '/e/dir')?.inode, { id, kind: 'file' })
  t.match(stat(world, '/d/file/inside'), { length: 5 })
  refused(t, 'FILE_NOT_FOUND', /missing/, () =>
    world.run(rename('/e/dir', '/e/missing', 'exchange')),
  )
  refused(t, 'INVALID_PATH', /below itself/, () =>
    world.run(rename('/d/file/inside', '/d/file', 'exchange')),
  )
})

eachWay(
  'renameEntry() heeds sticky bits at both ends, and rights on a moved directory',
  (t, world) => {
    common(world, '/d', 0o1777)
    common(world, '/e', 0o777)
    world.run(make('/d/hers', 'file'), alice)
    world.run(make('/e/his', 'file'), bob)
    refused(t, 'NOT_PERMITTED', /sticky/, () => world.run(rename('/d/hers', '/e/x'), bob))
    refused(t, 'NOT_PERMITTED', /sticky/, () => world.run(rename('/e/his', '/d/hers'), bob))
    world.run(make('/e/dir', 'directory', { mode: 0o755 }), alice)
    world.run(rename('/e/dir', '/e/dir2'), bob)
    refused(t, 'PERMISSION_DENIED', /WRITE/, () => world.run(rename('/e/dir2', '/d/x'), bob))
  },
)

function asked(t: Test, world: NamespaceWorld, caller: Caller) {
  return (fields: Parameters<typeof set>[1], code?: Parameters<typeof refused>[1]) => {
    if (code === undefined) return world.run(set('/f', fields), caller).inode
    refused(t, code, /\/f/, () => world.run(set('/f', fields), caller))
    return undefined
  }
}

eachWay('setAttributes() knows who may change mode, owner and group', (t, world) => {
  const carol = user('carol', 'staff', 'wheel')
  world.run(make('/f', 'file', { mode: 0o644 }))
  world.run({ kind: 'setOwner', path: '/f', owner: 'carol', group: 'staff' })
  const [byOwner, byOther] = [asked(t, world, carol), asked(t, world, bob)]
  byOther({ mode: 0o777 }, 'NOT_PERMITTED')
  byOther({ owner: 'bob' }, 'NOT_PERMITTED')
  byOther({ group: 'students' }, 'NOT_PERMITTED')
  byOwner({ owner: 'bob' }, 'NOT_PERMITTED')
  byOwner({ group: 'students' }, 'NOT_PERMITTED')
  t.match(byOwner({ mode: 0o6755 }), { mode: 0o6755 })
  t.match(byOwner({ group: 'wheel' }), { group: 'wheel', mode: 0o755 }, 'setuid and setgid end')
  byOwner({ mode: 0o6755 })
  world.run({ kind: 'setOwner', path: '/f', group: 'wheel' })
  t.match(stat(world, '/f')?.inode, { mode: 0o755 }, "also by HDFS's call")
  world.run({ kind: 'setOwner', path: '/f', group: 'students' })
  t.match(byOwner({ mode: 0o2755 }), { mode: 0o755 }, 'she is not in that group')
  world.run(set('/f', { mode: 0o6775 }))
  byOther({ mode: 0o765 }, 'NOT_PERMITTED')
  t.match(byOther({ mode: 0o775 }), { mode: 0o775 }, 'a writer ends setuid')
  world.run(set('/f', { mode: 0o4755 }))
  byOther({ mode: 0o755 }, 'NOT_PERMITTED')
})

eachWay('setAttributes() sets times to the nanosecond, by whom it may', (t, world) => {
  const old = { ms: millis(-1), nanos: 999_999 }
  world.run(make('/f', 'file', { mode: 0o666 }))
  world.run({ kind: 'setOwner', path: '/f', owner: 'alice' })
  const [byOwner, byOther] = [asked(t, world, alice), asked(t, world, bob)]
  t.match(byOwner({ mtime: old, atime: { ms: millis(7), nanos: 0 } }), {
    ...{ mtime: -1, mtimeNanos: 999_999, atime: 7, atimeNanos: undefined },
  })
  byOther({ mtime: old }, 'NOT_PERMITTED')
  byOther({ mtime: old, atime: 'now' }, 'NOT_PERMITTED')
  const now = byOther({ mtime: 'now', atime: 'now' })
  t.ok((now?.mtime ?? 0) > 0)
  t.equal(now?.mtimeNanos, undefined)
  world.run(set('/f', { mode: 0o644 }))
  byOther({ mtime: 'now', atime: 'now' }, 'PERMISSION_DENIED')
  refused(t, 'FILE_NOT_FOUND', /\/x/, () => world.run(set('/x', { mode: 0 })))
})

eachWay('ctime moves with every change, mtime with the content', (t, world) => {
  common(world)
  const { id } = write(world, '/d/f', [10])
  const times = (path: string): readonly [number, number] => {
    const row = lstat(world, path)
    return [row?.mtime ?? 0, row?.ctime ?? row?.mtime ?? 0]
  }
  const step = (what: string, isContent: boolean, action: () => unknown, path = '/d/f'): void => {
    const [mtime, ctime] = times(path)
    world.pass(10)
    action()
    const after = times(path)
    t.ok(after[1] > ctime, `${what} changes ctime`)
    t.equal(after[0] > mtime, isContent, `${what} and mtime`)
  }
  step('chmod', false, () => world.run({ kind: 'setPermission', path: '/d/f', mode: 0o600 }))
  step('chown', false, () => world.run({ kind: 'setOwner', path: '/d/f', owner: 'alice' }))
  step('link', false, () => world.run(link('/d/f', '/d/g')))
  step('unlink', false, () => world.run(remove('/d/g')))
  step('rename', false, () => world.run(rename('/d/f', '/d/h')), `/.reserved/.inodes/${id}`)
  step('an entry', true, () => world.run(make('/d/i', 'fifo')), '/d')
  step(
    'utimes',
    false,
    () => {
      world.run(set('/d/h', { atime: { ms: millis(5), nanos: 5 } }))
    },
    '/d/h',
  )
  step(
    'truncate',
    true,
    () => {
      world.run({ kind: 'truncate', path: '/d/h', newLength: 0, clientName: create('').clientName })
    },
    '/d/h',
  )
})

eachWay('special files are empty files to HDFS, and cannot be written', (t, world) => {
  const { clientName } = create('')
  world.run(make('/pipe', 'fifo'))
  const range = { offset: 0, length: 100 }
  t.match(world.run({ kind: 'getBlockLocations', path: '/pipe', ...range }), {
    ...{ fileLength: 0, blocks: [] },
  })
  const append = { kind: 'append', path: '/pipe', clientName, newBlock: false } as const
  refused(t, 'FILE_EXISTS', /regular file/, () => world.run(append))
  refused(t, 'INVALID_ARGUMENT', /fifo/, () =>
    world.run({ kind: 'truncate', path: '/pipe', newLength: 0, clientName }),
  )
  t.equal(world.run({ kind: 'setReplication', path: '/pipe', replication: 2 }), false)
  t.match(world.run({ kind: 'summarizeDirectory', path: '/', startAfter: '' }), { fileCount: 1 })
  world.run(create('/pipe', { overwrite: true }))
  t.match(stat(world, '/pipe')?.inode, { kind: 'file' })
})
