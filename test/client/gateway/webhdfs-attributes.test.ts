/** ACLs and extended attributes over WebHDFS, and through the SDK, of the same cluster. */
import t from 'tap'
import { startWebHdfs } from '../../support/webhdfs.ts'

const world = await startWebHdfs(t)
const { client, user } = world
const { attributes } = client
const put = async (target: string): Promise<number> => {
  const { status, body } = await world.ask('PUT', `${target}&${user}`)
  t.equal(body.toString(), '', target)
  return status
}
const get = async (target: string): Promise<unknown> =>
  (await world.ask('GET', `${target}&${user}`)).json

t.test('lists are set, changed, shown and taken away', async (t) => {
  await client.mkdir('/d', { mode: 0o750, umask: 0 })
  await client.writeFile('/d/f', 'x')
  t.equal(await put('/d?op=MODIFYACLENTRIES&aclspec=user:bob:rw-,default:user:bob:rwx'), 200)
  const status = { AclStatus: { owner: client.user, group: 'supergroup', stickyBit: false } }
  t.match(await get('/d?op=GETACLSTATUS'), status)
  t.match(await get('/d?op=GETACLSTATUS'), {
    AclStatus: {
      permission: '770',
      entries: [
        'user:bob:rw-',
        'group::r-x',
        ...['default:user::rwx', 'default:user:bob:rwx', 'default:group::r-x'],
        ...['default:mask::rwx', 'default:other::---'],
      ],
    },
  })
  t.match(await get('/d?op=GETFILESTATUS'), { FileStatus: { aclBit: true } })
  t.notMatch(await get('/d/f?op=GETFILESTATUS'), { FileStatus: { aclBit: true } })
  await world.ask('PUT', `/d/sub?op=MKDIRS&permission=700&unmaskedpermission=777&${user}`)
  t.match((await attributes.getAcl('/d/sub')).mode, 0o770)
  await world.ask('PUT', `/d/new?op=CREATE&data=true&permission=600&unmaskedpermission=666&${user}`)
  t.match(await attributes.getAcl('/d/new'), { mode: 0o660 })
  t.equal(await put('/d?op=REMOVEACLENTRIES&aclspec=user:bob'), 200)
  t.equal(await put('/d?op=REMOVEDEFAULTACL'), 200)
  t.same((await attributes.getAcl('/d')).entries, [
    ...['user::rwx', 'group::r-x', 'mask::r-x', 'other::---'],
  ])
  t.equal(await put('/d?op=SETACL&aclspec=user::rwx,group::r--,other::---,group:b:r-x'), 200)
  t.equal(await put('/d?op=REMOVEACL'), 200)
  t.match(await client.stat('/d'), { mode: 0o740, hasAcl: false })
})

t.test('the SDK has verbs for lists', async (t) => {
  await client.mkdir('/s', { mode: 0o755 })
  await attributes.modifyAcl('/s', 'user:bob:rwx,default:group:staff:r-x')
  t.match(await client.stat('/s'), { mode: 0o775, hasAcl: true })
  await attributes.removeDefaultAcl('/s')
  await attributes.removeAclEntries('/s', 'user:bob')
  await attributes.setAcl('/s', 'user::rwx,group::r-x,other::---')
  t.same((await attributes.getAcl('/s')).entries, ['user::rwx', 'group::r-x', 'other::---'])
  await attributes.modifyAcl('/s', 'user:bob:r--')
  await attributes.removeAcl('/s')
  t.match(await attributes.getAcl('/s'), { mode: 0o750, entries: { length: 3 } })
  await t.rejects(attributes.setAcl('/s', 'user:bob:rwx'), { code: 'EINVAL', message: /required/ })
  await t.rejects(attributes.modifyAcl('/s', 'bob'), { code: 'EINVAL', message: /aclSpec/ })
  await t.rejects(attributes.getAcl('/none'), { code: 'ENOENT' })
})

t.test('attributes are set, read, listed and removed', async (t) => {
  await client.writeFile('/x', 'x')
  t.equal(await put('/x?op=SETXATTR&xattr.name=user.a&xattr.value=%22t%22&flag=CREATE'), 200)
  t.equal(await put('/x?op=SETXATTR&xattr.name=user.b&xattr.value=0x00ff&flag=CREATE,REPLACE'), 200)
  t.same(await get('/x?op=LISTXATTRS'), { XAttrNames: '["user.a","user.b"]' })
  t.same(await get('/x?op=GETXATTRS&xattr.name=user.b&xattr.name=user.a&encoding=hex'), {
    XAttrs: [
      { name: 'user.b', value: '0x00ff' },
      { name: 'user.a', value: '0x74' },
    ],
  })
  t.match(await get('/x?op=GETXATTRS&encoding=text'), { XAttrs: [{ value: '"t"' }, {}] })
  t.same(await attributes.getXattr('/x', 'user.b'), Buffer.of(0, 255))
  await attributes.setXattr('/x', 'user.a', 'again', { mode: 'replace' })
  await t.rejects(attributes.setXattr('/x', 'user.a', '', { mode: 'create' }), { code: 'EIO' })
  t.equal(await put('/x?op=REMOVEXATTR&xattr.name=user.a'), 200)
  await attributes.removeXattr('/x', 'user.b')
  t.same(await attributes.listXattrs('/x'), [])
  await t.rejects(attributes.getXattr('/x', 'user.a'), { code: 'ENODATA' })
  await t.rejects(attributes.removeXattr('/x', 'user.a'), { code: 'EIO', message: /No matching/ })
})

t.test('what is wrong is refused as HDFS refuses it', async (t) => {
  const refusals: [string, string, number, string][] = [
    ['PUT', '/x?op=SETACL', 400, 'IllegalArgumentException'],
    ['PUT', '/x?op=SETACL&aclspec=nobody::rwx', 400, 'HadoopIllegalArgumentException'],
    ['PUT', '/x?op=SETACL&aclspec=user:bob:rwx', 403, 'AclException'],
    ['PUT', '/x?op=SETXATTR&xattr.name=bad.a&flag=CREATE', 400, 'IllegalArgumentException'],
    ['PUT', '/x?op=SETXATTR&xattr.name=user.a&flag=ONCE', 400, 'IllegalArgumentException'],
    ['PUT', '/x?op=SETXATTR&xattr.name=user.a', 400, 'HadoopIllegalArgumentException'],
    ['PUT', '/x?op=REMOVEXATTR', 400, 'IllegalArgumentException'],
    ['GET', '/x?op=GETXATTRS&xattr.name=user.none&encoding=hex', 403, 'XAttrNotFoundException'],
    ['GET', '/x?op=GETXATTRS&encoding=octal', 400, 'IllegalArgumentException'],
    ['GET', '/none?op=GETXATTRS&encoding=hex', 404, 'FileNotFoundException'],
  ]
  for (const [method, target, status, exception] of refusals) {
    const answer = await world.ask(method, `${target}&${user}`)
    t.match(answer, { status, json: { RemoteException: { exception } } }, target)
  }
})
