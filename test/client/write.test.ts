import { once } from 'node:events'
import t from 'tap'
import type { DfsFsError } from '../../client/index.ts'
import { DfsError } from '../../protocol/errors.ts'
import { pattern, startSdk } from '../support/sdk.ts'

const kibibyte = 1024
const mebibyte = 1024 * kibibyte
const packet = 64 * kibibyte

t.test('writeFile() stores the same bytes on every datanode, block by block', async (t) => {
  const { cluster, client } = await startSdk(t)
  const content = pattern(2 * mebibyte + 12_345)
  await client.writeFile('/f', content)
  for (const index of [0, 1, 2]) t.ok(cluster.contentAt('/f', index).equals(content))
  t.same(
    cluster.files.get('/f')?.blocks.map(({ block }) => block.numBytes),
    [mebibyte, mebibyte, 12_345],
  )
  t.equal(cluster.files.get('/f')?.holder, undefined, 'the lease is given back')
  t.ok(
    cluster.nodesOf('/f').every((node) => [...node.replicas.values()].every((r) => r.isFinalized)),
  )
})

t.test('writeFile() of nothing needs no block, of a small file one pipeline', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/empty', '')
  t.equal(cluster.countOf('addBlock'), 0)
  await client.writeFile('/small', 'hello')
  t.equal(cluster.countOf('addBlock'), 1)
  t.equal(cluster.contentAt('/small', 2).toString(), 'hello')
  t.same(cluster.calls, [
    'getServerDefaults',
    'create',
    'complete',
    'create',
    'addBlock',
    'complete',
  ])
})

t.test('writeFile() takes strings in any encoding, iterables and streams', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/latin', 'é', 'latin1')
  t.same([...cluster.contentAt('/latin', 0)], [0xe9])
  const reused = Buffer.alloc(100_000)
  async function* chunks(): AsyncGenerator<Buffer> {
    for (let index = 0; index < 30; index += 1) yield await Promise.resolve(reused.fill(index))
  }
  await client.writeFile('/chunks', chunks())
  const content = cluster.contentAt('/chunks', 1)
  t.equal(content.length, 3_000_000)
  t.ok(content.every((byte, index) => byte === Math.floor(index / 100_000)))
})

t.test('a first datanode that is down is left out and the block written elsewhere', async (t) => {
  const { cluster, client } = await startSdk(t, 4)
  cluster.datanodes[0]?.die()
  await client.writeFile('/f', pattern(300_000))
  t.equal(cluster.countOf('abandonBlock'), 1)
  t.equal(cluster.countOf('addBlock'), 2)
  t.same(
    cluster.nodesOf('/f').map(({ uuid }) => uuid),
    ['dn-1', 'dn-2', 'dn-3'],
  )
  t.ok(cluster.contentAt('/f', 2).equals(pattern(300_000)))
})

t.test('a set-up that is refused with firstBadLink leaves that node out', async (t) => {
  const { cluster, client } = await startSdk(t, 4)
  const first = cluster.datanodes[0]
  if (first) first.faults.refuseSetup = 1
  await client.writeFile('/f', pattern(100_000))
  t.same(
    cluster.nodesOf('/f').map(({ uuid }) => uuid),
    ['dn-0', 'dn-2', 'dn-3'].map((uuid) => uuid),
  )
})

t.test(
  'a datanode that dies in the middle of a block is dropped and the rest goes on',
  async (t) => {
    const { cluster, client } = await startSdk(t)
    const content = pattern(mebibyte)
    const stream = client.createWriteStream('/f')
    stream.write(content.subarray(0, 5 * packet))
    await stream.hflush()
    const first = cluster.datanodes[0]
    if (first) first.faults.dieAfterPackets = 7
    stream.end(content.subarray(5 * packet))
    await once(stream, 'close')
    t.same(
      cluster.nodesOf('/f').map(({ uuid }) => uuid),
      ['dn-1', 'dn-2'],
    )
    for (const index of [0, 1]) t.ok(cluster.contentAt('/f', index).equals(content))
    t.equal(cluster.countOf('updateBlockForPipeline'), 1)
    t.equal(cluster.countOf('updatePipeline'), 1)
    t.match(cluster.datanodes[1]?.operations.join(), /PIPELINE_SETUP_STREAMING_RECOVERY \d+ x2/)
    const replica = [...(cluster.datanodes[1]?.replicas.values() ?? [])][0]
    t.equal(replica?.generationStamp, cluster.files.get('/f')?.blocks[0]?.block.generationStamp)
  },
)

