/** Each stage of a pipeline's set-up, as any client of HDFS may ask for it, and what datanodes say of each other. */
import { closeSync, openSync, readdirSync, readlinkSync, writeSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { millis } from '../../../base/brand.ts'
import { silentLogger } from '../../../base/log.ts'
import { systemClock, systemTimers } from '../../../base/system.ts'
import { metaHeader } from '../../../datanode/format/block-meta.ts'
import { registerAdminServices } from '../../../datanode/shell/admin-services.ts'
import { tryDecodeOperation, tryDecodePacket } from '../../../protocol/data-transfer.ts'
import { blockId, generationStamp } from '../../../protocol/ids.ts'
import { encodeDelimited } from '../../../protocol/message.ts'
import { clientDatanodeProtocol } from '../../../protocol/messages/client-datanode.ts'
import {
  blockOpResponse,
  type PipelineAck,
  pipelineAck,
  type Status,
} from '../../../protocol/messages/data-transfer.ts'
import type { DatanodeInfo } from '../../../protocol/messages/hdfs-blocks.ts'
import { ackFlag, ackSlowness, ackStatuses } from '../../../protocol/pipeline-ack.ts'
import { RpcClient } from '../../../transport/rpc-client.ts'
import { RpcServer } from '../../../transport/rpc-server.ts'
import {
  chunkChecksums,
  DataConnection,
  type DataServer,
  datanodeInfoAt,
  patternBytes,
  startDataServer,
  type TestWrite,
  writeWholeBlock,
} from '../../support/data-transfer-client.ts'

/** What the helpers need of a test. */
interface Tap {
  testdir(): string
  teardown(action: () => unknown): unknown
}

async function startDatanodes(
  t: Tap,
  count: number,
  ...rest: Parameters<typeof startDataServer> extends [unknown, ...infer R] ? R : never
): Promise<DataServer[]> {
  const directory = t.testdir()
  const servers: DataServer[] = []
  for (let index = 0; index < count; index += 1) {
    const server = await startDataServer([join(directory, `datanode-${index}`)], ...rest)
    servers.push(server)
    t.teardown(() => server.close())
  }
  return servers
}

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

/** Sends a copy of block 1, as the datanode that was ordered to does. */
async function copyTo(
  t: Tap,
  server: DataServer,
  { stamp, data }: { readonly stamp: number; readonly data: Buffer },
): Promise<void> {
  const copier = connection(t, server)
  copier.startWrite({ blockId: 1, stamp, clientName: '' })
  copier.sendPacket({ seqno: 0, offset: 0, data })
  copier.sendPacket({ seqno: 1, offset: data.length, last: true })
  copier.socket.end()
  await copier.closed()
}

/** Sets a pipeline up; `undefined` when the first datanode closed the connection. */
async function setUp(
  t: Tap,
  servers: readonly DataServer[],
  write: TestWrite,
): Promise<DataConnection | undefined> {
  const made = connection(t, at(servers))
  made.startWrite({ targets: servers.slice(1).map(({ info }) => info), ...write })
  return (await made.response())?.status === 'SUCCESS' ? made : undefined
}

/** Sends data from `offset` on and the last packet, and waits for both acks. */
async function finish(writer: DataConnection, data: Buffer, offset: number): Promise<void> {
  writer.sendPacket({ seqno: 0, offset, data: data.subarray(offset) })
  writer.sendPacket({ seqno: 1, offset: data.length, last: true })
  for (const seqno of [0, 1]) {
    const ack = await writer.ack()
    if (ack?.seqno !== seqno || ackStatuses(ack).some((status) => status !== 'SUCCESS')) {
      throw new Error(`packet ${seqno} was answered ${JSON.stringify(ack?.reply)}`)
    }
  }
}

async function holds(t: Tap, server: DataServer, stamp: number, data: Buffer): Promise<boolean> {
  const read = await connection(t, server).read({ blockId: 1, stamp, length: data.length })
  const sent = Buffer.concat(read.packets.map(({ checksums }) => checksums))
  return read.data.equals(data) && sent.equals(chunkChecksums(data, 512))
}

t.test('stage 0: an append goes on under the same stamp or a new one', async (t) => {
  const servers = await startDatanodes(t, 2)
  const data = patternBytes(3000)
  await writeWholeBlock(servers, { blockId: 1, data: data.subarray(0, 1000) })
  const stage = 'PIPELINE_SETUP_APPEND' as const
  const same = await setUp(t, servers, { blockId: 1, stage, min: 1000, max: 1000, newStamp: 1001 })
  same?.sendPacket({ seqno: 0, offset: 1000, data: data.subarray(1000, 1024) })
  same?.sendPacket({ seqno: 1, offset: 1024, data: data.subarray(1024, 2000) })
  same?.sendPacket({ seqno: 2, offset: 2000, last: true, sync: true })
  for (const seqno of [0, 1, 2])
    t.match(await same?.ack(), { seqno, reply: ['SUCCESS', 'SUCCESS'] })
  for (const server of servers) t.ok(await holds(t, server, 1001, data.subarray(0, 2000)))
  const newer = await setUp(t, servers, { blockId: 1, stage, min: 2000, max: 2000, newStamp: 1002 })
  newer?.sendPacket({ seqno: 7, offset: 2000, data: data.subarray(2000, 2048) })
  newer?.sendPacket({ seqno: 8, offset: 2048, data: data.subarray(2048) })
  newer?.sendPacket({ seqno: 9, offset: 3000, last: true })
  for (const seqno of [7, 8, 9]) t.match(await newer?.ack(), { seqno })
  for (const server of servers) t.ok(await holds(t, server, 1002, data))
  for (const wrong of [
    { stamp: 1002, newStamp: 1003, min: 2999 },
    { stamp: 1002, newStamp: 1001, min: 3000 },
    { stamp: 1003, newStamp: 1004, min: 3000 },
    { blockId: 2, newStamp: 1004, min: 0 },
  ]) {
    t.equal(await setUp(t, [at(servers)], { blockId: 1, stage, ...wrong }), undefined)
  }
  const open = await setUp(t, [at(servers)], { blockId: 3 })
  open?.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 10) })
  await open?.ack()
  const busy = { blockId: 3, stage, newStamp: 1002, min: 10 }
  t.equal(await setUp(t, [at(servers)], busy), undefined, 'a replica that is being written')
})

