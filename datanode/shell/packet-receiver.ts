import { defined } from '../../base/assert.ts'
import type { Logger } from '../../base/log.ts'
import {
  checkPacketChecksums,
  type PacketPrefix,
  packetLengthsBytes,
  tryDecodePacketPrefix,
  unsolicitedSeqno,
} from '../../protocol/data-transfer.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import { encodeDelimited } from '../../protocol/message.ts'
import {
  type PipelineAck,
  pipelineAck,
  type Status,
} from '../../protocol/messages/data-transfer.ts'
import type { ChecksumType as WireChecksumType } from '../../protocol/messages/hdfs-blocks.ts'
import { ackFlag } from '../../protocol/pipeline-ack.ts'
import {
  BlockReceiver,
  type PacketShape,
  type Persistence,
  type Placement,
  type ReceiverAction,
} from '../core/block-receiver.ts'
import type { CopyUrgency } from '../core/copy-pace.ts'
import type { AckSpeed, Downstream, PacketPart } from './downstream.ts'
import type { ByteSink, ExactReader } from './exact-reader.ts'
import { PacketVerifier, type WireChunks } from './packet-verifier.ts'
import type { ReplicaStore } from './replica-store.ts'
import type { ReplicaWriter } from './replica-writer.ts'
import type { PipelineFailureCause, TransferCounters } from './transfer-counters.ts'

/** A shorter packet is flushed before it is acknowledged; streaming writers send longer ones. */
const flushedPacketBytesMax = 32 * 1024

/** Bytes read ahead with the head of the first packet: a small block arrives whole. */
const firstReadBytes = 8 * 1024

/** Why a transfer is not taking bytes off its connection. */
type PauseReason = 'space' | 'downstream' | 'upstream' | 'damage' | 'turn'

/** Bytes that a copy which makes way for clients takes off its connection at a time. */
const turnBytes = 512 * 1024

/** Bytes of acks a client may leave unread before it is read no further. */
const ackBacklogBytesMax = 256 * 1024

export interface PacketReceiverOptions {
  readonly reader: ExactReader
  readonly writer: ReplicaWriter
  readonly store: ReplicaStore
  readonly downstream: Downstream | undefined
  /** What the packets come in. */
  readonly chunks: WireChunks
  /** False when a datanode sends: nothing goes back then. */
  readonly acknowledges: boolean
  /** Set for a copy that makes way for clients. */
  readonly urgency: CopyUrgency | undefined
  /** What a complete replica becomes. */
  readonly finalState: 'finalized' | 'rbw'
  readonly logger: Logger
  readonly counters: TransferCounters
  /** The transfer is over: complete and acknowledged, or not. Called once. */
  readonly onOver: (isComplete: boolean) => void
}

/** A packet whose data is arriving. */
interface ArrivingPacket {
  readonly shape: PacketShape
  readonly placement: Placement
  /** Lengths, header and checksums as they came. */
  readonly head: Buffer
  readonly checksums: Buffer
  /** Data that cannot be received in place, because it overlaps what is here. */
  readonly scratch: Buffer | undefined
  /** Bytes that did not find their place in a window yet. */
  remaining: number
}

/**
 * Receives the packets of one replica: moves bytes as the {@link BlockReceiver} decides. A byte is
 * received into the window it is written to disk and forwarded from, is hashed, then verified, and is
 * never copied unless it overlaps bytes received before.
 */
export class PacketReceiver implements ByteSink {
  readonly #options: PacketReceiverOptions
  readonly #core: BlockReceiver
  readonly #verifier: PacketVerifier
  readonly #wireType: WireChecksumType
  readonly #pauses = new Set<PauseReason>()
  /** What the downstream's acks said about speed, by sequence number, until ours leave. */
  readonly #speeds = new Map<number, AckSpeed>()
  #packet: ArrivingPacket | undefined
  #headHint = firstReadBytes
  #bytesInTurn = 0
  #outgoing: Uint8Array[] = []
  #hasLastPacket = false
  #isOver = false
  #isComplete = false

