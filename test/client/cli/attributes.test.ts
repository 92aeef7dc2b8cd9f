/** setfacl, getfacl, setfattr and getfattr: what they call and print, and what they refuse. */
import t from 'tap'
import { effectiveLines, parseAclSpec } from '../../../client/core/acl-spec.ts'
import {
  decodeXattrValue,
  encodeXattrValue,
  parseXattrName,
} from '../../../client/core/xattr-text.ts'
import { runCommand as dfs } from '../../support/command-line.ts'
import { sampleFileSystem as sample } from '../../support/fake-file-system.ts'

t.test('setfacl makes one change, to a tree when asked', async (t) => {
  const fs = sample()
  const calls = async (...args: string[]): Promise<unknown[][]> => {
    fs.attributeCalls.length = 0
    t.match(await dfs(fs, ['setfacl', ...args]), { code: 0, out: '', err: '' })
    return fs.attributeCalls
  }
  t.same(await calls('-m', 'user:bob:r-x', '/data'), [['modifyAcl', '/data', 'user:bob:r-x']])
  t.same(await calls('-x', 'user:bob', '/data'), [['removeAclEntries', '/data', 'user:bob']])
  t.same(await calls('--set', 'user::rwx', '/data'), [['setAcl', '/data', 'user::rwx']])
  t.same(await calls('-b', '/data'), [['removeAcl', '/data']])
  t.same(await calls('-k', '/data'), [['removeDefaultAcl', '/data']])
  const both = 'user:bob:r-x,default:user:bob:r-x'
  t.same((await calls('-R', '-m', both, '/data')).sort(), [
    ['modifyAcl', '/data', both],
    ['modifyAcl', '/data/a.csv', 'user:bob:r-x'],
    ['modifyAcl', '/data/b.csv', 'user:bob:r-x'],
    ['modifyAcl', '/data/sub', both],
    ['modifyAcl', '/data/sub/c.txt', 'user:bob:r-x'],
  ])
  t.same((await calls('-R', '-k', '/data')).sort(), [
    ['removeDefaultAcl', '/data'],
    ['removeDefaultAcl', '/data/sub'],
  ])
  for (const args of [['/data'], ['-b', '-k', '/data'], ['-b']])
    t.equal((await dfs(fs, ['setfacl', ...args])).code, 2, args.join(' '))
  t.match(await dfs(fs, ['setfacl', '-b', '/nope']), { code: 1, err: /No such file or directory/ })
})

