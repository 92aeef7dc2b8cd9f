import { defined } from '../../base/assert.ts'
import { DfsError } from '../../protocol/errors.ts'
import type { BlockId, GenerationStamp } from '../../protocol/ids.ts'
import type { CopyUrgency } from '../core/copy-pace.ts'
import { lengthToResume, type ReopenRequest, requireStampToResume } from '../core/replica-rules.ts'
import type { MetaLayout } from '../format/block-meta.ts'
import { MetaBuilder } from '../format/meta-builder.ts'
import { requireIntact } from './intact-replica.ts'
import { cutReplica } from './replica-cut.ts'
import { resumeMeta, sealReplica } from './replica-repair.ts'
import { type ReplicaShelf, removeReplica } from './replica-shelf.ts'
import type { ReplicaWriter } from './replica-writer.ts'
import { chooseVolume } from './volume-choice.ts'

/** What a new replica is created from. */
export interface NewReplica {
  readonly blockId: BlockId
  readonly generationStamp: GenerationStamp
  readonly layout: MetaLayout
  /** The storage the namenode chose, if it is ours; only a wish. */
  readonly storage: string | undefined
  /** `true` for a copy from another datanode: temporary until complete. */
  readonly isCopy: boolean
  /** Set for a copy that makes way for clients. */
  readonly urgency?: CopyUrgency | undefined
  /** Bytes the replica may come to, as its sender says; room for them is kept. */
  readonly expectedBytes?: number | undefined
  /** Digest that a copy must end with. */
  readonly wantedDigest?: bigint | undefined
}

/**
 * Starts a new replica and returns its writer; its files are being opened.
 *
 * @throws {@link DfsError} REPLICA_EXISTS, RECOVERY_IN_PROGRESS, DISK_FULL, IO_ERROR before the first binding
 */
export function createReplica(shelf: ReplicaShelf, request: NewReplica): ReplicaWriter {
  const { blockId, generationStamp, layout, isCopy } = request
  const event = isCopy ? 'create-copy' : 'create'
  shelf.map.check(blockId, event)
  const { expectedBytes = 0, storage: wish } = request
  const volume = chooseVolume(shelf.volumes, { blockId, wish, expectedBytes })
  const kind = isCopy ? 'temporary' : 'rbw'
  const plain = volume.files(kind, blockId, generationStamp)
  const files =
    request.urgency === undefined ? plain : shelf.paced(plain, volume.storage, request.urgency)
  shelf.map.start({ blockId, generationStamp, length: 0, storage: volume.storage }, event)
  const meta = new MetaBuilder(layout)
  const { wantedDigest } = request
  const start = { volume, files, blockId, meta, wantedDigest, expectedBytes }
  const writer = shelf.startWriter({ ...start, isNew: true })
  if (!isCopy) shelf.notify('receiving', defined(shelf.map.find(blockId), 'new replica'))
  return writer
}

/**
 * Stops whoever writes the replica, gives it the new stamp, and returns a writer that goes on where
 * the client wants to (`append`, `reappend`, `resume`), or `undefined` when it is finalized already (`close`).
 *
 * @throws {@link DfsError} REPLICA_NOT_FOUND when state, stamp or length do not fit the request
 */
export function reopenReplica(
  shelf: ReplicaShelf,
  request: ReopenRequest,
): Promise<ReplicaWriter | undefined> {
  const { blockId, event } = request
  return shelf.mutex.run(blockId, async () => {
    shelf.map.check(blockId, event)
    requireStampToResume(shelf.require(blockId), request)
    await shelf.stopWriter(blockId)
    try {
      return await reopenStopped(shelf, request)
    } catch (error) {
      // Nobody writes it any more, and its pipeline may go on without it.
      const left = shelf.map.find(blockId)
      if (left !== undefined) shelf.noticeLater(left)
      throw error
    }
  })
}

