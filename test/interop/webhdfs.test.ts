/** Unmodified WebHDFS clients against the gateway: curl, HdfsCLI, fsspec, and pandas with Parquet and CSV through fsspec. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { writeRandomFile } from '../../ops/demo/random-file.ts'
import { run, skipWithout } from '../support/foreign-program.ts'
import { prefix, startWebHdfs } from '../support/webhdfs.ts'

const curl = { command: 'curl', probe: ['--version'], install: 'apt-get install curl' }
const python = process.env['HDFS_NATIVE_PYTHON'] ?? 'python3'
const packages = ['hdfs', 'fsspec', 'requests', 'pandas', 'pyarrow']
const pythonClients = {
  command: python,
  probe: ['-c', `import ${packages.join(', ')}`],
  install: `pip install ${packages.join(' ')} (HDFS_NATIVE_PYTHON names the interpreter)`,
}

/** Where the gateway sends data. */
const places = ['gateway', 'datanode'] as const

for (const redirect of places) {
  t.test(`curl, with and without -L, data at the ${redirect}`, { skip: skipWithout(curl) }, (t) =>
    testCurl(t, redirect),
  )
}

async function testCurl(t: Test, redirect: (typeof places)[number]): Promise<void> {
  const { gateway, user, client } = await startWebHdfs(t, { datanodes: 3 }, { redirect })
  const local = t.testdir({ small: 'small', more: ', and more' })
  const large = join(local, 'large')
  await writeRandomFile(large, 9 * 2 ** 20 + 7)
  const base = `http://127.0.0.1:${gateway.port}${prefix}`
  const ask = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await run('curl', ['-sS', '--fail-with-body', ...args])
    t.equal(status, 0, `curl ${args.join(' ')}\n${stderr}`)
    return stdout
  }
  await ask('-L', '-T', large, `${base}/c/large?op=CREATE&${user}`)
  t.ok((await client.readFile('/c/large')).equals(readFileSync(large)), '-L -T FILE')
  // Standard input cannot be sent twice: it must be asked for only by the second step.
  const piped = `cat "$1" | curl -sS --fail-with-body -L -T - "$2"`
  const target = `${base}/c/piped?op=CREATE&${user}`
  t.equal((await run('bash', ['-c', piped, 'bash', large, target])).status, 0)
  t.ok((await client.readFile('/c/piped')).equals(readFileSync(large)), '-L -T -, chunked')
  const where = ['-o', '/dev/null', '-w', '%{redirect_url}']
  const data = await ask('-X', 'PUT', ...where, `${base}/c/small?op=CREATE&${user}`)
  t.match(data, redirect === 'gateway' ? /data=true/ : /namenoderpcaddress=/)
  await ask('-T', join(local, 'small'), data)
  const more = await ask('-X', 'POST', ...where, `${base}/c/small?op=APPEND&${user}`)
  await ask('-X', 'POST', '-H', 'Transfer-Encoding: chunked', '-T', join(local, 'more'), more)
  t.equal(await ask('-L', `${base}/c/small?op=OPEN&${user}`), 'small, and more')
  const back = join(local, 'back')
  await ask('-L', '-o', back, `${base}/c/large?op=OPEN&${user}`)
  t.ok(readFileSync(back).equals(readFileSync(large)))
  const range = await ask('-L', '-r', '0-4', `${base}/c/small?op=OPEN&${user}`)
  t.equal(range, 'small')
  t.match(await ask('-L', '-I', `${base}/c/large?op=OPEN&${user}`), /content-length: 9437191/i)
}

const hdfsCli = `
import sys
from hdfs import InsecureClient
from hdfs.util import HdfsError
url, user, local = sys.argv[1:]
client = InsecureClient(url, user=user, root='/cli')
client.makedirs('deep/er', permission='755')
client.write('hello.txt', data='hello, world\\n', encoding='utf-8')
client.write('hello.txt', data='again\\n', encoding='utf-8', append=True)
with client.read('hello.txt', encoding='utf-8') as reader:
    assert reader.read() == 'hello, world\\nagain\\n'
with client.write('streamed', blocksize=1048576, replication=2) as writer:
    for index in range(3000):
        writer.write(b'%06d' % index * 100)
with client.read('streamed', offset=600, length=6) as reader:
    assert reader.read() == b'000001'
status = client.status('streamed')
assert (status['length'], status['blockSize'], status['replication']) == (1800000, 1048576, 2), status
assert client.content('/cli')['fileCount'] == 2
assert client.checksum('streamed')['algorithm'].endswith('CRC32C')
client.upload('deep', local, n_threads=2)
assert sorted(client.list('deep')) == ['er', 'tree'], client.list('deep')
names = [path for path, _, files in client.walk('/cli') for name in files]
assert len(names) == 5, names
client.download('deep/tree', local + '-back', n_threads=2)
client.rename('hello.txt', 'deep/er/moved')
client.set_permission('deep/er/moved', '600')
client.set_times('deep/er/moved', modification_time=1000)
client.set_replication('deep/er/moved', 1)
assert client.status('deep/er/moved')['permission'] == '600'
assert client.status('no such', strict=False) is None
try:
    client.write('deep/er/moved', data='x')
    raise AssertionError('an existing file was replaced')
except HdfsError as error:
    assert 'already exists' in str(error), error
try:
    client.delete('deep')
    raise AssertionError('a full directory was deleted')
except HdfsError as error:
    assert error.exception == 'PathIsNotEmptyDirectoryException', error.exception
assert client.delete('deep', recursive=True) is True
assert client.delete('deep', recursive=True) is False
print('fine')
`

