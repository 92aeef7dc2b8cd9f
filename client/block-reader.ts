import {
  checkPacketChecksums,
  encodeOperation,
  opcodes,
  type PacketHeader,
  packetPrefixBytes,
  tryDecodeDelimited,
  tryDecodePacketPrefix,
} from '../protocol/data-transfer.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import { encodeDelimited } from '../protocol/message.ts'
import {
  blockOpResponse,
  clientReadStatus,
  opReadBlock,
} from '../protocol/messages/data-transfer.ts'
import type { ExtendedBlock, Token } from '../protocol/messages/hdfs.ts'
import { onAbort } from './abort.ts'
import { addressName, type ByteSink, type DatanodeConnection } from './datanode-connection.ts'
import { PacketChecksums } from './packet-checksums.ts'
import { responseError } from './transfer-response.ts'

/** Who takes the data of a block. Called synchronously while bytes arrive. */
export interface PacketConsumer {
  /** Where `length` bytes from `offsetInBlock` on go; exactly `length` long, and left alone until accepted. */
  place(offsetInBlock: number, length: number): Uint8Array
  /** The place given last holds verified data. False pauses until the connection is resumed. */
  accept(offsetInBlock: number, length: number): boolean
}

/** Part of a block to read: `[offset, offset + length)`. */
export interface BlockRange {
  readonly block: ExtendedBlock
  readonly token: Token
  readonly offset: number
  readonly length: number
}

/** What a read needs beside the range. */
export interface BlockReadOptions {
  readonly clientName: string
  readonly signal?: AbortSignal | undefined
}

const noBytes: Buffer = Buffer.alloc(0)

/**
 * Reads a range of one replica over `connection` and returns when all of it is with the consumer, verified; the
 * connection may then carry another operation. After an error it may not.
 *
 * @throws {@link DfsError} CHECKSUM_MISMATCH, REPLICA_NOT_FOUND, CONNECTION_LOST, TIMED_OUT, BAD_FRAME, ABORTED, …
 */
export function readBlockRange(
  connection: DatanodeConnection,
  range: BlockRange,
  consumer: PacketConsumer,
  { clientName, signal }: BlockReadOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: DfsError): void => {
      removeAbort()
      if (error === undefined) resolve()
      else {
        connection.destroy()
        reject(error)
      }
    }
    const removeAbort = onAbort(signal, finish)
    if (signal?.aborted === true) return
    connection.attach(new BlockReader(connection, range, consumer, finish))
    connection.write(
      encodeOperation(opcodes.readBlock, opReadBlock, {
        header: { baseHeader: { block: range.block, token: range.token }, clientName },
        offset: range.offset,
        len: range.length,
        sendChecksums: true,
        cachingStrategy: {},
      }),
    )
  })
}

/**
 * OP_READ_BLOCK's answer, packets and closing status.
 *
 * The datanode widens the range to whole chunks, so the consumer gets up to a chunk more on either side. A packet's
 * lengths, header and checksums (the prefix) are read with one exact read, its data with another straight into
 * place. Only the answer is read greedily: a short range then takes a single read, at the price of one short copy.
 */
class BlockReader implements ByteSink {
  readonly #connection: DatanodeConnection
  readonly #range: BlockRange
  readonly #consumer: PacketConsumer
  readonly #finish: (error?: DfsError) => void
  /** Unread bytes of answer or prefix are `[#start, #end)`; the read under way fills up to `#limit`. */
  #buffer: Buffer
  #start = 0
  #end = 0
  #limit: number
  /** Known once the answer is read. */
  #checksums: PacketChecksums | undefined
  /** Prefix of the packets so far; the next one mostly has the same. */
  #prefixBytes = packetPrefixBytes(false)
  /** The packet whose data is being read, its checksums, its place, how much of that is filled. */
  #header: PacketHeader | undefined
  #packetChecksums: Buffer = noBytes
  #data: Uint8Array = noBytes
  #filled = 0
  #nextSeqno = 0
  #nextOffset = 0
  #isDone = false

  constructor(
    connection: DatanodeConnection,
    range: BlockRange,
    consumer: PacketConsumer,
    finish: (error?: DfsError) => void,
  ) {
    this.#connection = connection
    this.#range = range
    this.#consumer = consumer
    this.#finish = finish
    this.#buffer = connection.scratch
    this.#limit = this.#buffer.length
  }

