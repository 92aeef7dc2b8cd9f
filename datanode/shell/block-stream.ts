import type { Socket } from 'node:net'
import { xxh64 } from '../../base/checksum.ts'
import { encodePacketHeader, packetPrefixBytes } from '../../protocol/data-transfer.ts'
import { DfsError } from '../../protocol/errors.ts'
import { packetEnd, type ReadPlan } from '../core/block-sender.ts'
import { readSpanDigest, stripeChecksums } from '../format/block-meta.ts'
import { type BufferPool, type PooledBuffer, smallBufferBytes } from './buffer-pool.ts'
import type { StoredReplica } from './replica-reader.ts'

/** Reads under way, or read and not yet with the peer's kernel, for one transfer. */
const readAheadUnits = 3
/** Bytes of stripes that are read together: those of 15 MiB of data with 512-byte chunks. */
const stripesReadTogetherBytes = 128 * 1024
/** Heap memory of a transfer when the pool is mostly used up: a slow reader must not starve the others. */
const fallbackBytes = 64 * 1024

/** Data of some packets, in memory that goes back when the kernel has it. */
interface Unit {
  readonly start: number
  readonly end: number
  readonly data: Buffer
  readonly buffer: PooledBuffer | undefined
  readonly stripes: StripeSet | undefined
}

export interface BlockStreamOptions {
  readonly stored: StoredReplica
  readonly plan: ReadPlan
  readonly pool: BufferPool
  readonly socket: Socket
  /** Compare with the stored XXH64 before sending: for copies, which nobody else may verify in time. */
  readonly verifiesDigests: boolean
  /** Called before each stretch of data is sent, which waits for the promise, if there is one. */
  readonly beforeUnit?: (() => Promise<void> | void) | undefined
}

/**
 * Sends the packets of a read, and the empty last one, with the stored chunk CRCs. Reads ahead of the
 * socket by a bounded amount. `preface` precedes the first packet in the same write.
 *
 * @throws {@link DfsError} CHECKSUM_MISMATCH when digests are verified and one is wrong, CORRUPTION when a
 * file is shorter than its replica, ABORTED when the peer is gone
 */
export async function sendBlock(options: BlockStreamOptions, preface?: Uint8Array): Promise<void> {
  const stream = new BlockStream(options)
  await stream.run(preface)
}

/** Stripes of spans `first` to `last`, being read or read. */
interface StripeSet {
  readonly first: number
  readonly last: number
  readonly bytes: Promise<Buffer>
}

class BlockStream {
  readonly #options: BlockStreamOptions
  readonly #loading: Promise<Unit>[] = []
  #position: number
  #seqno = 0
  #stripes: StripeSet | undefined
  #unsentUnits = 0
  #onSent: (() => void) | undefined
  #preface: Uint8Array | undefined

  constructor(options: BlockStreamOptions) {
    this.#options = options
    this.#position = options.plan.start
  }

  async run(preface: Uint8Array | undefined): Promise<void> {
    const { plan, socket, beforeUnit } = this.#options
    this.#preface = preface
    try {
      while (this.#position < plan.end || this.#loading.length > 0) {
        while (this.#position < plan.end && this.#loading.length < this.#depth()) this.#load()
        const unit = await this.#loading.shift()
        if (unit === undefined) break
        await beforeUnit?.()
        const heads = await this.#heads(unit)
        if (socket.destroyed) {
          unit.buffer?.release()
          throw new DfsError('ABORTED', 'The reader closed the connection')
        }
        this.#send(unit, heads)
        if (this.#unsentUnits >= readAheadUnits) await this.#sent()
      }
    } finally {
      await this.#dropLoading()
    }
    if (plan.start === plan.end) this.#sendEnd()
  }

  /** Waits for what is still being read: the caller closes the files next, and their numbers get a new meaning. */
  async #dropLoading(): Promise<void> {
    for (const loaded of await Promise.allSettled(this.#loading)) {
      if (loaded.status === 'rejected') continue
      loaded.value.buffer?.release()
      await loaded.value.stripes?.bytes.catch(ignore)
    }
    await this.#stripes?.bytes.catch(ignore)
  }

  #depth(): number {
    return Math.max(1, readAheadUnits - this.#unsentUnits)
  }

  #load(): void {
    const { plan, stored } = this.#options
    const start = this.#position
    const buffer = this.#takeBuffer(plan.end - start)
    const room = buffer?.bytes.length ?? fallbackBytes
    // Units end where packets end, so that a packet lies in one unit; a packet fits any buffer but the smallest.
    const full = start + room - ((start + room) % plan.packetBytes)
    const end = Math.min(plan.end, full > start ? full : packetEnd(plan, start))
    this.#position = end
    const isTooSmall = end - start > room
    if (isTooSmall) buffer?.release()
    const owner = isTooSmall ? undefined : buffer
    const data = owner?.bytes.subarray(0, end - start) ?? Buffer.allocUnsafeSlow(end - start)
    const isChecked = plan.withChecksums || this.#options.verifiesDigests
    const stripes = isChecked ? this.#stripesOf(start, end) : undefined
    const loaded = stored.readData(data, start).then(
      () => ({ start, end, data, buffer: owner, stripes }),
      (error: unknown) => {
        owner?.release()
        throw error
      },
    )
    loaded.catch(ignore)
    this.#loading.push(loaded)
  }

  /** Readers may use only a part of the pool: writers, which cannot fall back, have the rest. */
  #takeBuffer(wanted: number): PooledBuffer | undefined {
    const { pool } = this.#options
    if (wanted > smallBufferBytes && pool.usedShare < 0.5) return pool.take('large')
    return pool.usedShare < 0.75 ? pool.take('small') : undefined
  }

