/** Access control lists: the rules of their changes, against a model, and what they let callers do. */
import fc from 'fast-check'
import t from 'tap'
import { type AclEntry, aclOf, entryText, parseAcl } from '../../../namenode/core/acl.ts'
import {
  aclFields,
  hasAccessAcl,
  inheritedAcl,
  logicalAcl,
  modeWithoutAcl,
  modifiedAcl,
  reducedAcl,
  replacedAcl,
  withoutDefaultAcl,
} from '../../../namenode/core/acl-transformation.ts'
import type { InodeRow } from '../../../namenode/core/changes.ts'
import { mayAccess } from '../../../namenode/core/permissions.ts'
import { isDfsError } from '../../../protocol/errors.ts'
import { inodeId } from '../../../protocol/ids.ts'
import {
  alice,
  bob,
  create,
  eachWay,
  mkdirs,
  refused,
  stat,
} from '../../support/namespace-requests.ts'
import { superuser, user } from '../../support/namespace-world.ts'
import { inodeRow } from '../../support/transactions.ts'

/** Entries from `user:bob:rw-,default:group::r-x`. */
const entries = (text: string): readonly AclEntry[] => parseAcl(text).entries
const text = (list: readonly AclEntry[]): string => list.map(entryText).join(',')
const directory = (mode: number, acl?: string): InodeRow =>
  inodeRow({
    ...{ id: inodeId(16390), kind: 'directory', mode },
    ...(acl !== undefined && { acl: parseAcl(acl) }),
  })
const changed = (row: InodeRow, list: readonly AclEntry[]): InodeRow => ({
  ...row,
  ...aclFields(row, list, '/d'),
})

const permissions = fc.integer({ min: 0, max: 7 })
const scope = fc.constantFrom('access' as const, 'default' as const)
const named = fc.record({
  scope,
  type: fc.constantFrom('user' as const, 'group' as const),
  name: fc.option(fc.constantFrom('ann', 'bob', 'staff'), { nil: undefined }),
  permissions,
})
const unnamed = fc.record({
  scope,
  type: fc.constantFrom('mask' as const, 'other' as const),
  permissions,
})
const keyOf = (entry: AclEntry): string => entryText({ ...entry, permissions: 0 })
const spec = fc.uniqueArray(fc.oneof(named, unnamed) as fc.Arbitrary<AclEntry>, {
  ...{ selector: keyOf, maxLength: 8 },
})

type Model = Map<string, number>
const modelOf = (list: readonly AclEntry[]): Model =>
  new Map(list.map((entry) => [keyOf(entry), entry.permissions]))

/** The rules once more, key by key: what `chacl` does with masks and copied defaults. */
function model(
  before: readonly AclEntry[],
  given: readonly AclEntry[],
  removed: readonly AclEntry[],
): Model | 'refused' {
  const after = modelOf(before)
  const dirty = new Set<string>()
  for (const entry of removed) if (after.delete(keyOf(entry))) dirty.add(entry.scope)
  for (const entry of given) {
    after.set(keyOf(entry), entry.permissions)
    dirty.add(entry.scope)
  }
  const prefix = { access: '', default: 'default:' } as const
  if ([...after.keys()].some((key) => key.startsWith('default:') && key !== 'default:mask::---')) {
    for (const type of ['user', 'group', 'other']) {
      const key = `default:${type}::---`
      if (!after.has(key)) after.set(key, after.get(key.slice(8)) ?? -1)
    }
  }
  for (const [name, start] of Object.entries(prefix)) {
    const own = [...after.keys()].filter(
      (key) => key.startsWith('default:') === (name === 'default'),
    )
    const maskKey = `${start}mask::---`
    const isGiven = given.some((entry) => keyOf(entry) === maskKey)
    const rest = own.filter((key) => key !== maskKey)
    const isNamed = rest.some((key) => !/^(default:)?(user|group|other)::/.test(key))
    const wasThere = before.some((entry) => keyOf(entry) === maskKey)
    const isRemoved = wasThere && removed.some((entry) => keyOf(entry) === maskKey)
    if (rest.length === 0) after.delete(maskKey)
    else if (isNamed && isRemoved && given.length === 0) return 'refused'
    else if (dirty.has(name) && !isGiven) {
      after.delete(maskKey)
      const union = rest
        .filter((key) => !/(^|:)(user|other)::/.test(key))
        .reduce((bits, key) => bits | (after.get(key) ?? 0), 0)
      if (isNamed || (wasThere && !isRemoved)) after.set(maskKey, union)
    }
  }
  const isWhole = ['user', 'group', 'other'].every((type) => after.has(`${type}::---`))
  return isWhole && ![...after.values()].includes(-1) ? after : 'refused'
}

