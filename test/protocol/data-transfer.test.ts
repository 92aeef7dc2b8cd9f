import fc from 'fast-check'
import t from 'tap'
import { crc32, crc32c } from '../../base/checksum.ts'
import { crcCombiner, crcCompose } from '../../protocol/crc-combine.ts'
import {
  checkPacketChecksums,
  checkPacketLengths,
  checksumsBytesFor,
  DelimitedDecoder,
  decodePacketHeader,
  encodeOperation,
  encodePacketHeader,
  type Operation,
  opcodes,
  PacketHeaderDecoder,
  packetPrefixBytes,
  tryDecodeDelimited,
  tryDecodeOperation,
  tryDecodePacket,
  tryDecodePacketPrefix,
} from '../../protocol/data-transfer.ts'
import { isDfsError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { type EncodableOf, encodeDelimited, encodeMessage } from '../../protocol/message.ts'
import {
  blockOpResponse,
  clientReadStatus,
  opBlockChecksum,
  opBlockGroupChecksum,
  opCopyBlock,
  opReadBlock,
  opReplaceBlock,
  opRequestShortCircuitAccess,
  opTransferBlock,
  opWriteBlock,
  packetHeader,
  pipelineAck,
  releaseShortCircuitAccessRequest,
  shortCircuitShmRequest,
} from '../../protocol/messages/data-transfer.ts'
import { ackFlag, ackSlowness, ackStatuses } from '../../protocol/pipeline-ack.ts'
import { untyped } from '../support/arbitrary-message.ts'

const block = { poolId: 'BP-1-127.0.0.1-2', blockId: 1073741825, generationStamp: 1001 }
const node = { ipAddr: '127.0.0.1', hostName: 'a', datanodeUuid: 'u' }
const datanode = { id: { ...node, xferPort: 9866, infoPort: 9864, ipcPort: 9867 } }
const baseHeader = { block }
const header = { baseHeader, clientName: 'client' }
const writeOperation: EncodableOf<typeof opWriteBlock> = {
  header,
  targets: [datanode],
  stage: 'PIPELINE_SETUP_CREATE',
  pipelineSize: 2,
  minBytesRcvd: 0,
  maxBytesRcvd: 0,
  latestGenerationStamp: 0,
  requestedChecksum: { type: 'CHECKSUM_CRC32C', bytesPerChecksum: 512 },
}
const headerFields = {
  offsetInBlock: 2 ** 40 + 512,
  seqno: 77,
  lastPacketInBlock: false,
  dataLen: 1000,
}
const slotId = { shmId: { hi: -1n, lo: 2n ** 63n - 1n }, slotIdx: 3 }

/** A whole packet with real checksums. */
function packetOf(data: Buffer, bytesPerChecksum: number, syncBlock = false): Buffer {
  const checksums = Buffer.alloc(
    checksumsBytesFor('CHECKSUM_CRC32C', bytesPerChecksum, data.length),
  )
  for (let index = 0; index * 4 < checksums.length; index += 1) {
    const chunk = data.subarray(index * bytesPerChecksum, (index + 1) * bytesPerChecksum)
    checksums.writeUInt32BE(crc32c(chunk), index * 4)
  }
  const prefix = Buffer.alloc(packetPrefixBytes(syncBlock))
  const fields = { ...headerFields, dataLen: data.length, syncBlock }
  encodePacketHeader(prefix, 0, fields, checksums.length)
  return Buffer.concat([prefix, checksums, data])
}

function isBadFrame(action: () => unknown): boolean {
  try {
    action()
    return false
  } catch (error) {
    if (isDfsError(error, 'BAD_FRAME', 'VERSION_MISMATCH', 'UNSUPPORTED_OPERATION')) return true
    throw error
  }
}

t.test('every operation is framed with version 28 and its opcode, and read back', async (t) => {
  const info = { datanodes: [datanode] }
  const ecPolicy = { id: 1 }
  const encoded: [Operation['kind'], Uint8Array][] = [
    ['writeBlock', encodeOperation(80, opWriteBlock, writeOperation)],
    ['readBlock', encodeOperation(81, opReadBlock, { header, offset: 1, len: 2 })],
    [
      'replaceBlock',
      encodeOperation(83, opReplaceBlock, { header: baseHeader, delHint: '', source: datanode }),
    ],
    ['copyBlock', encodeOperation(84, opCopyBlock, { header: baseHeader })],
    ['blockChecksum', encodeOperation(85, opBlockChecksum, { header: baseHeader })],
    ['transferBlock', encodeOperation(86, opTransferBlock, { header, targets: [datanode] })],
    [
      'requestShortCircuitFds',
      encodeOperation(87, opRequestShortCircuitAccess, { header: baseHeader, maxVersion: 1 }),
    ],
    ['releaseShortCircuitFds', encodeOperation(88, releaseShortCircuitAccessRequest, { slotId })],
    ['requestShortCircuitShm', encodeOperation(89, shortCircuitShmRequest, { clientName: 'c' })],
    [
      'blockGroupChecksum',
      encodeOperation(90, opBlockGroupChecksum, {
        header: baseHeader,
        datanodes: info,
        ecPolicy,
        requestedNumBytes: 5,
      }),
    ],
  ]
  t.equal(encoded.length, Object.keys(opcodes).length)
  for (const [kind, bytes] of encoded) {
    t.same([...bytes.subarray(0, 3)], [0, 28, opcodes[kind]], kind)
    for (let end = 0; end < bytes.length; end += 1) {
      if (tryDecodeOperation(bytes, 0, end) !== undefined) t.fail(`${kind} complete at ${end}`)
    }
    const shifted = Buffer.concat([Buffer.from('xx'), bytes, Buffer.from('rest')])
    const taken = tryDecodeOperation(shifted, 2, shifted.length)
    t.equal(taken?.value.kind, kind)
    t.equal(taken?.next, 2 + bytes.length)
  }
  const taken = tryDecodeOperation(encoded[0]?.[1] ?? Buffer.alloc(0), 0, 10_000)
  t.match(taken?.value.message, { stage: 'PIPELINE_SETUP_CREATE', storageType: 'DISK' })
})

t.test('tryDecodeOperation() refuses versions, opcodes and sizes it does not know', async (t) => {
  const decode = (hex: string): unknown => {
    const bytes = Buffer.from(hex, 'hex')
    return tryDecodeOperation(bytes, 0, bytes.length)
  }
  t.throws(() => decode('001b50'), { code: 'VERSION_MISMATCH', message: /must be 28, got 27/ })
  for (const opcode of ['52', '7f', '00', 'ff']) {
    t.throws(() => decode(`001c${opcode}`), { code: 'UNSUPPORTED_OPERATION' })
    t.throws(() => decode(`001c${opcode}00`), { code: 'UNSUPPORTED_OPERATION' })
  }
  t.throws(() => decode('001c50 818040'.replace(' ', '')), {
    code: 'BAD_FRAME',
    message: /at most/,
  })
  t.throws(() => decode('001c50ffffffffff'), { code: 'BAD_FRAME' })
  t.throws(() => decode('001c5000'), { code: 'BAD_FRAME', message: /OpWriteBlock.header/ })
  t.equal(decode('001c50808040'), undefined, 'exactly the limit')
})

t.test('encodePacketHeader() and decodePacketHeader() agree with the generic codec', async (t) => {
  fc.assert(
    fc.property(
      fc.record({
        offsetInBlock: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        seqno: fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER }),
        dataLen: fc.integer({ min: 0, max: 2 ** 24 }),
        syncBlock: fc.boolean(),
      }),
      (fields) => {
        const full = { ...fields, lastPacketInBlock: fields.dataLen === 0 }
        const target = Buffer.alloc(40, 0xee)
        const end = encodePacketHeader(target, 3, full, 8)
        t.equal(end, 3 + packetPrefixBytes(full.syncBlock))
        t.equal(target.readInt32BE(3), 4 + 8 + full.dataLen)
        t.equal(target.readUInt16BE(7), end - 9)
        const { syncBlock, ...withoutSync } = full
        const generic = encodeMessage(packetHeader, syncBlock ? full : withoutSync)
        t.same(target.subarray(9, end), Buffer.from(generic))
        t.same(decodePacketHeader(target, 9, end), full)
        return true
      },
    ),
    { numRuns: 100 },
  )
  const other = Buffer.from(encodeMessage(packetHeader, { ...headerFields, syncBlock: false }))
  t.match(decodePacketHeader(other, 0, other.length), { ...headerFields, syncBlock: false })
  const unknown = Buffer.concat([other, Buffer.from('3005', 'hex')])
  t.match(decodePacketHeader(unknown, 0, unknown.length), headerFields, 'an unknown field')
})

