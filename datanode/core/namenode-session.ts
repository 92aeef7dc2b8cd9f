/**
 * The datanode's conversation with the namenode (HDFS: BPServiceActor), as a machine: events go in,
 * calls to make and orders to execute come out. It owns no socket and no clock; `wakeAt` says when it
 * wants its next tick.
 *
 *   waiting ──▶ version ──▶ bind ──▶ register ──▶ heartbeats, reports
 *      ▲                                │  ▲             │
 *      └── connection lost, time-out ───┴──│─────────────┤
 *                                          └─────────────┘ register order
 *
 * Two lanes, one call at a time in each:   heartbeat lane   set-up calls, heartbeats
 *                                          report lane      full and incremental reports, bad replicas
 *
 * 1. Reports reach the namenode in the order in which they were taken: one lane, one connection.
 * 2. After every registration a full report is sent. Whatever happened to replicas before it was taken is
 *    in it, so nothing needs to be kept while there is no connection.
 * 3. Everything queued is bounded; an overflow or a refused report turns into another full report.
 * 4. Orders of a namenode that is not active are not obeyed.
 * 5. Answers to calls of an earlier connection are ignored.
 */
import { assert, unreachable } from '../../base/assert.ts'
import { type Millis, millis } from '../../base/brand.ts'
import type { BlockId } from '../../protocol/ids.ts'
import type { DatanodeOrder } from './orders.ts'
import { type ReplicaEvent, ReportQueue } from './report-queue.ts'
import type {
  BadReplica,
  FailureReason,
  NamespaceIdentity,
  SessionAction,
  SessionAnswer,
  SessionEvent,
  SessionOptions,
  SessionPhase,
  SessionRequest,
} from './session-events.ts'

/** Bounds and times of a session. */
export const sessionLimits = {
  /** First and longest pause before a connection is tried again. Short: a restarted namenode wants its blocks. */
  retryMsMin: 100,
  retryMsMax: 1000,
  /** Pause after the namenode refused us: only an operator can help. */
  refusedRetryMs: 5000,
  /** A set-up call or heartbeat without an answer for this long means the connection is dead. */
  heartbeatTimeoutMs: 10_000,
  /** The same for reports, which may hold millions of replicas. */
  reportTimeoutMs: 120_000,
  replicaEventsMax: 20_000,
  replicaEventsPerReportMax: 2000,
  badReplicasMax: 1000,
} as const

interface Call {
  readonly callId: number
  readonly request: SessionRequest
  readonly deadline: Millis
}

type Lane = 'heartbeat' | 'report'

export class NamenodeSession {
  readonly #options: SessionOptions
  readonly #queue = new ReportQueue(sessionLimits.replicaEventsMax)
  readonly #badReplicaById = new Map<BlockId, BadReplica>()
  readonly #callByLane = new Map<Lane, Call>()
  #actions: SessionAction[] = []
  #phase: SessionPhase = 'stopped'
  #identity: NamespaceIdentity | undefined
  #nextCallId = 1
  #nextReportId: number
  #retryMs: number = sessionLimits.retryMsMin
  #retryAt = millis(0)
  #nextHeartbeatAt = millis(0)
  #nextFullReportAt = millis(0)
  #needsFullReport = true
  #reportLeaseId = 0n

  constructor(options: SessionOptions) {
    this.#options = options
    this.#nextReportId = options.prng.next()
  }

  get phase(): SessionPhase {
    return this.#phase
  }

  /** The namespace we serve; known from the first answer of a namenode on. */
  get identity(): NamespaceIdentity | undefined {
    return this.#identity
  }