function sameAs(expected: Model | 'refused', action: () => readonly AclEntry[]): boolean {
  try {
    const found = modelOf(action())
    if (expected === 'refused' || found.size !== expected.size) return false
    return [...expected].every(([key, bits]) => found.get(key) === bits)
  } catch (error) {
    return isDfsError(error, 'ACL_INVALID') && expected === 'refused'
  }
}

t.test('changes do to any list what the rules say, and the row holds all of it', async (t) => {
  const steps = fc.array(fc.record({ spec, kind: fc.constantFrom('modify', 'remove') }), {
    maxLength: 5,
  })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0o777 }), steps, (mode, wanted) => {
      let row = directory(mode)
      for (const { spec: given, kind } of wanted) {
        const before = logicalAcl(row)
        const isModify = kind === 'modify'
        const expected = model(before, isModify ? given : [], isModify ? [] : given)
        const action = (): readonly AclEntry[] =>
          isModify ? modifiedAcl(row, given) : reducedAcl(row, given)
        if (!sameAs(expected, action)) return false
        if (expected === 'refused') continue
        const after = action()
        row = changed(row, after)
        if (text(logicalAcl(row)) !== text(after)) return false
        if (row.acl !== undefined && parseAcl(row.acl.text) !== row.acl) return false
      }
      return true
    }),
    { numRuns: 2000 },
  )
  t.pass('2000 sequences')
})

t.test('one class decides, as POSIX 1003.1e has it', async (t) => {
  const callers = ['alice', 'ann', 'bob', 'eve'].flatMap((name) =>
    [[], ['staff'], ['ann'], ['staff', 'bob']].map((groups) => user(name, ...groups)),
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0o777 }), spec, permissions, (mode, given, wanted) => {
      const bare = { ...directory(mode), owner: 'alice', group: 'staff' }
      const access = given.filter((entry) => entry.scope === 'access')
      const row = changed(bare, modifiedAcl(bare, access))
      const list = logicalAcl(row).filter((entry) => entry.scope === 'access')
      const bits = (type: string, name?: string): number | undefined =>
        list.find((entry) => entry.type === type && entry.name === name)?.permissions
      const mask = bits('mask') ?? 7
      return callers.every((caller) => {
        const groups = list.filter(
          ({ type, name }) => type === 'group' && caller.groups.includes(name ?? 'staff'),
        )
        const own = bits('user', caller.user)
        const isAllowed =
          caller.user === 'alice'
            ? ((bits('user') ?? 0) & wanted) === wanted
            : own !== undefined
              ? (own & mask & wanted) === wanted
              : groups.length > 0
                ? groups.some((entry) => (entry.permissions & mask & wanted) === wanted)
                : ((bits('other') ?? 0) & wanted) === wanted
        return mayAccess(caller, row, wanted) === isAllowed
      })
    }),
    { numRuns: 1000 },
  )
  t.pass('1000 lists')
})

