import { assert, unreachable } from '../base/assert.ts'
import type { TimerHandle } from '../base/clock.ts'
import { DfsError, isDfsError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import type { EncodableOf } from '../protocol/message.ts'
import type {
  BlockConstructionStage,
  Checksum,
  opWriteBlock,
} from '../protocol/messages/data-transfer.ts'
import type { DatanodeInfo, ExtendedBlock, LocatedBlock, Token } from '../protocol/messages/hdfs.ts'
import { pause } from './abort.ts'
import type { ClientContext } from './context.ts'
import { type PipelineEvent, type RecoveryMode, WritePipeline } from './core/write-pipeline.ts'
import { addressName, type DatanodeConnection } from './datanode-connection.ts'
import { heartbeatPacket, type OutgoingPacket } from './outgoing-packet.ts'
import { PipelineConnection, type PipelineNode, transferAddress } from './pipeline-connection.ts'

/** The open file a block belongs to. */
export interface OpenFile {
  readonly path: string
  readonly fileId: number
  readonly blockSizeBytes: number
  readonly checksum: Checksum
  /** Datanodes that failed this file, by UUID; new blocks go elsewhere. */
  readonly excluded: Map<string, DatanodeInfo>
}

/** Where a block starts. */
export interface BlockStart {
  /** The block before it, with its final length. */
  readonly previous: ExtendedBlock | undefined
  readonly firstSeqno: number
  /** Called for every packet that all datanodes have. */
  readonly onAcknowledged: (packet: OutgoingPacket) => void
  /** Called once when the block cannot be written any more; every later call fails with the same error. */
  readonly onFailed: (error: Error) => void
}

/** Recoveries that may find the same packet unacknowledged, as in HDFS's client. */
const recoveriesPerPacketMax = 5
/** Times a block is asked for while no datanode can take it, and the first pause between. */
const allocationsMax = 4
const allocationPauseMs = 400
/** Beats without a byte from the pipeline, packets waiting, after which its first node counts as lost. */
const silentBeatsMax = 2

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
  readonly #waiters = new Set<Waiter>()
  #block: ExtendedBlock | undefined
  #token: Token | undefined
  #nodes: readonly PipelineNode[] = []
  #connection: PipelineConnection | undefined
  #error: Error | undefined
  #lastFailure: DfsError | undefined
  #heartbeat: TimerHandle | undefined
  #sentSinceBeat = false
  #receivedAtBeat = 0
  #silentBeats = 0

  constructor(context: ClientContext, file: OpenFile, start: BlockStart) {
    this.#context = context
    this.#file = file
    this.#start = start
    this.#machine = new WritePipeline(
      { packetsInFlightMax: limits.packetsInFlightMax, recoveriesPerPacketMax },
      start.firstSeqno,
    )
    const periodMs = Math.floor(context.settings['dfs.client.socket-timeout'] / 2)
    this.#heartbeat = context.timers.every(periodMs, () => {
      this.#beat()
    })
    this.#connect('new-block').catch((error: unknown) => {
      this.#fail(error)
    })
  }

  get hasRoom(): boolean {
    return this.#machine.hasRoom
  }

  /** The block as the namenode knows it, `undefined` until it is allocated; the stamp changes with recoveries. */
  get block(): ExtendedBlock | undefined {
    return this.#block
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
    const block = this.#block
    assert(block !== undefined, 'a closed block must be allocated')
    return { ...this.#known(), numBytes: this.#machine.bytesAcked }
  }

  /** Drops the connections; whoever waits gets `error`. */
  abort(error: Error): void {
    this.#fail(error)
  }

  #throwIfFailed(): void {
    if (this.#error !== undefined) throw this.#error
  }

  #known(): ExtendedBlock {
    const block = this.#block
    if (block === undefined)
      throw new DfsError('INTERNAL', 'A block that is not allocated is in use')
    return block
  }

  #pump(): void {
    const connection = this.#connection
    if (connection === undefined) return
    for (
      let packet = this.#machine.nextToSend();
      packet !== undefined;
      packet = this.#machine.nextToSend()
    ) {
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
      const event = this.#machine.broken(failed, this.#nodes.length)
      if (event.kind !== 'recover') throw this.#unrecoverable(event)
      await this.#leaveOut(event)
      mode = event.mode
      recovery = event
    }
  }

  /** One set-up. Returns the position of the datanode that failed, or `undefined` when the pipeline is up. */
  async #tryConnect(mode: RecoveryMode, recovery?: RecoverEvent): Promise<number | undefined> {
    const oldBlock = this.#block
    let newStamp = 0
    if (mode === 'new-block') {
      this.#adopt(await this.#allocate())
    } else {
      newStamp = await this.#newStamp(recovery?.bytesAcked ?? 0)
    }
    this.#throwIfFailed()
    const connected = await this.#open(mode, newStamp, recovery)
    if (connected !== undefined) return connected
    if (mode === 'new-block') return undefined
    assert(oldBlock !== undefined, 'a block under recovery must be allocated')
    await this.#updatePipeline(newStamp, recovery?.bytesAcked ?? 0)
    this.#throwIfFailed()
    if (mode === 'close') this.#handle(this.#machine.establishedClosed())
    else this.#machine.established(this.#nodes.length)
    this.#pump()
    return undefined
  }

  /**
   * Connects to the first node and sends the set-up. A new block streams at once: a datanode that refuses
   * never looks at the packets, and the block starts anew. A recovery waits for the answer.
   */
  async #open(
    mode: RecoveryMode,
    newStamp: number,
    recovery?: RecoverEvent,
  ): Promise<number | undefined> {
    const first = this.#nodes[0]
    if (first === undefined) throw new DfsError('NO_DATANODES', 'The namenode named no datanode')
    try {
      const socket = await this.#context.datanodes.connect(transferAddress(first.info))
      if (this.#error !== undefined) socket.destroy()
      this.#throwIfFailed()
      const answer = this.#startPipeline(socket, this.#operation(mode, newStamp, recovery))
      if (mode !== 'new-block' || !socket.isOpen) return await answer
      this.#machine.established(this.#nodes.length)
      this.#pump()
      return undefined
    } catch (error) {
      this.#throwIfFailed()
      if (!isDfsError(error)) throw error
      this.#lastFailure = error
      return 0
    }
  }

  /** Sends the set-up. Resolves to the position of the datanode that failed, or to `undefined`; once established, failures go to the machine. */
  #startPipeline(
    socket: DatanodeConnection,
    operation: EncodableOf<typeof opWriteBlock>,
  ): Promise<number | undefined> {
    return new Promise((answered) => {
      const connection = new PipelineConnection(socket, this.#nodes, {
        ready: () => {
          answered(undefined)
        },
        acked: (ack) => {
          this.#handle(this.#machine.acked(ack))
        },
        broken: (failed, error) => {
          this.#lastFailure = error
          if (this.#machine.state === 'streaming') this.#handle(this.#machine.broken(failed))
          else answered(failed)
        },
      })
      this.#connection = connection
      connection.start(operation)
    })
  }

  #operation(
    mode: RecoveryMode,
    newStamp: number,
    recovery?: RecoverEvent,
  ): EncodableOf<typeof opWriteBlock> {
    const [first, ...others] = this.#nodes
    const block = this.#known()
    return {
      header: {
        baseHeader: {
          block: { ...block, numBytes: this.#file.blockSizeBytes },
          ...(this.#token === undefined ? {} : { token: this.#token }),
        },
        clientName: this.#context.clientName,
      },
      targets: others.map(({ info }) => info),
      stage: stageByMode[mode],
      pipelineSize: this.#nodes.length,
      minBytesRcvd: recovery?.bytesAcked ?? 0,
      maxBytesRcvd: recovery?.bytesSent ?? 0,
      latestGenerationStamp: newStamp,
      requestedChecksum: this.#file.checksum,
      cachingStrategy: {},
      storageType: first?.storageType ?? 'DISK',
      targetStorageTypes: others.map(({ storageType }) => storageType),
      ...(first?.storageId === undefined ? {} : { storageId: first.storageId }),
      targetStorageIds: others.flatMap(({ storageId }) => storageId ?? []),
    }
  }

  /** Asks for a block; when no datanode is left to choose from, forgets the excluded ones and asks again. */
  async #allocate(): Promise<LocatedBlock> {
    const { path, fileId, excluded } = this.#file
    const { previous } = this.#start
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { block } = await this.#context.namenode.call('addBlock', {
          src: path,
          clientName: this.#context.clientName,
          fileId,
          ...(previous === undefined ? {} : { previous }),
          ...(excluded.size === 0 ? {} : { excludeNodes: [...excluded.values()] }),
        })
        return block
      } catch (error) {
        if (!isDfsError(error, 'NO_DATANODES') || attempt >= allocationsMax) throw error
        this.#throwIfFailed()
        excluded.clear()
        await pause(allocationPauseMs * 2 ** (attempt - 1))
      }
    }
  }

  #adopt({ b, blockToken, locs, storageIDs, storageTypes }: LocatedBlock): void {
    this.#block = b
    this.#token = blockToken
    this.#nodes = locs.map((info, index) => ({
      info,
      storageId: storageIDs[index],
      storageType: storageTypes[index] ?? 'DISK',
    }))
  }

  async #newStamp(bytesAcked: number): Promise<number> {
    const { block } = await this.#context.namenode.call('updateBlockForPipeline', {
      block: { ...this.#known(), numBytes: bytesAcked },
      clientName: this.#context.clientName,
    })
    this.#token = block.blockToken
    return block.b.generationStamp
  }

  async #updatePipeline(generationStamp: number, numBytes: number): Promise<void> {
    const oldBlock = { ...this.#known(), numBytes }
    const newBlock = { ...oldBlock, generationStamp }
    await this.#context.namenode.call('updatePipeline', {
      clientName: this.#context.clientName,
      oldBlock,
      newBlock,
      newNodes: this.#nodes.map(({ info }) => info.id),
      storageIDs: this.#nodes.flatMap(({ storageId }) => storageId ?? []),
    })
    this.#block = newBlock
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
  async #leaveOut({ failed, mode, unacked }: RecoverEvent): Promise<void> {
    this.#connection?.close()
    this.#connection = undefined
    const block = this.#block
    for (const index of failed) {
      const node = this.#nodes[index]
      if (node === undefined) continue
      this.#file.excluded.set(node.info.id.datanodeUuid, node.info)
      this.#context.logger.warn('pipeline-broken', {
        path: this.#file.path,
        blockId: block?.blockId,
        datanode: addressName(transferAddress(node.info)),
        mode,
        unacked: unacked.length,
        error: this.#lastFailure,
      })
    }
    if (mode !== 'new-block') {
      this.#nodes = this.#nodes.filter((_node, index) => !failed.includes(index))
      return
    }
    this.#machine.restarted()
    if (block === undefined) return
    this.#block = undefined
    await this.#context.namenode.call('abandonBlock', {
      b: block,
      src: this.#file.path,
      holder: this.#context.clientName,
      fileId: this.#file.fileId,
    })
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
  }

  #unrecoverable(event: PipelineEvent<OutgoingPacket>): DfsError {
    const names = this.#nodes.map(({ info }) => addressName(transferAddress(info))).join(', ')
    const why =
      event.kind === 'failed' && event.reason === 'too-many-recoveries'
        ? `${recoveriesPerPacketMax} recoveries in a row failed`
        : 'no datanode of its pipeline is left'
    return new DfsError(
      'IO_ERROR',
      `Cannot write block ${this.#block?.blockId ?? '(new)'} of "${this.#file.path}": ${why} (last pipeline: ${names}): ${this.#lastFailure?.message ?? 'no error seen'}`,
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

const stageByMode = {
  'new-block': 'PIPELINE_SETUP_CREATE',
  streaming: 'PIPELINE_SETUP_STREAMING_RECOVERY',
  close: 'PIPELINE_CLOSE_RECOVERY',
} as const satisfies Record<RecoveryMode, BlockConstructionStage>