  /** A full report was accepted since the last registration and nothing waits to be told. */
  get isUpToDate(): boolean {
    if (this.#phase !== 'registered' || this.#needsFullReport) return false
    return this.#queue.count === 0 && !this.#callByLane.has('report')
  }

  /** When the session wants its next `tick`, on the monotonic clock; `undefined` while stopped. */
  get wakeAt(): Millis | undefined {
    if (this.#phase === 'stopped') return undefined
    if (this.#phase === 'waiting') return this.#retryAt
    let wakeAt = Infinity
    for (const { deadline } of this.#callByLane.values()) wakeAt = Math.min(wakeAt, deadline)
    if (this.#phase === 'registered' && !this.#callByLane.has('heartbeat')) {
      wakeAt = Math.min(wakeAt, this.#nextHeartbeatAt)
    }
    return millis(wakeAt)
  }

  /** Takes one event at `now` (monotonic) and returns what must be done, in order. */
  handle(now: Millis, event: SessionEvent): readonly SessionAction[] {
    this.#actions = []
    switch (event.kind) {
      case 'start':
        if (this.#phase === 'stopped') this.#connect(now)
        break
      case 'tick':
        this.#tick(now)
        break
      case 'connection-lost':
        if (this.#phase !== 'stopped' && this.#phase !== 'waiting') {
          this.#lost(now, 'the connection was closed')
        }
        break
      case 'answered':
        this.#answered(now, event.callId, event.answer)
        break
      case 'failed':
        this.#failed(now, event.callId, event.reason, event.message)
        break
      case 'replica':
        this.#replicaChanged(now, event.event)
        break
      case 'bad-replica':
        this.#replicaIsBad(now, event.replica)
        break
      case 'report-wanted':
        this.#reportWanted(now, event.isIncremental)
        break
      case 'stop':
        if (this.#phase === 'stopped') break
        this.#actions.push({ kind: 'disconnect' })
        this.#dropCalls()
        this.#enter('stopped', 'stopped')
        break
      default:
        unreachable(event)
    }
    return this.#actions
  }

  #tick(now: Millis): void {
    if (this.#phase === 'waiting' && now >= this.#retryAt) this.#connect(now)
    for (const { request, deadline } of this.#callByLane.values()) {
      if (now < deadline) continue
      this.#actions.push({ kind: 'disconnect' })
      this.#lost(now, `no answer to ${request.kind} in time`)
      return
    }
    this.#pumpHeartbeat(now)
    this.#pumpReports(now)
  }

  #connect(now: Millis): void {
    this.#enter('connecting', 'asking the namenode who it is')
    this.#call(now, 'heartbeat', { kind: 'version' })
  }

  #register(now: Millis): void {
    this.#enter('registering', 'registering')
    this.#call(now, 'heartbeat', { kind: 'register' })
  }

  #lost(now: Millis, message: string, pauseMs?: number): void {
    this.#dropCalls()
    const spread = Math.floor(this.#retryMs / 4)
    const delayMs = pauseMs ?? this.#retryMs - (spread > 0 ? this.#options.prng.below(spread) : 0)
    this.#retryAt = millis(now + delayMs)
    this.#retryMs = Math.min(this.#retryMs * 2, sessionLimits.retryMsMax)
    this.#enter('waiting', message)
  }

  /** Forgets all calls under way. What a report said is in the next full report; bad replicas are not. */
  #dropCalls(): void {
    const request = this.#callByLane.get('report')?.request
    if (request?.kind === 'bad-replicas') {
      for (const replica of request.replicas) this.#badReplicaById.set(replica.blockId, replica)
    }
    this.#callByLane.clear()
    this.#reportLeaseId = 0n
  }

  #enter(phase: SessionPhase, message: string): void {
    this.#phase = phase
    this.#actions.push({ kind: 'phase', phase, message })
  }

  #call(now: Millis, lane: Lane, request: SessionRequest): void {
    assert(!this.#callByLane.has(lane), `the ${lane} lane carries one call at a time`)
    const timeoutMs =
      lane === 'heartbeat' ? sessionLimits.heartbeatTimeoutMs : sessionLimits.reportTimeoutMs
    const call = { callId: this.#nextCallId, request, deadline: millis(now + timeoutMs) }
    this.#nextCallId += 1
    this.#callByLane.set(lane, call)
    this.#actions.push({ kind: 'call', callId: call.callId, request })
  }

  /** Removes and returns the call, with its lane, unless it belongs to an earlier connection. */
  #settle(callId: number): { readonly lane: Lane; readonly call: Call } | undefined {
    for (const [lane, call] of this.#callByLane) {
      if (call.callId !== callId) continue
      this.#callByLane.delete(lane)
      return { lane, call }
    }
    return undefined
  }

  #answered(now: Millis, callId: number, answer: SessionAnswer): void {
    const settled = this.#settle(callId)
    if (settled === undefined) return
    switch (answer.kind) {
      case 'version':
        this.#identity = answer.identity
        this.#enter('binding', 'checking that the data directories belong to the namespace')
        this.#call(now, 'heartbeat', { kind: 'bind', identity: answer.identity })
        return
      case 'bound':
        this.#register(now)
        return
      case 'registered':
        this.#registered(now)
        return
      case 'heartbeat':
        this.#heartbeatAnswered(now, answer)
        break
      case 'reported':
        this.#obey(now, answer.orders)
        break
      case 'noted':
        break
      default:
        unreachable(answer)
    }
    this.#pumpHeartbeat(now)
    this.#pumpReports(now)
  }

  #registered(now: Millis): void {
    this.#enter('registered', 'registered')
    this.#retryMs = sessionLimits.retryMsMin
    this.#needsFullReport = true
    this.#reportLeaseId = 0n
    this.#nextHeartbeatAt = now
    this.#pumpHeartbeat(now)
    this.#pumpReports(now)
  }

  #heartbeatAnswered(now: Millis, answer: Extract<SessionAnswer, { kind: 'heartbeat' }>): void {
    if (this.#needsFullReport) this.#reportLeaseId = answer.reportLeaseId
    if (now >= this.#nextFullReportAt) this.#needsFullReport = true
    this.#queue.makeDue()
    if (answer.isActive) this.#obey(now, answer.orders)
  }

  #obey(now: Millis, orders: readonly DatanodeOrder[]): void {
    for (const order of orders) {
      if (order.kind === 'register') {
        if (this.#phase === 'registered') this.#registerAgain(now)
      } else {
        this.#actions.push({ kind: 'execute', order })
      }
    }
  }

  /** The namenode forgot us: everything under way is moot, the connection stays. */
  #registerAgain(now: Millis): void {
    this.#dropCalls()
    this.#register(now)
  }

  #failed(now: Millis, callId: number, reason: FailureReason, message: string): void {
    const settled = this.#settle(callId)
    if (settled === undefined) return
    const what = `${settled.call.request.kind}: ${message}`
    switch (reason) {
      case 'connection':
        this.#callByLane.set(settled.lane, settled.call)
        this.#lost(now, what)
        return
      case 'refused':
        this.#actions.push({ kind: 'disconnect' })
        this.#lost(now, what, sessionLimits.refusedRetryMs)
        return
      case 'unregistered':
        if (this.#phase === 'registered') this.#registerAgain(now)
        else this.#abandon(now, what)
        return
      case 'rejected':
        if (this.#phase !== 'registered') this.#abandon(now, what)
        else this.#rejected(now, settled.lane, settled.call.request)
        return
      default:
        unreachable(reason)
    }
  }

  #abandon(now: Millis, message: string): void {
    this.#actions.push({ kind: 'disconnect' })
    this.#lost(now, message)
  }

  /** One call failed on a good connection. What a report wanted to say, the next full report says. */
  #rejected(now: Millis, lane: Lane, request: SessionRequest): void {
    if (lane === 'report' && request.kind !== 'bad-replicas') this.#needsFullReport = true
    this.#pumpHeartbeat(now)
    if (lane === 'heartbeat') this.#pumpReports(now)
  }

