import { assert } from '../base/assert.ts'
import { crc32, crc32c } from '../base/checksum.ts'
import { type CrcCombiner, crcCombiner } from '../protocol/crc-combine.ts'
import { checksumBytes } from '../protocol/data-transfer.ts'
import { DfsError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import type { Checksum } from '../protocol/messages/data-transfer.ts'

/** Computes and verifies the checksums of packets of one kind. */
export class PacketChecksums {
  readonly kind: Checksum
  readonly #crc: ((data: Uint8Array, initial?: number) => number) | undefined
  readonly #combiner: CrcCombiner | undefined

  /** @throws {@link DfsError} BAD_FRAME when a peer names a chunk size outside the limits */
  constructor(kind: Checksum) {
    const { type, bytesPerChecksum } = kind
    if (bytesPerChecksum < 1 || bytesPerChecksum > limits.bytesPerChecksumMax) {
      throw new DfsError(
        'BAD_FRAME',
        `Checksums over ${bytesPerChecksum} bytes are not supported: need 1 to ${limits.bytesPerChecksumMax}`,
      )
    }
    this.kind = kind
    if (type === 'CHECKSUM_NULL') return
    this.#crc = type === 'CHECKSUM_CRC32' ? crc32 : crc32c
    this.#combiner = crcCombiner(type === 'CHECKSUM_CRC32' ? 'crc32' : 'crc32c', bytesPerChecksum)
  }

  /** Writes one big-endian checksum per chunk of `data` into `target` from `offset` on. */
  compute(data: Uint8Array, target: Buffer, offset: number): void {
    const crc = this.#crc
    if (crc === undefined) return
    const { bytesPerChecksum } = this.kind
    let position = offset
    for (let start = 0; start < data.length; start += bytesPerChecksum) {
      target.writeUInt32BE(crc(data.subarray(start, start + bytesPerChecksum)), position)
      position += checksumBytes
    }
  }

  /**
   * Verifies a packet: one CRC over all of it, compared with the chunks' CRCs combined; chunk by chunk only to
   * find the culprit.
   *
   * @param checksums as many as `data` has chunks
   * @returns offset in `data` of the first bad chunk, or -1
   */
  firstBadChunk(data: Uint8Array, checksums: Buffer): number {
    const crc = this.#crc
    if (crc === undefined || this.#combiner === undefined || data.length === 0) return -1
    const { bytesPerChecksum } = this.kind
    const count = Math.ceil(data.length / bytesPerChecksum)
    assert(checksums.length === count * checksumBytes, 'a packet must have a checksum per chunk')
    const lastChunkBytes = data.length - (count - 1) * bytesPerChecksum
    if (crc(data) === this.#combiner.combine(checksums, 0, count, lastChunkBytes)) return -1
    for (let index = 0; index < count; index += 1) {
      const start = index * bytesPerChecksum
      const chunk = data.subarray(start, start + bytesPerChecksum)
      if (crc(chunk) !== checksums.readUInt32BE(index * checksumBytes)) return start
    }
    return 0
  }
}