t.test('a bad status in an acknowledgement drops the node it belongs to', async (t) => {
  const { cluster, client } = await startSdk(t)
  const first = cluster.datanodes[0]
  if (first) first.faults.badAck = { seqno: 6, index: 2 }
  await client.writeFile('/f', pattern(12 * packet))
  t.same(
    cluster.nodesOf('/f').map(({ uuid }) => uuid),
    ['dn-0', 'dn-1'],
  )
  t.ok(cluster.contentAt('/f', 1).equals(pattern(12 * packet)))
})

t.test('a datanode that dies with only the close missing makes the others finalize', async (t) => {
  const { cluster, client } = await startSdk(t)
  const first = cluster.datanodes[0]
  if (first) first.faults.dieAfterPackets = 2
  await client.writeFile('/f', pattern(2 * packet))
  t.match(cluster.datanodes[1]?.operations.join(), /PIPELINE_CLOSE_RECOVERY/)
  t.equal(cluster.files.get('/f')?.blocks[0]?.block.numBytes, 2 * packet)
  t.equal(cluster.files.get('/f')?.holder, undefined)
})

t.test('a second failure during recovery is survived as well', async (t) => {
  const { cluster, client } = await startSdk(t)
  const stream = client.createWriteStream('/f')
  stream.write(pattern(packet))
  await stream.hflush()
  cluster.datanodes[1]?.die()
  cluster.datanodes[0]?.die()
  stream.end(pattern(packet))
  await once(stream, 'close')
  t.same(
    cluster.nodesOf('/f').map(({ uuid }) => uuid),
    ['dn-2'],
  )
  t.equal(cluster.countOf('updateBlockForPipeline'), 2)
  t.equal(cluster.contentAt('/f', 0).length, 2 * packet)
})

t.test('a write fails with the reason when no datanode of acknowledged data is left', async (t) => {
  const { cluster, client } = await startSdk(t, 1)
  const stream = client.createWriteStream('/f')
  stream.write(pattern(packet))
  await stream.hflush()
  cluster.datanodes[0]?.die()
  stream.write(pattern(packet))
  const closed = once(stream, 'close').catch(() => undefined)
  const failed = await once(stream, 'error').then(([error]) => error as DfsFsError)
  t.match(failed, { code: 'EIO', dfsCode: 'IO_ERROR', path: '/f' })
  t.match(failed.message, /no datanode of its pipeline is left \(last pipeline: 127\.0\.0\.1:\d+\)/)
  await closed
  t.equal(cluster.countOf('recoverLease'), 1, 'flushed bytes stay, the lease does not')
})

t.test('addBlock is asked again when every datanode was excluded', async (t) => {
  const { cluster, client } = await startSdk(t, 1)
  const only = cluster.datanodes[0]
  if (only) only.faults.refuseSetup = 0
  await client.writeFile('/f', 'late')
  t.equal(cluster.contentAt('/f', 0).toString(), 'late')
})

t.test('complete() is repeated until the namenode has its reports', async (t) => {
  const { cluster, client } = await startSdk(t)
  cluster.completeRefusals = 3
  await client.writeFile('/f', 'x')
  t.equal(cluster.countOf('complete'), 4)
})

t.test('hflush() and hsync() make bytes readable, in the middle of chunks too', async (t) => {
  const { cluster, client } = await startSdk(t)
  const stream = client.createWriteStream('/f')
  const content = pattern(3_000)
  let written = 0
  for (const length of [100, 1, 411, 512, 700]) {
    stream.write(content.subarray(written, written + length))
    written += length
    await (length === 411 ? stream.hsync() : stream.hflush())
    t.ok((await client.readFile('/f')).equals(content.subarray(0, written)), `${written} bytes`)
  }
  await stream.hsync()
  stream.end(content.subarray(written))
  await once(stream, 'close')
  t.ok(cluster.contentAt('/f', 0).equals(content))
  t.equal(cluster.countOf('fsync'), 1, 'the namenode learns of a block being read once')
})

t.test(
  'a stream holds a bounded number of packets when the datanodes do not acknowledge',
  async (t) => {
    const { cluster, client } = await startSdk(t)
    let open: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    for (const { faults } of cluster.datanodes) faults.holdAcks = gate
    const stream = client.createWriteStream('/f', { blockSize: 64 * mebibyte })
    const content = pattern(mebibyte)
    for (let written = 0; written < 32; written += 1) stream.write(content)
    await new Promise((resolve) => setTimeout(resolve, 200))
    t.ok(stream.bytesWritten <= 80 * packet, `${stream.bytesWritten} bytes are under way`)
    t.ok(stream.writableNeedDrain, 'the producer is told to wait')
    open()
    await once(stream, 'drain')
    stream.end()
    await once(stream, 'close')
    t.equal(cluster.contentAt('/f', 0).length, 32 * mebibyte)
  },
)

