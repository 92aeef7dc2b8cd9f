import { defined } from '../../base/assert.ts'
import type { Logger } from '../../base/log.ts'
import { Prng } from '../../base/prng.ts'
import { NamenodeSession } from '../../datanode/core/namenode-session.ts'
import { OrderPlan } from '../../datanode/core/order-plan.ts'
import type { TransferOrder } from '../../datanode/core/orders.ts'
import { Datanode } from '../../datanode/shell/datanode.ts'
import { registerIpcServices } from '../../datanode/shell/ipc-server.ts'
import { NamenodeLink } from '../../datanode/shell/namenode-link.ts'
import { RecoveryWorker } from '../../datanode/shell/recovery-worker.ts'
import { DfsError } from '../../protocol/errors.ts'
import {
  type BlockId,
  datanodeUuid,
  type GenerationStamp,
  storageUuid,
} from '../../protocol/ids.ts'
import type { DatanodeID } from '../../protocol/messages/hdfs-blocks.ts'
import type { Settings } from '../../protocol/settings.ts'
import type { SimConfig } from './config.ts'
import type { Network, Peer, StreamEnd } from './network.ts'
import type { PipelineMessage } from './pipeline-messages.ts'
import { isRotten, lengthOf, ReplicaDisk, type Stretch, sliceOf } from './replica-disk.ts'
import { type ClockSkew, drawSkew, Lifetime, type Scheduler } from './scheduler.ts'
import { SimReceiver } from './sim-receiver.ts'
import { SimReplicaStore } from './sim-replica-store.ts'
import { SimRpcClient, SimRpcServer } from './sim-rpc.ts'

/** What a simulated process finds around it. */
export interface World {
  readonly config: SimConfig
  readonly scheduler: Scheduler
  readonly network: Network
  readonly settings: Settings
  readonly logger: Logger
  /** The RPC server of the namenode that runs now. */
  namenodeServer(): SimRpcServer | undefined
  datanode(name: string): SimDatanode
}

const storagesPerDatanode = 2
const firstPort = 9000

interface Process {
  readonly life: Lifetime
  readonly peer: Peer
  readonly store: SimReplicaStore
  readonly session: NamenodeSession
  readonly ipc: SimRpcServer
}

/** A simulated datanode: disks that stay, and processes that come and go, each of the real parts around a simulated store. */
export class SimDatanode {
  readonly name: string
  readonly disk: ReplicaDisk
  readonly skew: ClockSkew
  /** Of both storages. */
  readonly capacityBytes: number
  readonly #world: World
  readonly #prng: Prng
  readonly #port: number
  #process: Process | undefined
  #startCount = 0