  constructor(options: PacketReceiverOptions) {
    const { writer, downstream, acknowledges } = options
    const { checksumType, bytesPerChecksum } = options.chunks
    this.#options = options
    this.#verifier = new PacketVerifier(options.chunks, writer.meta)
    this.#core = new BlockReceiver({
      length: writer.length,
      bytesPerChecksum,
      forwards: downstream !== undefined,
      awaitsDownstream: downstream !== undefined && acknowledges,
      flushedPacketBytesMax: acknowledges ? flushedPacketBytesMax : 0,
    })
    this.#wireType = checksumType === 'null' ? 'CHECKSUM_NULL' : 'CHECKSUM_CRC32C'
    writer.onAbandoned(() =>
      this.#end('a recovery or a newer pipeline took the replica over', 'superseded'),
    )
    downstream?.listen({
      onAck: (seqno, statuses, speed) => {
        if (speed !== undefined) this.#speeds.set(seqno, speed)
        this.#run(this.#core.downstreamAck(seqno, statuses))
      },
      onDrain: () => this.#unpause('downstream'),
      onLost: (error) => this.#downstreamLost(error),
    })
  }

  /** Takes over the connection. */
  start(): void {
    const { reader } = this.#options
    reader.handTo(this)
    reader.expectHead(packetLengthsBytes, this.#headHint)
    reader.socket.on('drain', this.#onUpstreamDrain)
  }

  /** Tells the client, out of band, that this datanode is about to restart; what is under way goes on. */
  announceRestart(): void {
    if (this.#isOver || !this.#options.acknowledges) return
    const ack = { seqno: unsolicitedSeqno, reply: ['OOB_RESTART'], flag: [] } as const
    this.#outgoing.push(encodeDelimited(pipelineAck, ack))
    this.#sendAcks()
  }

  onHead(staged: Buffer): number {
    const { reader } = this.#options
    const prefix = tryDecodePacketPrefix(staged, 0, staged.length)
    if (prefix === undefined) {
      const isLengthKnown = staged.length >= packetLengthsBytes
      const need = packetLengthsBytes + (isLengthKnown ? staged.readUInt16BE(4) : 0)
      reader.expectHead(need, this.#headHint)
      return 0
    }
    checkPacketChecksums(prefix, this.#wireType, this.#options.chunks.bytesPerChecksum)
    const headBytes = prefix.prefixBytes + prefix.checksumsBytes
    if (staged.length < headBytes) {
      reader.expectHead(headBytes)
      return 0
    }
    this.#headHint = headBytes
    this.#begin(prefix, Buffer.from(staged.subarray(0, headBytes)))
    return headBytes
  }

  onBody(): void {
    const packet = this.#arriving()
    if (packet.scratch === undefined) {
      packet.remaining -= this.#landing
      this.#options.writer.landed(this.#landing)
      if (packet.remaining > 0) this.#receiveInPlace(packet)
      else this.#verify(packet)
    } else {
      this.#verify(packet)
    }
  }

  onEnd(): void {
    // Some writers close their half once everything is sent, and still wait for the acks.
    if (!this.#hasLastPacket) this.#end('the peer stopped sending in mid-block', 'sender_lost')
  }

  onClose(error: Error | undefined): void {
    const isBad = isDfsError(error, 'BAD_FRAME', 'INVALID_ARGUMENT', 'CHECKSUM_MISMATCH')
    const reason = error?.message ?? 'the peer closed the connection in mid-block'
    this.#end(reason, isBad ? 'bad_packet' : 'sender_lost')
  }

  /** Bytes in the window that is being filled. */
  #landing = 0

  #begin(prefix: PacketPrefix, head: Buffer): void {
    const { reader } = this.#options
    const { offsetInBlock, dataLen, seqno, lastPacketInBlock, syncBlock } = prefix.header
    const shape = {
      offset: offsetInBlock,
      length: dataLen,
      seqno,
      isLast: lastPacketInBlock,
      isSync: syncBlock,
    }
    const placement = this.#core.place(shape)
    const isInPlace = placement.kind === 'append'
    const packet: ArrivingPacket = {
      shape,
      placement,
      head,
      checksums: head.subarray(prefix.prefixBytes),
      scratch: isInPlace || dataLen === 0 ? undefined : Buffer.allocUnsafe(dataLen),
      remaining: dataLen,
    }
    this.#packet = packet
    switch (placement.kind) {
      case 'refuse':
        throw new DfsError('BAD_FRAME', `Cannot take packet: ${placement.reason}`)
      case 'append':
        this.#receiveInPlace(packet)
        return
      case 'overlap':
      case 'known':
        reader.expectBody(defined(packet.scratch, 'scratch memory'))
        return
      case 'empty':
        this.#complete(packet, true)
    }
  }

  #receiveInPlace(packet: ArrivingPacket): void {
    const { writer, reader } = this.#options
    const space = writer.space(packet.remaining, () =>
      this.#retry(() => this.#receiveInPlace(packet)),
    )
    if (space === undefined) {
      this.#pause('space')
      return
    }
    this.#landing = space.length
    reader.expectBody(space)
  }

  /** Does what waited for memory; says that the wake-up was of use unless the transfer is over. */
  #retry(action: () => void): boolean {
    if (this.#isOver) return false
    this.#pauses.delete('space')
    try {
      action()
      if (!this.#pauses.has('space')) this.#unpause('space')
    } catch (error) {
      if (!(error instanceof DfsError)) throw error
      this.#end(error.message, 'disk')
    }
    return true
  }

  #verify(packet: ArrivingPacket): void {
    const { writer } = this.#options
    const { placement, scratch } = packet
    if (scratch === undefined) {
      const parts = writer.arrived()
      // Hashed before it is verified: a bit that flips between the two shows in one of them.
      for (const { bytes } of parts) writer.meta.hash(bytes)
      this.#complete(
        packet,
        this.#verifier.matches(
          packet,
          parts.map(({ bytes }) => bytes),
        ),
        parts,
      )
      return
    }
    if (placement.kind === 'overlap') writer.meta.hash(scratch.subarray(placement.skip))
    const isIntact =
      this.#verifier.matches(packet, [scratch]) && this.#verifier.agrees(packet, scratch)
    if (isIntact && placement.kind === 'overlap') {
      packet.remaining = packet.shape.length - placement.skip
      this.#copyIn(packet, scratch)
    } else {
      this.#complete(packet, isIntact)
    }
  }

  /** Puts the new bytes of an overlapping packet into place. */
  #copyIn(packet: ArrivingPacket, scratch: Buffer): void {
    const { writer } = this.#options
    while (packet.remaining > 0) {
      const retry = (): boolean => this.#retry(() => this.#copyIn(packet, scratch))
      const space = writer.space(packet.remaining, retry)
      if (space === undefined) {
        this.#pause('space')
        return
      }
      scratch.copy(space, 0, scratch.length - packet.remaining)
      writer.landed(space.length)
      packet.remaining -= space.length
    }
    this.#complete(packet, true)
  }

  #complete(packet: ArrivingPacket, isIntact: boolean, parts?: readonly PacketPart[]): void {
    const { writer, reader } = this.#options
    if (writer.failure !== undefined) throw writer.failure
    if (!isIntact) {
      // Nothing behind a damaged packet counts; its ack, behind the earlier ones, ends the transfer.
      writer.reject()
      this.#pause('damage')
    }
    this.#packet = undefined
    this.#hasLastPacket = packet.shape.isLast
    if (packet.shape.length > 0) this.#noteBytes(packet.shape.length)
    reader.expectHead(packetLengthsBytes, this.#headHint)
    const { scratch } = packet
    const own = scratch === undefined ? [] : [{ window: undefined, bytes: scratch }]
    this.#run(this.#core.packet(packet.shape, isIntact), packet, parts ?? own)
  }

  /** A client's bytes make copies wait; those of a copy end its turn when they are many. */
  #noteBytes(count: number): void {
    const { store, acknowledges, urgency } = this.#options
    if (acknowledges) store.usedByClient()
    if (urgency === undefined) return
    this.#bytesInTurn += count
    if (this.#bytesInTurn < turnBytes) return
    this.#bytesInTurn = 0
    this.#pause('turn')
    store.turns.ask(urgency, () => this.#unpause('turn'))
  }

  #run(
    actions: readonly ReceiverAction[],
    packet?: ArrivingPacket,
    parts: readonly PacketPart[] = [],
  ): void {
    const { downstream } = this.#options
    for (const action of actions) {
      if (this.#isOver) return
      switch (action.kind) {
        case 'forward':
          this.#forward(defined(packet, 'packet to forward'), parts)
          if (downstream?.isBacklogged === true) this.#pause('downstream')
          break
        case 'write':
          this.#write(defined(packet, 'packet to write'), parts)
          break
        case 'persist':
          this.#persist(action.how, action.ticket)
          break
        case 'ack':
          this.#acknowledge(action.seqno, action.statuses, action.length)
          break
        case 'done':
          this.#isComplete = true
          break
        case 'fail':
          this.#sendAcks()
          this.#end(action.reason, 'bad_packet')
          return
      }
    }
    this.#sendAcks()
    if (this.#isComplete) this.#end(undefined, 'sender_lost')
  }

  #forward({ shape, head }: ArrivingPacket, parts: readonly PacketPart[]): void {
    this.#options.downstream?.forward(shape.seqno, head, parts)
  }

  #write(packet: ArrivingPacket, parts: readonly PacketPart[]): void {
    const { writer, store } = this.#options
    const { scratch, placement } = packet
    const fresh =
      scratch === undefined
        ? parts.map(({ bytes }) => bytes)
        : [placement.kind === 'overlap' ? scratch.subarray(placement.skip) : scratch]
    const { chunk, checksums } = this.#verifier.stored(packet, fresh)
    writer.accept(chunk, checksums)
    store.noteLength(writer)
  }

  #persist(how: Persistence, ticket: number): void {
    const { writer, store, finalState } = this.#options
    if (how === 'flush') {
      queueMicrotask(() => this.#flush(ticket))
      return
    }
    this.#whenDone(how === 'finalize' ? store.finalize(writer, finalState) : writer.sync(), ticket)
  }

  /** Begins when all that arrived together is taken in: of a small block, the last packet is then here, too. */
  #flush(ticket: number): void {
    if (this.#isOver) return
    const { writer } = this.#options
    if (this.#hasLastPacket) writer.noteEnd()
    this.#whenDone(writer.flush(), ticket)
  }

  #whenDone(operation: Promise<void>, ticket: number): void {
    operation.then(
      () => {
        if (!this.#isOver) this.#run(this.#core.persisted(ticket))
      },
      (error: unknown) => this.#end(error instanceof Error ? error.message : String(error), 'disk'),
    )
  }

  #acknowledge(seqno: number, statuses: readonly Status[], length: number | undefined): void {
    const { writer, store, acknowledges } = this.#options
    if (length !== undefined) store.noteAcknowledged(writer, length)
    if (!acknowledges) return
    const speed = this.#speeds.get(seqno)
    this.#speeds.delete(seqno)
    const reply = { seqno, reply: statuses, flag: [] }
    this.#outgoing.push(
      encodeDelimited(
        pipelineAck,
        speed === undefined ? reply : { ...reply, ...told(speed, statuses) },
      ),
    )
  }

  #sendAcks(): void {
    if (this.#outgoing.length === 0) return
    const { socket } = this.#options.reader
    const [first] = this.#outgoing
    socket.write(this.#outgoing.length === 1 && first ? first : Buffer.concat(this.#outgoing))
    this.#outgoing = []
    if (socket.writableLength > ackBacklogBytesMax) this.#pause('upstream')
  }

  #downstreamLost(error: Error | undefined): void {
    if (this.#isOver) return
    const { logger, writer, counters } = this.#options
    counters.pipelineFailed('next_lost')
    logger.warn('downstream-lost', { blockId: writer.blockId, reason: error?.message ?? 'closed' })
    this.#run(this.#core.downstreamLost())
    this.#unpause('downstream')
  }

  #pause(reason: PauseReason): void {
    if (this.#pauses.size === 0) this.#options.reader.pause()
    this.#pauses.add(reason)
  }

  #unpause(reason: PauseReason): void {
    const wasPaused = this.#pauses.delete(reason) || reason === 'space'
    if (wasPaused && this.#pauses.size === 0 && !this.#isOver) this.#options.reader.resume()
  }

  readonly #onUpstreamDrain = (): void => this.#unpause('upstream')

  /** Ends the transfer; `reason` and `cause` say why it did not complete, if it did not. */
  #end(reason: string | undefined, cause: PipelineFailureCause): void {
    if (this.#isOver) return
    this.#isOver = true
    const { reader, downstream, writer, store, logger, counters, onOver } = this.#options
    reader.socket.off('drain', this.#onUpstreamDrain)
    if (this.#isComplete) {
      downstream?.finish()
      onOver(true)
      return
    }
    counters.pipelineFailed(writer.failure === undefined ? cause : 'disk')
    // From here on nothing may land in the writer's memory.
    reader.pause()
    downstream?.abort()
    logger.warn('block-receive-ended', {
      blockId: writer.blockId,
      length: writer.length,
      reason: writer.failure?.message ?? reason,
    })
    store.release(writer).then(
      () => onOver(false),
      () => onOver(false),
    )
  }

  #arriving(): ArrivingPacket {
    return defined(this.#packet, 'packet that is arriving')
  }
}

/** How long this node waited for the others, and which of them are slow, for the client to judge. */
function told(
  { waitedMs, isSlow }: AckSpeed,
  statuses: readonly Status[],
): Pick<PipelineAck, 'downstreamAckTimeNanos' | 'flag'> {
  const downstreamAckTimeNanos = BigInt(Math.round(waitedMs)) * 1_000_000n
  if (!isSlow.includes(true)) return { downstreamAckTimeNanos, flag: [] }
  const flag = statuses.map((status, index) => ackFlag(status, isSlow[index - 1] === true))
  return { downstreamAckTimeNanos, flag }
}
