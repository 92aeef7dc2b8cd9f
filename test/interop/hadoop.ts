/** `npm run interop`: Hadoop's own shell, unmodified, against a cluster of ours. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import t from 'tap'
import { writeRandomFile } from '../../ops/demo/random-file.ts'
import { startCluster } from '../support/cluster.ts'
import { clientJars, hadoopVersions, javaOptions, writeConfiguration } from './hadoop-client.ts'

const bulkBytes = Number(process.env['INTEROP_BULK_BYTES'] ?? 2 ** 30)

interface ShellResult {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs `hadoop fs ARGUMENTS` with the jars and the configuration of a class path. */
function hadoopShell(classPath: string, args: readonly string[]): ShellResult {
  const result = spawnSync(
    'java',
    [...javaOptions, '-cp', classPath, 'org.apache.hadoop.fs.FsShell', ...args],
    { encoding: 'utf8', maxBuffer: 2 ** 28 },
  )
  return { status: result.status ?? -1, stdout: result.stdout, stderr: result.stderr }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

t.setTimeout(hadoopVersions.length * 1_200_000)

for (const version of hadoopVersions) {
  t.test(`Hadoop ${version}: FsShell works unmodified`, async (t) => {
    t.setTimeout(1_200_000)
    const jars = clientJars(version)
    const cluster = await startCluster({ datanodes: 3 })
    const scratch = mkdtempSync(join(tmpdir(), 'trefoil-interop-'))
    t.teardown(async () => {
      await cluster.stop()
      rmSync(scratch, { recursive: true, force: true })
    })
    const classPath = `${writeConfiguration(scratch, cluster.uri)}:${jars}/*`
    const shell = (...args: string[]): ShellResult => hadoopShell(classPath, args)
    const succeeds = (...args: string[]): string => {
      const { status, stdout, stderr } = shell(...args)
      t.equal(status, 0, `fs ${args.join(' ')}${status === 0 ? '' : `\n${stderr}`}`)
      return stdout
    }

    const small = join(scratch, 'small.txt')
    writeFileSync(small, 'hello, world\n')
    const bulk = join(scratch, 'bulk')
    await writeRandomFile(bulk, bulkBytes)

    succeeds('-mkdir', '-p', '/h/a/b')
    succeeds('-put', small, '/h/a/small.txt')
    t.equal(succeeds('-cat', '/h/a/small.txt'), 'hello, world\n', '-cat returns what -put stored')
    succeeds('-put', '-f', small, '/h/a/small.txt')
    t.not(shell('-put', small, '/h/a/small.txt').status, 0, '-put refuses to overwrite')
    t.match(succeeds('-ls', '-R', '/h'), /\/h\/a\/small\.txt/)
    succeeds('-mv', '/h/a/small.txt', '/h/a/b/moved.txt')
    t.equal(
      succeeds('-stat', '%n %b %r %F', '/h/a/b/moved.txt').trim(),
      'moved.txt 13 3 regular file',
    )
    t.match(succeeds('-du', '/h'), /13\s+39\s+\/h\/a/)
    t.match(succeeds('-df', '/'), /hdfs:\/\//)
    t.match(succeeds('-count', '/h'), /\s3\s+1\s+13\s/)
    succeeds('-chmod', '600', '/h/a/b/moved.txt')
    t.match(succeeds('-ls', '/h/a/b'), /^-rw-------/m)
    succeeds('-touchz', '/h/empty')
    succeeds('-setfacl', '-m', 'user:bob:rw-,default:user:bob:rwx,mask::r--', '/h/a')
    succeeds('-mkdir', '/h/a/below')
    // What HDFS 3.5.0 itself has after the same commands.
    t.equal(
      succeeds('-getfacl', '/h/a').replaceAll(/^# (owner|group): .*\n/gm, ''),
      '# file: /h/a\nuser::rwx\nuser:bob:rw-\t#effective:r--\ngroup::r-x\t#effective:r--\n' +
        'mask::r--\nother::r-x\ndefault:user::rwx\ndefault:user:bob:rwx\ndefault:group::r-x\n' +
        'default:mask::rwx\ndefault:other::r-x\n\n',
    )
    t.match(succeeds('-getfacl', '/h/a/below'), /^user:bob:rwx$/m)
    t.match(succeeds('-ls', '/h'), /^drwxr--r-x\+ .*\/h\/a$/m)
    t.match(shell('-setfacl', '-m', 'default:user:bob:rwx', '/h/empty'), {
      ...{ status: 1, stderr: /only directories may have a default ACL/ },
    })
    succeeds('-setfacl', '-b', '/h/a')
    succeeds('-setfattr', '-n', 'user.origin', '-v', 'crawler 7', '/h/empty')
    succeeds('-setfattr', '-n', 'trusted.raw', '-v', '0x00ff', '/h/empty')
    t.equal(
      succeeds('-getfattr', '-d', '-e', 'hex', '/h/empty'),
      '# file: /h/empty\nuser.origin=0x637261776c65722037\ntrusted.raw=0x00ff\n',
    )
    succeeds('-cp', '-ptopax', '/h/empty', '/h/copied')
    t.match(succeeds('-getfattr', '-n', 'user.origin', '/h/copied'), /="crawler 7"/)
    succeeds('-setfattr', '-x', 'user.origin', '/h/empty')
    t.match(shell('-getfattr', '-n', 'user.origin', '/h/empty'), { status: 1 })
    succeeds('-setrep', '2', '/h/a/b/moved.txt')
    succeeds('-checksum', '/h/a/b/moved.txt')
    succeeds('-put', bulk, '/h/bulk')
    const back = join(scratch, 'back')
    succeeds('-get', '/h/bulk', back)
    t.equal(await sha256(back), await sha256(bulk), `${bulkBytes} bytes come back equal`)
    t.not(shell('-rm', '/h/a').status, 0, '-rm refuses a directory')
    succeeds('-rm', '-r', '-skipTrash', '/h')
    t.not(shell('-ls', '/h').status, 0, '-rm -r removed the tree')
    t.match(shell('-cat', '/none').stderr, /No such file or directory/)
  })
}
