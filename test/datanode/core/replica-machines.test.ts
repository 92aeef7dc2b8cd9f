import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  BlockReceiver,
  type BlockReceiverOptions,
  type PacketShape,
  type ReceiverAction,
} from '../../../datanode/core/block-receiver.ts'
import { packetEnd, planRead } from '../../../datanode/core/block-sender.ts'
import { isReadable, reportedState } from '../../../datanode/core/replica.ts'
import {
  ReplicaMap,
  type ReplicaPresence,
  replicaEvents,
  replicaTransitions,
} from '../../../datanode/core/replica-map.ts'
import { blockId, generationStamp, storageUuid } from '../../../protocol/ids.ts'
import { replicaStates } from '../../../protocol/states.ts'
import { repositoryRoot } from '../../support/repository.ts'

const storage = storageUuid('DS-1')
const id = blockId(7)
const stamp = generationStamp(1001)

t.test('replicaTransitions says what every event does to every state', async (t) => {
  const allowed: Readonly<Record<ReplicaPresence, string>> = {
    absent: 'create>rbw create-copy>temporary',
    rbw: 'reappend>rbw resume>rbw close>finalized finalize>finalized begin-recovery>rur delete>absent',
    finalized:
      'append>rbw reappend>rbw resume>rbw close>finalized begin-recovery>rur delete>absent',
    rwr: 'begin-recovery>rur delete>absent',
    rur: 'begin-recovery>rur end-recovery>finalized delete>absent',
    temporary: 'finalize>finalized convert>rbw delete>absent',
  }
  for (const state of ['absent', ...replicaStates] as const) {
    const row = replicaTransitions[state]
    t.same(Object.keys(row).sort(), [...replicaEvents].sort(), `${state} knows every event`)
    const moves = replicaEvents.flatMap((event) => {
      const outcome = row[event]
      return outcome.kind === 'become' ? [`${event}>${outcome.next}`] : []
    })
    t.equal(moves.join(' '), allowed[state], state)
  }
})

t.test('docs/protocol/write-path.md shows the table as it is', async (t) => {
  const page = readFileSync(join(repositoryRoot, 'docs/protocol/write-path.md'), 'utf8')
  const rows = page.split('\n').map((line) => line.split('|').map((cell) => cell.trim()))
  const start = rows.findIndex(([, first]) => first === 'event')
  const table = rows.slice(start)
  const states = table[0]?.slice(2, -1) ?? []
  t.same(states.toSorted(), Object.keys(replicaTransitions).toSorted())
  for (const event of replicaEvents) {
    const row = table.find(([, first]) => first === event) ?? []
    for (const [index, state] of states.entries()) {
      const outcome = replicaTransitions[state as ReplicaPresence][event]
      const cell = outcome.kind === 'become' ? outcome.next : `– ${outcome.code}`
      t.equal(row[index + 2], cell, `${state} on ${event}`)
    }
  }
})

t.test('ReplicaMap refuses with the code of the table and leaves the replica alone', async (t) => {
  const map = new ReplicaMap()
  t.throws(() => map.move(id, 'finalize'), { code: 'REPLICA_NOT_FOUND' })
  map.start({ blockId: id, generationStamp: stamp, length: 0, storage }, 'create')
  t.throws(() => map.start({ blockId: id, generationStamp: stamp, length: 0, storage }, 'create'), {
    code: 'REPLICA_EXISTS',
    blockId: id,
  })
  map.beginRecovery(id, generationStamp(1005))
  t.throws(() => map.move(id, 'finalize'), { code: 'RECOVERY_IN_PROGRESS' })
  t.match(map.find(id), { state: 'rur', recovery: { stateBefore: 'rbw', recoveryStamp: 1005 } })
})

t.test('ReplicaMap keeps lengths, used bytes and reported states in step', async (t) => {
  const map = new ReplicaMap()
  const replica = map.start({ blockId: id, generationStamp: stamp, length: 0, storage }, 'create')
  map.setLength(id, 1000)
  map.acknowledge(id, 600)
  map.acknowledge(id, 500)
  t.match(replica, { length: 1000, visibleLength: 600 })
  t.ok(isReadable(replica))
  map.setLength(id, 550)
  t.match(replica, { length: 550, visibleLength: 550 }, 'a cut takes the visible length along')
  t.equal(map.usedBytes(storage), 550)
  map.beginRecovery(id, generationStamp(1002))
  map.beginRecovery(id, generationStamp(1003))
  t.equal(reportedState(replica), 'rbw', 'a second recovery remembers the state before the first')
  map.move(id, 'end-recovery')
  t.match(replica, { state: 'finalized', recovery: undefined })
  map.remove(id)
  t.equal(map.usedBytes(storage), 0)
  map.start({ blockId: id, generationStamp: stamp, length: 0, storage }, 'create-copy')
  t.equal(reportedState([...map.values(storage)][0] ?? replica), undefined)
  t.throws(() => map.acknowledge(id, 1), /must hold what it acknowledges/)
})