t.test('stage 1: an append that some nodes joined is set up again on all', async (t) => {
  const servers = await startDatanodes(t, 3)
  const data = patternBytes(2000)
  await writeWholeBlock(servers, { blockId: 1, data: data.subarray(0, 1024) })
  const append = { blockId: 1, min: 1024, max: 1024 } as const
  const first = await setUp(t, servers.slice(0, 2), {
    ...append,
    stage: 'PIPELINE_SETUP_APPEND',
    newStamp: 1002,
  })
  t.ok(first)
  first?.close()
  const again = await setUp(t, servers, {
    ...append,
    stage: 'PIPELINE_SETUP_APPEND_RECOVERY',
    newStamp: 1003,
  })
  if (again === undefined) throw new Error('two are rbw, one is finalized: all may join')
  await finish(again, data, 1024)
  for (const server of servers) t.ok(await holds(t, server, 1003, data))
  const shorter = { ...append, stamp: 1003, newStamp: 1004 }
  t.equal(
    await setUp(t, servers, { ...shorter, stage: 'PIPELINE_SETUP_APPEND_RECOVERY' }),
    undefined,
    'not at another length',
  )
})

t.test('stages 2 and 4 are states of a pipeline, not ways to set one up', async (t) => {
  const servers = await startDatanodes(t, 1)
  for (const stage of ['DATA_STREAMING', 'PIPELINE_CLOSE'] as const) {
    t.equal(await setUp(t, servers, { blockId: 1, stage }), undefined, stage)
  }
})

