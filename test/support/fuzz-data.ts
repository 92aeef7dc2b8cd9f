/** Data transfer conversations, right up to a point, and nearly right ones. */
import fc from 'fast-check'
import { dataTransferVersion, opcodes, tryDecodeDelimited } from '../../protocol/data-transfer.ts'
import { encodeMessage, type Fields, type MessageType } from '../../protocol/message.ts'
import {
  blockConstructionStageEnum,
  blockOpResponse,
  opBlockChecksum,
  opBlockGroupChecksum,
  opCopyBlock,
  opReadBlock,
  opReplaceBlock,
  opRequestShortCircuitAccess,
  opTransferBlock,
  opWriteBlock,
  releaseShortCircuitAccessRequest,
  shortCircuitShmRequest,
} from '../../protocol/messages/data-transfer.ts'
import type { DatanodeInfo } from '../../protocol/messages/hdfs.ts'
import { chunkChecksums } from './data-transfer-client.ts'
import { type Ending, endings, RawConnection } from './fuzz-connection.ts'
import { damage, delimited, oneOf, type WildMessages, wildNumber } from './fuzz-messages.ts'

/** One connection to a data transfer port. */
export interface DataScript {
  readonly what: string
  readonly bytes: Buffer
  readonly ending: Ending
}

/** What conversations can be about. */
export interface DataTargets {
  readonly poolId: string
  /** Blocks with replicas at the datanodes. */
  readonly blocks: () => readonly { readonly blockId: number; readonly generationStamp: number }[]
  readonly datanodes: readonly DatanodeInfo[]
}

const operationTables: readonly { readonly opcode: number; readonly type: unknown }[] = [
  { opcode: opcodes.writeBlock, type: opWriteBlock },
  { opcode: opcodes.readBlock, type: opReadBlock },
  { opcode: opcodes.replaceBlock, type: opReplaceBlock },
  { opcode: opcodes.copyBlock, type: opCopyBlock },
  { opcode: opcodes.blockChecksum, type: opBlockChecksum },
  { opcode: opcodes.transferBlock, type: opTransferBlock },
  { opcode: opcodes.requestShortCircuitFds, type: opRequestShortCircuitAccess },
  { opcode: opcodes.releaseShortCircuitFds, type: releaseShortCircuitAccessRequest },
  { opcode: opcodes.requestShortCircuitShm, type: shortCircuitShmRequest },
  { opcode: opcodes.blockGroupChecksum, type: opBlockGroupChecksum },
]

/** A packet as it goes over the wire; every length and number may lie. */
interface WildPacket {
  readonly data: Buffer
  readonly offset: bigint
  readonly seqno: bigint
  readonly isLast: boolean
  readonly sync: boolean
  readonly checksums: Buffer
  readonly dataLength: number
  readonly packetLength: number
  readonly headerLength: number
}

function operation(opcode: number, message: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0, dataTransferVersion, opcode]), delimited(message)])
}

function encodeWildPacket(packet: WildPacket): Buffer {
  const prefix = Buffer.alloc(packet.sync ? 33 : 31)
  prefix.writeInt32BE(packet.packetLength | 0, 0)
  prefix.writeUInt16BE(packet.headerLength & 0xffff, 4)
  prefix[6] = 0x09
  prefix.writeBigUInt64LE(BigInt.asUintN(64, packet.offset), 7)
  prefix[15] = 0x11
  prefix.writeBigUInt64LE(BigInt.asUintN(64, packet.seqno), 16)
  prefix[24] = 0x18
  prefix[25] = packet.isLast ? 1 : 0
  prefix[26] = 0x25
  prefix.writeInt32LE(packet.dataLength | 0, 27)
  if (packet.sync) prefix.set([0x28, 1], 31)
  return Buffer.concat([prefix, packet.checksums, packet.data])
}

function soundPacket(seqno: number, offset: number, length: number, isLast: boolean): WildPacket {
  const data = Buffer.alloc(length, seqno + 1)
  const checksums = chunkChecksums(data, 512)
  return {
    data,
    offset: BigInt(offset),
    seqno: BigInt(seqno),
    isLast,
    sync: seqno % 5 === 4,
    checksums,
    dataLength: length,
    packetLength: 4 + checksums.length + length,
    headerLength: seqno % 5 === 4 ? 27 : 25,
  }
}

const lies = fc.constantFrom(
  0,
  1,
  3,
  4,
  5,
  -1,
  512,
  65_536,
  2 ** 24,
  2 ** 24 + 1,
  2 ** 31 - 1,
  -(2 ** 31),
)

