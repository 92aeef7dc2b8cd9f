/**
 * Grows the stripes of a meta file while its block is received (layout: block-meta.ts).
 *
 *     written stripes | open stripes: in memory, at most one of them written before |
 *                       ^ #firstSpan                                        ^ length
 *
 * 1. `hash` is called for every new byte, in order, before the byte's chunk CRC is verified (D3).
 * 2. `take` hands out every stripe that changed since the last call and keeps only an incomplete one,
 *    so memory is bounded by what arrives between two calls, and 8 bytes per span of the block.
 */
import { assert, defined } from '../../base/assert.ts'
import { createXxh64, type StreamingXxh64, xxh64 } from '../../base/checksum.ts'
import { spanDigestBytes as digestBytes, digestOfSpans } from './block-digest.ts'
import { type MetaLayout, stripeOffset } from './block-meta.ts'

/** Bytes to be written at an offset of the meta file; owned by the caller. */
export interface MetaWrite {
  readonly offset: number
  readonly bytes: Buffer
}

/** Where an existing meta file ends, for {@link MetaBuilder.resume}. */
export interface MetaEnd {
  readonly length: number
  readonly spanDigests: Uint8Array
  readonly stripe: Buffer
  readonly spanData: Uint8Array
}

export class MetaBuilder {
  readonly layout: MetaLayout
  #firstSpan = 0
  #stripes: Buffer
  #hashedLength = 0
  #digest: StreamingXxh64 | undefined
  /** Digests of all spans so far. */
  #spanDigests = Buffer.alloc(64 * digestBytes)
  #length = 0
  #isDirty = false

  constructor(layout: MetaLayout) {
    this.layout = layout
    this.#stripes = Buffer.alloc(layout.stripeBytes * 2)
  }