t.test('stage 3: a node whose replica was finalized already goes on with the others', async (t) => {
  const servers = await startDatanodes(t, 2)
  const data = patternBytes(2000)
  const writer = await setUp(t, servers, { blockId: 1 })
  writer?.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 1024) })
  await writer?.ack()
  writer?.close()
  await writeWholeBlock([at(servers)], { blockId: 2, data: data.subarray(0, 1024) })
  const stage = 'PIPELINE_SETUP_STREAMING_RECOVERY' as const
  const resume = { stage, min: 1024, max: 1024, newStamp: 1002 }
  const again = await setUp(t, servers, { blockId: 1, ...resume })
  if (again === undefined) throw new Error('both may go on')
  await finish(again, data, 1024)
  for (const server of servers) t.ok(await holds(t, server, 1002, data))
  t.ok(await setUp(t, [at(servers)], { blockId: 2, ...resume }))
})

t.test(
  'stage 7: a node gets an unfinished replica and joins; a stale one makes room',
  async (t) => {
    const servers = await startDatanodes(t, 3)
    const [first, second, newcomer] = [at(servers), at(servers, 1), at(servers, 2)]
    const data = patternBytes(200_000)
    const old = await setUp(t, [newcomer], { blockId: 1, stamp: 900 })
    old?.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 700) })
    await old?.ack()
    const writer = await setUp(t, [first, second], { blockId: 1 })
    writer?.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 100_000) })
    t.match(await writer?.ack(), { seqno: 0 })
    writer?.close()
    const asker = connection(t, second)
    asker.startTransfer({ blockId: 1, target: newcomer.info })
    t.match(await asker.response(), { status: 'SUCCESS' })
    t.match(newcomer.store.find(blockId(1)), {
      state: 'rbw',
      generationStamp: 1001,
      length: 100_000,
      visibleLength: 100_000,
    })
    const stage = 'PIPELINE_SETUP_STREAMING_RECOVERY' as const
    const recovery = { blockId: 1, stage, min: 100_000, max: 150_000, newStamp: 1002 }
    const again = await setUp(t, [second, newcomer], recovery)
    if (again === undefined) throw new Error('the newcomer may join')
    const aligned = 100_000 - (100_000 % 512)
    await finish(again, data, aligned)
    for (const server of [second, newcomer]) t.ok(await holds(t, server, 1002, data))
    asker.startTransfer({ blockId: 1, stamp: 1002, target: newcomer.info })
    t.match(await asker.response(), { status: 'ERROR' }, 'a replica that is not stale stays')
    t.ok(await holds(t, newcomer, 1002, data))
  },
)

t.test(
  'a copy of a recovered block takes the place of a replica that missed the recovery',
  async (t) => {
    const [server] = await startDatanodes(t, 1)
    if (server === undefined) throw new Error('one datanode')
    const data = patternBytes(1000)
    const writer = await setUp(t, [server], { blockId: 1, stamp: 900 })
    writer?.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 700) })
    await writer?.ack()
    await copyTo(t, server, { stamp: 900, data })
    t.match(
      server.store.find(blockId(1)),
      { state: 'rbw', generationStamp: 900 },
      'not stale: stays',
    )
    await copyTo(t, server, { stamp: 1001, data })
    t.match(server.store.find(blockId(1)), {
      state: 'finalized',
      generationStamp: 1001,
      length: 1000,
    })
    t.ok(await holds(t, server, 1001, data))
  },
)

t.test('a copy takes the place of a replica whose recovery ended without this node', async (t) => {
  const [server] = await startDatanodes(t, 1)
  if (server === undefined) throw new Error('one datanode')
  const data = patternBytes(1000)
  const id = blockId(1)
  const writer = await setUp(t, [server], { blockId: 1, stamp: 900 })
  writer?.sendPacket({ seqno: 0, offset: 0, data: data.subarray(0, 700) })
  await writer?.ack()
  const { recovery } = server.store
  await recovery.initReplicaRecovery(id, generationStamp(900), generationStamp(1001))
  await copyTo(t, server, { stamp: 1000, data })
  t.match(server.store.find(id), { state: 'rur', generationStamp: 900 }, 'the recovery may go on')
  await copyTo(t, server, { stamp: 1001, data })
  t.match(server.store.find(id), { state: 'finalized', generationStamp: 1001, length: 1000 })
  t.ok(await holds(t, server, 1001, data))
})

