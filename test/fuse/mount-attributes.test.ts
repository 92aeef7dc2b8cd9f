/** ACLs and extended attributes of a mount, by the programs that people use for them. */
import t from 'tap'
import { run, skipWithout } from '../support/foreign-program.ts'
import { driverObstacle, mountCluster } from '../support/mounted-cluster.ts'

t.setTimeout(300_000)

const acl = { command: 'setfacl', probe: ['--version'], install: 'apt-get install acl' }
const attr = { command: 'getfattr', probe: ['--version'], install: 'apt-get install attr' }
const rsync = { command: 'rsync', probe: ['--version'], install: 'apt-get install rsync' }
const missing = [acl, attr, rsync]
  .map((program) => skipWithout(program))
  .find((why) => why !== false)
const skip = driverObstacle('kernel') || (missing ?? false)

t.test('a mount has ACLs and extended attributes', { skip }, async (t) => {
  const { cluster, shell, directory } = await mountCluster(t, 'kernel', 1)
  const client = cluster.client()
  t.teardown(() => client.close())
  const { attributes } = client
  const nobody = (script: string): Promise<string> =>
    shell(`setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c '${script}'`)
  const fails = async (script: string, message: RegExp): Promise<void> => {
    const { status, stderr } = await run('sh', ['-c', `cd ${directory}; ${script}`])
    t.not(status, 0, script)
    t.match(stderr, message, script)
  }

  t.test('setfacl and getfacl change what the cluster has', async (t) => {
    await shell('mkdir -m 750 d; setfacl -m u:nobody:rwx,g:daemon:r-x,d:u:nobody:rwx d')
    t.same((await attributes.getAcl('/d')).entries, [
      ...['user::rwx', 'user:nobody:rwx', 'group::r-x', 'group:daemon:r-x', 'mask::rwx'],
      ...['other::---', 'default:user::rwx', 'default:user:nobody:rwx', 'default:group::r-x'],
      ...['default:mask::rwx', 'default:other::---'],
    ])
    await attributes.modifyAcl('/d', 'mask::r-x')
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const shown = await shell('getfacl -cp d')
    t.match(shown, /^user:nobody:rwx\t+#effective:r-x$/m)
    t.match(shown, /^default:user:nobody:rwx$/m)
    await shell('chmod g=rwx d')
    t.match(await shell('ls -ld d'), /^drwxrwx---\+ /)
    await shell('setfacl -x u:nobody,g:daemon d; setfacl -k d; setfacl -b d')
    t.match(await attributes.getAcl('/d'), { mode: 0o750, entries: { length: 3 } })
    t.equal((await client.stat('/d')).hasAcl, false)
    await fails('setfacl -m d:u:nobody:rwx d/../i-am-missing', /No such file/)
  })

  t.test('the kernel lets in whom a list lets in', async (t) => {
    await shell('mkdir -m 700 closed; echo secret > closed/f; chmod 600 closed/f')
    await fails(`setpriv --reuid=nobody --clear-groups cat closed/f`, /Permission denied/)
    await shell('setfacl -m u:nobody:x closed; setfacl -m u:nobody:r closed/f')
    t.equal(await nobody('cat closed/f'), 'secret\n')
    await fails(`setpriv --reuid=nobody --clear-groups sh -c 'echo x >> closed/f'`, /Permission/)
    await fails(`setpriv --reuid=nobody --clear-groups setfacl -b closed/f`, /not permitted/)
    await shell('setfacl -m m::--- closed/f')
    await new Promise((resolve) => setTimeout(resolve, 1100))
    await fails(`setpriv --reuid=nobody --clear-groups cat closed/f`, /Permission denied/)
  })

  t.test('what is new takes over the default ACL; elsewhere the umask holds', async (t) => {
    await shell('mkdir -m 755 parent; setfacl -d -m u:nobody:rwx,g::r-x parent')
    await shell('umask 077; mkdir parent/sub; echo x > parent/f; mkdir plain; echo x > plain/f')
    t.match(
      await shell('getfacl -cp parent/sub'),
      /^user:nobody:rwx$[^]*^default:user:nobody:rwx$/m,
    )
    t.equal(await shell('stat -c %a parent/sub parent/f plain plain/f'), '775\n664\n700\n600\n')
    t.match((await attributes.getAcl('/parent/f')).entries, { length: 5 })
  })

  t.test('setfattr and getfattr keep any bytes', async (t) => {
    await shell('echo x > x; setfattr -n user.text -v "a b" x; setfattr -n user.raw -v 0x00ff0a x')
    await shell('setfattr -n user.empty x; setfattr -n trusted.t -v 1 x')
    t.same(await attributes.getXattr('/x', 'user.raw'), Buffer.of(0, 255, 10))
    t.equal(
      await shell('getfattr -d -m - -e hex x'),
      '# file: x\ntrusted.t=0x31\nuser.empty=0x\nuser.raw=0x00ff0a\nuser.text=0x612062\n\n',
    )
    t.equal(
      await nobody('getfattr -d -m - x'),
      '# file: x\nuser.empty=""\nuser.raw=0sAP8K\nuser.text="a b"\n\n',
    )
    await shell('setfattr -x user.text x')
    await fails('setfattr -x user.text x', /No such attribute/)
    await fails('getfattr -n user.text x', /No such attribute/)
    await fails('setfattr -n security.x -v 1 x', /Operation not supported/)
    const long = "0x$(printf '00%.0s' $(seq 16381))"
    await fails(`setfattr -n user.long -v ${long} x`, /Argument list too long/)
    const many = 'for i in $(seq 40); do setfattr -n user.n$i x; done'
    await fails(many, /No space left on device/)
  })

  t.test('XATTR_CREATE, XATTR_REPLACE and short buffers have their own errors', async () => {
    const script = [
      'import os, errno',
      'def fails(code, action, *args, **more):',
      '  try: action(*args, **more)',
      '  except OSError as e: assert e.errno == code, (e, code); return',
      '  raise SystemExit("did not fail")',
      'open("p", "w").close()',
      'os.setxattr("p", "user.a", b"1", os.XATTR_CREATE)',
      'fails(errno.EEXIST, os.setxattr, "p", "user.a", b"2", os.XATTR_CREATE)',
      'os.setxattr("p", "user.a", b"2" * 1000, os.XATTR_REPLACE)',
      'fails(errno.ENODATA, os.setxattr, "p", "user.b", b"2", os.XATTR_REPLACE)',
      'assert os.getxattr("p", "user.a") == b"2" * 1000',
      'fails(errno.ENODATA, os.removexattr, "p", "user.b")',
      'fails(errno.EINVAL, os.setxattr, "p", "system.posix_acl_access", b"\\x02\\0\\0\\0\\1\\0")',
      'import ctypes',
      'libc = ctypes.CDLL(None, use_errno=True)',
      'small = ctypes.create_string_buffer(10)',
      'assert libc.getxattr(b"p", b"user.a", small, 10) == -1',
      'assert ctypes.get_errno() == errno.ERANGE',
      'assert os.listxattr("p") == ["user.a"]',
    ].join('\n')
    await shell(`python3 - <<'END'\n${script}\nEND`)
  })

  t.test('rsync -aHAX and cp -a carry both over, in and out', async (t) => {
    const local = t.testdir()
    await shell(`mkdir -p ${local}/tree/sub; echo 1 > ${local}/tree/f; cd ${local}/tree
      setfacl -m u:nobody:rwx,d:g:daemon:rwx sub; setfacl -m u:daemon:r f
      setfattr -n user.origin -v here f; setfattr -n user.dir -v there sub`)
    const described = (root: string): Promise<string> =>
      shell(
        `cd ${root}; getfacl -R tree; getfattr -R -d tree; stat -c '%n %a %U' tree tree/f tree/sub`,
      )
    const before = await described(local)
    await shell(`rsync -aHAX ${local}/tree .`)
    t.equal(await described('.'), before, 'rsync into the mount')
    await shell(`mkdir ${local}/back; rsync -aHAX tree ${local}/back/`)
    t.equal(await described(`${local}/back`), before, 'and out of it')
    await shell('mkdir copy; cp -a tree copy/')
    t.equal(await described('copy'), before, 'cp -a within it')
    t.equal(await shell(`rsync -aHAXni ${local}/tree .`), '', 'nothing is left to do')
  })
})