  /** Has the stripes of at least `[start, end)` read, and further ones with them. */
  #stripesOf(start: number, end: number): StripeSet {
    const { stored, plan } = this.#options
    const { spanBytes, stripeBytes } = stored.layout
    const last = Math.floor((end - 1) / spanBytes)
    if (this.#stripes !== undefined && last <= this.#stripes.last) return this.#stripes
    const first = Math.floor(start / spanBytes)
    const planned = Math.floor((plan.end - 1) / spanBytes)
    const ahead = first + Math.floor(stripesReadTogetherBytes / stripeBytes)
    const through = Math.max(last, Math.min(planned, ahead))
    const bytes = stored.readStripes(first, through)
    bytes.catch(ignore)
    this.#stripes = { first, last: through, bytes }
    return this.#stripes
  }

  /** Makes header and CRCs of each packet of a unit, after verifying its data if that is wanted. */
  async #heads(unit: Unit): Promise<Buffer[]> {
    const { plan, verifiesDigests } = this.#options
    try {
      const heads: Buffer[] = []
      for (let start = unit.start; start < unit.end; ) {
        const end = packetEnd(plan, start)
        const data = unit.data.subarray(start - unit.start, end - unit.start)
        const stripe = await this.#stripe(unit, start)
        if (verifiesDigests) this.#verifyDigest(start, data, stripe)
        const checksums = plan.withChecksums ? this.#checksums(start, end, stripe) : undefined
        heads.push(this.#head(start, data.length, checksums))
        start = end
      }
      return heads
    } catch (error) {
      unit.buffer?.release()
      throw error
    }
  }

  /** The stripe of the span that holds `position`; empty when neither digests nor CRCs are wanted. */
  async #stripe({ stripes }: Unit, position: number): Promise<Buffer> {
    if (stripes === undefined) return Buffer.alloc(0)
    const { spanBytes, stripeBytes } = this.#options.stored.layout
    const index = Math.floor(position / spanBytes) - stripes.first
    return (await stripes.bytes).subarray(index * stripeBytes, (index + 1) * stripeBytes)
  }

  #verifyDigest(start: number, data: Buffer, stripe: Buffer): void {
    const { stored } = this.#options
    if (xxh64(data) === readSpanDigest(stripe)) return
    throw new DfsError(
      'CHECKSUM_MISMATCH',
      `Block ${stored.replica.blockId} is damaged: "${stored.path}" does not match its digest ` +
        `between offsets ${start} and ${start + data.length}`,
      { blockId: stored.replica.blockId, path: stored.path },
    )
  }

  #checksums(start: number, end: number, stripe: Buffer): Buffer {
    const { layout, openChunk, length } = this.#options.stored
    const span = Math.floor(start / layout.spanBytes)
    const first = (start - span * layout.spanBytes) / layout.bytesPerChecksum
    const count = Math.ceil((end - start) / layout.bytesPerChecksum)
    const stored = stripeChecksums(layout, stripe, first, count)
    if (openChunk === undefined || end < length) return stored
    // The replica is being written: what is stored for its last chunk may cover later bytes.
    const fresh = Buffer.from(stored)
    fresh.writeUInt32BE(openChunk.checksum, 4 * (count - 1))
    return fresh
  }

  #head(offsetInBlock: number, dataLen: number, checksums: Buffer | undefined): Buffer {
    const checksumsBytes = checksums?.length ?? 0
    const head = Buffer.allocUnsafe(packetPrefixBytes(false) + checksumsBytes)
    const fields = { offsetInBlock, seqno: this.#seqno, lastPacketInBlock: false, dataLen }
    const at = encodePacketHeader(head, 0, fields, checksumsBytes)
    checksums?.copy(head, at)
    this.#seqno += 1
    return head
  }

  #send(unit: Unit, heads: readonly Buffer[]): void {
    const { socket, plan } = this.#options
    const isLast = unit.end === plan.end
    socket.cork()
    this.#sendPreface()
    let start = unit.start
    for (const head of heads) {
      const end = packetEnd(plan, start)
      socket.write(head)
      const bytes = unit.data.subarray(start - unit.start, end - unit.start)
      if (end < unit.end) socket.write(bytes)
      else socket.write(bytes, () => this.#unitSent(unit))
      start = end
    }
    this.#unsentUnits += 1
    if (isLast) this.#sendEnd()
    socket.uncork()
  }

  #sendPreface(): void {
    if (this.#preface !== undefined) this.#options.socket.write(this.#preface)
    this.#preface = undefined
  }

  #sendEnd(): void {
    const { socket, plan } = this.#options
    this.#sendPreface()
    const head = Buffer.allocUnsafe(packetPrefixBytes(false))
    const fields = {
      offsetInBlock: plan.end,
      seqno: this.#seqno,
      lastPacketInBlock: true,
      dataLen: 0,
    }
    encodePacketHeader(head, 0, fields, 0)
    socket.write(head)
  }

  #unitSent(unit: Unit): void {
    unit.buffer?.release()
    this.#unsentUnits -= 1
    const resume = this.#onSent
    this.#onSent = undefined
    resume?.()
  }

  /** Resolves when the kernel has taken another unit, or the connection is gone. */
  #sent(): Promise<void> {
    return new Promise((resolve) => {
      this.#onSent = resolve
    })
  }
}

function ignore(): void {
  // The error reaches whoever awaits the promise itself.
}
