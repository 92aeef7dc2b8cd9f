import { open, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { type LogFields, type Logger, silentLogger } from '../../../base/log.ts'
import { finalizedDirectory, metaFileName } from '../../../datanode/format/block-file.ts'
import { decodeMetaHeader, metaHeader } from '../../../datanode/format/block-meta.ts'
import { transferReplica } from '../../../datanode/shell/replica-transfer.ts'
import { encodeOperation, opcodes } from '../../../protocol/data-transfer.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { opCopyBlock } from '../../../protocol/messages/data-transfer.ts'
import { ackStatuses } from '../../../protocol/pipeline-ack.ts'
import {
  chunkChecksums,
  DataConnection,
  type DataServer,
  datanodeInfoAt,
  javaRandomBytes,
  patternBytes,
  startDataServer,
  testPool,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'

/** Starts `count` datanodes that are closed with the test. */
async function startDatanodes(t: Tap, count: number): Promise<DataServer[]> {
  const directory = t.testdir()
  const servers: DataServer[] = []
  for (let index = 0; index < count; index += 1) {
    const server = await startDataServer([join(directory, `datanode-${index}`)])
    servers.push(server)
    t.teardown(() => server.close())
  }
  return servers
}

/** What the helpers need of a test. */
interface Tap {
  testdir(): string
  teardown(action: () => unknown): unknown
}

/** The only element, or the one at `index`. */
function at<T>(items: readonly T[], index = 0): T {
  const item = items[index]
  if (item === undefined) throw new Error(`there is no element ${index}`)
  return item
}

function connection(t: Tap, server: DataServer): DataConnection {
  const made = new DataConnection(server.server.port)
  t.teardown(() => made.close())
  return made
}

function poolDirectory(server: DataServer): string {
  return join(at(server.store.storages()).path, 'current', testPool)
}

/** Chunk CRCs in the meta file of a block with 512-byte chunks, in hex. */
async function storedChecksums(server: DataServer, id: number, stamp: number): Promise<string[]> {
  const replica = server.store.find(blockId(id))
  const place = replica?.state === 'finalized' ? finalizedDirectory(blockId(id)) : 'rbw'
  const name = metaFileName(blockId(id), generationStamp(stamp))
  const meta = await readFile(join(poolDirectory(server), place, name))
  decodeMetaHeader(meta, blockId(id), name)
  const checksums = meta.subarray(metaHeader.sizeOf + 8)
  const count = checksums.length / 4
  return Array.from({ length: count }, (_, index) =>
    checksums.subarray(4 * index, 4 * index + 4).toString('hex'),
  )
}

t.test('blocks of every shape travel the pipeline and read back from every node', async (t) => {
  const servers = await startDatanodes(t, 3)
  const shapes = [
    { length: 0 },
    { length: 1 },
    { length: 4096 },
    { length: 100_000 },
    { length: 3 * 1024 * 1024 + 777 },
    { length: 2 * 1024 * 1024, packetBytes: 65536 },
    { length: 1_500_001, packetBytes: 1024 * 1024, bytesPerChecksum: 4096 },
    { length: 700_000, packetBytes: 768 * 50, bytesPerChecksum: 768 },
    { length: 2_500_000, packetBytes: 1024 * 1024, bytesPerChecksum: 1024 * 1024 },
    { length: 300_000, checksumType: 'CHECKSUM_CRC32' as const },
    { length: 300_000, checksumType: 'CHECKSUM_NULL' as const },
    { length: 5 * 1024 * 1024, packetBytes: 4 * 1024 * 1024 },
  ]
  for (const [index, shape] of shapes.entries()) {
    const data = patternBytes(shape.length, index + 1)
    const id = 1_073_741_825 + index
    const acks = await writeWholeBlock(servers, { blockId: id, data, ...shape })
    const last = at(acks, acks.length - 1)
    t.same(ackStatuses(last), ['SUCCESS', 'SUCCESS', 'SUCCESS'], `shape ${index}`)
    for (const server of servers) {
      t.match(server.store.find(blockId(id)), { state: 'finalized', length: shape.length })
      const read = await connection(t, server).read({ blockId: id, length: shape.length })
      t.ok(read.data.equals(data), `shape ${index} comes back whole`)
      if (shape.checksumType !== undefined) continue
      const size = shape.bytesPerChecksum ?? 512
      const checksums = Buffer.concat(read.packets.map((packet) => packet.checksums))
      t.ok(checksums.equals(chunkChecksums(data, size)), 'with the checksums it came with')
    }
  }
})

t.test('reads of parts share one connection and keep to the rules of offsets', async (t) => {
  const servers = await startDatanodes(t, 1)
  const server = at(servers)
  const data = patternBytes(200_732)
  await writeWholeBlock(servers, { blockId: 1, data })
  const reader = connection(t, server)
  const cases: [number, number, number, number][] = [
    [600, 900, 512, 1536],
    [0, 10, 0, 512],
    [65_500, 100, 65_024, 66_048],
    [1500, 199_232, 1024, 200_732],
  ]
  for (const [offset, length, start, end] of cases) {
    const read = await reader.read({ blockId: 1, offset, length })
    t.match(read.response.readOpChecksumInfo, { chunkOffset: start })
    t.equal(at(read.packets, read.packets.length - 1).header.offsetInBlock, end)
    t.same(
      read.packets.map(({ header }) => header.seqno),
      [...read.packets.keys()],
    )
    t.ok(read.data.equals(data.subarray(offset, offset + length)))
  }
  const bare = await reader.read({ blockId: 1, offset: 100, length: 1000, sendChecksums: false })
  t.match(bare.response.readOpChecksumInfo?.checksum, { type: 'CHECKSUM_NULL' })
  t.ok(bare.data.equals(data.subarray(100, 1100)))
  const refused = await reader.read({ blockId: 1, offset: 200_000, length: 1000 })
  t.match(refused.response, { status: 'ERROR', message: /do not match the replica of 200732/ })
  const absent = await reader.read({ blockId: 2, length: 1 })
  t.match(absent.response, { status: 'ERROR', message: /ReplicaNotFoundException/ })
  const newer = await reader.read({ blockId: 1, stamp: 1002, length: 1 })
  t.match(newer.response, { status: 'ERROR' }, 'a replica older than wanted is not served')
  t.equal((await reader.read({ blockId: 1, stamp: 1000, length: 9 })).response.status, 'SUCCESS')
})

t.test(
  'flushes in mid-chunk leave the checksums that Java sends, and an append goes on',
  async (t) => {
    const servers = await startDatanodes(t, 3)
    const source = javaRandomBytes(7, 1000)
    const id = 1_073_741_900
    const pieces = [100, 1, 410, 1, 512, 1000, 3, 1000, 1000]
    const content = Buffer.concat(pieces.map((bytes) => source.subarray(0, bytes)))
    const writer = connection(t, at(servers))
    writer.startWrite({ blockId: id, targets: servers.slice(1).map(({ info }) => info) })
    t.match(await writer.response(), { status: 'SUCCESS', firstBadLink: '' })
    let total = 0
    for (const [seqno, bytes] of pieces.entries()) {
      const offset = total - (total % 512)
      total += bytes
      writer.sendPacket({ seqno, offset, data: content.subarray(offset, total), sync: seqno === 7 })
      t.same(
        ackStatuses(
          (await writer.ack()) ?? { flag: [], reply: [], seqno: 0, downstreamAckTimeNanos: 0n },
        ),
        ['SUCCESS', 'SUCCESS', 'SUCCESS'],
      )
      for (const server of servers) {
        const read = await connection(t, server).read({ blockId: id, length: total })
        t.ok(read.data.equals(content.subarray(0, total)), `${total} flushed bytes can be read`)
        const sent = Buffer.concat(read.packets.map((packet) => packet.checksums))
        t.ok(sent.equals(chunkChecksums(content.subarray(0, total), 512)), 'with fresh checksums')
      }
    }
    writer.sendPacket({ seqno: 9, offset: 3584, data: content.subarray(3584, total) })
    writer.sendPacket({ seqno: 10, offset: total, last: true })
    t.match(await writer.ack(), { seqno: 9 }, 'the partial chunk once more, with nothing new')
    t.match(await writer.ack(), { seqno: 10 })
    const closed = '7db379ed 3f5fd5fb 271c9fc3 c9160c20 900ffd5f'
    for (const server of servers) {
      const checksums = await storedChecksums(server, id, 1001)
      t.equal(checksums.join(' '), `b0f8ee8f 00836bc1 00836bc1 ${closed}`)
    }

    const more = Buffer.concat([source.subarray(0, 700), source.subarray(0, 5)])
    const appender = connection(t, at(servers))
    const targets = servers.slice(1).map(({ info }) => info)
    const append = { blockId: id, targets, stage: 'PIPELINE_SETUP_APPEND' as const, newStamp: 1004 }
    appender.startWrite({ ...append, min: 4027, max: 4027 })
    t.match(await appender.response(), { status: 'SUCCESS' })
    appender.sendPacket({ seqno: 0, offset: 4027, data: more.subarray(0, 69) })
    appender.sendPacket({ seqno: 1, offset: 4096, data: more.subarray(69, 700) })
    appender.sendPacket({ seqno: 2, offset: 4608, data: more.subarray(581, 705) })
    appender.sendPacket({ seqno: 3, offset: 4732, last: true })
    for (const seqno of [0, 1, 2, 3]) {
      t.match(await appender.ack(), { seqno, reply: ['SUCCESS', 'SUCCESS', 'SUCCESS'] })
    }
    for (const server of servers) {
      const checksums = await storedChecksums(server, id, 1004)
      t.equal(
        checksums.join(' '),
        'b0f8ee8f 00836bc1 00836bc1 7db379ed 3f5fd5fb 271c9fc3 c9160c20 bae9a887 fcb83a09 fbb74e32',
      )
      const read = await connection(t, server).read({ blockId: id, stamp: 1004, length: 4732 })
      t.ok(read.data.equals(Buffer.concat([content, more])))
    }
  },
)

t.test('a node that does not join is named in firstBadLink, by every node before it', async (t) => {
  const [dead, ...servers] = await startDatanodes(t, 3)
  if (dead === undefined) throw new Error('three were started')
  await dead.close()
  const writer = connection(t, at(servers))
  writer.startWrite({ blockId: 1, targets: [at(servers, 1).info, dead.info] })
  const deadName = `127.0.0.1:${dead.info.id.xferPort}`
  t.match(await writer.response(), { status: 'ERROR', firstBadLink: deadName })
  writer.sendPacket({ seqno: 0, offset: 0, data: patternBytes(10) })
  await writer.closed()
  const retry = await writeWholeBlock(servers, { blockId: 2, data: patternBytes(10) })
  t.match(retry, [{ seqno: 0 }, { seqno: 1 }], 'the others are fine')
  t.match(at(servers).server.totals(), {
    pipelineFailures: { next_unreachable: 1, next_lost: 0, refused: 0 },
    operations: { writeBlock: { done: 1, failed: 1 } },
  })
})

t.test('when a node dies in mid-stream the others go on under a new stamp', async (t) => {
  const [victim, ...servers] = await startDatanodes(t, 3)
  if (victim === undefined) throw new Error('three were started')
  const data = patternBytes(300_000)
  const writer = connection(t, at(servers))
  writer.startWrite({ blockId: 1, targets: [at(servers, 1).info, victim.info] })
  await writer.response()
  writer.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 1000) })
  t.match(await writer.ack(), { seqno: 0, reply: ['SUCCESS', 'SUCCESS', 'SUCCESS'] })
  await victim.close()
  const alarm = await writer.ack()
  t.match(alarm, { seqno: -2, reply: ['SUCCESS', 'SUCCESS', 'ERROR'] })
  t.match(at(servers, 1).server.totals(), { pipelineFailures: { next_lost: 1, superseded: 0 } })
  writer.sendPacket({ seqno: 1, offset: 512, data: data.subarray(512, 65_024) })
  t.match(await writer.ack(), { seqno: 1, reply: ['SUCCESS', 'SUCCESS', 'ERROR'] })
  t.match(at(servers).store.find(blockId(1)), { state: 'rbw', length: 65_024, visibleLength: 1000 })

  const again = connection(t, at(servers))
  const stage = 'PIPELINE_SETUP_STREAMING_RECOVERY' as const
  const recovery = { blockId: 1, stage, min: 1000, max: 65_024, newStamp: 1002 }
  again.startWrite({ ...recovery, targets: [at(servers, 1).info] })
  t.match(await again.response(), { status: 'SUCCESS', firstBadLink: '' })
  await writer.closed()
  t.match(at(servers).store.find(blockId(1)), { generationStamp: 1002, length: 1000 })
  t.match(at(servers).server.totals(), { pipelineFailures: { superseded: 1, sender_lost: 0 } })
  again.sendPacket({ seqno: 1, offset: 512, data: data.subarray(512, 65_024) })
  again.sendPacket({ seqno: 2, offset: 65_024, data: data.subarray(65_024) })
  again.sendPacket({ seqno: 3, offset: 300_000, last: true })
  for (const seqno of [1, 2, 3])
    t.match(await again.ack(), { seqno, reply: ['SUCCESS', 'SUCCESS'] })
  for (const server of servers) {
    const read = await connection(t, server).read({ blockId: 1, stamp: 1002, length: 300_000 })
    t.ok(read.data.equals(data))
    const checksums = await storedChecksums(server, 1, 1002)
    t.equal(checksums[1], chunkChecksums(data.subarray(512, 1024), 512).toString('hex'))
  }
})

