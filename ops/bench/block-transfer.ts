import { connect, type Socket } from 'node:net'
import { crc32c } from '../../base/checksum.ts'
import { crcCombiner } from '../../protocol/crc-combine.ts'
import {
  DelimitedDecoder,
  encodeOperation,
  encodePacketHeader,
  opcodes,
  packetPrefixBytes,
  tryDecodeDelimited,
  tryDecodePacketPrefix,
} from '../../protocol/data-transfer.ts'
import { encodeDelimited } from '../../protocol/message.ts'
import {
  blockOpResponse,
  clientReadStatus,
  opReadBlock,
  opWriteBlock,
  pipelineAck,
} from '../../protocol/messages/data-transfer.ts'
import { ackStatuses } from '../../protocol/pipeline-ack.ts'

/** A datanode to measure, by the port of its transfer server on this machine. */
export interface MeasuredDatanode {
  readonly port: number
}

export interface BlockName {
  readonly poolId: string
  readonly blockId: number
  readonly generationStamp: number
}

/** How a stream is cut: Java's client sends 126 chunks of 512 bytes. */
export interface StreamShape {
  readonly packetBytes: number
  readonly bytesPerChecksum: number
}

const packetsInFlightMax = 80
const backlogBytesMax = 4 * 1024 * 1024
const sourceBytes = 64 * 1024 * 1024

let cachedSource: Buffer | undefined

/** Memory with bytes that no two chunks share; blocks of a benchmark repeat it. */
export function benchSource(): Buffer {
  if (cachedSource !== undefined) return cachedSource
  const source = Buffer.allocUnsafeSlow(sourceBytes)
  const words = new Uint32Array(source.buffer, source.byteOffset, sourceBytes / 4)
  for (let index = 0; index < words.length; index += 1) {
    words[index] = Math.imul(index, 2654435761)
  }
  cachedSource = source
  return source
}

/**
 * Writes one block through a pipeline and resolves when its last packet is acknowledged by all. The
 * client's work is what a real one has to do: one CRC per chunk, a bounded number of packets in flight.
 */
export function writeBlock(
  pipeline: readonly MeasuredDatanode[],
  block: BlockName,
  lengthBytes: number,
  shape: StreamShape,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const [first, ...others] = pipeline
    if (first === undefined) throw new Error('a pipeline needs a datanode')
    const socket = connect({ host: '127.0.0.1', port: first.port, noDelay: true })
    const writer = new BlockWriter(socket, lengthBytes, shape, resolve)
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the datanode closed the connection')))
    socket.on('data', (bytes: Buffer) => {
      try {
        writer.received(bytes)
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    })
    socket.on('drain', () => writer.pump())
    socket.write(writeOperation(block, others, shape))
  })
}

class BlockWriter {
  readonly #socket: Socket
  readonly #lengthBytes: number
  readonly #shape: StreamShape
  readonly #resolve: () => void
  readonly #acks = new DelimitedDecoder(pipelineAck)
  #isSetUp = false
  #sentBytes = 0
  #isLastSent = false
  #seqno = 0
  #ackedCount = 0

  constructor(socket: Socket, lengthBytes: number, shape: StreamShape, resolve: () => void) {
    this.#socket = socket
    this.#lengthBytes = lengthBytes
    this.#shape = shape
    this.#resolve = resolve
  }

  received(bytes: Buffer): void {
    let rest = bytes
    if (!this.#isSetUp) {
      const taken = tryDecodeDelimited(blockOpResponse, bytes, 0, bytes.length)
      if (taken?.value.status !== 'SUCCESS') {
        throw new Error(`set-up failed: ${taken?.value.firstBadLink ?? 'no answer'}`)
      }
      this.#isSetUp = true
      rest = bytes.subarray(taken.next)
    }
    for (const ack of rest.length === 0 ? [] : this.#acks.push(rest)) {
      const bad = ackStatuses(ack).find((status) => status !== 'SUCCESS')
      if (bad !== undefined) throw new Error(`packet ${ack.seqno} was answered ${bad}`)
      this.#ackedCount += 1
    }
    if (this.#isLastSent && this.#ackedCount === this.#seqno) {
      this.#socket.removeAllListeners('close')
      this.#socket.destroy()
      this.#resolve()
      return
    }
    this.pump()
  }

