/** Extended attributes: namespaces, flags, limits and what is kept of them. */
import t from 'tap'
import { toCachedReply } from '../../../namenode/core/cached-replies.ts'
import type { XAttrNamespace, XAttrRow } from '../../../namenode/core/xattrs.ts'
import {
  alice,
  bob,
  create,
  eachWay,
  mkdirs,
  refused,
  stat,
} from '../../support/namespace-requests.ts'
import { superuser } from '../../support/namespace-world.ts'

const xattr = (name: string, value = '', namespace: XAttrNamespace = 'user'): XAttrRow => ({
  ...{ namespace, name },
  value: Uint8Array.from(Buffer.from(value)),
})
const set = (path: string, wanted: XAttrRow, flags = { create: true, replace: true }) =>
  ({ kind: 'setXAttr', path, xattr: wanted, ...flags }) as const
const remove = (path: string, wanted: XAttrRow) =>
  ({ kind: 'removeXAttr', path, xattr: wanted }) as const
const get = (path: string, ...names: XAttrRow[]) => ({ kind: 'getXAttrs', path, names }) as const

eachWay('xattrs: set, replaced, read and removed', (t, world) => {
  world.run(create('/f', { mode: 0o644 }), superuser)
  world.run({ kind: 'setOwner', path: '/f', owner: 'alice' })
  world.run(set('/f', xattr('a', '1')), alice)
  world.run(set('/f', xattr('b')), alice)
  refused(t, 'IO_ERROR', /a already exists. The REPLACE flag must be specified/, () =>
    world.run(set('/f', xattr('a', '2'), { create: true, replace: false }), alice),
  )
  refused(t, 'IO_ERROR', /c does not exist. The CREATE flag must be specified/, () =>
    world.run(set('/f', xattr('c'), { create: false, replace: true }), alice),
  )
  refused(t, 'INVALID_ARGUMENT', /^A flag must be specified\.$/, () =>
    world.run(set('/f', xattr('a'), { create: false, replace: false }), alice),
  )
  world.run(set('/f', xattr('a', '2'), { create: false, replace: true }), alice)
  t.same(world.run(get('/f', xattr('a')), bob), [xattr('a', '2')])
  t.same(world.run({ kind: 'listXAttrs', path: '/f' }, bob), [xattr('b'), xattr('a', '2')])
  refused(t, 'XATTR_NOT_FOUND', /At least one of the attributes/, () =>
    world.run(get('/f', xattr('a'), xattr('c')), bob),
  )
  refused(t, 'PERMISSION_DENIED', /access=WRITE/, () => world.run(set('/f', xattr('d')), bob))
  refused(t, 'PERMISSION_DENIED', /access=WRITE/, () => world.run(remove('/f', xattr('a')), bob))
  world.run({ kind: 'setPermission', path: '/f', mode: 0o600 })
  refused(t, 'PERMISSION_DENIED', /access=READ/, () => world.run(get('/f'), bob))
  refused(t, 'PERMISSION_DENIED', /access=READ/, () =>
    world.run({ kind: 'listXAttrs', path: '/f' }, bob),
  )
  refused(t, 'IO_ERROR', /No matching attributes found for remove operation/, () =>
    world.run(remove('/f', xattr('c')), alice),
  )
  world.run(remove('/f', xattr('a')), alice)
  world.run(remove('/f', xattr('b')), alice)
  t.equal(stat(world, '/f')?.inode.xattrs, undefined)
  for (const request of [get('/x'), set('/x', xattr('a')), remove('/x', xattr('a'))])
    refused(t, 'FILE_NOT_FOUND', /\/x/, () => world.run(request))
})

