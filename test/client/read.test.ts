import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { pattern, startSdk } from '../support/sdk.ts'

const mebibyte = 1024 * 1024
const content = pattern(2 * mebibyte + 700)

t.test('readFile() and streams return every range exactly', async (t) => {
  const { client } = await startSdk(t)
  await client.writeFile('/f', content)
  t.ok((await client.readFile('/f')).equals(content))
  const ranges = [
    [0, 0],
    [511, 512],
    [65_535, 65_536],
    [mebibyte - 1, mebibyte],
    [1_000, 2 * mebibyte + 650],
    [2 * mebibyte + 699, 5 * mebibyte],
  ] as const
  for (const [start, end] of ranges) {
    const wanted = content.subarray(start, end + 1)
    t.ok((await client.readFile('/f', { start, end })).equals(wanted), `file ${start}–${end}`)
    const chunks: Buffer[] = []
    for await (const chunk of client.createReadStream('/f', { start, end })) {
      chunks.push(chunk as Buffer)
    }
    t.ok(Buffer.concat(chunks).equals(wanted), `stream ${start}–${end}`)
  }
  t.equal((await client.readFile('/f', { start: 9 * mebibyte })).length, 0)
  await client.writeFile('/text', 'grün')
  t.equal(await client.readFile('/text', 'utf8'), 'grün')
})

t.test('reads of one block at a time share a kept-alive connection', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/f', 'hello')
  const first = cluster.datanodes[0]
  const before = first?.connectionsAccepted ?? 0
  for (let index = 0; index < 10; index += 1) await client.readFile('/f')
  t.equal(first?.connectionsAccepted, before + 1)
  await until(() => first?.statuses.length === 10)
  t.ok(first?.statuses.every((status) => status === 'CHECKSUM_OK'))
})

t.test('open() reads at positions, in parallel and with a cursor', async (t) => {
  const { client } = await startSdk(t)
  await client.writeFile('/f', content)
  const handle = await client.open('/f')
  t.equal(handle.size, content.length)
  const starts = [0, 1, 700, 65_000, mebibyte - 10, 2 * mebibyte]
  const parts = await Promise.all(
    starts.map((start) => handle.read(Buffer.alloc(70_000), 0, 70_000, start)),
  )
  for (const [index, { bytesRead, buffer }] of parts.entries()) {
    const start = starts[index] ?? 0
    t.ok(buffer.subarray(0, bytesRead).equals(content.subarray(start, start + 70_000)))
  }
  const target = Buffer.alloc(10)
  t.equal((await handle.read(target, 2, 5)).bytesRead, 5)
  t.equal((await handle.read(target, 7, 3)).bytesRead, 3)
  t.ok(target.subarray(2).equals(content.subarray(0, 8)))
  t.equal((await handle.read(target, 0, 10, content.length)).bytesRead, 0)
  await t.rejects(handle.read(target, 8, 5), { code: 'EINVAL' })
  t.equal((await handle.stat()).size, content.length)
  const streamed: Buffer[] = []
  for await (const chunk of handle.createReadStream({ start: 3, end: 9 })) {
    streamed.push(chunk as Buffer)
  }
  t.ok(Buffer.concat(streamed).equals(content.subarray(3, 10)))
  await handle.close()
  await t.rejects(handle.read(target), { code: 'EINVAL' })
})

t.test('a corrupt replica is never served: the next one is, and it is reported', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/f', content)
  const first = cluster.datanodes[0]
  if (first) first.faults.corruptByte = 300_000
  t.ok((await client.readFile('/f')).equals(content))
  await until(() => cluster.reportedBad.length > 0)
  t.match(cluster.reportedBad[0], {
    corrupt: true,
    locs: [{ id: { datanodeUuid: 'dn-0' } }],
    storageIDs: ['DS-dn-0'],
  })
  const chunks: Buffer[] = []
  for await (const chunk of client.createReadStream('/f')) chunks.push(chunk as Buffer)
  t.ok(Buffer.concat(chunks).equals(content))
})

t.test('a stream goes on from the byte where a datanode cut it off', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/f', content)
  const first = cluster.datanodes[0]
  if (first) first.faults.cutReadAfterBytes = 400_000
  const chunks: Buffer[] = []
  for await (const chunk of client.createReadStream('/f', { start: 77 })) {
    chunks.push(chunk as Buffer)
  }
  t.ok(Buffer.concat(chunks).equals(content.subarray(77)))
  t.match(cluster.datanodes[1]?.operations.at(-1), /READ/)
})

t.test('dead datanodes are passed over, later ones first', async (t) => {
  const { cluster, client } = await startSdk(t)
  await client.writeFile('/f', content)
  cluster.datanodes[0]?.die()
  cluster.datanodes[1]?.die()
  t.ok((await client.readFile('/f')).equals(content))
  t.ok((await client.readFile('/f')).equals(content))
  t.equal(cluster.countOf('getBlockLocations'), 2, 'no new locations were needed')
})