/** Turns one sound packet into another one. */
const packetFault: fc.Arbitrary<(packet: WildPacket) => WildPacket> = fc.oneof(
  fc.constant((packet: WildPacket) => packet),
  lies.map((packetLength) => (packet: WildPacket) => ({ ...packet, packetLength })),
  lies.map((headerLength) => (packet: WildPacket) => ({ ...packet, headerLength })),
  lies.map((dataLength) => (packet: WildPacket) => ({ ...packet, dataLength })),
  wildNumber(() => [0, 512]).map((offset) => (packet: WildPacket) => ({ ...packet, offset })),
  wildNumber(() => [0, 5]).map((seqno) => (packet: WildPacket) => ({ ...packet, seqno })),
  fc.constant((packet: WildPacket) => ({ ...packet, isLast: !packet.isLast })),
  fc.nat(1000).map((at) => (packet: WildPacket) => {
    const checksums = Buffer.from(packet.checksums)
    if (checksums.length > 0) checksums.writeUInt8(at % 251, at % checksums.length)
    return { ...packet, checksums }
  }),
  fc.nat(40).map((count) => (packet: WildPacket) => {
    const checksums = Buffer.alloc(count, 3)
    return { ...packet, checksums, packetLength: 4 + count + packet.data.length }
  }),
)

/** Packets of a block of any length, of which at most one is at fault, cut off anywhere. */
const packetStream: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.array(fc.constantFrom(512, 1, 511, 513, 4096, 65_024, 200_000), { maxLength: 5 }),
    fc.nat(5),
    packetFault,
    fc.option(fc.nat(1_000_000_000), { freq: 2 }),
  )
  .map(([lengths, faultAt, fault, cut]) => {
    let offset = 0
    const packets = [...lengths, 0].map((length, seqno) => {
      const packet = soundPacket(seqno, offset, length, seqno === lengths.length)
      offset += length
      return encodeWildPacket(seqno === faultAt ? fault(packet) : packet)
    })
    const stream = Buffer.concat(packets)
    return cut === null ? stream : stream.subarray(0, cut % (stream.length + 1))
  })

let nextBlock = 2 ** 40

const setupCreate = 'PIPELINE_SETUP_CREATE' as const
/** Length of every replica to mistreat. */
export const replicaBytes = 100_000

function writeScript({ poolId, blocks, datanodes }: DataTargets): fc.Arbitrary<DataScript> {
  const stages = Object.keys(
    blockConstructionStageEnum.numberByName,
  ) as (keyof typeof blockConstructionStageEnum.numberByName)[]
  const stage = fc.constantFrom(...stages)
  return fc
    .record({
      setup: fc.oneof(
        { weight: 3, arbitrary: fc.constant({ stage: setupCreate, old: null }) },
        {
          weight: 1,
          arbitrary: fc.record({ stage: fc.constant(setupCreate), old: oneOf(blocks) }),
        },
        { weight: 3, arbitrary: fc.record({ stage, old: oneOf(blocks) }) },
        { weight: 1, arbitrary: fc.record({ stage, old: fc.constant(null) }) },
      ),
      hops: fc.nat(2),
      first: fc.nat(10),
      clientName: fc.constantFrom('fuzz-writer', 'fuzz-writer', ''),
      stampStep: fc.constantFrom(0, 1, 1, 1, 2, -1, 2 ** 40),
      lengths: fc.constantFrom<readonly number[]>(
        [0, 0],
        [0, 2 ** 30],
        [0, 2 ** 30],
        [replicaBytes, replicaBytes],
        [1, 0],
        [0, Number.MAX_SAFE_INTEGER],
      ),
      bytesPerChecksum: fc.oneof(
        { weight: 12, arbitrary: fc.constant(512) },
        {
          weight: 2,
          arbitrary: fc.constantFrom(0, 1, 3, 65_536, 2 ** 20 + 1, 2 ** 31, 2 ** 32 - 1),
        },
      ),
      type: fc.constantFrom('CHECKSUM_CRC32C', 'CHECKSUM_CRC32', 'CHECKSUM_NULL'),
      packets: packetStream,
      ending: endings,
    })
    .map(({ setup, hops, first, packets, ending, ...fields }): DataScript => {
      const block = setup.old ?? { blockId: (nextBlock += 1), generationStamp: 1001 }
      const targets = Array.from({ length: hops }, (_, hop) => {
        return datanodes[(first + hop) % datanodes.length]
      }).filter((target) => target !== undefined)
      const [minBytesRcvd = 0, maxBytesRcvd = 0] = fields.lengths
      const latestGenerationStamp = block.generationStamp + fields.stampStep
      const message = encodeMessage(opWriteBlock, {
        header: {
          baseHeader: { block: { poolId, ...block, numBytes: maxBytesRcvd } },
          clientName: fields.clientName,
        },
        targets,
        stage: setup.stage,
        pipelineSize: 1 + hops,
        minBytesRcvd,
        maxBytesRcvd,
        latestGenerationStamp,
        requestedChecksum: { type: fields.type, bytesPerChecksum: fields.bytesPerChecksum },
      })
      const bytes = Buffer.concat([operation(opcodes.writeBlock, message), packets])
      const { lengths, bytesPerChecksum } = fields
      const what = `write of ${block.blockId} in stage ${setup.stage} ${JSON.stringify({ hops, lengths, bytesPerChecksum, latestGenerationStamp })}`
      return { what, bytes, ending }
    })
}