t.test('a rebuilt pipeline is refused when stamps or lengths do not fit', async (t) => {
  const servers = await startDatanodes(t, 1)
  const server = at(servers)
  const writer = connection(t, server)
  writer.startWrite({ blockId: 1 })
  await writer.response()
  writer.sendPacket({ seqno: 0, offset: 0, data: patternBytes(1000) })
  await writer.ack()
  const stage = 'PIPELINE_SETUP_STREAMING_RECOVERY' as const
  const wrong = [
    { stamp: 1005, newStamp: 1006, min: 1000, max: 1000 },
    { stamp: 900, newStamp: 1000, min: 1000, max: 1000 },
    { newStamp: 1002, min: 1001, max: 2000 },
    { newStamp: 1002, min: 0, max: 999 },
  ]
  for (const request of wrong) {
    const refused = connection(t, server)
    refused.startWrite({ blockId: 1, stage, ...request })
    t.equal(await refused.response(), undefined, 'the connection is closed')
  }
})

t.test('a pipeline rebuilt to close finalizes without packets, twice if need be', async (t) => {
  const servers = await startDatanodes(t, 2)
  const events: string[] = []
  at(servers).store.onEvent((event) => events.push(`${event.kind} ${event.generationStamp}`))
  const writer = connection(t, at(servers))
  const targets = [at(servers, 1).info]
  writer.startWrite({ blockId: 1, targets })
  await writer.response()
  writer.sendPacket({ seqno: 0, offset: 0, data: patternBytes(777) })
  await writer.ack()
  writer.close()
  const stage = 'PIPELINE_CLOSE_RECOVERY' as const
  for (const newStamp of [1002, 1003]) {
    const closer = connection(t, at(servers))
    closer.startWrite({ blockId: 1, targets, stage, min: 777, max: 777, newStamp })
    t.match(await closer.response(), { status: 'SUCCESS', firstBadLink: '' })
  }
  for (const server of servers) {
    t.match(server.store.find(blockId(1)), { state: 'finalized', generationStamp: 1003 })
    const read = await connection(t, server).read({ blockId: 1, stamp: 1003, length: 777 })
    t.ok(read.data.equals(patternBytes(777)))
  }
  t.same(events, ['receiving 1001', 'received 1002', 'received 1003'])
})

