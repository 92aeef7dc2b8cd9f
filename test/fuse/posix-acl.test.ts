/** Access control lists in the kernel's bytes. */
import fc from 'fast-check'
import t from 'tap'
import type { Identities } from '../../fuse/identity.ts'
import { decodeAcl, encodeAcl } from '../../fuse/posix-acl.ts'

const identities: Identities = {
  uidOf: (name) => (name.startsWith('u') ? Number(name.slice(1)) : 65534),
  gidOf: (name) => (name.startsWith('g') ? Number(name.slice(1)) : 65534),
  userOf: (uid) => `u${uid}`,
  groupOf: (gid) => `g${gid}`,
}

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')

t.test('a list is laid out as linux/posix_acl_xattr.h has it', async (t) => {
  const entries = [
    'user::rwx',
    'user:u9:rw-',
    'user:u7:r--',
    'group::r-x',
    'mask::rwx',
    'other::---',
  ]
  const bytes = bytesOf(
    '02000000 0100 0700 ffffffff 0200 0400 07000000 0200 0600 09000000' +
      '0400 0500 ffffffff 1000 0700 ffffffff 2000 0000 ffffffff',
  )
  t.same(encodeAcl(entries, 'access', identities), bytes)
  t.same(encodeAcl(entries, 'default', identities), undefined)
  t.same(encodeAcl(['user::rwx', 'group::r-x', 'other::---'], 'access', identities), undefined)
  t.equal(
    decodeAcl(bytes, 'default', identities),
    'default:user::rwx,default:user:u7:r--,default:user:u9:rw-,default:group::r-x,default:mask::rwx,default:other::---',
  )
})

t.test('names without a number here are one entry, with what all of them may', async (t) => {
  const entries = ['user::rwx', 'user:x:rw-', 'user:y:r-x', 'group::---', 'mask::rwx', 'other::---']
  const bytes = encodeAcl(entries, 'access', identities) ?? Buffer.alloc(0)
  t.match(decodeAcl(bytes, 'access', identities), /^user::rwx,user:u65534:r--,group::---,/)
})

t.test('any list comes back as it was', async () => {
  const rights = fc.constantFrom('---', '--x', '-w-', 'r-x', 'rwx')
  const named = fc.uniqueArray(fc.tuple(fc.constantFrom('user', 'group'), fc.nat(50), rights), {
    ...{ selector: ([type, id]) => `${type}${id}`, minLength: 1, maxLength: 20 },
  })
  fc.assert(
    fc.property(named, fc.array(rights, { minLength: 4, maxLength: 4 }), (list, base) => {
      const of = (type: string): string[] =>
        list
          .filter(([kind]) => kind === type)
          .sort((a, b) => a[1] - b[1])
          .map(([kind, id, text]) => `${kind}:${kind.charAt(0)}${id}:${text}`)
      const [owner, group, mask, other] = base
      const entries = [
        ...[`user::${owner}`, ...of('user'), `group::${group}`, ...of('group')],
        ...[`mask::${mask}`, `other::${other}`],
      ]
      const bytes = encodeAcl(entries, 'access', identities)
      return bytes !== undefined && decodeAcl(bytes, 'access', identities) === entries.join(',')
    }),
  )
})

t.test('other bytes are refused', async (t) => {
  for (const hex of [
    '',
    '02000000',
    '01000000 0100 0700 ffffffff',
    '02000000 0100 0700 ffff',
    '02000000 0100 0800 ffffffff',
    '02000000 0300 0700 ffffffff',
  ])
    t.throws(() => decodeAcl(bytesOf(hex), 'access', identities), { code: 'EINVAL' }, hex)
})