t.test('getfacl prints what HDFS prints', async (t) => {
  const fs = sample()
  const entries = ['user::rwx', 'user:bob:rw-', 'group::r-x', 'mask::r--', 'other::---']
  fs.acl = { owner: 'alice', group: 'staff', mode: 0o1740, entries }
  t.equal(
    (await dfs(fs, ['-getfacl', '/data'])).out,
    '# file: /data\n# owner: alice\n# group: staff\n# flags: --T\nuser::rwx\n' +
      'user:bob:rw-\t#effective:r--\ngroup::r-x\t#effective:r--\nmask::r--\nother::---\n\n',
  )
  t.match(await dfs(fs, ['getfacl', '/nope']), { code: 1 })
  t.match(await dfs(fs, ['getfacl']), { code: 2 })
  const files = (await dfs(fs, ['getfacl', '-R', '/data'])).out.match(/^# file: .*/gm)
  t.equal(files?.length, 5)
})

t.test('setfattr and getfattr take and print what HDFS does', async (t) => {
  const fs = sample()
  await dfs(fs, ['setfattr', '-n', 'user.a', '-v', '0x00ff', '/data/a.csv'])
  await dfs(fs, ['setfattr', '-n', 'user.b', '/data/a.csv'])
  await dfs(fs, ['setfattr', '-x', 'user.b', '/data/a.csv'])
  t.same(fs.attributeCalls, [
    ['setXattr', '/data/a.csv', 'user.a', Buffer.of(0, 255)],
    ['setXattr', '/data/a.csv', 'user.b', Buffer.alloc(0)],
    ['removeXattr', '/data/a.csv', 'user.b'],
  ])
  fs.xattrs.set('user.a', Buffer.from('ä "b"')).set('user.empty', Buffer.alloc(0))
  const shown = async (...args: string[]): Promise<string> =>
    (await dfs(fs, ['getfattr', ...args, '/data/a.csv'])).out
  t.equal(await shown('-d'), '# file: /data/a.csv\nuser.a="ä "b""\nuser.empty\n')
  t.equal(
    await shown('-d', '-e', 'hex'),
    '# file: /data/a.csv\nuser.a=0xc3a420226222\nuser.empty\n',
  )
  t.match(await shown('-n', 'user.a', '-e', 'BASE64'), 'user.a=0sw6QgImIi\n')
  for (const args of [
    ['getfattr', '/data'],
    ['getfattr', '-d', '-n', 'user.a', '/data'],
    ['getfattr', '-d', '-e', 'octal', '/data'],
    ['getfattr', '-d'],
    ['setfattr', '/data'],
    ['setfattr', '-x', 'user.a', '-v', '1', '/data'],
    ['setfattr', '-n', 'user.a', '-x', 'user.a', '/data'],
    ['setfattr', '-x', 'user.a'],
  ])
    t.equal((await dfs(fs, args)).code, 2, args.join(' '))
  t.match(await dfs(fs, ['setfattr', '-n', 'user.a', '-v', '0xf', '/data']), {
    ...{ code: 1, err: /"0xf" is not a value in hexadecimal/ },
  })
})

t.test('cp -ptopax carries lists and attributes over, cp -p does not', async (t) => {
  const fs = sample()
  fs.acl = { ...fs.acl, entries: ['user::rw-', 'user:bob:r--', 'group::r--', 'other::---'] }
  fs.xattrs.set('user.a', Buffer.of(7))
  t.match(await dfs(fs, ['cp', '-p', '/data/a.csv', '/data/p.csv']), { code: 0 })
  t.same(fs.attributeCalls, [])
  t.match(await dfs(fs, ['-cp', '-ptopax', '/data/sub', '/data/sub2']), { code: 0 })
  const acl = 'user::rw-,user:bob:r--,group::r--,other::---'
  t.match(
    fs.attributeCalls.filter(([, path]) => path === '/data/sub2'),
    [
      ['setAcl', '/data/sub2', acl],
      ['setXattr', '/data/sub2', 'user.a', Buffer.of(7)],
    ],
  )
  t.equal(fs.attributeCalls.length, 4, 'of the file in it, too')
})

t.test('entries, names and values are read and written as HDFS does', async (t) => {
  t.same(parseAclSpec('default:user:bob:r-x, mask::rwx,', true), [
    { type: 'USER', scope: 'DEFAULT', permissions: 'READ_EXECUTE', name: 'bob' },
    { type: 'MASK', scope: 'ACCESS', permissions: 'PERM_ALL', name: undefined },
  ])
  t.same(parseAclSpec('user:bob', false), [
    { type: 'USER', scope: 'ACCESS', permissions: 'NONE', name: 'bob' },
  ])
  t.same(effectiveLines(parseAclSpec('default:group::rwx,default:mask::--x', true)), [
    'default:group::rwx\t#effective:--x',
    'default:mask::--x',
  ])
  t.same(parseXattrName('TRUSTED.a.b'), { namespace: 'TRUSTED', name: 'a.b' })
  for (const encoding of ['hex', 'base64'] as const) {
    const value = Buffer.of(0, 1, 254, 255)
    t.same(decodeXattrValue(encodeXattrValue(value, encoding)), value)
  }
  t.same(decodeXattrValue('"x"'), Buffer.from('x'))
  t.same(decodeXattrValue('"'), Buffer.from('"'))
})

t.test('what cannot be read is refused in words of HDFS', async (t) => {
  const refused = (text: string, message: RegExp, hasPermissions = true): void => {
    t.throws(() => parseAclSpec(text, hasPermissions), { code: 'INVALID_ARGUMENT', message }, text)
  }
  refused('owner::rwx', /^Invalid type of acl in <aclSpec> :owner::rwx$/)
  refused('user:bob', /^Invalid <aclSpec> : user:bob$/)
  refused('user:bob:rwx', /^Invalid <aclSpec> : user:bob:rwx$/, false)
  refused('user:bob:rws', /^Invalid permission in <aclSpec> : user:bob:rws$/)
  refused('user:bob:rwx:x', /^Invalid <aclSpec>/)
  refused('default', /^Invalid <aclSpec> : default$/)
  for (const name of ['a', 'us.a', 'nobody.a', 'user.', '.x'])
    t.throws(() => parseXattrName(name), { code: 'INVALID_ARGUMENT', message: /XAttr name/ }, name)
  t.throws(() => decodeXattrValue('0s!'), { code: 'INVALID_ARGUMENT', message: /base64/ })
})