  /**
   * Goes on where an existing meta file ends: `spanDigests` are those of the complete spans, `stripe` is
   * that of the last, incomplete one and `spanData` its bytes, both empty when `length` is a multiple of the span.
   */
  static resume(layout: MetaLayout, end: MetaEnd): MetaBuilder {
    const { length, spanDigests, stripe, spanData } = end
    const builder = new MetaBuilder(layout)
    builder.#firstSpan = Math.floor(length / layout.spanBytes)
    assert(spanDigests.length === builder.#firstSpan * digestBytes, 'resume needs all digests')
    if (spanDigests.length > 0) builder.#spanDigests = Buffer.from(spanDigests)
    assert(spanData.length === length % layout.spanBytes, 'resume needs the whole open span')
    stripe.copy(builder.#stripes)
    builder.#hashedLength = length - spanData.length
    builder.#length = length
    builder.hash(spanData)
    return builder
  }

  /** Bytes whose checksums are in. */
  get length(): number {
    return this.#length
  }

  /** Bytes of stripes that wait to be taken, about. */
  get pendingBytes(): number {
    const openSpan = Math.floor(this.#length / this.layout.spanBytes)
    return (openSpan - this.#firstSpan) * this.layout.stripeBytes
  }

  /** Adds the next bytes of the block to the digest of their span. */
  hash(data: Uint8Array): void {
    const { spanBytes } = this.layout
    let at = 0
    while (at < data.length) {
      const within = this.#hashedLength % spanBytes
      const part = data.subarray(at, at + Math.min(spanBytes - within, data.length - at))
      if (part.length === spanBytes) {
        this.#setDigest(this.#hashedLength / spanBytes, xxh64(part))
      } else {
        this.#hashPart(part, within)
      }
      at += part.length
      this.#hashedLength += part.length
    }
  }

  /**
   * Takes the CRCs of the chunks from number `chunk` on, replacing any that are there; afterwards the
   * block is `length` bytes long. `checksums` is copied.
   */
  append(chunk: number, checksums: Uint8Array, length: number): void {
    const { chunksPerSpan, checksumBytes, spanBytes } = this.layout
    const count = checksumBytes === 0 ? 0 : checksums.length / checksumBytes
    let done = 0
    while (done < count) {
      const span = Math.floor((chunk + done) / chunksPerSpan)
      const within = chunk + done - span * chunksPerSpan
      const run = Math.min(chunksPerSpan - within, count - done)
      const at = this.#stripeAt(span) + digestBytes + within * checksumBytes
      this.#stripes.set(checksums.subarray(done * checksumBytes, (done + run) * checksumBytes), at)
      done += run
    }
    if (length > 0) this.#stripeAt(Math.floor((length - 1) / spanBytes))
    this.#length = length
    this.#isDirty = true
  }

  /** CRC of the last chunk; the block must end in mid-chunk and have checksums. */
  lastChecksum(): number {
    const { chunksPerSpan, bytesPerChecksum, checksumBytes } = this.layout
    const chunk = Math.floor(this.#length / bytesPerChecksum)
    const span = Math.floor(chunk / chunksPerSpan)
    const within = chunk - span * chunksPerSpan
    return this.#stripes.readUInt32BE(this.#stripeAt(span) + digestBytes + within * checksumBytes)
  }

  /** Digest of the bytes of the last, incomplete span; everything received must be verified. */
  openDigest(): bigint {
    assert(this.#hashedLength === this.#length, 'openDigest must not cover unverified bytes')
    return defined(this.#digest, 'digest of the open span').digest()
  }

  /** Digest of the whole block as it is now; everything received must be verified. */
  blockDigest(): bigint {
    assert(this.#hashedLength === this.#length, 'blockDigest must not cover unverified bytes')
    const { spanBytes } = this.layout
    const openSpan = Math.floor(this.#length / spanBytes)
    if (this.#length % spanBytes > 0) this.#setDigest(openSpan, this.openDigest())
    return digestOfSpans(
      this.#spanDigests.subarray(0, Math.ceil(this.#length / spanBytes) * digestBytes),
    )
  }

  /** Hands out what the meta file lacks, or `undefined` when nothing changed. */
  take(): MetaWrite | undefined {
    if (!this.#isDirty) return undefined
    const { spanBytes, stripeBytes, checksumBytes, bytesPerChecksum } = this.layout
    const openSpan = Math.floor(this.#length / spanBytes)
    const rest = this.#length - openSpan * spanBytes
    if (rest > 0 && this.#digest !== undefined && this.#hashedLength === this.#length) {
      this.#setDigest(openSpan, this.#digest.digest())
    }
    const complete = (openSpan - this.#firstSpan) * stripeBytes
    const partial =
      rest === 0 ? 0 : digestBytes + Math.ceil(rest / bytesPerChecksum) * checksumBytes
    const offset = stripeOffset(this.layout, this.#firstSpan)
    const bytes = Buffer.from(this.#stripes.subarray(0, complete + partial))
    this.#stripes.copyWithin(0, complete, this.#stripes.length)
    this.#firstSpan = openSpan
    this.#isDirty = false
    return { offset, bytes }
  }

  #hashPart(part: Uint8Array, within: number): void {
    const { spanBytes } = this.layout
    if (within === 0) this.#digest = createXxh64()
    const digest = defined(this.#digest, 'digest of the open span')
    digest.update(part)
    if (within + part.length < spanBytes) return
    this.#setDigest(Math.floor(this.#hashedLength / spanBytes), digest.digest())
    this.#digest = undefined
  }

  #setDigest(span: number, digest: bigint): void {
    const at = this.#stripeAt(span)
    this.#stripes.writeBigUInt64BE(digest, at)
    if ((span + 1) * digestBytes > this.#spanDigests.length) {
      const bigger = Buffer.alloc(Math.max(this.#spanDigests.length, digestBytes) * 2)
      this.#spanDigests.copy(bigger)
      this.#spanDigests = bigger
    }
    this.#spanDigests.writeBigUInt64BE(digest, span * digestBytes)
  }

  /** Position of a span's stripe in `#stripes`, which grows to hold it. */
  #stripeAt(span: number): number {
    assert(span >= this.#firstSpan, `stripe ${span} must still be open`)
    const at = (span - this.#firstSpan) * this.layout.stripeBytes
    if (at + this.layout.stripeBytes > this.#stripes.length) {
      const bigger = Buffer.alloc(Math.max(this.#stripes.length * 2, at + this.layout.stripeBytes))
      this.#stripes.copy(bigger)
      this.#stripes = bigger
    }
    return at
  }
}
