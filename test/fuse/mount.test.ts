/** The mount through libfuse, used by ordinary programs. */
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { runMount } from '../../fuse/main.ts'
import { startCluster } from '../support/cluster.ts'
import { run, skipWithout } from '../support/foreign-program.ts'

const fusermount = {
  command: 'fusermount',
  probe: ['-V'],
  install: 'apt-get install fuse libfuse2',
}
const skip = existsSync('/dev/fuse') ? skipWithout(fusermount) : 'this machine has no /dev/fuse'

t.test('a mounted cluster is a directory that programs can use', { skip }, async (t) => {
  const cluster = await startCluster({ datanodes: 3 })
  const directory = mkdtempSync(join(tmpdir(), 'trefoil-mount-'))
  const mount = await runMount({ uri: cluster.uri, directory, driver: 'fuse-native' })
  t.teardown(async () => {
    await mount.stop()
    rmdirSync(directory)
    await cluster.stop()
  })
  const shell = async (script: string): Promise<string> => {
    // Not as `cwd` of the child: starting it would wait for the mount, and the mount for this process.
    const { status, stdout, stderr } = await run('sh', ['-ec', `cd ${directory}; ${script}`])
    t.equal(status, 0, `${script}${status === 0 ? '' : `\n${stderr}`}`)
    return stdout
  }

  t.equal(await shell('mkdir -p a/b; echo hello > a/b/file; cat a/b/file'), 'hello\n')
  t.equal(
    await shell('(echo one; /bin/echo two; echo three) > a/lines; cat a/lines'),
    'one\ntwo\nthree\n',
  )
  await shell(
    'cp /proc/self/exe /dev/null; head -c 5000003 /dev/urandom > a/big; cp a/big a/copy; cmp a/big a/copy',
  )
  t.equal(await shell('stat -c "%s %F" a/big'), '5000003 regular file\n')
  t.equal(await shell('mv a/copy a/b/moved; ls a/b'), 'file\nmoved\n')
  t.equal(await shell('chmod 640 a/b/file; stat -c %a a/b/file'), '640\n')
  t.equal(await shell('touch -d @1000000000 a/b/file; stat -c %Y a/b/file'), '1000000000\n')
  t.equal(
    await shell(
      'tail -c 3 a/big | wc -c; dd if=a/big bs=1000 skip=4000 count=1 2>/dev/null | wc -c',
    ),
    '3\n1000\n',
  )
  await shell('df . > /dev/null')
  t.equal(await shell('cat none 2>&1 || true'), 'cat: none: No such file or directory\n')
  t.match(await shell('rmdir a 2>&1 || true'), /not empty/i)
  t.match(
    await shell('sh -c "echo more >> a/b/file" 2>&1 || true'),
    /not supported/i,
    'appending is refused, not faked',
  )
  const client = cluster.client()
  t.equal(
    await client.readFile('/a/b/file', { encoding: 'utf8' }),
    'hello\n',
    'other clients see the file',
  )
  await client.close()
  await shell('rm -r a; test ! -e a')
})
