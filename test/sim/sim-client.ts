import { Prng } from '../../base/prng.ts'
import { Suspects } from '../../client/core/read-plan.ts'
import { decideCallRetry, type RetryPolicy } from '../../client/core/retry.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { EncodableRequestOf, MethodsOf, ResponseOf, Service } from '../../protocol/message.ts'
import { clientDatanodeProtocol } from '../../protocol/messages/client-datanode.ts'
import { clientNamenodeProtocol } from '../../protocol/messages/client-namenode.ts'
import type { ExtendedBlock } from '../../protocol/messages/hdfs-blocks.ts'
import { LostCall, type Peer, type StreamEnd } from './network.ts'
import type { PipelineMessage } from './pipeline-messages.ts'
import { Lifetime } from './scheduler.ts'
import type { SimDatanode, World } from './sim-datanode.ts'
import { simUser } from './sim-namenode.ts'
import { SimRpcClient } from './sim-rpc.ts'

type Protocol = typeof clientNamenodeProtocol
type MethodName = Extract<keyof MethodsOf<Protocol>, string>

const patience: RetryPolicy = { totalMs: 60_000, firstDelayMs: 50, delayMsMax: 2_000 }
const suspectMs = 10_000
const leaseRenewalMs = 3_000
/** After an operation of unknown outcome: by then every stray request has arrived or is dead. */
export const strayPauseMs = 15_000
/** Calls that the namenode may do twice: repeatable ones, and those that changed nothing the first time. */
const forgotten: ReadonlySet<string> = new Set<MethodName>([
  'mkdirs',
  'delete',
  'truncate',
  'recoverLease',
  'fsync',
])

/** A datanode's answer for a replica that may not be read now: -1 as u64. */
const unreadableLength = 2n ** 64n - 1n

/**
 * One simulated client process. Calls of the namenode are repeated as the real retry core decides, under the call id
 * of their first attempt.
 */
export class SimClient {
  readonly clientName: string
  readonly life = new Lifetime()
  readonly peer: Peer
  readonly prng: Prng
  readonly world: World
  readonly suspects = new Suspects(suspectMs)
  readonly #rpc: SimRpcClient
  /** Files being written: a client without any lets its leases run out. */
  openFiles = 0

  constructor(world: World, name: string, seed: number) {
    this.world = world
    this.clientName = `DFSClient_${name}`
    this.prng = new Prng(seed)
    this.peer = { name, life: this.life }
    this.#rpc = new SimRpcClient({
      network: world.network,
      from: this.peer,
      server: () => world.namenodeServer(),
      user: simUser,
      prng: this.prng,
      mayStray: true,
      encodes: world.config.encodes,
    })
    world.scheduler.timersOf(this.life).every(leaseRenewalMs, () => {
      void this.#renewLeases()
    })
  }

  get now(): number {
    return this.world.scheduler.now
  }

  /** Waits; for ever when the process dies meanwhile. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.world.scheduler.timersOf(this.life).after(delayMs, resolve)
    })
  }

  /** Calls the namenode. @throws {@link DfsError} its error; OUTCOME_UNKNOWN when the call may have happened nevertheless */
  call<N extends MethodName>(
    method: N,
    request: EncodableRequestOf<Protocol, N>,
  ): Promise<ResponseOf<Protocol, N>> {
    return this.callService(clientNamenodeProtocol, method, request)
  }

  /** As {@link call}, of a method of another protocol. */
  async callService<M, N extends keyof MethodsOf<Service<M>> & string>(
    service: Service<M>,
    method: N,
    request: EncodableRequestOf<Service<M>, N>,
  ): Promise<ResponseOf<Service<M>, N>> {
    const startedAt = this.now
    const callId = this.#rpc.nextCallId()
    let mayArrive = false
    for (let attempt = 1; ; attempt += 1) {
      try {
        const retry = { callId, retryCount: attempt - 1 }
        const reply = await this.#rpc.call(service, method, request, { retry })
        // What is not remembered is done again when a stray attempt arrives.
        if (mayArrive && forgotten.has(method)) await this.pause(strayPauseMs)
        return reply
      } catch (error) {
        if (!isDfsError(error)) throw error
        const decision = decideCallRetry(
          {
            code: error.code,
            attempt,
            elapsedMs: this.now - startedAt,
            jitterPermille: this.prng.below(1000),
          },
          patience,
        )
        mayArrive ||= error instanceof LostCall && error.mayArrive
        if (decision.kind !== 'retry') {
          // An attempt that got lost may still arrive, behind the one that was refused.
          throw mayArrive ? new DfsError('OUTCOME_UNKNOWN', error.message) : error
        }
        await this.pause(decision.delayMs)
      }
    }
  }

  /** Opens a stream to the transfer port of a datanode. */
  connect(datanode: SimDatanode): StreamEnd<PipelineMessage> {
    return this.world.network.connect<PipelineMessage>(this.peer, datanode.peer, (end) => {
      datanode.accept(end)
    })
  }

  /** Asks a datanode how much of a replica may be read; nothing when it waits for recovery. @throws {@link DfsError} */
  async visibleLength(datanode: SimDatanode, block: ExtendedBlock): Promise<number | undefined> {
    const { network, config } = this.world
    const rpc = new SimRpcClient({
      ...{ network, from: this.peer, server: () => datanode.ipc, user: simUser },
      ...{ prng: this.prng, mayStray: false, encodes: config.encodes },
    })
    try {
      const { length } = await rpc.call(clientDatanodeProtocol, 'getReplicaVisibleLength', {
        block,
      })
      return length === unreadableLength ? undefined : Number(length)
    } finally {
      rpc.close()
    }
  }

  async #renewLeases(): Promise<void> {
    const { clientName } = this
    if (this.openFiles === 0) return
    try {
      await this.#rpc.call(clientNamenodeProtocol, 'renewLease', { clientName, namespaces: [] })
    } catch (error) {
      if (!isDfsError(error)) throw error
    }
  }
}
