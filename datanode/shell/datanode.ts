/**
 * One datanode: feeds the session with time, answers and replica events, makes the calls it wants, and
 * executes the orders that come back.
 *
 *   replica store ──events──▶ session ──calls──▶ namenode link
 *        ▲                       │
 *        └── deletes, copies ◀── order plan ◀── orders
 */
import { unreachable } from '../../base/assert.ts'
import type { Millis } from '../../base/brand.ts'
import type { Clock, TimerHandle, Timers } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { DfsError, isDfsError } from '../../protocol/errors.ts'
import type { NamenodeSession } from '../core/namenode-session.ts'
import type { Job, OrderPlan } from '../core/order-plan.ts'
import type { TransferOrder } from '../core/orders.ts'
import { type ReplicaInfo, reportedState } from '../core/replica.ts'
import type { SessionAction, SessionEvent, SessionRequest } from '../core/session-events.ts'
import { failureReason, type NamenodeLink } from './namenode-link.ts'
import type { RecoveryWorker } from './recovery-worker.ts'
import type { ReplicaCatalog } from './replica-catalog.ts'

export interface DatanodeParts {
  readonly session: NamenodeSession
  readonly plan: OrderPlan
  readonly store: ReplicaCatalog
  readonly link: NamenodeLink
  readonly recovery: Pick<RecoveryWorker, 'recover'>
  /** Copies a finalized replica to other datanodes. */
  readonly transfer: (order: TransferOrder, signal: AbortSignal) => Promise<void>
  readonly clock: Clock
  readonly timers: Timers
  readonly logger: Logger
  /** The namenode belongs to another cluster, or does not want us: only an operator can help. */
  readonly onRefused: (error: DfsError) => void
}

/** See the head of this file. */
export class Datanode {
  readonly #parts: DatanodeParts
  readonly #abort = new AbortController()
  readonly #running = new Set<Promise<void>>()
  #timer: TimerHandle | undefined
  #timerAt: Millis | undefined

  constructor(parts: DatanodeParts) {
    this.#parts = parts
    parts.store.onEvent((event) => {
      this.#dispatch({ kind: 'replica', event })
    })
    parts.store.onCorrupt((replica) => {
      this.#dispatch({ kind: 'bad-replica', replica })
    })
  }

  start(): void {
    this.#dispatch({ kind: 'start' })
  }

  /** The connection to the namenode broke. */
  connectionLost(): void {
    this.#dispatch({ kind: 'connection-lost' })
  }

  /** Sends a full or an incremental report as soon as possible. */
  reportWanted(isIncremental: boolean): void {
    this.#dispatch({ kind: 'report-wanted', isIncremental })
  }

  /** Ends the session, aborts the orders under way and waits until they are gone. */
  async stop(): Promise<void> {
    this.#dispatch({ kind: 'stop' })
    this.#timer?.cancel()
    this.#abort.abort()
    await Promise.allSettled(this.#running)
  }

  #dispatch(event: SessionEvent): void {
    const { session, clock } = this.#parts
    for (const action of session.handle(clock.monotonic(), event)) this.#perform(action)
    this.#arm()
  }