t.test('impossible packets are refused', async (t) => {
  const bad = [
    { ...headerFields, dataLen: -1 },
    { ...headerFields, offsetInBlock: -1 },
    { ...headerFields, seqno: -2 },
    { ...headerFields, lastPacketInBlock: true },
  ]
  for (const fields of bad) {
    const bytes = Buffer.from(untyped(packetHeader).encode(fields))
    t.throws(() => decodePacketHeader(bytes, 0, bytes.length), {
      code: 'BAD_FRAME',
      message: /cannot be/,
    })
  }
  for (const [payload, length] of [
    [3, 25],
    [-1, 25],
    [limits.packetBytesMax - 24, 25],
    [4, 0],
    [4, limits.packetHeaderBytesMax + 1],
  ] as const) {
    t.throws(() => checkPacketLengths(payload, length), { code: 'BAD_FRAME' })
  }
  checkPacketLengths(4, limits.packetHeaderBytesMax)
  checkPacketLengths(limits.packetBytesMax - 25, 25)
  const packet = packetOf(Buffer.alloc(1000), 512)
  packet.writeInt32BE(4 + 1000 - 4, 0)
  t.throws(() => tryDecodePacketPrefix(packet, 0, packet.length), { message: /payload of/ })
  packet.writeInt32BE(4 + 1000 + 6, 0)
  t.throws(() => tryDecodePacketPrefix(packet, 0, packet.length), { message: /payload of/ })
  packet.writeInt32BE(4 + 1000 + 4, 0)
  const prefix = tryDecodePacketPrefix(packet, 0, packet.length)
  if (prefix === undefined) return
  t.throws(() => checkPacketChecksums(prefix, 'CHECKSUM_CRC32C', 512), {
    message: 'Packet 77 of 1000 bytes must have 8 bytes of checksums, got 4',
  })
  checkPacketChecksums(prefix, 'CHECKSUM_CRC32', 1000)
  t.equal(checksumsBytesFor('CHECKSUM_NULL', 512, 1000), 0)
})

