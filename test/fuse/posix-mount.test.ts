/** POSIX's names and attributes through the kernel driver: what pjdfstest asks at length (`npm run posix`), in short. */
import t from 'tap'
import { driverObstacle, mountCluster } from '../support/mounted-cluster.ts'

t.setTimeout(300_000)

const skip = driverObstacle('kernel')
const asNobody = 'setpriv --reuid=nobody --regid=nogroup --clear-groups'

t.test('the kernel driver keeps the rules of POSIX', { skip }, async (t) => {
  const { cluster, shell } = await mountCluster(t, 'kernel', 1)

  t.test('symbolic links lead where they say', async (t) => {
    await shell('mkdir d; echo content > d/f; ln -s d/f link; ln -s /nowhere broken')
    t.equal(
      await shell('readlink link; cat link; stat -c "%F %s %a" link'),
      'd/f\ncontent\nsymbolic link 3 777\n',
    )
    t.match(await shell('cat broken 2>&1 || true'), /No such file/)
    await shell('rm link; ln -s loop loop')
    t.match(await shell('cat loop 2>&1 || true'), /Too many levels/)
  })

  t.test('names of one file share its content, and the last one takes it along', async (t) => {
    await shell('echo one > a; ln a b; mkdir e; ln b e/c')
    t.equal(await shell('stat -c %h,%i a'), await shell('stat -c %h,%i e/c'))
    await shell(
      'echo two >> b; sed -i.bak s/x/x/ d/f; printf X | dd of=e/c conv=notrunc status=none',
    )
    t.equal(await shell('cat a'), 'Xne\ntwo\n', 'also after bytes in the middle changed')
    await shell("node -e \"require('fs').renameSync('a', 'b')\"")
    t.equal(
      await shell('ls a b; stat -c %h a'),
      'a\nb\n3\n',
      'rename(2) leaves two names of one file',
    )
    await shell('rm a b')
    t.equal(await shell('cat e/c; stat -c %h e/c'), 'Xne\ntwo\n1\n')
    t.match(await shell('ln d hard 2>&1 || true'), /not allowed for directory|not permitted/)
    const client = cluster.client()
    t.equal(await client.readFile('/e/c', 'utf8'), 'Xne\ntwo\n')
    await client.close()
  })

  t.test('a removed file with another name stays open as it is', async (t) => {
    t.equal(await shell('echo x > p; ln p q; exec 3<>p; rm p; echo y >&3; cat q; rm q'), 'y\n')
  })

  t.test('pipes, sockets and devices work', async (t) => {
    t.equal(await shell('mkfifo pipe; echo through > pipe & cat pipe; wait'), 'through\n')
    await shell('mknod null c 1 3; echo gone > null; mknod disk b 8 1')
    t.equal(
      await shell('stat -c "%F %t,%T" null disk'),
      'character special file 1,3\nblock special file 8,1\n',
    )
    const client = cluster.client()
    t.match(await client.stat('/pipe'), { type: 'file', size: 0 }, 'HDFS sees empty files')
    await client.close()
  })

  t.test('names hold what Linux allows', async (t) => {
    await shell('touch "A::B.3pm" "tab\tand space"')
    t.match(await shell('ls'), /A::B\.3pm/)
    const long = 'x'.repeat(255)
    await shell(`touch ${long}; rm ${long}`)
    t.match(await shell(`touch ${long}y 2>&1 || true`), /too long/)
    await shell('rm "A::B.3pm"')
  })

  t.test('setuid, setgid and sticky bits count', async (t) => {
    await shell('mkdir s; chgrp daemon s; chmod 2777 s; mkdir s/t; touch s/f')
    t.equal(await shell('stat -c "%G %a" s/t s/f'), 'daemon 2755\ndaemon 644\n')
    await shell('chmod 6755 s/f')
    t.equal(await shell('stat -c %a s/f; chown nobody s/f; stat -c %a s/f'), '6755\n755\n')
    await shell('mkdir -m 1777 tmp; touch tmp/mine')
    t.match(await shell(`${asNobody} rm -f tmp/mine 2>&1 || true`), /not permitted/)
    await shell('mkdir -m 777 open; touch open/his; chmod 666 open/his')
    t.match(await shell(`${asNobody} chmod 600 open/his 2>&1 || true`), /not permitted/)
    t.match(await shell(`${asNobody} touch -d 2001-01-01 open/his 2>&1 || true`), /not permitted/)
    await shell(`${asNobody} touch open/his`)
  })

  t.test('groups of a process count that the namenode does not know of', async (t) => {
    await shell('mkdir -m 770 team; chgrp 4711 team; chmod g+s team')
    const inTeam = 'setpriv --reuid=nobody --regid=nogroup --groups=4711'
    await shell(
      `${inTeam} sh -c 'echo ours > team/f; mkdir team/sub; mv team/f team/sub/g; ls team/sub'`,
    )
    t.equal(await shell('stat -c "%u %g" team/sub/g'), '65534 4711\n')
    t.match(await shell(`${asNobody} ls team 2>&1 || true`), /denied/)
  })

  t.test('times are kept to the nanosecond, and ctime moves', async (t) => {
    await shell('touch time; touch -d "1969-12-31 23:59:58.123456789Z" time')
    t.match(await shell('stat -c %.9Y time'), /^-2\.876543211|^-1\.876543211/)
    await shell('touch -d "2020-01-01 00:00:00.000000001Z" time')
    t.equal(await shell('stat -c %.9Y time'), '1577836800.000000001\n')
    const before = Number(await shell('stat -c %.9Z time'))
    await shell('sleep 0.05; chmod 600 time')
    t.ok(Number(await shell('stat -c %.9Z time')) > before)
    t.equal(await shell('stat -c %.9Y time'), '1577836800.000000001\n')
  })

  t.test('renaming replaces what it may', async (t) => {
    await shell('mkdir -p r/full/x r/empty r/dir; touch r/file')
    t.match(await shell('mv -T r/file r/dir 2>&1 || true'), /directory/)
    t.match(await shell('mv -T r/dir r/full 2>&1 || true'), /not empty/)
    await shell('mv -T r/full r/empty; ls r/empty/x')
    t.match(await shell('mv r/empty r/empty/x 2>&1 || true'), /subdirectory of itself/)
  })

  t.test('archives come back as they were', async (t) => {
    await shell(
      'mkdir tree; cd tree; echo a > f; ln f g; ln -s f l; mkfifo p; mknod n c 1 3; chmod 4755 f',
    )
    await shell(
      'tar cf - tree | (mkdir copy; cd copy; tar xpf -); rsync -aHD tree/ synced/ 2>/dev/null || cp -a tree synced',
    )
    const look = (where: string): Promise<string> =>
      shell(`cd ${where}; find . -printf "%p %y %m %n %l %s\\n" | sort`)
    t.equal(await look('copy/tree'), await look('tree'))
    t.equal(await look('synced'), await look('tree'))
  })
})