  #perform(action: SessionAction): void {
    const { link, logger } = this.#parts
    switch (action.kind) {
      case 'call':
        void this.#call(action.callId, action.request)
        return
      case 'execute':
        this.#parts.plan.add(action.order)
        this.#startJobs()
        return
      case 'disconnect':
        link.disconnect()
        return
      case 'phase':
        logger.info('namenode-session', { phase: action.phase, reason: action.message })
        return
      default:
        unreachable(action)
    }
  }

  async #call(callId: number, request: SessionRequest): Promise<void> {
    const { link, logger, onRefused } = this.#parts
    try {
      const answer = await link.perform(request)
      this.#dispatch({ kind: 'answered', callId, answer })
    } catch (error) {
      if (!isDfsError(error)) throw error
      const reason = failureReason(request, error)
      if (reason === 'refused') {
        logger.error('namenode-refused', { call: request.kind, error: error.message })
        onRefused(error)
      } else if (reason === 'rejected') {
        logger.warn('namenode-rejected', { call: request.kind, error: error.message })
      }
      this.#dispatch({ kind: 'failed', callId, reason, message: error.message })
    }
  }

  /** Keeps one timer for the moment at which the session wants its next tick. */
  #arm(): void {
    const { session, clock, timers } = this.#parts
    const wakeAt = session.wakeAt
    if (wakeAt === this.#timerAt) return
    this.#timer?.cancel()
    this.#timerAt = wakeAt
    if (wakeAt === undefined) return
    this.#timer = timers.after(Math.max(0, wakeAt - clock.monotonic()), () => {
      this.#timerAt = undefined
      this.#dispatch({ kind: 'tick' })
    })
  }

  #startJobs(): void {
    const { plan } = this.#parts
    for (let job = plan.start(); job !== undefined; job = plan.start()) {
      const running = this.#run(job).finally(() => {
        this.#running.delete(running)
        if (!this.#abort.signal.aborted) this.#startJobs()
      })
      this.#running.add(running)
    }
  }

  async #run(job: Job): Promise<void> {
    const { clock, plan, logger } = this.#parts
    const startedAt = clock.monotonic()
    try {
      await this.#execute(job)
    } catch (error) {
      if (!isDfsError(error)) throw error
      this.#jobFailed(job, error, logger)
    } finally {
      plan.finish(job, clock.monotonic() - startedAt)
    }
  }

  async #execute(job: Job): Promise<void> {
    const { store, recovery } = this.#parts
    switch (job.kind) {
      case 'invalidate':
        await store.delete(job.blockId, job.generationStamp)
        return
      case 'recover':
        await recovery.recover(job.order)
        return
      case 'transfer':
        await this.#transfer(job.order)
        return
      default:
        unreachable(job)
    }
  }

  async #transfer(order: TransferOrder): Promise<void> {
    const { store, transfer, logger } = this.#parts
    const { block, targets } = order
    const replica = store.find(block.blockId)
    if (replica?.state !== 'finalized' || replica.generationStamp !== block.generationStamp) {
      throw new DfsError(
        'REPLICA_NOT_FOUND',
        `No finalized replica of block ${block.blockId} with stamp ${block.generationStamp} is here`,
        { blockId: block.blockId },
      )
    }
    if (replica.length < block.length) {
      const { storage, blockId, generationStamp, length } = replica
      this.#dispatch({
        kind: 'bad-replica',
        replica: { storage, blockId, generationStamp, length },
      })
      return
    }
    logger.debug('transfer-started', {
      blockId: block.blockId,
      targets: targets.map(({ datanode }) => `${datanode.id.ipAddr}:${datanode.id.xferPort}`),
    })
    await transfer(order, this.#abort.signal)
  }

  /** Tells the namenode which replica is here: it believes in another version, and would go on ordering the same. */
  #tellOf(replica: ReplicaInfo): void {
    const { storage, blockId, generationStamp, length, digest } = replica
    const state = reportedState(replica)
    if (state === undefined) return
    const kind = state === 'finalized' ? 'received' : 'receiving'
    const event = { kind, storage, blockId, generationStamp, length, digest } as const
    this.#dispatch({ kind: 'replica', event })
  }

  #jobFailed(job: Job, error: DfsError, logger: Logger): void {
    const { blockId, generationStamp } = job.kind === 'invalidate' ? job : job.order.block
    logger.warn('order-failed', { order: job.kind, blockId, error: error.message })
    if (job.kind === 'recover' || error.code !== 'REPLICA_NOT_FOUND') return
    const found = this.#parts.store.find(blockId)
    if (found !== undefined) {
      this.#tellOf(found)
      return
    }
    // The namenode believes in a replica that is not here: whichever storage it thinks of, it is gone.
    for (const { uuid } of this.#parts.store.storages()) {
      const event = { kind: 'deleted', storage: uuid, blockId, generationStamp, length: 0 } as const
      this.#dispatch({ kind: 'replica', event })
    }
  }
}
