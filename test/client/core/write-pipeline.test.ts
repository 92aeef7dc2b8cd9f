import t from 'tap'
import { type PipelineEvent, WritePipeline } from '../../../client/core/write-pipeline.ts'

interface Packet {
  readonly seqno: number
  readonly offsetInBlock: number
  readonly dataBytes: number
  readonly isLast: boolean
}

const limits = { packetsInFlightMax: 4, recoveriesPerPacketMax: 5 }

function data(seqno: number, offsetInBlock: number, dataBytes = 100): Packet {
  return { seqno, offsetInBlock, dataBytes, isLast: false }
}

function last(seqno: number, offsetInBlock: number): Packet {
  return { seqno, offsetInBlock, dataBytes: 0, isLast: true }
}

function streaming(count: number, nodes = 3): WritePipeline<Packet> {
  const pipeline = new WritePipeline<Packet>(limits)
  for (let seqno = 0; seqno < count; seqno += 1) pipeline.enqueue(data(seqno, seqno * 100))
  pipeline.established(nodes)
  return pipeline
}

function sendAll(pipeline: WritePipeline<Packet>): number[] {
  const seqnos: number[] = []
  for (let packet = pipeline.nextToSend(); packet; packet = pipeline.nextToSend()) {
    seqnos.push(packet.seqno)
  }
  return seqnos
}

function good(seqno: number, nodes = 3): { seqno: number; isGood: boolean[] } {
  return { seqno, isGood: new Array<boolean>(nodes).fill(true) }
}

function recoverOf(event: PipelineEvent<Packet>): {
  mode: string
  failed: readonly number[]
  unacked: number[]
  bytesAcked: number
  bytesSent: number
} {
  if (event.kind !== 'recover') throw new Error(`expected a recovery, got ${event.kind}`)
  const { mode, failed, unacked, bytesAcked, bytesSent } = event
  return { mode, failed, unacked: unacked.map(({ seqno }) => seqno), bytesAcked, bytesSent }
}

t.test('nextToSend() sends nothing before the pipeline is established, then in order', (t) => {
  const pipeline = new WritePipeline<Packet>(limits)
  pipeline.enqueue(data(0, 0))
  pipeline.enqueue(data(1, 100))
  t.equal(pipeline.state, 'connecting')
  t.equal(pipeline.nextToSend(), undefined)
  pipeline.established(3)
  t.same(sendAll(pipeline), [0, 1])
  t.equal(pipeline.packetsInFlight, 2)
  t.end()
})

t.test('hasRoom turns false at the bound on packets in flight and true with an ack', (t) => {
  const pipeline = streaming(4)
  sendAll(pipeline)
  t.notOk(pipeline.hasRoom)
  t.throws(() => {
    pipeline.enqueue(data(4, 400))
  }, /must have room/)
  t.same(pipeline.acked(good(0)), { kind: 'acknowledged', packet: data(0, 0) })
  t.ok(pipeline.hasRoom)
  t.equal(pipeline.bytesAcked, 100)
  t.end()
})

t.test('enqueue() refuses gaps, and takes the closing packet even without room', (t) => {
  const pipeline = streaming(4)
  t.throws(() => {
    pipeline.enqueue(data(7, 400))
  }, /must come next/)
  pipeline.enqueue(last(4, 400))
  t.equal(pipeline.packetsInFlight, 5)
  t.end()
})

t.test('C6: the closing packet waits for all data when the block has several packets', (t) => {
  const pipeline = streaming(2)
  pipeline.enqueue(last(2, 200))
  t.same(sendAll(pipeline), [0, 1])
  pipeline.acked(good(0))
  t.same(sendAll(pipeline), [])
  pipeline.acked(good(1))
  t.same(sendAll(pipeline), [2])
  t.same(pipeline.acked(good(2)), { kind: 'closed', packet: last(2, 200) })
  t.equal(pipeline.state, 'closed')
  t.equal(pipeline.bytesAcked, 200)
  t.same(pipeline.broken(0), { kind: 'none' }, 'a node lost after that does not matter')
  t.same(pipeline.acked(good(3)), { kind: 'none' })
  t.end()
})

t.test('C6: the closing packet follows the only data packet of a block at once', (t) => {
  const pipeline = streaming(1)
  pipeline.enqueue(last(1, 100))
  t.same(sendAll(pipeline), [0, 1])
  t.end()
})

