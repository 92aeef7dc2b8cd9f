/**
 * The replicas of one datanode, and the only place that moves one from state to state.
 *
 *                 create                  finalize
 *      (absent) ----------> rbw ---------------------------> finalized --+
 *          |                 ^ \ restart                       |   ^     | append,
 *          |    convert      |  +------> rwr                   |   |     | reopen
 *          | create-copy     |            |  begin-recovery    |   |     v
 *          +------> temporary --finalize--+--> rur <-----------+   |    rbw
 *                                              +-- end-recovery ---+
 *
 * 1. {@link replicaTransitions} is total: every state knows what every event does to it (D1).
 * 2. At most one replica of a block lives here, whatever its generation stamp (D4).
 * 3. `usedBytes` of a storage is the sum of its replicas' lengths.
 */
import { assert, defined } from '../../base/assert.ts'
import { type Millis, millis } from '../../base/brand.ts'
import { DfsError, type ErrorCode } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp, StorageUuid } from '../../protocol/ids.ts'
import type { ReplicaState } from '../../protocol/states.ts'
import type { ReplicaInfo, ReplicaRecovery } from './replica.ts'

/**
 * What may happen to a replica.
 * - `create`, `create-copy`: a client's pipeline, or another datanode, starts to send the block
 * - `append`: a finalized replica is opened again
 * - `reappend`: the pipeline of an append was rebuilt before it carried anything
 * - `resume`: the pipeline was rebuilt after a failure and goes on with a new stamp
 * - `close`: the pipeline was rebuilt only to finish; all bytes are here
 * - `finalize`: the last byte is on disk
 * - `convert`: a copied unfinished replica joins the pipeline of its writer
 * - `begin-recovery`, `end-recovery`: datanodes agree on a length after the writer is gone
 * - `delete`: the namenode, or a failed copy, drops it
 */
export const replicaEvents = [
  'create',
  'create-copy',
  'append',
  'reappend',
  'resume',
  'close',
  'finalize',
  'convert',
  'begin-recovery',
  'end-recovery',
  'delete',
] as const
export type ReplicaEvent = (typeof replicaEvents)[number]

/** A replica's state, or that there is none. */
export type ReplicaPresence = ReplicaState | 'absent'

/** What an event does: the next state, or the error of a peer that asked for it in vain. */
export type TransitionOutcome =
  | { readonly kind: 'become'; readonly next: ReplicaPresence }
  | { readonly kind: 'refuse'; readonly code: ErrorCode; readonly reason: string }

const rbw = become('rbw')
const finalized = become('finalized')
const gone = become('absent')
const missing = refuse('REPLICA_NOT_FOUND', 'there is no such replica here')
const exists = refuse('REPLICA_EXISTS', 'the replica exists')
const notOpen = refuse('REPLICA_NOT_FOUND', 'the replica is not being written')
const notFinal = refuse('REPLICA_NOT_FOUND', 'the replica is not finalized')
const recovering = refuse('RECOVERY_IN_PROGRESS', 'the replica is being recovered')
const waiting = refuse('REPLICA_NOT_FOUND', 'the replica waits for recovery since a restart')
const copying = refuse('REPLICA_EXISTS', 'the replica is being copied here')

/** Every state against every event. */
export const replicaTransitions: Readonly<
  Record<ReplicaPresence, Readonly<Record<ReplicaEvent, TransitionOutcome>>>