function receiver(options: Partial<BlockReceiverOptions> = {}): BlockReceiver {
  return new BlockReceiver({
    length: 0,
    bytesPerChecksum: 512,
    forwards: false,
    awaitsDownstream: false,
    flushedPacketBytesMax: 0,
    ...options,
  })
}

function packet(seqno: number, offset: number, length: number, flags = ''): PacketShape {
  return { seqno, offset, length, isLast: flags === 'last', isSync: flags === 'sync' }
}

/** Actions as short words, for tables. */
function words(actions: readonly ReceiverAction[]): string {
  const word = (action: ReceiverAction): string => {
    switch (action.kind) {
      case 'ack':
        return `ack ${action.seqno} ${action.statuses.join('+')}`
      case 'persist':
        return `${action.how} ${action.ticket}`
      case 'fail':
      case 'write':
      case 'forward':
      case 'done':
        return action.kind
    }
  }
  return actions.map(word).join(', ')
}

t.test('place() knows appended, repeated, partly repeated and impossible packets', async (t) => {
  const cases: [number, PacketShape, object][] = [
    [0, packet(0, 0, 100), { kind: 'append' }],
    [100, packet(1, 0, 101), { kind: 'overlap', skip: 100 }],
    [320, packet(2, 0, 320), { kind: 'known' }],
    [512, packet(4, 512, 512), { kind: 'append' }],
    [2027, packet(7, 1536, 1491), { kind: 'overlap', skip: 491 }],
    [4027, packet(0, 4027, 69), { kind: 'append' }],
    [4027, packet(0, 4027, 70), { kind: 'refuse' }],
    [100, packet(1, 101, 10), { kind: 'refuse' }],
    [100, packet(1, 50, 700), { kind: 'refuse' }],
    [100, packet(9, 100, 0, 'last'), { kind: 'empty' }],
    [100, packet(9, 99, 0, 'last'), { kind: 'refuse' }],
    [100, packet(-1, 0, 0), { kind: 'empty' }],
    [100, packet(-1, 0, 5), { kind: 'refuse' }],
    [100, packet(5, 100, 0, 'sync'), { kind: 'empty' }],
  ]
  for (const [length, shape, expected] of cases) {
    const place = receiver({ length }).place(shape)
    t.match(place, expected, `${shape.length} bytes at ${shape.offset} after ${length}`)
  }
})

t.test(
  'packet() acknowledges streaming packets at once and the last one when finalized',
  async (t) => {
    const core = receiver()
    t.equal(words(core.packet(packet(5, 0, 512), true)), 'write, ack 5 SUCCESS')
    t.equal(words(core.packet(packet(-1, 0, 0), true)), 'ack -1 SUCCESS')
    t.equal(words(core.packet(packet(6, 512, 0, 'last'), true)), 'finalize 3')
    t.match(core.place(packet(7, 512, 10)), { kind: 'refuse' })
    t.equal(words(core.persisted(3)), 'ack 6 SUCCESS, done')
  },
)

t.test('packet() holds the ack of short and synced packets until they are as safe', async (t) => {
  const core = receiver({ flushedPacketBytesMax: 1000 })
  t.equal(words(core.packet(packet(0, 0, 100), true)), 'write, flush 1')
  t.equal(words(core.packet(packet(1, 0, 2048, 'sync'), true)), 'write, sync 2')
  t.equal(words(core.packet(packet(2, 2048, 4096), true)), 'write')
  t.equal(words(core.persisted(2)), '', 'acks keep their order')
  t.equal(words(core.persisted(1)), 'ack 0 SUCCESS, ack 1 SUCCESS, ack 2 SUCCESS')
  t.equal(words(core.packet(packet(3, 6144, 0, 'sync'), true)), 'sync 4', 'hsync without bytes')
})

t.test('downstreamAck() sends acks up in packet order, own status first', async (t) => {
  const core = receiver({ forwards: true, awaitsDownstream: true })
  t.equal(words(core.packet(packet(0, 0, 512), true)), 'forward, write')
  t.equal(words(core.packet(packet(1, 512, 512), true)), 'forward, write')
  t.equal(words(core.packet(packet(2, 1024, 0, 'last'), true)), 'forward')
  const fine = ['SUCCESS', 'SUCCESS'] as const
  t.equal(words(core.downstreamAck(0, fine)), 'ack 0 SUCCESS+SUCCESS+SUCCESS')
  t.equal(
    words(core.downstreamAck(1, fine)),
    'ack 1 SUCCESS+SUCCESS+SUCCESS, finalize 3',
    'finalization waits for the earlier acks only',
  )
  t.equal(words(core.persisted(3)), '')
  t.equal(words(core.downstreamAck(2, fine)), 'ack 2 SUCCESS+SUCCESS+SUCCESS, done')
})