t.test('bytes are counted while connections are open and after they closed', async (t) => {
  const servers = await startDatanodes(t, 1)
  const { server } = at(servers)
  const data = patternBytes(200_000)
  const writer = connection(t, at(servers))
  writer.startWrite({ blockId: 1 })
  await writer.response()
  writer.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 64_512) })
  await writer.ack()
  const { receivedBytes, openConnections } = server.totals()
  t.ok(receivedBytes >= 64_512, `${receivedBytes} bytes of a packet that was acknowledged`)
  t.equal(openConnections, 1)
  writer.socket.destroy()
  while (server.totals().openConnections > 0) await nextTurn()
  t.equal(server.totals().receivedBytes, receivedBytes)
  t.equal(server.totals().pipelineFailures.sender_lost, 1)
  const written = await writeWholeBlock(servers, { blockId: 2, data })
  t.match(written.at(-1), { reply: ['SUCCESS'] })
  await connection(t, at(servers)).read({ blockId: 2, length: data.length })
  const { sentBytes, receivedBytes: total } = server.totals()
  t.ok(total >= receivedBytes + data.length)
  t.ok(sentBytes >= data.length, `${sentBytes} bytes of a block that was read`)
})

t.test('damaged packets and broken dialogues end the connection, nothing else', async (t) => {
  const servers = await startDatanodes(t, 2)
  const writer = connection(t, at(servers))
  writer.startWrite({ blockId: 1, targets: [at(servers, 1).info] })
  await writer.response()
  writer.sendPacket({ seqno: 0, offset: 0, data: patternBytes(512) })
  const bad = chunkChecksums(patternBytes(600), 512)
  bad.writeUInt32BE((bad.readUInt32BE(4) ^ 1) >>> 0, 4)
  writer.sendPacket({ seqno: 1, offset: 512, data: patternBytes(600), checksums: bad })
  writer.sendPacket({ seqno: 2, offset: 1112, data: patternBytes(100) })
  t.match(await writer.ack(), { seqno: 0, reply: ['SUCCESS', 'SUCCESS'] })
  t.match(await writer.ack(), { seqno: 1, reply: ['ERROR_CHECKSUM'] })
  await writer.closed()
  for (const server of servers) t.match(server.store.find(blockId(1)), { length: 512 })
  t.match(at(servers).server.totals(), { pipelineFailures: { bad_packet: 1, sender_lost: 0 } })

  const broken: [string, (client: DataConnection) => void][] = [
    ['a gap', (client) => client.sendPacket({ seqno: 0, offset: 512, data: patternBytes(10) })],
    [
      'other chunks',
      (client) =>
        client.sendPacket({ seqno: 0, offset: 0, data: patternBytes(600), bytesPerChecksum: 100 }),
    ],
    ['garbage', (client) => void client.socket.write(Buffer.alloc(64, 0xff))],
    [
      'a repeat that differs',
      (client) => {
        client.sendPacket({ seqno: 0, offset: 0, data: patternBytes(100) })
        client.sendPacket({ seqno: 1, offset: 0, data: patternBytes(200, 5) })
      },
    ],
  ]
  for (const [index, [name, send]] of broken.entries()) {
    const client = connection(t, at(servers))
    client.startWrite({ blockId: 10 + index })
    await client.response()
    send(client)
    await client.closed()
    t.pass(name)
  }
  const rude = connect(at(servers).server.port, '127.0.0.1')
  rude.write(Buffer.from('0013500102', 'hex'))
  await new Promise((resolve) => rude.on('close', resolve))
  const stranger = connection(t, at(servers))
  stranger.startWrite({ blockId: 50, poolId: 'BP-other' })
  t.equal(await stranger.response(), undefined, 'a block of another pool')
  const twice = connection(t, at(servers))
  twice.startWrite({ blockId: 1 })
  t.equal(await twice.response(), undefined, 'a block that exists')
  const block = { poolId: testPool, blockId: 1, generationStamp: 1001 }
  const asker = connection(t, at(servers))
  asker.socket.write(encodeOperation(opcodes.copyBlock, opCopyBlock, { header: { block } }))
  t.match(await asker.response(), { status: 'ERROR_UNSUPPORTED', message: /copyBlock/ })
  t.match(at(servers).server.totals(), {
    pipelineFailures: { refused: 1 },
    operations: { unsupported: { done: 1 } },
  })
  t.equal((await asker.read({ blockId: 1, length: 512 })).response.status, 'SUCCESS')
})