t.test('acked() with a bad status leaves the last bad node out', (t) => {
  const pipeline = streaming(3)
  sendAll(pipeline)
  pipeline.acked(good(0))
  const event = pipeline.acked({ seqno: 1, isGood: [true, false, false] })
  t.same(recoverOf(event), {
    mode: 'streaming',
    failed: [2],
    unacked: [1, 2],
    bytesAcked: 100,
    bytesSent: 300,
  })
  t.equal(pipeline.state, 'connecting')
  t.same(pipeline.acked(good(1)), { kind: 'none' }, 'acks of the old pipeline count no more')
  t.end()
})

t.test('broken() puts unacknowledged packets back in front, in order', (t) => {
  const pipeline = streaming(3)
  sendAll(pipeline)
  pipeline.acked(good(0))
  recoverOf(pipeline.broken(0))
  pipeline.enqueue(data(3, 300))
  pipeline.established(2)
  t.same(sendAll(pipeline), [1, 2, 3])
  t.same(pipeline.acked(good(1, 2)), { kind: 'acknowledged', packet: data(1, 100) })
  t.end()
})

t.test('broken() starts a new block while nothing was acknowledged', (t) => {
  const pipeline = streaming(2)
  sendAll(pipeline)
  t.same(recoverOf(pipeline.broken(1)), {
    mode: 'new-block',
    failed: [1],
    unacked: [0, 1],
    bytesAcked: 0,
    bytesSent: 200,
  })
  pipeline.restarted()
  pipeline.established(3)
  t.same(sendAll(pipeline), [0, 1])
  t.end()
})

t.test('broken() while connecting counts as a failed set-up of a new block', (t) => {
  const pipeline = new WritePipeline<Packet>(limits)
  pipeline.enqueue(data(0, 0))
  t.equal(recoverOf(pipeline.broken(1, 3)).mode, 'new-block')
  t.equal(recoverOf(pipeline.broken(0, 1)).mode, 'new-block', 'even when the only node failed')
  t.end()
})

t.test('broken() asks for a close recovery when only the closing packet is missing', (t) => {
  const pipeline = streaming(1)
  pipeline.enqueue(last(1, 100))
  sendAll(pipeline)
  pipeline.acked(good(0))
  t.same(recoverOf(pipeline.broken(0)), {
    mode: 'close',
    failed: [0],
    unacked: [1],
    bytesAcked: 100,
    bytesSent: 100,
  })
  t.same(pipeline.establishedClosed(), { kind: 'closed', packet: last(1, 100) })
  t.equal(pipeline.state, 'closed')
  t.end()
})

t.test('broken() of an idle pipeline recovers with nothing to send again', (t) => {
  const pipeline = streaming(1)
  sendAll(pipeline)
  pipeline.acked(good(0))
  t.same(recoverOf(pipeline.broken(1)).unacked, [])
  pipeline.established(2)
  t.same(sendAll(pipeline), [])
  t.end()
})

t.test('broken() tries the last node of acknowledged data again, then fails', (t) => {
  const pipeline = streaming(2, 1)
  sendAll(pipeline)
  pipeline.acked(good(0, 1))
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    const event = pipeline.broken(0, 1)
    t.match(event, { kind: 'recover', mode: 'streaming', failed: [], attempt })
  }
  t.same(pipeline.broken(0, 1), { kind: 'failed', reason: 'no-datanode-left' })
  t.equal(pipeline.state, 'failed')
  t.same(pipeline.broken(0), { kind: 'none' })
  t.end()
})

t.test('C7: broken() gives up after five recoveries for the same packet', (t) => {
  const pipeline = streaming(2)
  sendAll(pipeline)
  for (let recovery = 1; recovery <= 5; recovery += 1) {
    t.equal(pipeline.broken(0, 3).kind, 'recover')
  }
  t.same(pipeline.broken(0, 3), { kind: 'failed', reason: 'too-many-recoveries' })
  t.end()
})

t.test('C7: progress starts the count of recoveries anew', (t) => {
  const pipeline = streaming(2)
  sendAll(pipeline)
  for (let recovery = 1; recovery <= 5; recovery += 1) pipeline.broken(0, 3)
  pipeline.established(3)
  sendAll(pipeline)
  pipeline.acked(good(0))
  t.equal(pipeline.broken(0).kind, 'recover')
  t.end()
})

t.test(
  'acked() takes an answer that does not fit the order as a failure of the first node',
  (t) => {
    const pipeline = streaming(2)
    sendAll(pipeline)
    t.same(recoverOf(pipeline.acked(good(1))).failed, [0])
    t.end()
  },
)

