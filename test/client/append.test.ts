import { once } from 'node:events'
import t from 'tap'
import { DfsError } from '../../protocol/errors.ts'
import { pattern, startSdk } from '../support/sdk.ts'

const mebibyte = 1024 * 1024
const packet = 64 * 1024

t.test('appendFile() goes on in the middle of a chunk, on every datanode', async (t) => {
  const { cluster, client } = await startSdk(t)
  const content = pattern(200_000)
  await client.writeFile('/f', content.subarray(0, 4027))
  const stamp = cluster.files.get('/f')?.blocks[0]?.block.generationStamp ?? 0
  await client.appendFile('/f', content.subarray(4027))
  for (const index of [0, 1, 2]) t.ok(cluster.contentAt('/f', index).equals(content))
  t.match(cluster.datanodes[0]?.operations.join(), /PIPELINE_SETUP_APPEND \d+ x3/)
  t.equal(cluster.countOf('addBlock'), 1)
  t.same(cluster.calls.slice(-4), [
    'append',
    'updateBlockForPipeline',
    'updatePipeline',
    'complete',
  ])
  const after = cluster.files.get('/f')?.blocks[0]?.block
  t.equal(after?.numBytes, 200_000)
  t.ok((after?.generationStamp ?? 0) > stamp, 'replicas that missed the append are stale')
  t.equal(cluster.files.get('/f')?.holder, undefined)
})

t.test('appendFile() makes what does not exist, and fills files that are empty', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.appendFile('/new', 'one')
  await client.appendFile('/new', ' two')
  t.equal(cluster.contentAt('/new', 1).toString(), 'one two')
  await client.writeFile('/empty', '')
  await client.appendFile('/empty', 'filled')
  t.equal(cluster.contentAt('/empty', 0).toString(), 'filled')
})

t.test('an append behind a full block, or told to, begins a new one', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/full', pattern(mebibyte))
  await client.appendFile('/full', 'x')
  t.same(
    cluster.files.get('/full')?.blocks.map(({ block }) => block.numBytes),
    [mebibyte, 1],
  )
  await client.writeFile('/part', 'abc')
  await client.appendFile('/part', 'def', { newBlock: true })
  t.same(
    cluster.files.get('/part')?.blocks.map(({ block }) => block.numBytes),
    [3, 3],
  )
  t.equal(cluster.contentAt('/part', 2).toString(), 'abcdef')
})

t.test('an append that fills its block goes on in the next', async (t) => {
  const { cluster, client } = await startSdk(t)
  const content = pattern(2 * mebibyte + 77)
  await client.writeFile('/f', content.subarray(0, mebibyte - 100_001))
  await client.appendFile('/f', content.subarray(mebibyte - 100_001))
  t.ok(cluster.contentAt('/f', 0).equals(content))
  t.equal(cluster.files.get('/f')?.blocks.length, 3)
})

t.test(
  'open(a) writes, flushes and syncs in the chunk that it began in and behind it',
  async (t) => {
    const { cluster, client } = await startSdk(t)
    const content = pattern(9_000)
    await client.writeFile('/f', content.subarray(0, 700))
    const handle = await client.open('/f', 'a')
    t.equal(handle.size, 700)
    let written = 700
    for (const length of [5, 100, 219, 1, 511, 3000]) {
      await handle.write(content, written, length)
      written += length
      await (length === 219 ? handle.sync() : handle.flush())
      t.equal(handle.size, written)
      t.ok((await client.readFile('/f')).equals(content.subarray(0, written)), `${written} bytes`)
    }
    await handle.write(content.subarray(written))
    await handle.close()
    for (const index of [0, 1, 2]) t.ok(cluster.contentAt('/f', index).equals(content))
    t.equal(cluster.countOf('fsync'), 1)
  },
)

t.test('sync() has the namenode note the length when asked to', async (t) => {
  const { cluster, client } = await startSdk(t)
  const handle = await client.open('/f', 'wx')
  await handle.appendFile('one')
  await handle.sync({ updateLength: true })
  await handle.appendFile('two')
  await handle.sync()
  t.equal((await handle.stat()).size, 3)
  await handle.sync({ updateLength: true })
  t.equal((await handle.stat()).size, 6)
  await handle.datasync()
  await handle.close()
  t.equal(cluster.countOf('fsync'), 2)
  const stream = client.createWriteStream('/f', { flags: 'a' })
  stream.write('!')
  await stream.sync({ updateLength: true })
  t.equal((await client.stat('/f')).size, 7)
  stream.end('?')
  await once(stream, 'close')
  t.equal(await client.readFile('/f', 'utf8'), 'onetwo!?')
})