t.test('what HDFS documents of its transformations', async (t) => {
  const plain = directory(0o1754)
  const extended = changed(plain, modifiedAcl(plain, entries('user:bob:rw-')))
  t.match(extended, { mode: 0o1774, acl: { text: 'user:bob:rw-,group::r-x' } })
  t.ok(hasAccessAcl(extended))
  t.equal(modeWithoutAcl(extended), 0o1754, 'the group gets its own rights back')
  const masked = changed(extended, modifiedAcl(extended, entries('mask::r--')))
  t.match(masked, { mode: 0o1744, acl: { text: 'user:bob:rw-,group::r-x' } })
  t.equal(modeWithoutAcl(masked), 0o1754)
  const defaults = changed(plain, modifiedAcl(plain, entries('default:user:bob:rwx')))
  t.match(defaults, { mode: 0o1754 })
  t.equal(
    defaults.acl?.text,
    'default:user::rwx,default:user:bob:rwx,default:group::r-x,default:mask::rwx,default:other::r--',
  )
  t.notOk(hasAccessAcl(defaults))
  t.same(changed(defaults, withoutDefaultAcl(defaults)), { ...plain, acl: undefined })
  const replaced = replacedAcl(defaults, entries('user::r--,group::---,other::---'))
  t.equal(text(replaced), `user::r--,group::---,other::---,${defaults.acl?.text}`)
  const back = reducedAcl(extended, entries('user:bob:---'))
  t.equal(text(back), 'user::rwx,group::r-x,mask::r-x,other::r--', 'the mask stays, computed anew')
  t.match(changed(extended, back), { mode: 0o1754, acl: { text: 'group::r-x' } })
})

t.test('new inodes take over the default ACL, limited by the mode of their creator', async (t) => {
  const parent = directory(
    0o755,
    'default:user::rwx,default:user:bob:rwx,default:group::r-x,default:mask::rwx,default:other::r-x',
  )
  t.match(inheritedAcl(parent, 'file', 0o640), {
    mode: 0o640,
    acl: { text: 'user:bob:rwx,group::r-x' },
  })
  const below = inheritedAcl(parent, 'directory', 0o777)
  t.equal(below?.mode, 0o775)
  t.equal(below?.acl?.text, `user:bob:rwx,group::r-x,${parent.acl?.text}`)
  const minimal = directory(0o755, 'default:user::rwx,default:group::r-x,default:other::---')
  t.same(inheritedAcl(minimal, 'file', 0o666), { mode: 0o640, acl: undefined })
  t.equal(inheritedAcl(minimal, 'symlink', 0o777), undefined)
  t.equal(inheritedAcl(directory(0o755, 'user:bob:r--,group::r--'), 'file', 0o666), undefined)
})

t.test('lists that break a rule are refused by name', async (t) => {
  const row = directory(0o755)
  const cases: [string, RegExp, () => unknown][] = [
    [
      'no base entries',
      /^Invalid ACL: the user, group and other entries are required\.$/,
      () => replacedAcl(row, entries('user:bob:rwx')),
    ],
    [
      'mask with a name',
      /must not have a name: mask:bob:rwx/,
      () => modifiedAcl(row, [{ scope: 'access', type: 'mask', name: 'bob', permissions: 7 }]),
    ],
    [
      'a name with a comma',
      /may not hold a colon, a comma/,
      () => modifiedAcl(row, [{ scope: 'access', type: 'user', name: 'a,b', permissions: 7 }]),
    ],
    [
      'twice the same',
      /multiple entries with same scope, type and name/,
      () => modifiedAcl(row, [...entries('user:bob:rwx'), ...entries('user:bob:r--')]),
    ],
    [
      'too many',
      /ACL has 33 access entries, which exceeds maximum of 32/,
      () =>
        modifiedAcl(
          row,
          Array.from({ length: 33 }, (_, index) => {
            return { scope: 'access', type: 'user', name: `u${index}`, permissions: 7 } as const
          }),
        ),
    ],
    [
      'removing a mask that is needed',
      /mask is required and cannot be deleted/,
      () => {
        const extended = changed(row, modifiedAcl(row, entries('user:bob:rwx')))
        return reducedAcl(extended, entries('mask::---'))
      },
    ],
    [
      'a default ACL of a file',
      /only directories may have a default ACL. Path: \/f/,
      () =>
        aclFields({ kind: 'file', mode: 0 }, modifiedAcl(row, entries('default:user::rwx')), '/f'),
    ],
  ]
  for (const [name, message, action] of cases)
    t.throws(action, { code: 'ACL_INVALID', message }, name)
  for (const damaged of ['bob', 'user:bob', 'user:bob:rwz', 'owner::rwx', 'default:user:rwx', ''])
    t.throws(() => parseAcl(damaged), { code: 'CORRUPTION' }, damaged)
})