t.test('aborting writeFile() leaves no file, no lease and no renewals', async (t) => {
  const { cluster, client } = await startSdk(t)
  for (const { faults } of cluster.datanodes) faults.holdAcks = new Promise(() => undefined)
  const controller = new AbortController()
  const writing = client.writeFile('/f', pattern(mebibyte), { signal: controller.signal })
  await until(() => (cluster.datanodes[0]?.operations.length ?? 0) > 0)
  controller.abort()
  await t.rejects(writing, { name: 'AbortError', code: 'ECANCELED' })
  await until(() => !cluster.files.has('/f'))
  t.equal(cluster.countOf('delete'), 1)
})

t.test('aborting while the file is being created gives it back', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.serverDefaults()
  let answer: () => void = () => undefined
  cluster.holdCreate = new Promise((resolve) => {
    answer = resolve
  })
  const controller = new AbortController()
  const writing = client.writeFile('/f', 'x', { signal: controller.signal })
  await until(() => cluster.countOf('create') === 1)
  controller.abort()
  await t.rejects(writing, { name: 'AbortError' })
  answer()
  await until(() => cluster.countOf('delete') === 1)
  t.notOk(cluster.files.has('/f'))
  const { signal } = controller
  await t.rejects(client.writeFile('/g', 'x', { signal }), { name: 'AbortError' })
  t.equal(cluster.countOf('create'), 1, 'nothing is asked for an operation aborted before')
})

t.test('a stream that is destroyed deletes its file, but not one that replaced it', async (t) => {
  const { cluster, client } = await startSdk(t)
  const first = client.createWriteStream('/f')
  first.write('x')
  await until(() => cluster.files.has('/f'))
  await client.writeFile('/f', 'other')
  first.on('error', () => undefined)
  first.destroy(new Error('enough'))
  await new Promise((resolve) => first.once('close', resolve))
  t.ok(cluster.files.has('/f'))
  const second = client.createWriteStream('/g')
  await until(() => cluster.files.has('/g'))
  second.destroy()
  await once(second, 'close')
  t.notOk(cluster.files.has('/g'))
})

t.test('a stream that is destroyed keeps a file that another client has recovered', async (t) => {
  const { cluster, client } = await startSdk(t)
  const stream = client.createWriteStream('/f')
  stream.write('x')
  await until(() => cluster.files.has('/f'))
  const file = cluster.files.get('/f')
  if (file === undefined) throw new Error('no file')
  file.holder = 'another'
  stream.destroy()
  await once(stream, 'close')
  t.equal(cluster.files.get('/f'), file)
  t.equal(cluster.countOf('delete'), 0)
})

t.test('errors of create reach the stream with code, path and DFS code', async (t) => {
  const { client } = await startSdk(t)
  await client.writeFile('/f', 'x')
  await t.rejects(client.writeFile('/f', 'y', { overwrite: false }), {
    name: 'DfsFsError',
    code: 'EEXIST',
    dfsCode: 'FILE_EXISTS',
    path: '/f',
  })
  const stream = client.createWriteStream('/f', { overwrite: false })
  const [error] = (await once(stream, 'error')) as [DfsFsError]
  t.equal(error.code, 'EEXIST')
  await t.rejects(client.writeFile('/g', 'x', { blockSize: mebibyte + 1 }), { code: 'EINVAL' })
})

t.test('a lost lease ends the write with LEASE_EXPIRED', async (t) => {
  const { cluster, client } = await startSdk(t)
  cluster.failNext('complete', new DfsError('LEASE_EXPIRED', 'Lease mismatch on /f'))
  await t.rejects(client.writeFile('/f', 'x'), { code: 'EIO', message: /Lease mismatch/ })
})

t.test('writable() closes when the file is durable', async (t) => {
  const { cluster, client } = await startSdk(t)
  const writer = client.writable('/f').getWriter()
  await writer.write(pattern(100_000))
  await writer.close()
  t.equal(cluster.files.get('/f')?.holder, undefined)
  t.ok(cluster.contentAt('/f', 0).equals(pattern(100_000)))
})

t.test(
  'a datanode lost after a flush is replaced, with a copy of what was acknowledged',
  async (t) => {
    const { cluster, client } = await startSdk(t, 4)
    const content = pattern(mebibyte)
    const stream = client.createWriteStream('/f')
    stream.write(content.subarray(0, 5 * packet))
    await stream.hflush()
    cluster.datanodes[0]?.die()
    stream.end(content.subarray(5 * packet))
    await once(stream, 'close')
    t.same(
      cluster.nodesOf('/f').map(({ uuid }) => uuid),
      ['dn-1', 'dn-3', 'dn-2'],
      'in the order that the namenode gave',
    )
    for (const index of [0, 1, 2]) t.ok(cluster.contentAt('/f', index).equals(content))
    t.match(
      cluster.datanodes[1]?.operations.join(),
      /TRANSFER \d+ to dn-3,PIPELINE_SETUP_STREAMING/,
    )
  },
)

