import { unreachable } from '../base/assert.ts'
import type { TimerHandle } from '../base/clock.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import type { ExtendedBlock, LocatedBlock } from '../protocol/messages/hdfs.ts'
import { pause } from './abort.ts'
import { BlockPipeline, nameOf, type OpenFile, type PipelineSetup } from './block-pipeline.ts'
import type { ClientContext } from './context.ts'
import { type PipelineEvent, type RecoveryMode, WritePipeline } from './core/write-pipeline.ts'
import type { DatanodeConnection } from './datanode-connection.ts'
import { heartbeatPacket, type OutgoingPacket } from './outgoing-packet.ts'
import {
  type AcknowledgementSpeed,
  PipelineConnection,
  type PipelineNode,
  transferAddress,
} from './pipeline-connection.ts'

/** Where a block starts. */
export interface BlockStart {
  /** The block before it, with its final length. */
  readonly previous?: ExtendedBlock | undefined
  /** The block itself, when it exists and is appended to. */
  readonly existing?: LocatedBlock | undefined
  readonly firstSeqno: number
  /** Called for every packet that all datanodes have. */
  readonly onAcknowledged: (packet: OutgoingPacket) => void
  /** Called once when the block cannot be written any more; every later call fails with the same error. */
  readonly onFailed: (error: Error) => void
}

/** Recoveries that may find the same packet unacknowledged, as in HDFS's client. */
const recoveriesPerPacketMax = 5
/** Pause before the last datanode of a pipeline is tried again; doubles each time. */
const lastNodePauseMs = 50
/** Beats without a byte from the pipeline, packets waiting, after which its first node counts as lost. */
const silentBeatsMax = 2

/** Beats between two attempts to let a short pipeline grow, at most: 16 minutes. */
const beatsBetweenGrowthsMax = 32

interface Waiter {
  readonly isDone: () => boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

type RecoverEvent = Extract<PipelineEvent<OutgoingPacket>, { kind: 'recover' }>

/**
 * Writes one block: allocates it, connects the pipeline, streams packets, and obeys the {@link WritePipeline} machine
 * when a datanode fails. Owns the sockets; every decision is the machine's.
 */
export class BlockWriter {
  readonly #context: ClientContext
  readonly #file: OpenFile
  readonly #start: BlockStart
  readonly #machine: WritePipeline<OutgoingPacket>
  readonly #pipeline: BlockPipeline
  readonly #waiters = new Set<Waiter>()
  /** When the packets that are not acknowledged were sent, by sequence number. */
  readonly #sentAt = new Map<number, number>()
  #connection: PipelineConnection | undefined
  #error: Error | undefined
  #lastFailure: DfsError | undefined
  /** The one that is to make room for another, until that is there. */
  #slowNode: PipelineNode | undefined
  #heartbeat: TimerHandle | undefined
  #sentSinceBeat = false
  #receivedAtBeat = 0
  #silentBeats = 0
  #beatsToGrowth = 1
  #beatsBetweenGrowths = 1