t.test('packets decode from every split, truncation and flipped bit', async (t) => {
  const packets = [
    packetOf(Buffer.alloc(600, 7), 512, true),
    packetOf(Buffer.alloc(0), 512),
    packetOf(Buffer.alloc(5, 1), 512),
  ]
  const stream = Buffer.concat(packets)
  for (let end = 0; end < (packets[0]?.length ?? 0); end += 1) {
    t.equal(tryDecodePacket(stream, 0, end), undefined)
  }
  t.same(tryDecodePacket(stream, 0, stream.length)?.value.data, Buffer.alloc(600, 7))
  for (const size of [1, 2, 5, 6, 7, 30, 31, 32, 33, 34, 200, 5000]) {
    t.same(prefixLengths(stream, size), [600, 0, 5], `pieces of ${size}`)
  }
  const first = Buffer.from(packets[0] ?? [])
  for (let bit = 0; bit < 33 * 8; bit += 1) {
    const damaged = Buffer.from(first)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    isBadFrame(() => tryDecodePacket(damaged, 0, damaged.length))
  }
})

/** Data lengths of the packets in `stream`, fed in pieces of `size` bytes. */
function prefixLengths(stream: Buffer, size: number): number[] {
  const decoder = new PacketHeaderDecoder()
  const lengths: number[] = []
  let skip = 0
  for (let start = 0; start < stream.length; start += size) {
    const end = Math.min(start + size, stream.length)
    let position = start
    while (position < end) {
      if (skip > 0) {
        const count = Math.min(skip, end - position)
        skip -= count
        position += count
        continue
      }
      const taken = decoder.push(stream, position, end)
      if (taken === undefined) break
      position = taken.next
      lengths.push(taken.value.header.dataLen)
      skip = taken.value.checksumsBytes + taken.value.header.dataLen
    }
  }
  if (!decoder.isClean || skip > 0) throw new Error('the last packet is incomplete')
  return lengths
}

t.test('acks of any length, flags and seqno decode from every split', async (t) => {
  const acks: EncodableOf<typeof pipelineAck>[] = [
    { seqno: 0, reply: ['SUCCESS'] },
    {
      seqno: 2 ** 52,
      reply: ['SUCCESS', 'SUCCESS', 'ERROR'],
      downstreamAckTimeNanos: 2n ** 64n - 5n,
    },
    { seqno: -1, reply: ['SUCCESS', 'SUCCESS'], flag: [0, 0x80] },
    { seqno: -2, reply: ['OOB_RESTART'] },
    { seqno: 5 },
    { seqno: 6, reply: new Array<'SUCCESS'>(50).fill('SUCCESS') },
  ]
  const stream = Buffer.concat(acks.map((ack) => encodeDelimited(pipelineAck, ack)))
  for (const size of [1, 2, 3, 7, 50, 500]) {
    const decoder = new DelimitedDecoder(pipelineAck)
    const seqnos: number[] = []
    for (let start = 0; start < stream.length; start += size) {
      const piece = Buffer.from(stream.subarray(start, start + size))
      seqnos.push(...decoder.push(piece).map(({ seqno }) => seqno))
      piece.fill(0xff)
    }
    t.same(seqnos, [0, 2 ** 52, -1, -2, 5, 6])
    t.ok(decoder.isClean)
  }
  const decoder = new DelimitedDecoder(pipelineAck)
  t.same(decoder.push(stream.subarray(0, -1)).length, 5)
  t.notOk(decoder.isClean)
  t.throws(() => new DelimitedDecoder(pipelineAck).push(Buffer.from('ffffff7f', 'hex')), {
    code: 'BAD_FRAME',
  })
})