t.test('downstreamLost() blames the next node, and a relayed error keeps its place', async (t) => {
  const options = { forwards: true, awaitsDownstream: true }
  const idle = receiver(options)
  t.equal(words(idle.downstreamLost()), 'ack -2 SUCCESS+ERROR', 'nothing is unacknowledged')
  t.equal(words(idle.downstreamLost()), '', 'once is enough')
  t.equal(words(idle.packet(packet(0, 0, 512), true)), 'write, ack 0 SUCCESS+ERROR')

  const busy = receiver(options)
  busy.packet(packet(0, 0, 512), true)
  busy.packet(packet(1, 512, 0, 'last'), true)
  t.equal(words(busy.downstreamLost()), 'ack 0 SUCCESS+ERROR, ack 1 SUCCESS+ERROR')

  const middle = receiver(options)
  t.equal(
    words(middle.downstreamAck(-2, ['SUCCESS', 'ERROR'])),
    'ack -2 SUCCESS+SUCCESS+ERROR',
    'two nodes down',
  )
  const restarting = receiver(options)
  t.equal(words(restarting.downstreamAck(-2, ['OOB_RESTART'])), 'ack -2 SUCCESS+OOB_RESTART')
  t.equal(words(restarting.packet(packet(0, 0, 512), true)), 'forward, write', 'it goes on')
  t.equal(words(restarting.downstreamAck(9, ['SUCCESS'])), 'ack 0 SUCCESS+ERROR', 'wrong seqno')
})

t.test(
  'a node that is lost after its last ack, or behind a copy, leaves a block to finalize',
  async (t) => {
    const slow = receiver({ forwards: true, awaitsDownstream: true, flushedPacketBytesMax: 1024 })
    t.equal(words(slow.packet(packet(0, 0, 512), true)), 'forward, write, flush 1')
    slow.packet(packet(1, 512, 0, 'last'), true)
    slow.downstreamAck(0, ['SUCCESS'])
    slow.downstreamAck(1, ['SUCCESS'])
    t.equal(words(slow.downstreamLost()), '', 'the own disk is still busy')
    t.equal(words(slow.persisted(1)), 'ack 0 SUCCESS+SUCCESS, finalize 2')
    t.equal(words(slow.persisted(2)), 'ack 1 SUCCESS+SUCCESS, done')

    const copy = receiver({ forwards: true })
    copy.packet(packet(0, 0, 512), true)
    copy.downstreamLost()
    t.equal(words(copy.packet(packet(1, 512, 0, 'last'), true)), 'finalize 2')
    t.equal(words(copy.persisted(2)), 'ack 1 SUCCESS, done')
  },
)

t.test('a damaged packet is answered behind the earlier ones and ends the transfer', async (t) => {
  const core = receiver({ forwards: true, awaitsDownstream: true })
  core.packet(packet(0, 0, 512), true)
  t.equal(words(core.packet(packet(1, 512, 512), false)), '')
  t.equal(core.length, 512)
  t.equal(
    words(core.downstreamAck(0, ['SUCCESS'])),
    'ack 0 SUCCESS+SUCCESS, ack 1 ERROR_CHECKSUM, fail',
  )
  const relay = receiver({ forwards: true, awaitsDownstream: true })
  relay.packet(packet(0, 0, 512), true)
  t.equal(
    words(relay.downstreamAck(0, ['ERROR_CHECKSUM'])),
    'fail',
    'who relayed damaged bytes drops out itself',
  )
})

t.test(
  'planRead() aligns to chunks and ends packets with the spans of the meta file',
  async (t) => {
    const extent = { length: 4732, bytesPerChecksum: 512, spanBytes: 65536, hasChecksums: true }
    const cases: [number, number, number, number][] = [
      [600, 900, 512, 1536],
      [0, 10, 0, 512],
      [1500, 3232, 1024, 4732],
      [4732, 0, 4608, 4732],
    ]
    for (const [offset, length, start, end] of cases) {
      const plan = planRead({ offset, length, withChecksums: true }, extent)
      t.match(plan, { start, end, withChecksums: true, bytesPerChecksum: 512 })
    }
    const empty = { ...extent, length: 0 }
    t.match(planRead({ offset: 0, length: 0, withChecksums: true }, empty), { start: 0, end: 0 })
    const bare = planRead({ offset: 700, length: 1, withChecksums: false }, extent)
    t.match(bare, { start: 512, end: 1024, withChecksums: false, bytesPerChecksum: 512 })
    t.throws(() => planRead({ offset: 4000, length: 733, withChecksums: true }, extent), {
      code: 'INVALID_ARGUMENT',
    })
    const long = planRead(
      { offset: 65000, length: 100_000, withChecksums: true },
      { ...extent, length: 1e6 },
    )
    t.equal(packetEnd(long, long.start), 65536)
    t.equal(packetEnd(long, 65536), 131072)
    t.equal(packetEnd(long, 131072), long.end)
  },
)