function readScript({ poolId, blocks }: DataTargets): fc.Arbitrary<DataScript> {
  const absurd = fc.constantFrom(0, 1, 511, 512, 100_000, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER)
  return fc
    .record({
      block: oneOf(blocks),
      offset: absurd,
      len: absurd,
      sendChecksums: fc.boolean(),
      tail: fc.uint8Array({ maxLength: 20 }),
      ending: endings,
    })
    .map(({ block, offset, len, sendChecksums, tail, ending }): DataScript => {
      const header = { baseHeader: { block: { poolId, ...block } }, clientName: 'fuzz-reader' }
      const message = encodeMessage(opReadBlock, { header, offset, len, sendChecksums })
      const bytes = Buffer.concat([operation(opcodes.readBlock, message), tail])
      return { what: `read of ${block.blockId} at ${offset} for ${len}`, bytes, ending }
    })
}

/** Any connection to a data transfer port. */
export function dataScript(
  targets: DataTargets,
  messages: readonly WildMessages[],
): fc.Arbitrary<DataScript> {
  const wild = fc
    .constantFrom(...operationTables)
    .chain(({ opcode, type }) => {
      const bodies = messages.map((table) => table.of(type as MessageType<Fields>))
      return fc.tuple(fc.constant(opcode), fc.oneof(...bodies), damage, packetStream, endings)
    })
    .map(([opcode, body, damaged, packets, ending]): DataScript => {
      const bytes = Buffer.concat([damaged(operation(opcode, body)), packets])
      return { what: `operation ${opcode}`, bytes, ending }
    })
  const noise = fc
    .tuple(
      fc.constantFrom(
        '',
        '001c',
        '001c50',
        '001c51',
        '001c00',
        '001b50',
        '001c50ffffffff0f',
        '001c508080808080',
      ),
      fc.uint8Array({ maxLength: 300 }),
      endings,
    )
    .map(([start, raw, ending]): DataScript => {
      return { what: 'noise', bytes: Buffer.concat([Buffer.from(start, 'hex'), raw]), ending }
    })
  const read = readScript(targets)
  const single = fc.oneof(
    { weight: 5, arbitrary: writeScript(targets) },
    { weight: 2, arbitrary: read },
    { weight: 4, arbitrary: wild },
    { weight: 1, arbitrary: noise },
  )
  const double = fc.tuple(read, single).map(([first, second]): DataScript => {
    return { ...second, bytes: Buffer.concat([first.bytes, second.bytes]) }
  })
  return fc.oneof({ weight: 6, arbitrary: single }, { weight: 1, arbitrary: double })
}

/** Plays a conversation; answers "IllegalState" and the like are a fault of the server's own. */
export async function playData(port: number, { what, bytes, ending }: DataScript): Promise<void> {
  const connection = await RawConnection.open(port)
  connection.send(bytes)
  await connection.finish(ending, () => false)
  const received = connection.received()
  if (received.length === 0 || what.startsWith('read')) return
  let message: string | undefined
  try {
    message = tryDecodeDelimited(blockOpResponse, received, 0, received.length)?.value.message
  } catch {
    return // Packets of a read that went before.
  }
  if (message !== undefined && /IllegalState|NullPointer|assert|undefined/i.test(message)) {
    throw new Error(`"${message}" in answer to ${what} ${bytes.toString('hex').slice(0, 2000)}`)
  }
}
