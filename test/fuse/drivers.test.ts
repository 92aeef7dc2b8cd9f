/** Both drivers of the mount, used by ordinary programs: what must hold whichever speaks to the kernel. */
import t from 'tap'
import { driverObstacle, mountCluster } from '../support/mounted-cluster.ts'

t.setTimeout(300_000)

for (const driver of ['kernel', 'fuse-native'] as const) {
  const skip = driverObstacle(driver)
  t.test(`${driver}: programs read and write a mounted cluster anywhere`, { skip }, async (t) => {
    const { cluster, directory, mount, shell } = await mountCluster(t, driver)
    t.equal(mount.driver, driver)

    t.test('names and contents', async (t) => {
      t.equal(await shell('mkdir -p a/b; echo hello > a/b/file; cat a/b/file'), 'hello\n')
      t.equal(
        await shell('(echo one; echo two) > a/lines; echo three >> a/lines; cat a/lines'),
        'one\ntwo\nthree\n',
      )
      await shell('head -c 5000003 /dev/urandom > a/big; cp a/big a/copy; cmp a/big a/copy')
      t.equal(await shell('stat -c "%s %F" a/big'), '5000003 regular file\n')
      t.equal(await shell('mv a/copy a/b/moved; ls a/b'), 'file\nmoved\n')
      t.equal(await shell('find a -type f | sort'), 'a/b/file\na/b/moved\na/big\na/lines\n')
      t.equal(await shell('chmod 640 a/b/file; stat -c %a a/b/file'), '640\n')
      t.equal(
        await shell('touch -d @1000000000.123 a/b/file; stat -c %.3Y a/b/file'),
        '1000000000.123\n',
      )
      t.equal(await shell('cat none 2>&1 || true'), 'cat: none: No such file or directory\n')
      t.match(await shell('rmdir a 2>&1 || true'), /not empty/i)
      await shell('df . > /dev/null')
      const client = cluster.client()
      t.equal(
        await client.readFile('/a/lines', 'utf8'),
        'one\ntwo\nthree\n',
        'other clients see it',
      )
      await client.writeFile('/a/theirs', 'theirs')
      await client.close()
      t.equal(await shell('cat a/theirs'), 'theirs')
    })

    t.test('writes in the middle, holes and both ways of truncating', async (t) => {
      await shell('mkdir w; head -c 3000000 /dev/zero | tr "\\0" x > w/f')
      await shell('printf MIDDLE | dd of=w/f bs=1 seek=1500000 conv=notrunc 2>/dev/null')
      t.equal(
        await shell('dd if=w/f bs=1 skip=1499999 count=8 2>/dev/null; stat -c %s w/f'),
        'xMIDDLEx3000000\n',
      )
      const client = cluster.client()
      const bytes = await client.readFile('/w/f')
      t.equal(bytes.subarray(1_499_999, 1_500_007).toString(), 'xMIDDLEx', 'the cluster has it')
      await client.close()
      await shell('truncate -s 10 w/f; truncate -s 20 w/f')
      t.equal(await shell('od -An -c w/f | tr -d " \\n"'), `${'x'.repeat(10)}${'\\0'.repeat(10)}`)
      t.equal(
        await shell(
          'printf end | dd of=w/hole bs=1 seek=100000 2>/dev/null; stat -c %s w/hole; tail -c 3 w/hole',
        ),
        '100003\nend',
      )
      t.equal(await shell('ls -A w'), 'f\nhole\n', 'nothing temporary is left')
    })

    t.test(
      'a file that is removed or replaced stays readable and writable to who has it open',
      async (t) => {
        t.equal(
          await shell(
            'echo old > u; exec 3<>u; rm u; test ! -e u; echo new >&3; cat <&3; exec 3>&-',
          ),
          '',
        )
        t.equal(
          await shell('echo old > v; exec 3<v; echo new > v2; mv v2 v; cat <&3; cat v'),
          'old\nnew\n',
        )
        t.equal(
          await shell('echo keep > x; echo other > y; mv -n x y 2>/dev/null || true; cat x y'),
          'keep\nother\n',
        )
      },
    )

    t.test('tar, cp -a and git', async () => {
      await shell(
        'mkdir -p tree/a/b; for i in 1 2 3 4 5 6 7 8 9 10; do seq $i 500 > tree/a/$i; seq $i > tree/a/b/$i; done',
      )
      await shell(
        'cp -a tree again; diff -r tree again; tar cf - tree | (mkdir un; cd un; tar xf -); diff -r tree un/tree',
      )
      const git = 'git -c user.name=n -c user.email=e@x -c init.defaultBranch=main'
      await shell(
        `${git} init -q repo; cd repo; cp -r ../tree .; ${git} add .; ${git} commit -qm one; ${git} fsck --strict`,
      )
      await shell(
        `${git} clone -q --no-local file://${directory}/repo clone; cd clone; echo x > y; ${git} add y; ${git} commit -qm two; ${git} gc -q; ${git} fsck; test -z "$(${git} status --porcelain)"`,
      )
      await shell('rm -rf tree again un repo clone')
    })
  })
}