> = {
  absent: {
    create: rbw,
    'create-copy': become('temporary'),
    append: missing,
    reappend: missing,
    resume: missing,
    close: missing,
    finalize: missing,
    convert: missing,
    'begin-recovery': missing,
    'end-recovery': missing,
    delete: missing,
  },
  rbw: {
    create: exists,
    'create-copy': exists,
    append: notFinal,
    reappend: rbw,
    resume: rbw,
    close: finalized,
    finalize: finalized,
    convert: exists,
    'begin-recovery': become('rur'),
    'end-recovery': refuse('IO_ERROR', 'no recovery of the replica was begun'),
    delete: gone,
  },
  finalized: {
    create: exists,
    'create-copy': exists,
    append: rbw,
    reappend: rbw,
    // All bytes arrived and the failure came while the last packet was acknowledged.
    resume: rbw,
    close: finalized,
    finalize: notOpen,
    convert: exists,
    'begin-recovery': become('rur'),
    'end-recovery': refuse('IO_ERROR', 'no recovery of the replica was begun'),
    delete: gone,
  },
  rwr: {
    create: exists,
    'create-copy': exists,
    append: waiting,
    reappend: waiting,
    resume: waiting,
    close: waiting,
    finalize: waiting,
    convert: exists,
    'begin-recovery': become('rur'),
    'end-recovery': refuse('IO_ERROR', 'no recovery of the replica was begun'),
    delete: gone,
  },
  rur: {
    create: exists,
    'create-copy': exists,
    append: recovering,
    reappend: recovering,
    resume: recovering,
    close: recovering,
    finalize: recovering,
    convert: recovering,
    // A younger recovery takes over from an older one; the stamps are compared by the caller.
    'begin-recovery': become('rur'),
    'end-recovery': finalized,
    delete: gone,
  },
  temporary: {
    create: copying,
    'create-copy': copying,
    append: notFinal,
    reappend: notOpen,
    resume: notOpen,
    close: notOpen,
    finalize: finalized,
    convert: rbw,
    'begin-recovery': missing,
    'end-recovery': missing,
    delete: gone,
  },
}

interface ReplicaRecord {
  readonly blockId: BlockId
  generationStamp: GenerationStamp
  length: number
  visibleLength: number
  state: ReplicaState
  readonly storage: StorageUuid
  digest: bigint | undefined
  verifiedAt: Millis
  recovery: ReplicaRecovery | undefined
}

/** Values a replica starts with, or takes on with a transition. */
export interface ReplicaStart {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly length: number
  readonly storage: StorageUuid
  readonly digest?: bigint | undefined
  readonly verifiedAt?: Millis
}

/** See the head of this file. */
export class ReplicaMap {
  readonly #records = new Map<BlockId, ReplicaRecord>()
  readonly #usedByStorage = new Map<StorageUuid, number>()

  get count(): number {
    return this.#records.size
  }

  find(blockId: BlockId): ReplicaInfo | undefined {
    return this.#records.get(blockId)
  }

  *values(storage?: StorageUuid): IterableIterator<ReplicaInfo> {
    for (const record of this.#records.values()) {
      if (storage === undefined || record.storage === storage) yield record
    }
  }

  /** Bytes of block data that the replicas of `storage` hold. */
  usedBytes(storage: StorageUuid): number {
    return this.#usedByStorage.get(storage) ?? 0
  }

  /** Takes in a replica that a scan found on disk. The block must be unknown so far. */
  adopt(start: ReplicaStart, state: 'finalized' | 'rwr'): ReplicaInfo {
    return this.#insert(start, state)
  }

  /**
   * Says whether `event` may happen to the block's replica now, without doing it.
   *
   * @throws {@link DfsError} with the table's code when it may not
   */
  check(blockId: BlockId, event: ReplicaEvent): void {
    this.#outcome(blockId, event)
  }

  /** Starts a replica: `create` or `create-copy`. @throws {@link DfsError} as {@link check} */
  start(start: ReplicaStart, event: 'create' | 'create-copy'): ReplicaInfo {
    const next = this.#outcome(start.blockId, event)
    assert(next === 'rbw' || next === 'temporary', `${event} must start a replica, not ${next}`)
    return this.#insert(start, next)
  }

  /** Moves an existing replica on. @throws {@link DfsError} as {@link check} */
  move(blockId: BlockId, event: Exclude<ReplicaEvent, 'create' | 'create-copy' | 'delete'>): void {
    const next = this.#outcome(blockId, event)
    const record = this.#record(blockId)
    assert(next !== 'absent', `${event} must keep replica ${blockId}`)
    record.state = next
    record.recovery = undefined
    if (next === 'finalized') record.visibleLength = record.length
    else record.digest = undefined
  }