t.test('equal lists are one object', async (t) => {
  const list = entries('user:bob:rw-,group::r-x')
  t.equal(aclOf(list), parseAcl('user:bob:rw-,group::r-x'))
  t.equal(aclOf([]), undefined)
})

eachWay('ACLs: calls, owners, inheritance and denials', (t, world) => {
  world.run({ kind: 'setPermission', path: '/', mode: 0o777 })
  world.run(mkdirs('/d', 0o750), alice)
  const modify = (path: string, list: string) =>
    ({ kind: 'modifyAclEntries', path, entries: entries(list) }) as const
  refused(t, 'PERMISSION_DENIED', /bob is not the owner of inode=\/d/, () =>
    world.run(modify('/d', 'user:bob:rwx'), bob),
  )
  refused(t, 'ACL_INVALID', /entries are required\. Path: \/d$/, () =>
    world.run({ kind: 'setAcl', path: '/d', entries: entries('user:bob:rwx') }),
  )
  refused(t, 'FILE_NOT_FOUND', /\/missing/, () => world.run(modify('/missing', 'user:bob:rwx')))
  refused(t, 'PERMISSION_DENIED', /access=EXECUTE, inode="\/d":alice:supergroup:drwxr-x---$/, () =>
    world.run(create('/d/f'), bob),
  )
  world.run(modify('/d', 'user:bob:-wx,default:user:bob:rwx'), alice)
  world.run(create('/d/f', { mode: 0o600, unmaskedMode: 0o666 }), bob)
  t.match(stat(world, '/d/f'), { inode: { mode: 0o660, acl: { text: 'user:bob:rwx,group::r-x' } } })
  world.run(create('/d/old-client', { mode: 0o600 }), bob)
  t.match(
    stat(world, '/d/old-client'),
    { inode: { mode: 0o600 } },
    'without its mode before the umask',
  )
  world.run({ ...mkdirs('/d/a/b', 0o700), unmaskedMode: 0o777 }, bob)
  const status = (path: string) => world.run({ kind: 'getAclStatus', path } as const)
  t.match(status('/d/a/b'), { mode: 0o770, acl: status('/d/a').acl })
  refused(
    t,
    'PERMISSION_DENIED',
    /access=READ_EXECUTE, inode="\/d":alice:supergroup:drwxrwx---\+$/,
    () =>
      world.run(
        { kind: 'getListing', path: '/d', startAfter: '', needLocation: false, limit: 9 },
        bob,
      ),
  )
  world.run({ kind: 'setPermission', path: '/d', mode: 0o700 }, alice)
  refused(t, 'PERMISSION_DENIED', /access=EXECUTE/, () => stat(world, '/d/f', bob))
  t.match(status('/d'), { mode: 0o700, acl: { entries: { length: 7 } } }, 'chmod set the mask')
  world.run({ kind: 'removeDefaultAcl', path: '/d' }, alice)
  t.match(status('/d').acl, { text: 'user:bob:-wx,group::r-x' })
  world.run({ kind: 'removeAclEntries', path: '/d', entries: entries('user:bob:---') }, alice)
  t.match(status('/d'), { mode: 0o750, acl: { text: 'group::r-x' } })
  world.run({ kind: 'removeAcl', path: '/d' }, alice)
  t.match(status('/d'), { mode: 0o750, acl: undefined })
  world.run({
    kind: 'setAcl',
    path: '/d',
    entries: entries('user::rwx,group::---,other::---,user:bob:r-x'),
  })
  world.run({ kind: 'setAcl', path: '/d', entries: [] }, superuser)
  t.match(status('/d'), { mode: 0o700, acl: undefined })
})