t.test('ackStatuses() prefers flags, as HDFS does', async (t) => {
  const ack = { seqno: 1, reply: ['SUCCESS'], downstreamAckTimeNanos: 0n, flag: [] } as const
  t.same(ackStatuses(ack), ['SUCCESS'])
  t.same(ackStatuses({ ...ack, flag: [0x60 | 0x100, 1, 8, 15] }), [
    'SUCCESS',
    'ERROR',
    'OOB_RESTART',
    'ERROR',
  ])
})

t.test('flags carry a status and whether a datanode is slow', async (t) => {
  const flag = [ackFlag('SUCCESS', true), ackFlag('ERROR', false), ackFlag('OOB_RESTART', true)]
  t.same(flag, [0x100, 0x81, 0x108], 'the numbers of HDFS')
  const ack = { seqno: 1, reply: [], downstreamAckTimeNanos: 0n, flag } as const
  t.same(ackStatuses(ack), ['SUCCESS', 'ERROR', 'OOB_RESTART'])
  t.same(ackSlowness(ack), [true, false, true])
  t.same(ackSlowness({ ...ack, flag: [] }), [])
})

t.test('tryDecodeDelimited() waits for the whole message', async (t) => {
  const bytes = encodeDelimited(blockOpResponse, { status: 'SUCCESS', firstBadLink: '' })
  for (let end = 0; end < bytes.length; end += 1) {
    t.equal(tryDecodeDelimited(blockOpResponse, bytes, 0, end), undefined)
  }
  t.match(tryDecodeDelimited(blockOpResponse, bytes, 0, bytes.length), {
    value: { status: 'SUCCESS', firstBadLink: '' },
    next: bytes.length,
  })
  const status = tryDecodeDelimited(clientReadStatus, Buffer.from('020806', 'hex'), 0, 3)
  t.equal(status?.value.status, 'CHECKSUM_OK')
})

t.test('operations with a flipped bit give an operation or a refusal', async (t) => {
  const whole = encodeOperation(80, opWriteBlock, writeOperation)
  let refused = 0
  for (let bit = 0; bit < whole.length * 8; bit += 1) {
    const damaged = Buffer.from(whole)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    if (isBadFrame(() => tryDecodeOperation(damaged, 0, damaged.length))) refused += 1
  }
  t.ok(refused > 0)
})

t.test('crcCombiner() and crcCompose() equal the CRC of the whole', async (t) => {
  t.equal(
    crcCompose('crc32', crc32(Buffer.from('1234')), crc32(Buffer.from('56789')), 5),
    0xcbf43926,
  )
  t.equal(
    crcCompose('crc32c', crc32c(Buffer.from('1234')), crc32c(Buffer.from('56789')), 5),
    0xe3069283,
  )
  for (const [type, crc] of [
    ['crc32', crc32],
    ['crc32c', crc32c],
  ] as const) {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 3000 }),
        fc.integer({ min: 1, max: 700 }),
        (data, chunkBytes) => {
          const count = Math.ceil(data.length / chunkBytes)
          const checksums = Buffer.alloc(3 + count * 4)
          for (let index = 0; index < count; index += 1) {
            const chunk = data.subarray(index * chunkBytes, (index + 1) * chunkBytes)
            checksums.writeUInt32BE(crc(chunk), 3 + index * 4)
          }
          const lastChunkBytes = data.length - (count - 1) * chunkBytes
          const combiner = crcCombiner(type, chunkBytes)
          return combiner.combine(checksums, 3, count, lastChunkBytes) === crc(data)
        },
      ),
      { numRuns: 60 },
    )
  }
  t.equal(crcCombiner('crc32', 512), crcCombiner('crc32', 512), 'tables are built once')
  t.throws(() => crcCombiner('crc32', 0), { name: 'AssertionError' })
  t.throws(() => crcCombiner('crc32', 512).combine(Buffer.alloc(3), 0, 1, 1), {
    name: 'AssertionError',
  })
})