  /** Marks the replica as under recovery `recoveryStamp`. @throws {@link DfsError} as {@link check} */
  beginRecovery(blockId: BlockId, recoveryStamp: GenerationStamp): void {
    this.#outcome(blockId, 'begin-recovery')
    const record = this.#record(blockId)
    const stateBefore = record.recovery?.stateBefore ?? record.state
    assert(stateBefore !== 'rur' && stateBefore !== 'temporary', 'rur must know its state before')
    record.state = 'rur'
    record.recovery = { recoveryStamp, stateBefore }
  }

  /** Forgets the replica and returns what it was. @throws {@link DfsError} as {@link check} */
  remove(blockId: BlockId): ReplicaInfo {
    this.#outcome(blockId, 'delete')
    const record = this.#record(blockId)
    this.#records.delete(blockId)
    this.#addUsed(record.storage, -record.length)
    return record
  }

  /** Gives the replica a newer stamp. */
  restamp(blockId: BlockId, generationStamp: GenerationStamp): void {
    const record = this.#record(blockId)
    assert(
      generationStamp >= record.generationStamp,
      `stamp of replica ${blockId} must not fall from ${record.generationStamp} to ${generationStamp}`,
    )
    record.generationStamp = generationStamp
  }

  /** Records that `length` bytes are here now. */
  setLength(blockId: BlockId, length: number): void {
    const record = this.#record(blockId)
    if (length === record.length) return
    this.#addUsed(record.storage, length - record.length)
    record.length = length
    record.digest = undefined
    if (record.visibleLength > length) record.visibleLength = length
  }

  /** Records the digest of a replica that is, or is about to be, finalized with its present length. */
  setDigest(blockId: BlockId, digest: bigint): void {
    this.#record(blockId).digest = digest
  }

  /** Records that the replica's bytes were right at `at`. */
  setVerified(blockId: BlockId, at: Millis): void {
    this.#record(blockId).verifiedAt = at
  }

  /** Records that `length` bytes are acknowledged; never goes back. */
  acknowledge(blockId: BlockId, length: number): void {
    const record = this.#record(blockId)
    assert(length <= record.length, `replica ${blockId} must hold what it acknowledges`)
    if (length > record.visibleLength) record.visibleLength = length
  }

  #insert(start: ReplicaStart, state: ReplicaState): ReplicaInfo {
    assert(!this.#records.has(start.blockId), `replica ${start.blockId} must be new`)
    const { blockId, generationStamp, length, storage, digest, verifiedAt = millis(0) } = start
    const record: ReplicaRecord = {
      blockId,
      generationStamp,
      length,
      visibleLength: length,
      state,
      storage,
      digest,
      verifiedAt,
      recovery: undefined,
    }
    this.#records.set(blockId, record)
    this.#addUsed(storage, length)
    return record
  }

  #outcome(blockId: BlockId, event: ReplicaEvent): ReplicaPresence {
    const presence = this.#records.get(blockId)?.state ?? 'absent'
    const outcome = replicaTransitions[presence][event]
    if (outcome.kind === 'become') return outcome.next
    throw new DfsError(
      outcome.code,
      `Cannot ${event} replica of block ${blockId} in state ${presence}: ${outcome.reason}`,
      { blockId },
    )
  }

  #record(blockId: BlockId): ReplicaRecord {
    return defined(this.#records.get(blockId), `replica ${blockId}`)
  }

  #addUsed(storage: StorageUuid, bytes: number): void {
    this.#usedByStorage.set(storage, this.usedBytes(storage) + bytes)
  }
}

function become(next: ReplicaPresence): TransitionOutcome {
  return { kind: 'become', next }
}

function refuse(code: ErrorCode, reason: string): TransitionOutcome {
  return { kind: 'refuse', code, reason }
}
