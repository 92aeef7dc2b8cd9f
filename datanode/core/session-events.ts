/**
 * What goes into a {@link NamenodeSession} and what comes out of it: the calls it wants made on the
 * namenode, their answers, and the other events of its life. The shell turns them into RPCs; the
 * simulator carries them over its own network.
 */
import type { Prng } from '../../base/prng.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import type { DatanodeOrder } from './orders.ts'
import type { ReplicaEvent } from './report-queue.ts'

/** What a namenode says it is in its answer to versionRequest. */
export interface NamespaceIdentity {
  readonly clusterId: string
  readonly namespaceId: number
  readonly blockPoolId: string
  /** Creation time of the namespace, milliseconds since the epoch. */
  readonly creationTimeMs: number
}

/** A replica whose bytes do not match their checksums. */
export interface BadReplica {
  readonly storage: StorageUuid
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
}

export type SessionRequest =
  | { readonly kind: 'version' }
  /** Bind the data directories to the namespace; refused when they belong to another one. */
  | { readonly kind: 'bind'; readonly identity: NamespaceIdentity }
  | { readonly kind: 'register' }
  | { readonly kind: 'heartbeat'; readonly wantsReportLease: boolean }
  /** List all replicas as they are now: the list must be taken before the next event is handled. */
  | { readonly kind: 'block-report'; readonly leaseId: bigint; readonly reportId: number }
  | { readonly kind: 'incremental-report'; readonly events: readonly ReplicaEvent[] }
  | { readonly kind: 'bad-replicas'; readonly replicas: readonly BadReplica[] }

export type SessionAnswer =
  | { readonly kind: 'version'; readonly identity: NamespaceIdentity }
  | { readonly kind: 'bound' }
  | { readonly kind: 'registered' }
  | {
      readonly kind: 'heartbeat'
      readonly orders: readonly DatanodeOrder[]
      readonly isActive: boolean
      /** 0 when no lease was asked for or none is free. */
      readonly reportLeaseId: bigint
    }
  | { readonly kind: 'reported'; readonly orders: readonly DatanodeOrder[] }
  | { readonly kind: 'noted' }

/**
 * Why a call failed.
 * - `connection`: nothing more can be said on this connection
 * - `unregistered`: the namenode does not know us
 * - `refused`: we belong to another namespace, or may not join this one
 * - `rejected`: any other error of this one call
 */
export type FailureReason = 'connection' | 'unregistered' | 'refused' | 'rejected'

export type SessionEvent =
  | { readonly kind: 'start' }
  | { readonly kind: 'tick' }
  | { readonly kind: 'connection-lost' }
  | { readonly kind: 'answered'; readonly callId: number; readonly answer: SessionAnswer }
  | {
      readonly kind: 'failed'
      readonly callId: number
      readonly reason: FailureReason
      readonly message: string
    }
  | { readonly kind: 'replica'; readonly event: ReplicaEvent }
  | { readonly kind: 'bad-replica'; readonly replica: BadReplica }
  /** An operator asks for a report now. */
  | { readonly kind: 'report-wanted'; readonly isIncremental: boolean }
  | { readonly kind: 'stop' }

export type SessionAction =
  | { readonly kind: 'call'; readonly callId: number; readonly request: SessionRequest }
  | { readonly kind: 'execute'; readonly order: DatanodeOrder }
  /** Close the connection; the next call opens another. */
  | { readonly kind: 'disconnect' }
  /** For the log and for people: the session changed its phase. */
  | { readonly kind: 'phase'; readonly phase: SessionPhase; readonly message: string }

export type SessionPhase =
  | 'stopped'
  | 'waiting'
  | 'connecting'
  | 'binding'
  | 'registering'
  | 'registered'

export interface SessionOptions {
  readonly heartbeatIntervalMs: number
  readonly blockReportIntervalMs: number
  /** Spreads retries and full reports of many datanodes; draws nothing that matters for safety. */
  readonly prng: Prng
}
