/**
 * What a rebuilt pipeline and a block recovery may ask of a replica: rules on stamps and lengths, without
 * any disk.
 *
 *     pipeline recovery   known stamp <= replica's stamp <= new stamp;  acknowledged >= what the client
 *                         knows acknowledged;  received <= what the client sent
 *     both                a finalized replica's bytes are right (D25)
 *     block recovery      block's stamp <= replica's stamp < recovery's stamp;  of two recoveries the
 *                         younger wins (D5)
 *
 * Rules from org.apache.hadoop.hdfs.server.datanode.fsdataset.impl.FsDatasetImpl.
 */
import type { Millis } from '../../base/brand.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import type { ReplicaInfo } from './replica.ts'

/** What a pipeline that was rebuilt wants of an existing replica (hdfs-wire: stages 0 to 3 and 5). */
export interface ReopenRequest {
  readonly blockId: BlockId
  readonly event: 'append' | 'reappend' | 'resume' | 'close'
  /** The stamp the client knows. */
  readonly generationStamp: GenerationStamp
  readonly newStamp: GenerationStamp
  /** Bytes the client knows to be acknowledged. */
  readonly lengthMin: number
  /** Bytes the client sent. */
  readonly lengthMax: number
}

/**
 * Checks that the replica's stamp fits the request. One that the network held back does not: it must be refused before
 * anything is done, since the pipeline it would stop is a newer one.
 *
 * @throws {@link DfsError} REPLICA_NOT_FOUND when it does not fit
 */
export function requireStampToResume(replica: ReplicaInfo, request: ReopenRequest): void {
  const { generationStamp, newStamp } = request
  const stamp = replica.generationStamp
  if (stamp >= generationStamp && stamp <= newStamp) return
  throw refusal(request, `its stamp is ${stamp}, need ${generationStamp} to ${newStamp}`)
}

/**
 * Returns the length at which the replica goes on; what was received beyond it is cut off.
 *
 * @throws {@link DfsError} REPLICA_NOT_FOUND when stamp or length do not fit the request
 */
export function lengthToResume(replica: ReplicaInfo, request: ReopenRequest): number {
  requireStampToResume(replica, request)
  const { lengthMin, lengthMax, event } = request
  const refuse = (reason: string): DfsError => refusal(request, reason)
  if (event !== 'resume') {
    if (replica.length === lengthMin) return lengthMin
    throw refuse(`its length is ${replica.length}, need ${lengthMin}`)
  }
  if (replica.visibleLength < lengthMin || replica.length > lengthMax) {
    throw refuse(
      `${replica.visibleLength} of ${replica.length} bytes are acknowledged, ` +
        `need at least ${lengthMin} and at most ${lengthMax}`,
    )
  }
  return replica.visibleLength
}

function refusal({ event, blockId }: ReopenRequest, reason: string): DfsError {
  return new DfsError('REPLICA_NOT_FOUND', `Cannot ${event} block ${blockId}: ${reason}`, {
    blockId,
  })
}

/**
 * Checks that a recovery may take hold of the replica.
 *
 * @throws {@link DfsError} RECOVERY_IN_PROGRESS when an equal or younger recovery holds it, IO_ERROR when
 * its stamp is below the block's or not below the recovery's
 */
export function requireYoungerRecovery(
  replica: ReplicaInfo,
  stamps: { readonly generationStamp: GenerationStamp; readonly recoveryStamp: GenerationStamp },
): void {
  const { blockId } = replica
  const { generationStamp, recoveryStamp } = stamps
  const held = replica.recovery?.recoveryStamp
  if (held !== undefined && held >= recoveryStamp) {
    throw new DfsError(
      'RECOVERY_IN_PROGRESS',
      `Cannot begin recovery ${recoveryStamp} of block ${blockId}: recovery ${held} runs`,
      { blockId },
    )
  }
  if (replica.generationStamp >= generationStamp && replica.generationStamp < recoveryStamp) return
  throw new DfsError(
    'IO_ERROR',
    `Cannot begin recovery ${recoveryStamp} of block ${blockId}: the replica has stamp ` +
      `${replica.generationStamp}, need at least ${generationStamp} and less than the recovery's`,
    { blockId },
  )
}

/**
 * Checks that recovery `recoveryStamp` holds the replica and may end it at `newLength`.
 *
 * @throws {@link DfsError} IO_ERROR when another recovery, or none, holds it or it is shorter
 */
export function requireHeldByRecovery(
  replica: ReplicaInfo,
  recoveryStamp: GenerationStamp,
  newLength: number,
): void {
  const { blockId, length } = replica
  const held = replica.recovery?.recoveryStamp
  if (held === recoveryStamp && newLength <= length) return
  throw new DfsError(
    'IO_ERROR',
    held === recoveryStamp
      ? `Cannot recover block ${blockId} at ${newLength} bytes: the replica has ${length}`
      : `Cannot end recovery ${recoveryStamp} of block ${blockId}: it is held by ${held ?? 'none'}`,
    { blockId },
  )
}

/**
 * Whether a replica must be read through before it gets a new stamp: it is final, so everybody takes it for right, and
 * the last time that its bytes were seen to be is `freshMs` ago or more. (D25)
 *
 * @param now wall-clock time
 */
export function needsVerification(
  { state, verifiedAt }: ReplicaInfo,
  now: Millis,
  freshMs: number,
): boolean {
  if (state !== 'finalized') return false
  const ageMs = now - verifiedAt
  // Below zero the clock was set back since: then nobody knows how long ago that was.
  return ageMs < 0 || ageMs >= freshMs
}