t.test('without a flush two of three datanodes are enough, one is not', async (t) => {
  const { cluster, client } = await startSdk(t, 5)
  const [first, second] = cluster.datanodes
  if (first) first.faults.dieAfterPackets = 3
  await client.writeFile('/two', pattern(6 * packet))
  t.equal(cluster.countOf('getAdditionalDatanode'), 0)
  if (second) second.faults.dieAfterPackets = 3
  const third = cluster.datanodes[2]
  if (third) third.faults.dieAfterPackets = 1
  await client.writeFile('/one', pattern(6 * packet))
  t.ok(cluster.contentAt('/one', 0).equals(pattern(6 * packet)))
})

t.test('a source that cannot send the copy is passed over for another', async (t) => {
  const { cluster, client } = await startSdk(t, 4)
  const stream = client.createWriteStream('/f')
  stream.write(pattern(packet))
  await stream.hflush()
  const second = cluster.datanodes[1]
  if (second) second.faults.refuseTransfer = true
  cluster.datanodes[0]?.die()
  stream.end(pattern(packet))
  await once(stream, 'close')
  t.match(cluster.datanodes[2]?.operations.join(), /TRANSFER \d+ to dn-3/)
  t.equal(cluster.nodesOf('/f').length, 3)
})

t.test(
  'nobody to replace a datanode with: best effort goes on, else the write fails',
  async (t) => {
    const flushed = async (settings: Record<string, boolean | string>): Promise<unknown> => {
      const { cluster, client } = await startSdk(t, 3, { settings })
      const stream = client.createWriteStream('/f')
      stream.write(pattern(packet))
      await stream.hflush()
      cluster.datanodes[0]?.die()
      stream.end(pattern(packet))
      return once(stream, 'close').then(
        () => cluster.nodesOf('/f').length,
        (error: unknown) => error,
      )
    }
    const prefix = 'dfs.client.block.write.replace-datanode-on-failure'
    t.equal(await flushed({}), 2)
    t.match(await flushed({ [`${prefix}.best-effort`]: false }), {
      code: 'EIO',
      message:
        /Cannot replace a lost datanode of block \d+: the namenode knows no other \(left: 127/,
    })
    t.equal(await flushed({ [`${prefix}.best-effort`]: false, [`${prefix}.policy`]: 'NEVER' }), 2)
    t.match(await flushed({ [`${prefix}.policy`]: 'SOMETIMES' }), { code: 'EINVAL' })
  },
)

t.test('a datanode that stays slow makes room for another, or stays', async (t) => {
  for (const [count, expected] of [
    [4, ['dn-0', 'dn-3', 'dn-1']],
    [3, ['dn-0', 'dn-1', 'dn-2']],
  ] as const) {
    const { cluster, client } = await startSdk(t, count, {
      settings: { 'dfs.client.mark.slownode.as.badnode.threshold': 1 },
    })
    const first = cluster.datanodes[0]
    if (first) first.faults.slowIndex = 2
    const stream = client.createWriteStream('/f')
    stream.write(pattern(packet))
    await stream.hflush()
    stream.end(pattern(packet))
    await once(stream, 'close')
    t.same(
      cluster.nodesOf('/f').map(({ uuid }) => uuid),
      expected,
      `of ${count} datanodes`,
    )
    t.equal(cluster.countOf('updatePipeline'), 1)
    t.equal(cluster.contentAt('/f', 1).length, 2 * packet)
  }
})

t.test('a pipeline that stayed short grows when a datanode is back', async (t) => {
  const { cluster, client } = await startSdk(t, 3, {
    settings: { 'dfs.client.socket-timeout': 400 },
  })
  const lost = cluster.datanodes[2]
  const handle = await client.open('/f', 'w')
  await handle.appendFile('one ')
  await handle.flush()
  if (lost) lost.isAlive = false
  const first = cluster.datanodes[0]
  if (first) first.faults.badAck = { seqno: 1, index: 2 }
  await handle.appendFile('two ')
  await handle.flush()
  t.equal(cluster.nodesOf('/f').length, 2)
  if (lost) lost.isAlive = true
  await until(() => cluster.nodesOf('/f').length === 3)
  await handle.appendFile('three')
  await handle.close()
  for (const index of [0, 1, 2]) t.equal(cluster.contentAt('/f', index).toString(), 'one two three')
})

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5))
}