  constructor(world: World, index: number, seed: number) {
    this.name = `dn${index}`
    this.#world = world
    this.#prng = new Prng(seed)
    this.#port = firstPort + index
    this.capacityBytes = storagesPerDatanode * world.config.capacityBytes * (1 + (index % 2))
    const storages = Array.from({ length: storagesPerDatanode }, (_, volume) =>
      storageUuid(`DS-${index}-${volume}`),
    )
    this.disk = new ReplicaDisk(storages, this.#prng)
    this.skew = drawSkew(this.#prng, world.config.clockDriftPpm)
  }

  get isUp(): boolean {
    return this.#process !== undefined
  }

  /** Replicas that somebody may write now. */
  get writerCount(): number {
    return this.#process?.store.writerCount ?? 0
  }

  get session(): NamenodeSession | undefined {
    return this.#process?.session
  }

  /** Who listens at the transfer port; a dead peer when nobody does. */
  get peer(): Peer {
    return this.#process?.peer ?? { name: this.name, life: deadLife }
  }

  get ipc(): SimRpcServer | undefined {
    return this.#process?.ipc
  }

  /** Starts a process on the disks as they are. */
  start(): void {
    const { scheduler } = this.#world
    this.#startCount += 1
    const life = new Lifetime()
    const peer: Peer = { name: this.name, life }
    const parts = { scheduler, life, prng: this.#prng, disk: this.disk }
    const uuid = datanodeUuid(`uuid-${this.name}`)
    const store = new SimReplicaStore({
      ...{ ...parts, uuid, clock: scheduler.clockOf(this.skew) },
      timers: scheduler.timersOf(life, this.skew),
      capacityBytes: this.capacityBytes / storagesPerDatanode,
      scrubPeriodMs: this.#world.config.scrubPeriodMs,
    })
    const session = new NamenodeSession({
      heartbeatIntervalMs: this.#world.settings['dfs.heartbeat.interval'],
      blockReportIntervalMs: this.#world.settings['dfs.blockreport.interval'],
      prng: new Prng(this.#prng.next()),
    })
    const ipc = new SimRpcServer(peer)
    this.#process = { life, peer, store, session, ipc }
    this.#wire(this.#process).start()
  }

  /** Ends the process: with its machine's power, or alone, so that the kernel keeps what it has. */
  crash(how: 'kill' | 'power'): void {
    this.#process?.life.kill()
    this.#process = undefined
    if (how === 'kill') this.disk.kill()
    else this.disk.losePower()
  }

  /** Stops the process for a while, as SIGSTOP does. */
  freeze(durationMs: number): void {
    if (this.#process !== undefined) {
      this.#process.life.frozenUntil = this.#world.scheduler.now + durationMs
    }
  }

  /** Serves one connection to the transfer port. */
  accept(up: StreamEnd<PipelineMessage>): void {
    const process = defined(this.#process, 'a listening process')
    up.onMessage = (message) => {
      if (message.kind !== 'operation') return
      const { store } = process
      const connect = (target: string): StreamEnd<PipelineMessage> => this.#connect(process, target)
      new SimReceiver({ name: this.name, store, connect }, up, message.operation).start()
    }
  }

  /** OP_READ_BLOCK. @throws {@link DfsError} REPLICA_NOT_FOUND */
  read(
    blockId: BlockId,
    generationStamp: GenerationStamp,
  ): { readonly stamp: GenerationStamp; readonly stretches: readonly Stretch[] } {
    return defined(this.#process, 'a listening process').store.read(blockId, generationStamp)
  }

  /**
   * OP_TRANSFER_BLOCK: sends `length` bytes of an open replica to a datanode that is to join its pipeline.
   * Rejects when it does not arrive. @throws {@link DfsError} REPLICA_NOT_FOUND
   */
  sendOpenReplica(
    block: { readonly id: BlockId; readonly stamp: GenerationStamp; readonly length: number },
    target: string,
  ): Promise<void> {
    const process = defined(this.#process, 'a listening process')
    const { stretches } = process.store.read(block.id, block.stamp)
    const sent = sliceOf(stretches, 0, block.length)
    if (lengthOf(sent) < block.length || sent.some(isRotten)) {
      throw new DfsError('IO_ERROR', `Block ${block.id} has no ${block.length} good bytes here`)
    }
    const stream = this.#connect(process, target)
    this.#stream(stream, { ...block, stage: 'join', targets: [] }, sent)
    return new Promise((resolve, reject) => {
      stream.onMessage = (message) => {
        if (message.kind === 'answer' && message.badNode === undefined) resolve()
      }
      stream.onClose = () => {
        reject(new DfsError('IO_ERROR', `${target} did not take the copy`))
      }
    })
  }

  /** Reads every replica and reports the rotten ones, as a scrubber does. */
  scrub(): void {
    for (const [blockId, file] of this.disk.files) {
      if (file.stretches.some(isRotten)) this.#process?.store.reportCorrupt(blockId)
    }
  }

  #wire(process: Process): Datanode {
    const { scheduler, logger } = this.#world
    const clock = scheduler.clockOf(this.skew)
    const { life, store, session, ipc } = process
    const plan = new OrderPlan()
    const link = new NamenodeLink({
      connect: () => this.#rpcClient(process, () => this.#world.namenodeServer()),
      onLost: () => {
        datanode.connectionLost()
      },
      store,
      self: this.self,
      load: () => ({
        ...{ orderedTransfers: plan.transferCount, activeTransfers: 0 },
        ...{ receivedBytes: 0, sentBytes: 0 },
      }),
    })
    const recovery = new RecoveryWorker({
      store,
      link,
      connect: ({ ipAddr }) => this.#rpcClient(process, () => this.#world.datanode(ipAddr).ipc),
      logger,
    })
    const datanode = new Datanode({
      ...{ session, plan, store, link, recovery, logger, clock },
      transfer: (order) => this.#transfer(process, order),
      timers: scheduler.timersOf(life, this.skew),
      onRefused: (error) => {
        throw error
      },
    })
    registerIpcServices(ipc, {
      store,
      blockPoolId: () => store.blockPoolId,
      clock,
      bandwidthBytesPerSecond: 1,
      reservedBytes: 0,
      reportWanted: () => undefined,
    })
    return datanode
  }

  #rpcClient(process: Process, server: () => SimRpcServer | undefined): SimRpcClient {
    return new SimRpcClient({
      network: this.#world.network,
      from: process.peer,
      server,
      user: 'trefoil',
      prng: this.#prng,
      mayStray: true,
      encodes: this.#world.config.encodes,
    })
  }

  #connect(process: Process, target: string): StreamEnd<PipelineMessage> {
    const other = this.#world.datanode(target)
    return this.#world.network.connect<PipelineMessage>(process.peer, other.peer, (end) => {
      other.accept(end)
    })
  }

  /** Executes a transfer order: streams a finalized replica and waits until the connection is closed. */
  #transfer(process: Process, { block, targets }: TransferOrder): Promise<void> {
    const [first, ...rest] = targets.map(({ datanode }) => datanode.id.ipAddr)
    const { stretches } = process.store.read(block.blockId, block.generationStamp)
    if (stretches.some(isRotten)) {
      process.store.reportCorrupt(block.blockId)
      return Promise.reject(new DfsError('CHECKSUM_MISMATCH', `Block ${block.blockId} is corrupt`))
    }
    const stream = this.#connect(process, defined(first, 'target'))
    const { blockId: id, generationStamp: stamp } = block
    this.#stream(stream, { id, stamp, stage: 'copy', targets: rest }, stretches)
    return new Promise((resolve) => {
      stream.onClose = resolve
    })
  }

  /** Sends a replica's bytes as a copy. */
  #stream(
    stream: StreamEnd<PipelineMessage>,
    copy: {
      readonly id: BlockId
      readonly stamp: GenerationStamp
      readonly stage: 'copy' | 'join'
      readonly targets: readonly string[]
    },
    stretches: readonly Stretch[],
  ): void {
    const { id: blockId, stamp, stage, targets } = copy
    const lengths = { lengthMin: 0, lengthMax: 0 }
    stream.send({
      kind: 'operation',
      operation: { stage, blockId, generationStamp: stamp, newStamp: stamp, targets, ...lengths },
    })
    const end = { offset: lengthOf(stretches), length: 0, source: 0, from: 0 }
    for (const [seqno, packet] of [...stretches, end].entries()) {
      const { offset, length, source, from } = packet
      const shape = { offset, length, seqno, isLast: packet === end, isSync: false }
      stream.send({ kind: 'packet', shape, source, from })
    }
  }

  /** Its address, as it registers it. */
  get self(): DatanodeID {
    return {
      ipAddr: this.name,
      hostName: this.name,
      datanodeUuid: `uuid-${this.name}`,
      xferPort: this.#port,
      infoPort: this.#port + 1000,
      ipcPort: this.#port + 2000,
      infoSecurePort: 0,
    }
  }
}

const deadLife = new Lifetime()
deadLife.kill()