t.test('copies travel a chain of datanodes without acks, and are verified first', async (t) => {
  const servers = await startDatanodes(t, 3)
  const source = at(servers)
  const data = patternBytes(2_000_000)
  await writeWholeBlock([source], { blockId: 1, data })
  const received = servers.slice(1).map(
    (server) =>
      new Promise<string>((resolve) => {
        server.store.onEvent((event) => resolve(event.kind))
      }),
  )
  const target = (server: DataServer) =>
    ({ datanode: server.info, storage: undefined, storageType: 'DISK' }) as const
  const block = { blockId: blockId(1), generationStamp: generationStamp(1001), length: data.length }
  const targets = servers.slice(1).map(target)
  await transferReplica({ store: source.store, block, targets })
  t.same(await Promise.all(received), ['received', 'received'], 'no receiving for a copy')
  for (const server of servers) {
    const read = await connection(t, server).read({ blockId: 1, length: data.length })
    t.ok(read.data.equals(data))
  }
  await t.rejects(
    transferReplica({
      store: source.store,
      block,
      targets: [target({ ...source, info: datanodeInfoAt(1) })],
    }),
    { code: 'CONNECTION_LOST' },
  )

  await writeWholeBlock([source], { blockId: 2, data })
  const path = join(poolDirectory(source), finalizedDirectory(blockId(2)), 'blk_2')
  const file = await open(path, 'r+')
  await file.write(Buffer.from([data.readUInt8(1_500_000) ^ 4]), 0, 1, 1_500_000)
  await file.close()
  const corrupt: number[] = []
  source.store.onCorrupt((replica) => corrupt.push(replica.blockId))
  const copy = { store: source.store, block: { ...block, blockId: blockId(2) }, targets }
  await t.rejects(transferReplica(copy), { code: 'CHECKSUM_MISMATCH', message: /offsets 1441792/ })
  t.same(corrupt, [2])
  const read = await connection(t, source).read({ blockId: 2, length: data.length })
  const sent = Buffer.concat(read.packets.map((packet) => packet.checksums))
  t.notOk(sent.equals(chunkChecksums(read.data, 512)), 'a reader sees that the data is damaged')
})