t.test('stage 8: a node gets a finalized replica and joins an append', async (t) => {
  const servers = await startDatanodes(t, 2)
  const data = patternBytes(3000)
  await writeWholeBlock([at(servers)], { blockId: 1, data: data.subarray(0, 2048) })
  const asker = connection(t, at(servers))
  asker.startTransfer({ blockId: 1, target: at(servers, 1).info })
  t.match(await asker.response(), { status: 'SUCCESS' })
  t.match(at(servers, 1).store.find(blockId(1)), { state: 'finalized', length: 2048 })
  const stage = 'PIPELINE_SETUP_APPEND_RECOVERY' as const
  const append = { blockId: 1, stage, min: 2048, max: 2048, newStamp: 1002 }
  const writer = await setUp(t, servers, append)
  if (writer === undefined) throw new Error('both may join')
  await finish(writer, data, 2048)
  for (const server of servers) t.ok(await holds(t, server, 1002, data))
  asker.startTransfer({ blockId: 1, stamp: 1002, target: datanodeInfoAt(1) })
  t.match(await asker.response(), { status: 'ERROR', message: /Copy to datanode .* failed/ })
  asker.startTransfer({ blockId: 9, target: at(servers, 1).info })
  t.match(await asker.response(), { status: 'ERROR', message: /block 9/ })
})

t.test(
  'the end that an append began at survives a loss of power that splits its chunk',
  async (t) => {
    const directory = join(t.testdir(), 'datanode')
    const data = patternBytes(1000)
    const first = await startDataServer([directory])
    await writeWholeBlock([first], { blockId: 1, data })
    const stage = 'PIPELINE_SETUP_APPEND' as const
    const append = { blockId: 1, stage, min: 1000, max: 1000, newStamp: 1002 }
    t.ok(await setUp(t, [first], append))
    await first.close()
    // Of the append's first packet only the CRC has reached the disk.
    const name = readdirSync(directory, { recursive: true, encoding: 'utf8' }).find((path) =>
      path.endsWith('rbw/blk_1_1002.meta'),
    )
    const file = openSync(join(directory, name ?? ''), 'r+')
    const secondChecksum = metaHeader.sizeOf + 8 + 4
    writeSync(file, Buffer.from([1, 2, 3, 4]), 0, 4, secondChecksum)
    closeSync(file)
    const second = await startDataServer([directory])
    t.teardown(() => second.close())
    t.match(second.store.find(blockId(1)), { state: 'rwr', generationStamp: 1002, length: 1000 })
  },
)

t.test('an append with other chunks than the replica has is stored in those it has', async (t) => {
  const servers = await startDatanodes(t, 2)
  const data = patternBytes(40_000)
  await writeWholeBlock(servers, { blockId: 1, data: data.subarray(0, 5000) })
  const stage = 'PIPELINE_SETUP_APPEND' as const
  const chunks = { bytesPerChecksum: 4096, checksumType: 'CHECKSUM_CRC32' as const }
  const append = { blockId: 1, stage, min: 5000, max: 5000, newStamp: 1002, ...chunks }
  const writer = await setUp(t, servers, append)
  const send = (seqno: number, offset: number, end: number): void => {
    const bytes = data.subarray(offset, end)
    const checksums = chunkChecksums(bytes, 4096, 'crc32')
    writer?.sendPacket({ seqno, offset, data: bytes, checksums })
  }
  send(0, 5000, 8192)
  send(1, 8192, 20_000)
  send(2, 16_384, 40_000)
  writer?.sendPacket({ seqno: 3, offset: 40_000, last: true })
  for (const seqno of [0, 1, 2, 3]) {
    t.match(await writer?.ack(), { seqno, reply: ['SUCCESS', 'SUCCESS'] })
  }
  for (const server of servers) t.ok(await holds(t, server, 1002, data))
  const unchecked = await setUp(t, servers, {
    ...append,
    stamp: 1002,
    newStamp: 1003,
    min: 40_000,
    checksumType: 'CHECKSUM_NULL',
  })
  const more = Buffer.concat([data, patternBytes(960, 3)])
  unchecked?.sendPacket({
    seqno: 0,
    offset: 40_000,
    data: more.subarray(40_000),
    checksums: Buffer.alloc(0),
  })
  unchecked?.sendPacket({ seqno: 1, offset: more.length, last: true })
  for (const seqno of [0, 1]) t.match(await unchecked?.ack(), { seqno })
  for (const server of servers) t.ok(await holds(t, server, 1003, more))
})

