/**
 * What the namespace asks of the block side (`BlockManager`). The namespace owns the rows (which blocks
 * a file has, how long they are, in which state) and journals them; the block side knows where replicas
 * are, which is soft state from the datanodes' reports, and never changes a row.
 *
 * Order: `blockPut` of a row comes before `expectLocations` for it. During replay, before the rows of a
 * file are known, a row may come with replication 0, "not known yet"; a later `blockPut` or
 * `replicationChanged` says.
 */
import type { BlockId, DatanodeUuid, GenerationStamp } from '../../protocol/ids.ts'
import type { SafeModeState } from '../../protocol/states.ts'
import type { BlockRow, DatanodeRow } from './changes.ts'
import type { ReplicaLocation } from './requests.ts'

/** Wish for targets of a new block, or for further ones beside `existing`. */
export interface TargetRequest {
  readonly count: number
  readonly blockSizeBytes: number
  readonly clientHost: string
  readonly excluded: ReadonlySet<DatanodeUuid>
  /** `host:port` or host names the client prefers. */
  readonly favored: readonly string[]
  /** Replicas that exist already and stay. */
  readonly existing: readonly ReplicaLocation[]
}

/** A datanode that could not be chosen, `host:port`, and why, as a clause without full stop. */
export interface TargetRefusal {
  readonly datanode: string
  readonly reason: string
}

/** At most `count` targets on different datanodes; fewer when fewer can take the block. */
export interface TargetChoice {
  readonly targets: readonly ReplicaLocation[]
  readonly refusals: readonly TargetRefusal[]
}

/** Where a block can be read, nearest to the caller first. */
export interface BlockLocations {
  readonly locations: readonly ReplicaLocation[]
  /** Replicas are known and all of them are corrupt. */
  readonly isCorrupt: boolean
}

/** The block side as the namespace sees it. Implemented by `BlockManager`. */
export interface BlockSide {
  /** Whether changes are allowed. */
  readonly safeMode: SafeModeState

  /** A block row was put: new, or any field of it changed. */
  blockPut(row: BlockRow, replication: number): void
  /** A block is gone from the namespace: its replicas are garbage. */
  blockDeleted(id: BlockId): void
  /** The wanted number of replicas of these blocks changed. */
  replicationChanged(ids: readonly BlockId[], replication: number): void

  /** An operator asked something of a datanode, or it got there; replaces what was asked before. */
  datanodePut(row: DatanodeRow): void
  /** Nothing is asked of a datanode any more. */
  datanodeDeleted(uuid: DatanodeUuid): void
  /** What is asked of a datanode now. */
  datanodeRow(uuid: DatanodeUuid): DatanodeRow | undefined
  /**
   * The datanode that an operator means by a uuid, a host or a `host:port`.
   * @throws {@link DfsError} INVALID_ARGUMENT when it is none or more than one.
   */
  datanodeNamed(text: string): { readonly uuid: DatanodeUuid; readonly name: string }
  /** Rows as time has made them: goals that are reached. */
  reachedGoals(): readonly DatanodeRow[]
  /** Every row, in the order in which they were asked. */
  datanodeRows(): Iterable<DatanodeRow>

  chooseTargets(request: TargetRequest): TargetChoice
  /** Sets the pipeline of a block under construction, or the survivors of a recovery. */
  expectLocations(
    id: BlockId,
    generationStamp: GenerationStamp,
    locations: readonly ReplicaLocation[],
  ): void
  /** The pipeline of a block under construction: as set, plus replicas reported since. */
  expectedLocations(id: BlockId): readonly ReplicaLocation[]
  /**
   * Readable locations: for a block under construction or recovery its pipeline; otherwise finalized
   * replicas, and the expected locations while none has been reported (right after a recovery).
   */
  locate(row: BlockRow, callerHost: string): BlockLocations
  /**
   * The pipeline for a complete block that is about to be reopened: its good replicas on datanodes that
   * answer and stay, nearest to the writer first; failing those, on any that answer, then on any that are not dead.
   */
  reopenLocations(row: BlockRow, callerHost: string): readonly ReplicaLocation[]
  /** Finalized replicas of exactly this stamp and length on live datanodes. */
  finalizedReplicaCount(id: BlockId, generationStamp: GenerationStamp, length: number): number
  /** The digest that its finalized replicas of this stamp and length agree on, if they do; of an open block. */
  agreedDigest(id: BlockId, generationStamp: GenerationStamp, length: number): bigint | undefined
  /**
   * True while replicas may exist that no datanode has reported so far: right after a start. A block that
   * nobody reports must not be given up before that is over.
   */
  mayBeReportedLater(id: BlockId): boolean
  /**
   * True when a replica that a recovery can go on from is on a datanode that is not dead: one with the block's stamp or a later one;
   * when all that could be reported is and there is none, the newest older one, which has what was
   * acknowledged before its datanode fell out of the pipeline.
   */
  isRecoverable(id: BlockId): boolean
  /** Queues the recovery of a block, to its `truncateLength` if it has one, at a live expected location; false when there is none. */
  orderRecovery(block: BlockRow, recoveryStamp: GenerationStamp): boolean
  /** True while the datanode that was asked last has neither died nor started over. */
  isRecoveryLed(id: BlockId): boolean
}