t.test(
  'a write handle keeps the order of calls that overlap, and writes only at the end',
  async (t) => {
    const { client } = await startSdk(t)
    const handle = await client.open('/f', 'w')
    const results = await Promise.all([
      handle.write('eins '),
      handle.write(Buffer.from('-zwei-'), 1, 4),
      handle.write(' drei', 9, 'latin1'),
    ])
    t.same(
      results.map(({ bytesWritten }) => bytesWritten),
      [5, 4, 5],
    )
    await t.rejects(handle.write('x', 3), { code: 'ENOTSUP', message: /at their end, which is 14/ })
    await t.rejects(handle.write(Buffer.from('x'), 0, 2), { code: 'EINVAL' })
    await handle.close()
    await handle.close()
    await t.rejects(handle.write('x'), { code: 'EINVAL', message: /closed/ })
    t.equal(await client.readFile('/f', 'utf8'), 'eins zwei drei')
    await t.rejects(client.open('/f', 'wx'), { code: 'EEXIST' })
    await t.rejects(client.open('/f', 'r+' as 'r'), {
      code: 'EINVAL',
      message: /need w, wx, a, ax/,
    })
  },
)

t.test('a file that somebody writes cannot be appended to', async (t) => {
  const { client } = await startSdk(t)
  const stream = client.createWriteStream('/f')
  stream.write('x')
  await stream.flush()
  await t.rejects(client.appendFile('/f', 'y'), { code: 'EBUSY', dfsCode: 'ALREADY_BEING_CREATED' })
  stream.end()
  await once(stream, 'close')
})

t.test('an append that is given up keeps the file and hands it to lease recovery', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/f', 'kept')
  const stream = client.createWriteStream('/f', { flags: 'a' })
  stream.write('lost')
  await until(() => cluster.countOf('append') === 1)
  stream.on('error', () => undefined)
  stream.destroy()
  await once(stream, 'close')
  t.ok(cluster.files.has('/f'))
  t.equal(cluster.countOf('delete'), 0)
  t.equal(cluster.countOf('recoverLease'), 1)
})

t.test('a datanode that does not join an append is replaced before anything is sent', async (t) => {
  const { cluster, client } = await startSdk(t, 4)
  const content = pattern(3 * packet)
  await client.writeFile('/f', content.subarray(0, 1000))
  const first = cluster.datanodes[0]
  if (first) first.faults.refuseSetup = 1
  await client.appendFile('/f', content.subarray(1000))
  const operations = cluster.datanodes.map(({ operations: list }) => list.join())
  t.match(operations[0], /SETUP_APPEND \d+ x3,TRANSFER \d+ to dn-3,PIPELINE_SETUP_APPEND_RECOVERY/)
  t.same(
    cluster.nodesOf('/f').map(({ uuid }) => uuid),
    ['dn-0', 'dn-3', 'dn-2'],
  )
  for (const index of [0, 1, 2]) t.ok(cluster.contentAt('/f', index).equals(content))
})

t.test('a datanode that dies during an append is replaced, whatever was flushed', async (t) => {
  const { cluster, client } = await startSdk(t, 4)
  const content = pattern(12 * packet)
  await client.writeFile('/f', content.subarray(0, 1000))
  const first = cluster.datanodes[0]
  if (first) first.faults.dieAfterPackets = 4
  await client.appendFile('/f', content.subarray(1000))
  t.match(cluster.datanodes[1]?.operations.join(), /TRANSFER \d+ to dn-3,PIPELINE_SETUP_STREAMING/)
  for (const index of [0, 1, 2]) t.ok(cluster.contentAt('/f', index).equals(content))
})

t.test('truncate() waits until the file is closed, unless told not to', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/f', pattern(2 * mebibyte))
  t.equal(await client.truncate('/f', mebibyte), true)
  t.equal(cluster.countOf('isFileClosed'), 0, 'a whole number of blocks needs no recovery')
  cluster.closesAfter = 2
  t.equal(await client.truncate('/f', 1000), true)
  t.equal(cluster.countOf('isFileClosed'), 3)
  t.ok((await client.readFile('/f')).equals(pattern(1000)))
  t.equal(await client.truncate('/f', 999, { wait: false }), false)
  await t.rejects(client.truncate('/f', 5000), { code: 'EINVAL' })
  await t.rejects(client.truncate('/nope'), { code: 'ENOENT' })
})

t.test('concat() moves blocks, recoverLease() and isFileClosed() answer', async (t) => {
  const { cluster, client } = await startSdk(t)
  for (const name of ['a', 'b', 'c']) await client.writeFile(`/${name}`, name)
  await client.concat('/a', ['/b', '/c'])
  t.equal(await client.readFile('/a', 'utf8'), 'abc')
  t.notOk(await client.exists('/b'))
  cluster.failNext('concat', new DfsError('INVALID_ARGUMENT', 'concat: the src file is empty'))
  await t.rejects(client.concat('/a', ['/x']), { code: 'EINVAL', path: '/a' })
  const file = cluster.files.get('/a')
  if (file) file.holder = 'gone'
  cluster.closesAfter = 2
  t.equal(await client.recoverLease('/a'), false)
  t.equal(await client.isFileClosed('/a'), false)
  t.equal(await client.recoverLease('/a', { wait: true }), true)
  t.equal(await client.isFileClosed('/a'), true)
  await t.rejects(client.recoverLease('/nope'), { code: 'ENOENT' })
})

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5))
}