  pump(): void {
    while (this.#maySend()) this.#sendNext()
  }

  #maySend(): boolean {
    const inFlight = this.#seqno - this.#ackedCount
    const hasRoom = inFlight < packetsInFlightMax && this.#socket.writableLength < backlogBytesMax
    return this.#isSetUp && !this.#isLastSent && hasRoom
  }

  #sendNext(): void {
    const { packetBytes, bytesPerChecksum } = this.#shape
    const source = benchSource()
    const start = this.#sentBytes % source.length
    const bytes = Math.min(packetBytes, this.#lengthBytes - this.#sentBytes, source.length - start)
    const data = source.subarray(start, start + bytes)
    const count = Math.ceil(bytes / bytesPerChecksum)
    const head = Buffer.allocUnsafe(packetPrefixBytes(false) + 4 * count)
    const fields = {
      offsetInBlock: this.#sentBytes,
      seqno: this.#seqno,
      lastPacketInBlock: bytes === 0,
      dataLen: bytes,
    }
    let at = encodePacketHeader(head, 0, fields, 4 * count)
    for (let chunk = 0; chunk < count; chunk += 1) {
      const from = chunk * bytesPerChecksum
      at = head.writeUInt32BE(crc32c(data.subarray(from, from + bytesPerChecksum)), at)
    }
    this.#socket.cork()
    this.#socket.write(head)
    if (bytes > 0) this.#socket.write(data)
    process.nextTick(() => this.#socket.uncork())
    this.#sentBytes += bytes
    this.#seqno += 1
    this.#isLastSent = bytes === 0
  }
}

function writeOperation(
  { poolId, blockId, generationStamp }: BlockName,
  others: readonly MeasuredDatanode[],
  { bytesPerChecksum }: StreamShape,
): Uint8Array {
  return encodeOperation(opcodes.writeBlock, opWriteBlock, {
    header: {
      baseHeader: { block: { poolId, blockId, generationStamp, numBytes: 0 } },
      clientName: 'bench',
    },
    targets: others.map(({ port }) => ({
      id: {
        ipAddr: '127.0.0.1',
        hostName: 'localhost',
        datanodeUuid: '',
        xferPort: port,
        infoPort: 0,
        ipcPort: 0,
      },
    })),
    stage: 'PIPELINE_SETUP_CREATE',
    pipelineSize: others.length + 1,
    minBytesRcvd: 0,
    maxBytesRcvd: 0,
    latestGenerationStamp: 0,
    requestedChecksum: { type: 'CHECKSUM_CRC32C', bytesPerChecksum },
    targetStorageTypes: [],
    targetPinnings: [],
    targetStorageIds: [],
  })
}

/** Reads a whole block, verifies every packet against its chunk CRCs, and resolves when all was right. */
export function readBlock(
  { port }: MeasuredDatanode,
  { poolId, blockId, generationStamp }: BlockName,
  lengthBytes: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const reader = new BlockReader(lengthBytes)
    const socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      onread: {
        buffer: () => reader.space(),
        callback: (count) => {
          try {
            if (reader.received(count)) {
              socket.end(encodeDelimited(clientReadStatus, { status: 'CHECKSUM_OK' }))
              socket.removeAllListeners('close')
              resolve()
            }
          } catch (error) {
            socket.destroy(error instanceof Error ? error : new Error(String(error)))
          }
          return true
        },
      },
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the datanode closed the connection')))
    socket.write(
      encodeOperation(opcodes.readBlock, opReadBlock, {
        header: {
          baseHeader: { block: { poolId, blockId, generationStamp, numBytes: lengthBytes } },
          clientName: 'bench',
        },
        offset: 0,
        len: lengthBytes,
      }),
    )
  })
}