t.test(
  'OP_TRANSFER_BLOCK brings an unfinished replica to a node that joins the pipeline',
  async (t) => {
    const servers = await startDatanodes(t, 2)
    const writer = connection(t, at(servers))
    writer.startWrite({ blockId: 1 })
    await writer.response()
    writer.sendPacket({ seqno: 0, offset: 0, data: patternBytes(1000) })
    await writer.ack()
    const asker = connection(t, at(servers))
    asker.startTransfer({ blockId: 1, target: at(servers, 1).info })
    t.match(await asker.response(), { status: 'SUCCESS' })
    t.match(at(servers, 1).store.find(blockId(1)), { state: 'rbw', length: 1000 })
  },
)

t.test('OP_BLOCK_CHECKSUM gives the MD5 of the chunk CRCs and their composition', async (t) => {
  const servers = await startDatanodes(t, 1)
  const hello = Buffer.from('hello world\n')
  await writeWholeBlock(servers, { blockId: 1, data: hello })
  const asker = connection(t, at(servers))
  const composite = await asker.checksum({ blockId: 1, length: 12, kind: 'COMPOSITE_CRC' })
  t.match(composite?.checksumResponse, {
    bytesPerCrc: 512,
    crcPerBlock: 1,
    crcType: 'CHECKSUM_CRC32C',
  })
  t.equal(hexOf(composite?.checksumResponse?.blockChecksum), 'f0ff7292')
  const bytes = Buffer.from(Uint8Array.from({ length: 2_500_000 }, (_, index) => index % 251))
  await writeWholeBlock(servers, { blockId: 2, data: bytes })
  const whole = await asker.checksum({ blockId: 2, length: 2_500_000, kind: 'COMPOSITE_CRC' })
  t.equal(hexOf(whole?.checksumResponse?.blockChecksum), '4e7b767c')
  await writeWholeBlock(servers, { blockId: 3, data: bytes.subarray(0, 70_000) })
  const part = await asker.checksum({ blockId: 2, length: 70_000 })
  const alone = await asker.checksum({ blockId: 3, length: 70_000 })
  t.equal(
    hexOf(part?.checksumResponse?.blockChecksum),
    hexOf(alone?.checksumResponse?.blockChecksum),
    'a part in mid-chunk has the checksum of a block that ends there',
  )
  t.match(part?.checksumResponse, {
    blockChecksumOptions: { blockChecksumType: 'MD5CRC', stripeLength: 0 },
  })
  t.match(await asker.checksum({ blockId: 9, length: 1 }), { status: 'ERROR' })
})

function hexOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex')
}

t.test('the log names the client whose transfer failed', async (t) => {
  const failures: LogFields[] = []
  const logger: Logger = {
    ...silentLogger,
    warn: (event, fields = {}) => {
      if (event === 'transfer-operation-failed') failures.push(fields)
    },
  }
  const server = await startDataServer([t.testdir()], {}, { logger })
  t.teardown(() => server.close())
  const client = connection(t, server)
  client.startWrite({ blockId: 1, poolId: 'BP-other', clientName: 'copy,trefoil_1' })
  t.equal(await client.response(), undefined)
  const datanode = connection(t, server)
  datanode.startWrite({ blockId: 1, poolId: 'BP-other', clientName: '' })
  t.equal(await datanode.response(), undefined)
  t.match(failures, [
    { operation: 'writeBlock', client: 'copy,trefoil_1' },
    { operation: 'writeBlock', client: undefined },
  ])
})