/** A datanode further down that answers set-ups, and acknowledges as it is told. */
class ScriptedDatanode {
  readonly packets: number[] = []
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket))
  #socket: Socket | undefined
  #wake: (() => void) | undefined
  #mayJoin: Promise<void> = Promise.resolve()
  #onAsked: (() => void) | undefined

  static async start(t: Tap): Promise<ScriptedDatanode> {
    const made = new ScriptedDatanode()
    await new Promise<void>((resolve) => made.#server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => {
      made.#socket?.destroy()
      made.#server.close()
    })
    return made
  }

  get info(): DatanodeInfo {
    const address = this.#server.address()
    return datanodeInfoAt(typeof address === 'object' ? (address?.port ?? 0) : 0)
  }

  /** Lets whoever asks it to join wait; resolves once asked, with what ends the waiting. */
  asked(): Promise<() => void> {
    let join = (): void => undefined
    this.#mayJoin = new Promise((resolve) => {
      join = resolve
    })
    return new Promise((resolve) => {
      this.#onAsked = () => resolve(join)
    })
  }

  async packet(seqno: number): Promise<void> {
    while (!this.packets.includes(seqno)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Answers the connection with a reset, as a machine does that has forgotten it. */
  reset(): void {
    this.#socket?.resetAndDestroy()
  }

  ack(seqno: number, reply: readonly Status[], more: Partial<PipelineAck> = {}): void {
    this.#socket?.write(encodeDelimited(pipelineAck, { seqno, reply, flag: [], ...more }))
  }

  #serve(socket: Socket): void {
    this.#socket = socket
    let pending = Buffer.alloc(0)
    let isSetUp = false
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      pending = Buffer.concat([pending, bytes])
      if (!isSetUp) {
        const operation = tryDecodeOperation(pending, 0, pending.length)
        if (operation === undefined) return
        pending = pending.subarray(operation.next)
        isSetUp = true
        this.#onAsked?.()
        void this.#mayJoin.then(() => {
          socket.write(encodeDelimited(blockOpResponse, { status: 'SUCCESS', firstBadLink: '' }))
        })
      }
      for (;;) {
        const packet = tryDecodePacket(pending, 0, pending.length)
        if (packet === undefined) return
        pending = pending.subarray(packet.next)
        this.packets.push(packet.value.header.seqno)
        this.#wake?.()
      }
    })
  }
}

t.test('an announced restart is relayed upstream, and the pipeline goes on', async (t) => {
  const servers = await startDatanodes(t, 1)
  const behind = await ScriptedDatanode.start(t)
  const writer = connection(t, at(servers))
  writer.startWrite({ blockId: 1, targets: [behind.info] })
  t.match(await writer.response(), { status: 'SUCCESS' })
  behind.ack(-2, ['OOB_RESTART'])
  const relayed = await writer.ack()
  t.match(relayed, { seqno: -2, reply: ['SUCCESS', 'OOB_RESTART'] })
  writer.sendPacket({ seqno: 5, offset: 0, data: patternBytes(10) })
  await behind.packet(5)
  behind.ack(5, ['SUCCESS'])
  t.match(await writer.ack(), { seqno: 5, reply: ['SUCCESS', 'SUCCESS'] })
})

t.test(
  'a restart is announced to clients that write here, evicted writers are cut off',
  async (t) => {
    const servers = await startDatanodes(t, 2)
    const writer = await setUp(t, servers, { blockId: 1 })
    const reader = connection(t, at(servers))
    at(servers, 1).server.announceRestart()
    t.match(await writer?.ack(), { seqno: -2, reply: ['SUCCESS', 'OOB_RESTART'] })
    at(servers).server.announceRestart()
    t.match(await writer?.ack(), { seqno: -2, reply: ['OOB_RESTART'] })
    writer?.sendPacket({ seqno: 0, offset: 0, data: patternBytes(100) })
    t.match(await writer?.ack(), { seqno: 0, reply: ['SUCCESS', 'SUCCESS'] })
    at(servers).server.evictWriters()
    await writer?.closed()
    const read = await reader.read({ blockId: 1, length: 100 })
    t.ok(read.data.equals(patternBytes(100)), 'readers stay, and what was acknowledged')
    t.match(at(servers).store.find(blockId(1)), { state: 'rbw', length: 100 })
  },
)