/** The receiving half of a read: heads are read with some slack, data exactly in place. */
class BlockReader {
  readonly #lengthBytes: number
  readonly #head = Buffer.allocUnsafeSlow(64 * 1024)
  readonly #data = Buffer.allocUnsafeSlow(2 * 1024 * 1024)
  #staged = 0
  #headWanted = 64
  #checksums = Buffer.alloc(0)
  #dataBytes = 0
  #dataFilled = 0
  #bytesPerChecksum = 0
  #receivedBytes = 0
  #isFillingData = false

  constructor(lengthBytes: number) {
    this.#lengthBytes = lengthBytes
  }

  space(): Buffer {
    this.#isFillingData = this.#dataFilled < this.#dataBytes
    if (this.#isFillingData) return this.#data.subarray(this.#dataFilled, this.#dataBytes)
    return this.#head.subarray(this.#staged, Math.max(this.#headWanted, this.#staged + 1))
  }

  /** Takes `count` bytes that went where {@link space} said; true when the block is complete. */
  received(count: number): boolean {
    if (this.#isFillingData) this.#dataFilled += count
    else this.#staged += count
    while (this.#step());
    return this.#headWanted === 0
  }

  #step(): boolean {
    if (this.#dataFilled < this.#dataBytes) {
      const moved = Math.min(this.#staged, this.#dataBytes - this.#dataFilled)
      this.#head.copy(this.#data, this.#dataFilled, 0, moved)
      this.#dataFilled += moved
      this.#consume(moved)
      if (this.#dataFilled < this.#dataBytes) return false
    }
    if (this.#dataBytes > 0) this.#verify()
    if (this.#bytesPerChecksum === 0) return this.#takeResponse()
    return this.#takeHead()
  }

  #takeResponse(): boolean {
    const taken = tryDecodeDelimited(blockOpResponse, this.#head, 0, this.#staged)
    if (taken === undefined) return false
    const info = taken.value.readOpChecksumInfo
    if (info === undefined) throw new Error(taken.value.message ?? 'the read was refused')
    this.#bytesPerChecksum = info.checksum.bytesPerChecksum
    this.#consume(taken.next)
    return true
  }

  #takeHead(): boolean {
    const prefix = tryDecodePacketPrefix(this.#head, 0, this.#staged)
    if (prefix === undefined) return false
    const headBytes = prefix.prefixBytes + prefix.checksumsBytes
    this.#headWanted = headBytes
    if (this.#staged < headBytes) return false
    if (prefix.header.lastPacketInBlock) {
      if (this.#receivedBytes !== this.#lengthBytes) throw new Error('the block is too short')
      this.#headWanted = 0
      return false
    }
    this.#checksums = Buffer.from(this.#head.subarray(prefix.prefixBytes, headBytes))
    this.#dataBytes = prefix.header.dataLen
    this.#dataFilled = 0
    this.#consume(headBytes)
    return true
  }

  #verify(): void {
    const count = this.#checksums.length / 4
    const lastBytes = this.#dataBytes - (count - 1) * this.#bytesPerChecksum
    const combiner = crcCombiner('crc32c', this.#bytesPerChecksum)
    const data = this.#data.subarray(0, this.#dataBytes)
    if (crc32c(data) !== combiner.combine(this.#checksums, 0, count, lastBytes)) {
      throw new Error(`data at offset ${this.#receivedBytes} does not match its checksums`)
    }
    this.#receivedBytes += this.#dataBytes
    this.#dataBytes = 0
    this.#dataFilled = 0
  }

  #consume(bytes: number): void {
    this.#head.copyWithin(0, bytes, this.#staged)
    this.#staged -= bytes
  }
}