async function reopenStopped(
  shelf: ReplicaShelf,
  request: ReopenRequest,
): Promise<ReplicaWriter | undefined> {
  const { blockId, event, newStamp } = request
  const { map } = shelf
  const replica = shelf.require(blockId)
  map.check(blockId, event)
  const length = lengthToResume(replica, request)
  const volume = shelf.volumeOf(replica.storage)
  let digest: bigint | undefined
  try {
    if (length < replica.length) {
      const cut = { length: replica.length, newLength: length }
      await cutReplica(shelf.filesOf(replica), blockId, cut)
      map.setLength(blockId, length)
    }
    // Not only an append's first attempt: one that comes after it may be the first that gets here.
    await requireIntact(shelf, replica)
    const target = event === 'close' ? 'finalized' : 'rbw'
    // Its writer was stopped, which syncs nothing: what is final must be durable and whole (D8).
    if (event === 'close') digest = await sealReplica(shelf.filesOf(replica), blockId, length)
    await shelf.relocate(replica, target, newStamp)
    shelf.requireWorking(volume)
  } catch (error) {
    throw volume.judge(error, `reopen block ${blockId}`)
  }
  map.restamp(blockId, newStamp)
  map.move(blockId, event)
  if (digest !== undefined) map.setDigest(blockId, digest)
  if (event === 'close') {
    shelf.notify('received', replica)
    return undefined
  }
  const files = shelf.filesOf(replica)
  const meta = await resumeMeta(files, blockId, length).catch((error: unknown) => {
    throw volume.judge(error, `reopen block ${blockId}`)
  })
  if (event !== 'resume') shelf.notify('receiving', replica)
  return shelf.startWriter({ volume, files, blockId, meta, isNew: false, expectedBytes: 0 })
}

/**
 * Makes a completely received replica durable and final: data and meta synced, both renamed into
 * place, the directory synced, and only then reported and returned.
 *
 * @throws {@link DfsError} REPLICA_NOT_FOUND when the replica was taken from the writer, or as the disk says
 */
export function finalizeReplica(
  shelf: ReplicaShelf,
  writer: ReplicaWriter,
  as: 'finalized' | 'rbw',
): Promise<void> {
  const { blockId, volume } = writer
  return shelf.mutex.run(blockId, async () => {
    const { map } = shelf
    shelf.requireCurrent(writer)
    requireWanted(writer, as)
    const digest = await writer.finish()
    const replica = shelf.require(blockId)
    map.setLength(blockId, writer.length)
    try {
      await shelf.relocate(replica, as, replica.generationStamp)
      shelf.requireWorking(volume)
    } catch (error) {
      // The writer stays: its release drops a copy, and keeps what a client wrote for recovery.
      throw volume.judge(error, `finalize block ${blockId}`)
    }
    shelf.retireWriter(writer)
    map.move(blockId, as === 'finalized' ? 'finalize' : 'convert')
    if (as !== 'finalized') return
    map.setDigest(blockId, digest)
    shelf.notify('received', replica)
  })
}

/** A copy that differs from its source must not count as a replica (D17). */
function requireWanted(writer: ReplicaWriter, as: 'finalized' | 'rbw'): void {
  const { wantedDigest, blockId } = writer
  if (as !== 'finalized' || wantedDigest === undefined) return
  const digest = writer.meta.blockDigest()
  if (digest === wantedDigest) return
  throw new DfsError(
    'CHECKSUM_MISMATCH',
    `Cannot finalize the copy of block ${blockId}: its digest is ${digest.toString(16)}, ` +
      `that of its source ${wantedDigest.toString(16)}`,
    { blockId },
  )
}

/** Ends a writer in mid-block: an rbw replica stays for recovery, a copy or one that never began is dropped. */
export function releaseReplica(shelf: ReplicaShelf, writer: ReplicaWriter): Promise<void> {
  const { blockId } = writer
  return shelf.mutex.run(blockId, async () => {
    if (!shelf.isCurrent(writer)) return
    await shelf.stopWriter(blockId)
    const replica = shelf.map.find(blockId)
    if (replica === undefined) return
    const isEmpty = replica.length === 0 && writer.failure !== undefined
    if (replica.state !== 'temporary' && !isEmpty) {
      shelf.noticeLater(replica)
      return
    }
    await removeReplica(writer.files).catch((error: unknown) => {
      const reason = writer.volume.judge(error, `remove what is left of block ${blockId}`).message
      shelf.logger.warn('replica-remains', { blockId, reason })
    })
    shelf.map.remove(blockId)
    writer.volume.spaceChanged()
  })
}