t.test('a connection that the datanode closed meanwhile is replaced without blame', async (t) => {
  const { cluster, client } = await startSdk(t, 1)
  await client.writeFile('/f', 'hello')
  await client.readFile('/f')
  cluster.datanodes[0]?.dropConnections()
  t.equal(await client.readFile('/f', 'utf8'), 'hello')
})

t.test('BLOCK_MISSING names what was tried, after asking for new locations', async (t) => {
  const { cluster, client } = await startSdk(t, 2, {})
  await client.writeFile('/f', 'hello', { replication: 2 })
  for (const { faults } of cluster.datanodes) faults.refuseRead = 'Replica not found for block'
  const before = cluster.countOf('getBlockLocations')
  await t.rejects(client.readFile('/f'), {
    code: 'EIO',
    dfsCode: 'BLOCK_MISSING',
    message: /Cannot read byte 0 of "\/f" from block \d+: tried 127\.0\.0\.1:\d+ \(missing\)/,
  })
  t.ok(cluster.countOf('getBlockLocations') > before + 1)
})

t.test('a reader that waits stops the datanode, and gets the rest when it goes on', async (t) => {
  const { cluster, client } = await startSdk(t, 1)
  const large = pattern(48 * mebibyte)
  await client.writeFile('/f', large, { replication: 1, blockSize: 64 * mebibyte })
  const stream = client.createReadStream('/f', { highWaterMark: mebibyte })
  await once(stream, 'readable')
  await sleep(300)
  const sent = cluster.datanodes[0]?.bytesSent ?? 0
  t.ok(sent < 40 * mebibyte, `${sent} bytes are under way`)
  t.ok(stream.readableLength <= 2 * mebibyte, `${stream.readableLength} bytes are held`)
  let position = 0
  for await (const chunk of stream) {
    const bytes = chunk as Buffer
    if (!bytes.equals(large.subarray(position, position + bytes.length))) break
    position += bytes.length
  }
  t.equal(position, large.length)
})

t.test('aborting and destroying streams ends them at once', async (t) => {
  const { client } = await startSdk(t)
  await client.writeFile('/f', content)
  const controller = new AbortController()
  const aborted = client.createReadStream('/f', { signal: controller.signal })
  await once(aborted, 'readable')
  controller.abort()
  const [error] = (await once(aborted, 'error')) as [Error]
  t.equal(error.name, 'AbortError')
  const destroyed = client.createReadStream('/f')
  await once(destroyed, 'readable')
  destroyed.destroy()
  await once(destroyed, 'close')
  t.ok((await client.readFile('/f')).equals(content), 'the client goes on')
  const { signal } = controller
  await t.rejects(client.readFile('/f', { signal }), { code: 'ECANCELED' })
})

t.test('a file that is being written is readable as far as its datanodes say', async (t) => {
  const { client } = await startSdk(t)
  const stream = client.createWriteStream('/f')
  stream.write(content.subarray(0, mebibyte + 1000))
  await stream.hflush()
  const handle = await client.open('/f')
  t.equal(handle.size, mebibyte + 1000)
  t.ok((await client.readFile('/f')).equals(content.subarray(0, mebibyte + 1000)))
  stream.end()
  await once(stream, 'close')
})

t.test('readable() gives the bytes as a web stream', async (t) => {
  const { client } = await startSdk(t)
  await client.writeFile('/f', content)
  const chunks: Uint8Array[] = []
  for await (const chunk of client.readable('/f')) chunks.push(chunk)
  t.ok(Buffer.concat(chunks).equals(content))
})

t.test('missing files and directories fail with the codes of node:fs', async (t) => {
  const { client } = await startSdk(t)
  await t.rejects(client.readFile('/none'), { code: 'ENOENT', path: '/none' })
  const [error] = (await once(client.createReadStream('/none'), 'error')) as [Error]
  t.match(error, { code: 'ENOENT' })
})

t.test('a file being written is readable while its first datanodes hang or are gone', async (t) => {
  const { cluster, client } = await startSdk(t, 3, {
    settings: { 'dfs.client.socket-timeout': 2000 },
  })
  const handle = await client.open('/open', 'w')
  await handle.appendFile('visible')
  await handle.flush()
  const [hangs, gone, answers] = cluster.datanodes
  if (hangs) hangs.faults.holdVisible = new Promise(() => undefined)
  await gone?.stop()
  t.equal(await client.readableLength('/open'), 7)
  if (answers) answers.faults.holdVisible = new Promise(() => undefined)
  const controller = new AbortController()
  const waiting = client.readableLength('/open', { signal: controller.signal })
  setImmediate(() => controller.abort())
  await t.rejects(waiting, { name: 'AbortError' })
})

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5))
}