/** Descriptors of this process that lead to files of the block. */
function openFilesOf(id: number): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = readlinkSync(join('/proc/self/fd', descriptor))
      return path.includes(`blk_${id}`) ? [path] : []
    } catch {
      return []
    }
  })
}

/** Begins a write whose replica is open while the next node has not answered yet. */
async function startHeldWrite(
  t: Tap,
  server: DataServer,
  id: number,
): Promise<{ readonly writer: DataConnection; readonly letJoin: () => void }> {
  const behind = await ScriptedDatanode.start(t)
  const asked = behind.asked()
  const writer = connection(t, server)
  writer.startWrite({ blockId: id, targets: [behind.info] })
  const letJoin = await asked
  while (openFilesOf(id).length === 0) await new Promise((resolve) => setImmediate(resolve))
  return { writer, letJoin }
}

t.test('a write given up while its pipeline is set up keeps no file open', async (t) => {
  const servers = await startDatanodes(t, 1)
  const { writer, letJoin } = await startHeldWrite(t, at(servers), 4711)
  at(servers).server.evictWriters()
  await writer.closed()
  letJoin()
  while (openFilesOf(4711).length > 0) await new Promise((resolve) => setImmediate(resolve))
  t.match(at(servers).store.find(blockId(4711)), { state: 'rbw', length: 0 })
})

t.test('a replica taken over while its pipeline is set up is not written to', async (t) => {
  const servers = await startDatanodes(t, 1)
  const { writer, letJoin } = await startHeldWrite(t, at(servers), 4712)
  const stage = 'PIPELINE_SETUP_STREAMING_RECOVERY' as const
  const newer = await setUp(t, servers, { blockId: 4712, stage, min: 0, max: 0, newStamp: 1002 })
  letJoin()
  t.equal(await writer.response(), undefined, 'the connection ends')
  if (newer === undefined) throw new Error('the newer pipeline stands')
  const data = patternBytes(100_000)
  await finish(newer, data, 0)
  t.match(at(servers).store.find(blockId(4712)), { generationStamp: 1002, length: data.length })
})

t.test('a next node that resets the connection between two steps ends nothing else', async (t) => {
  const servers = await startDatanodes(t, 1)
  const data = patternBytes(1000)
  await writeWholeBlock(servers, { blockId: 1, data })
  const behind = await ScriptedDatanode.start(t)
  const closing = connection(t, at(servers))
  const stage = 'PIPELINE_CLOSE_RECOVERY' as const
  const lengths = { min: 1000, max: 1000, newStamp: 1002 }
  closing.startWrite({ blockId: 1, stage, ...lengths, targets: [behind.info] })
  t.equal((await closing.response())?.status, 'SUCCESS')
  behind.reset()
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.ok(await holds(t, at(servers), 1002, data), 'the datanode goes on')
})

t.test('a set-up that the network held back leaves the newer pipeline alone', async (t) => {
  const servers = await startDatanodes(t, 2)
  const stage = 'PIPELINE_SETUP_STREAMING_RECOVERY' as const
  await setUp(t, servers, { blockId: 1 })
  const recovery = { blockId: 1, stage, min: 0, max: 100 }
  const newer = await setUp(t, servers, { ...recovery, newStamp: 1003 })
  if (newer === undefined) throw new Error('the newer pipeline stands')
  for (const server of servers) {
    t.equal(await setUp(t, [server], { ...recovery, newStamp: 1002 }), undefined, 'refused')
  }
  await finish(newer, patternBytes(1000), 0)
  for (const server of servers) t.ok(await holds(t, server, 1003, patternBytes(1000)))
})