  constructor(context: ClientContext, file: OpenFile, start: BlockStart) {
    this.#context = context
    this.#file = file
    this.#start = start
    this.#pipeline = new BlockPipeline(context, file, start.existing)
    this.#machine = new WritePipeline(
      {
        packetsInFlightMax: limits.packetsInFlightMax,
        recoveriesPerPacketMax,
        slowSignsMax: context.settings['dfs.client.mark.slownode.as.badnode.threshold'],
      },
      { firstSeqno: start.firstSeqno, appendTo: start.existing?.b.numBytes },
    )
    const periodMs = Math.floor(context.settings['dfs.client.socket-timeout'] / 2)
    this.#heartbeat = context.timers.every(periodMs, () => {
      this.#beat()
    })
    this.#connect(start.existing === undefined ? 'new-block' : 'append').catch((error: unknown) => {
      this.#fail(error)
    })
  }

  get hasRoom(): boolean {
    return this.#machine.hasRoom
  }

  /** The block as the namenode knows it, `undefined` until it is allocated; the stamp changes with recoveries. */
  get block(): ExtendedBlock | undefined {
    return this.#pipeline.block
  }

  /** Says that readers may count on what is acknowledged from now on. */
  noteFlushed(): void {
    this.#pipeline.isFlushed = true
  }

  /** Queues a packet and sends what may be sent. */
  enqueue(packet: OutgoingPacket): void {
    this.#throwIfFailed()
    this.#machine.enqueue(packet)
    this.#pump()
  }

  /** Waits until another packet may be queued. */
  roomAvailable(): Promise<void> {
    return this.#until(() => this.#machine.hasRoom)
  }

  /** Waits until everything queued so far is acknowledged by every datanode. */
  drained(): Promise<void> {
    return this.#until(() => this.#machine.packetsInFlight === 0)
  }

  /** Waits until the closing packet is acknowledged: the block is finalized, on disk, on every datanode left. */
  async closed(): Promise<ExtendedBlock> {
    await this.#until(() => this.#machine.state === 'closed')
    this.#stop()
    return { ...this.#pipeline.known(), numBytes: this.#machine.bytesAcked }
  }

  /** Drops the connections; whoever waits gets `error`. */
  abort(error: Error): void {
    this.#fail(error)
  }

  #throwIfFailed(): void {
    if (this.#error !== undefined) throw this.#error
  }

  #pump(): void {
    const connection = this.#connection
    if (connection === undefined) return
    for (
      let packet = this.#machine.nextToSend();
      packet !== undefined;
      packet = this.#machine.nextToSend()
    ) {
      this.#sentAt.set(packet.seqno, this.#context.clock.monotonic())
      connection.send(packet)
      this.#sentSinceBeat = true
    }
  }

  /** Connects, and goes on connecting as long as the machine finds a way to. */
  async #connect(firstMode: RecoveryMode, first?: RecoverEvent): Promise<void> {
    let mode = firstMode
    let recovery = first
    for (;;) {
      const failed = await this.#tryConnect(mode, recovery)
      this.#throwIfFailed()
      if (failed === undefined) return
      const event = this.#machine.broken(failed, this.#pipeline.nodes.length)
      if (event.kind !== 'recover') throw this.#unrecoverable(event)
      await this.#leaveOut(event)
      mode = event.mode
      recovery = event
    }
  }

  /** One set-up. Returns the position of the datanode that failed, or `undefined` when the pipeline is up. */
  async #tryConnect(mode: RecoveryMode, recovery?: RecoverEvent): Promise<number | undefined> {
    const bytesAcked = recovery?.bytesAcked ?? this.#machine.bytesAcked
    const setup: PipelineSetup = {
      mode,
      isRecovery: recovery !== undefined,
      bytesAcked,
      bytesSent: recovery?.bytesSent ?? bytesAcked,
    }
    let newStamp = 0
    if (mode === 'new-block') {
      await this.#pipeline.allocate(this.#start.previous)
    } else {
      if (recovery !== undefined) await this.#replaceLost(setup, recovery)
      newStamp = await this.#pipeline.newStamp(bytesAcked)
    }
    this.#throwIfFailed()
    const failed = await this.#open(setup, newStamp)
    if (failed !== undefined || mode === 'new-block') return failed
    await this.#pipeline.declare(newStamp, bytesAcked)
    this.#throwIfFailed()
    if (mode === 'close') this.#handle(this.#machine.establishedClosed())
    else this.#machine.established(this.#pipeline.nodes.length)
    this.#pump()
    return undefined
  }

  /** Gets another datanode for the one that failed, or for the slow one, which stays when there is none. */
  async #replaceLost(setup: PipelineSetup, { cause }: RecoverEvent): Promise<void> {
    const isSlow = cause === 'slow'
    const hasNewcomer = await this.#pipeline.replaceLost(setup, cause !== 'failed')
    if (hasNewcomer) this.#beatsBetweenGrowths = this.#beatsToGrowth = 1
    const slow = this.#slowNode
    this.#slowNode = undefined
    if (isSlow && !hasNewcomer && slow !== undefined) this.#pipeline.takeBack(slow)
  }

  /**
   * Connects to the first node and sends the set-up. A new block streams at once: a datanode that refuses
   * never looks at the packets, and the block starts anew. A recovery waits for the answer.
   */
  async #open(setup: PipelineSetup, newStamp: number): Promise<number | undefined> {
    try {
      const { first } = this.#pipeline
      const socket = await this.#context.datanodes.connect(transferAddress(first.info))
      if (this.#error !== undefined) socket.destroy()
      this.#throwIfFailed()
      const answer = this.#startPipeline(socket, setup, newStamp)
      if (setup.mode !== 'new-block' || !socket.isOpen) return await answer
      this.#machine.established(this.#pipeline.nodes.length)
      this.#pump()
      return undefined
    } catch (error) {
      this.#throwIfFailed()
      if (!isDfsError(error) || error.code === 'NO_DATANODES') throw error
      this.#lastFailure = error
      return 0
    }
  }

  /** Sends the set-up. Resolves to the position of the datanode that failed, or to `undefined`; once established, failures go to the machine. */
  #startPipeline(
    socket: DatanodeConnection,
    setup: PipelineSetup,
    newStamp: number,
  ): Promise<number | undefined> {
    return new Promise((answered) => {
      const connection = new PipelineConnection(socket, this.#pipeline.nodes, {
        ready: () => {
          answered(undefined)
        },
        acked: (ack, speed) => {
          this.#handle(this.#machine.acked(ack))
          this.#judgeSpeed(ack.seqno, speed)
        },
        broken: (failed, error) => {
          this.#lastFailure = error
          if (this.#machine.state === 'streaming') this.#handle(this.#machine.broken(failed))
          else answered(failed)
        },
      })
      this.#connection = connection
      connection.start(this.#pipeline.operation(setup, newStamp))
    })
  }

  /** Looks for a datanode that stays slow. The first one's own share of the time is what we can see only here. */
  #judgeSpeed(seqno: number, { isSlow, downstreamMs }: AcknowledgementSpeed): void {
    const sentAt = this.#sentAt.get(seqno)
    if (sentAt === undefined) return
    this.#sentAt.delete(seqno)
    const now = this.#context.clock.monotonic()
    const isFirstSlow = isSlow[0] === true || now - sentAt - downstreamMs >= limits.slowAckMs
    const all = this.#pipeline.nodes.map((_node, index) =>
      index === 0 ? isFirstSlow : isSlow[index] === true,
    )
    const event = this.#machine.judgeSpeed(all, now)
    if (event.kind === 'none') return
    this.#lastFailure = new DfsError('TIMED_OUT', 'A datanode of the pipeline stays slow')
    this.#handle(event)
  }

  #handle(event: PipelineEvent<OutgoingPacket>): void {
    switch (event.kind) {
      case 'none':
        return
      case 'acknowledged':
      case 'closed':
        this.#start.onAcknowledged(event.packet)
        this.#pump()
        this.#wake()
        return
      case 'recover':
        this.#recover(event).catch((error: unknown) => {
          this.#fail(error)
        })
        return
      case 'failed':
        this.#fail(this.#unrecoverable(event))
        return
      default:
        unreachable(event)
    }
  }

  async #recover(event: RecoverEvent): Promise<void> {
    await this.#leaveOut(event)
    await this.#connect(event.mode, event)
  }

  /** Takes the failed nodes out of the pipeline, or gives the whole block back when it starts anew. */
  async #leaveOut({ failed, mode, cause, attempt, unacked }: RecoverEvent): Promise<void> {
    this.#connection?.close()
    this.#connection = undefined
    this.#sentAt.clear()
    const left = this.#pipeline.leaveOut(failed, mode)
    this.#slowNode = cause === 'slow' ? left[0] : undefined
    this.#context.report({
      ...{ kind: 'pipeline-broken', path: this.#file.path, blockId: this.block?.blockId },
      datanodes: left.map(nameOf),
    })
    this.#context.logger.warn('pipeline-broken', {
      path: this.#file.path,
      blockId: this.block?.blockId,
      datanode: left.map(nameOf).join(),
      mode,
      cause,
      unacked: unacked.length,
      error: this.#lastFailure,
    })
    if (mode === 'new-block') {
      this.#machine.restarted()
      await this.#pipeline.abandon()
    } else if (failed.length === 0 && cause === 'failed') {
      // The last one that has the block: it may only be restarting, or the network was away.
      await pause(lastNodePauseMs * 2 ** (attempt - 1))
    }
  }

  /** Keeps idle connections alive and notices a pipeline that hangs. */
  #beat(): void {
    const connection = this.#connection
    if (connection === undefined || this.#machine.state !== 'streaming') return
    const isSilent = connection.bytesReceived === this.#receivedAtBeat
    this.#silentBeats = isSilent && this.#machine.packetsInFlight > 0 ? this.#silentBeats + 1 : 0
    this.#receivedAtBeat = connection.bytesReceived
    if (this.#silentBeats >= silentBeatsMax) {
      this.#silentBeats = 0
      this.#lastFailure = new DfsError('TIMED_OUT', 'The pipeline acknowledges nothing any more')
      this.#handle(this.#machine.broken(0))
      return
    }
    if (!this.#sentSinceBeat) connection.send(heartbeatPacket())
    this.#sentSinceBeat = false
    if (!this.#pipeline.isFlushed || !this.#pipeline.isWeak) return
    this.#beatsToGrowth -= 1
    if (this.#beatsToGrowth > 0) return
    // A datanode that is offered and cannot join must not cost a recovery with every beat.
    this.#beatsBetweenGrowths = Math.min(2 * this.#beatsBetweenGrowths, beatsBetweenGrowthsMax)
    this.#beatsToGrowth = this.#beatsBetweenGrowths
    void this.#growIfPossible()
  }

  /** A writer that keeps a block open for long, such as a log, gets its replicas back when datanodes are back. */
  async #growIfPossible(): Promise<void> {
    try {
      const isPossible = await this.#pipeline.canGrow(this.#machine.bytesAcked)
      if (isPossible && this.#error === undefined) this.#handle(this.#machine.grow())
    } catch (error) {
      this.#context.logger.debug('pipeline-cannot-grow', { path: this.#file.path, error })
    }
  }

  #unrecoverable(event: PipelineEvent<OutgoingPacket>): DfsError {
    const { names } = this.#pipeline
    const why =
      event.kind === 'failed' && event.reason === 'too-many-recoveries'
        ? `${recoveriesPerPacketMax} recoveries in a row failed`
        : 'no datanode of its pipeline is left'
    return new DfsError(
      'IO_ERROR',
      `Cannot write block ${this.block?.blockId ?? '(new)'} of "${this.#file.path}": ${why} (last pipeline: ${names}): ${this.#lastFailure?.message ?? 'no error seen'}`,
      { path: this.#file.path, cause: this.#lastFailure },
    )
  }

  #until(isDone: () => boolean): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (isDone()) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiters.add({ isDone, resolve, reject })
    })
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.isDone()) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  #fail(cause: unknown): void {
    if (this.#error !== undefined || this.#machine.state === 'closed') return
    const error = cause instanceof Error ? cause : new Error(String(cause))
    this.#error = error
    this.#stop()
    for (const waiter of this.#waiters) waiter.reject(error)
    this.#waiters.clear()
    this.#start.onFailed(error)
  }

  #stop(): void {
    this.#heartbeat?.cancel()
    this.#heartbeat = undefined
    this.#connection?.close()
    this.#connection = undefined
  }
}