eachWay('xattrs: each namespace is for whom HDFS says', (t, world) => {
  world.run({ kind: 'setPermission', path: '/', mode: 0o777 })
  world.run(mkdirs('/d', 0o777), alice)
  world.run(create('/d/f'), alice)
  const trusted = xattr('t', 'x', 'trusted')
  const raw = xattr('r', 'x', 'raw')
  const denied = (action: () => unknown): void => {
    refused(t, 'PERMISSION_DENIED', /^User doesn't have permission for xattr: /, action)
  }
  denied(() => world.run(set('/d/f', trusted), alice))
  denied(() => world.run(get('/d/f', trusted), alice))
  denied(() => world.run(set('/d/f', raw), superuser))
  denied(() => world.run(set('/.reserved/raw/d/f', raw), alice))
  for (const namespace of ['system', 'security'] as const) {
    denied(() => world.run(set('/d/f', xattr('x', '', namespace)), superuser))
    denied(() => world.run(remove('/d/f', xattr('x', '', namespace)), superuser))
  }
  world.run(set('/d/f', trusted), superuser)
  world.run(set('/.reserved/raw/d/f', raw), superuser)
  const listed = (path: string, caller = superuser) =>
    world.run({ kind: 'listXAttrs', path }, caller)
  t.same(listed('/d/f', alice), [])
  t.same(listed('/d/f'), [trusted])
  t.same(listed('/.reserved/raw/d/f'), [trusted, raw])
  t.same(listed('/.reserved/raw/d/f', alice), [])
  world.run(mkdirs('/d/sticky', 0o777), alice)
  world.run({ kind: 'setPermission', path: '/d/sticky', mode: 0o1777 }, alice)
  refused(t, 'PERMISSION_DENIED', /is not the owner/, () =>
    world.run(set('/d/sticky', xattr('a')), bob),
  )
  world.run(set('/d/sticky', xattr('a')), alice)
})

eachWay('xattrs: a file that superusers may not read', (t, world) => {
  const mark = xattr('hdfs.unreadable.by.superuser', '', 'security')
  world.run({ kind: 'setPermission', path: '/', mode: 0o777 })
  world.run(mkdirs('/d', 0o777), alice)
  world.run(create('/d/f'), alice)
  refused(t, 'PERMISSION_DENIED', /Values are not allowed for this xattr/, () =>
    world.run(set('/d/f', { ...mark, value: Uint8Array.of(1) }), alice),
  )
  refused(t, 'IO_ERROR', /on a file/, () => world.run(set('/d', mark), alice))
  world.run(set('/d/f', mark), alice)
  const open = { kind: 'getBlockLocations', path: '/d/f', offset: 0, length: 1 } as const
  refused(t, 'PERMISSION_DENIED', /^Access is denied for hdfs since the superuser/, () =>
    world.run(open, superuser),
  )
  t.ok(world.run(open, alice))
  refused(t, 'PERMISSION_DENIED', /can not be deleted/, () =>
    world.run(remove('/d/f', mark), alice),
  )
})

eachWay('xattrs: limits', (t, world) => {
  world.run(create('/f'), superuser)
  refused(
    t,
    'INVALID_ARGUMENT',
    /maximum combined size .* is 16384, but the total size is 16385/,
    () => world.run(set('/f', xattr('ä', 'x'.repeat(16_383)))),
  )
  refused(t, 'INVALID_ARGUMENT', /name of an extended attribute is empty/, () =>
    world.run(set('/f', xattr(''))),
  )
  world.run(set('/f', xattr('ä', 'x'.repeat(16_382))))
  for (let index = 1; index < 32; index += 1) world.run(set('/f', xattr(`n${index}`)))
  refused(t, 'LIMIT_EXCEEDED', /would exceed limit of 32/, () =>
    world.run(set('/f', xattr('more'))),
  )
  world.run(set('/f', xattr('n1', 'replaced')))
  t.equal(stat(world, '/f')?.inode.xattrs?.length, 32)
})

t.test('answers that are kept for repeated calls leave attributes out', async (t) => {
  const { inodeRow } = await import('../../support/transactions.ts')
  const { inodeId } = await import('../../../protocol/ids.ts')
  const inode = inodeRow({ id: inodeId(16390), xattrs: [xattr('a', 'long')] })
  const status = { name: '', inode, length: 0 }
  t.match(toCachedReply('create', status), { status: { inode: { xattrs: undefined, id: 16390 } } })
  t.match(toCachedReply('append', { status }), { status: { inode: { xattrs: undefined } } })
  t.same(toCachedReply('setXAttr', undefined), { kind: 'void' })
})
