/** `npm run interop`: Hadoop's own shell, unmodified, over `webhdfs://` against the gateway. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { writeRandomFile } from '../../ops/demo/random-file.ts'
import { type ProgramResult, run } from '../support/foreign-program.ts'
import { startWebHdfs } from '../support/webhdfs.ts'
import { clientJars, hadoopVersions, javaOptions, writeConfiguration } from './hadoop-client.ts'

const bulkBytes = 200 * 2 ** 20 + 17

t.setTimeout(hadoopVersions.length * 1_200_000)

for (const version of hadoopVersions) {
  t.test(`Hadoop ${version}: FsShell works over webhdfs://`, async (t) => {
    t.setTimeout(1_200_000)
    const jars = clientJars(version)
    const { cluster, gateway, client } = await startWebHdfs(t)
    const scratch = mkdtempSync(join(tmpdir(), 'trefoil-interop-'))
    t.teardown(() => {
      rmSync(scratch, { recursive: true, force: true })
    })
    const uri = `webhdfs://127.0.0.1:${gateway.port}`
    const classPath = `${writeConfiguration(scratch, uri)}:${jars}/*`
    const shell = (...args: string[]): Promise<ProgramResult> =>
      run('java', [...javaOptions, '-cp', classPath, 'org.apache.hadoop.fs.FsShell', ...args], {
        env: { HADOOP_USER_NAME: cluster.user },
      })
    const succeeds = async (...args: string[]): Promise<string> => {
      const { status, stdout, stderr } = await shell(...args)
      t.equal(status, 0, `fs ${args.join(' ')}${status === 0 ? '' : `\n${stderr}`}`)
      return stdout
    }

    const small = join(scratch, 'small.txt')
    writeFileSync(small, 'hello, world\n')
    const bulk = join(scratch, 'bulk')
    await writeRandomFile(bulk, bulkBytes)

    await succeeds('-mkdir', '-p', '/h/a/b')
    await succeeds('-put', small, '/h/a/small.txt')
    t.equal(await succeeds('-cat', '/h/a/small.txt'), 'hello, world\n')
    await succeeds('-put', '-f', small, '/h/a/small.txt')
    t.match(await shell('-put', small, '/h/a/small.txt'), { status: 1, stderr: /File exists/ })
    t.match(await shell('-cat', '/h/none'), { status: 1, stderr: /No such file or directory/ })
    await succeeds('-appendToFile', small, '/h/a/small.txt')
    t.equal(await succeeds('-tail', '/h/a/small.txt'), 'hello, world\nhello, world\n')
    t.match(await succeeds('-ls', '-R', '/h'), /\/h\/a\/small\.txt/)
    await succeeds('-mv', '/h/a/small.txt', '/h/a/b/moved.txt')
    const stat = await succeeds('-stat', '%n %b %r %F', '/h/a/b/moved.txt')
    t.equal(stat.trim(), 'moved.txt 26 3 regular file')
    t.match(await succeeds('-du', '/h'), /26\s+78\s+\/h\/a/)
    t.match(await succeeds('-count', '/h'), /\s3\s+1\s+26\s/)
    await succeeds('-chmod', '600', '/h/a/b/moved.txt')
    t.match(await succeeds('-ls', '/h/a/b'), /^-rw-------/m)
    await succeeds('-touchz', '/h/empty')
    await succeeds('-setrep', '2', '/h/a/b/moved.txt')
    t.match(await succeeds('-checksum', '/h/a/b/moved.txt'), /MD5-of-0MD5-of-512CRC32C/)
    t.match(await succeeds('-df', '/'), /webhdfs:\/\//)
    await succeeds('-put', bulk, '/h/bulk')
    const back = join(scratch, 'back')
    await succeeds('-get', '/h/bulk', back)
    const sha256 = (path: string): string =>
      createHash('sha256').update(readFileSync(path)).digest('hex')
    t.equal(sha256(back), sha256(bulk), `${bulkBytes} bytes came back as they went`)
    const hdfs = join(scratch, 'hdfs')
    await client.writeFile('/h/several', readFileSync(bulk), { blockSize: 2 ** 20 * 32 })
    const overHttp = await succeeds('-checksum', '/h/several')
    const overRpc = await succeeds('-checksum', `${cluster.uri}/h/several`)
    t.equal(
      overHttp.split('\t')[2]?.trim(),
      overRpc.split('\t')[2]?.trim(),
      "the SDK's checksum of many blocks is that of Hadoop's own client",
    )
    await succeeds('-get', '-f', '/h/several', hdfs)
    t.equal(sha256(hdfs), sha256(bulk))
    await succeeds('-rm', '-r', '-skipTrash', '/h/a')
    await succeeds('-rm', '/h/empty')
    t.match(await client.readdir(`/user/${cluster.user}/.Trash/Current/h`), ['empty'])
  })
}
