import { crc32, crc32c } from '../../base/checksum.ts'
import { type CrcCombiner, crcCombiner, crcCompose } from '../../protocol/crc-combine.ts'
import type { ChecksumType } from '../../protocol/states.ts'
import type { PacketShape, Placement } from '../core/block-receiver.ts'
import type { MetaBuilder } from '../format/meta-builder.ts'

/** The chunks that the packets of a sender come in. */
export interface WireChunks {
  readonly checksumType: ChecksumType
  readonly bytesPerChecksum: number
}

/** A packet that has arrived. */
export interface ArrivedPacket {
  readonly shape: PacketShape
  readonly placement: Placement
  /** One per wire chunk, as they came. */
  readonly checksums: Buffer
  /** All data of the packet, when it was not received in place. */
  readonly scratch: Buffer | undefined
}

/**
 * The checksums of a transfer: verifies those that come with the packets, and makes those that the meta file stores.
 *
 * Mostly the chunks of wire and meta file are the same and so are the checksums. Two exceptions: a chunk of which only the
 * end is new is composed; and a client that goes on with other chunks than the replica began with gets its data verified
 * by its own checksums, and stored under ones that are computed here from what was verified.
 */
export class PacketVerifier {
  readonly #wire: WireChunks
  readonly #meta: MetaBuilder
  readonly #combiner: CrcCombiner | undefined
  readonly #translates: boolean

  constructor(wire: WireChunks, meta: MetaBuilder) {
    this.#wire = wire
    this.#meta = meta
    const { checksumType, bytesPerChecksum } = wire
    this.#combiner =
      checksumType === 'null' ? undefined : crcCombiner(checksumType, bytesPerChecksum)
    const { layout } = meta
    this.#translates =
      layout.checksumType !== checksumType || layout.bytesPerChecksum !== bytesPerChecksum
  }

  /** One CRC over all the data against the combined CRCs of its chunks. */
  matches({ shape, checksums }: ArrivedPacket, parts: readonly Buffer[]): boolean {
    if (this.#combiner === undefined) return true
    const { checksumType, bytesPerChecksum } = this.#wire
    const count = Math.ceil(shape.length / bytesPerChecksum)
    const lastBytes = shape.length - (count - 1) * bytesPerChecksum
    let crc = 0
    for (const part of parts) crc = crcOf(checksumType, part, crc)
    return crc === this.#combiner.combine(checksums, 0, count, lastBytes)
  }

  /** True when the part of the last chunk that is sent again is the one that is here. */
  agrees({ shape, placement }: ArrivedPacket, scratch: Buffer): boolean {
    const { length, layout } = this.#meta
    const { bytesPerChecksum, checksumBytes, checksumType } = layout
    const start = length - (length % bytesPerChecksum)
    if (placement.kind !== 'overlap' || start === length || start < shape.offset) return true
    const repeated = scratch.subarray(start - shape.offset, placement.skip)
    return checksumBytes === 0 || crcOf(checksumType, repeated) === this.#meta.lastChecksum()
  }

  /**
   * What the meta file gets for the new bytes of a verified packet, which are `parts`: the CRCs of the chunks from number
   * `chunk` on.
   */
  stored(
    packet: ArrivedPacket,
    parts: readonly Buffer[],
  ): { readonly chunk: number; readonly checksums: Buffer } {
    const { length, layout } = this.#meta
    const { bytesPerChecksum, checksumBytes } = layout
    const used = length % bytesPerChecksum
    const chunk = (length - used) / bytesPerChecksum
    const { offset, length: packetBytes } = packet.shape
    if (checksumBytes === 0) return { chunk, checksums: Buffer.alloc(0) }
    if (this.#translates) return { chunk, checksums: this.#computed(parts, used) }
    if (used > 0 && offset > chunk * bytesPerChecksum) {
      const newBytes = Math.min(offset + packetBytes - length, packetBytes)
      return { chunk, checksums: this.#composed(packet, newBytes) }
    }
    if (offset >= length) return { chunk, checksums: packet.checksums }
    const skipped = (chunk * bytesPerChecksum - offset) / bytesPerChecksum
    return { chunk, checksums: packet.checksums.subarray(skipped * checksumBytes) }
  }

  /**
   * CRC of a chunk of which the packet holds only the end: that of the part which is here, continued by
   * the new bytes. The part which is here is not read again; if it is damaged, the CRC keeps saying so.
   */
  #composed({ placement, checksums, scratch }: ArrivedPacket, newBytes: number): Buffer {
    const { checksumType } = this.#meta.layout
    const isExact = placement.kind === 'append' || scratch === undefined
    const added = isExact
      ? checksums.readUInt32BE()
      : crcOf(checksumType, scratch.subarray(-newBytes))
    return crcBytes([this.#continued(added, newBytes)])
  }

  /** CRCs of new bytes in the meta file's chunks, the first of which has `used` bytes already. */
  #computed(parts: readonly Buffer[], used: number): Buffer {
    const { bytesPerChecksum, checksumType } = this.#meta.layout
    const crcs: number[] = []
    let inChunk = used
    let crc = 0
    let newBytes = 0
    const endChunk = (): void => {
      const isContinued = crcs.length === 0 && used > 0
      crcs.push(isContinued ? this.#continued(crc, newBytes) : crc)
      inChunk = crc = newBytes = 0
    }
    for (const part of parts) {
      for (let at = 0; at < part.length; ) {
        const count = Math.min(bytesPerChecksum - inChunk, part.length - at)
        crc = crcOf(checksumType, part.subarray(at, at + count), crc)
        at += count
        inChunk += count
        newBytes += count
        if (inChunk === bytesPerChecksum) endChunk()
      }
    }
    if (newBytes > 0) endChunk()
    return crcBytes(crcs)
  }

  #continued(added: number, newBytes: number): number {
    const type = this.#meta.layout.checksumType === 'crc32' ? 'crc32' : 'crc32c'
    return crcCompose(type, this.#meta.lastChecksum(), added, newBytes)
  }
}

function crcOf(type: ChecksumType, data: Uint8Array, initial = 0): number {
  if (type === 'crc32c') return crc32c(data, initial)
  return type === 'crc32' ? crc32(data, initial) : 0
}

function crcBytes(crcs: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * crcs.length)
  for (const [index, crc] of crcs.entries()) bytes.writeUInt32BE(crc, 4 * index)
  return bytes
}