  #replicaChanged(now: Millis, event: ReplicaEvent): void {
    if (this.#phase !== 'registered') return
    if (!this.#queue.push(event)) this.#needsFullReport = true
    this.#pumpReports(now)
  }

  #replicaIsBad(now: Millis, replica: BadReplica): void {
    if (this.#badReplicaById.size >= sessionLimits.badReplicasMax) return
    this.#badReplicaById.set(replica.blockId, replica)
    this.#pumpReports(now)
  }

  #reportWanted(now: Millis, isIncremental: boolean): void {
    if (isIncremental) this.#queue.makeDue()
    else this.#needsFullReport = true
    if (this.#phase !== 'registered') return
    if (!isIncremental) this.#nextHeartbeatAt = now
    this.#pumpHeartbeat(now)
    this.#pumpReports(now)
  }

  #pumpHeartbeat(now: Millis): void {
    if (this.#phase !== 'registered' || this.#callByLane.has('heartbeat')) return
    if (now < this.#nextHeartbeatAt) return
    this.#nextHeartbeatAt = millis(now + this.#options.heartbeatIntervalMs)
    const wantsReportLease = this.#needsFullReport && this.#reportLeaseId === 0n
    this.#call(now, 'heartbeat', { kind: 'heartbeat', wantsReportLease })
  }

  #pumpReports(now: Millis): void {
    if (this.#phase !== 'registered' || this.#callByLane.has('report')) return
    if (this.#needsFullReport && this.#reportLeaseId !== 0n) {
      this.#sendFullReport(now)
    } else if (this.#badReplicaById.size > 0) {
      const replicas = [...this.#badReplicaById.values()]
      this.#badReplicaById.clear()
      this.#call(now, 'report', { kind: 'bad-replicas', replicas })
    } else if (this.#queue.isDue) {
      const events = this.#queue.take(sessionLimits.replicaEventsPerReportMax)
      this.#call(now, 'report', { kind: 'incremental-report', events })
    }
  }

  /** The list is taken now, so what waited in the queue is part of it. */
  #sendFullReport(now: Millis): void {
    const leaseId = this.#reportLeaseId
    const reportId = this.#nextReportId
    const intervalMs = this.#options.blockReportIntervalMs
    const spreadMs = Math.max(1, Math.floor(intervalMs / 10))
    this.#nextFullReportAt = millis(now + intervalMs - this.#options.prng.below(spreadMs))
    this.#nextReportId += 1
    this.#reportLeaseId = 0n
    this.#needsFullReport = false
    this.#queue.clear()
    this.#call(now, 'report', { kind: 'block-report', leaseId, reportId })
  }
}