t.test('acked() ignores heartbeats and unsolicited good news, and believes bad ones', (t) => {
  const pipeline = streaming(1)
  sendAll(pipeline)
  t.same(pipeline.acked(good(-1)), { kind: 'none' })
  t.same(pipeline.acked(good(-2)), { kind: 'none' })
  t.same(recoverOf(pipeline.acked({ seqno: -2, isGood: [true, true, false] })).failed, [2])
  t.end()
})

t.test('a pipeline counts from the sequence number it is given', (t) => {
  const pipeline = new WritePipeline<Packet>(limits, { firstSeqno: 17 })
  pipeline.enqueue(data(17, 0))
  pipeline.established(1)
  t.same(sendAll(pipeline), [17])
  t.end()
})

t.test('an append is set up anew as such until its pipeline was established once', (t) => {
  const pipeline = new WritePipeline<Packet>(limits, { appendTo: 700 })
  pipeline.enqueue(data(0, 700))
  t.match(pipeline.broken(1, 3), { mode: 'append', failed: [1], bytesAcked: 700, bytesSent: 700 })
  pipeline.established(2)
  t.same(sendAll(pipeline), [0])
  t.match(pipeline.broken(0), { mode: 'streaming', bytesAcked: 700, bytesSent: 800 })
  pipeline.established(1)
  sendAll(pipeline)
  pipeline.acked(good(0, 1))
  t.equal(pipeline.bytesAcked, 800)
  t.end()
})

t.test('an append never starts a new block, and its closing packet waits for the data', (t) => {
  const pipeline = new WritePipeline<Packet>(limits, { appendTo: 700 })
  pipeline.established(3)
  pipeline.enqueue(data(0, 700))
  pipeline.enqueue(last(1, 800))
  t.same(sendAll(pipeline), [0], 'C6: nobody is finalized while data is under way')
  t.equal(recoverOf(pipeline.broken(0)).mode, 'streaming')
  t.end()
})

t.test('judgeSpeed() leaves a datanode that stays slow, once a block', (t) => {
  const pipeline = new WritePipeline<Packet>({ ...limits, slowSignsMax: 3 })
  pipeline.enqueue(data(0, 0))
  pipeline.enqueue(data(1, 100))
  pipeline.established(3)
  const slow = [false, true, false]
  t.same(pipeline.judgeSpeed(slow, 0), { kind: 'none' })
  sendAll(pipeline)
  pipeline.acked(good(0))
  t.same(pipeline.judgeSpeed(slow, 1000), { kind: 'none' })
  t.match(pipeline.judgeSpeed(slow, 2000), {
    kind: 'recover',
    mode: 'streaming',
    cause: 'slow',
    failed: [1],
  })
  t.same(pipeline.judgeSpeed(slow, 3000), { kind: 'none' }, 'no pipeline, no slowness')
  pipeline.established(3)
  for (let now = 4000; now < 9000; now += 1000) {
    t.same(pipeline.judgeSpeed(slow, now), { kind: 'none' })
  }
  t.end()
})

t.test('grow() sets a streaming pipeline up again with all its nodes', (t) => {
  const pipeline = streaming(3)
  t.same(pipeline.grow(), { kind: 'none' }, 'nothing is acknowledged: the block can start anew')
  sendAll(pipeline)
  pipeline.acked(good(0))
  t.match(pipeline.grow(), { kind: 'recover', mode: 'streaming', cause: 'weak', failed: [] })
  t.same(pipeline.grow(), { kind: 'none' }, 'once at a time')
  pipeline.established(4)
  t.same(sendAll(pipeline), [1, 2])
  t.end()
})

t.test('established() and restarted() assert their preconditions', (t) => {
  const pipeline = streaming(1)
  t.throws(() => {
    pipeline.established(3)
  }, /cannot be established/)
  t.throws(() => {
    new WritePipeline<Packet>(limits).established(0)
  }, /needs a datanode/)
  t.throws(() => pipeline.establishedClosed(), /cannot be established/)
  sendAll(pipeline)
  pipeline.acked(good(0))
  pipeline.broken(0)
  t.throws(() => {
    pipeline.restarted()
  }, /must stay/)
  const open = streaming(1)
  open.broken(0)
  t.throws(() => open.establishedClosed(), /only the closing packet/)
  t.end()
})