  destination(): Uint8Array {
    if (this.#header !== undefined) return this.#data.subarray(this.#filled)
    return this.#buffer.subarray(this.#end, this.#limit)
  }

  received(count: number): boolean {
    if (this.#header === undefined) this.#end += count
    else this.#filled += count
    try {
      return this.#advance()
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#settle(error)
      return false
    }
  }

  lost(error: DfsError): void {
    this.#settle(error)
  }

  /** Consumes what is there; false when the consumer wants a pause. */
  #advance(): boolean {
    let goesOn = true
    while (!this.#isDone) {
      if (this.#checksums === undefined) {
        if (!this.#readAnswer()) break
      } else if (this.#header === undefined) {
        if (!this.#readPrefix(this.#checksums)) break
      } else {
        if (this.#filled < this.#data.length) break
        goesOn = this.#endPacket(this.#header, this.#checksums) && goesOn
      }
    }
    return goesOn
  }

  /** False while the answer is incomplete. */
  #readAnswer(): boolean {
    const taken = tryDecodeDelimited(blockOpResponse, this.#buffer, this.#start, this.#end)
    if (taken === undefined) {
      const have = this.#end - this.#start
      return this.#needMore(have < this.#buffer.length ? this.#buffer.length : 2 * have)
    }
    const answer = taken.value
    this.#start = taken.next
    if (answer.status !== 'SUCCESS') throw responseError(answer, this.#connection.address, 'read')
    const info = answer.readOpChecksumInfo
    if (info === undefined) throw this.#badFrame('the answer has no checksum information')
    if (info.chunkOffset > this.#range.offset) {
      throw this.#badFrame(`data starts at ${info.chunkOffset} instead of ${this.#range.offset}`)
    }
    this.#checksums = new PacketChecksums(info.checksum)
    this.#nextOffset = info.chunkOffset
    return true
  }

  /** False while lengths, header or checksums are incomplete. */
  #readPrefix({ kind }: PacketChecksums): boolean {
    const prefix = tryDecodePacketPrefix(this.#buffer, this.#start, this.#end)
    if (prefix === undefined) return this.#needMore(this.#prefixBytes)
    checkPacketChecksums(prefix, kind.type, kind.bytesPerChecksum)
    const prefixBytes = prefix.prefixBytes + prefix.checksumsBytes
    if (this.#end - this.#start < prefixBytes) return this.#needMore(prefixBytes)
    this.#packetChecksums = this.#buffer.subarray(
      this.#start + prefix.prefixBytes,
      this.#start + prefixBytes,
    )
    this.#start += prefixBytes
    if (prefix.header.dataLen > 0) this.#prefixBytes = prefixBytes
    this.#beginPacket(prefix.header)
    return true
  }

  #beginPacket(header: PacketHeader): void {
    const { seqno, offsetInBlock, dataLen } = header
    if (seqno !== this.#nextSeqno || offsetInBlock !== this.#nextOffset) {
      throw this.#badFrame(
        `packet ${seqno} at ${offsetInBlock} came instead of ${this.#nextSeqno} at ${this.#nextOffset}`,
      )
    }
    this.#nextSeqno += 1
    this.#nextOffset += dataLen
    this.#header = header
    this.#data = dataLen === 0 ? noBytes : this.#consumer.place(offsetInBlock, dataLen)
    this.#filled = Math.min(this.#end - this.#start, dataLen)
    this.#data.set(this.#buffer.subarray(this.#start, this.#start + this.#filled))
    this.#start += this.#filled
  }

  /** Verifies the packet and passes it on; false when the consumer wants a pause. */
  #endPacket(header: PacketHeader, checksums: PacketChecksums): boolean {
    this.#header = undefined
    if (header.lastPacketInBlock) {
      this.#endRange()
      return true
    }
    const badOffset = checksums.firstBadChunk(this.#data, this.#packetChecksums)
    if (badOffset !== -1) throw this.#corrupt(header.offsetInBlock + badOffset)
    this.#data = noBytes
    return this.#consumer.accept(header.offsetInBlock, header.dataLen)
  }

  #endRange(): void {
    const { offset, length } = this.#range
    if (this.#nextOffset < offset + length) {
      throw this.#badFrame(`data ends at ${this.#nextOffset}, before ${offset + length}`)
    }
    if (this.#start !== this.#end) throw this.#badFrame('bytes follow the last packet')
    this.#connection.detach()
    this.#connection.write(encodeDelimited(clientReadStatus, { status: 'CHECKSUM_OK' }))
    this.#settle()
  }

  /** Makes room for `wanted` unread bytes in all, or one more than there are. Always false. */
  #needMore(wanted: number): boolean {
    const bytes = Math.max(wanted, this.#end - this.#start + 1)
    if (bytes > this.#buffer.length) {
      if (bytes > limits.packetBytesMax) throw this.#badFrame(`an answer claims ${bytes} bytes`)
      const larger = Buffer.allocUnsafeSlow(bytes)
      this.#buffer.copy(larger, 0, this.#start, this.#end)
      this.#buffer = larger
    } else if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end)
    }
    this.#end -= this.#start
    this.#start = 0
    this.#limit = bytes
    return false
  }

  #settle(error?: DfsError): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#finish(error)
  }

  #corrupt(offset: number): DfsError {
    const { blockId } = this.#range.block
    const datanode = addressName(this.#connection.address)
    return new DfsError(
      'CHECKSUM_MISMATCH',
      `Replica of block ${blockId} on ${datanode} does not match its checksum at byte ${offset}`,
      { blockId, datanode },
    )
  }

  #badFrame(what: string): DfsError {
    const { blockId } = this.#range.block
    const datanode = addressName(this.#connection.address)
    return new DfsError('BAD_FRAME', `Cannot read block ${blockId} from ${datanode}: ${what}`, {
      blockId,
      datanode,
    })
  }
}
