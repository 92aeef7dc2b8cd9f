/**
 * Why a block or a datanode is as it is: what counts and what does not, what is being done, since when
 * and until when. A pure view; nothing changes by looking, and nothing is drawn from a generator.
 */
import type { Millis } from '../../base/brand.ts'
import type { BlockId, DatanodeUuid, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import type { AdminState, DatanodeLiveness } from '../../protocol/states.ts'
import { type EntryKind, isBeingWritten, isGoing, type Slot, storageOf } from './block-map.ts'
import type { CorruptReason } from './corrupt-replicas.ts'
import type { DatanodeRecord, DatanodeRegistry, StorageRecord } from './datanode-registry.ts'
import type { PendingCopy } from './pending-copies.ts'
import type { Refusal } from './placement.ts'
import { assess, type Danger } from './redundancy.ts'
import type { Repair } from './repair.ts'
import type { Hindrance, RepairRounds } from './repair-rounds.ts'
import type { ReplicaLedger } from './replica-ledger.ts'

/**
 * How much one replica is worth.
 * - `good`: counts, and others may be deleted because of it
 * - `unconfirmed`: counts, but no full report has confirmed it since its datanode registered, or its
 *   datanode is not heard of at the moment
 * - `being-written`, `waiting`: not finalized on its datanode
 * - `to-be-deleted`: surplus or replaced, told to go or about to be
 * - `leaving`, `maintained`: fine, but its datanode is drained or being drained / in maintenance or about to
 *   be; it does not count itself, and one in maintenance lets fewer others be enough
 * - `unreachable`: its datanode is dead or its storage failed
 * - any other: corrupt, and why
 */
export type ReplicaWorth =
  | 'good'
  | 'unconfirmed'
  | 'being-written'
  | 'waiting'
  | 'to-be-deleted'
  | 'leaving'
  | 'maintained'
  | 'unreachable'
  | CorruptReason

export interface ExplainedReplica {
  readonly datanode: DatanodeUuid
  /** `host:port`. */
  readonly name: string
  readonly rack: string
  readonly liveness: DatanodeLiveness
  readonly adminState: AdminState
  readonly storage: StorageUuid
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly worth: ReplicaWorth
  /** Counts towards the wanted number. */
  readonly counts: boolean
  /** An order to delete it waits or was sent. */
  readonly isGoing: boolean
}

/** A replica that is expected to appear. */
export interface ExplainedCopy {
  /** `host:port` of the sender; absent for a member of the pipeline that is about to report. */
  readonly from: string | undefined
  readonly to: string
  readonly bytes: number
  /** Monotonic times: when it was ordered, when the order left, when it is taken for lost. */
  readonly since: Millis
  readonly sentAt: Millis | undefined
  readonly until: Millis
}

export interface ExplainedBlock {
  readonly id: BlockId
  readonly state: EntryKind
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly wanted: number
  readonly good: number
  readonly replicas: readonly ExplainedReplica[]
  readonly copies: readonly ExplainedCopy[]
  /** The redundancy queue it waits in, if any. */
  readonly queue: Danger | undefined
  /** What kept it from being helped at its last turn, and when that was. */
  readonly hindrance: { readonly at: Millis; readonly why: Hindrance } | undefined
  /** With the hindrance `no-target`: why each datanode does not take it. */
  readonly refusals: readonly Refusal[]
  /** Something is to be deleted once more replicas are confirmed. */
  readonly isDeletionPostponed: boolean
  /** Blocks of its queue are looked at again then, at the earliest. */
  readonly nextTryAt: Millis | undefined
  /** Nothing is missing, surplus, corrupt or badly distributed, and nothing is under way. */
  readonly isHealthy: boolean
}

/** What a datanode has to do for the namenode. */
export interface ExplainedNode {
  readonly datanode: DatanodeUuid
  readonly name: string
  readonly liveness: DatanodeLiveness
  readonly adminState: AdminState
  readonly silenceMs: number
  readonly replicas: number
  /** Storages, those that failed, and those whose content no full report has confirmed since it registered. */
  readonly storages: number
  readonly failedStorages: number
  readonly unconfirmedStorages: number
  readonly queuedTransfers: number
  readonly queuedDeletions: number
  /** Deletions that were sent and not reported done. */
  readonly sentDeletions: number
  readonly copiesOut: number
  readonly copyBytesOut: number
  readonly copiesIn: number
  readonly copyBytesIn: number
  /** Measured; absent before the first copy. */
  readonly outBytesPerSecond: number | undefined
  readonly inBytesPerSecond: number | undefined
}

export interface ExplainSources {
  readonly registry: DatanodeRegistry
  readonly ledger: ReplicaLedger
  readonly repair: Repair
  readonly rounds: RepairRounds
}

/** Explains one block; `undefined` when neither a row nor a report of it is known. */
export function explainBlock(id: BlockId, sources: ExplainSources): ExplainedBlock | undefined {
  const { registry, ledger, repair, rounds } = sources
  const at = ledger.map.find(id)
  if (at === undefined) return undefined
  const health = assess(ledger, registry, at)
  const queue = repair.queues.dangerOf(id)
  const hindrance = rounds.hindranceOf(id)
  const isDeletionPostponed = repair.isPostponed(id)
  const copies = repair.pending.of(id).map(explainCopy)
  const isSettled = queue === undefined && copies.length === 0 && !isDeletionPostponed
  const isClean = health.corrupt.length === 0 && health.uncounted.length === 0
  return {
    id,
    state: ledger.map.kind(at),
    generationStamp: ledger.map.generationStamp(at),
    length: ledger.map.length(at),
    wanted: health.wanted,
    good: health.good.length,
    replicas: explainReplicas(at, sources),
    copies,
    queue,
    hindrance,
    refusals: hindrance?.why === 'no-target' ? rounds.refusals(id) : [],
    isDeletionPostponed,
    nextTryAt: queue === undefined || queue === 'lost' ? undefined : rounds.pausedUntil,
    isHealthy: isSettled && isClean && health.good.length >= health.needed,
  }
}

/** Explains what a datanode is doing for repair. */
export function explainNode(
  now: Millis,
  node: DatanodeRecord,
  { registry, repair }: Pick<ExplainSources, 'registry' | 'repair'>,
): ExplainedNode {
  const storages = [...node.storages.values()]
  const load = repair.pending.load(node)
  return {
    datanode: node.uuid,
    name: node.name,
    liveness: node.liveness,
    adminState: node.adminState,
    silenceMs: registry.silenceMs(now, node),
    replicas: storages.reduce((sum, { replicaCount }) => sum + replicaCount, 0),
    storages: storages.length,
    failedStorages: storages.filter(({ isFailed }) => isFailed).length,
    unconfirmedStorages: storages.filter(({ isReported }) => !isReported).length,
    queuedTransfers: node.orders.transferCount,
    queuedDeletions: node.orders.invalidationCount,
    sentDeletions: node.orders.sentInvalidationCount,
    copiesOut: load.outCount,
    copyBytesOut: load.outBytes,
    copiesIn: load.inCount,
    copyBytesIn: load.inBytes,
    outBytesPerSecond: load.outSpeed.bytesPerSecond,
    inBytesPerSecond: load.inSpeed.bytesPerSecond,
  }
}

function explainReplicas(
  at: Slot,
  { registry, ledger }: ExplainSources,
): readonly ExplainedReplica[] {
  const id = ledger.map.id(at)
  const version = { generationStamp: ledger.map.generationStamp(at), length: ledger.map.length(at) }
  const replicas: ExplainedReplica[] = []
  for (const word of ledger.map.replicas(at)) {
    const storage = registry.storage(storageOf(word))
    const isLeaving = isGoing(word)
    const worth = isLeaving
      ? 'to-be-deleted'
      : isBeingWritten(word)
        ? 'being-written'
        : standingWorth[storage.standing](storage)
    replicas.push({ ...placeOf(storage), ...version, ...verdict(worth), isGoing: isLeaving })
  }
  for (const { storage, generationStamp, length, reason, isGoing: leaving } of ledger.corrupt.of(
    id,
  )) {
    const found = { generationStamp, length, isGoing: leaving }
    replicas.push({ ...placeOf(storage), ...found, ...verdict(reason) })
  }
  for (const { storage, generationStamp, length, state, isCorrupt } of ledger.open.find(id)
    ?.replicas ?? []) {
    const found = { generationStamp, length, isGoing: false }
    const isFinal = state === 'finalized' && storage.counts
    const worth = isCorrupt
      ? 'reported'
      : !storage.counts
        ? 'unreachable'
        : isFinal
          ? 'good'
          : state === 'waiting'
            ? 'waiting'
            : 'being-written'
    replicas.push({ ...placeOf(storage), ...found, ...verdict(worth) })
  }
  return replicas
}

const standingWorth = {
  good: ({ isTrusted }: StorageRecord): ReplicaWorth => (isTrusted ? 'good' : 'unconfirmed'),
  leaving: (): ReplicaWorth => 'leaving',
  maintained: (): ReplicaWorth => 'maintained',
  gone: (): ReplicaWorth => 'unreachable',
} as const satisfies Record<StorageRecord['standing'], (storage: StorageRecord) => ReplicaWorth>

function verdict(worth: ReplicaWorth): Pick<ExplainedReplica, 'worth' | 'counts'> {
  return { worth, counts: worth === 'good' || worth === 'unconfirmed' }
}

function placeOf({
  node,
  uuid,
}: StorageRecord): Pick<
  ExplainedReplica,
  'datanode' | 'name' | 'rack' | 'liveness' | 'adminState' | 'storage'
> {
  const { name, rack, liveness, adminState } = node
  return { datanode: node.uuid, name, rack, liveness, adminState, storage: uuid }
}

function explainCopy({
  source,
  target,
  bytes,
  since,
  sentAt,
  deadline,
}: PendingCopy): ExplainedCopy {
  return { from: source?.name, to: target.node.name, bytes, since, sentAt, until: deadline }
}
