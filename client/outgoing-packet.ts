import {
  checksumsBytesFor,
  encodePacketHeader,
  heartbeatSeqno,
  packetPrefixBytes,
} from '../protocol/data-transfer.ts'
import type { PipelinePacket } from './core/write-pipeline.ts'
import type { PacketChecksums } from './packet-checksums.ts'

/** A packet ready to be sent, as often as it takes. */
export interface OutgoingPacket extends PipelinePacket {
  /** Lengths, header and checksums. */
  readonly prefix: Buffer
  readonly data: Uint8Array
  /** The slab that `data` lies in, given back when the packet is acknowledged. */
  readonly slab: Buffer | undefined
}

/** What a packet is made of. */
export interface PacketParts {
  readonly seqno: number
  readonly offsetInBlock: number
  readonly isLast: boolean
  /** The datanodes acknowledge only when everything up to here is on disk. */
  readonly isSync: boolean
  readonly data: Uint8Array
  readonly slab: Buffer | undefined
}

const noBytes = Buffer.alloc(0)

/** Puts lengths, header and checksums in front of the data. */
export function buildPacket(parts: PacketParts, checksums: PacketChecksums): OutgoingPacket {
  const { seqno, offsetInBlock, isLast, isSync, data, slab } = parts
  const { type, bytesPerChecksum } = checksums.kind
  const checksumsBytes = checksumsBytesFor(type, bytesPerChecksum, data.length)
  const prefix = Buffer.allocUnsafe(packetPrefixBytes(isSync) + checksumsBytes)
  const header = {
    offsetInBlock,
    seqno,
    lastPacketInBlock: isLast,
    dataLen: data.length,
    syncBlock: isSync,
  }
  const headerEnd = encodePacketHeader(prefix, 0, header, checksumsBytes)
  checksums.compute(data, prefix, headerEnd)
  return { seqno, offsetInBlock, dataBytes: data.length, isLast, prefix, data, slab }
}

/** A packet that only shows the datanodes that the writer is alive. */
export function heartbeatPacket(): OutgoingPacket {
  const prefix = Buffer.allocUnsafe(packetPrefixBytes(false))
  const header = { offsetInBlock: 0, seqno: heartbeatSeqno, lastPacketInBlock: false, dataLen: 0 }
  encodePacketHeader(prefix, 0, header, 0)
  return {
    seqno: heartbeatSeqno,
    offsetInBlock: 0,
    dataBytes: 0,
    isLast: false,
    prefix,
    data: noBytes,
    slab: undefined,
  }
}