const fsspecAndPandas = `
import sys
import fsspec
import pandas
port, user = int(sys.argv[1]), sys.argv[2]
fs = fsspec.filesystem('webhdfs', host='127.0.0.1', port=port, user=user)
fs.makedirs('/spec/one', exist_ok=True)
body = bytes(range(256)) * 40000
with fs.open('/spec/one/body', 'wb') as target:
    target.write(body)
with fs.open('/spec/one/body', 'rb', block_size=65536) as source:
    source.seek(5_000_000)
    assert source.read(1000) == body[5_000_000:5_001_000]
    source.seek(-10, 2)
    assert source.read() == body[-10:]
assert fs.cat_file('/spec/one/body') == body
assert fs.info('/spec/one/body')['size'] == len(body)
assert fs.isdir('/spec/one') and not fs.exists('/spec/none')
fs.mv('/spec/one/body', '/spec/moved')
fs.chmod('/spec/moved', '640')
fs.set_replication('/spec/moved', 2)
assert fs.content_summary('/spec')['fileCount'] == 1
assert fs.ukey('/spec/moved')['algorithm'].endswith('CRC32C')
assert [entry['name'] for entry in fs.ls('/spec', detail=True)] == ['/spec/moved', '/spec/one']
assert fs.find('/spec') == ['/spec/moved']
assert fs.home_directory() == '/user/' + user
frame = pandas.DataFrame({'number': range(200000), 'text': ['grüße %d' % n for n in range(200000)]})
at = 'webhdfs://%s@127.0.0.1:%d/spec/' % (user, port)
frame.to_parquet(at + 'frame.parquet', row_group_size=20000)
frame.to_csv(at + 'frame.csv', index=False)
pandas.testing.assert_frame_equal(pandas.read_parquet(at + 'frame.parquet'), frame)
part = pandas.read_parquet(at + 'frame.parquet', columns=['number'], filters=[('number', '>', 190000)])
assert len(part) == 9999, len(part)
pandas.testing.assert_frame_equal(pandas.read_csv(at + 'frame.csv'), frame)
fs.rm('/spec', recursive=True)
fs.invalidate_cache()
assert not fs.exists('/spec')
print('fine')
`

for (const redirect of places) {
  const options = { skip: skipWithout(pythonClients) }
  t.test(`Python's clients, data at the ${redirect}`, options, (t) => testPython(t, redirect))
}

async function testPython(t: Test, redirect: (typeof places)[number]): Promise<void> {
  const world = await startWebHdfs(t, { datanodes: 3 }, { redirect })
  const { client, cluster, gateway } = world
  const url = `http://127.0.0.1:${gateway.port}`

  await t.test('HdfsCLI', async (t) => {
    const local = t.testdir({ tree: { a: 'a', b: { c: 'c', 'grüße 文件': 'd' } } })
    await client.mkdir('/cli')
    const args = [url, cluster.user, join(local, 'tree')]
    const { status, stdout, stderr } = await run(python, ['-c', hdfsCli, ...args])
    t.equal(status, 0, stderr.slice(-2000))
    t.match(stdout, /fine/)
    t.equal(readFileSync(join(local, 'tree-back/b/grüße 文件'), 'utf8'), 'd')
    t.equal(await client.exists('/cli/deep'), false)
  })

  await t.test('fsspec and pandas', async (t) => {
    const args = [String(gateway.port), cluster.user]
    const { status, stdout, stderr } = await run(python, ['-c', fsspecAndPandas, ...args])
    t.equal(status, 0, stderr.slice(-2000))
    t.match(stdout, /fine/)
  })
}