t.test('only whoever runs a datanode may stop it or evict its writers', async (t) => {
  const done: string[] = []
  const server = new RpcServer({
    ...{ host: '127.0.0.1', port: 0, logger: silentLogger },
    ...{ clock: systemClock, timers: systemTimers },
  })
  registerAdminServices(server, {
    superuser: 'hdfs',
    announceRestart: () => done.push('announce'),
    evictWriters: () => done.push('evict'),
    shutdown: () => done.push('shutdown'),
  })
  const { port } = await server.listen()
  t.teardown(() => server.close())
  const clientOf = (user: string): RpcClient => {
    const client = new RpcClient({
      ...{ host: '127.0.0.1', port, user, connectTimeoutMs: 5000, callTimeoutMs: 5000 },
      ...{ logger: silentLogger, timers: systemTimers },
    })
    t.teardown(() => client.close())
    return client
  }
  const mallory = clientOf('mallory')
  const refused = { code: 'PERMISSION_DENIED', message: /user "mallory" is not "hdfs"/ }
  await t.rejects(mallory.call(clientDatanodeProtocol, 'evictWriters', {}), refused)
  const stop = { forUpgrade: true }
  await t.rejects(mallory.call(clientDatanodeProtocol, 'shutdownDatanode', stop), refused)
  t.same(done, [])
  const owner = clientOf('hdfs')
  await owner.call(clientDatanodeProtocol, 'evictWriters', {})
  await owner.call(clientDatanodeProtocol, 'shutdownDatanode', stop)
  await owner.call(clientDatanodeProtocol, 'shutdownDatanode', { forUpgrade: false })
  t.same(done, ['evict', 'announce', 'shutdown', 'shutdown'])
})

t.test('a node that stays silent is named by the one before it', async (t) => {
  const servers = await startDatanodes(t, 1, { 'dfs.client.socket-timeout': 400 })
  const behind = await ScriptedDatanode.start(t)
  const writer = connection(t, at(servers))
  writer.startWrite({ blockId: 1, targets: [behind.info] })
  await writer.response()
  writer.sendPacket({ seqno: 0, offset: 0, data: patternBytes(10) })
  t.match(await writer.ack(), { seqno: 0, reply: ['SUCCESS', 'ERROR'] })
  t.match(at(servers).store.find(blockId(1)), { length: 10, visibleLength: 0 })
})

t.test('acks tell who is slow, and for how long a node waited for the others', async (t) => {
  let lostMs = 0
  const clock = { ...systemClock, monotonic: () => millis(systemClock.monotonic() + lostMs) }
  const servers = await startDatanodes(t, 1, {}, { clock })
  const behind = await ScriptedDatanode.start(t)
  const writer = connection(t, at(servers))
  writer.startWrite({ blockId: 1, targets: [behind.info, datanodeInfoAt(1)] })
  await writer.response()
  const send = async (
    seqno: number,
    waitMs: number,
    more: Partial<PipelineAck>,
  ): Promise<PipelineAck | undefined> => {
    writer.sendPacket({ seqno, offset: 10 * seqno, data: patternBytes(10) })
    await behind.packet(seqno)
    lostMs += waitMs
    behind.ack(seqno, ['SUCCESS', 'SUCCESS'], more)
    return writer.ack()
  }
  const quick = await send(0, 0, {})
  t.match(quick, { seqno: 0, reply: ['SUCCESS', 'SUCCESS', 'SUCCESS'], flag: [] })
  const own = await send(1, 5000, {})
  t.same(own === undefined ? [] : ackSlowness(own), [false, true, false])
  t.same(own === undefined ? [] : ackStatuses(own), ['SUCCESS', 'SUCCESS', 'SUCCESS'])
  t.ok((own?.downstreamAckTimeNanos ?? 0n) >= 5_000_000_000n)
  const others = await send(2, 5000, { downstreamAckTimeNanos: 4_900_000_000n })
  t.same(others?.flag, [], 'the time of the nodes behind it is not its own')
  const flag = [ackFlag('SUCCESS', false), ackFlag('SUCCESS', true)]
  const relayed = await send(3, 0, { flag })
  t.same(relayed === undefined ? [] : ackSlowness(relayed), [false, false, true])
})
